"""gancli models, as users type it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gancli.cli.app import run


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
