"""Networks in training against the official code's numbers, which ``tools/golden.py`` makes anew from our side."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from golden import cyclegan, pix2pix, progan, stylegan, ugatit  # noqa: E402


@pytest.mark.parametrize("network", [cyclegan, pix2pix, ugatit, progan, stylegan])
def test_losses_and_two_steps_equal_the_official_ones(network: Callable[[], dict[str, dict[str, object]]]) -> None:
    expected = json.loads((ROOT / "tests" / "golden" / f"{network.__name__}.json").read_text())
    found = network()
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        for key, value in values.items():
            # Losses are kept in single precision, weights in double.
            assert found[name][key] == pytest.approx(value, rel=1e-6, abs=1e-9), (name, key)
