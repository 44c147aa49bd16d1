"""tools/official.py: what it refuses, and its verdict on numbers. No official code is played here."""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gancli.errors import GancliError

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import games
import official


def settings(checkout: Path, **given: object) -> argparse.Namespace:
    chosen = {"architecture": "dcgan", "checkout": checkout, "networks": False, "steps": None, "write": False}
    return argparse.Namespace(**{**chosen, "tensorflow": sys.executable, **given})


def test_other_folders_are_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(GancliError, match=r"not a checkout of pytorch/examples: it has no dcgan/main.py") as refusal:
        official.main(settings(tmp_path))
    assert refusal.value.hint == "git clone https://github.com/pytorch/examples, and give that folder"
    script = tmp_path / "dcgan" / "main.py"
    script.parent.mkdir()
    script.write_text("")
    with pytest.raises(GancliError, match="its commit is unknown"):
        official.main(settings(tmp_path))


def test_the_origin_is_a_commit_without_changes(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *who, "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    (tmp_path / "model.py").write_text("width = 64\n")
    git("init")
    git("add", ".")
    git("commit", "-m", "all", "--date", "2019-10-15T12:00:00")
    known = official.origin(tmp_path, "someone/gan", ("model.py",))
    assert known["repository"] == "https://github.com/someone/gan"
    assert len(known["commit"]) == 40
    (tmp_path / "model.py").write_text("width = 32\n")
    with pytest.raises(GancliError, match=r"differ from its commit:\s+M model.py"):
        official.origin(tmp_path, "someone/gan", ("model.py",))


def test_networks_are_recorded_of_some(tmp_path: Path) -> None:
    with pytest.raises(GancliError, match="--networks: none of dcgan are recorded"):
        official.main(settings(tmp_path, networks=True))


@pytest.mark.parametrize(
    ("name", "wrong", "fails"),
    [
        ("step 1: D", 1e-4, [False, True]),  # a loss, within 1e-3
        ("step 1: D", float("nan"), [False, True]),
        ("step 1: discriminator moved", 0.05, [False, False]),  # within 0.1 of the largest element, which is 2
        ("step 1: discriminator moved", 0.3, [False, True]),
        ("D(x)", 0.05, [False, True]),  # an output, within 1e-9 whatever the game
    ],
)
def test_deviations_are_relative_to_the_largest_element(
    name: str, wrong: float, fails: list[bool], capsys: pytest.CaptureFixture[str]
) -> None:
    game = replace(games.dcgan()["64 px"], tolerance=0.1, loss_tolerance=1e-5)
    value = torch.tensor(1.0) if name == "step 1: D" else torch.tensor([0.5, -2.0])
    rows = official.compare("case", game, {"G(z)": value, name: value}, {"G(z)": value, name: value + wrong})
    assert [row.fails for row in rows] == fails
    assert rows[0].deviation == 0
    assert ("too much" in capsys.readouterr().out) == any(fails)
