"""Toy games of another package at the command line: points, label maps, attributes, and classes that the data count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gancli
from gancli import registry
from gancli.cli.app import run
from gancli.generation.plots import BOTTOM, LEFT, RIGHT, SAMPLE_COLOUR, SIDE, TOP
from gancli.modelfile import load_tensors, read_info

TOYS = {"toy-2d": "Toy2D", "spectral": "Spectral", "attributes": "Attributes", "layouts": "Layouts"}


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gancli_home: Path) -> Iterator[Path]:
    """The toys as entry points, and the working directory."""
    info = tmp_path / "toys-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 0.1\n")
    points = "".join(f"{name} = toys:{kind}\n" for name, kind in TOYS.items())
    (info / "entry_points.txt").write_text(f"[gancli.architectures]\n{points}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    registry.plugins.cache_clear()
    yield tmp_path
    registry.plugins.cache_clear()


def ring() -> str:
    angles = np.random.default_rng(0).uniform(0, 2 * np.pi, 64)
    np.save("ring.npy", np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32))
    return "ring.npy"


def labelled() -> str:
    generator = np.random.default_rng(0)
    for name in ("cat", "dog", "horse"):
        Path("animals", name).mkdir(parents=True)
        for index in range(4):
            Image.fromarray(generator.integers(0, 256, (6, 6), np.uint8)).save(f"animals/{name}/{index}.png")
    return "animals"


def attributes() -> str:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (16, 6, 6, 3), np.uint8)
    np.savez("faces.npz", images=images, labels=generator.integers(0, 2, (16, 5)).astype(np.float32))
    return "faces.npz"


def label_maps() -> str:
    generator = np.random.default_rng(0)
    for side in ("label", "photo"):
        Path("maps", side).mkdir(parents=True)
    for index in range(8):
        ids = Image.fromarray(generator.integers(0, 3, (6, 6), np.uint8), mode="P")
        ids.putpalette([250, 0, 0, 0, 250, 0, 0, 0, 250])
        ids.save(f"maps/label/{index}.png")
        Image.fromarray(generator.integers(0, 256, (6, 6, 3), np.uint8)).save(f"maps/photo/{index}.png")
    return "maps"


DATA: dict[str, Callable[[], str]] = {
    "toy-2d": ring,
    "spectral": labelled,
    "attributes": attributes,
    "layouts": label_maps,
}


def train(name: str, *more: str) -> int:
    Path("run.yaml").write_text(
        f"architecture: {name}\n"
        "train: {steps: 4, batch: 4, samples: 4, checkpoint_every: 2, average: {decay: 0.9}}\n"
    )
    return run(["train", "--config", "run.yaml", "--data", DATA[name](), "--name", "r", "--device", "cpu", *more])


@pytest.mark.parametrize("name", TOYS)
def test_every_kind_of_data_is_planned_trained_and_resumed(
    toys: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert train(name) == 0, capfd.readouterr().err
    assert Path("runs/r/samples/00000004.png").is_file()
    whole = load_tensors(Path("runs/r/model.safetensors"))
    info = read_info(Path("runs/r/model.safetensors"))
    kinds = [domain.kind for domain in info.inputs.domains.values()]
    assert kinds == {"toy-2d": ["points"], "layouts": ["mask", "image"]}.get(name, ["image"])
    assert info.inputs.classes == {"spectral": 3, "attributes": 5}.get(name)
    assert run(["train", "--config", "runs/r/config.yaml", "--name", "cut", "--steps", "2", "--device", "cpu"]) == 0
    assert run(["resume", "cut", "--steps", "4", "--device", "cpu"]) == 0
    resumed = load_tensors(Path("runs/cut/model.safetensors"))
    assert [name for name, value in whole.items() if not value.equal(resumed[name])] == []
    capfd.readouterr()
    assert run(["train", "--config", "runs/r/config.yaml", "--dry-run"]) == 0
    planned = capfd.readouterr().out
    assert "4 steps" in planned
    # 4 steps of 5 batches of 4 points are 80, of 64; all others draw one batch a step.
    epochs = {"toy-2d": "1.25", "spectral": "1.33", "attributes": "1", "layouts": "2"}[name]
    assert f", {epochs} epoch" in planned


def test_points_are_sampled_into_arrays_and_plots(toys: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train("toy-2d") == 0
    assert run(["sample", "r", "-n", "100", "-o", "points.npy", "--device", "cpu"]) == 0
    points = np.load("points.npy")
    assert points.shape == (100, 2)
    assert run(["sample", "r", "-n", "100", "-o", "plot.png", "--device", "cpu"]) == 0
    plot = np.asarray(Image.open("plot.png"))
    assert plot.shape == (TOP + SIDE + BOTTOM, LEFT + SIDE + RIGHT, 3)
    assert 9 <= (plot == SAMPLE_COLOUR).all(axis=2).sum() <= 900  # dots of 3 x 3, some on top of others
    assert run(["sample", "r", "-n", "9", "-o", "folder", "--device", "cpu"]) == 2
    assert "points have one plot together" in capfd.readouterr().err
    assert run(["interpolate", "r", "--frames", "2", "-o", "film.mp4", "--device", "cpu"]) == 2
    assert "makes points, which are not images" in capfd.readouterr().err
    assert not Path("folder").exists()
    assert not Path("film.mp4").exists()
    model = gancli.load("r", device="cpu")
    assert (np.stack(model.sample(range(100), as_arrays=True)) == points).all()
    with pytest.raises(gancli.GancliError, match="makes points, which are not images") as caught:
        model.sample([0])
    assert caught.value.hint == "as_arrays=True"


def test_classes_are_counted_in_the_data_and_sampled_by_name(toys: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train("spectral") == 0
    assert run(["sample", "r", "--class", "dog", "-n", "2", "-o", "dogs.npy", "--device", "cpu"]) == 0
    assert np.load("dogs.npy").shape == (2, 1, 4, 4)
    assert run(["train", "--config", "runs/r/config.yaml", "--data", label_maps(), "--name", "other"]) == 2
    assert "made for 3 classes, but maps has 2" in capfd.readouterr().err


@pytest.mark.parametrize(("name", "said"), [("attributes", "into attributes"), ("layouts", "label maps")])
def test_translate_refuses_what_it_cannot_give_to_a_network(
    toys: Path, name: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert train(name) == 0
    Image.new("RGB", (6, 6)).save("face.png")
    assert run(["translate", "r", "face.png", "--device", "cpu"]) == 2
    assert f"error: r translates {said}, which cannot be" in capfd.readouterr().err
