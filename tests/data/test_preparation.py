from __future__ import annotations

import numpy as np
import pytest
from noise import Noise, prepared
from PIL import Image

from gancli.errors import GancliError


def test_an_image_of_the_right_size_is_left_alone():
    pixels = Noise([(8, 8)]).read(0, 3)
    assert (prepared()(pixels) == pixels).all()
    assert (prepared((1, 8, 8))(pixels[..., :1]) == pixels[..., :1]).all()


@pytest.mark.parametrize("size", [(16, 40), (40, 16), (16, 17)])
def test_cover_keeps_proportions_and_takes_the_middle(size):
    # A ramp along the long side: its middle stays where it is, and its slope becomes what the scale makes of it.
    height, width = size
    axis = 1 if width > height else 0
    ramp = np.linspace(0, 250, size[axis])
    pixels = np.broadcast_to(ramp[None, :] if axis else ramp[:, None], size).astype(np.uint8)[:, :, None]
    result = prepared((1, 8, 8))(pixels)[:, :, 0].mean(axis=1 - axis)
    assert result.mean() == pytest.approx(125, abs=2)
    step = 2 * 250 / (size[axis] - 1)
    assert np.diff(result)[1:-1] == pytest.approx(np.full(5, step), abs=1.5)


def test_stretch_uses_the_whole_image():
    ramp = np.broadcast_to(np.linspace(0, 250, 40)[None, :], (16, 40)).astype(np.uint8)[:, :, None]
    result = prepared((1, 8, 8), resize="stretch")(ramp)[0, :, 0]
    assert result[0] < 20
    assert result[-1] > 230


def test_load_size_is_the_size_before_the_crop():
    pixels = np.zeros((20, 20, 1), np.uint8)
    pixels[8:12, 8:12] = 255
    whole = prepared((1, 10, 10))(pixels)
    zoomed = prepared((1, 10, 10), load_size=20)(pixels)
    assert (zoomed == pixels[5:15, 5:15]).all()
    assert whole.sum() < zoomed.sum()
    with pytest.raises(GancliError, match="load_size is 8"):
        prepared((3, 16, 16), load_size=8)


def test_random_crop_keeps_what_can_be_cropped():
    prepare = prepared((3, 8, 8), crop="random", load_size=10)
    assert prepare(np.zeros((20, 40, 3), np.uint8)).shape == (10, 20, 3)
    assert prepare(np.zeros((33, 11, 3), np.uint8)).shape == (30, 10, 3)
    assert prepared((3, 8, 8), crop="random", load_size=10, resize="stretch")(
        np.zeros((20, 40, 3), np.uint8)
    ).shape == (10, 10, 3)
    assert prepared((3, 8, 12), crop="random")(np.zeros((20, 20, 3), np.uint8)).shape == (12, 12, 3)
    # A strip does not become an endless image.
    assert prepare(np.zeros((1, 100_000, 3), np.uint8)).shape == (10, 80, 3)


@pytest.mark.parametrize("interpolation", ["nearest", "box", "bilinear", "bicubic", "lanczos"])
def test_interpolation_is_pillows(interpolation):
    pixels = Noise([(33, 33)]).read(0, 3)
    expected = Image.fromarray(pixels).resize((8, 8), Image.Resampling[interpolation.upper()])
    assert (prepared(interpolation=interpolation)(pixels) == np.asarray(expected)).all()


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
@pytest.mark.parametrize("crop", ["center", "random"])
def test_channels_are_resized_each_on_its_own(channels, crop):
    pixels = Noise([(33, 21)]).read(0, channels)
    pixels[:16, :, -1] = 0  # were this alpha, the colours below it would count for nothing
    result = prepared((channels, 8, 8), crop=crop)(pixels)
    planes = [prepared((1, 8, 8), crop=crop)(pixels[:, :, channel : channel + 1]) for channel in range(channels)]
    assert (result == np.concatenate(planes, axis=2)).all()
    assert result.shape[2] == channels
    colour = prepared(crop=crop)(np.repeat(pixels[:, :, :1], 3, axis=2))
    assert (colour == np.repeat(result[:, :, :1], 3, axis=2)).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (7, 5000), (3, 3)])
@pytest.mark.parametrize("crop", ["center", "random"])
@pytest.mark.parametrize("resize", ["cover", "stretch"])
def test_any_size_of_image(size, crop, resize):
    result = prepared((3, 16, 12), crop=crop, resize=resize, load_size=18)(np.full((*size, 3), 7, np.uint8))
    assert result.shape[0] >= 16
    assert result.shape[1] >= 12
    assert (result == 7).all()
