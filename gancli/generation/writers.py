"""Images to pixels, grids and files."""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """Float [N, C, H, W] in [-1, 1] to uint8 [N, H, W, C]: rounded to the nearest grey level, clipped outside."""
    return images.add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()


def as_rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Makes images [N, H, W, C] of any C fit to look at, [N, H, W, 3]: grey for C < 3, the first three for C > 3."""
    return np.repeat(pixels[..., :1], 3, axis=3) if pixels.shape[3] < 3 else pixels[..., :3]


def columns_for(count: int) -> int:
    """Returns the number of columns of the squarest grid that is at least as wide as high."""
    return math.ceil(math.sqrt(count))


def grid(pixels: NDArray[np.uint8], columns: int, gap: int = 2) -> NDArray[np.uint8]:
    """Lays uint8 images [N, H, W, C] out row by row, ``gap`` black pixels apart: [H', W', C]."""
    count, height, width, channels = pixels.shape
    rows = math.ceil(count / columns)
    canvas = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), np.uint8)
    for index, image in enumerate(pixels):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return canvas


def encode(pixels: NDArray[np.uint8], kind: str = "png") -> bytes:
    """Encodes one uint8 image [H, W, C] with C = 1 or 3 as ``png``, ``jpg`` or ``webp``."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    buffer = io.BytesIO()
    match kind:
        case "jpg":
            image.save(buffer, "JPEG", quality=95)
        case "webp":
            image.save(buffer, "WEBP", lossless=True)
        case _:
            image.save(buffer, "PNG")
    return buffer.getvalue()


def npy(images: Tensor) -> bytes:
    """Encodes images as a ``.npy`` file: float32 [N, C, H, W] in [-1, 1]."""
    buffer = io.BytesIO()
    np.save(buffer, images.numpy().astype(np.float32, copy=False))
    return buffer.getvalue()
