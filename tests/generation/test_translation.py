"""Tiles without seams, statistics of a whole image, the order of many images, and the colours of heat."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gancli.architectures.base import AttentiveTranslator, Translator
from gancli.architectures.cyclegan import CycleGAN
from gancli.architectures.pix2pix import Pix2Pix
from gancli.architectures.ugatit import UGATIT
from gancli.data.source import BadImage
from gancli.generation.tiling import MARGIN, OVERLAP, in_tiles, tile_starts, tile_windows
from gancli.generation.translation import Picture, Translated, Translation, read_picture, resize, translate_all
from gancli.generation.whole_image import SharedStatistics
from gancli.generation.writers import heat_colors, heat_map

CPU = torch.device("cpu")


def build(kind: type[Translator], **config: Any) -> Translator:
    """An untrained model whose output has some contrast."""
    torch.manual_seed(0)
    small = {"resolution": 64, "generator_width": 8, "discriminator_width": 4, **config}
    model = kind(kind.Config(**small)).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.mul_(5)
    return model


@pytest.fixture(scope="module")
def local() -> Translator:
    """A network without statistics of an image: batch norm in evaluation."""
    return build(CycleGAN, blocks=1, norm="batch")


@pytest.fixture(scope="module")
def cyclegan() -> Translator:
    return build(CycleGAN, blocks=2)


@pytest.fixture(scope="module")
def light() -> Translator:
    return build(UGATIT, residual_blocks=1, light=True, local_layers=3, global_layers=5)


def scene(height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """An image [1, 3, H, W] that is even on the left and full of detail on the right."""
    y, x = np.mgrid[:height, :width]
    detail = np.random.default_rng(0).normal(0, 40, (height, width)) * (x > width / 2)
    waves = np.stack([128 + 90 * np.sin(y / 37 + x / 53 + c) + detail for c in range(3)])
    return waves.clip(0, 255).astype(np.uint8)[None]


# ---- tiles -------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("shape", [(600, 280), (301, 150), (64, 811), (270, 700)])
def test_a_local_network_does_the_same_in_tiles(local: Translator, shape: tuple[int, int]) -> None:
    image = scene(*shape)
    (whole,) = Translation(local, "B", CPU)([image])
    for batch in (1, 3):
        (tiled,) = Translation(local, "B", CPU, tile=256, batch=batch)([image])
        assert tiled.images.shape == whole.images.shape == (1, *shape, 3)
        assert abs(tiled.images.astype(int) - whole.images).max() <= 1
    assert whole.images.std() > 10
    (floats,) = Translation(local, "B", CPU, tile=256, floats=True)([image])
    assert abs((floats.images.transpose(0, 2, 3, 1) + 1) * 127.5 - tiled.images).max() <= 0.51


def test_a_network_with_instance_norm_shows_no_seams(cyclegan: Translator) -> None:
    """What tiles change is spread evenly, and no larger where tiles meet; done plainly, there are steps."""
    image, tile = scene(420, 600), 128
    (whole,) = Translation(cyclegan, "B", CPU)([image])
    (tiled,) = Translation(cyclegan, "B", CPU, tile=tile)([image])
    difference = tiled.images[0] - whole.images[0].astype(float)
    plain = np.zeros_like(difference)
    for top in range(0, 420, tile):
        for left in range(0, 600, tile):
            area = (slice(top, top + tile), slice(left, left + tile))
            (alone,) = Translation(cyclegan, "B", CPU)([np.ascontiguousarray(image[:, :, area[0], area[1]])])
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
            return model.translate(x, model.targets()[-1])

    expected = forward()
    statistics = SharedStatistics()
    for _ in range(2):
        with statistics:
            assert torch.allclose(forward(), expected, atol=2e-4)
    other = SharedStatistics()
    with other, torch.inference_mode():
        model.translate(torch.rand(4, 3, 64, 64) ** 3, model.targets()[-1])
    with other:
        assert not torch.allclose(forward(), expected, atol=2e-2)


def test_attention_and_fixed_size_in_tiles(light: Translator) -> None:
    assert isinstance(light, AttentiveTranslator)
    image = scene(150, 260)
    (whole,) = Translation(light, "B", CPU, attention=True)([image])
    (tiled,) = Translation(light, "B", CPU, attention=True, tile=96)([image])
    assert tiled.attention is not None
    assert whole.attention is not None
    assert tiled.attention.shape == whole.attention.shape == (1, 150, 260)
    assert np.corrcoef(tiled.attention.ravel(), whole.attention.ravel())[0, 1] > 0.9
    full = build(UGATIT, residual_blocks=1, light=False, local_layers=3, global_layers=5)
    assert full.fixed_size == (64, 64)
    (result,) = Translation(full, "A", CPU, tile=64)([scene(50, 200)])
    assert result.images.shape == (1, 50, 200, 3)


def test_rows_are_counted(local: Translator) -> None:
    counted: list[tuple[int, int]] = []
    Translation(local, "B", CPU, tile=64, on_rows=lambda *rows: counted.append(rows))([scene(200, 80)])
    assert [total for _, total in counted] == [200] * len(counted)
    assert [done for done, _ in counted] == sorted({done for done, _ in counted})
    assert counted[-1] == (200, 200)


# ---- many images -------------------------------------------------------------------------------------------


def test_many_images_come_in_order_and_few_at_a_time(local: Translator) -> None:
    """Of 60 images, the third of which is none, never more than a few have been read before their time."""
    read: list[int] = []
    lock = threading.Lock()

    def read_one(index: int) -> Picture:
        with lock:
            read.append(index)
        if index % 3 == 2:
            raise BadImage(f"{index} is bad")
        return Picture(np.full((1, 3, 16, 16 + 4 * (index // 10 % 2)), index * 4, np.uint8))

    def write(index: int, picture: Picture, translated: Translated) -> int:
        assert picture.values[0, 0, 0, 0] == index * 4
        if index == 31:
            raise BadImage("its name is too long")
        return int(translated.images[0].mean())

    ahead = []
    results: list[tuple[int, int | BadImage]] = []
    for index, result in translate_all(range(60), read_one, Translation(local, "B", CPU), write):
        ahead.append(len(read) - index)
        results.append((index, result))
    assert [index for index, _ in results] == list(range(60))
    assert [index for index, result in results if isinstance(result, BadImage)] == sorted({*range(2, 60, 3), 31})
    assert max(ahead) <= 8 + 3 * 8 + 2
    single = [Translation(local, "B", CPU)([read_one(index).values])[0].images.mean() for index in (0, 10, 33)]
    assert [results[index][1] for index in (0, 10, 33)] == [int(mean) for mean in single]


@pytest.mark.parametrize("where", ["read", "write"])
def test_other_exceptions_end_everything(local: Translator, where: str) -> None:
    begun: list[int] = []

    def read_one(index: int) -> Picture:
        begun.append(index)
        if where == "read" and index == 5:
            raise MemoryError
        return Picture(np.zeros((1, 3, 16, 16), np.uint8))

    def write(index: int, picture: Picture, translated: Translated) -> int:
        if where == "write" and index == 5:
            raise MemoryError
        return index

    done = []
    results = translate_all(range(1000), read_one, Translation(local, "B", CPU), write)
    with pytest.raises(MemoryError):
        done.extend(index for index, _ in results)
    assert len(done) <= 5
    assert len(begun) < 60
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("gancli-images")]


def test_batches(local: Translator) -> None:
    """Images of one padded size go through the network together, up to the batch."""
    seen: list[int] = []
    translation = Translation(local, "B", CPU, batch=3)
    network: Callable[[torch.Tensor], torch.Tensor] = translation._network
    translation._network = lambda images: (seen.append(len(images)), network(images))[1]  # type: ignore[method-assign]
    sizes = [(20, 20), (18, 19), (17, 20), (20, 18), (30, 20), (20, 20)]
    results = list(
        translate_all(
            sizes,
            lambda size: Picture(np.zeros((1, 3, *size), np.uint8)),
            translation,
            lambda size, picture, translated: translated.images.shape[1:3],
        )
    )
    assert results == [(size, size) for size in sizes]
    assert seen == [3, 1, 1, 1]
    assert Translation(local, "B", CPU).batch_of((64, 64)) == 1
    assert Translation(local, "B", torch.device("cuda")).batch_of((256, 256)) == 8
    assert Translation(local, "B", torch.device("cuda")).batch_of((2048, 2048)) == 1
    assert Translation(build(Pix2Pix), "B", CPU, batch=5).batch_of((64, 64)) == 1


# ---- pictures ----------------------------------------------------------------------------------------------


def test_real_photographs_are_read_as_they_are_seen(real_data: Path) -> None:
    data = (real_data / "horse.jpg").read_bytes()
    picture = read_picture(data, 3)
    assert picture.alpha is None
    assert np.array_equal(picture.values[0].transpose(1, 2, 0), np.asarray(Image.open(real_data / "horse.jpg")))
    assert read_picture(data, 1, 100).values.shape == (1, 1, 100, 123)
    with pytest.raises(BadImage, match=r"\.npy"):
        read_picture(data, 5)


@pytest.mark.parametrize("size", [(1, 1), (5, 1), (1, 5), (16, 1), (1, 16), (2, 1), (16, 9), (3, 2)])
@pytest.mark.parametrize("shape", [(50, 70), (6, 1), (1, 6), (2, 2)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_resizing_to_any_size_is_what_pillow_does(channels: int, shape: tuple[int, int], size: tuple[int, int]) -> None:
    values = np.random.default_rng(0).integers(60, 190, (2, channels, *shape), dtype=np.uint8)
    floats = torch.from_numpy(values).float()
    resized = resize(torch.from_numpy(values), size)
    assert resized.dtype == torch.uint8
    for image, whole, exact in zip(
        values.reshape(-1, *shape), resized.flatten(0, 1), resize(floats, size).flatten(0, 1), strict=True
    ):
        seen = Image.fromarray(image.astype(np.float32)).resize(size[::-1], Image.Resampling.BICUBIC)
        assert abs(exact.numpy() - np.asarray(seen)).max() < 0.01
        assert abs(whole.numpy() - np.asarray(seen).clip(0, 255)).max() <= 1.51


def test_colours_of_heat_grow_lighter_evenly() -> None:
    srgb = heat_colors() / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    lightness = 116 * np.cbrt(luminance.clip(0.008857)) - 16
    assert (np.diff(luminance) > 0).mean() > 0.97
    assert lightness[0] < 20
    assert lightness[-1] > 90
    steps = np.diff(lightness[::16])
    assert steps.min() > 0.5 * steps.mean()
    assert srgb[0].argmax() == 2  # from blue
    assert srgb[128].argmax() == 0  # over red
    assert srgb[-1].argmin() == 2  # to yellow


def test_a_heat_map_uses_all_of_its_range() -> None:
    pixels = np.full((4, 5, 3), 100, np.uint8)
    heat = np.linspace(3, 7, 20, dtype=np.float32).reshape(4, 5)
    shown = 2 * heat_map(heat, pixels).astype(int) - 100
    assert abs(shown[0, 0] - heat_colors()[0]).max() <= 1
    assert abs(shown[-1, -1] - heat_colors()[-1]).max() <= 1
    assert heat_map(np.ones((4, 5), np.float32), pixels).std(axis=(0, 1)).max() == 0
