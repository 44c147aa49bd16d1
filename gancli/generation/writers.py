"""Images to pixels, grids and files."""

from __future__ import annotations

import base64
import colorsys
import io
import itertools
import math
from collections.abc import Iterable
from functools import cache
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gancli.errors import GancliError

LARGEST_SIDE = {"jpg": 65_500, "gif": 65_535, "webp": 16_383, "mp4": 8_192}
"""Most pixels on a side, by format: what it can hold, or what players can show (H.264)."""
HEAT_COLORS = np.frombuffer(
    base64.b64decode(
        "AgFxBQBzBwF0CQF0DAF1DgB3EAF4EgF5FAB6FgF7GAF8GgB+HAF+HgF/HwKAIQCBIwGCJQKDJgCEKAGFKgGGLACHLQGILwGIMQCKMgGKNAGL"
        "NgKLNwGNOQGNOwKNPQCPPgGPQAKQQgCRQwGRRQKRRwCTSQGTSgKTTACUTgGVUAKVUQKVUwGWVQGWVwKWWACXWgGXXAKXXgOXXwOXYQSXYwWY"
        "ZAaXZgeXaAeXagiXawmXbQqXbwuXcAyXcgyXdA2XdQ6Xdw6WeQ+WexCWfBCWfhGVgBKVgRKVgxOVhRSUhhSUiBWUihWTjBaTjRaTjxeSkRiS"
        "khiRlBmRlhmQlxqQmRqQmxuPnBuPnhyOoB2OoR2Nox6MpB6Mph+LqB+LqSCKqyGJrSGJriKIsCKIsSOHsySGtCSGtiWFuCaEuSaDuyeDvCiC"
        "viiBvymAwSqAwit/xCt+xSx9xy18yC58yi57yy96zTB5zjF4zzJ30TN20jN11DR01TVz1jZz2Ddy2Thx2jlw3Dpv3Ttu3jxt4D1r4T5q4j9p"
        "5EBo5UFn5kJm50Nl6ERk6kVj60Zi7Edg7Ulf7kpe70td8Uxb8k1a805Z9FBY9VFW9lJV91NU+FRS+VZR+ldP+1hO/FpM/VtL/lxJ/15I/2BH"
        "/2JH/2RH/2dG/2lG/2tG/21G/m9G/nFG/nRG/nZH/3dF/3lG/3tG/n1H/35F/4BG/4JH/oRH/4ZH/4hH/opI/4tI/41J/o9K/5BJ/pJK/5NK"
        "/5VL/5dL/5hM/ppO/5xN/p1P/59P/qFQ/6JQ/6NQ/qVS/6ZS/qhU/6lU/6tU/q1W/65W/rBY/7FY/7JY/rRb/rVb/7db/7hb/rpe/7te/7xe"
        "/75f/r9i/8Fi/8Ji/8Nj/8Vk/sZm/shn/8lo/8po/8xp/81q/89q/9Br/9Fs/9Nt/9Ru/9Vu/9dv/9hw/9px/9ty/9xx/95y/99z/+B0/+Jz"
        "/+N0/+Rz/+Z0/+dz/+lz/+p0/+tz/+1y/+5v//Bu//Fr//Nq//Rl"
    ),
    np.uint8,
).reshape(256, 3)
"""The colours of a heat map, sRGB: dark blue over red to light yellow, evenly lighter; see tools/heat_colors.py."""


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """Returns what a person sees of images or masks, uint8 [N, H, W, C].

    Args:
        images: float [N, C, H, W] in [-1, 1], rounded to the nearest grey level and clipped outside; or masks int64
            [N, H, W], a colour for each id.

    Raises:
        GancliError: they are points [N, D].
    """
    if images.ndim == 2:
        raise GancliError("this model makes points, which are not images", "-o x.npy, or a plot: gancli sample")
    if not images.is_floating_point():
        colours: NDArray[np.uint8] = _palette()[images.cpu().numpy() % 256]
        return colours
    return images.add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()


@cache
def _palette() -> NDArray[np.uint8]:
    """Returns a colour for each id of a mask, [256, 3]: black for 0, then hues that are far from their neighbours'."""
    hues = (colorsys.hsv_to_rgb(index * 0.618034 % 1, 0.65, 0.95) for index in range(1, 256))
    return np.array([(0, 0, 0), *(tuple(round(255 * part) for part in hue) for hue in hues)], np.uint8)


def as_rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns images [N, H, W, C] of any C as RGB, [N, H, W, 3]: grey if C < 3, the first three channels if C > 3."""
    return np.repeat(pixels[..., :1], 3, axis=3) if pixels.shape[3] < 3 else pixels[..., :3]


def columns_for(count: int) -> int:
    """Returns the number of columns of the squarest grid that is at least as wide as high."""
    return math.ceil(math.sqrt(count))


def grid_size(count: int, columns: int, height: int, width: int, gap: int = 2) -> tuple[int, int]:
    """Returns the height and width of ``grid``'s result; no wider than the images need."""
    return math.ceil(count / columns) * (height + gap) - gap, min(columns, count) * (width + gap) - gap


def grid(pixels: NDArray[np.uint8], columns: int, gap: int = 2) -> NDArray[np.uint8]:
    """Lays uint8 images [N, H, W, C] out row by row, ``gap`` black pixels apart: [H', W', C]."""
    count, height, width, channels = pixels.shape
    canvas = np.zeros((*grid_size(count, columns, height, width, gap), channels), np.uint8)
    for index, image in enumerate(pixels):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return canvas


def check_size(kind: str, height: int, width: int) -> None:
    """Raises ``GancliError`` if a picture is larger than its format can hold."""
    largest = LARGEST_SIDE.get(kind, height + width)
    if max(height, width) > largest:
        size = f"the picture would be {width}x{height}, but a {kind} has at most {largest} pixels on a side"
        raise GancliError(size, "ask for fewer images, or write them into a directory")


def picture(pixels: NDArray[np.uint8], hint: str) -> Image.Image:
    """Returns one uint8 image [H, W, C] as a Pillow image.

    Raises:
        GancliError: there are more than 4 channels; the hint says what to do.
    """
    if pixels.shape[2] > 4:
        raise GancliError(f"the images have {pixels.shape[2]} channels, which no picture can hold", hint)
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def encode(pixels: NDArray[np.uint8], kind: str = "png") -> bytes:
    """Encodes one uint8 image [H, W, C] as ``png``, ``jpg`` or ``webp``.

    C is 1 or 3, or with alpha 2 or 4. A ``jpg`` has no alpha: transparent parts lie over white.

    Raises:
        GancliError: the format cannot hold so many channels or pixels.
    """
    check_size(kind, *pixels.shape[:2])
    image = picture(pixels, "--format npy")
    buffer = io.BytesIO()
    match kind:
        case "jpg":
            if image.mode in ("LA", "RGBA"):
                opaque = image.convert(image.mode[:-1])
                white = Image.new(opaque.mode, image.size, "white")
                image = Image.composite(opaque, white, image.getchannel("A"))
            image.save(buffer, "JPEG", quality=95)
        case "webp":
            image.save(buffer, "WEBP", lossless=True, exact=True)  # exact: transparent pixels keep their colours
        case _:
            image.save(buffer, "PNG")
    return buffer.getvalue()


def npy(images: Tensor) -> bytes:
    """Encodes images as a ``.npy`` file: float32 [N, C, H, W] in [-1, 1]."""
    buffer = io.BytesIO()
    np.save(buffer, images.numpy().astype(np.float32, copy=False))
    return buffer.getvalue()


def write_npy(file: BinaryIO, parts: Iterable[Tensor], count: int) -> None:
    """Writes ``count`` images as ``npy`` does, part by part: float [n, C, H, W] on the CPU."""
    parts = iter(parts)
    first = next(parts)
    header = {"descr": "<f4", "fortran_order": False, "shape": (count, *first.shape[1:])}
    np.lib.format.write_array_header_1_0(file, header)
    for part in itertools.chain([first], parts):
        file.write(part.numpy().astype("<f4", copy=False).tobytes())


def heat_map(heat: NDArray[np.float32], pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blends the ``HEAT_COLORS`` of a heat map [H, W], stretched over all of them, half and half with pixels [H, W, 3].

    Returns uint8 [H, W, 3].
    """
    low, high = heat.min(), heat.max()
    levels = np.rint((heat - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
    blended: NDArray[np.uint8] = ((HEAT_COLORS[levels].astype(np.uint16) + pixels + 1) // 2).astype(np.uint8)
    return blended
