"""What goes wrong in a run is noticed, once each time, and nothing else; the thresholds are benchmarks/watch.py's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_aids import data, trainer

from gancli.cli.app import run
from gancli.training.watch import ADVICE, EPISODE, Watch, diversity, swings

GOOD = {"D loss": 0.5, "D right": 0.9, "G gradient": 1.0}
GRID = {"samples": 20.0, "data": 40.0}


def taken(*values: dict[str, float], watch: Watch | None = None) -> list[str]:
    watch = watch if watch is not None else Watch(64)
    return [found for each in values for found in watch.take(each)]


@pytest.mark.parametrize(
    ("bad", "name", "needed"),
    [
        ({**GOOD, "D loss": 0.009}, "D has won", 5),
        ({**GOOD, "G gradient": 0.9e-3}, "vanishing gradients", 5),
        ({"samples": 1.9, "data": 40.0}, "mode collapse", 3),
    ],
)
def test_an_episode_begins_once_and_after_a_while_anew(bad: dict[str, float], name: str, needed: int) -> None:
    good = GRID if "samples" in bad else GOOD
    watch = Watch(64)
    assert taken(GOOD, *[bad] * (needed - 1), good, watch=watch) == []
    assert taken(*[bad] * needed, watch=watch) == [name]
    assert taken(*[bad] * 30, *[good] * (EPISODE // 2), *[bad] * needed, watch=watch) == []
    assert taken(*[good] * EPISODE, watch=watch) == []
    assert taken(*[bad] * needed, watch=watch) == [name]
    assert name in ADVICE


def test_oscillation_is_a_lead_that_changes_sides() -> None:
    def rights(*shares: float) -> list[dict[str, float]]:
        return [{**GOOD, "D right": share} for share in shares]

    assert taken(*rights(0.9, 0.1, 0.5, 0.9, 0.1, 0.9)) == []
    assert taken(*rights(0.9, 0.1, 0.5, 0.9, 0.1, 0.6, 0.9, 0.2)) == ["oscillation"]
    assert taken(*rights(*[0.95, 0.4] * 20, *[0.05] * 20)) == []
    assert swings([0.8, 0.2, 0.21, 0.79, 0.2, 1.0], 0.3) == 2
    # Ten pairs are as often on one side if D only guesses.
    assert Watch(10).lead > 0.4


def test_values_that_are_missing_are_no_alarm() -> None:
    # An unbounded loss of D, a player that rests, and lines without anything.
    assert taken(*[{"D right": 1.0}] * 20, *[{"G gradient": 1.0}] * 20, *[{"D gradient": 0.0}] * 20, {}) == []
    few = {"samples": 1.0, "data": 3.0}  # data that hardly differ themselves
    assert taken(*[few] * 10) == []


def test_diversity_counts_different_items() -> None:
    torch.manual_seed(0)
    centres = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, -1.0], [-1.0, 0.0]])
    points = centres.repeat(32, 1) + 0.01 * torch.randn(128, 2)
    for modes in (1, 2, 4):
        shown = diversity([{"sample": centres[:modes].repeat(128 // modes, 1)}], points)
        assert shown["samples"] == pytest.approx(modes, abs=0.2)
        assert shown["data"] == pytest.approx(4, abs=0.2)
    images = torch.rand(64, 3, 32, 32).round()
    assert diversity([{"a": images[:10], "b": images[10:20]}], images[:20])["samples"] > 15
    assert diversity([{"a": images[:1].expand(64, -1, -1, -1)}], images)["samples"] == 1


def test_diversity_of_items_that_are_the_same_or_not_numbers() -> None:
    points = torch.zeros(20, 2)
    points[0] = 1.0  # most pairs are equal, so the median distance is 0
    assert diversity([{"sample": points}], points) == {"samples": 1.22, "data": 1.22}
    assert diversity([{"sample": points * torch.nan}], points) == {}
    assert diversity([{"sample": points[:1]}], points) == {}


def test_a_run_on_equal_images_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("same.npz", images=np.full((12, 16, 16), 100, np.uint8))
    sets = ["--set", "model.generator_width=4", "--set", "model.discriminator_width=4", "--set", "model.channels=1"]
    sets += ["--set", "train.log_every=1", "--set", "train.sample_every=1"]
    typed = ["train", "dcgan", "--data", "same.npz", "--resolution", "32", "--steps", "2", "--batch", "4", *sets]
    assert run([*typed, "--name", "same"]) == 0
    record = json.loads(Path("runs/same/log.jsonl").read_text().splitlines()[-1])
    assert record["watch"]["data"] == 1


@pytest.mark.parametrize("aids", [{}, {"label_smoothing": 0.3}])
def test_a_step_records_what_d_says_in_the_last_round_of_a_line(aids: dict[str, float]) -> None:
    made = trainer("gan", aids=aids, log_every=3)
    names = [set(made.update.meter.sums)]
    for _ in range(3):
        made.play_round(data(made))
        names.append({name for name in made.update.meter.sums if name.startswith("watch ")})
    assert names[:3] == [set()] * 3
    assert names[3] == {f"watch {name}" for name in ("D loss", "D right", "D gradient", "G gradient")}
    model = made.architecture
    for scores, loss, right in ((8.0, 0.0, 1.0), (0.0, 1.0, 0.0), (-2.0, 3.0, 0.0)):
        made.update.meter.clear()
        model.objective.d(torch.full((4,), scores), torch.full((4,), -scores))
        found = made.update.meter.read()
        assert found["watch D loss"] == pytest.approx(loss, abs=0.1)
        assert found["watch D right"] == right


def log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_a_run_that_fails_says_so_once_and_also_when_it_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    points = 4 * torch.randn(200, 2) + 10  # G is far away and does not move
    np.save(tmp_path / "points.npy", points.numpy())
    sets = [
        "model.objective=vanilla",
        "model.optimizers={D: {lr: 2e-2}, G: {lr: 1e-6}}",
        "train.log_every=20",
        "train.sample_every=50",
    ]
    sets += ["train.batch=16", "train.samples=64", "train.checkpoint_every=300"]
    words = [word for each in sets for word in ("--set", each)]
    assert run(["train", "gan-toy", "--data", "points.npy", "--steps", "300", "--name", "run", *words]) == 0
    err = " ".join(capfd.readouterr().err.split())
    assert err.count("D has won: it tells all reals from all fakes; lower model.optimizers.D.lr") == 1
    assert err.count("mode collapse: the samples hardly differ") == 1
    lines = log(tmp_path / "runs/run")
    assert all({"D loss", "D right", "G gradient"} <= line["watch"].keys() for line in lines)
    assert [line["step"] for line in lines if "samples" in line["watch"]] == [60, 120, 160, 220, 260]
    assert run(["resume", "run", "--steps", "400"]) == 0
    assert "D has won" not in capfd.readouterr().err  # it still has
    assert run(["train", "gan-toy", "--data", "points.npy", "--steps", "20", "--name", "off", *words,
                "--set", "train.watch=false"]) == 0  # fmt: skip
    assert not any("watch" in line for line in log(tmp_path / "runs/off"))
