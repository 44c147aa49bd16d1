from __future__ import annotations

import io

import numpy as np
import pytest
from made import CLASSES, tree, zipped
from pictures import ALPHA, RGB
from PIL import Image

from gancli.data.formats import EXTENSIONS, UNREAD, decode, is_image, unread_kind
from gancli.data.opening import open_source
from gancli.data.source import BadImage
from gancli.errors import GancliError

OTHERS = "heic jp2 tga dcm psd cr2 nef arw dng jxl exr hdr svg pdf ico mp4 mov"
KINDS = [ending for ending in OTHERS.split() if f".{ending}" not in EXTENSIONS]


@pytest.mark.parametrize("ending", KINDS)
def test_files_of_other_kinds_are_counted_and_named(tmp_path, ending):
    tree(tmp_path / "all", f"a/1.png a/2.{ending} a/3.{ending.upper()} b/1.png b/notes.txt")
    kind, advice = unread_kind(f"x.{ending}")
    for location in (tmp_path / "all", zipped(tmp_path / "all")):
        source = open_source(str(location), inputs=CLASSES)
        assert len(source.domains["image"]) == 2
        assert f"2 files are not read ({kind}: a/2.{ending}, a/3.{ending.upper()}); {advice}" in source.notes
    alone = tree(tmp_path / "alone", f"1.{ending} 2.{ending} 3.txt")
    with pytest.raises(GancliError, match=rf"holds 3 files, but none is an image that is read \(2 {kind}\)") as caught:
        open_source(str(alone))
    assert caught.value.hint == advice


def test_no_kind_is_both_read_and_not():
    for ending in " ".join(UNREAD).split():
        assert is_image(f"a{ending}") != (unread_kind(f"a{ending}") is not None)
    assert unread_kind("a.txt") is None
    assert unread_kind("README") is None


def test_a_class_without_an_image_is_named(tmp_path):
    tree(tmp_path, "cat/1.png dog/1.xyz dog/deep/2.xyz bird/1.png bird/more/1.txt notes.txt")
    source = open_source(str(tmp_path), inputs=CLASSES)
    assert source.classes == ("bird", "cat")
    assert "the folder dog is not used: it holds 2 files, but no image" in source.notes
    assert "the folder bird/more is not used: it holds 1 file, but no image" in source.notes


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC" if "heic" in KINDS else "."),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000: convert"),
        (b"8BPS\0\1", "documents of image editors"),
        (b"\0" * 128 + b"DICM", "DICOM"),
        (b"%PDF-1.4", "vector graphics"),
        (b"\0\0\0\x18ftypisom", "videos"),
        (b"\x1aE\xdf\xa3", "videos"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"II*\0rubbish", "a TIFF that cannot be read"),
    ],
)
def test_files_with_a_wrong_ending_are_named_by_their_content(content, said):
    with pytest.raises(BadImage, match=said):
        decode(content, 3)


@pytest.mark.parametrize(("kind", "package"), [("HEIF", "pillow_heif"), ("JXL", "pillow_jxl")])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_packages_for_other_formats(kind, package, orientation):
    pytest.importorskip(package)
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    image = Image.fromarray(np.dstack([RGB, ALPHA])).resize((160, 96), Image.Resampling.BICUBIC)
    image.save(out, kind, exif=exif.tobytes(), quality=95)
    upright = np.rot90(np.asarray(image), {1: 0, 3: 2, 6: -1, 8: 1}[orientation])
    found = decode(out.getvalue(), 4)
    assert found.shape == upright.shape
    assert np.abs(found.astype(int) - upright).mean() < 3
