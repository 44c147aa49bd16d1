"""Every mode and depth of a stored image gives the picture that it shows, or is refused by name."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from pictures import ALPHA, GREY, RGB, H, W, chunk, encoded, off_by, over_white, png, pnm, tiff
from PIL import Image, ImageCms

from gancli.data.formats import decode
from gancli.data.levels import to_levels
from gancli.data.pixels import to_pixels
from gancli.data.source import IDS, BadImage

GREY_16, RGB_16 = GREY.astype(np.uint16) * 257, RGB.astype(np.uint16) * 257
PREMULTIPLIED = np.dstack([np.rint(RGB * (ALPHA / 255)[..., None]), ALPHA])
TWO = {"planarconfig": "contig"}
NOISE = np.random.default_rng(0)

# -- TIFF -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    ("array", "photometric", "wanted", "options"),
    [
        (GREY, "minisblack", GREY, {}),
        (255 - GREY, "miniswhite", GREY, {}),
        (GREY_16, "minisblack", GREY, {}),
        (65535 - GREY_16, "miniswhite", GREY, {}),
        ((GREY / 255).astype("f4"), "minisblack", GREY, {}),
        ((1 - GREY / 255).astype("f4"), "miniswhite", GREY, {}),
        (GREY > 127, "minisblack", (GREY > 127) * 255, {}),
        (GREY <= 127, "miniswhite", (GREY > 127) * 255, {}),
        *((RGB, "rgb", RGB, options) for options in ({}, {"tile": (16, 16)}, {"rowsperstrip": 5})),
        *((RGB_16, "rgb", RGB, options) for options in ({}, {"tile": (16, 16)}, {"rowsperstrip": 5})),
        (RGB, "rgb", RGB, {"planarconfig": "separate"}),
        (RGB, "rgb", RGB, {"planarconfig": "separate", "tile": (16, 16)}),
        (RGB_16, "rgb", RGB, {"planarconfig": "separate"}),
        (np.dstack([255 - RGB, 0 * GREY]), "separated", RGB, {"planarconfig": "contig"}),
        (np.dstack([65535 - RGB_16, 0 * GREY_16]), "separated", RGB, {"planarconfig": "contig"}),
        (np.dstack([RGB, ALPHA]), "rgb", over_white(RGB), {"extrasamples": ["unassalpha"]}),
        (np.dstack([RGB, ALPHA]), "rgb", RGB, {"extrasamples": ["unspecified"]}),
        (np.dstack([RGB_16, ALPHA.astype("u2") * 257]), "rgb", over_white(RGB), {"extrasamples": ["unassalpha"]}),
        (PREMULTIPLIED.astype("u1"), "rgb", over_white(RGB), {"extrasamples": ["assocalpha"]}),
        ((PREMULTIPLIED * 257).astype("u2"), "rgb", over_white(RGB), {"extrasamples": ["assocalpha"]}),
        (np.dstack([GREY, ALPHA]), "minisblack", over_white(GREY), TWO | {"extrasamples": ["unassalpha"]}),
        (PREMULTIPLIED[..., ::3].astype("u1"), "minisblack", over_white(GREY), TWO | {"extrasamples": ["assocalpha"]}),
        (np.dstack([GREY, ALPHA]), "minisblack", GREY, TWO | {"extrasamples": ["unspecified"]}),
        *(
            (GREY, "palette", np.dstack([GREY, 255 - GREY, GREY]), {"colormap": np.stack([ramp, ramp[::-1], ramp])})
            for ramp in (np.arange(256, dtype="u2") * 257, np.arange(256, dtype="u2"))  # the second by wrong programs
        ),
        *((255 - GREY_16.astype(kind), "miniswhite", GREY, {}) for kind in ("u4", "i4")),
        *((GREY.astype(kind), "minisblack", GREY, {}) for kind in ("i1", "i2", "i4", "u4", "u8", "f2", "f8", "c8")),
        *((RGB.astype(kind), "rgb", RGB, {}) for kind in ("i1", "i2", "u4", "f2", "f4", "f8")),
        (np.dstack([RGB, RGB]), "minisblack", RGB, {"planarconfig": "contig"}),
        (GREY_16 >> 4, "minisblack", GREY, {}),
        (RGB_16 >> 4, "rgb", RGB, {}),
        (RGB, "icclab", RGB, {}),
    ],
)  # fmt: skip
def test_a_tiff_is_right_or_refused(array, photometric, wanted, options, byteorder, compression):
    data = tiff(array, photometric, byteorder=byteorder, compression=compression, **options)
    refused = None
    try:
        difference = off_by(data, wanted)
    except BadImage as error:
        refused = str(error)
    if refused is None:
        assert difference <= 1
    else:
        assert "save it" in refused or "data.range=[" in refused
        assert array.dtype != np.uint8 or array.shape[2:] == (6,) or photometric == "icclab"


def test_common_tiffs_are_read():
    for data in (
        tiff(65535 - GREY_16, "miniswhite"),
        tiff((1 - GREY / 255).astype("f4"), "miniswhite"),
        tiff((GREY / 255).astype("f4"), byteorder=">", compression="zlib"),
        encoded(Image.fromarray(GREY_16), "TIFF", compression="tiff_lzw"),
    ):
        assert off_by(data, GREY) <= 1
    for kind in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        for mode in ("1", "L", "P", "RGB", "CMYK", "YCbCr"):
            image = Image.fromarray(RGB).convert(mode)
            assert off_by(encoded(image, "TIFF", compression=kind), np.asarray(image.convert("RGB"))) <= 2, (kind, mode)
    large = Image.fromarray(RGB).resize((160, 96), Image.Resampling.BICUBIC)
    for mode in ("L", "RGB", "CMYK"):
        image = large.convert(mode)
        data = encoded(image, "TIFF", compression="jpeg", quality=95)
        assert off_by(data, np.asarray(image.convert("RGB"))) < 25, mode


def test_twelve_bits_by_the_header():
    values = np.rint(GREY.astype(float) * 4095 / 255).astype(int)
    bits = np.unpackbits(values.astype(">u2").view("u1").reshape(-1, 2), axis=1)[:, 4:].reshape(-1)
    data = bytearray(tiff(np.packbits(bits).reshape(H, -1)))
    for tag, value in ((256, W), (258, 12)):
        at = data.index(struct.pack("<H", tag), struct.unpack("<I", data[4:8])[0])
        data[at + 8 : at + 10] = struct.pack("<H", value)
    assert off_by(bytes(data), GREY) <= 1


def test_lab_is_a_colour_space():
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    image = Image.new("RGB", (8, 8), (200, 100, 50))
    stored = ImageCms.applyTransform(image, ImageCms.buildTransform(srgb, lab, "RGB", "LAB"))
    for channels, wanted in ((3, [200, 100, 50]), (1, [124])):
        found = decode(encoded(stored, "TIFF"), channels)[0, 0].astype(int)
        assert np.abs(found - wanted).max() <= 2


# -- PNG --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_png(bits):
    most = 2**bits - 1
    values = np.rint(GREY / 255 * most).astype(int)
    shown = np.rint(values * 255 / most)
    assert off_by(png(values, 0, bits), shown) == 0
    chosen = values[0, W // 2]
    data = png(values, 0, bits, chunk(b"tRNS", struct.pack(">H", chosen)))
    assert off_by(data, np.where(values == chosen, 255, shown)) == 0
    assert off_by(data, np.dstack([shown, np.where(values == chosen, 0, 255)]), channels=2) == 0
    assert off_by(png(np.minimum(values, 255), 0, bits), np.minimum(values, 255)[..., None], IDS) == 0


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palette_png(bits):
    values = np.rint(GREY / 255 * (2**bits - 1)).astype(int)
    colours, alpha = NOISE.integers(0, 256, (2**bits, 3)), NOISE.integers(0, 256, 2**bits)
    palette = chunk(b"PLTE", colours.astype("u1").tobytes())
    assert off_by(png(values, 3, bits, palette), colours[values]) == 0
    data = png(values, 3, bits, palette, chunk(b"tRNS", alpha.astype("u1").tobytes()))
    assert off_by(data, over_white(colours[values], alpha[values])) <= 1
    assert off_by(data, values[..., None], IDS) == 0


def test_sixteen_bits_of_several_channels():
    values = np.minimum(RGB_16.astype(int) + NOISE.integers(0, 257, RGB.shape), 65535)
    shown, alpha = np.rint(values / 257), ALPHA.astype(int) * 257
    assert off_by(png(values, 2, 16), shown) <= 1
    assert off_by(png(np.dstack([values, alpha]), 6, 16), over_white(shown)) <= 1
    assert off_by(png(np.dstack([values[..., 0], alpha]), 4, 16), over_white(shown[..., 0])) <= 1
    # One colour is transparent, and not those with the same upper byte.
    chosen = values[5, 7]
    values[3, 3] = chosen ^ 1
    data = png(values, 2, 16, chunk(b"tRNS", struct.pack(">3H", *chosen)))
    same = (values == chosen).all(-1)
    assert same.sum() == 1
    assert off_by(data, np.where(same[..., None], 255, np.rint(values / 257))) <= 1


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("gamma", [1.0, 1 / 1.8, 1 / 2.2])
def test_gamma(bits, gamma):
    values, most = RGB.astype(int) * (257 if bits == 16 else 1), 2**bits - 1
    about = chunk(b"gAMA", struct.pack(">I", round(gamma * 1e5)))
    exponent = 1 if gamma < 0.5 else 1 / (2.2 * gamma)
    shown = np.rint(255 * (values / most) ** exponent)
    assert off_by(png(values, 2, bits, about), shown) <= 1
    assert off_by(png(values[..., 0], 0, bits, about), shown[..., 0]) <= 1
    with_alpha = png(np.dstack([values, ALPHA.astype(int) * (257 if bits == 16 else 1)]), 6, bits, about)
    assert off_by(with_alpha, np.dstack([shown, ALPHA]), channels=4) <= 1
    assert off_by(png(values, 2, bits, chunk(b"sRGB", b"\0"), about), RGB) <= 1


def grey_profile() -> bytes:
    """A profile of grey in linear light."""
    white = struct.pack(">4sIiii", b"XYZ ", 0, 63190, 65536, 54061)
    curve = struct.pack(">4sIIHH", b"curv", 0, 1, 256, 0)
    text = b"desc\0\0\0\0\0\0\0\5grey\0".ljust(92, b"\0")
    tags, at = b"", 128 + 4 + 3 * 12
    for name, content in ((b"desc", text), (b"wtpt", white), (b"kTRC", curve)):
        tags += struct.pack(">4sII", name, at, len(content))
        at += len(content)
    header = (
        struct.pack(">I4sI4s4s4s", at, b"\0\0\0\0", 0x02100000, b"mntr", b"GRAY", b"XYZ ").ljust(36, b"\0") + b"acsp"
    )
    header = header.ljust(68, b"\0") + struct.pack(">iii", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", 3) + tags + text + white + curve


def test_profile_of_a_grey_image():
    shares = GREY / 255
    shown = np.rint(255 * np.where(shares <= 0.0031308, 12.92 * shares, 1.055 * shares ** (1 / 2.4) - 0.055))
    for image in (Image.fromarray(GREY), Image.fromarray(GREY_16)):
        assert off_by(encoded(image, "PNG", icc_profile=grey_profile()), shown) <= 1
    with_alpha = Image.fromarray(np.dstack([GREY, ALPHA]))
    assert off_by(encoded(with_alpha, "PNG", icc_profile=grey_profile()), np.dstack([shown, ALPHA]), channels=2) <= 1


# -- the range of numbers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 3, 100, 255, 256, 1023, 4095, 65535])
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("picture", [GREY, RGB], ids=["grey", "rgb"])
def test_pnm_has_its_own_white(most, plain, picture):
    values = np.rint(picture.astype(float) * most / 255).astype(int)
    assert off_by(pnm(values, most, plain=plain), np.rint(values * 255 / most)) <= 1
    if picture.ndim == 2 and most < 256:
        assert off_by(pnm(values, most, plain=plain), values[..., None], IDS) == 0
    if most > 255 and not (plain and picture.ndim == 3):
        half = most // 2
        wanted = np.minimum(np.rint(values * 255 / half), 255)
        assert off_by(pnm(values, most, plain=plain), wanted, limits=(0, half)) <= 1


TWELVE = np.rint(RGB.astype(float) * 4095 / 255).astype(np.uint16)


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (png(TWELVE, 2, 16), RGB),
        (png(TWELVE[..., 0], 0, 16), GREY),
        (png(np.dstack([TWELVE, ALPHA.astype(int) * 257]), 6, 16), over_white(RGB)),
        (tiff(TWELVE, "rgb"), RGB),
        (tiff(TWELVE, "rgb", byteorder=">", compression="zlib"), RGB),
        (tiff(TWELVE[..., 0]), GREY),
        (tiff(4095 - TWELVE[..., 0], "miniswhite"), GREY),
        (pnm(TWELVE, 65535), RGB),
        (pnm(TWELVE[..., 0], 65535), GREY),
    ],
)
def test_twelve_bits_in_sixteen_are_never_dark(data, wanted):
    with pytest.raises(BadImage, match=r"nearly black.*data.range=\[0,4095\]"):
        decode(data, 3)
    assert off_by(data, wanted, limits=(0, 4095)) <= 1
    assert decode(data, 3, (0, 65535)).max() in (15, 16, 255)


@pytest.mark.parametrize(
    ("data", "limits"),
    [
        (tiff((GREY.astype(int) - 128).astype("i1")), (-128, 127)),
        (tiff((GREY_16.astype(int) - 32768).astype("i2")), (-32768, 32767)),
        (tiff((GREY_16.astype(int) - 32768).astype("i2"), byteorder=">", compression="zlib"), (-32768, 32767)),
        (tiff(GREY.astype("i4")), (0, 255)),
        (tiff(GREY.astype("u4") * 16843009), (0, 2**32 - 1)),
        (tiff((GREY * 10.0 - 1000).astype("f4")), (-1000, 1550)),
    ],
)
def test_other_numbers_need_a_range(data, limits):
    with pytest.raises(BadImage, match=r"have no known range: data.range=\["):
        decode(data, 3)
    assert off_by(data, GREY, limits=limits) <= 1


def test_what_is_said_of_a_range():
    facts: list[str] = []
    decode(tiff(GREY_16), 1, tell=facts.append)
    decode(tiff(GREY_16), 1, (0, 4095), facts.append)
    decode(png(RGB, 2, 8), 1, (0, 4095), facts.append)
    shown = "numbers from 0 to {} become black to white"
    assert facts == [shown.format("65,535"), shown.format("4,095")]


def test_a_black_image_and_one_without_numbers():
    assert decode(tiff(GREY_16 * 0), 1).max() == 0
    with pytest.raises(BadImage, match="not finite"):
        decode(tiff(np.full((3, 3), np.nan, "f4")), 1)


def test_levels_are_rounded():
    values = np.arange(65536)
    assert (to_levels(values.astype(np.uint16), (0, 65535)) == (values + 128) // 257).all()
    assert to_levels(np.array([0, 0.5, 1]), (0, 1)).tolist() == [0, 128, 255]
    assert to_levels(np.array([-9, 0, 50, 100, 900]), (0, 100), inverted=True).tolist() == [255, 255, 128, 0, 0]


# -- modes of Pillow images -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"])
def test_modes(mode):
    image = Image.fromarray(RGB).convert(mode)
    for channels, shown in ((3, "RGB"), (1, "L")):
        wanted = np.asarray(image.convert("RGB").convert(shown)).reshape(H, W, channels)
        assert np.abs(to_pixels(image, channels).astype(int) - wanted).max() <= 2


@pytest.mark.parametrize("mode", ["RGBa", "La", "RGBA", "LA"])
def test_alpha_of_modes(mode):
    colours = RGB if mode[0] == "R" else GREY
    image = Image.fromarray(np.dstack([colours, ALPHA])).convert(mode)
    assert np.abs(to_pixels(image, 3).astype(int) - over_white(colours).reshape(H, W, -1)).max() <= 2


@pytest.mark.parametrize(
    ("mode", "kind"), [("I;16", "<u2"), ("I;16L", "<u2"), ("I;16B", ">u2"), ("I;16N", "=u2"), ("I", "=i4")]
)
def test_integer_modes(mode, kind):
    image = Image.frombytes(mode, (W, H), GREY_16.astype(kind).tobytes())
    assert (to_pixels(image, 1)[..., 0] == GREY).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_large_images_are_converted_in_strips(monkeypatch, orientation):
    monkeypatch.setattr("gancli.data.pixels.STRIP", 3 * W)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.dstack([RGB, ALPHA]))
    whole = encoded(image.convert("P"), "PNG", exif=exif, transparency=7)
    parts = decode(whole, 4)
    monkeypatch.undo()
    assert (parts == decode(whole, 4)).all()
    grey = encoded(Image.fromarray(GREY_16), "PNG", exif=exif)
    assert decode(grey, 1).flags.c_contiguous


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"rowsperstrip": 5}])
def test_separate_planes_of_sixteen_bits(byteorder, options):
    assert off_by(tiff(RGB_16, "rgb", planarconfig="separate", byteorder=byteorder, **options), RGB) <= 1
    with_alpha = np.dstack([RGB_16, ALPHA.astype("u2") * 257])
    data = tiff(with_alpha, "rgb", planarconfig="separate", byteorder=byteorder, extrasamples=["unassalpha"], **options)
    assert off_by(data, np.dstack([RGB, ALPHA]), channels=4) <= 1
