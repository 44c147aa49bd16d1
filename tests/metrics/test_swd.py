"""The sliced Wasserstein distance against a slow plain rendition."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tasks import pictures, task

from gancli.metrics import swd
from gancli.metrics.images import Part


def plain_patches(level: NDArray[np.float32], top: Sequence[int], left: Sequence[int]) -> NDArray[np.float32]:
    places = zip(top, left, strict=True)
    return np.stack(
        [level[index // swd.PATCHES, :, t : t + 7, s : s + 7].reshape(-1) for index, (t, s) in enumerate(places)]
    )


def test_swd_against_a_plain_rendition(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (torch.from_numpy(pictures(3, 32, seed).transpose(0, 3, 1, 2).astype(np.float32)) for seed in (0, 1))
    levels = swd.laplacian_pyramid(one)
    assert [tuple(level.shape[2:]) for level in levels] == [(32, 32), (16, 16)]
    # The pyramid adds up to the image again, with a plain convolution of the mirrored image.
    small = levels[1].numpy()
    spread = np.zeros((3, 3, 32, 32))
    spread[:, :, ::2, ::2] = small
    side = np.array([1, 4, 6, 4, 1]) / 16
    padded = np.pad(spread, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="reflect")
    rows = sum(2 * side[k] * padded[:, :, k : k + 32] for k in range(5))
    grown = sum(2 * side[k] * rows[:, :, :, k : k + 32] for k in range(5))
    np.testing.assert_allclose(levels[0].numpy() + grown, one.numpy(), atol=1e-3)

    places = np.random.default_rng(5).random((3, swd.PATCHES, 2))
    drawn = swd.patches(levels[0], places)
    count = 3 * swd.PATCHES
    top, left = np.floor(places.reshape(count, 2) * 26).astype(int).T
    assert (top.min(), top.max(), left.min(), left.max()) == (0, 25, 0, 25)
    np.testing.assert_array_equal(drawn, plain_patches(levels[0].numpy(), top.tolist(), left.tolist()))

    monkeypatch.setattr(swd, "ROWS", 100)
    theirs = swd.patches(swd.laplacian_pyramid(other)[0], np.random.default_rng(6).random((3, swd.PATCHES, 2)))
    directions = np.random.default_rng(7).standard_normal((147, swd.DIRECTIONS)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=0)
    projected = []
    for rows_of in (drawn, theirs):
        channels = rows_of.reshape(count, 3, 49).astype(np.float64)
        channels = (channels - channels.mean(axis=(0, 2), keepdims=True)) / channels.std(axis=(0, 2), keepdims=True)
        projected.append(np.sort(channels.reshape(count, 147) @ directions, axis=0))
    wanted = np.abs(projected[0] - projected[1]).mean()
    assert swd.sliced_wasserstein(drawn, theirs, 3, 7) == pytest.approx(wanted, rel=1e-4)


def test_swd_draws_as_many_images_from_either_side_at_random() -> None:
    def distance(real: NDArray[np.uint8], size: int = 7) -> float:
        sides = [SimpleNamespace(images=list(pixels)) for pixels in (made, real)]
        asked = task(made=sides[0], real=sides[1])
        metric = swd.SWD(asked)
        for see, pixels in ((lambda part: metric.see_made(part, None), made), (metric.see_real, real)):
            for first in range(0, len(pixels), size):
                part = pixels[first : first + size]
                see(Part(np.arange(first, first + len(part)), part))
        return metric.values(asked, "")["swd"]

    dark, light = pictures(20, 32, 0) // 4, pictures(20, 32, 1)
    made = np.concatenate([dark[:10], light[:10]])
    mixed = np.concatenate([dark, light])
    assert distance(mixed) == distance(mixed, 40)  # whatever is looked at together
    # Were the first ones taken, which are all dark, it would be as far as dark ones alone.
    assert distance(mixed) < 0.8 * distance(dark)
