"""The order of images and their random numbers, derived from the position and never stored. Importable without torch.

Position p counts every image that a run shows, over all epochs and ranks. Since order and random numbers are functions
of p, a run can start anywhere and be cut into batches, ranks and workers in any way, and still sees the same images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gancli.errors import GancliError
from gancli.seeding import derive

# SplitMix64 (Steele, Lea & Flood 2014) read at any place of its sequence: the state is seed + place * GAMMA, and the
# output a fixed mix of it.
GAMMA = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)


def random_bits(key: int, places: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Returns 64 random bits for each place of the sequence that ``key`` names."""
    z: NDArray[np.uint64] = np.uint64(key) + (places.astype(np.uint64) + np.uint64(1)) * GAMMA
    z = (z ^ (z >> np.uint64(30))) * MIX_1
    z = (z ^ (z >> np.uint64(27))) * MIX_2
    z ^= z >> np.uint64(31)
    return z


def uniform(seed: int, places: NDArray[np.int64], *stream: int | str) -> NDArray[np.float64]:
    """Returns a uniform number in [0, 1) for each place, an integer >= 0 such as a position in the run.

    ``stream`` is the purpose of the numbers; those of streams such as ``"flip"`` and ``"crop"`` are independent.
    """
    bits = random_bits(derive(seed, *stream), places) >> np.uint64(11)
    result: NDArray[np.float64] = bits.astype(np.float64) * 2.0**-53
    return result


class Order:
    """The order in which a domain's images are shown, a new permutation in every epoch; and their random numbers.

    Args:
        seed: of the run's data.
        stream: names the domain; domains with the same name and images have the same order and random numbers.
        images: indices of the images that are shown, at least one.
    """

    def __init__(self, seed: int, stream: str, images: NDArray[np.int64]) -> None:
        self._seed, self._stream, self._images = seed, stream, images
        self._permutations: dict[int, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        return len(self._images)

    def indices(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the image shown at each position: ``permutation(p // length)[p % length]``."""
        epochs, places = np.divmod(positions, len(self))
        if len(positions) and (epochs == epochs[0]).all():  # nearly always
            return self._permutation(int(epochs[0]))[places]
        result = np.empty_like(positions)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            result[here] = self._permutation(int(epoch))[places[here]]
        return result

    def uniform(self, positions: NDArray[np.int64], purpose: str) -> NDArray[np.float64]:
        """Returns a number in [0, 1) for each position; those of different purposes are independent."""
        return uniform(self._seed, positions, purpose, self._stream)

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        if epoch not in self._permutations:
            # A batch straddles at most two epochs, unless the data are smaller than a batch.
            while len(self._permutations) > 1:
                del self._permutations[next(iter(self._permutations))]
            bits = random_bits(derive(self._seed, "order", self._stream, epoch), np.arange(len(self)))
            self._permutations[epoch] = self._images[np.argsort(bits, kind="stable")]
        return self._permutations[epoch]


class Portion(NamedTuple):
    """How a run draws its batches, from a certain image on.

    Attributes:
        start: real images shown before, over all ranks.
        batch: images of a batch, over all ranks.
        reduction: images are served at 1 / this of their height and width; a power of two, for networks that grow.
    """

    start: int
    batch: int
    reduction: int = 1


def share(batch: int, world: int, parts: int) -> int:
    """Returns how many images of a batch each of ``world`` processes takes.

    Raises:
        GancliError: they cannot share it, or cannot cut their shares into ``parts``.
    """
    step = world * parts
    if batch % step:
        alike = f"{world} processes" + (f" in {parts} parts each (train.accumulate)" if parts > 1 else "")
        hint = f"--set train.batch={batch // step * step + step}"
        raise GancliError(f"a batch of {batch} cannot be shared by {alike}", hint)
    return batch // world


class Piece(NamedTuple):
    """One rank's part of a batch."""

    positions: range
    reduction: int


def pieces_from(start: int, portions: Sequence[Portion], rank: int, world: int) -> Iterator[Piece]:
    """Yields one rank's part of every batch from position ``start`` on, endlessly.

    ``portions`` are in order, and the first one begins at 0.
    """
    position = start
    while True:
        _, batch, reduction = next(portion for portion in reversed(portions) if portion.start <= position)
        size = batch // world
        first = position + rank * size
        yield Piece(range(first, first + size), reduction)
        position += batch
