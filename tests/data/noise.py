"""Images of noise, and how they are prepared."""

from __future__ import annotations

import numpy as np

from gancli.data.preparation import Preparation
from gancli.data.source import BadImage, Pixels
from gancli.schema import DataConfig


class Noise:
    """Images of given sizes; those in ``bad`` cannot be decoded."""

    def __init__(self, sizes: list[tuple[int, int]], bad: tuple[int, ...] = ()) -> None:
        self.sizes, self.bad, self.reads = sizes, bad, 0

    def __len__(self) -> int:
        return len(self.sizes)

    def name(self, index: int) -> str:
        return f"noise[{index}]"

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        self.reads += 1
        if index in self.bad:
            raise BadImage("it is broken")
        rng = np.random.default_rng(index)
        return rng.integers(0, 256, (*self.sizes[index], channels), dtype=np.uint8)


def prepared(shape=(3, 8, 8), **config: object) -> Preparation:
    return Preparation.of(shape, DataConfig(**config))
