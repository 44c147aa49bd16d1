"""Turns image files of any colour type into ``Pixels``, with Pillow.

The networks get what an image viewer shows: upright (EXIF orientation), in sRGB (ICC profile), transparent parts white
(unless alpha is wanted), 16 bits scaled down to 8, and the first frame of an animation. Masks are read as they are
stored: the index of a palette, the value of a grey pixel.
"""

from __future__ import annotations

import functools
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from gancli.data.source import IDS, BadImage, Pixels

Image.init()
# No other format is ever tried: some of Pillow's run external programs.
FORMATS = tuple(known for known in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF") if known in Image.OPEN)
EXTENSIONS = frozenset(
    extension for extension, known in Image.registered_extensions().items() if known in FORMATS and extension != ".pfm"
)
"""Endings of image files in a directory or an archive, with the dot and in lower case."""

LARGEST_FILE = 2**29
"""Bytes of an image file; larger ones are refused."""

# Pillow reports odd metadata and large images as warnings, which would break up the progress display. An image that
# cannot be read raises an exception.
warnings.filterwarnings("ignore", module=r"PIL\.")


def is_image(name: str) -> bool:
    """Returns whether a file name ends like that of an image."""
    dot = name.rfind(".")
    return dot >= 0 and name[dot:].lower() in EXTENSIONS


def decode(data: bytes, channels: int) -> Pixels:
    """Decodes the content of an image file to ``channels`` as for ``to_pixels``.

    Raises:
        BadImage: it is damaged, cut off, too large (a decompression bomb), not an image, or refused by ``to_pixels``.
    """
    with _opened(data) as image:
        image.load()
        return to_pixels(image, channels)


def stored_size(data: bytes) -> tuple[int, int]:
    """Returns width and height from an image file's header, before any rotation; raises ``BadImage``."""
    with _opened(data) as image:
        return image.size


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Opens an image file's content; any error in the ``with`` block becomes a ``BadImage``."""
    if not data:
        raise BadImage("the file is empty")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            yield image
    except (BadImage, MemoryError):
        raise
    except UnidentifiedImageError:
        raise BadImage("not an image, or an unknown format") from None
    # Pillow's decoders raise nearly every kind of exception on damaged data.
    except Exception as error:
        raise BadImage(str(error) or type(error).__name__) from error


def to_pixels(image: Image.Image, channels: int) -> Pixels:
    """Returns a loaded Pillow image upright, in sRGB and in 8 bits; or a mask, upright and otherwise as stored.

    Args:
        image: of any mode.
        channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha; without alpha, transparent parts lie over white.
            ``IDS`` for a mask.

    Raises:
        BadImage: its values have no known range, it is not a mask, or more channels are wanted.
    """
    if channels == IDS:
        return _to_ids(image)
    if channels > 4:
        raise BadImage(f"image files have at most 4 channels and not {channels}, as arrays (.npz) can have")
    profile = image.info.get("icc_profile")
    image = _to_8_bits(_upright(image))
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        image = image.convert("RGB")
    elif image.mode in ("P", "1", "La", "LA"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    if isinstance(profile, bytes) and profile and (transform := _to_srgb(profile, image.mode)):
        image = ImageCms.applyTransform(image, transform) or image
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    if alpha is not None and channels in (1, 3):
        image = Image.composite(image, Image.new(image.mode, image.size, "white"), alpha)
    image = image.convert("L" if channels <= 2 else "RGB")
    if channels in (2, 4):
        image.putalpha(255 if alpha is None else alpha)
    pixels = np.asarray(image)
    return pixels.reshape(*pixels.shape[:2], channels)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    # A damaged EXIF block says nothing about the pixels.
    except Exception:
        return image


def _to_ids(image: Image.Image) -> Pixels:
    """Returns the ids of classes that a palette or grey image stores, uint8 [H, W, 1]."""
    if image.format == "JPEG":
        raise BadImage("JPEG changes the values, so they are not ids of classes; save masks as PNG")
    if not (image.mode in ("P", "L", "1") or image.mode.startswith("I")):
        raise BadImage(f"its colours ({image.mode}) are not ids of classes; a mask is a grey or palette image")
    ids = np.asarray(_upright(image))
    if ids.min() < 0 or ids.max() > 255:
        raise BadImage(f"it holds the id {ids.max() if ids.max() > 255 else ids.min()}, but ids are from 0 to 255")
    return ids.astype(np.uint8)[:, :, None]


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Scales the modes that hold more than 8 bits; Pillow's own conversion would clip them."""
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise BadImage("32-bit pixels have no known range")
        return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
    if image.mode == "F":
        values = np.asarray(image)
        if not (values.min() >= 0 and values.max() <= 1):
            raise BadImage("floating-point pixels outside [0, 1] have no known range")
        return Image.fromarray(np.rint(values * 255).astype(np.uint8))
    return image


@functools.lru_cache(maxsize=64)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Returns the transform from a profile to sRGB; None if the colours are sRGB already or the profile is broken."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return None
        # Without the cache a transform may be used from many threads.
        flags = ImageCms.Flags.NOCACHE | ImageCms.Flags.BLACKPOINTCOMPENSATION
        target = ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(source, target, mode, "RGB", ImageCms.Intent.PERCEPTUAL, flags)
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError):
        return None
