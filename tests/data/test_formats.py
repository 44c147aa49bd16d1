from __future__ import annotations

import io
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from gancli.data.formats import FORMATS, decode, is_image, stored_size
from gancli.data.source import IDS, BadImage


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def ramp(mode: str = "RGB", size: tuple[int, int] = (16, 12)) -> Image.Image:
    """A picture without any symmetry."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    colours = np.stack([x * 15, y * 20, (x + y) * 8], axis=-1).astype(np.uint8)
    return Image.fromarray(colours).convert(mode)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_lossless_formats_are_exact(kind, mode):
    image = ramp(mode)
    pixels = decode(encoded(image, kind), 3)
    assert pixels.dtype == np.uint8
    assert (pixels == np.asarray(image.convert("RGB"))).all()
    assert (decode(encoded(image, kind), 1)[:, :, 0] == np.asarray(image.convert("L"))).all()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_lossy_formats_are_close(kind):
    if kind not in FORMATS:
        pytest.skip("this Pillow reads no AVIF")
    pixels = decode(encoded(ramp(), kind, quality=95), 3)
    assert np.abs(pixels.astype(int) - np.asarray(ramp())).mean() < 6


def test_gif_is_a_palette():
    image = ramp().quantize(16)
    assert (decode(encoded(image, "GIF"), 3) == np.asarray(image.convert("RGB"))).all()


def test_one_bit():
    image = ramp("L").point(lambda value: 255 * (value > 100)).convert("1")
    assert (decode(encoded(image), 1)[:, :, 0] == np.asarray(image) * 255).all()


def test_alpha_lies_over_white():
    image = Image.new("RGBA", (4, 1))
    image.putdata([(200, 0, 0, 255), (200, 0, 0, 0), (0, 0, 0, 128), (0, 100, 0, 51)])
    pixels = decode(encoded(image), 3)[0].astype(int)
    assert pixels[:2].tolist() == [[200, 0, 0], [255, 255, 255]]
    assert np.abs(pixels[2:] - [[127, 127, 127], [204, 224, 204]]).max() <= 1


def test_alpha_is_kept_where_it_is_wanted():
    image = Image.new("RGBA", (3, 1))
    image.putdata([(200, 10, 0, 255), (200, 10, 0, 0), (90, 90, 90, 128)])
    assert (decode(encoded(image), 4) == np.asarray(image)).all()
    assert decode(encoded(image), 2)[0, :, 1].tolist() == [255, 0, 128]
    assert decode(encoded(image), 2)[0, 2, 0] == 90
    for channels in (2, 4):
        assert (decode(encoded(ramp()), channels)[:, :, -1] == 255).all()
        assert (decode(encoded(ramp()), channels)[:, :, :-1] == decode(encoded(ramp()), channels - 1)).all()
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.putdata([0, 1])
    assert decode(encoded(palette, transparency=0), 4)[0, :, 3].tolist() == [0, 255]


@pytest.mark.parametrize("channels", [5, 64])
def test_files_have_no_more_than_four_channels(channels):
    with pytest.raises(BadImage, match=f"at most 4 channels and not {channels}"):
        decode(encoded(ramp()), channels)


def test_stored_size_comes_from_the_header():
    data = encoded(ramp(size=(40, 30)), "JPEG")
    assert stored_size(data) == (40, 30)
    assert stored_size(data[:-20]) == (40, 30)
    for damaged in (b"", b"hello"):
        with pytest.raises(BadImage):
            stored_size(damaged)


def test_grey_with_alpha():
    image = Image.new("LA", (2, 1))
    image.putdata([(10, 255), (10, 0)])
    assert decode(encoded(image), 1)[0, :, 0].tolist() == [10, 255]


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_transparent_palette_entry_becomes_white(kind):
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.putdata([0, 1])
    pixels = decode(encoded(image, kind, transparency=0), 3)
    assert pixels[0].tolist() == [[255, 255, 255], [255, 0, 0]]


def test_transparent_colour_of_an_rgb_image_becomes_white():
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    image.putpixel((1, 0), (9, 9, 9))
    pixels = decode(encoded(image, transparency=(1, 2, 3)), 3)
    assert pixels[0].tolist() == [[255, 255, 255], [9, 9, 9]]


def test_cmyk():
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red = decode(encoded(image, "TIFF"), 3)
    assert red[4, 4].tolist() == [255, 0, 0]
    close = decode(encoded(image, "JPEG", quality=100), 3)[4, 4].astype(int)
    assert np.abs(close - [255, 0, 0]).max() < 8


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(kind):
    values = np.array([[0, 256, 257 * 100, 257 * 100 + 128, 65535]], np.uint16)
    pixels = decode(encoded(Image.fromarray(values), kind), 1)
    assert pixels[0, :, 0].tolist() == [0, 1, 100, 100, 255]
    assert decode(encoded(Image.fromarray(values), kind), 3)[0, 2].tolist() == [100, 100, 100]


def test_sixteen_bit_pgm():
    pgm = b"P5 3 1 65535\n" + struct.pack(">3H", 0, 257 * 100, 65535)
    assert decode(pgm, 1)[0, :, 0].tolist() == [0, 100, 255]
    assert decode(b"P5 3 1 100\n" + bytes([0, 50, 100]), 1)[0, :, 0].tolist() == [0, 128, 255]


def test_sixteen_bit_rgb():
    raw = b"".join(
        b"\0" + b"".join(struct.pack(">3H", 257 * 10 * x, 257 * 200, 65535) for x in range(4)) for _ in range(2)
    )

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 4, 2, 16, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    assert decode(png, 3)[1].tolist() == [[0, 200, 255], [10, 200, 255], [20, 200, 255], [30, 200, 255]]


def test_pixels_of_unknown_range_are_bad():
    with pytest.raises(BadImage, match="no known range"):
        decode(encoded(Image.fromarray(np.array([[0, 70000]], np.int32)), "TIFF"), 1)
    with pytest.raises(BadImage, match="no known range"):
        decode(encoded(Image.fromarray(np.array([[0, 3.5]], np.float32)), "TIFF"), 1)
    pixels = decode(encoded(Image.fromarray(np.array([[0, 0.5, 1]], np.float32)), "TIFF"), 1)
    assert pixels[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation(orientation, kind):
    upright = np.asarray(ramp())
    # What a camera stores so that a viewer who applies the tag sees the upright picture (EXIF 2.3, tag 0x0112).
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif.tobytes(), **options)
    assert (decode(data, 3) == upright).all()


def test_broken_exif_is_ignored():
    data = encoded(ramp(), "JPEG", exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff")
    assert decode(data, 3).shape == (12, 16, 3)


def gamma_profile() -> bytes:
    """A linear-light RGB profile: sRGB with its curves turned into straight lines."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", profile[128:132])[0]
    for tag in range(count):
        name, offset, size = struct.unpack(">4sII", profile[132 + 12 * tag : 144 + 12 * tag])
        if name in (b"rTRC", b"gTRC", b"bTRC"):
            profile[offset : offset + size] = struct.pack(">4sII", b"curv", 0, 0).ljust(size, b"\0")
        if name == b"desc":
            text = bytes(profile[offset : offset + size])
            profile[offset : offset + size] = text.replace(
                "sRGB".encode("utf-16-be"), "line".encode("utf-16-be")
            ).replace(b"sRGB", b"line")
    return bytes(profile)


def test_icc_profile_is_converted_to_srgb():
    linear = Image.new("RGB", (4, 4), (55, 55, 55))  # 0.2159 linear light is 128 in sRGB
    assert abs(int(decode(encoded(linear, icc_profile=gamma_profile()), 3)[0, 0, 0]) - 128) <= 1
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert (decode(encoded(linear, icc_profile=srgb), 3) == 55).all()


def test_icc_profile_with_alpha_and_palette():
    linear = Image.new("RGBA", (2, 1), (55, 55, 55, 255))
    linear.putpixel((1, 0), (55, 55, 55, 0))
    pixels = decode(encoded(linear, icc_profile=gamma_profile()), 3)[0, :, 0].astype(int)
    assert abs(pixels[0] - 128) <= 1
    assert pixels[1] == 255
    palette = Image.new("RGB", (2, 2), (55, 55, 55)).quantize(2)
    assert abs(int(decode(encoded(palette, icc_profile=gamma_profile()), 3)[0, 0, 0]) - 128) <= 1


@pytest.mark.parametrize("profile", [b"nonsense", gamma_profile()[:200]])
def test_broken_icc_profile_is_ignored(profile):
    assert (decode(encoded(ramp(), icc_profile=profile), 3) == np.asarray(ramp())).all()


def test_profile_of_another_colour_space_is_ignored():
    assert (decode(encoded(ramp("L"), icc_profile=gamma_profile()), 1)[:, :, 0] == np.asarray(ramp("L"))).all()


def test_animation_gives_its_first_frame():
    first, second = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    data = encoded(first, "GIF", save_all=True, append_images=[second])
    assert decode(data, 3)[0, 0].tolist() == [255, 0, 0]
    data = encoded(first, "WEBP", save_all=True, append_images=[second], lossless=True)
    assert decode(data, 3)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
def test_cut_off_files_are_bad(kind):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(image, kind)
    for length in (0, 3, 20, len(data) // 2):
        with pytest.raises(BadImage) as caught:
            decode(data[:length], 3)
        assert str(caught.value)


def test_damaged_png_is_bad():
    data = bytearray(encoded(ramp()))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(BadImage):
        decode(bytes(data), 3)


@pytest.mark.parametrize("content", [b"hello, world", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\0" * 100])
def test_other_files_are_bad(content):
    with pytest.raises(BadImage, match="not an image"):
        decode(content, 3)


def test_decompression_bomb_is_bad():
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    data = (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + b"IHDR"
        + header
        + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    )
    data += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    with pytest.raises(BadImage, match="bomb"):
        decode(data, 3)


def test_extensions():
    for name in ["a.png", "A.JPG", "b.jpeg", "c.webp", "d.bmp", "e.gif", "f.tif", "g.TIFF", "h.ppm", "i.pgm"]:
        assert is_image(name), name
    for name in ["a.txt", "png", "README", "a.png.txt", "a.eps", "a.svg", "a."]:
        assert not is_image(name), name
    assert is_image("a.avif") == ("AVIF" in FORMATS)


def test_threads_give_the_same_pixels():
    data = encoded(ramp(size=(64, 48)), "JPEG", icc_profile=gamma_profile())
    reference = decode(data, 3)
    different = []

    def work() -> None:
        different.extend(1 for _ in range(30) if not (decode(data, 3) == reference).all())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not different


def test_real_photographs(real_data: Path):
    wide = 0
    for path in [real_data / "horse.jpg", *sorted((real_data / "monet2photo" / "trainB").iterdir())]:
        pixels = decode(path.read_bytes(), 3)
        with Image.open(path) as image:
            profile = image.info.get("icc_profile", b"")
            expected = image.convert("RGB")
        if b"Adobe RGB" in profile or b"ProPhoto" in profile:
            wide += 1
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(expected, io.BytesIO(profile), srgb, outputMode="RGB")
            assert not (pixels == np.asarray(expected)).all()
            expected = converted
        assert (pixels == np.asarray(expected)).all(), path
    assert wide > 1


# -- masks ------------------------------------------------------------------------------------------------------------


def test_masks_are_read_as_they_are_stored():
    ids = np.random.default_rng(0).integers(0, 256, (9, 7), dtype=np.uint8)
    grey = Image.fromarray(ids)
    palette = Image.fromarray(ids)
    palette.putpalette(np.random.default_rng(1).integers(0, 256, 768, dtype=np.uint8).tobytes())
    wide = Image.fromarray(ids.astype(np.uint16))
    for image in (grey, palette, wide):
        found = decode(encoded(image), IDS)
        assert (found.dtype, found.shape) == (np.uint8, (9, 7, 1))
        assert (found[:, :, 0] == ids).all()
    assert (decode(encoded(palette, transparency=3), IDS)[:, :, 0] == ids).all()
    few = Image.fromarray(ids % 4)
    few.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    assert (decode(encoded(few, bits=2), IDS)[:, :, 0] == ids % 4).all()
    bits = Image.fromarray(ids > 100)
    assert (decode(encoded(bits), IDS)[:, :, 0] == (ids > 100)).all()
    exif = Image.Exif()
    exif[0x0112] = 6
    assert (decode(encoded(palette, exif=exif), IDS)[:, :, 0] == np.rot90(ids, -1)).all()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: encoded(ramp()), r"its colours \(RGB\) are not ids of classes"),
        (lambda: encoded(ramp().convert("RGBA")), r"its colours \(RGBA\) are not"),
        (lambda: encoded(ramp("L"), "JPEG"), "JPEG changes the values"),
        (lambda: encoded(Image.fromarray(np.full((3, 3), 256, np.uint16))), "it holds the id 256, but ids are from 0"),
    ],
)
def test_what_is_no_mask(content, said):
    with pytest.raises(BadImage, match=said):
        decode(content(), IDS)
