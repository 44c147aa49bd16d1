"""``gancli presets``: names for people and for scripts, and one preset in full."""

from __future__ import annotations

import json

import pytest
import yaml

from gancli import registry
from gancli.cli.app import run


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["presets"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["name", "architecture", "description"]
    assert [line.split()[0] for line in lines] == list(registry.preset_paths())
    start = header.index("description")
    assert all(line[start - 1] == " " and line[start] != " " for line in lines)


def test_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["presets", "--json"]) == 0
    found = {preset["name"]: preset for preset in json.loads(capsys.readouterr().out)}
    assert list(found) == list(registry.preset_paths())
    assert found["dcgan-shapes"]["architecture"] == "dcgan"
    assert found["dcgan-shapes"]["description"]


@pytest.mark.parametrize("name", registry.preset_paths())
def test_one_in_full(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    written = yaml.safe_load(registry.preset_path(name).read_text())
    assert run(["presets", name]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert run(["presets", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(shown))  # keys are text in JSON
    assert shown["model"]["resolution"] == written["model"]["resolution"]
    assert shown["train"]["batch"] == written["train"]["batch"]
    assert set(shown["train"]) > set(written["train"])


def test_one_in_full_can_be_used_as_a_config(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    from gancli import config

    run(["presets", "dcgan-shapes"])
    path = tmp_path / "config.yaml"
    path.write_text(capsys.readouterr().out)
    assert config.resolve(None, config_file=path) == config.resolve("dcgan-shapes")
