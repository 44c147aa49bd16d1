"""One known picture, stored in every way that a file allows."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from gancli.data.formats import decode

W, H = 40, 24
_y, _x = np.mgrid[0:H, 0:W]
RGB = np.stack([_x * 255 // (W - 1), _y * 255 // (H - 1), (_x + _y) * 255 // (W + H - 2)], -1).astype(np.uint8)
"""A ramp in each direction, without any symmetry."""
GREY = np.ascontiguousarray(RGB[..., 0])
"""Black on the left, white on the right."""
ALPHA = np.ascontiguousarray(RGB[..., 1])


def over_white(colours: NDArray[Any], alpha: NDArray[Any] = ALPHA) -> NDArray[Any]:
    share = alpha / 255 if colours.ndim == 2 else (alpha / 255)[..., None]
    return np.rint(colours * share + 255 * (1 - share))


def off_by(data: bytes, wanted: NDArray[Any], channels: int = 3, limits: tuple[float, float] | None = None) -> int:
    """Returns the largest difference between what a file is decoded to and what it shows."""
    found = decode(data, channels, limits).astype(int)
    wanted = np.repeat(wanted[..., None], found.shape[2], axis=2) if wanted.ndim == 2 else wanted
    return int(np.abs(found - wanted.astype(int)).max())


def tiff(array: NDArray[Any], photometric: str = "minisblack", **options: Any) -> bytes:
    out = io.BytesIO()
    if options.get("planarconfig") == "separate":
        array = np.ascontiguousarray(array.transpose(2, 0, 1))
    tifffile.imwrite(out, array, photometric=photometric, **options)
    return out.getvalue()


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _packed(row: NDArray[Any], bits: int) -> bytes:
    if bits >= 8:
        return row.astype(f">u{bits // 8}").tobytes()
    each = np.unpackbits(row.reshape(-1, 1).astype(np.uint8), axis=1)[:, 8 - bits :]
    return np.packbits(each.reshape(-1)).tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(array: NDArray[Any], colour: int, bits: int, *extra: bytes) -> bytes:
    """A PNG of any colour type and depth: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha."""
    height, width = array.shape[:2]
    rows = b"".join(b"\0" + _packed(row, bits) for row in array)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    begin, end = b"\x89PNG\r\n\x1a\n" + header + b"".join(extra), chunk(b"IEND", b"")
    return begin + chunk(b"IDAT", zlib.compress(rows)) + end


def pnm(array: NDArray[Any], most: int, *, plain: bool = False) -> bytes:
    kind = (5 if array.ndim == 2 else 6) - 3 * plain
    header = f"P{kind} {array.shape[1]} {array.shape[0]} {most}\n".encode()
    if plain:
        return header + " ".join(map(str, array.reshape(-1))).encode()
    return header + array.astype(">u2" if most > 255 else "u1").tobytes()
