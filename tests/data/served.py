"""Images that tell which they are, and pipelines of them."""

from __future__ import annotations

import numpy as np
import torch

from gancli.data.pipeline import Pipeline
from gancli.data.sampler import Portion
from gancli.data.source import BadImage, Pixels, Source
from gancli.domains import Domain, Inputs
from gancli.schema import DataConfig

CPU = torch.device("cpu")


SHAPE = {"image": (3, 8, 8)}


class Numbered:
    """Small images that tell which they are: the value of the first column; the others are 200 and on."""

    def __init__(self, count: int, size: tuple[int, int] = (8, 8), bad: tuple[int, ...] = ()) -> None:
        self.count, self.size, self.bad = count, size, bad

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return f"numbered[{index}]"

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        if index in self.bad:
            raise BadImage("it is broken")
        height, width = self.size
        pixels = np.empty((height, width, channels), np.uint8)
        pixels[...] = (200 + np.arange(width))[None, :, None]
        pixels[:, 0] = index
        return pixels


def source(count: int = 50, labels: bool = False, **options: object) -> Source:
    return Source(
        "numbered",
        "numbers",
        {"image": Numbered(count, **options)},
        np.arange(count) % 7 if labels else None,
        tuple("abcdefg") if labels else (),
        fingerprint="1",
    )


def inputs(shapes: dict, paired: bool = True) -> Inputs:
    return Inputs({name: Domain(shape) for name, shape in shapes.items()}, paired=paired)


def pipeline(
    data: Source | None = None,
    shapes: dict | None = None,
    batch: int = 16,
    seed: int = 3,
    paired: bool = True,
    **options: object,
) -> Pipeline:
    own = ("rank", "world", "parts", "workers", "progress")
    places = {name: options.pop(name) for name in own if name in options}
    return Pipeline(
        data or source(),
        inputs(shapes or SHAPE, paired),
        DataConfig(**options),
        portions=[Portion(0, batch)],
        seed=seed,
        **places,
    )


def take(pipe: Pipeline, count: int, start: int = 0) -> list[torch.Tensor]:
    batches = pipe.batches(start, CPU)
    try:
        return [next(batches).image for _ in range(count)]
    finally:
        batches.close()


def numbers(images: torch.Tensor) -> list[int]:
    """Which image each is, mirrored or not."""
    pixels = ((images + 1) * 127.5).round().int()
    return torch.minimum(pixels[:, 0, 0, 0], pixels[:, 0, 0, -1]).tolist()


def two_domains(paired: bool, **bad: tuple[int, ...]) -> Source:
    domains = {
        "left": Numbered(12, bad=bad.get("left", ())),
        "right": Numbered(12 if paired else 9, bad=bad.get("right", ())),
    }
    return Source("two", "", domains, paired=paired, fingerprint=f"two {paired} {bad}")


TWO = {"A": (3, 8, 8), "B": (3, 8, 8)}


class Places(Numbered):
    """Images in which every pixel says where it is: y and x, in 128ths of the image, and which image."""

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        height, width = self.size[index] if isinstance(self.size, list) else self.size
        y, x = np.mgrid[:height, :width]
        pixels = np.stack([(y + 0.5) / height * 128, (x + 0.5) / width * 128, y * 0 + index], axis=-1)
        return pixels.astype(np.uint8)


def places(sizes: list[tuple[int, int]], others: list[tuple[int, int]]) -> Source:
    domains = {"left": Places(len(sizes), sizes), "right": Places(len(others), others)}
    return Source("places", "", domains, paired=True, fingerprint=f"places {sizes} {others}")


WIDE = [(32, 48)] * 12
