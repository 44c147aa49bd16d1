"""Tiles of an image: that they cover it, and come in bands."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from gancli.generation.tiling import MARGIN, OVERLAP, in_tiles, tile_starts, tile_windows


@given(tile=st.integers(8, 40).map(lambda n: 8 * n), extra=st.integers(0, 2000), step=st.sampled_from([1, 4, 8]))
def test_tiles_cover_everything_and_their_weights_sum_to_one(tile: int, extra: int, step: int) -> None:
    length = tile + extra // step * step
    starts = tile_starts(length, tile, step)
    assert starts[0] == 0
    assert starts[-1] + tile == length
    assert all(start % step == 0 for start in starts)
    gaps = np.diff(starts)
    assert all(0 < gap <= tile * (1 - OVERLAP) + step for gap in gaps)
    assert len(starts) <= 1 + -(-extra // int(tile * (1 - OVERLAP)))
    total = np.zeros(length)
    for index, (start, window) in enumerate(zip(starts, tile_windows(starts, tile).numpy(), strict=True)):
        assert window.min() >= 0
        total[start : start + tile] += window
        margin = int(tile * MARGIN)
        # Nothing of a tile's edge is used but at the edge of the image.
        assert index == 0 or not window[:margin].any()
        assert index == len(starts) - 1 or not window[tile - margin :].any()
    assert abs(total - 1).max() < 1e-6


def test_tiles_come_in_bands_that_are_no_higher_than_a_tile() -> None:
    image = np.arange(3 * 200 * 150, dtype=np.float32).reshape(3, 200, 150)
    sizes: list[tuple[int, ...]] = []

    def run(tiles: np.ndarray[Any, Any]) -> torch.Tensor:
        sizes.append(tiles.shape)
        return torch.from_numpy(tiles) * 2

    next_row, bands = 0, []
    for top, band in in_tiles(image, run, (64, 64), 1, 2):
        assert top == next_row
        assert band.shape[1] <= 64
        next_row += band.shape[1]
        bands.append(band.clone())
    assert torch.allclose(torch.cat(bands, 1), torch.from_numpy(image) * 2, rtol=1e-5)
    assert {size[1:] for size in sizes} == {(3, 64, 64)}
    assert max(size[0] for size in sizes) == 2
