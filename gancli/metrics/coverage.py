"""How many modes of built-in data were made, and how evenly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gancli.data import toy
from gancli.data.shapes import COLOURS, KINDS, RECOGNISED, recognise
from gancli.errors import GancliError
from gancli.metrics.base import Metric, Task, Values
from gancli.metrics.images import Part


class Coverage(Metric):
    name = "coverage"
    title = "of built-in shapes or points: share recognised, number of modes, evenness (1: all equally often)"
    better = "higher"
    kinds = ("image", "points")

    def __init__(self, task: Task) -> None:
        location = "" if task.real is None else task.real.images.name
        if location in toy.CURVES:
            raise GancliError(
                f"coverage counts modes, but {location} has none: its points lie along a curve",
                f"--data {', '.join(toy.MIXTURES)}, or leave out 'coverage'",
            )
        self._modes: Callable[[NDArray[Any]], NDArray[np.int64]] = _modes_of_shapes
        modes = len(KINDS) * len(COLOURS)
        if location in toy.MIXTURES:
            self._modes, modes = toy.MIXTURES[location].modes, len(toy.MIXTURES[location].means)
        elif location not in ("shapes", "shapes:classes"):
            known = ", ".join(("shapes", *toy.MIXTURES))
            raise GancliError("coverage counts the modes of built-in data", f"--data {known}, or leave out 'coverage'")
        self._found = np.zeros(modes, np.int64)
        self._count = 0

    def see_made(self, part: Part, pair: Part | None) -> None:
        modes = self._modes(part.pixels)
        self._found += np.bincount(modes[modes >= 0], minlength=len(self._found))
        self._count += len(part)

    def values(self, task: Task, extractor: str) -> Values:
        share = self._found[self._found > 0] / max(1, self._found.sum())
        return {
            "recognised": float(self._found.sum() / self._count),
            "modes": float((self._found > 0).sum()),
            "evenness": float((share * np.log(1 / share)).sum() / np.log(len(self._found))),
        }


def _modes_of_shapes(pixels: NDArray[Any]) -> NDArray[np.int64]:
    """Returns the number of the mode that each picture shows, a kind in a colour; -1: none that is recognised."""
    if pixels.shape[3] != 3 or pixels.shape[1] != pixels.shape[2]:
        raise GancliError("coverage needs square RGB images", "leave out 'coverage'")
    seen = recognise(pixels)
    modes: NDArray[np.int64] = np.where(seen.confidence >= RECOGNISED, seen.kind * len(COLOURS) + seen.colour, -1)
    return modes
