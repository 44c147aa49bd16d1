"""Which image comes when, and the random numbers that belong to it: derived from the position, never stored.

Position p counts every image that a run shows, over all epochs and ranks. Since order and random numbers are functions
of p, a run can start anywhere and be cut into batches, ranks and workers in any way, and still sees the same images.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
    """Returns a uniform number in [0, 1) for each place; ``stream`` names what it is for.

    Args:
        seed: the run's seed.
        places: integers >= 0 of any shape, for instance positions in the run.
        stream: numbers of different streams, say ``"flip"`` and ``"crop"``, are independent.
    """
    bits = random_bits(derive(seed, *stream), places) >> np.uint64(11)
    result: NDArray[np.float64] = bits.astype(np.float64) * 2.0**-53
    return result


class Order:
    """The order in which a domain's images are shown: every epoch is a permutation of its own.

    Args:
        seed: the run's seed.
        stream: names the domain; domains with the same name and length have the same order.
        length: number of images, at least 1.
    """

    def __init__(self, seed: int, stream: str, length: int) -> None:
        self.seed, self.stream, self.length = seed, stream, length
        self._permutations: dict[int, NDArray[np.int64]] = {}

    def indices(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the image shown at each position: ``permutation(p // length)[p % length]``."""
        epochs, places = np.divmod(positions, self.length)
        result = np.empty_like(positions)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            result[here] = self._permutation(int(epoch))[places[here]]
        return result

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        if epoch not in self._permutations:
            # A batch straddles two epochs at most, except where the data is smaller than a batch.
            while len(self._permutations) > 1:
                del self._permutations[next(iter(self._permutations))]
            bits = random_bits(derive(self.seed, "order", self.stream, epoch), np.arange(self.length))
            self._permutations[epoch] = np.argsort(bits, kind="stable").astype(np.int64)
        return self._permutations[epoch]
