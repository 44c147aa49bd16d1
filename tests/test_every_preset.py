"""Every preset that comes with gancli: it is valid, named after its architecture, and its networks can be built."""

from __future__ import annotations

from pathlib import Path

import pytest

from gancli import config, registry
from gancli.data.opening import open_source
from gancli.data.source import check
from gancli.nn.init import without_weights

ROOT = Path(__file__).parents[1]
PRESETS = {name: path for name, path in registry.preset_paths().items() if path.is_relative_to(ROOT)}


def test_every_file_is_a_preset_and_every_architecture_has_one() -> None:
    files = {path.stem for path in (ROOT / "presets").iterdir()}
    assert PRESETS.keys() == files
    assert len(PRESETS) >= 16
    built_in = set(registry.architecture_names()) - registry.plugins(registry.GROUP).keys()
    # `gancli import ARCH` starts from the preset of this name, and newcomers look for ARCH-shapes, which needs no data.
    for_other_data = {"gan", "cgan", "gan-toy", "lsgan", "wgan", "wgan-gp", "r3gan"}
    assert built_in | {f"{name}-shapes" for name in built_in - for_other_data} <= files


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset(name: str) -> None:
    resolved = config.resolve(name)
    assert resolved.preset == name
    assert name == resolved.architecture or name.startswith(f"{resolved.architecture}-")
    assert 20 <= len(resolved.description) <= 100
    assert not resolved.description.endswith(".")
    kind = registry.load_architecture(resolved.architecture)
    if name.endswith("-shapes"):
        inputs = kind.inputs(resolved.model)
        assert check(open_source(str(resolved.data.source), inputs=inputs), inputs) is None
    with without_weights():
        model = kind(resolved.model, resolved.train.aids)
    assert sum(parameter.numel() for parameter in model.parameters()) > 1_000
    assert set(model.optimizers()) == set(model.players)
