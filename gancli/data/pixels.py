"""Turns a loaded Pillow image of any mode into ``Pixels``. Importable without torch.

The networks get what an image viewer shows: upright (EXIF orientation), in sRGB (ICC profile, gamma), transparent parts
white (unless alpha is wanted), and more than 8 bits scaled to 8. Masks are read as they are stored: the index of a
palette, the value of a grey pixel.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from gancli.data.headers import PLAIN, SRGB_GAMMA, Header
from gancli.data.levels import Range, Tone, check_bright, find_range, to_levels
from gancli.data.source import IDS, BadImage, Pixels

STRIP = 2**20
"""Pixels that are converted at a time, so that the steps between cost little memory."""
ORIENTATION = 0x0112
UPRIGHT: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda stored: np.rot90(stored, 1),
}
"""By the value of the EXIF tag: turns the stored rows into the upright picture."""


class Decoded(NamedTuple):
    """Pixels, and the range of the stored numbers that became black to white; None for ordinary 8 bits."""

    pixels: Pixels
    span: Range | None


def to_pixels(image: Image.Image, channels: int, limits: Range | None = None) -> Pixels:
    """Returns a Pillow image upright, in sRGB and in 8 bits; or a mask, upright and otherwise as stored.

    Args:
        image: loaded, of any mode. Mode I is taken for 16 bits.
        channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha; without alpha, transparent parts lie over white.
            ``IDS`` for a mask.
        limits: the numbers that become black and white if they have more than 8 bits; None: see ``find_range``.

    Raises:
        BadImage: its numbers have no known range, it is not a mask, or more channels are wanted.
    """
    header = Header(dtype=np.uint16) if image.mode == "I" and _fits_16(image) else PLAIN
    return np.ascontiguousarray(convert(image, channels, header, limits).pixels)


def _fits_16(image: Image.Image) -> bool:
    values = np.asarray(image)
    return bool(values.min() >= 0 and values.max() <= 65535)


def convert(
    image: Image.Image, channels: int, header: Header, limits: Range | None = None, lower: Image.Image | None = None
) -> Decoded:
    """Does what ``to_pixels`` does with an image whose header is known; ``lower`` has the lower bytes of its numbers.

    The loaded image and the result are in memory; what is between them is made in strips. The result may be a view.
    """
    if channels > 4:
        raise BadImage(f"image files have at most 4 channels and not {channels}, as arrays (.npz) can have")
    turn = UPRIGHT.get(_orientation(image), np.asarray)
    if channels == IDS:
        return Decoded(turn(_to_ids(image, header)), None)
    span, tone = None, _tone(image, header)
    numbers = image.mode[0] in "IF" or lower is not None or header.dtype is not None
    if numbers:
        span = _range_of(image, lower, header, limits)
    elif header.sixteen:
        if limits is not None:
            raise BadImage(f"16 bits of {image.mode} are only read as they are, without data.range; save it as RGB PNG")
        if header.known is None:
            _check_used(image)
    profile = image.info.get("icc_profile")
    pixels = np.empty((image.height, image.width, channels), np.uint8)
    for top, strip, low in _strips(image, lower):
        if span is not None:
            colours, alpha = _from_numbers(_numbers(strip, low, header), header, span, tone)
        else:
            colours, alpha = _from_colours(strip)
            if header.gamma is not None:
                table = to_levels(np.arange(256), (0, 255), tone=tone).tolist()
                colours = colours.point(table * len(colours.getbands()))
        if isinstance(profile, bytes) and not (numbers and tone) and (transform := _to_srgb(profile, colours.mode)):
            colours = ImageCms.applyTransform(colours, transform) or colours
        pixels[top : top + strip.height] = _as_channels(colours, alpha, channels)
    return Decoded(turn(pixels), span)


def _strips(image: Image.Image, lower: Image.Image | None) -> Iterator[tuple[int, Image.Image, Image.Image | None]]:
    """Yields the images in strips of rows, each with the number of its first row."""
    rows = max(1, STRIP // image.width)
    if rows >= image.height:
        yield 0, image, lower
        return
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        yield top, image.crop(box), lower.crop(box) if lower is not None else None


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    # A damaged EXIF block says nothing about the pixels.
    except Exception:
        return 1


# -- numbers of more than 8 bits --------------------------------------------------------------------------------------


def _numbers(strip: Image.Image, low: Image.Image | None, header: Header) -> NDArray[Any]:
    """Returns the numbers as the file has them, [H, W] or [H, W, C]."""
    values = np.asarray(strip)
    if low is not None:
        whole: NDArray[Any] = values.astype(np.uint16) << 8 | np.asarray(low)
        return whole
    if header.levels is not None and header.levels != 65535:
        values = np.rint(values * (header.levels / 65535))
    if header.dtype is None:
        return values
    # Bytes are signed after all, or numbers of 32 bits unsigned.
    same_size = values.dtype.itemsize == np.dtype(header.dtype).itemsize and values.dtype.kind in "iu"
    return values.view(header.dtype) if same_size and values.dtype.isnative else values.astype(header.dtype)


def _range_of(image: Image.Image, lower: Image.Image | None, header: Header, limits: Range | None) -> Range:
    low, high = np.inf, -np.inf
    dtype = np.dtype(np.uint8)
    for _, strip, lower_strip in _strips(image, lower):
        values = _numbers(strip, lower_strip, header)
        dtype = values.dtype
        colours = values[:, :, :3] if values.ndim == 3 else values
        low, high = np.minimum(low, colours.min()), np.maximum(high, colours.max())
    return find_range(float(low), float(high), dtype, limits, header.known)


def _check_used(image: Image.Image) -> None:
    """Raises ``BadImage`` if the upper bytes of 16-bit numbers are nearly unused."""
    extrema = [pair for pair in image.getextrema() if isinstance(pair, tuple)]
    high = max(high for _, high in extrema[: max(1, len(extrema) - (image.mode in ("LA", "RGBA")))])
    check_bright(int(high) * 257 - 128 * (image.format == "PPM"))  # which Pillow rounds instead of cutting off


def _from_numbers(
    values: NDArray[Any], header: Header, span: Range, tone: Tone | None
) -> tuple[Image.Image, Image.Image | None]:
    alpha = None
    if header.transparent is not None:
        same = values == np.array(header.transparent) if values.ndim == 3 else values == header.transparent[0]
        alpha = np.where(same.all(axis=2) if values.ndim == 3 else same, 0, 255).astype(np.uint8)
    if values.ndim == 3 and values.shape[2] == 4:
        alpha, values = to_levels(values[:, :, 3], (0, 65535)), values[:, :, :3]
    shown = Image.fromarray(to_levels(values, span, inverted=header.inverted, tone=tone))
    return shown, None if alpha is None else Image.fromarray(alpha)


def _tone(image: Image.Image, header: Header) -> Tone | None:
    """Returns the curve of a gamma, or of the profile of a grey image with more than 8 bits."""
    if header.gamma is not None:
        exponent = SRGB_GAMMA / header.gamma
        return lambda shares: shares**exponent
    profile = image.info.get("icc_profile")
    if image.mode[0] not in "IF" or not isinstance(profile, bytes) or not (transform := _to_srgb(profile, "L")):
        return None
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    curve = np.asarray((ImageCms.applyTransform(ramp, transform) or ramp).convert("L"))[0]
    return lambda shares: np.interp(shares * 255, np.arange(256), curve) / 255


# -- colours ----------------------------------------------------------------------------------------------------------


def _from_colours(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Returns an image of 8 bits as L, RGB or CMYK, and its alpha channel."""
    if image.mode in ("LA", "La"):
        image = image.convert("LA")
        return image.getchannel("L"), image.getchannel("A")
    if image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        alpha = with_alpha.getchannel("A")
        return image.convert("L") if image.mode in ("1", "L") else with_alpha.convert("RGB"), alpha
    if image.mode == "1":
        return image.convert("L"), None
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB"), None


def _as_channels(image: Image.Image, alpha: Image.Image | None, channels: int) -> Pixels:
    """Returns colours and alpha as uint8 [H, W, channels]."""
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    if alpha is not None and channels in (1, 3):
        image = Image.composite(image, Image.new(image.mode, image.size, "white"), alpha)
    image = image.convert("L" if channels <= 2 else "RGB")
    if channels in (2, 4):
        image.putalpha(255 if alpha is None else alpha)
    pixels = np.asarray(image)
    return pixels.reshape(*pixels.shape[:2], channels)


@functools.lru_cache(maxsize=64)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Returns the transform from a profile to sRGB; None if the colours are sRGB already or the profile is broken."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return None
        # Without the cache a transform may be used from many threads.
        flags = ImageCms.Flags.NOCACHE | ImageCms.Flags.BLACKPOINTCOMPENSATION
        if mode == "L":  # the table that would stand for the curve is too coarse in dark greys
            flags |= ImageCms.Flags.NOOPTIMIZE
        target = ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(source, target, mode, "RGB", ImageCms.Intent.PERCEPTUAL, flags)
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError):
        return None


# -- masks ------------------------------------------------------------------------------------------------------------


def _to_ids(image: Image.Image, header: Header) -> Pixels:
    """Returns the ids of classes that a palette or grey image stores, uint8 [H, W, 1]."""
    if image.format == "JPEG":
        raise BadImage("JPEG changes the values, so they are not ids of classes; save masks as PNG")
    if not (image.mode in ("P", "L", "1") or image.mode.startswith("I")):
        raise BadImage(f"its colours ({image.mode}) are not ids of classes; a mask is a grey or palette image")
    if image.mode == "L" and header.levels is not None:
        ids = np.rint(np.asarray(image) * (header.levels / 255)).astype(np.uint8)
    else:
        ids = _numbers(image, None, header if image.mode != "L" else replace(header, levels=None))
    if ids.min() < 0 or ids.max() > 255:
        raise BadImage(f"it holds the id {ids.max() if ids.max() > 255 else ids.min()}, but ids are from 0 to 255")
    return ids.astype(np.uint8)[:, :, None]
