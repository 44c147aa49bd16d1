"""Coverage of the built-in shapes and points."""

from __future__ import annotations

import math
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tasks import task

from gancli.data.shapes import KINDS, Drawn
from gancli.data.toy import MIXTURES, draw
from gancli.errors import GancliError
from gancli.metrics.coverage import Coverage
from gancli.metrics.images import Part


def coverage(location: str, *parts: NDArray[Any]) -> dict[str, float]:
    metric = Coverage(SimpleNamespace(real=SimpleNamespace(images=SimpleNamespace(name=location))))  # type: ignore[arg-type]
    for part in parts:
        metric.see_made(Part(np.arange(len(part)), part), None)
    return metric.values(task(), "")


def test_coverage_of_the_shapes_themselves_is_complete() -> None:
    covered = partial(coverage, "shapes")
    shapes = Drawn("shapes")
    every = np.stack([shapes.read(index, 3, 48) for index in range(72)])
    assert covered(every) == {"recognised": 1, "modes": 36, "evenness": pytest.approx(1)}
    half = covered(np.concatenate([every[:: len(KINDS)], every[:: len(KINDS)]]))
    assert half["modes"] == 6
    assert half["evenness"] == pytest.approx(math.log(6) / math.log(36))
    assert covered(np.full((4, 48, 48, 3), 30, np.uint8)) == {"recognised": 0, "modes": 0, "evenness": 0}


def test_coverage_of_points_counts_modes_and_samples_within_three_standard_deviations() -> None:
    ring = MIXTURES["toy:ring"]
    near, far = (ring.means[:7] + np.array([0, away * ring.std]) for away in (2.9, 3.1))
    seven = coverage("toy:ring", near, far)
    assert seven == {"recognised": 0.5, "modes": 7, "evenness": pytest.approx(math.log(7) / math.log(8))}
    assert coverage("toy:ring", far) == {"recognised": 0, "modes": 0, "evenness": 0}
    one = coverage("toy:ring", near[:1].repeat(5, axis=0), np.full((5, 2), np.nan))
    assert one == {"recognised": 0.5, "modes": 1, "evenness": 0}
    for location, modes in (("toy:ring", 8), ("toy:grid", 25), ("toy:two-gaussians", 2)):
        itself = coverage(location, draw(location, 0, 5000))
        assert itself["recognised"] == pytest.approx(0.989, abs=0.005)
        assert (itself["modes"], itself["evenness"]) == (modes, pytest.approx(1, abs=0.001))


def test_coverage_of_curves_and_other_data_is_refused() -> None:
    for location, said in (
        ("toy:moons", "toy:moons has none"),
        ("toy:swissroll", "lie along a curve"),
        ("mnist", "built-in"),
    ):
        with pytest.raises(GancliError, match=said):
            coverage(location)
