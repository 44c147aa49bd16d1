"""How many modes of the built-in ``shapes`` were made, and how evenly."""

from __future__ import annotations

import numpy as np

from gancli.data.shapes import COLOURS, KINDS, RECOGNISED, recognise
from gancli.errors import GancliError
from gancli.metrics.base import Metric, Task, Values
from gancli.metrics.images import Part

MODES = len(KINDS) * len(COLOURS)


class Coverage(Metric):
    name = "coverage"
    title = f"of the built-in shapes: share recognised, number of the {MODES} modes, evenness (1: all equally often)"
    better = "higher"

    def __init__(self, task: Task) -> None:
        location = "" if task.real is None else task.real.images.name
        if location not in ("shapes", "shapes:classes"):
            raise GancliError(
                "coverage counts the modes of the built-in shapes", "--data shapes, or leave out 'coverage'"
            )
        self._found = np.zeros(MODES, np.int64)
        self._count = 0

    def see_made(self, part: Part, pair: Part | None) -> None:
        if part.pixels.shape[3] != 3 or part.pixels.shape[1] != part.pixels.shape[2]:
            raise GancliError("coverage needs square RGB images", "leave out 'coverage'")
        seen = recognise(part.pixels)
        sure = seen.confidence >= RECOGNISED
        modes = seen.kind[sure] * len(COLOURS) + seen.colour[sure]
        self._found += np.bincount(modes, minlength=MODES)
        self._count += len(part)

    def values(self, task: Task, extractor: str) -> Values:
        share = self._found[self._found > 0] / max(1, self._found.sum())
        return {
            "recognised": float(self._found.sum() / self._count),
            "modes": float((self._found > 0).sum()),
            "evenness": float((share * np.log(1 / share)).sum() / np.log(MODES)),
        }
