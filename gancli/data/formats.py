"""Decodes image files of every format that is read, with Pillow, and names the others. Importable without torch."""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib import import_module

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from gancli.data.headers import Header, read_header, tiff_in_words, use_raw_mode
from gancli.data.levels import Range, in_words
from gancli.data.pixels import ORIENTATION, convert
from gancli.data.source import IDS, BadImage, Pixels

# Packages of gancli[formats]; both register themselves with Pillow.
with suppress(ImportError):
    import_module("pillow_heif").register_heif_opener()
with suppress(ImportError):
    import_module("pillow_jxl")
Image.init()
# No other format is ever tried: some of Pillow's run external programs.
FORMATS = tuple(
    known
    for known in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "HEIF", "JXL")
    if known in Image.OPEN
)
EXTENSIONS = frozenset(
    extension for extension, known in Image.registered_extensions().items() if known in FORMATS and extension != ".pfm"
)
"""Endings of image files in a directory or an archive, with the dot and in lower case."""

PACKAGES = "pip install 'gancli[formats]'"
_CONVERT = "convert them to PNG or JPEG"
_DEVELOP = "develop them to TIFF, PNG or JPEG"
UNREAD = {
    ".heic .heif .hif": ("HEIC", PACKAGES),
    ".jxl": ("JPEG XL", PACKAGES),
    ".avif .avifs": ("AVIF", "install a Pillow that reads AVIF (11.3 or newer)"),
    ".jp2 .j2k .jpf .jpx .j2c .jpc .jpm": ("JPEG 2000", _CONVERT),
    ".tga .icb .vda .vst": ("TGA", _CONVERT),
    ".dcm .dicom .dic": ("DICOM", "export them as PNG, for instance with the package pydicom"),
    ".nii .nii.gz .mha .nrrd": ("medical volumes", "save slices as PNG, for instance with the package nibabel"),
    ".psd .psb .xcf .kra .ai .eps": ("documents of image editors", "export them as PNG or JPEG"),
    ".cr2 .cr3 .nef .nrw .arw .sr2 .dng .orf .rw2 .raf .pef .srw .raw .3fr .iiq .x3f": ("camera raw", _DEVELOP),
    ".exr .hdr .rgbe .pfm": ("high dynamic range", "tone-map them and save them as PNG"),
    ".svg .svgz .pdf .wmf .emf": ("vector graphics", "render them to PNG"),
    ".ico .icns .cur .pcx .dds .sgi .rgb .xpm .xbm .qoi .jxr .wdp .bpg .flif .djvu": ("rare formats", _CONVERT),
    ".mp4 .mov .avi .mkv .webm .m4v .mpg .mpeg .wmv .flv .3gp .mts .m2ts .ogv": (
        "videos",
        "save their frames as images: ffmpeg -i VIDEO frames/%06d.png",
    ),
}  # fmt: skip
"""Endings of images and videos that are not read, what they are, and what to do; those that are read are left out."""
_UNREAD_BY_ENDING = {
    ending: known for endings, known in UNREAD.items() for ending in endings.split() if ending not in EXTENSIONS
}

_CONTENTS: tuple[tuple[bytes, str], ...] = (
    (rb"....ftyp(heic|heix|heim|heis|hevc|hevx|mif1|msf1)", ".heic"),
    (rb"....ftyp(avif|avis)", ".avif"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", ".jxl"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", ".jp2"),
    (rb".{128}DICM", ".dcm"),
    (rb"8BPS", ".psd"),
    (rb"v/1\x01|#\?RADIANCE|#\?RGBE", ".exr"),
    (rb"%PDF|\s*(<\?xml[^>]*>\s*)?<svg", ".svg"),
    (rb"\0\0[\x01\x02]\0|DDS |icns", ".ico"),
    (rb"....ftyp|RIFF....AVI |\x1aE\xdf\xa3|\0\0\x01\xba", ".mp4"),
)
"""How files of these kinds begin, whatever they are called."""
_TIFF = re.compile(rb"II[*+]\0|MM\0[*+]")
_PAGE = re.compile(rb"\s*<(!doctype html|html|head|\?xml)", re.IGNORECASE)

LARGEST_FILE = 2**29
"""Bytes of an image file; larger ones are refused."""
MOST_MEMORY = 2**30
"""Bytes that decoding one image may take; images that need more are refused."""
_DECODERS = {"WEBP": 12, "AVIF": 12, "HEIF": 12, "JXL": 16}
"""Bytes for each pixel that the decoders of some formats need beside the image."""
_large = threading.Lock()
LARGE = 2**24
"""Images with more pixels are decoded one at a time, so that the memory does not grow with the number of threads."""

# Pillow reports odd metadata and large images as warnings, which would break up the progress display. An image that
# cannot be read raises an exception.
warnings.filterwarnings("ignore", module=r"PIL\.")

Tell = Callable[[str], None]
"""Takes a fact about how an image was read that its user should know."""


def is_image(name: str) -> bool:
    """Returns whether a file name ends like that of an image that is read."""
    dot = name.rfind(".")
    return dot >= 0 and name[dot:].lower() in EXTENSIONS


def unread_kind(name: str) -> tuple[str, str] | None:
    """Returns what a file is by its ending, and what to do, if it is an image or video of a kind that is not read."""
    lowered = name.lower()
    if lowered.endswith(".nii.gz"):
        return UNREAD[".nii .nii.gz .mha .nrrd"]
    return _UNREAD_BY_ENDING.get(lowered[lowered.rfind(".") :]) if "." in lowered else None


def decode(data: bytes, channels: int, limits: Range | None = None, tell: Tell | None = None) -> Pixels:
    """Decodes the content of an image file to ``channels`` as for ``to_pixels``.

    Args:
        limits: ``data.range``, the numbers that become black and white if they have more than 8 bits; None: automatic.
        tell: is told how numbers of more than 8 bits were mapped, and whether other frames are left out.

    Raises:
        BadImage: it is damaged, cut off, too large (a decompression bomb), not an image, or refused by ``to_pixels``.
    """
    # Turned images are copied here, where the loaded one is gone.
    return np.ascontiguousarray(_decoded(data, channels, limits, tell))


def _decoded(data: bytes, channels: int, limits: Range | None, tell: Tell | None) -> Pixels:
    with _opened(data) as image:
        header = read_header(image, data)
        both = header.low is not None and channels != IDS and bool(limits or header.transparent or header.gamma)
        if header.transparent is not None and header.sixteen and not both:
            raise BadImage("16 bits with a transparent colour cannot be read; save it with an alpha channel")
        pixels = image.width * image.height
        if pixels * _bytes_a_pixel(image, channels, both) > MOST_MEMORY:
            raise BadImage(
                f"it has {pixels:,} pixels, and decoding it would take more than {MOST_MEMORY // 2**30} GiB of memory; "
                "make it smaller"
            )
        with _large if pixels > LARGE else nullcontext():
            lower = _lower_bytes(image, header, data) if both else None
            several = bool(getattr(image, "is_animated", False)) and image.format != "MPO"
            image.load()
            found = convert(image, channels, header, limits, lower)
        if tell is not None:
            if found.span is not None:
                tell(in_words(found.span))
            if several:
                tell("only the first of several frames or pages is used")
        return found.pixels


def stored_size(data: bytes) -> tuple[int, int]:
    """Returns width and height from an image file's header, before any rotation; raises ``BadImage``."""
    with _opened(data) as image:
        return image.size


@contextmanager
def _opened(data: bytes) -> Iterator[ImageFile]:
    """Opens an image file's content; any error in the ``with`` block becomes a ``BadImage``."""
    if not data:
        raise BadImage("the file is empty")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            yield image
    except (BadImage, MemoryError):
        raise
    except UnidentifiedImageError:
        raise BadImage(_what_it_is(data)) from None
    # Pillow's decoders raise nearly every kind of exception on damaged data.
    except Exception as error:
        raise BadImage(" ".join(str(error).split()) or type(error).__name__) from error


def _what_it_is(data: bytes) -> str:
    """Returns in words what a file is that Pillow cannot open."""
    for beginning, ending in _CONTENTS:
        if re.match(beginning, data[:1024], re.DOTALL) and ending not in EXTENSIONS:
            kind, advice = _UNREAD_BY_ENDING[ending]
            return f"not an image of a known format, but one of {kind}: {advice}"
    if _TIFF.match(data):
        return f"a TIFF that cannot be read{tiff_in_words(data)}; save it as PNG, or as TIFF with 8 bits"
    if _PAGE.match(data):
        return "not an image, but a web page"
    return "not an image, or an unknown format"


def _bytes_a_pixel(image: Image.Image, channels: int, both: bool) -> int:
    """Returns about how many bytes for each pixel are in memory at most while an image is decoded."""
    stored = {"1": 1, "L": 1, "P": 1}.get(image.mode, 2 if image.mode.startswith("I;16") else 4)
    decoder = _DECODERS.get(image.format or "", 0)
    if image.info.get("progressive"):
        decoder = 6  # the coefficients of all scans
    if isinstance(image, TiffImageFile):
        # libtiff reads a strip at a time, which may be all; and Pillow itself turns the image upright.
        bits = image.tag_v2.get(258, (1,))
        decoder = (sum(bits) + 7) // 8 if image.tile and image.tile[0][0] == "libtiff" else 0
        decoder = max(decoder, stored if image.tag_v2.get(ORIENTATION, 1) != 1 else 0)
    stored, made = stored * (1 + both), max(channels, 1)
    return max(stored + decoder, stored + made, 2 * made)  # the last while a turned image is copied


def _lower_bytes(image: ImageFile, header: Header, data: bytes) -> ImageFile:
    """Returns the lower bytes of 16-bit numbers as an image, and lets ``image`` load the upper ones."""
    assert header.low is not None
    codec, upper_mode, lower_mode = header.low
    codec = codec if codec == "raw" and image.format == "PPM" else ""
    use_raw_mode(image, upper_mode, codec or None)
    lower = Image.open(io.BytesIO(data), formats=FORMATS)
    use_raw_mode(lower, lower_mode, codec or None)
    lower.load()
    return lower
