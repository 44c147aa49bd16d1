"""``gancli presets``: names for people and for scripts, and one preset in full."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from gancli import config, registry
from gancli.cli.app import run


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run(["presets", *words]) == 0
    return capsys.readouterr().out


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    header, *lines = shown(capsys).splitlines()
    assert header.split() == ["name", "architecture", "description"]
    assert [line.split()[0] for line in lines] == list(registry.preset_paths())
    start = header.index("description")
    assert all(line[start - 1] == " " and line[start] != " " for line in lines)


def test_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = {preset["name"]: preset for preset in json.loads(shown(capsys, "--json"))}
    assert list(found) == list(registry.preset_paths())
    assert found["dcgan-shapes"]["architecture"] == "dcgan"
    assert found["dcgan-shapes"]["description"]


def test_a_broken_preset_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dcgan-bad.yaml").write_text("a: b: c")
    paths = {**registry.preset_paths(), "dcgan-bad": tmp_path / "dcgan-bad.yaml"}
    monkeypatch.setattr(registry, "preset_paths", lambda: paths)
    assert run(["presets"]) == 0
    out, err = capsys.readouterr()
    assert err.startswith(f"warning: {tmp_path}/dcgan-bad.yaml:1: not valid YAML")
    assert "dcgan-shapes" in out
    assert "dcgan-bad" not in out


@pytest.mark.parametrize("name", registry.preset_paths())
def test_one_in_full_goes_back_into_config(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(shown(capsys, name))
    resolved = config.resolve(name)
    assert config.resolve(None, config_file=path) == resolved
    assert json.loads(shown(capsys, name, "--json")) == resolved.to_dict()
    assert max(map(len, path.read_text().splitlines())) <= 100


def comments(text: str) -> dict[str, tuple[bool, str]]:
    """By the path of a key: whether it has a star, and its comment."""
    found: dict[str, tuple[bool, str]] = {}
    path: list[str] = []
    for line in text.splitlines()[1:]:
        code, _, comment = line.partition("# ")
        if code.strip():
            depth = (len(code) - len(code.lstrip())) // 2
            path = [*path[:depth], code.strip().partition(":")[0]]
            found[".".join(path)] = (comment.startswith("*"), comment[2:])
        else:
            star, words = found[".".join(path)]
            found[".".join(path)] = (star or comment.startswith("*"), f"{words} {comment[2:]}".strip())
    return found


def test_every_key_is_explained_and_what_the_preset_sets_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    def leaves(values: object, prefix: str = "") -> set[str]:
        if not isinstance(values, dict):
            return {prefix[1:]}
        return {leaf for key, value in values.items() for leaf in leaves(value, f"{prefix}.{key}")}

    written = yaml.safe_load(registry.preset_path("dcgan-shapes").read_text())
    text = shown(capsys, "dcgan-shapes")
    found = comments(text)
    assert {path for path, (star, _) in found.items() if star} == leaves(written)
    assert [path for path, (_, words) in found.items() if not words] == []
    assert found["model.latent_dim"] == (True, "Z, components of the latent vector")
    assert found["model.optimizers.D.betas"] == (False, "decay rates of the two moments")
    # A comment is wrapped below itself, in a column of its own.
    assert found["train.average.half_life_kimg"][1].endswith("that halve the weight of the old average")
    lines = text.splitlines()[1:]
    assert len({line.index("#") for line in lines if "#" in line}) == 1
    assert "\x1b" not in text


def test_a_table_stands_on_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    lines = shown(capsys, "progan", "--keys", "train.batch").splitlines()
    assert lines[2] == "  batch: {4: 128, 32: 64, 64: 32, 128: 16, 256: 8, 512: 4}"
    assert lines[3].lstrip().startswith("# * images per step")
    assert len(lines) == 4


def test_keys_by_name_and_by_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    cycle = ["model", "model.cycle_weight_a", "model.cycle_weight_b", "model.identity_weight"]
    assert list(comments(shown(capsys, "cyclegan", "--keys", "CYCLE"))) == cycle
    assert json.loads(shown(capsys, "cyclegan", "--keys", "cycle", "--json")) == {
        "model": {"cycle_weight_a": 10, "cycle_weight_b": 10, "identity_weight": 0.5}
    }
    # A section that matches is there as a whole.
    schedule = comments(shown(capsys, "cyclegan", "--keys", "schedule"))
    assert {"train", "train.schedule", "train.schedule.gamma"} <= schedule.keys()
    assert "train.steps" not in schedule


def test_keys_that_are_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["presets", "dcgan", "--keys", "cycle"]) == 2
    assert "no key of dcgan has 'cycle' in its name or description" in capsys.readouterr().err
    assert run(["presets", "--keys", "cycle"]) == 2
    assert "--keys needs a preset" in capsys.readouterr().err


def test_a_terminal_gets_its_width(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for columns, most in (("30", 60), ("80", 80), ("300", 120)):
        monkeypatch.setenv("COLUMNS", columns)
        longest = max(map(len, shown(capsys, "cyclegan", "--keys", "data").splitlines()[1:]))
        assert most - 15 < longest <= most
