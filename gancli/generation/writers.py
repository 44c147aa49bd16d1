"""Images to pixels, grids and files."""

from __future__ import annotations

import functools
import io
import itertools
import math
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gancli.errors import GancliError

LARGEST_SIDE = {"jpg": 65_500, "gif": 65_535, "webp": 16_383, "mp4": 8_192}
"""Most pixels on a side, by format: what it can say, or what is played (H.264)."""


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """Float [N, C, H, W] in [-1, 1] to uint8 [N, H, W, C]: rounded to the nearest grey level, clipped outside."""
    return images.add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()


def as_rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Makes images [N, H, W, C] of any C fit to look at, [N, H, W, 3]: grey for C < 3, the first three for C > 3."""
    return np.repeat(pixels[..., :1], 3, axis=3) if pixels.shape[3] < 3 else pixels[..., :3]


def columns_for(count: int) -> int:
    """Returns the number of columns of the squarest grid that is at least as wide as high."""
    return math.ceil(math.sqrt(count))


def grid_size(count: int, columns: int, height: int, width: int, gap: int = 2) -> tuple[int, int]:
    """Returns the height and width of what ``grid`` makes of images; it is no wider than they need."""
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
    """Raises ``GancliError`` where a picture is larger than its format can say."""
    largest = LARGEST_SIDE.get(kind, height + width)
    if max(height, width) > largest:
        raise GancliError(
            f"the picture would be {width}x{height}, but a {kind} has at most {largest} pixels on a side",
            "ask for fewer images, or write them into a directory",
        )


def encode(pixels: NDArray[np.uint8], kind: str = "png") -> bytes:
    """Encodes one uint8 image [H, W, C] as ``png``, ``jpg`` or ``webp``.

    C is 1 or 3, or with alpha 2 or 4; in a ``jpg``, which has none, what is transparent lies over white.

    Raises:
        GancliError: the format cannot hold so many channels or pixels.
    """
    height, width, channels = pixels.shape
    check_size(kind, height, width)
    if channels > 4:
        raise GancliError(f"the images have {channels} channels, which no {kind} file can hold", "--format npy")
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    buffer = io.BytesIO()
    match kind:
        case "jpg":
            if image.mode in ("LA", "RGBA"):
                opaque = image.convert(image.mode[:-1])
                white = Image.new(opaque.mode, image.size, "white")
                image = Image.composite(opaque, white, image.getchannel("A"))
            image.save(buffer, "JPEG", quality=95)
        case "webp":
            image.save(buffer, "WEBP", lossless=True, exact=True)  # exact: where it is transparent, too
        case _:
            image.save(buffer, "PNG")
    return buffer.getvalue()


def npy(images: Tensor) -> bytes:
    """Encodes images as a ``.npy`` file: float32 [N, C, H, W] in [-1, 1]."""
    buffer = io.BytesIO()
    np.save(buffer, images.numpy().astype(np.float32, copy=False))
    return buffer.getvalue()


def write_npy(file: BinaryIO, parts: Iterable[Tensor], count: int) -> None:
    """Writes ``count`` images as ``npy`` does, as they come: parts float [n, C, H, W] on the CPU."""
    parts = iter(parts)
    first = next(parts)
    header = {"descr": "<f4", "fortran_order": False, "shape": (count, *first.shape[1:])}
    np.lib.format.write_array_header_1_0(file, header)
    for part in itertools.chain([first], parts):
        file.write(part.numpy().astype("<f4", copy=False).tobytes())


def heat_map(heat: NDArray[np.float32], pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lays a heat map over an image, half of each.

    Args:
        heat: [H, W]; its smallest value becomes dark blue, its largest light yellow.
        pixels: the image [H, W, 3].

    Returns:
        uint8 [H, W, 3].
    """
    low, high = heat.min(), heat.max()
    levels = np.rint((heat - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
    blended: NDArray[np.uint8] = ((heat_colors()[levels].astype(np.uint16) + pixels + 1) // 2).astype(np.uint8)
    return blended


@functools.cache
def heat_colors() -> NDArray[np.uint8]:
    """Returns the colours of a heat map, uint8 [256, 3], sRGB.

    Their lightness rises evenly, so that what looks hotter is hotter, in grey and for the colour-blind too, while the
    hue goes from blue over red to yellow. Computed in Oklab (Ottosson 2020), each as colourful as sRGB can show it up
    to a limit.
    """
    lightness = np.linspace(0.25, 0.95, 256)[:, None]
    hue = np.deg2rad(np.linspace(-95, 105, 256))[:, None]
    chroma = np.linspace(0, 0.2, 101)[None]
    lab = np.stack(np.broadcast_arrays(lightness, chroma * np.cos(hue), chroma * np.sin(hue)), axis=-1)
    cone_roots = (
        lab
        @ np.array(
            [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
        ).T
    )
    linear = (
        cone_roots**3
        @ np.array(
            [
                [4.0767416621, -3.3077115913, 0.2309699292],
                [-1.2684380046, 2.6097574011, -0.3413193965],
                [-0.0041960863, -0.7034186147, 1.7076147010],
            ]
        ).T
    )
    shown = ((linear >= 0) & (linear <= 1)).all(axis=-1)
    most = np.argmin(np.concatenate([shown, np.zeros((256, 1), bool)], axis=1), axis=1) - 1
    rgb = linear[np.arange(256), most].clip(0, 1)
    srgb: NDArray[np.float64] = np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055)
    return np.rint(255 * srgb).astype(np.uint8)
