"""The 2-D toy from the command line: trained, watched, filmed, resumed, sampled and measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gancli.cli.app import run
from gancli.generation.plots import BOTTOM, HIGH, LEFT, LOW, RIGHT, SAMPLE_COLOUR, SIDE, TOP
from gancli.training import journal

PANEL = (LEFT + SIDE + RIGHT, TOP + SIDE + BOTTOM)
SMALL = ("--set", "train.sample_every=25", "--set", "train.samples=200", "--device", "cpu")


def train(name: str, *more: str) -> None:
    assert run(["train", "gan-toy", "--name", name, "--steps", "100", *SMALL, *more]) == 0


def frames(path: Path) -> int:
    with Image.open(path) as film:
        return int(getattr(film, "n_frames", 1))


def test_a_run_is_watched_filmed_resumed_sampled_and_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    train("r", "--eval", "coverage:50", "--set", "train.evaluate.images=50")
    shown = capfd.readouterr()
    assert shown.out.splitlines() == ["runs/r"]
    assert "film of the training runs/r/samples/training.webp" in shown.err
    samples = Path("runs/r/samples")
    pictures = sorted(samples.glob("*.png"))
    assert [int(path.stem) for path in pictures] == [25, 50, 75, 100]
    for path in pictures:
        pixels = np.asarray(Image.open(path))
        assert pixels.shape == (PANEL[1], 2 * PANEL[0], 3)  # D, and the best D
        for panel in (0, PANEL[0]):
            square = pixels[TOP : TOP + SIDE, panel + LEFT : panel + LEFT + SIDE]
            assert 9 < (square == SAMPLE_COLOUR).all(axis=2).sum() <= 200 * 9
        assert (square == np.rint(HIGH)).all(axis=2).any()  # a part of the ring without samples
        assert (square == np.rint(LOW)).all(axis=2).any()
    assert frames(samples / "training.webp") == 4
    assert Image.open(samples / "training.webp").size == (2 * PANEL[0], PANEL[1])
    log = [json.loads(line) for line in Path("runs/r/log.jsonl").read_text().splitlines()]
    measured = [record for record in log if "modes" in record]
    assert [record["step"] for record in measured] == [50, 100]
    assert all(0 <= record["recognised"] <= 1 and record["modes"] <= 8 for record in measured)

    monkeypatch.setattr(journal, "FRAMES", 3)
    Image.new("RGB", (9, 9)).save(samples / "00000000.png")  # of another size: no part of the film
    assert run(["resume", "r", "--steps", "125", "--device", "cpu"]) == 0
    assert (samples / "00000125.png").is_file()
    assert frames(samples / "training.webp") == 3

    assert run(["sample", "r", "-n", "40", "-o", "points.npy", "--device", "cpu"]) == 0
    points = np.load("points.npy")
    assert (points.shape, points.dtype) == ((40, 2), np.float32)
    capfd.readouterr()
    assert run(["sample", "r", "-n", "40", "--device", "cpu"]) == 0
    assert capfd.readouterr().out == "r-seeds0-39.png\n"
    plot = np.asarray(Image.open("r-seeds0-39.png"))
    assert plot.shape == (PANEL[1], PANEL[0], 3)
    assert (plot[TOP + 5 : TOP + SIDE - 5, LEFT + 5 : LEFT + SIDE - 5] == 0).all(axis=2).sum() > 8  # the data

    assert run(["evaluate", "r", "--metrics", "coverage", "-n", "100", "--json", "--device", "cpu"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["metrics"]["coverage"].keys() == {"recognised", "modes", "evenness"}
    assert report["protocol"]["made"]["images"] == 100
    assert report["protocol"]["real"]["name"] == "toy:ring"
    for words, said in {
        ("r",): "fid cannot judge points",
        ("r", "--metrics", "coverage", "--data", "toy:moons"): "toy:moons has none",
        ("r", "--metrics", "coverage", "--data", "shapes"): "it needs points, but shapes holds images",
    }.items():
        assert run(["evaluate", *words, "--device", "cpu"]) == 2
        assert said in capfd.readouterr().err


def test_points_of_other_programs_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["data", "toy:grid", "-n", "100", "-o", "grid.npy"]) == 0
    np.savez("mine.npz", points=np.concatenate([np.load("grid.npy"), np.full((100, 2), 0.2)]))
    capfd.readouterr()
    assert run(["evaluate", "mine.npz", "--data", "toy:grid", "--metrics", "coverage", "--json"]) == 0
    values = json.loads(capfd.readouterr().out)["metrics"]["coverage"]
    assert values["modes"] == 25
    assert 0.47 <= values["recognised"] <= 0.5
    np.savez("three.npz", points=np.zeros((4, 3)))
    for words, said in {
        ("three.npz", "--data", "toy:grid"): "three.npz holds points of 3 numbers, but toy:grid holds points of 2",
        ("mine.npz", "--data", "shapes"): "mine.npz holds points of 2 numbers, but shapes holds images",
    }.items():
        assert run(["evaluate", *words, "--metrics", "coverage"]) == 2
        assert said in capfd.readouterr().err


def test_data_reports_and_draws_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["data", "toy:two-gaussians"]) == 0
    lines = [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]
    assert "layout built-in points: two Gaussians" in lines
    assert "architecture gan-toy: can train on it" in lines
    assert run(["data", "toy:two-gaussians", "-o", "points.png"]) == 0
    plot = np.asarray(Image.open("points.png"))
    assert plot.shape == (PANEL[1], PANEL[0], 3)
    square = plot[TOP : TOP + SIDE, LEFT : LEFT + SIDE]
    drawn = (square == SAMPLE_COLOUR).all(axis=2)
    middle = drawn[:, 140:160].mean()
    assert drawn[100:200, 40:140].mean() > 10 * middle  # two clouds, left and right
    assert drawn[100:200, 160:260].mean() > 10 * middle
    assert run(["data", "toy:two-gaussians", "-n", "5", "-o", "points.npy"]) == 0
    assert np.load("points.npy").shape == (5, 2)
    assert run(["data", "toy:two-gaussians", "-o", "folder/"]) == 2
    assert "points have one plot together" in capfd.readouterr().err
    assert run(["data", "toy"]) == 2
    assert "toy:ring, toy:grid, toy:swissroll, toy:two-gaussians, toy:moons" in capfd.readouterr().err
    np.save("toy.npy", np.zeros((3, 2)))
    assert run(["data", "./toy.npy"]) == 0
