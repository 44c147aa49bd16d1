"""gancli sample: what comes out where, the same image for a seed anywhere, pipes, and every way to type it wrong."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gancli import config
from gancli.cli.app import run
from gancli.modelfile import describe, to_bytes
from gancli.registry import load_architecture


@pytest.fixture
def named(here: Path, model: Path) -> str:
    """A model that is found by its name in ./runs."""
    (here / "runs/m").mkdir(parents=True)
    shutil.copy(model, here / "runs/m/model.safetensors")
    return "m"


def outputs(here: Path) -> list[str]:
    return sorted(str(p.relative_to(here)) for p in here.rglob("*") if p.is_file() and "runs" not in p.parts)


@pytest.mark.parametrize(
    ("arguments", "written", "size"),
    [
        ([], ["m-seed0.png"], (32, 32)),
        (["-n", "4"], ["m-seeds0-3.png"], (66, 66)),
        (["--seeds", "0,1,4-6", "--columns", "5"], ["m-seeds0+4.png"], (5 * 34 - 2, 32)),
        (["-n", "3", "--seed", "7", "-o", "x.jpg"], ["x.jpg"], (66, 66)),
        (["-n", "2", "-o", "out"], ["out/seed0000.png", "out/seed0001.png"], (32, 32)),
        (["--seeds", "12345", "-o", "out/", "--format", "webp"], ["out/seed12345.webp"], (32, 32)),
    ],
)
def test_what_is_written_where(
    here: Path,
    named: str,
    arguments: list[str],
    written: list[str],
    size: tuple[int, int],
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(["sample", named, *arguments]) == 0
    assert capfd.readouterr().out.split() == written
    assert outputs(here) == written
    assert Image.open(here / written[0]).size == size


def test_a_seed_is_the_same_image_in_any_company_and_npy_is_what_png_shows(here: Path, named: str) -> None:
    assert run(["sample", named, "-n", "9", "-o", "all.npy", "--batch", "4"]) == 0
    assert run(["sample", named, "--seeds", "5,2", "-o", "two"]) == 0
    images = np.load("all.npy")
    assert (images.dtype, images.shape) == (np.float32, (9, 3, 32, 32))
    assert abs(images).max() <= 1
    for seed in (5, 2):
        pixels = np.asarray(Image.open(f"two/seed000{seed}.png")).astype(float)
        assert abs(pixels - (images[seed].transpose(1, 2, 0) + 1) * 127.5).max() <= 1.01


def test_the_model_can_be_named_by_its_checkpoint_run_or_file(here: Path, named: str, model: Path) -> None:
    step = model.parent / "checkpoints/4"
    for index, name in enumerate((str(model), str(model.parent), str(step), named)):
        assert run(["sample", name, "-o", f"{index}.npy"]) == 0
    first, *others = (Path(f"{index}.npy").read_bytes() for index in range(4))
    assert all(other == first for other in others)


def test_latents_from_a_file(here: Path, named: str) -> None:
    import torch

    z = torch.randn(1, 8, generator=torch.Generator().manual_seed(3)).numpy()
    np.save("z.npy", z.astype(np.float64))
    assert run(["sample", named, "--latents", "z.npy", "-o", "z-image.npy"]) == 0
    assert run(["sample", named, "--seed", "3", "-o", "seed.npy"]) == 0
    assert np.array_equal(np.load("z-image.npy"), np.load("seed.npy"))


def test_truncation_changes_the_images_and_a_large_one_does_not(here: Path, named: str) -> None:
    for name, trunc in (("free", []), ("wide", ["--trunc", "100"]), ("tight", ["--trunc", "0.3"])):
        assert run(["sample", named, "-n", "4", "-o", f"{name}.npy", *trunc]) == 0
    free, wide, tight = (np.load(f"{name}.npy") for name in ("free", "wide", "tight"))
    assert np.array_equal(free, wide)
    assert not np.array_equal(free, tight)


def process(*arguments: str, stdout: int | None = subprocess.PIPE) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "gancli", *arguments]
    return subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE)


def test_a_pipe_gets_the_bytes_and_a_closed_one_is_quiet(here: Path, named: str) -> None:
    out, err = process("sample", named, "-n", "16", "-o", "-").communicate(timeout=120)
    assert Image.open(io.BytesIO(out)).size == (4 * 34 - 2, 4 * 34 - 2)
    assert err == b""
    out, _ = process("sample", named, "-n", "2", "-o", "-", "--format", "npy").communicate(timeout=120)
    assert np.load(io.BytesIO(out)).shape == (2, 3, 32, 32)
    reading, writing = os.pipe()
    closed = process("sample", named, "-n", "400", "-o", "-", "--format", "npy", stdout=writing)
    os.close(writing)
    os.close(reading)
    _, err = closed.communicate(timeout=120)
    assert err == b""
    assert closed.returncode == 141


def test_a_full_disk_is_said_in_words(here: Path, named: str) -> None:
    with Path("/dev/full").open("wb") as full:
        failed = process("sample", named, "-n", "400", "-o", "-", "--format", "npy", stdout=full.fileno())
        _, err = failed.communicate(timeout=120)
    assert failed.returncode == 1
    assert err.startswith(b"error: no space left")
    assert b"Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-n", "0"], "-n 0: must be at least 1"),
        (["--seed", "-1"], "--seed -1"),
        (["--seeds", "1-"], "neither a number nor a range"),
        (["-n", "3", "--seeds", "1"], "-n and --seeds"),
        (["--seeds", "1", "--latents", "z.npy"], "--seeds and --latents"),
        (["--trunc", "0"], "--trunc 0"),
        (["--trunc", "nan"], "--trunc nan"),
        (["--latents", "missing.npy"], "missing.npy"),
        (["--latents", "wrong.npy"], "[N, 8]"),
        (["--latents", "text.npy"], "text.npy"),
        (["--latents", "nan.npy"], "not finite"),
        (["--latents", "wrong.npy", "--trunc", "0.5"], "--trunc"),
        (["-o", "x.tiff"], ".tiff"),
        (["-o", "no/dir/x.png"], "no/dir"),
        (["-o", "x.png", "--format", "jpg"], "--format"),
        (["--format", "bmp"], "bmp"),
        (["--batch", "0"], "--batch 0"),
        (["--columns", "0"], "--columns 0"),
        (["--device", "tpu"], "tpu"),
    ],
)
def test_wrong_input(
    here: Path, named: str, arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    np.save("wrong.npy", np.zeros((2, 9), np.float32))
    np.save("nan.npy", np.full((2, 8), np.nan, np.float32))
    Path("text.npy").write_text("no array")
    before = outputs(here)
    assert run(["sample", named, *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert outputs(here) == before


@pytest.mark.parametrize("architecture", ["cyclegan", "pix2pix"])
def test_a_translator_is_said_to_translate(here: Path, architecture: str, capfd: pytest.CaptureFixture[str]) -> None:
    resolved = config.resolve(architecture, sets=["model.generator_width=2", "model.resolution=32"])
    kind = load_architecture(architecture)
    model = kind(resolved.model)
    shapes = kind.input_shapes(resolved.model)
    info = describe(architecture, resolved, networks=list(model.averaged), shapes=shapes)
    kept = {name: value for name, value in model.state_dict().items() if name.partition(".")[0] in model.averaged}
    Path("t.safetensors").write_bytes(to_bytes(info, kept))
    assert run(["sample", "t.safetensors"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert f"t.safetensors is a {architecture}, which makes no images from latents" in err
    assert "hint: gancli translate t.safetensors IMAGE" in err
    assert outputs(here) == ["t.safetensors"]


def test_models_that_are_none(here: Path, named: str, capfd: pytest.CaptureFixture[str]) -> None:
    Path("photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    Path("empty.d").mkdir()
    for name, said in (
        ("mm", "did you mean 'm'?"),
        ("photo.png", "not a model file"),
        ("empty.d", "no model.safetensors"),
    ):
        assert run(["sample", name]) == 2
        assert said in capfd.readouterr().err
