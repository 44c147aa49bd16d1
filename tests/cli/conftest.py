"""Small images and a small trained model for the tests of commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from small import SMALL, save_model

from gancli.cli.app import run
from gancli.data.opening import open_source


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 24 images."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    folder.mkdir()
    shapes = open_source("shapes").domains["image"]
    for index in range(24):
        Image.fromarray(shapes.read(index, 3, 40)).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """The model file of a short training."""
    out = tmp_path_factory.mktemp("model") / "run"
    assert run(["train", "dcgan-shapes", "--data", str(photos), "--steps", "4", "--out", str(out), *SMALL]) == 0
    return out / "model.safetensors"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model files of untrained networks."""
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "dcgan.safetensors", "dcgan")
    save_model(folder / "progan.safetensors", "progan", classes=("cat", "dog", "big cow"))
    save_model(folder / "stylegan.safetensors", "stylegan")
    save_model(folder / "stylegan3.safetensors", "stylegan", classes=("cat", "dog", "big cow"))
    return folder


@pytest.fixture
def named(here: Path, models: Path) -> None:
    """These models, found by their names in ./runs."""
    (here / "runs").symlink_to(models)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
