"""Files of features that are programs: they run only after the user has allowed them."""

from __future__ import annotations

import json
import os
import pickle
import re
import zipfile
from pathlib import Path

import pytest
import torch
from reports import evaluate
from tiny import Tiny
from torch import Tensor, nn

from gancli.cli.app import run

WORDS = ("made", "--data", "real", "--metrics", "fid", "--features")


class Command:
    """Unpickling it runs a command."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


class Writer(nn.Module):
    """A TorchScript program that makes a file in the working directory."""

    def forward(self, images: Tensor) -> Tensor:
        made = torch.from_file("ran", True, 4)
        return images.float().mean(dim=(2, 3)) + made.sum()


def exported(path: Path) -> dict[str, bytes]:
    """Writes a torch.export file, and returns its members."""
    free = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    images = torch.zeros(2, 3, 24, 24, dtype=torch.uint8)
    torch.export.save(torch.export.export(Tiny(), (images,), dynamic_shapes=(free,)), path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def evil(path: Path, kind: str) -> None:
    """Writes a file of features that makes the file ``ran`` when it is loaded or used."""
    if kind == "torchscript":
        torch.jit.save(torch.jit.script(Writer()), path)
        return
    members = exported(path)
    if kind == "pickle":
        (inputs,) = (name for name in members if "sample_inputs" in name)
        write(path, {**members, inputs: pickle.dumps(Command(), protocol=2)})
    else:
        (model,) = (name for name in members if name.endswith("models/model.json"))
        code = "__import__('os').system('touch ran')"
        text = re.sub(r'"expr_str": ?"[^"]*"', lambda _: f'"expr_str": {json.dumps(code)}', members[model].decode())
        assert code in text
        write(path, {**members, model: text.encode()})


@pytest.mark.parametrize(("name", "kind"), [("a.pt", "torchscript"), ("a.pt2", "pickle"), ("a.pt2", "expression")])
def test_a_program_runs_only_if_it_is_trusted(
    here: Path, gancli_home: Path, capfd: pytest.CaptureFixture[str], name: str, kind: str
) -> None:
    evil(here / name, kind)
    asked = [
        [*WORDS, name],
        ["made", "--data", "real", "--metrics", "fid", "--features", "clip", "--weights", name],
    ]
    for words in asked:
        assert run(["evaluate", *words]) == 2
        err = capfd.readouterr().err
        assert f"{name} is a program" in err
        assert "--trust" in err
        assert not (here / "ran").exists()
    small = ["--set", "train.samples=1", "--batch", "2", "--steps", "1", "--resolution", "32"]
    train = ["train", "dcgan-shapes", "--data", "shapes", *small, "--eval", "fid:1", "--name", "a"]
    assert run([*train, "--set", f"train.evaluate.features={name}"]) == 2
    assert f"{name} is a program" in capfd.readouterr().err
    assert not (here / "ran").exists()
    # The files do what the test says of them.
    run(["evaluate", *WORDS, name, "--trust"])
    assert (here / "ran").exists()


def test_a_trusted_program_stays_so_until_it_changes(
    here: Path, gancli_home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (gancli_home / "trusted").unlink()
    assert "tiny.pt is a program" in evaluate(capfd, *WORDS, "tiny.pt", code=2)["err"]
    first = evaluate(capfd, *WORDS, "tiny.pt", "--trust")
    evaluate(capfd, *WORDS, "tiny.pt", "--trust")
    assert len((gancli_home / "trusted").read_text().splitlines()) == 1
    (here / "tiny.pt").rename(here / "other.pt")
    assert evaluate(capfd, *WORDS, "other.pt")["metrics"] == first["metrics"]
    torch.jit.save(torch.jit.script(Writer()), here / "other.pt")
    assert "other.pt is a program" in evaluate(capfd, *WORDS, "other.pt", code=2)["err"]


@pytest.mark.slow
def test_a_run_is_measured_with_a_trusted_program(
    here: Path, gancli_home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (gancli_home / "trusted").unlink()
    small = ["--set", "model.generator_width=4", "--set", "model.discriminator_width=4", "--set", "train.samples=1"]
    words = ["train", "dcgan-shapes", "--data", "shapes", *small, "--batch", "8", "--resolution", "32", "--name", "a"]
    words += ["--steps", "1", "--eval", "fid:1", "--set", "train.evaluate.features=tiny.pt"]
    words += ["--set", "train.evaluate.images=20"]
    assert run(words) == 2
    assert run([*words, "--trust"]) == 0, capfd.readouterr().err
    assert (here / "runs/a/best").is_dir()
    (gancli_home / "trusted").unlink()
    assert run(["resume", "runs/a", "--steps", "2"]) == 2
    assert run(["resume", "runs/a", "--steps", "2", "--trust"]) == 0, capfd.readouterr().err


def test_weights_that_torch_hub_would_unpickle_are_checked(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(here / "hub"))
    place = here / "hub/checkpoints/dinov2_vitl14_pretrain.pth"
    place.parent.mkdir(parents=True)
    place.write_bytes(pickle.dumps(Command()))
    err = evaluate(capfd, *WORDS, "dinov2", code=2)["err"]
    assert f"{place} is not the weights of dinov2" in err
