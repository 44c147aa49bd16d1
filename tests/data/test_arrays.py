from __future__ import annotations

import contextlib
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import RGB, npz

from gancli.data.arrays import read_idx
from gancli.data.opening import open_source
from gancli.data.source import IDS, BadImage
from gancli.errors import GancliError


@given(st.binary(max_size=64))
def test_idx_parser_never_fails_otherwise(content):
    for data in (content, b"\0\0\x08\x03" + content, b"\x1f\x8b\x08" + content):
        with contextlib.suppress(GancliError):
            assert read_idx(data, "x", 3).ndim == 3


@pytest.mark.parametrize("key", ["images", "x", "arr_0", "x_train", "train_images"])
def test_npz_images(tmp_path, key):
    source = npz(tmp_path, **{key: RGB})
    assert (source.domains["image"].read(3, 3) == RGB[3]).all()
    assert source.labels is None


def test_npz_orders_of_axes(tmp_path):
    assert (npz(tmp_path, x=RGB.transpose(0, 3, 1, 2)).domains["image"].read(2, 3) == RGB[2]).all()
    assert (npz(tmp_path, x=RGB[..., 0]).domains["image"].read(2, 1)[..., 0] == RGB[2, ..., 0]).all()
    assert (npz(tmp_path, x=RGB[..., :1]).domains["image"].read(2, 3) == RGB[2, ..., :1]).all()
    # Both could be channels: the last one is.
    ambiguous = np.zeros((2, 3, 8, 3), np.uint8)
    assert npz(tmp_path, x=ambiguous).domains["image"].read(0, 3).shape == (3, 8, 3)
    alpha = np.full((1, 2, 2, 4), 100, np.uint8)
    alpha[..., 3] = 0
    assert (npz(tmp_path, x=alpha).domains["image"].read(0, 3) == 255).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_npz_floats(tmp_path, dtype):
    unit = npz(tmp_path, x=(RGB / 255).astype(dtype)).domains["image"].read(1, 3)
    assert np.abs(unit.astype(int) - RGB[1]).max() <= (1 if dtype == np.float16 else 0)
    symmetric = npz(tmp_path, x=(RGB / 127.5 - 1).astype(dtype)).domains["image"].read(1, 3)
    assert np.abs(symmetric.astype(int) - RGB[1]).max() <= (1 if dtype == np.float16 else 0)


def test_npz_labels_and_parts(tmp_path):
    arrays = {
        "x_train": RGB,
        "y_train": np.array([[0], [1], [2], [1], [0]]),
        "x_test": RGB[:2],
        "y_test": np.array([4, 0]),
    }
    train, test, both = (npz(tmp_path, split, **arrays) for split in ("train", "test", "all"))
    assert (train.labels.tolist(), test.labels.tolist()) == ([0, 1, 2, 1, 0], [4, 0])
    assert both.labels.tolist() == [0, 1, 2, 1, 0, 4, 0]
    assert both.classes == ("0", "1", "2", "3", "4")
    assert len(both.domains["image"]) == 7
    assert len({train.fingerprint, test.fingerprint, both.fingerprint}) == 3
    assert len(npz(tmp_path, "test", images=RGB, labels=np.arange(5)).domains["image"]) == 5


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"weights": RGB}, "its arrays are weights"),
        ({"x": RGB.astype(np.int64)}, "int64"),
        ({"x": RGB.astype(np.float32)}, "floats run from 0 to 255"),
        ({"x": np.full((2, 4, 4), np.nan)}, "no finite number"),
        ({"x": RGB[0, 0]}, "neither images nor points"),
        ({"x": np.zeros((0, 4, 4), np.uint8)}, r"is empty: its shape is \[0, 4, 4\]"),
        ({"x": np.zeros((4, 2), np.int64)}, r"is int64 \[4, 2\], which is neither images nor points"),
        ({"x": np.zeros((2, 7, 6, 7), np.uint8)}, "neither images nor points"),
        ({"x": RGB, "y": np.zeros(4, int)}, "labels of 5 images"),
        ({"x": RGB, "y": np.full(5, 1j)}, "labels of 5 images"),
        ({"x": np.array([object()])}, "never loaded"),
        ({"x": RGB, "y": np.array([object()] * 5)}, "never loaded"),
    ],
)
def test_npz_errors(tmp_path, arrays, message):
    with pytest.raises(GancliError, match=message) as caught:
        npz(tmp_path, **arrays)
    assert "data.npz" in caught.value.message


def test_npz_with_some_numbers_missing(tmp_path):
    floats = np.full((2, 4, 4), 0.5)
    floats[1, 0, 0] = np.nan
    images = npz(tmp_path, x=floats).domains["image"]
    assert (images.read(0, 1) == 128).all()
    with pytest.raises(BadImage):
        images.read(1, 1)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04nonsense"])
def test_damaged_npz(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(GancliError, match=r"x\.npz cannot be read"):
        open_source(str(tmp_path / "x.npz"))


def test_npz_of_any_number_of_channels(tmp_path):
    rng = np.random.default_rng(0)
    for channels in (2, 5, 6, 13, 64):
        array = rng.integers(0, 256, (3, 66, 70, channels), dtype=np.uint8)
        for stored in (array, array.transpose(0, 3, 1, 2)):
            source = npz(tmp_path, x=stored)
            assert (source.domains["image"].read(1, channels) == array[1]).all()
            assert source.channels == ({"image": channels} if channels > 4 else {})
            if channels > 4:
                for other in (1, 3, 4, channels + 1):
                    with pytest.raises(BadImage, match=f"it has {channels} channels and not {other}"):
                        source.domains["image"].read(1, other)
    assert npz(tmp_path, x=RGB).domains["image"].read(0, 4)[..., 3].min() == 255
    assert npz(tmp_path, x=RGB).domains["image"].read(0, 2).shape == (6, 7, 2)
    with pytest.raises(BadImage, match="it has 3 channels and not 6"):
        npz(tmp_path, x=RGB).domains["image"].read(0, 6)
    floats = rng.random((2, 8, 9, 7))
    found = npz(tmp_path, x=floats).domains["image"].read(1, 7)
    assert np.abs(found / 255 - floats[1]).max() < 0.5 / 255 + 1e-6


@pytest.mark.parametrize("shape", [(2, 7, 6, 7), (2, 8, 8, 8), (2, 80, 90, 70), (2, 70, 90, 80)])
def test_npz_channels_must_be_clear(tmp_path, shape):
    with pytest.raises(GancliError, match="neither images nor points") as caught:
        npz(tmp_path, x=np.zeros(shape, np.uint8))
    assert "C up to 64" in caught.value.hint


def test_npz_of_two_domains(tmp_path):
    a, b = RGB, RGB[..., :1]
    pairs = npz(tmp_path, A=a, B=b)
    assert pairs.paired
    assert list(pairs.domains) == ["A", "B"]
    assert (pairs.domains["A"].read(2, 3) == a[2]).all()
    assert (pairs.domains["B"].read(2, 1) == b[2]).all()
    assert not pairs.has_test
    assert open_source(str(tmp_path / "data.npz"), "test").fingerprint != pairs.fingerprint
    unpaired = npz(tmp_path, A=a, B=b[:4])
    assert not unpaired.paired
    assert [len(images) for images in unpaired.domains.values()] == [5, 4]
    (tmp_path / "data.npz").rename(tmp_path / "sat2map.npz")
    assert list(open_source(str(tmp_path / "sat2map.npz")).domains) == ["sat", "map"]


def test_npz_of_two_domains_in_parts(tmp_path):
    arrays = {"trainA": RGB, "trainB": RGB, "testA": RGB[:2], "testB": RGB[:2]}
    train, test, both = (npz(tmp_path, split, **arrays) for split in ("train", "test", "all"))
    assert [len(source.domains["B"]) for source in (train, test, both)] == [5, 2, 7]
    assert all(source.paired for source in (train, test, both))
    assert (train.has_test, test.has_test, both.has_test) == (True, False, False)
    # Seven each, but not image by image.
    assert not npz(tmp_path, "all", trainA=RGB, trainB=RGB[:2], testA=RGB[:2], testB=RGB).paired
    six = npz(tmp_path, trainA=np.zeros((5, 6, 8, 8), np.uint8), trainB=RGB)
    assert six.channels == {"A": 6}
    with pytest.raises(GancliError, match="no test part"):
        npz(tmp_path, "test", trainA=RGB, trainB=RGB)
    with pytest.raises(GancliError, match="holds A, but no B"):
        npz(tmp_path, A=RGB)
    with pytest.raises(GancliError, match="holds testB, but no testA"):
        npz(tmp_path, testB=RGB)


def test_points(tmp_path):
    values = np.random.default_rng(0).normal(size=(6, 3))
    source = npz(tmp_path, points=values, labels=np.arange(6) % 2)
    assert list(source.domains) == ["points"]
    points = source.domains["points"]
    assert points.values.dtype == np.float32
    assert (points.values == values.astype(np.float32)).all()
    assert points.name(2).endswith("data.npz:points[2]")
    assert source.labels.tolist() == [0, 1, 0, 1, 0, 1]
    with pytest.raises(BadImage, match="it is a point"):
        points.read(0, 3)
    both = npz(tmp_path, "all", x_train=values, x_test=values[:2])
    assert (both.domains["points"].values == np.concatenate([values, values[:2]]).astype(np.float32)).all()
    two = npz(tmp_path, A=values, B=values[:, :2])
    assert two.paired
    assert [images.values.shape for images in two.domains.values()] == [(6, 3), (6, 2)]
    with pytest.raises(GancliError, match=r"data\.npz:x holds points that are not finite"):
        npz(tmp_path, x=np.full((2, 2), np.inf))
    with pytest.raises(GancliError, match="hold different things"):
        npz(tmp_path, "all", x_train=values, x_test=values[:, :2])


def test_npy(tmp_path):
    for array, key in ((np.zeros((5, 2)), "points"), (RGB, "image"), (RGB.transpose(0, 3, 1, 2) / 127.5 - 1, "image")):
        np.save(tmp_path / "x.npy", array)
        source = open_source(str(tmp_path / "x.npy"))
        assert list(source.domains) == [key]
        assert len(source.domains[key]) == 5
        if key == "image":
            assert (source.domains["image"].read(3, 3) == RGB[3]).all()
    np.save(tmp_path / "x.npy", np.zeros((2, 8, 9, 6), np.uint8))
    assert open_source(str(tmp_path / "x.npy")).channels == {"image": 6}
    np.save(tmp_path / "x.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(GancliError, match=r"x\.npy cannot be read: it holds Python objects"):
        open_source(str(tmp_path / "x.npy"))
    (tmp_path / "x.npy").write_bytes(b"nothing")
    with pytest.raises(GancliError, match=r"x\.npy cannot be read"):
        open_source(str(tmp_path / "x.npy"))


def test_npz_attributes(tmp_path):
    attributes = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
    source = npz(tmp_path, x=RGB, y=attributes)
    assert source.labels.dtype == np.float32
    assert source.labels.tolist() == attributes.tolist()
    assert source.classes == ("0", "1", "2")
    with pytest.raises(GancliError, match="labels of 5 images"):
        npz(tmp_path, x=RGB, y=2 * attributes)


def test_arrays_as_masks(tmp_path):
    ids = np.arange(2 * 4 * 5, dtype=np.uint8).reshape(2, 4, 5)
    source = npz(tmp_path, A=ids, B=RGB[:2])
    assert (source.domains["A"].read(1, IDS)[:, :, 0] == ids[1]).all()
    with pytest.raises(BadImage, match="a mask is uint8 with one channel, not uint8 with 3"):
        source.domains["B"].read(0, IDS)
    with pytest.raises(BadImage, match="not float64 with 1"):
        npz(tmp_path, x=ids / 255).domains["image"].read(0, IDS)


@pytest.mark.parametrize("kind", ["u1", "?", "<f2", ">f4", ">f8", "<u2", ">u2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_any_numbers(tmp_path, kind, order):
    scale = {"u": 257 if kind[-1] == "2" else 1, "f": 1 / 255, "b": 1}[np.dtype(kind).kind]
    array = (RGB > 127) if kind == "?" else (RGB * np.float64(scale)).astype(kind)
    np.save(tmp_path / "x.npy", np.asarray(array, order=order))
    wanted = (RGB > 127) * 255 if kind == "?" else RGB
    assert (open_source(str(tmp_path / "x.npy")).domains["image"].read(3, 3) == wanted[3]).all()


@pytest.mark.parametrize("kind", ["<i8", ">i4", "<i2", "u8", "u4", "u2", "f4"])
def test_arrays_of_numbers_without_a_known_range(tmp_path, kind):
    np.save(tmp_path / "x.npy", RGB.astype(kind))
    with pytest.raises(GancliError, match=r"data.range=\[0,255\]"):
        open_source(str(tmp_path / "x.npy"))
    assert (open_source(str(tmp_path / "x.npy"), limits=(0, 255)).domains["image"].read(3, 3) == RGB[3]).all()


@pytest.mark.parametrize(
    "header",
    [
        *(
            f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}"
            for shape in (
                "(-1, 4, 4)",
                "(2, -4, 4)",
                "(100000000000, 4, 4)",
                "(1e3, 4)",
                "(True, 4, 4)",
                "(2, 3",
                "(0, 1, 1)",
            )
        ),
        "{'descr': '|O', 'fortran_order': False, 'shape': (1, 4, 4)}",
        "{'descr': '<f99', 'fortran_order': False, 'shape': (1, 4, 4)}",
        "{'descr': '|u1', 'fortran_order': 3, 'shape': (1, 4, 4)}",
        "(" * 5000,
    ],
)
def test_odd_headers_of_arrays(tmp_path, header):
    content = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + bytes(64)
    (tmp_path / "x.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("images.npy", content)
    for name in ("x.npy", "x.npz"):
        with pytest.raises(GancliError, match=r"cannot be read|is empty"):
            open_source(str(tmp_path / name))
