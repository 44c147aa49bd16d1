"""gancli data, models and import, as users type them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gancli.cli.app import run


def test_data_says_what_is_there_and_what_is_broken(
    here: Path, photos: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for kind in ("cats", "dogs", "cows"):
        shutil.copytree(photos, here / "set" / kind)
    (here / "set/cats/bad.png").write_text("no picture")
    Image.new("L", (50, 30)).save(here / "set/dogs/grey.png")
    assert run(["data", "set"]) == 0
    out = capfd.readouterr().out
    for said in (
        "class folders",
        "74",
        "2 sizes from 50 x 30 to 40 x 40 px",
        "72 colour, 1 grey",
        "3: cats, cows, dogs",
        "bad.png",
        "dcgan: can train",
    ):
        assert said in out, said
    assert run(["data", "set", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["domains"][0]["images"] == 74
    assert [bad["name"].endswith("bad.png") for bad in report["bad"]] == [True]
    assert report["classes"] == ["cats", "cows", "dogs"]
    assert report["architectures"]["dcgan"] is None


def test_two_folders_numbered_alike_are_pairs_or_two_classes(
    here: Path, photos: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for kind in ("cats", "dogs"):
        shutil.copytree(photos, here / "set" / kind)
    assert run(["data", "set", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["paired"]
    assert report["architectures"]["dcgan"] is None
    assert run(["train", "dcgan-shapes", "--data", "set", "--dry-run"]) == 0
    out, err = capfd.readouterr()
    assert "class folders, 48 images" in out
    assert "read as two classes" in err


def test_data_says_why_an_architecture_cannot_train(capfd: pytest.CaptureFixture[str], real_data: Path) -> None:
    assert run(["data", str(real_data / "monet2photo"), "--split", "test", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert [(domain["name"], domain["images"]) for domain in report["domains"]] == [("monet", 21), ("photo", 21)]
    assert "two domains" in report["architectures"]["dcgan"]


@pytest.mark.parametrize(
    ("source", "said"),
    [("nothing", "'nothing' does not exist"), ("mnits", "did you mean 'mnist'?"), ("empty", "empty")],
)
def test_data_that_are_none(here: Path, source: str, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "empty").mkdir()
    assert run(["data", source]) == 2
    assert said in capfd.readouterr().err


def test_models_are_listed_and_shown(here: Path, model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["models"]) == 0
    assert "no models in" in capfd.readouterr().err
    (here / "runs/horses").mkdir(parents=True)
    shutil.copy(model, here / "runs/horses/model.safetensors")
    (here / "runs/broken").mkdir()
    (here / "runs/broken/model.safetensors").write_text("nothing")
    assert run(["models"]) == 0
    out, err = capfd.readouterr()
    assert "horses" in out
    assert "32 px, RGB" in out
    assert "warning: runs/broken/model.safetensors is not a model file" in err
    assert run(["models", "--json"]) == 0
    (listed,) = json.loads(capfd.readouterr().out)
    assert (listed["name"], listed["images"]) == ("horses", {"image": {"channels": 3, "height": 32, "width": 32}})
    assert run(["models", "horses", "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert (shown["architecture"], shown["step"], shown["config"]["model"]["resolution"]) == ("dcgan", 4, 32)
    assert run(["models", "horses"]) == 0
    assert "architecture: dcgan" in capfd.readouterr().out


def official(path: Path) -> None:
    """A 32 px generator in the layout of pytorch/examples."""
    state = {}
    for index, (inner, outer) in enumerate(((6, 16), (16, 8), (8, 4), (4, 3))):
        state[f"main.{3 * index}.weight"] = torch.randn(inner, outer, 4, 4) * 0.1
        if index < 3:
            for name, value in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
                state[f"main.{3 * index + 1}.{name}"] = torch.full((outer,), float(value))
    torch.save(state, path)


def test_import_then_sample_by_name(here: Path, gancli_home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    official(here / "netG_epoch_24.pth")
    assert run(["import", "dcgan", "netG_epoch_24.pth"]) == 0
    written = gancli_home / "models/netG_epoch_24.safetensors"
    assert capfd.readouterr().out == f"{written}\n"
    assert run(["import", "dcgan", "netG_epoch_24.pth"]) == 2
    assert "exists already" in capfd.readouterr().err
    assert run(["import", "dcgan", "netG_epoch_24.pth", "--name", "faces"]) == 0
    assert run(["sample", "faces", "-n", "2", "-o", "two.npy"]) == 0
    assert np.load("two.npy").shape == (2, 3, 32, 32)
    assert run(["import", "dcgan", "netG_epoch_24.pth", "-o", "here.safetensors"]) == 0
    assert (here / "here.safetensors").read_bytes() == written.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dcgan", "missing.pth"], "missing.pth"),
        (["dcgan", "text.pth"], "text.pth is not a PyTorch checkpoint"),
        (["dcgann", "g.pth"], "dcgann"),
        (["dcgan", "g.pth", "--name", "../x"], "'../x'"),
        (["dcgan", "g.pth", "--name", "x", "-o", "x.safetensors"], "--name and -o"),
        (["dcgan", "g.pth", "-o", "x.pth"], "-o x.safetensors"),
    ],
)
def test_import_of_what_cannot_be(
    here: Path, arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    official(here / "g.pth")
    (here / "text.pth").write_text("no checkpoint")
    assert run(["import", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert sorted(p.name for p in here.iterdir()) == ["g.pth", "text.pth"]
