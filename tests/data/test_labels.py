from __future__ import annotations

import datetime
import json
from dataclasses import replace

import numpy as np
import pytest
from made import CLASSES, DIGITS, ONE, RGB, idx, npz, tree

from gancli.data.labels import match_names, read_labels
from gancli.data.opening import open_source
from gancli.data.source import check

TEN = [f"00000/img{i}.png" for i in range(10)]


def stylegan(tmp_path, labels, names=TEN, inputs=None):
    tree(tmp_path / "data", TEN)
    listed = [[name, label] for name, label in zip(names, labels, strict=True)]
    (tmp_path / "data" / "dataset.json").write_text(json.dumps({"labels": listed}))
    return open_source(str(tmp_path / "data"), inputs=inputs)


@pytest.mark.parametrize(
    ("written", "classes", "labels"),
    [
        ([0, 1, 2, 0, 1, 2], "0 1 2", [0, 1, 2, 0, 1, 2]),
        ([0, 3, 1, 0, 3, 1], "0 1 2 3", [0, 3, 1, 0, 3, 1]),  # a hole: numbers of classes
        ([3, 1, 2, 1, 2, 3], "1 2 3", [2, 0, 1, 0, 1, 2]),
        ([20231102, 20231101] * 3, "20231101 20231102", [1, 0] * 3),
        ([10**9, 0] * 3, "0 1000000000", [1, 0] * 3),
        ([10**30, 5] * 3, f"5 {10**30}", [1, 0] * 3),
        ([-1, 1, -10, -1, 1, -10], "-10 -1 1", [1, 2, 0, 1, 2, 0]),
        (["img10", "img9"] * 3, "img9 img10", [1, 0] * 3),
        (["2023-11-02", "2023-11-01"] * 3, "2023-11-01 2023-11-02", [1, 0] * 3),
        ([1.0, 0.0] * 3, "0 1", [1, 0] * 3),
        ([True, False] * 3, "false true", [1, 0] * 3),
        (["7", 7, "9", 9, "7", 9], "7 9", [0, 0, 1, 1, 0, 1]),
        (np.array([200, 100] * 3, np.uint64), "100 200", [1, 0] * 3),
        (np.array(["b", "a"] * 3), "a b", [1, 0] * 3),
        (np.array([b"b", b"a"] * 3), "a b", [1, 0] * 3),
        (np.array([False, True] * 3), "false true", [0, 1] * 3),
        (
            np.array([datetime.date(2024, 1, 2), datetime.date(2023, 1, 2)] * 3, "M8[D]"),
            "2023-01-02 2024-01-02",
            [1, 0] * 3,
        ),
    ],
)
def test_classes_are_what_was_written(written, classes, labels):
    found = read_labels(written, None)
    assert found.classes == tuple(classes.split())
    assert found.labels.dtype == np.int64
    assert found.labels.tolist() == labels


def test_existing_models_keep_their_classes(tmp_path):
    labels = [1, 2, 3, 1, 2, 3, 1, 2, 3, 1]
    assert stylegan(tmp_path, labels).classes == ("1", "2", "3")
    for classes, wanted in ((4, labels), (3, [label - 1 for label in labels])):
        source = stylegan(tmp_path, labels, inputs=replace(CLASSES, classes=classes))
        assert source.labels.tolist() == wanted
        assert len(source.classes) == classes
    holes = stylegan(tmp_path, [0, 3] * 5)
    assert holes.classes == ("0", "1", "2", "3")
    assert any("no image belongs to class 1, 2" in note for note in holes.notes)


@pytest.mark.parametrize("label", [lambda i: 20231101 + i, lambda i: i, lambda i: f"id{i // 10 * 7 + i % 7}"])
def test_ids_are_no_classes(tmp_path, label):
    labels = [label(i) for i in range(10)]
    source = stylegan(tmp_path, labels, inputs=ONE)
    assert source.labels is None
    assert any("the labels are not used: they are" in note and "ids, not classes" in note for note in source.notes)
    assert check(source, ONE) is None
    assert "different ones for 10 images" in check(source, CLASSES)
    count = len(set(labels))
    wanted = replace(CLASSES, classes=count)
    assert check(stylegan(tmp_path, labels, inputs=wanted), wanted) is None
    arrays = npz(tmp_path, images=np.repeat(RGB, 2, axis=0), labels=np.array(labels))
    assert "different ones for 10 images" in check(arrays, CLASSES)


def test_numbers_of_digits_stay(tmp_path):
    tmp_path.joinpath("train-images-idx3-ubyte").write_bytes(idx(DIGITS))
    tmp_path.joinpath("train-labels-idx1-ubyte").write_bytes(idx(np.array([7, 9, 7, 2, 9], np.uint8)))
    source = open_source(str(tmp_path))
    assert source.classes[source.labels[0]] == "7"
    assert source.labels.tolist() == [7, 9, 7, 2, 9]


def test_parts_have_the_same_classes(tmp_path):
    six = np.repeat(RGB[:3], 2, axis=0)
    arrays = {"x_train": six, "y_train": [5, 70, 5, 70, 900, 900], "x_test": six, "y_test": [70] * 6}
    train, test = (
        npz(tmp_path, split, **{key: np.array(value) for key, value in arrays.items()}) for split in ("train", "test")
    )
    assert train.classes == test.classes == ("5", "70", "900")
    assert test.labels.tolist() == [1] * 6


LABELS = [i % 3 for i in range(10)]


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda name: name.replace("/", "\\"),
        lambda name: f"./{name}",
        lambda name: f"/home/me/data/{name}",
        lambda name: name.upper(),
        lambda name: name.replace("00000/", ""),
        lambda name: name.replace("png", "jpg"),
        lambda name: name.replace("00000/", "").replace(".png", ""),
    ],
)
def test_names_may_be_written_differently(tmp_path, rewrite):
    source = stylegan(tmp_path, LABELS, list(map(rewrite, TEN)))
    assert source.labels.tolist() == LABELS
    assert any("10 labels are for names that are written differently" in note for note in source.notes)
    assert not stylegan(tmp_path, LABELS).notes


def test_ambiguous_names_match_nothing():
    assert match_names(["a/1.png", "b/1.png", "b/2.png"], {"1.png": 0, "2.png": 1})[0] == {"b/2.png": 1}
    assert match_names(["a/1.png"], {"x/1.png": 0, "y/1.png": 1})[0] == {}
    assert match_names(["a/1.png", "a/1.jpg"], {"a/1.webp": 0})[0] == {}
    # The exact name is not taken for another one.
    assert match_names(["a/1.png", "1.png"], {"1.png": 0})[0] == {"1.png": 0}


def test_labels_of_no_image(tmp_path):
    source = stylegan(tmp_path, LABELS, [f"other{i}.png" for i in range(10)])
    assert source.labels is None
    assert any("names no image that is there: it has other0.png" in note for note in source.notes)
    assert check(source, ONE) is None
    assert "names no image that is there" in check(source, CLASSES)
    some = stylegan(tmp_path, [None, *LABELS[1:]])
    assert any("1 images have no label" in note for note in some.notes)
