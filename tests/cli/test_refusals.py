"""What cannot be used, and what the operating system refuses, is said in words and leaves nothing half-written."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from small import SMALL, save_model
from torch import Tensor

from gancli.cli.app import run
from gancli.modelfile import load_tensors, read_info, to_bytes

GANCLI = [sys.executable, "-m", "gancli"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capfd: pytest.CaptureFixture[str], words: list[str], code: int = 2) -> str:
    """Runs a command that must fail with an exit code, and returns what it says."""
    found = run(words)
    err = capfd.readouterr().err
    assert found == code, err
    assert "unexpected failure" not in err
    assert "Traceback" not in err
    return err


def changed(path: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Path:
    """Writes a model file with other tensors."""
    tensors = change(load_tensors(path))
    path.with_name("changed.safetensors").write_bytes(to_bytes(read_info(path), tensors))
    return path.with_name("changed.safetensors")


FIRST = "generator.project.weight"


def first(tensors: dict[str, Tensor]) -> str:
    return next(name for name, tensor in tensors.items() if tensor.is_floating_point())


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_model_files_of_other_floats_are_used(here: Path, dtype: str) -> None:
    save_model(here / "m.safetensors", "dcgan")
    kind = getattr(torch, dtype)
    other = changed(
        here / "m.safetensors", lambda t: {k: v.to(kind) if v.is_floating_point() else v for k, v in t.items()}
    )
    assert run(["sample", str(other), "-o", "a.png"]) == 0
    assert (
        run(["train", "dcgan-shapes", "--data", "shapes", "--steps", "1", *words_of(), "--init-from", str(other)]) == 0
    )


def words_of() -> list[str]:
    return [*SMALL, "--resolution", "32", "--set", "model.latent_dim=8"]


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "complex64", "int32", "bool"])
def test_model_files_of_other_numbers_are_refused_by_name(
    here: Path, capfd: pytest.CaptureFixture[str], dtype: str
) -> None:
    save_model(here / "m.safetensors", "dcgan")
    name = first(load_tensors(here / "m.safetensors"))
    other = changed(here / "m.safetensors", lambda t: {**t, name: t[name].to(getattr(torch, dtype))})
    for words in (
        ["sample", str(other), "-o", "a.png"],
        ["train", "dcgan-shapes", "--data", "shapes", "--steps", "1", *words_of(), "--init-from", str(other)],
    ):
        assert f"{name}: {dtype}, here float32" in said(capfd, words)
    assert not Path("a.png").exists()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_make_no_pictures_and_numbers(
    here: Path, capfd: pytest.CaptureFixture[str], value: float
) -> None:
    save_model(here / "m.safetensors", "dcgan")
    name = first(load_tensors(here / "m.safetensors"))
    broken = str(changed(here / "m.safetensors", lambda t: {**t, name: t[name].index_fill(0, torch.tensor(0), value)}))
    for words in (
        ["sample", broken, "-o", "a.png"],
        ["interpolate", broken, "--seeds", "0,1", "-o", "a.gif"],
        ["evaluate", broken, "--data", "shapes", "--metrics", "swd", "-n", "8"],
        ["export", broken, "-o", "a.pth"],
        ["train", "dcgan-shapes", "--data", "shapes", "--steps", "1", *words_of(), "--init-from", broken],
    ):
        assert f"{name} has values that are not finite" in said(capfd, words)
    assert {path.name for path in here.iterdir()} == {"m.safetensors", "changed.safetensors"}


def test_pictures_that_are_not_finite_are_not_written(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save_model(here / "m.safetensors", "dcgan")

    def huge(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {k: v * 1e30 if v.ndim == 4 else v for k, v in tensors.items()}

    broken = str(changed(here / "m.safetensors", huge))
    for output in ("a.png", "a.npy", "folder/"):
        assert "output is not finite" in said(capfd, ["sample", broken, "-o", output], 1)
    assert not list(here.glob("a.*"))


STATS: dict[str, dict[str, Any]] = {
    "infinite count": {"count": np.array(np.inf)},
    "negative count": {"count": np.array(-3)},
    "deep protocol": {"protocol": np.array("[" * 5000 + "]" * 5000)},
    "other protocol": {"protocol": np.array(json.dumps({"classes": 5, "unreadable": [1]}))},
    "complex": {"sigma": np.eye(6) * 1j},
    "negative": {"sigma": -np.eye(6)},
    "not symmetric": {"sigma": np.triu(np.ones((6, 6)))},
    "bomb": {"other": np.zeros(2**25)},
}


@pytest.mark.parametrize("how", STATS)
def test_statistics_of_nothing(here: Path, capfd: pytest.CaptureFixture[str], how: str) -> None:
    from tiny import folder, script

    script(here / "tiny.pt")
    folder(here / "made", 8, 1)
    np.savez_compressed(here / "s.npz", **{"mu": np.zeros(6), "sigma": np.eye(6), **STATS[how]})
    words = ["evaluate", "made", "--stats", "s.npz", "--metrics", "fid", "--features", "tiny.pt"]
    assert "s.npz" in said(capfd, words)


def test_homes_that_are_no_homes(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    save_model(here / "m.safetensors", "dcgan")
    (here / "file").touch()
    for home in (str(here / "file"), "~nobody2/x", str(here / "file/below"), str(here / ("x" * 300))):
        monkeypatch.setenv("GANCLI_HOME", home)
        for words in (["models"], ["sample", "horses"]):
            code = 2 if home[-5:] != "below" else run(words)
            capfd.readouterr()
            if home[-5:] != "below":
                assert f"GANCLI_HOME is {home}" in said(capfd, words, code)


@pytest.mark.parametrize("length", [250, 251, 252, 253, 254, 255, 256])
def test_long_names(here: Path, capfd: pytest.CaptureFixture[str], length: int) -> None:
    save_model(here / "m.safetensors", "dcgan")
    for suffix in (".png", ".npy"):
        name = "x" * (length - 4) + suffix
        words = ["sample", "m.safetensors", "-o", name]
        if length <= 255:
            assert run(words) == 0, capfd.readouterr().err
            assert (here / name).stat().st_size
        else:
            assert "file name too long" in said(capfd, words, 1)
    train = ["train", "dcgan-shapes", "--data", "shapes", "--steps", "1", *words_of(), "--out", "y" * length]
    if length in (255, 256):
        found = run(train)
        assert found == (0 if length == 255 else 2), capfd.readouterr().err


def rewritten(directory: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    """Changes a file of a checkpoint, and its line in the list of checksums."""
    content = change((directory / name).read_bytes())
    sums = dict(line.split("  ")[::-1] for line in (directory / "SHA256SUMS").read_text().splitlines())
    sums[name] = hashlib.sha256(content).hexdigest()
    (directory / name).write_bytes(content)
    (directory / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()))


def with_nan(content: bytes) -> bytes:
    tensors = safetensors.torch.load(content)
    return safetensors.torch.save({k: v * torch.nan if v.is_floating_point() else v for k, v in tensors.items()})


CHANGES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "no json": ("state.json", lambda c: b"{"),
    "a list": ("state.json", lambda c: b"[]"),
    "no number": ("state.json", lambda c: c.replace(b'"step": 4', b'"step": "x"')),
    "another step": ("state.json", lambda c: c.replace(b'"step": 4', b'"step": 3')),
    "deep": ("state.json", lambda c: b"[" * 10**5),
    "no tensors": ("rest.safetensors", lambda c: b"x"),
    "no model": ("model.safetensors", lambda c: c[9:]),
    "no moments": ("optimizers.safetensors", lambda c: b""),
    "nan": ("rest.safetensors", with_nan),
}


@pytest.mark.slow
def test_checkpoints_that_hold_something_else_are_left_for_the_one_before(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import shutil

    words = ["train", "dcgan-shapes", "--data", "shapes", "--steps", "4", *words_of(), "--out", "whole"]
    words += ["--set", "train.checkpoint_every=2", "--set", "train.average={decay: 0.9}"]
    assert run(words) == 0
    for how, (name, change) in CHANGES.items():
        shutil.copytree(here / "whole", here / how)
        rewritten(here / how / "checkpoints/4", name, change)
        capfd.readouterr()
        found = run(["resume", how])
        err = capfd.readouterr().err
        assert found == 0, (how, err)
        assert f"checkpoint {how}/checkpoints/4 is damaged" in err
        assert "continuing from step 2" in err
        for file in ("model.safetensors", "optimizers.safetensors", "rest.safetensors"):
            resumed, whole = (here / run_ / "checkpoints/4" / file for run_ in (how, "whole"))
            assert resumed.read_bytes() == whole.read_bytes(), (how, file)


# ---- the operating system ---------------------------------------------------------------------------------------


def shell(line: str, code: int, *words: str, **options: Any) -> None:
    """Runs a line of a shell, ``gancli`` in it, and checks its exit code and what it says."""
    done = subprocess.run(
        line.replace("gancli", " ".join(GANCLI)), shell=True, capture_output=True, text=True, timeout=120, **options
    )
    assert done.returncode == code, (line, done)
    assert "unexpected failure" not in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    for word in words:
        assert word in done.stderr.lower(), (line, done.stderr)


@pytest.mark.slow
def test_closed_streams_are_said(here: Path) -> None:
    save_model(here / "m.safetensors", "dcgan")
    shell("gancli sample m.safetensors -n 4 -o - >&-", 1, "stdout is closed")
    shell("gancli sample m.safetensors -o a.png 2>&-", 0)
    shell("gancli models m.safetensors --json >&-", 1, "stdout is closed")
    shell("gancli translate m.safetensors - <&-", 2)


def test_a_directory_that_is_gone(here: Path) -> None:
    save_model(here / "m.safetensors", "dcgan")
    for words in (f"sample {here}/m.safetensors", "presets", "models", "train dcgan-shapes --data shapes"):
        (here / "gone").mkdir()
        shell(f"cd gone && rmdir ../gone && gancli {words}", 2, "the working directory has been removed")


def limited(kind: int, most: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(kind, (most, most))


@pytest.mark.slow
def test_files_that_may_not_grow(here: Path) -> None:
    save_model(here / "m.safetensors", "dcgan")
    limit = limited(resource.RLIMIT_FSIZE, 5000)
    shell("gancli sample m.safetensors -n 64 -o a.png", 1, "a.png: file too large", preexec_fn=limit)
    shell("gancli sample m.safetensors -n 64 -o a.npy", 1, "a.npy: file too large", preexec_fn=limit)
    for unbuffered in ("", "1"):
        line = f"PYTHONUNBUFFERED={unbuffered} gancli sample m.safetensors -n 64 -o - > b.png"
        shell(line, 1, "the output: file too large", preexec_fn=limit)
    small = " ".join(f"'{word}'" for word in words_of())
    limit = limited(resource.RLIMIT_FSIZE, 20_000)
    shell(f"gancli train dcgan-shapes --data shapes --steps 1 {small}", 1, "file too large", preexec_fn=limit)
    left = {path.name for path in here.rglob("*") if path.is_file()}
    assert left <= {"m.safetensors", "b.png", "config.yaml", "log.jsonl", "00000001.png", ".lock"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_places_that_are_only_for_reading(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save_model(here / "m.safetensors", "dcgan")
    (here / "closed").mkdir(mode=0o555)
    assert "closed" in said(capfd, ["sample", "m.safetensors", "-o", "closed/a.png"], 1)


@pytest.mark.slow
def test_too_many_open_files(here: Path) -> None:
    save_model(here / "m.safetensors", "dcgan")
    for most in (20, 40):
        limit = limited(resource.RLIMIT_NOFILE, most)
        done = subprocess.run(
            [*GANCLI, "sample", "m.safetensors", "-o", "a.png"], capture_output=True, text=True, preexec_fn=limit
        )
        assert done.returncode in (0, 1, 2)
        assert "Traceback" not in done.stderr


def test_what_a_killed_process_left_is_removed(here: Path) -> None:
    from gancli.files import _machine

    save_model(here / "m.safetensors", "dcgan")
    gone = subprocess.Popen(["true"])
    gone.wait()
    left, alive, elsewhere = (
        here / f".gancli-{machine}-{process}-0123abcd"
        for machine, process in ((_machine(), gone.pid), (_machine(), os.getppid()), ("00000000", gone.pid))
    )
    for path in (left, alive, elsewhere, here / ".notes.2024"):
        path.touch()
    assert run(["sample", "m.safetensors", "-o", "a.png"]) == 0
    assert not left.exists()
    assert alive.exists()
    assert elsewhere.exists()
    assert (here / ".notes.2024").exists()
