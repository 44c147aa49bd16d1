"""What the header of an image file says about its numbers, where Pillow does not pass it on or gets it wrong.

Importable without torch.
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import ImagePalette
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from gancli.data.levels import Range
from gancli.data.source import BadImage

# Tags of TIFF
BITS, PHOTOMETRIC, FILL_ORDER, CHANNELS, PLANAR, COLOUR_MAP, FORMAT, SUBSAMPLING = (
    258, 262, 266, 277, 284, 320, 339, 530,
)  # fmt: skip
WHITE_IS_ZERO, YCBCR = 0, 6

SRGB_GAMMA = 1 / 2.2
OTHER_BYTE = {"RGB;16B": "RGB;16L", "RGB;16L": "RGB;16B", "RGBA;16B": "RGBA;16L", "RGBA;16L": "RGBA;16B"}
"""Pillow reads only one byte of each 16-bit number of several channels; this raw mode reads the other one."""
NATIVE = {"F;32BF": "F;32NF", "I;16BS": "I;16NS", "I;32BS": "I;32NS"}
"""libtiff turns numbers into the machine's byte order, which Pillow forgets for these raw modes."""


@dataclass(frozen=True)
class Header:
    """How the pixels of a loaded Pillow image are to be taken.

    Attributes:
        dtype: of the numbers in place of the image's own; None: the image's own.
        levels: the number that stands for white in the file, if Pillow has scaled the numbers up from it.
        known: the range of the numbers that the header gives.
        inverted: black and white are exchanged, which Pillow did not undo.
        transparent: the one 16-bit colour that is transparent.
        gamma: the exponent that the brightness was encoded with; None: that of sRGB, or a profile says it.
        sixteen: there are 16 bits in each of several channels, and the image has the upper ones.
        low: codec and raw modes that read the upper and the lower bytes of these; None: unknown.
    """

    dtype: Any = None
    levels: int | None = None
    known: Range | None = None
    inverted: bool = False
    transparent: tuple[int, ...] | None = None
    gamma: float | None = None
    sixteen: bool = False
    low: tuple[str, str, str] | None = None


PLAIN = Header()


def read_header(image: ImageFile, data: bytes) -> Header:
    """Returns the header of an image that was opened, but not loaded; may correct how Pillow will load it.

    Raises:
        BadImage: Pillow would load it wrongly.
    """
    if isinstance(image, TiffImageFile):
        return _tiff(image)
    if image.format == "PNG":
        return _png(image, data)
    if image.format == "PPM":
        return _ppm(image)
    if image.format == "JXL" and image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise BadImage("it is a JPEG XL of more than 8 bits, which pillow-jxl-plugin reads wrongly; save it as PNG")
    return PLAIN


def _raw_mode(image: ImageFile) -> str:
    """Returns the raw mode that an image will be read with; empty if its codec has none."""
    arguments = image.tile[0][3] if image.tile else ""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def use_raw_mode(image: ImageFile, raw_mode: str, codec: str | None = None) -> None:
    """Changes the raw mode, and the codec if one is given, that an image will be read with."""
    tiles: list[Any] = []
    for tile in image.tile:
        if codec is not None:
            tiles.append(tile._replace(codec_name=codec, args=(raw_mode, 0, 1)))
        elif isinstance(tile.args, tuple):
            tiles.append(tile._replace(args=(raw_mode, *tile.args[1:])))
        else:
            tiles.append(tile._replace(args=raw_mode))
    image.tile = tiles


def _png(image: ImageFile, data: bytes) -> Header:
    bits, colour = data[24], data[25]  # IHDR always comes first
    raw_mode = _raw_mode(image)
    gamma = image.info.get("gamma")
    # As libpng does, a gamma within 5 % of that of sRGB is taken for it; sRGB and ICC profiles win.
    if (
        not isinstance(gamma, float)
        or not 0.05 < gamma < 20
        or abs(gamma / SRGB_GAMMA - 1) < 0.05
        or {"srgb", "icc_profile"} & image.info.keys()
    ):
        gamma = None
    header = Header(gamma=gamma, sixteen=bits == 16 and colour != 0)
    transparent = image.info.get("transparency")
    if bits == 16:
        if transparent is not None:
            del image.info["transparency"]
            key = transparent if isinstance(transparent, tuple) else (transparent,)
            header = replace(header, transparent=key)
        low = OTHER_BYTE.get(raw_mode)
        return replace(
            header, dtype=None if colour else np.uint16, low=(image.tile[0][0], raw_mode, low) if low else None
        )
    if colour == 0 and bits in (2, 4):
        most = 2**bits - 1
        if transparent is not None:  # Pillow scales the pixels to 8 bits, but not this one
            image.info["transparency"] = (transparent & most) * (255 // most)
        return replace(header, levels=most)
    return header


def _ppm(image: ImageFile) -> Header:
    if not image.tile:
        return PLAIN
    codec, _, _, arguments = image.tile[0]
    most = int(arguments[1]) if isinstance(arguments, tuple) and codec.startswith("ppm") else None
    if image.mode == "I":
        known = None if most in (None, 65535) else (0.0, float(most or 1))
        return Header(dtype=np.uint16, levels=most or 65535, known=known)
    if most is None or most == 255 or image.mode not in ("L", "RGB"):
        return PLAIN
    if most < 255:
        return Header(levels=most)
    low = ("raw", "RGB;16B", "RGB;16L") if codec == "ppm" else None
    return Header(sixteen=True, low=low, known=None if most == 65535 else (0.0, float(most)))


def tiff_in_words(data: bytes) -> str:
    """Returns what a TIFF that Pillow does not open says about its pixels, after a comma; empty if it is damaged."""
    try:
        tags = ImageFileDirectory_v2(data[:8])
        file = io.BytesIO(data)
        file.seek(tags.next)
        tags.load(file)
        bits = tags.get(BITS, (1,))
        channels = tags.get(CHANNELS, len(bits))
        kind = {1: "integers", 2: "signed integers", 3: "floats"}.get(tags.get(FORMAT, (1,))[0], "unusual numbers")
        inverted = ", white is zero" if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else ""
        return f", {channels} channel{'s' * (channels != 1)} of {bits[0]}-bit {kind}{inverted}"
    # Tags of any type may be anywhere in a damaged file.
    except Exception:
        return ""


def _tiff(image: TiffImageFile) -> Header:
    tags = image.tag_v2
    bits = max(tags.get(BITS, (1,)))
    signed = 2 in tags.get(FORMAT, (1,))
    photometric = tags.get(PHOTOMETRIC, WHITE_IS_ZERO)
    codec, raw_mode = image.tile[0][0] if image.tile else "", _raw_mode(image)
    plain = codec == "raw"
    if bits > 8 and plain and tags.get(PLANAR, 1) == 2 and len(tags.get(BITS, (1,))) > 1:
        tiles: list[Any] = list(image.tile)
        if bits == 16 and image.mode in ("RGB", "RGBA") and {tile.args[0] for tile in tiles} <= set("RGBA"):
            # Pillow would read them as bytes.
            order = "L" if tags.prefix == b"II" else "B"
            image.tile = [tile._replace(args=(f"{tile.args[0]};16{order}", *tile.args[1:])) for tile in tiles]
            return Header(sixteen=True)
        raise BadImage(
            f"it is an uncompressed TIFF of {bits} bits whose channels are stored one after the other, which cannot be "
            "read; save it with the channels of a pixel together, or as PNG"
        )
    if bits > 8 and tags.get(FILL_ORDER, 1) == 2:
        raise BadImage(f"it is a TIFF of {bits} bits in reversed order, which cannot be read; save it as PNG")
    if photometric == YCBCR and plain and image.mode == "YCbCr" and tuple(tags.get(SUBSAMPLING, (2, 2))) != (1, 1):
        raise BadImage("it is an uncompressed TIFF with subsampled colours, which cannot be read; save it as PNG")
    if codec == "libtiff":
        if bits == 12:
            raise BadImage("it is a compressed TIFF of 12 bits, which cannot be read; save it as 16 bits or as PNG")
        if raw_mode in NATIVE:
            raw_mode = NATIVE[raw_mode]
            use_raw_mode(image, raw_mode)
    if image.mode in ("P", "PA") and max(tags[COLOUR_MAP]) < 256:
        # Some programs write the colours in 8 bits instead of 16.
        image.palette = ImagePalette.raw("RGB;L", bytes(tags[COLOUR_MAP]))
    if image.mode == "L":
        if signed:
            return Header(dtype=np.int8)
        return Header(levels=2**bits - 1) if bits in (2, 4) else PLAIN
    inverted = photometric == WHITE_IS_ZERO
    if image.mode.startswith("I;16"):
        return Header(dtype=np.uint16, known=(0, 4095) if bits == 12 else None, inverted=inverted)
    if image.mode == "I":
        kind = "i" if signed else "u"
        return Header(dtype=np.dtype(f"{kind}{min(4, bits // 8)}"), inverted=inverted)
    if image.mode == "F":
        return Header(inverted=inverted)
    if bits != 16:
        return PLAIN
    native = "L" if sys.byteorder == "little" else "B"
    lower = OTHER_BYTE.get(raw_mode.replace("16N", f"16{native}"))
    return Header(sixteen=True, low=(codec, raw_mode, lower) if lower else None)
