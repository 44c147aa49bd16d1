"""Training steps against those of the official code, whose numbers ``tools/official.py`` writes to ``tests/golden``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import games  # noqa: E402
import golden  # noqa: E402

OFFICIAL = {name: json.loads((ROOT / "tests" / "golden" / f"{name}.json").read_text()) for name in games.GAMES}


def assert_equals(game: golden.Game, official: dict[str, Any]) -> None:
    """Plays as many steps as the official code has, and compares every number that it left."""
    found = golden.play(game, official["steps"])
    for name, expected in official["numbers"].items():
        value, tolerance = golden.summary(found[name]), game.tolerance_of(name, found[name])
        if isinstance(expected, dict):
            assert value.keys() == expected.keys()
            assert value["shape"] == expected["shape"]
            for key in expected.keys() - {"shape"}:
                assert value[key] == pytest.approx(expected[key], rel=0, abs=tolerance * expected["largest"]), name
        else:
            assert value == pytest.approx(expected, rel=tolerance, abs=0), name


@pytest.mark.parametrize(
    ("architecture", "case"), [(name, case) for name, official in OFFICIAL.items() for case in official["cases"]]
)
def test_losses_outputs_and_steps_equal_the_official_ones(architecture: str, case: str) -> None:
    assert_equals(games.GAMES[architecture]()[case], OFFICIAL[architecture]["cases"][case])


def test_every_game_has_official_numbers_of_a_known_origin() -> None:
    for name, official in OFFICIAL.items():
        assert official["cases"].keys() == games.GAMES[name]().keys()
        assert official["official"].keys() >= {"repository", "commit", "committed", "files", "ran"}
        assert len(official["official"]["commit"]) == 40


def test_channels_last_changes_no_number() -> None:
    game = games.dcgan()["64 px"]
    game.model.to(memory_format=torch.channels_last)
    assert_equals(game, OFFICIAL["dcgan"]["cases"]["64 px"])


def test_a_wrong_step_is_noticed() -> None:
    """The tolerances are narrow enough: a loss weighed differently by a thousandth fails."""
    game = games.cyclegan()["ResNet"]
    game.model.config = game.model.config.model_copy(update={"cycle_weight_a": 10.01})
    with pytest.raises(AssertionError):
        assert_equals(game, OFFICIAL["cyclegan"]["cases"]["ResNet"])
