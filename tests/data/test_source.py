from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gancli.architectures.base import DataNeeds
from gancli.data.arrays import read_idx
from gancli.data.layouts import natural
from gancli.data.named import _KNOWN
from gancli.data.source import NAMES, BadImage, Source, absolute, check, open_source
from gancli.errors import GancliError


def png(value: int = 0, side: int = 4) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), (value, value, value)).save(out, "PNG")
    return out.getvalue()


def tree(root: Path, names: list[str] | str) -> Path:
    """Makes files below ``root``; the images among them are grey, each of its own value from 1 on."""
    value = 0
    for name in names.split() if isinstance(names, str) else names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".png", ".PNG"):
            value += 1
            path.write_bytes(png(value))
        else:
            path.write_text("not an image")
    return root


def zipped(folder: Path, prefix: str = "") -> Path:
    target = folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, prefix + str(path.relative_to(folder)))
    return target


def tarred(folder: Path, ending: str, prefix: str = "./") -> Path:
    target = folder.with_suffix(ending)
    with tarfile.open(target, f"w:{ending.rpartition('.')[2].replace('tar', '').replace('tgz', 'gz')}") as archive:
        archive.add(folder, prefix)
    return target


def values(source: Source, domain: str = "image") -> list[int]:
    images = source.domains[domain]
    return [int(images.read(index, 1)[0, 0, 0]) for index in range(len(images))]


def short(source: Source, domain: str = "image") -> list[str]:
    images = source.domains[domain]
    return [Path(images.name(index)).name for index in range(len(images))]


# -- folders ----------------------------------------------------------------------------------------------------------


def test_flat_folder_in_natural_order(tmp_path):
    source = open_source(str(tree(tmp_path, "10.png 2.png 1.png a1.PNG .hidden.png notes.txt .DS_Store")))
    assert short(source) == ["1.png", "2.png", "10.png", "a1.PNG"]
    assert values(source) == [3, 2, 1, 4]
    assert source.labels is None
    assert source.domains["image"].name(0) == str(tmp_path / "1.png")


def test_images_at_the_top_win_over_sub_folders(tmp_path):
    source = open_source(str(tree(tmp_path, "1.png sub/2.png")))
    assert short(source) == ["1.png"]
    assert any("1 images in sub-folders" in note for note in source.notes)


@pytest.mark.parametrize("around", ["", "one/", "one/two/"])
def test_class_folders(tmp_path, around):
    names = "cat/1.png cat/deep/2.png bird/1.png README.txt empty/no.txt __MACOSX/cat/._1.png"
    source = open_source(str(tree(tmp_path, [around + name for name in names.split()])))
    assert source.classes == ("bird", "cat")
    assert source.labels.tolist() == [0, 1, 1]
    assert source.labels.dtype == np.int64
    assert values(source) == [3, 1, 2]


def test_one_folder_of_images_is_flat(tmp_path):
    source = open_source(str(tree(tmp_path, "images/1.png images/2.png")))
    assert source.labels is None
    assert len(source.domains["image"]) == 2


SPLIT = "train/b/1.png train/a/1.png train/a/2.png test/a/3.png test/c/4.png"


def test_split_folders(tmp_path):
    location = str(tree(tmp_path, SPLIT))
    train, test, both = (open_source(location, split) for split in ("train", "test", "all"))
    assert (train.classes, train.labels.tolist(), values(train)) == (("a", "b"), [0, 0, 1], [2, 3, 1])
    assert (test.classes, test.labels.tolist(), values(test)) == (("a", "c"), [0, 1], [4, 5])
    assert (both.classes, both.labels.tolist()) == (("a", "b", "c"), [0, 0, 1, 0, 2])
    assert values(both) == [2, 3, 1, 4, 5]
    assert len({train.fingerprint, test.fingerprint, both.fingerprint}) == 3
    assert any("test: 2 images" in note for note in train.notes)


@pytest.mark.parametrize("name", ["val", "valid", "validation", "testing"])
def test_other_names_of_the_test_part(tmp_path, name):
    location = str(tree(tmp_path, f"train/1.png {name}/2.png {name}/3.png"))
    assert values(open_source(location, "test")) == [2, 3]
    assert values(open_source(location, "train")) == [1]


def test_missing_part(tmp_path):
    with pytest.raises(GancliError, match="no test part, only train") as caught:
        open_source(str(tree(tmp_path, "train/1.png train/2.png")), "test")
    assert caught.value.hint == "to train on it: --set data.split=train; to look at it: --split train"


def test_train_can_be_a_class(tmp_path):
    assert open_source(str(tree(tmp_path, "train/1.png bus/2.png car/3.png"))).classes == ("bus", "car", "train")


def test_two_sides(tmp_path):
    location = str(tree(tmp_path, "trainA/1.png trainA/2.png trainB/x.png testA/3.png testB/y.png"))
    train, test, both = (open_source(location, split) for split in ("train", "test", "all"))
    assert list(train.domains) == ["A", "B"]
    assert not train.paired
    assert (values(train, "A"), values(train, "B")) == ([1, 2], [3])
    assert (values(test, "A"), values(test, "B")) == ([4], [5])
    assert (values(both, "A"), values(both, "B")) == ([1, 2, 4], [3, 5])


def test_same_named_pairs(tmp_path):
    location = tree(tmp_path, "photo/2.png photo/10.png photo/4.png label/10.png label/2.png label/4.png")
    source = open_source(str(location))
    assert source.paired
    assert list(source.domains) == ["label", "photo"]
    assert short(source, "label") == short(source, "photo") == ["2.png", "4.png", "10.png"]
    assert (values(source, "photo"), values(source, "label")) == ([1, 3, 2], [5, 6, 4])
    (tmp_path / "photo" / "5.png").write_bytes(png())
    source = open_source(str(location))
    assert len(source.domains["photo"]) == 3
    assert any("1 images without a partner" in note and "photo/5.png" in note for note in source.notes)


def test_two_folders_of_other_names_are_classes(tmp_path):
    source = open_source(str(tree(tmp_path, "cat/1.png cat/2.png dog/2.png dog/3.png dog/4.png")))
    assert source.classes == ("cat", "dog")


def test_links_are_followed_and_loops_end(tmp_path):
    tree(tmp_path / "real", "1.png 2.png")
    data = tree(tmp_path / "data", "a/1.png")
    (data / "b").symlink_to(tmp_path / "real")
    (data / "a" / "loop").symlink_to(data)
    (data / "b" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    source = open_source(str(data))
    assert source.classes == ("a", "b")
    gone = next(i for i in range(len(source.domains["image"])) if "gone" in source.domains["image"].name(i))
    with pytest.raises(BadImage, match="No such file"):
        source.domains["image"].read(gone, 3)


def test_fingerprint_follows_content_order_and_labels(tmp_path):
    location = str(tree(tmp_path, "a/1.png a/2.png b/1.png c/1.png"))
    before = open_source(location).fingerprint
    assert open_source(location).fingerprint == before
    os.utime(tmp_path / "a" / "1.png", ns=(1, 1))
    touched = open_source(location).fingerprint
    assert touched != before
    (tmp_path / "a" / "2.png").rename(tmp_path / "b" / "2.png")
    assert open_source(location).fingerprint not in (before, touched)


@given(st.lists(st.text("ab019_.é²", max_size=6), unique=True))
def test_natural_order_is_total_and_compares_numbers(names):
    keys = [natural(name) for name in names]
    assert len({str(key) for key in keys}) == len(names)
    assert len(sorted(keys)) == len(names)  # any two can be compared
    assert sorted(["x10", "x9", "x1"], key=natural) == ["x1", "x9", "x10"]


# -- dataset.json -----------------------------------------------------------------------------------------------------


def stylegan(root: Path, labels: object) -> Source:
    tree(root, "00000/img1.png 00000/img2.png 00001/img3.png")
    (root / "dataset.json").write_text(json.dumps({"labels": labels}))
    return open_source(str(root))


def test_stylegan_labels(tmp_path):
    source = stylegan(tmp_path, [["00001/img3.png", 0], ["00000/img1.png", 2], ["00000/img2.png", 0], ["gone.png", 1]])
    assert source.labels.tolist() == [2, 0, 0]
    assert source.classes == ("0", "1", "2")


def test_stylegan_without_labels(tmp_path):
    assert stylegan(tmp_path / "null", None).labels is None
    some = stylegan(tmp_path / "some", [["00001/img3.png", 0]])
    assert some.labels is None
    assert any("2 images have no label" in note for note in some.notes)
    missing = stylegan(tmp_path / "none", [["00000/img1.png", None], ["00000/img2.png", 1], ["00001/img3.png", 0]])
    assert missing.labels is None


def test_stylegan_attributes(tmp_path):
    labels = [["00000/img1.png", [0, 1]], ["00000/img2.png", [1, 1]], ["00001/img3.png", [0.0, 0.0]]]
    source = stylegan(tmp_path, labels)
    assert source.labels.tolist() == [[0, 1], [1, 1], [0, 0]]
    assert source.labels.dtype == np.float32


@pytest.mark.parametrize("label", [[0.5, 1], "cat", -1, 1.5, [[1]], True])
def test_stylegan_labels_of_other_kinds_are_not_used(tmp_path, label):
    source = stylegan(tmp_path, [["00000/img1.png", label], ["00000/img2.png", label], ["00001/img3.png", label]])
    assert source.labels is None
    assert source.notes


@pytest.mark.parametrize("text", ["{", "[]", '{"labels": 3}', '{"labels": [1]}', "{}", '{"labels": [[["x"], 1]]}'])
def test_damaged_dataset_json(tmp_path, text):
    tree(tmp_path, "1.png")
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(GancliError, match=r"dataset\.json"):
        open_source(str(tmp_path))


# -- archives ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2"])
def test_archives_hold_what_the_folder_holds(tmp_path, ending):
    folder = tree(tmp_path / "data", SPLIT + " train/.DS_Store __MACOSX/train/a/._1.png")
    archive = zipped(folder, "top/") if ending == ".zip" else tarred(folder, ending)
    before = sorted(path for path in tmp_path.rglob("*"))
    for split in ("train", "test", "all"):
        source, expected = open_source(str(archive), split), open_source(str(folder), split)
        assert (source.classes, source.labels.tolist()) == (expected.classes, expected.labels.tolist())
        assert values(source) == values(expected)
        assert source.layout == expected.layout
    assert sorted(path for path in tmp_path.rglob("*")) == before
    assert bool([note for note in source.notes if "temporary" in note]) == (ending not in (".zip", ".tar"))


def test_archive_of_any_ending_and_odd_names(tmp_path):
    archive = tmp_path / "data.bin"
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("../../outside.png", png(1))
        out.writestr("/etc/absolute.png", png(2))
        out.writestr("dir\\windows.png", png(3))
    source = open_source(str(archive))
    assert sorted(values(source)) == [1, 2, 3]
    assert list(tmp_path.iterdir()) == [archive]
    assert not any((parent / "outside.png").exists() for parent in tmp_path.parents)


def test_archives_are_read_from_threads(tmp_path):
    folder = tree(tmp_path / "data", [f"{i}.png" for i in range(60)])
    for archive in (zipped(folder), tarred(folder, ".tar"), tarred(folder, ".tar.gz")):
        source = open_source(str(archive))
        results: list[list[int]] = []
        threads = [threading.Thread(target=lambda s=source, r=results: r.append(values(s))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [list(range(1, 61))] * 4


def test_damaged_members_are_bad_images(tmp_path):
    folder = tree(tmp_path / "data", "1.png 2.png")
    archive = zipped(folder)
    content = bytearray(archive.read_bytes())
    content[content.find(png(1)) + 60] ^= 0xFF
    archive.write_bytes(content)
    images = open_source(str(archive)).domains["image"]
    with pytest.raises(BadImage, match="CRC"):
        images.read(0, 3)
    assert images.read(1, 3).shape == (4, 4, 3)


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz", ".tar.xz"])
def test_cut_off_archives(tmp_path, ending):
    folder = tmp_path / "data"
    for number in range(8):
        (folder / f"{number}.png").parent.mkdir(exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")
    archive = zipped(folder) if ending == ".zip" else tarred(folder, ending)
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(GancliError, match=r"cannot be read as a|neither"):
        open_source(str(archive))


def test_tar_cut_off_while_in_use(tmp_path):
    archive = tarred(tree(tmp_path / "data", "1.png 2.png"), ".tar")
    images = open_source(str(archive)).domains["image"]
    os.truncate(archive, 600)
    with pytest.raises(BadImage, match="the archive ends within this file"):
        images.read(1, 3)


def test_encrypted_zip(tmp_path):
    archive = zipped(tree(tmp_path / "data", "1.png"))
    content = bytearray(archive.read_bytes())
    content[content.rfind(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(GancliError, match="encrypted"):
        open_source(str(archive))


def test_cifar10_zip(real_data):
    started = time.perf_counter()
    source = open_source(str(real_data / "cifar10.zip"))
    assert time.perf_counter() - started < 5
    assert source.classes == (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )
    assert np.bincount(source.labels).tolist() == [500] * 10
    assert source.domains["image"].read(4999, 3).shape == (32, 32, 3)
    assert np.bincount(open_source(str(real_data / "cifar10.zip"), "test").labels).tolist() == [100] * 10
    assert np.bincount(open_source(str(real_data / "cifar10.zip"), "all").labels).tolist() == [600] * 10


def test_real_folders(real_data):
    monet = open_source(str(real_data / "monet2photo"))
    assert {name: len(images) for name, images in monet.domains.items()} == {"monet": 100, "photo": 100}
    test = open_source(str(real_data / "monet2photo"), "test")
    assert {name: len(images) for name, images in test.domains.items()} == {"monet": 21, "photo": 21}
    for name, domains in (("facades", ["label", "photo"]), ("maps", ["map", "sat"])):
        pairs = open_source(str(real_data / name))
        assert pairs.paired
        assert list(pairs.domains) == domains
        assert [len(images) for images in pairs.domains.values()] == [50, 50]
    assert len(open_source(str(real_data / "horses")).domains["image"]) == 50


# -- idx --------------------------------------------------------------------------------------------------------------


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


DIGITS = np.arange(5 * 28 * 28).reshape(5, 28, 28).astype(np.uint8)


@pytest.mark.parametrize("form", ["{}-images-idx3-ubyte", "{}-images.idx3-ubyte"])
@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("below", ["", "MNIST/raw/"])
def test_idx_folder(tmp_path, form, compress, below):
    for part, count in (("train", 3), ("t10k", 2)):
        name = form.format(part)
        contents = {name: idx(DIGITS[:count]), name.replace("images", "labels").replace("idx3", "idx1"): b""}
        contents[list(contents)[1]] = idx(np.array([7, 0, 3], np.uint8)[:count])
        for file, content in contents.items():
            path = tmp_path / below / (file + (".gz" if compress else ""))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(content) if compress else content)
    train, test, both = (open_source(str(tmp_path), split) for split in ("train", "test", "all"))
    assert (train.domains["image"].read(2, 1)[:, :, 0] == DIGITS[2]).all()
    assert (train.domains["image"].read(2, 3) == DIGITS[2][:, :, None]).all()
    assert (train.labels.tolist(), test.labels.tolist(), both.labels.tolist()) == ([7, 0, 3], [7, 0], [7, 0, 3, 7, 0])
    assert (train.classes[7], len(train.classes)) == ("7", 8)
    assert len(both.domains["image"]) == 5
    assert (both.domains["image"].read(4, 1)[:, :, 0] == DIGITS[1]).all()
    assert open_source(str(zipped(tmp_path / below if not below else tmp_path / "MNIST"))).labels.tolist() == [7, 0, 3]


def test_idx_without_labels(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(DIGITS))
    source = open_source(str(tmp_path))
    assert source.labels is None
    assert any("without labels" in note for note in source.notes)
    with pytest.raises(GancliError, match="no test part"):
        open_source(str(tmp_path), "test")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx(DIGITS)[:-1], "bytes, but its header says"),
        (idx(DIGITS)[:10], "no idx file"),
        (b"", "no idx file"),
        (idx(DIGITS[0]), "no idx file"),
        (b"\0\0\x0d\x03" + idx(DIGITS)[4:], "no idx file"),
        (gzip.compress(idx(DIGITS))[:-9], "damaged"),
        (b"\x1f\x8bnonsense", "damaged"),
        (idx(np.empty((0, 28, 28), np.uint8)), "holds no images"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "bytes, but its header says"),
    ],
)
def test_damaged_idx(tmp_path, content, message):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(GancliError, match=message) as caught:
        open_source(str(tmp_path))
    assert "train-images-idx3-ubyte" in caught.value.message


def test_idx_labels_must_fit(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(DIGITS))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(4, np.uint8)))
    with pytest.raises(GancliError, match="5 images, but train-labels-idx1-ubyte 4 labels"):
        open_source(str(tmp_path))


@given(st.binary(max_size=64))
def test_idx_parser_never_fails_otherwise(content):
    for data in (content, b"\0\0\x08\x03" + content, b"\x1f\x8b\x08" + content):
        with contextlib.suppress(GancliError):
            assert read_idx(data, "x", 3).ndim == 3


def test_real_mnist(real_data):
    train, test = open_source(str(real_data / "mnist")), open_source(str(real_data / "mnist"), "test")
    assert (len(train.domains["image"]), len(test.domains["image"])) == (60000, 10000)
    assert np.bincount(train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert len(open_source(str(real_data / "mnist"), "all").domains["image"]) == 70000
    assert len(open_source(str(real_data / "fashion-mnist"), "test").domains["image"]) == 10000
    with pytest.raises(GancliError, match="no train part, only test"):
        open_source(str(real_data / "fashion-mnist"))


# -- npz --------------------------------------------------------------------------------------------------------------


def npz(path: Path, split: str = "train", **arrays: np.ndarray) -> Source:
    np.savez(path / "data.npz", **arrays)
    return open_source(str(path / "data.npz"), split)


RGB = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)


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
        ({"x": RGB.astype(np.float32)}, "numbers from 0 to 255"),
        ({"x": np.full((2, 4, 4), np.nan)}, "no number at all"),
        ({"x": RGB[0, 0]}, "no list of images"),
        ({"x": np.zeros((0, 4, 4), np.uint8)}, "no list of images"),
        ({"x": np.zeros((2, 7, 6, 7), np.uint8)}, "no list of images"),
        ({"x": RGB, "y": np.zeros(4, int)}, "labels of 5 images"),
        ({"x": RGB, "y": np.full(5, -1)}, "labels of 5 images"),
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


# -- names and errors -------------------------------------------------------------------------------------------------


def test_names_are_torchvisions():
    assert set(NAMES) == set(_KNOWN)


def no_network(*unused: object, **also: object) -> None:
    raise OSError("there is no network")


@pytest.mark.parametrize(
    ("name", "file", "folder"),
    [
        ("mnist", "train-images-idx3-ubyte.gz", "MNIST/raw"),
        ("fashion-mnist", "train-labels-idx1-ubyte.gz", "FashionMNIST/raw"),
        ("kmnist", "train-images-idx3-ubyte.gz", "KMNIST/raw"),
        ("usps", "usps.bz2", ""),
        ("cifar10", "cifar-10-python.tar.gz", ""),
        ("cifar100", "cifar-100-python.tar.gz", ""),
        ("svhn", "train_32x32.mat", ""),
        ("stl10", "stl10_binary.tar.gz", ""),
        ("celeba", "list_attr_celeba.txt", "celeba"),
    ],
)
def test_without_a_network_the_error_says_what_goes_where(name, file, folder, gancli_home, monkeypatch, capsys):
    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    with pytest.raises(GancliError, match=f"^{name} is not in .* and cannot be downloaded") as caught:
        open_source(name)
    assert file in caught.value.hint
    assert caught.value.hint.endswith(str(gancli_home / "data" / folder))
    assert capsys.readouterr().out == ""
    assert socket.getdefaulttimeout() is None


def test_mnist_by_name_from_files_put_there(gancli_home, real_data, monkeypatch, tmp_path):
    raw = gancli_home / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("images-idx3", "labels-idx1"):
        name = f"t10k-{part}-ubyte.gz"
        (raw / name).write_bytes((real_data / "mnist" / name).read_bytes())
    (tmp_path / "mnist").mkdir()
    monkeypatch.chdir(tmp_path)
    source = open_source("mnist", "test")
    assert len(source.domains["image"]) == 10000
    assert source.classes[3] == "3 - three"
    assert any("./mnist" in note for note in source.notes)
    with pytest.raises(GancliError, match=r"\./mnist is empty"):
        open_source("./mnist")


def test_svhn_like_torchvision_source(gancli_home, monkeypatch):
    """A data set that torchvision reads itself; USPS needs no other package and can be made here."""
    import bz2
    import hashlib

    from torchvision import datasets

    lines = [f"{label + 1} " + " ".join(f"{i + 1}:{value}" for i in range(256)) for label, value in ((3, -1), (9, 1))]
    content = bz2.compress("\n".join(lines).encode())
    root = gancli_home / "data"
    root.mkdir()
    (root / "usps.bz2").write_bytes(content)
    listed = dict(datasets.USPS.split_list)
    listed["train"] = [listed["train"][0], "usps.bz2", hashlib.md5(content).hexdigest()]
    monkeypatch.setattr(datasets.USPS, "split_list", listed)
    source = open_source("usps")
    assert source.labels.tolist() == [3, 9]
    assert len(source.classes) == 10
    assert values(source) == [0, 255]
    assert source.domains["image"].read(0, 3).shape == (16, 16, 3)


def test_shapes_and_unknown_names():
    assert open_source("shapes").layout.startswith("built-in")
    with pytest.raises(GancliError, match="no built-in data"):
        open_source("shapes:nothing")
    with pytest.raises(GancliError, match="'mnst' does not exist") as caught:
        open_source("mnst")
    assert caught.value.hint == "did you mean 'mnist'?"


def test_missing_path_names_its_neighbour(tmp_path):
    (tmp_path / "horses").mkdir()
    with pytest.raises(GancliError, match="hoses' does not exist") as caught:
        open_source(str(tmp_path / "hoses"))
    assert caught.value.hint == f"did you mean {str(tmp_path / 'horses')!r}?"
    with pytest.raises(GancliError, match="does not exist") as caught:
        open_source(str(tmp_path / "completely" / "else"))
    assert caught.value.hint.startswith("SOURCE is")


@pytest.mark.parametrize("location", ["", "\0", "x" * 5000])
def test_impossible_paths(location):
    with pytest.raises(GancliError):
        open_source(location)


def test_empty_and_imageless_folders(tmp_path):
    with pytest.raises(GancliError, match="is empty"):
        open_source(str(tmp_path))
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(GancliError, match="1 files, but none is an image") as caught:
        open_source(str(tmp_path))
    assert ".png" in caught.value.hint
    zipped(tree(tmp_path / "inner", "1.png")).rename(tmp_path / "inner.zip")
    (tmp_path / "inner" / "1.png").unlink()
    with pytest.raises(GancliError, match="holds no images") as caught:
        open_source(str(tmp_path))
    assert "inner.zip" in caught.value.hint
    with pytest.raises(GancliError, match="neither a folder nor an archive"):
        open_source(str(tmp_path / "a.txt"))


UNREADABLE = """
import os, sys
import gancli.data.layouts, gancli.data.shapes  # before another user's rights may hide them
from gancli.data.source import open_source
from gancli.errors import GancliError
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
for location in sys.argv[1:]:
    try:
        open_source(location)
    except GancliError as error:
        print(error.message)
"""


def test_unreadable_places(tmp_path):
    folder = tree(tmp_path / "data", "a/1.png b/2.png c/3.png")
    archive = zipped(folder)
    (folder / "b").chmod(0)
    archive.chmod(0)
    for parent in [tmp_path, *tmp_path.parents][:4]:  # pytest's own folders are closed to others
        if parent.stat().st_uid == os.getuid() and parent != Path("/tmp"):
            parent.chmod(0o755)
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", UNREADABLE, str(folder), str(archive)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    (folder / "b").chmod(0o755)
    assert done.stdout.splitlines() == [
        f"{folder}/b cannot be read: Permission denied",
        f"{archive} cannot be read: Permission denied",
    ], done.stderr


def test_several_data_sets_in_one_folder(tmp_path):
    for name in ("MNIST", "KMNIST"):
        (tmp_path / name / "raw").mkdir(parents=True)
        (tmp_path / name / "raw" / "train-images-idx3-ubyte").write_bytes(idx(DIGITS))
    with pytest.raises(GancliError, match="several data sets"):
        open_source(str(tmp_path))


def test_no_torch_for_files(tmp_path):
    tree(tmp_path, "1.png")
    code = (
        "import sys; from gancli.data.source import open_source; open_source(sys.argv[1]); open_source('shapes');"
        "print([name for name in ('torch', 'torchvision') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_absolute_locations(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [absolute(name) for name in ("shapes", "shapes:pairs", "mnist")] == ["shapes", "shapes:pairs", "mnist"]
    (tmp_path / "mnist").mkdir()
    assert absolute("./mnist") == absolute("mnist/../mnist") == str(tmp_path / "mnist")
    assert absolute("not/there") == "not/there"


# -- check ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "needs", "reason"),
    [
        ("shapes", DataNeeds(), None),
        ("shapes:classes", DataNeeds(labels=True), None),
        ("shapes:classes", DataNeeds(), None),
        ("shapes:pairs", DataNeeds(domains=2, paired=True), None),
        ("shapes:domains", DataNeeds(domains=2), None),
        ("shapes", DataNeeds(labels=True), "no labels"),
        ("shapes", DataNeeds(domains=2), "needs 2 sets of images"),
        ("shapes:domains", DataNeeds(), "two domains: plain and striped"),
        ("shapes:pairs", DataNeeds(), "same-named images of two folders: outline and filled"),
        ("shapes:domains", DataNeeds(domains=2, paired=True), "nothing pairs plain and striped"),
    ],
)
def test_check(location, needs, reason):
    found = check(open_source(location), needs)
    assert found is None if reason is None else reason in found


def test_check_tells_attributes_from_classes(tmp_path):
    source = stylegan(tmp_path, [["00000/img1.png", [0, 1]], ["00000/img2.png", [1, 1]], ["00001/img3.png", [0, 0]]])
    assert "attributes" in check(source, DataNeeds(labels=True))
    assert check(source, DataNeeds()) is None
