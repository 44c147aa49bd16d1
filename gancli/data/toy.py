"""The built-in points: the 2-D distributions on which papers compare objectives, drawn from the index alone.

``ring``, ``grid`` and ``swissroll`` have the constants of Gulrajani et al. 2017 (igul222/improved_wgan_training,
gan_toy.py). Where the points are a mixture of Gaussians, its density is known, and samples can be judged exactly.

Coordinates are rounded to 2^-20, so that the last digit of a logarithm or cosine, which differs between machines, does
not show: point i is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gancli.data.sampler import uniform
from gancli.data.source import PointCloud, Source
from gancli.errors import GancliError

LENGTH = 50_000
TEST_LENGTH = 10_000
SEED = 20_170_331  # a different number gives different points
WITHIN = 3.0
"""A sample belongs to a mode if it is at most this many standard deviations away (Srivastava et al. 2017, VEEGAN)."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Mixture:
    """Gaussians of equal weight and equal standard deviation in all directions.

    Attributes:
        means: [M, 2].
        std: of each coordinate, around its mean.
    """

    means: Floats
    std: float

    def density(self, points: NDArray[np.floating], blur: float = 0.0) -> Floats:
        """Returns p(x) of points [N, 2], per unit of area, [N]; ``blur`` is the std of Gaussian noise on the points."""
        variance = self.std**2 + blur**2
        squares = ((points[:, None] - self.means) ** 2).sum(axis=2)
        found: Floats = np.exp(-squares / (2 * variance)).mean(axis=1) / (2 * np.pi * variance)
        return found

    def modes(self, points: NDArray[np.floating]) -> NDArray[np.int64]:
        """Returns the number of the mode that each of the points [N, 2] belongs to, [N]; -1: to none."""
        squares = ((points[:, None] - self.means) ** 2).sum(axis=2)
        close = squares.min(axis=1) <= (WITHIN * self.std) ** 2
        found: NDArray[np.int64] = np.where(close, squares.argmin(axis=1), -1)
        return found


_ANGLES = np.arange(8) * (np.pi / 4)
MIXTURES = {
    "toy:ring": Mixture(2 / 1.414 * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1), 0.02 / 1.414),
    "toy:grid": Mixture(np.array([(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)]) / 2.828, 0.05 / 2.828),
    "toy:two-gaussians": Mixture(np.array([(-1.0, 0.0), (1.0, 0.0)]), 0.25),
}
"""By SOURCE; the points take the modes in turn."""


def _swissroll(index: NDArray[np.int64]) -> Floats:
    t = 1.5 * np.pi * (1 + 2 * uniform(SEED, index, "t"))  # as scikit-learn's make_swiss_roll, without its second axis
    return (np.stack([t * np.cos(t), t * np.sin(t)], axis=1) + 0.25 * _normal(index)) / 7.5


def _moons(index: NDArray[np.int64]) -> Floats:
    t = np.pi * uniform(SEED, index, "t")  # as scikit-learn's make_moons, moved to the middle
    upper = index % 2 == 0
    x, y = np.where(upper, np.cos(t), 1 - np.cos(t)), np.where(upper, np.sin(t), 0.5 - np.sin(t))
    return np.stack([x - 0.5, y - 0.25], axis=1) + 0.05 * _normal(index)


def _normal(index: NDArray[np.int64]) -> Floats:
    """Returns a standard normal point for each index, [N, 2] (Box & Muller 1958)."""
    radius = np.sqrt(-2 * np.log(1 - uniform(SEED, index, "radius")))
    angle = 2 * np.pi * uniform(SEED, index, "angle")
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


CURVES: dict[str, Callable[[NDArray[np.int64]], Floats]] = {"toy:swissroll": _swissroll, "toy:moons": _moons}
WORDS = {
    "toy:ring": "built-in points: 8 Gaussians on a ring",
    "toy:grid": "built-in points: 25 Gaussians on a grid",
    "toy:swissroll": "built-in points: a Swiss roll",
    "toy:two-gaussians": "built-in points: two Gaussians",
    "toy:moons": "built-in points: two moons",
}
"""By SOURCE: the layout in words."""


def draw(location: str, first: int, count: int) -> NDArray[np.float32]:
    """Returns ``count`` points of a SOURCE from index ``first`` on, float32 [N, 2]."""
    index = np.arange(first, first + count)
    if (mixture := MIXTURES.get(location)) is not None:
        points = mixture.means[index % len(mixture.means)] + mixture.std * _normal(index)
    else:
        points = CURVES[location](index)
    return (np.rint(points * 2.0**20) * 2.0**-20).astype(np.float32)


def open_toy(location: str, split: str = "train") -> Source:
    """Opens one of ``WORDS``, with a test part of other points; GancliError if it is none."""
    if location not in WORDS:
        folder = "" if ":" in location else f"; a folder of this name is ./{location}"
        hint = f"the built-in points are {', '.join(WORDS)}{folder}"
        raise GancliError(f"there are no built-in points {location!r}", hint)
    first, count = {"train": (0, LENGTH), "test": (LENGTH, TEST_LENGTH), "all": (0, LENGTH + TEST_LENGTH)}[split]
    return Source(
        location,
        WORDS[location],
        {"points": PointCloud(location, draw(location, first, count))},
        fingerprint=f"{location} {split} 1",  # the number changes whenever the points do
        has_test=split == "train",
    )
