"""Coverage of the built-in shapes."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray
from tasks import task

from gancli.data.shapes import KINDS, Drawn
from gancli.metrics.coverage import Coverage
from gancli.metrics.images import Part


def test_coverage_of_the_shapes_themselves_is_complete() -> None:
    def covered(pixels: NDArray[np.uint8]) -> dict[str, float]:
        metric = Coverage(SimpleNamespace(real=SimpleNamespace(images=SimpleNamespace(name="shapes"))))  # type: ignore[arg-type]
        metric.see_made(Part(np.arange(len(pixels)), pixels), None)
        return metric.values(task(), "")

    shapes = Drawn("shapes")
    every = np.stack([shapes.read(index, 3, 48) for index in range(72)])
    assert covered(every) == {"recognised": 1, "modes": 36, "evenness": pytest.approx(1)}
    half = covered(np.concatenate([every[:: len(KINDS)], every[:: len(KINDS)]]))
    assert half["modes"] == 6
    assert half["evenness"] == pytest.approx(math.log(6) / math.log(36))
    assert covered(np.full((4, 48, 48, 3), 30, np.uint8)) == {"recognised": 0, "modes": 0, "evenness": 0}
