"""Large images in overlapping tiles, blended so smoothly that no seam shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from math import ceil, pi
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

OVERLAP = 1 / 4
"""Overlap of neighbouring tiles, as a fraction of their side."""
MARGIN = 1 / 16
"""Unused edge of a tile, as a fraction of its side: there the network sees its own padding."""


def tile_starts(length: int, tile: int, step: int) -> list[int]:
    """Returns where the tiles that cover ``length`` >= ``tile`` pixels begin, all at multiples of ``step``.

    ``length`` and ``tile`` are multiples of ``step``, too; the last tile ends at ``length``.
    """
    count = 1 + ceil((length - tile) / (tile * (1 - OVERLAP)))
    return [int((length - tile) * index / max(1, count - 1)) // step * step for index in range(count)]


def tile_windows(starts: list[int], tile: int) -> Tensor:
    """Returns weights along one axis, float32 [len(starts), tile]; those of the tiles that cover a pixel sum to 1."""
    windows = torch.ones(len(starts), tile, dtype=torch.float64)
    margin = int(tile * MARGIN)
    for index, (start, following) in enumerate(pairwise(starts)):
        overlap = start + tile - following
        phase = (torch.arange(overlap, dtype=torch.float64) + 0.5 - margin) / (overlap - 2 * margin)
        rise = (1 - torch.cos(pi * phase.clamp(0, 1))) / 2
        windows[index, tile - overlap :] *= 1 - rise
        windows[index + 1, :overlap] *= rise
    total = torch.zeros(starts[-1] + tile, dtype=torch.float64)
    for start, window in zip(starts, windows, strict=True):
        total[start : start + tile] += window
    shares = [window / total[start : start + tile] for start, window in zip(starts, windows, strict=True)]
    return torch.stack(shares).float()


def in_tiles(
    image: NDArray[Any], run: Callable[[NDArray[Any]], Tensor], tile: tuple[int, int], step: int, batch: int
) -> Iterator[tuple[int, Tensor]]:
    """Runs a network over an image tile by tile, and yields finished bands of the result from the top.

    Only a band as high as a tile is held in floating point.

    Args:
        image: uint8 or float32 [C, H, W]; H and W are at least a tile's.
        run: takes tiles [n, C, *tile] and returns float [n, C', *tile].
        tile: height and width of a tile.
        step: H, W and the tile's sides are multiples of it, and tiles begin at multiples of it.
        batch: tiles that ``run`` takes at a time.

    Yields:
        The first row of a band and the band, float32 [C', rows, W] on the CPU.
    """
    (height, width), (high, wide) = image.shape[1:], tile
    tops, lefts = tile_starts(height, high, step), tile_starts(width, wide, step)
    rows, columns = tile_windows(tops, high), tile_windows(lefts, wide)
    left_over: Tensor | None = None
    for top, following, row in zip(tops, [*tops[1:], height], rows, strict=True):
        band: Tensor | None = None
        for first in range(0, len(lefts), batch):
            part = lefts[first : first + batch]
            results = run(np.stack([image[:, top : top + high, left : left + wide] for left in part])).float().cpu()
            if band is None:
                band = results.new_zeros(results.shape[1], high, width)
                if left_over is not None:
                    band[:, : left_over.shape[1]] = left_over
            for left, result, column in zip(part, results, columns[first : first + batch], strict=True):
                band[:, :, left : left + wide] += result * row[:, None] * column
        assert band is not None
        finished = following - top
        yield top, band[:, :finished]
        left_over = band[:, finished:].clone()
