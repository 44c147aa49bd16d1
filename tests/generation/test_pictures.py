"""Files, Pillow images and arrays as pictures for a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gancli.data.source import BadImage
from gancli.generation.pictures import read_picture, resize


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
