"""Tiles that share the statistics of their whole image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from translators import build, scene

from gancli.architectures.base import Translator, Way
from gancli.architectures.cyclegan import CycleGAN
from gancli.architectures.pix2pix import Pix2Pix
from gancli.architectures.ugatit import UGATIT
from gancli.generation.tiling import tile_starts
from gancli.generation.translation import Translation
from gancli.generation.whole_image import SharedStatistics

CPU = torch.device("cpu")
FORTH = Way("A", "B")


@pytest.fixture(scope="module")
def cyclegan() -> Translator:
    return build(CycleGAN, blocks=2)


@pytest.mark.parametrize(
    ("kind", "config", "noise"),
    [
        (CycleGAN, {"blocks": 1}, False),
        (Pix2Pix, {"depth": 6}, True),
        (Pix2Pix, {"generator": "resnet", "norm": "batch", "dropout": False}, False),
        (UGATIT, {"residual_blocks": 1, "light": True, "local_layers": 3, "global_layers": 5}, False),
    ],
)
def test_shared_statistics_of_the_whole_image_change_nothing(
    kind: type[Translator], config: dict[str, Any], noise: bool
) -> None:
    model = build(kind, **config)
    x = torch.rand(1, 3, 64, 64) * 2 - 1

    def forward() -> torch.Tensor:
        torch.manual_seed(1)
        with torch.inference_mode():
            return model.translate(x, model.ways()[-1])

    expected = forward()
    statistics = SharedStatistics()
    for _ in range(2):
        with statistics:
            assert torch.allclose(forward(), expected, atol=2e-4)
    other = SharedStatistics()
    with other, torch.inference_mode():
        model.translate(torch.rand(4, 3, 64, 64) ** 3, model.ways()[-1])
    with other:
        assert not torch.allclose(forward(), expected, atol=2e-2)


def test_a_network_with_instance_norm_shows_no_seams(cyclegan: Translator) -> None:
    """What tiles change is spread evenly, and no larger where tiles meet; done plainly, there are steps."""
    image, tile = scene(420, 600), 128
    (whole,) = Translation(cyclegan, FORTH, CPU)([image])
    (tiled,) = Translation(cyclegan, FORTH, CPU, tile=tile)([image])
    difference = tiled.images[0] - whole.images[0].astype(float)
    plain = np.zeros_like(difference)
    for top in range(0, 420, tile):
        for left in range(0, 600, tile):
            area = (slice(top, top + tile), slice(left, left + tile))
            (alone,) = Translation(cyclegan, FORTH, CPU)([np.ascontiguousarray(image[:, :, area[0], area[1]])])
            plain[area] = alone.images[0] - whole.images[0, area[0], area[1]].astype(float)
    assert abs(difference).mean() < abs(plain).mean() / 3

    def steps(values: np.ndarray[Any, Any], borders: list[int]) -> tuple[float, float]:
        """Mean change of tone, smoothed along the border, from one column to the next: at borders, and anywhere."""
        change = abs(np.diff(values[:416].reshape(26, 16, 600, 3).mean(1), axis=1)).mean((0, 2))
        at = np.zeros(599, bool)
        for border in borders:
            at[border - 4 : border + 4] = True
        return float(change[at].mean()), float(change[~at].mean())

    starts = tile_starts(600, tile, 4)
    at_borders, elsewhere = steps(difference, [*starts[1:], *(start + tile for start in starts[:-1])])
    assert at_borders <= 1.2 * elsewhere
    at_plain_borders, _ = steps(plain, list(range(tile, 600, tile)))
    assert at_plain_borders > 3 * at_borders
