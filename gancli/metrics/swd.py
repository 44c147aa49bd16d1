"""Sliced Wasserstein distance of patches (Karras et al. 2017, arXiv 1710.10196, section 5).

128 patches of 7 x 7 pixels are drawn from every level of an image's Laplacian pyramid. The patches of a level are
normalised, projected onto random directions, and compared by the Wasserstein distance of each projection: the average
difference of the sorted values. Values are multiplied by 1000, as in the paper.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from gancli.console import warn
from gancli.errors import GancliError
from gancli.metrics.base import Metric, Task, Values
from gancli.metrics.images import Part
from gancli.metrics.statistics import Floats, Spool
from gancli.seeding import derive

IMAGES = 16_384
"""Most images of each side, drawn at random, as in the paper."""
PATCHES = 128
"""Of each image and level."""
PATCH = 7
DIRECTIONS = 512
AT_A_TIME = 16
"""Directions whose projections are in memory at a time."""
ROWS = 2**16
SMALLEST = 16
"""Side in pixels of the last level."""


def _filter(images: Tensor, gain: float) -> Tensor:
    """Smooths with [1, 4, 6, 4, 1] x [1, 4, 6, 4, 1] / 256, times ``gain``; images are mirrored at their edges."""
    side = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0])
    channels = images.shape[1]
    kernel = (gain / 256 * torch.outer(side, side)).expand(channels, 1, 5, 5)
    return F.conv2d(F.pad(images, (2, 2, 2, 2), mode="reflect"), kernel, groups=channels)


def laplacian_pyramid(images: Tensor) -> list[Tensor]:
    """Returns what each level adds to the next smaller one, largest first, then the smallest image.

    Args:
        images: float [N, C, H, W]; halved until a side is odd or would become smaller than 16 pixels.
    """
    levels = []
    while min(images.shape[2:]) >= 2 * SMALLEST and not any(side % 2 for side in images.shape[2:]):
        smaller = _filter(images, 1)[:, :, ::2, ::2]
        spread = torch.zeros_like(images)
        spread[:, :, ::2, ::2] = smaller
        levels.append(images - _filter(spread, 4))
        images = smaller
    return [*levels, images]


def patches(level: Tensor, places: NDArray[np.float64]) -> Floats:
    """Returns 128 patches of each image of a level, [N, C, H, W]: float32 [N * 128, C * 49].

    Args:
        places: [N, 128, 2], top and left of each patch, as a fraction in [0, 1) of its range.
    """
    n, _, height, width = level.shape
    image = np.repeat(np.arange(n), PATCHES)[:, None, None]
    room = np.array([height, width]) - PATCH + 1
    top, left = (places.reshape(-1, 2) * room).astype(np.int64).T[:, :, None, None]
    window = np.arange(PATCH)
    found: Floats = level.numpy()[image, :, top + window[:, None], left + window]  # [n * 128, 7, 7, C]
    return np.ascontiguousarray(found.transpose(0, 3, 1, 2)).reshape(len(found), -1)


def normaliser(rows: Floats, channels: int) -> tuple[Floats, Floats]:
    """Returns mean and standard deviation of each channel of rows [M, C * 49], repeated to [C * 49]."""
    total, squares = np.zeros(channels), np.zeros(channels)
    for first in range(0, len(rows), ROWS):
        part = rows[first : first + ROWS].reshape(-1, channels, PATCH**2).astype(np.float64)
        total += part.sum(axis=(0, 2))
        squares += np.square(part).sum(axis=(0, 2))
    count = len(rows) * PATCH**2
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    # A constant channel is zero after the subtraction.
    deviation[deviation == 0] = 1
    return tuple(np.repeat(values, PATCH**2).astype(np.float32) for values in (mean, deviation))  # type: ignore[return-value]


def sliced_wasserstein(one: Floats, other: Floats, channels: int, seed: int) -> float:
    """Returns the Wasserstein distance between two equally large sets of patches, averaged over random directions."""
    generator = np.random.default_rng(seed)
    directions = generator.standard_normal((one.shape[1], DIRECTIONS)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=0)
    scales = [normaliser(rows, channels) for rows in (one, other)]
    distances: list[float] = []
    for first in range(0, DIRECTIONS, AT_A_TIME):
        chosen = directions[:, first : first + AT_A_TIME].T
        sides = []
        for rows, (mean, deviation) in zip((one, other), scales, strict=True):
            projected = np.empty((len(chosen), len(rows)), np.float32)
            for start in range(0, len(rows), ROWS):
                part = slice(start, start + ROWS)
                projected[:, part] = chosen @ ((rows[part] - mean) / deviation).T
            projected.sort(axis=1)
            sides.append(projected)
        distances += [float(np.abs(a - b).mean()) for a, b in zip(*sides, strict=True)]
    return float(np.mean(distances))


class SWD(Metric):
    name = "swd"
    needs_real_images = True
    title = "sliced Wasserstein distance of patches, x 1000, by level (Karras et al. 2017)"

    def __init__(self, task: Task) -> None:
        self._seed = task.seed
        assert task.real is not None
        sizes = {"made": len(task.made.images), "real": len(task.real.images)}
        generators = {side: np.random.default_rng(derive(task.seed, "images", side)) for side in sizes}
        count = min(IMAGES, *sizes.values())
        self._chosen = {side: generators[side].permutation(size)[:count] for side, size in sizes.items()}
        self._levels: dict[str, dict[int, Spool]] = {"made": defaultdict(Spool), "real": defaultdict(Spool)}
        self._seen = {"made": 0, "real": 0}
        self._shape: tuple[int, ...] | None = None

    def see_made(self, part: Part, pair: Part | None) -> None:
        self._see("made", part)

    def see_real(self, part: Part) -> None:
        self._see("real", part)

    def _see(self, side: str, part: Part) -> None:
        chosen = np.isin(part.places, self._chosen[side])
        pixels = part.pixels[chosen]
        if not len(pixels):
            return
        if self._shape is None:
            self._shape = pixels.shape[1:]
            if min(self._shape[:2]) < SMALLEST:
                raise GancliError(f"swd needs images of at least {SMALLEST}x{SMALLEST} pixels", "leave out 'swd'")
        if pixels.shape[1:] != self._shape:
            (height, width, _), (other_height, other_width, _) = self._shape, pixels.shape[1:]
            raise GancliError(
                f"swd compares images of one size, but there are {width}x{height} and {other_width}x{other_height}",
                "leave out 'swd'",
            )
        levels = laplacian_pyramid(torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32)))
        # The patches of an image depend on it alone, not on its batch.
        generators = [
            np.random.default_rng(derive(self._seed, "patches", side, place)) for place in part.places[chosen]
        ]
        for number, level in enumerate(levels):
            places = np.stack([generator.random((PATCHES, 2)) for generator in generators])
            self._levels[side][number].add(patches(level.contiguous(), places))
        self._seen[side] += len(pixels)

    def values(self, task: Task, extractor: str) -> Values:
        assert self._shape is not None
        count = min(self._seen.values())
        if count < IMAGES:
            warn(
                f"swd used {count:,} images instead of {IMAGES:,}; compare it only with values from the same number of "
                "images"
            )
        found = {}
        for number in self._levels["made"]:
            one, other = (self._levels[side][number].read()[: count * PATCHES] for side in ("made", "real"))
            distance = sliced_wasserstein(one, other, self._shape[2], derive(self._seed, "directions", number))
            found[f"swd_{self._shape[0] // 2**number}"] = 1000 * distance
        return {"swd": float(np.mean(list(found.values()))), **found}
