"""Pixels, grids, files, and the colours of heat."""

from __future__ import annotations

import base64
import io
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gancli.generation.writers import HEAT_COLORS, columns_for, encode, grid, heat_map, npy, to_pixels


def test_pixels_are_rounded_and_clipped() -> None:
    images = torch.tensor([-2, -1, -0.996, 0, 0.0039, 1, 1.5]).view(1, 1, 1, 7)
    assert to_pixels(images)[0, 0, :, 0].tolist() == [0, 0, 1, 128, 128, 255, 255]


def test_a_grid_places_images_row_by_row() -> None:
    pixels = np.arange(1, 6, dtype=np.uint8)[:, None, None, None] * np.ones((5, 4, 3, 1), np.uint8)
    canvas = grid(pixels, columns=3, gap=2)
    assert canvas.shape == (4 + 2 + 4, 3 * 3 + 2 * 2, 1)
    assert [canvas[0, x, 0] for x in (0, 5, 10)] == [1, 2, 3]
    assert [canvas[6, x, 0] for x in (0, 5, 10)] == [4, 5, 0]
    assert canvas[4:6].max() == 0
    assert grid(pixels, columns=9, gap=2).shape == (4, 5 * 3 + 4 * 2, 1)  # no wider than five images
    assert [columns_for(n) for n in (1, 2, 4, 5, 64)] == [1, 2, 2, 3, 8]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("kind", "exact"), [("png", True), ("webp", True), ("jpg", False)])
def test_files_hold_what_was_written(channels: int, kind: str, exact: bool) -> None:
    ramp = np.linspace(0, 255, 32 * 32).astype(np.uint8).reshape(32, 32, 1).repeat(channels, 2)
    image = Image.open(io.BytesIO(encode(ramp, kind)))
    read = np.asarray(image.convert("L" if channels == 1 else "RGB")).reshape(ramp.shape).astype(int)
    assert image.mode == ("RGB" if channels == 3 or kind == "webp" else "L")
    assert abs(read - ramp).max() <= (0 if exact else 8)


@pytest.mark.parametrize("channels", [2, 4])
def test_files_hold_alpha_or_lie_over_white(channels: int) -> None:
    y, x = np.mgrid[:32, :32] * 8
    ramps = np.stack([x] * (channels - 1) + [y], axis=2).astype(np.uint8)
    png = Image.open(io.BytesIO(encode(ramps, "png")))
    assert png.mode == ("LA" if channels == 2 else "RGBA")
    assert np.array_equal(np.asarray(png), ramps)
    webp = np.asarray(Image.open(io.BytesIO(encode(ramps, "webp"))))  # also the colours of what is transparent
    assert np.array_equal(webp, ramps if channels == 4 else ramps[..., [0, 0, 0, 1]])
    jpg = Image.open(io.BytesIO(encode(ramps, "jpg")))
    assert jpg.mode == ("L" if channels == 2 else "RGB")
    white = 255 - (255 - x) * y / 255
    assert abs(np.asarray(jpg).reshape(32, 32, -1) - white[:, :, None]).max() <= 8


def test_npy_is_float32_nchw() -> None:
    images = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    read = np.load(io.BytesIO(npy(images)))
    assert (read.dtype, read.shape) == (np.float32, (2, 3, 4, 5))
    assert np.array_equal(read, images.numpy())


def test_colours_of_heat_grow_lighter_evenly() -> None:
    srgb = HEAT_COLORS / 255
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
    assert abs(shown[0, 0] - HEAT_COLORS[0]).max() <= 1
    assert abs(shown[-1, -1] - HEAT_COLORS[-1]).max() <= 1
    assert heat_map(np.ones((4, 5), np.float32), pixels).std(axis=(0, 1)).max() == 0


def test_the_table_of_heat_is_what_the_tool_computes(capsys: pytest.CaptureFixture[str]) -> None:
    tool = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "heat_colors.py"))
    tool["main"]()
    table = np.frombuffer(base64.b64decode(capsys.readouterr().out), np.uint8).reshape(256, 3)
    assert np.array_equal(table, HEAT_COLORS)
