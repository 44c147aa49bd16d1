from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from made import (
    CLASSES,
    DIGITS,
    IMAGE,
    ONE,
    PAIRS,
    SIDES,
    SPLIT,
    UNPAIRED,
    domains,
    idx,
    png,
    short,
    side_by_side,
    stylegan,
    tarred,
    tree,
    values,
    zipped,
)

from gancli.data.files import DirectoryFiles
from gancli.data.layouts import LAYOUTS
from gancli.data.opening import open_source
from gancli.data.source import BadImage, check
from gancli.domains import Inputs
from gancli.errors import GancliError


def test_the_table_in_the_docs_lists_the_recognisers_in_order():
    text = (Path(__file__).parents[2] / "docs/data.md").read_text()
    table = text.partition("| layout | what it means |\n| --- | --- |\n")[2].partition("\n\n")[0]
    assert [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()] == [title for title, _ in LAYOUTS]


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


def test_fingerprint_follows_content_order_and_labels(tmp_path):
    location = str(tree(tmp_path, "a/1.png a/2.png b/1.png c/1.png"))
    before = open_source(location).fingerprint
    assert open_source(location).fingerprint == before
    os.utime(tmp_path / "a" / "1.png", ns=(1, 1))
    touched = open_source(location).fingerprint
    assert touched != before
    (tmp_path / "a" / "2.png").rename(tmp_path / "b" / "2.png")
    assert open_source(location).fingerprint not in (before, touched)


def test_names_come_from_the_folder_that_holds_the_sides(tmp_path, monkeypatch):
    folder = tree(tmp_path / "horse2zebra", SIDES)
    archive = zipped(folder)
    expected = {"horse": [1, 2], "zebra": [3, 4][::-1]}
    assert domains(open_source(str(folder))) == domains(open_source(str(archive))) == expected
    inside = zipped(tree(tmp_path / "data", SIDES), "apple2orange/")
    assert list(open_source(str(inside)).domains) == ["apple", "orange"]
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(folder)
    assert list(open_source(str(tmp_path / "link")).domains) == list(open_source(".").domains) == ["horse", "zebra"]
    assert list(open_source(str(tmp_path / "data")).domains) == ["A", "B"]


def test_parts_of_two_folders_called_by_letters(tmp_path):
    location = str(tree(tmp_path / "cat2dog", "train/A/1.png train/B/2.png test/A/3.png test/B/4.png"))
    source = open_source(location, inputs=UNPAIRED)
    assert domains(source) == {"cat": [1], "dog": [2]}
    assert source.has_test
    assert domains(open_source(location, "test", inputs=UNPAIRED)) == {"cat": [3], "dog": [4]}
    assert domains(open_source(location, "all", inputs=UNPAIRED)) == {"cat": [1, 3], "dog": [2, 4]}
    assert open_source(location).classes == ("A", "B")


INSIDE = [f"{side}/{part}/{name}.png" for side in "AB" for part, name in (("train", 1), ("train", 2), ("test", 1))]


@pytest.mark.parametrize("around", ["", "photos/"])
def test_two_folders_with_parts_inside(tmp_path, around):
    """What the official pix2pix asks for before its combine_A_and_B.py."""
    folder = tree(tmp_path / "day2night", [around + name for name in INSIDE] + [f"{around}B/train/9.png"])
    for location in (folder, zipped(folder), tarred(folder, ".tar")):
        for needs, b in ((PAIRS, [4, 5]), (UNPAIRED, [4, 5, 7])):
            train, test, both = (open_source(str(location), split, inputs=needs) for split in ("train", "test", "all"))
            assert domains(train) == {"day": [1, 2], "night": b}
            assert domains(test) == {"day": [3], "night": [6]}
            # Partners are of the same part, whatever the names in the other one.
            assert domains(both) == {"day": [1, 2, 3], "night": [*b, 6]}
            assert (train.has_test, test.has_test, both.has_test) == (True, False, False)
            assert [source.paired for source in (train, test)] == [needs.paired, True]
            assert "test: 2 images not used (data.split is train)" in train.notes
            assert not any("not used" in note for note in both.notes)
            assert len({source.fingerprint for source in (train, test, both)}) == 3
        pairs = open_source(str(location), inputs=PAIRS)
        assert any("1 images without a partner are left out" in note for note in pairs.notes)


def test_parts_inside_one_folder_only(tmp_path):
    """Then they are folders like any other, and all images are taken."""
    source = open_source(str(tree(tmp_path / "a", "cat/train/1.png cat/test/2.png dog/3.png")), inputs=UNPAIRED)
    assert domains(source) == {"cat": [2, 1], "dog": [3]}
    assert not source.has_test
    source = open_source(str(tree(tmp_path / "b", "toy/train/1.png toy/car/2.png pet/train/3.png")), inputs=UNPAIRED)
    assert domains(source) == {"pet": [3], "toy": [2, 1]}


def test_a_part_inside_that_one_folder_lacks(tmp_path):
    names = "cat/train/1.png cat/val/2.png dog/Train/3.png dog/7.png dog/test/4.png dog/x/5.png"
    location = str(tree(tmp_path / "data", names))
    train = open_source(location, inputs=UNPAIRED)
    assert domains(train) == {"cat": [1], "dog": [3]}
    assert not train.has_test
    assert train.notes == (
        "val: 1 images not used (data.split is train)",
        "test: 1 images not used (data.split is train)",
        "x: 1 images not used (data.split is train)",
        "1 images beside the folders are not used: dog/7.png",
    )
    for split in ("test", "all"):
        with pytest.raises(GancliError, match="holds 1 images in dog/test, but none in cat/test") as caught:
            open_source(location, split, inputs=UNPAIRED)
        assert caught.value.hint == "put the images of the other domain into cat/test"
    with pytest.raises(GancliError, match="no test part, only train"):
        open_source(str(tree(tmp_path / "none", "cat/train/1.png dog/train/2.png")), "test", inputs=UNPAIRED)
    # A class without images to test on is no mistake.
    classes = open_source(location)
    assert classes.has_test
    assert (classes.classes, values(classes)) == (("cat", "dog"), [1, 3])
    both = open_source(location, "all")
    assert (both.classes, both.labels.tolist(), values(both)) == (("cat", "dog"), [0, 1, 1, 0], [1, 3, 5, 2])


def test_class_folders_with_parts_inside(tmp_path):
    folder = tree(tmp_path / "data", [f"{kind}/{part}/1.png" for kind in "abc" for part in ("test", "train")])
    train, test, both = (open_source(str(folder), split) for split in ("train", "test", "all"))
    assert [(source.classes, source.labels.tolist()) for source in (train, test)] == [(("a", "b", "c"), [0, 1, 2])] * 2
    assert (values(train), values(test), values(both)) == ([2, 4, 6], [1, 3, 5], [2, 4, 6, 1, 3, 5])
    assert (train.has_test, test.has_test) == (True, False)


def test_an_image_beside_the_sides_changes_nothing(tmp_path):
    source = open_source(str(tree(tmp_path, SIDES + " preview.png")))
    assert domains(source) == {"A": [1, 2], "B": [4, 3]}
    assert any("1 images beside the folders are not used: preview.png" in note for note in source.notes)


def test_two_folders_are_what_is_needed(tmp_path):
    location = str(tree(tmp_path, "dogs/1.png dogs/2.png cats/a.png cats/b.png cats/2.png"))
    unpaired = open_source(location, inputs=UNPAIRED)
    assert domains(unpaired) == {"cats": [5, 3, 4], "dogs": [1, 2]}
    assert not unpaired.paired
    assert check(unpaired, UNPAIRED) is None
    for needs in (None, ONE, CLASSES):
        assert open_source(location, inputs=needs).classes == ("cats", "dogs")
    # One of the two dogs has a partner, which is half of them.
    pairs = open_source(location, inputs=PAIRS)
    assert domains(pairs) == {"cats": [5], "dogs": [2]}
    assert any("3 images without a partner are left out: cats/a.png" in note for note in pairs.notes)
    (tmp_path / "dogs" / "3.png").write_bytes(png())
    assert "nothing pairs cats and dogs" in check(open_source(location, inputs=PAIRS), PAIRS)
    assert len({open_source(location, inputs=needs).fingerprint for needs in (None, UNPAIRED)}) == 2


def test_who_needs_no_pairs_loses_no_image_for_their_sake(tmp_path):
    location = tree(tmp_path, "a/1.png a/2.png a/3.png b/1.png b/2.png b/3.png")
    assert open_source(str(location), inputs=UNPAIRED).paired
    (tmp_path / "b" / "4.png").write_bytes(png())
    assert len(open_source(str(location)).domains["B"]) == 3
    unpaired = open_source(str(location), inputs=UNPAIRED)
    assert (unpaired.paired, len(unpaired.domains["B"])) == (False, 4)


def test_two_endings_of_one_name_are_not_lost_silently(tmp_path):
    tree(tmp_path, "a/1.png a/2.png b/1.png b/2.png")
    (tmp_path / "a" / "2.bmp").write_bytes(b"")
    assert any("1 images without a partner" in note for note in open_source(str(tmp_path)).notes)


def test_sides_with_the_same_names_are_pairs_for_who_needs_them(tmp_path):
    location = str(tree(tmp_path, SIDES + " trainB/9.png"))
    for needs in (None, UNPAIRED):
        assert not open_source(location, inputs=needs).paired
        assert len(open_source(location, inputs=needs).domains["B"]) == 3
    train, test, both = (open_source(location, split, inputs=PAIRS) for split in ("train", "test", "all"))
    assert all(source.paired for source in (train, test, both))
    assert domains(train) == {"A": [1, 2], "B": [4, 3]}
    assert domains(test) == {"A": [5], "B": [6]}
    assert domains(both) == {"A": [1, 2, 5], "B": [4, 3, 6]}
    assert any("1 images without a partner are left out: trainB/9.png" in note for note in train.notes)
    assert not any("partner" in note for note in test.notes)
    other = str(tree(tmp_path / "other", "trainA/1.png trainB/2.png"))
    assert "nothing pairs A and B" in check(open_source(other, inputs=PAIRS), PAIRS)


@pytest.mark.parametrize(
    ("names", "has_test"),
    [
        (SIDES, True),
        ("trainA/1.png trainB/1.png", False),
        ("trainA/1.png trainB/1.png valA/1.png valB/1.png", True),
        ("train/a/1.png train/b/1.png val/a/1.png val/b/1.png", True),
        ("train/1.png test/1.png", True),
        ("train/1.png train/2.png", False),
        ("1.png", False),
        ("a/1.png b/2.png", False),
    ],
)
def test_whether_there_is_a_test_part(tmp_path, names, has_test):
    location = str(tree(tmp_path / "data", names))
    for place in (location, str(zipped(tmp_path / "data"))):
        assert open_source(place).has_test == has_test
        assert not open_source(place, "all").has_test
        if has_test:
            assert not open_source(place, "test").has_test
    half = tree(tmp_path / "half", "trainA/1.png trainB/1.png testA/1.png")
    assert not open_source(str(half)).has_test


@pytest.mark.parametrize(
    ("names", "split", "said"),
    [
        ("trainA/1.png trainA/2.png", "train", "2 images in trainA, but none in trainB"),
        ("trainB/1.png testA/1.png testB/1.png", "train", "1 images in trainB, but none in trainA"),
        ("TrainA/1.png TrainB/x.txt", "train", "1 images in TrainA, but none in TrainB"),
        ("trainA/1.png trainB/1.png testA/1.png", "test", "1 images in testA, but none in testB"),
        ("traina/1.png", "all", "1 images in traina, but none in trainb"),
    ],
)
@pytest.mark.parametrize("needs", [None, UNPAIRED, PAIRS])
def test_one_empty_side(tmp_path, names, split, said, needs):
    folder = tree(tmp_path / "data", names)
    (folder / "trainB").mkdir(exist_ok=True)
    for location in (str(folder), str(zipped(folder, "inside/"))):
        with pytest.raises(GancliError, match=said) as caught:
            open_source(location, split, inputs=needs)
        assert caught.value.hint.endswith(said.rpartition(" ")[2])


def test_one_of_two_folders_is_empty(tmp_path):
    folder = tree(tmp_path / "data", "horses/1.png horses/2.png")
    for hidden in ("__MACOSX", ".thumbnails"):
        (folder / hidden).mkdir()
    assert "needs two domains" in check(open_source(str(folder), inputs=UNPAIRED), UNPAIRED)
    (folder / "zebras").mkdir()
    with pytest.raises(GancliError, match="2 images in horses, but none in zebras"):
        open_source(str(folder), inputs=UNPAIRED)
    assert len(open_source(str(folder)).domains["image"]) == 2
    (folder / "notes").mkdir()
    assert "needs two domains" in check(open_source(str(folder), inputs=UNPAIRED), UNPAIRED)
    tree(tmp_path / "around", f"docs/readme.txt {' '.join('data/' + name for name in SIDES.split())}")
    assert len(open_source(str(tmp_path / "around"), inputs=UNPAIRED).domains) == 2


def test_halves(tmp_path):
    folder = side_by_side(tmp_path / "edges2shoes", [(16, 8), (20, 10), (16, 8)])
    for location in (folder, zipped(folder), tarred(folder, ".tar"), tarred(folder, ".tar.gz")):
        for needs in (None, UNPAIRED, ONE):
            assert list(open_source(str(location), inputs=needs).domains) == ["image"]
        source = open_source(str(location), inputs=PAIRS)
        assert source.paired
        assert check(source, PAIRS) is None
        assert domains(source) == {"edges": [0, 2, 4], "shoes": [1, 3, 5]}
        left, right = source.domains.values()
        for channels in (1, 3):
            assert left.read(1, channels).shape == right.read(1, channels).shape == (10, 10, channels)
            assert (left.read(1, channels) == 2).all()
            assert (right.read(1, channels) == 3).all()
        assert left.name(1) == right.name(1)


def test_halves_in_parts(tmp_path):
    side_by_side(tmp_path / "train", [(16, 8)] * 3)
    side_by_side(tmp_path / "val", [(16, 8)] * 2)
    train, test, both = (open_source(str(tmp_path), split, inputs=PAIRS) for split in ("train", "test", "all"))
    assert (train.has_test, test.has_test) == (True, False)
    assert all(source.paired for source in (train, test, both))
    assert domains(train) == {"A": [0, 2, 4], "B": [1, 3, 5]}
    assert domains(test) == {"A": [0, 2], "B": [1, 3]}
    assert domains(both) == {"A": [0, 2, 4, 0, 2], "B": [1, 3, 5, 1, 3]}


@pytest.mark.parametrize(
    ("size", "fault"),
    [
        *((size, "") for size in [(200, 98), (200, 102), (200, 97), (300, 100), (198, 110)]),
        *((size, "not two images side by side") for size in [(100, 100), (192, 108), (196, 109), (100, 200)]),
        *((size, "an odd width that cannot be halved") for size in [(201, 100), (51, 25)]),
    ],
)
def test_few_odd_images_are_bad_ones(tmp_path, size, fault):
    side_by_side(tmp_path / "data", [(16, 8), (16, 8), size])
    source = open_source(str(tmp_path / "data"), inputs=PAIRS)
    assert source.notes == ()
    for images in source.domains.values():
        assert images.read(1, 3).shape == (8, 8, 3)
        if fault:
            with pytest.raises(BadImage, match=f"it is {size[0]} x {size[1]} px, {fault}"):
                images.read(2, 3)
        else:
            assert images.read(2, 3).shape == (size[1], size[0] // 2, 3)


@pytest.mark.parametrize("size", [(64, 24), (36, 20), (80, 20)])
def test_halves_that_are_no_squares(tmp_path, size):
    folder = side_by_side(tmp_path / "day2night", [size] * 9 + [(32, 18)])
    (folder / "sub").mkdir()
    (folder / "sub" / "1.png").write_bytes(png())
    for location in (folder, zipped(folder)):
        for needs in (None, UNPAIRED, ONE):
            assert list(open_source(str(location), inputs=needs).domains) == ["image"]
        source = open_source(str(location), inputs=PAIRS)
        assert source.paired
        day, night = source.domains["day"], source.domains["night"]
        assert day.read(4, 3).shape == night.read(4, 3).shape == (size[1], size[0] // 2, 3)
        assert (int(day.read(4, 3).max()), int(night.read(4, 3).min())) == (8, 9)
        with pytest.raises(BadImage, match="it is 32 x 18 px, not two"):
            day.read(9, 3)
        assert source.notes[0].startswith("read as A|B side by side: every image is cut in the middle")
        assert source.notes[0].endswith(f"0.png is {size[0]} x {size[1]} px")
        assert source.notes[1].startswith("1 images in sub-folders")


@pytest.mark.parametrize(
    "sizes",
    [
        [(32, 18)] * 10,  # frames of films
        [(36, 24), (24, 36), (32, 24)] * 4,
        [(24, 24)] * 10,
        [(64, 24)] * 8 + [(32, 18)],  # some panoramas would be no proof either
    ],
)
def test_photographs_are_not_cut_in_two(tmp_path, sizes):
    folder = side_by_side(tmp_path / "data", sizes)
    with pytest.raises(
        GancliError, match=f"holds no pairs: .* {len(sizes)} of {len(sizes)} are not twice as"
    ) as caught:
        open_source(str(folder), inputs=PAIRS)
    narrow = next(size for size in sizes if size[0] < 1.8 * size[1])
    assert caught.value.message.endswith(f"is {narrow[0]} x {narrow[1]} px")
    assert "two folders" in caught.value.hint
    assert "at least 1.8 times as wide as high" in caught.value.hint


def test_odd_widths_cannot_be_halved(tmp_path):
    folder = side_by_side(tmp_path / "most", [(51, 25), (51, 25), (50, 25)])
    with pytest.raises(GancliError, match=r"2 of 3 images have an odd width .* 0\.png is 51 x 25 px") as caught:
        open_source(str(folder), inputs=PAIRS)
    assert "even width" in caught.value.hint
    assert len(open_source(str(folder)).domains["image"]) == 3
    folder = side_by_side(tmp_path / "half", [(51, 25), (50, 25)])
    left = open_source(str(folder), inputs=PAIRS).domains["A"]
    assert left.read(1, 3).shape == (25, 25, 3)
    with pytest.raises(BadImage, match="it is 51 x 25 px, an odd width"):
        left.read(0, 3)


def test_most_images_must_be_halves(tmp_path):
    folder = side_by_side(tmp_path / "data", [(16, 8)] + [(8, 8)] * 2)
    with pytest.raises(GancliError, match=r"2 of 3 are not twice as wide .* 1\.png is 8 x 8 px") as caught:
        open_source(str(folder), inputs=PAIRS)
    assert "two folders" in caught.value.hint
    (folder / "1.png").write_text("not an image")  # says nothing about the others
    source = open_source(str(folder), inputs=PAIRS)
    with pytest.raises(BadImage, match="not an image"):
        source.domains["A"].read(1, 3)


def test_sizes_of_many_images_are_sampled(tmp_path, monkeypatch):
    folder = side_by_side(tmp_path / "data", [(4, 2)] * 200)
    read: list[str] = []
    original = DirectoryFiles.read
    monkeypatch.setattr(DirectoryFiles, "read", lambda self, name: read.append(name) or original(self, name))
    open_source(str(folder), inputs=PAIRS)
    assert 40 <= len(read) <= 64
    assert read[-1] == "196.png"


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


@pytest.mark.parametrize("label", [[0.5, 1], "", None, 1.5, [[1]], {}])
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
        (idx(DIGITS)[:10], "not an idx file"),
        (b"", "not an idx file"),
        (idx(DIGITS[0]), "not an idx file"),
        (b"\0\0\x0d\x03" + idx(DIGITS)[4:], "not an idx file"),
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


def test_empty_and_imageless_folders(tmp_path):
    with pytest.raises(GancliError, match="is empty"):
        open_source(str(tmp_path))
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(GancliError, match="1 files, but none is an image that is read") as caught:
        open_source(str(tmp_path))
    assert ".png" in caught.value.hint
    zipped(tree(tmp_path / "inner", "1.png")).rename(tmp_path / "inner.zip")
    (tmp_path / "inner" / "1.png").unlink()
    with pytest.raises(GancliError, match="holds no images") as caught:
        open_source(str(tmp_path))
    assert "inner.zip" in caught.value.hint
    with pytest.raises(GancliError, match="neither a folder nor an archive"):
        open_source(str(tmp_path / "a.txt"))


def test_several_data_sets_in_one_folder(tmp_path):
    for name in ("MNIST", "KMNIST"):
        (tmp_path / name / "raw").mkdir(parents=True)
        (tmp_path / name / "raw" / "train-images-idx3-ubyte").write_bytes(idx(DIGITS))
    with pytest.raises(GancliError, match="several data sets"):
        open_source(str(tmp_path))


def test_as_many_folders_as_domains(tmp_path):
    three = Inputs(dict.fromkeys(("mask", "edges", "photo"), IMAGE))
    location = str(tree(tmp_path / "data", "a/1.png a/2.png b/1.png b/2.png c/1.png c/2.png c/3.png"))
    source = open_source(location, inputs=three)
    assert domains(source) == {"a": [1, 2], "b": [3, 4], "c": [5, 6, 7]}
    assert (source.layout, source.paired, check(source, three)) == ("3 folders, a domain each", False, None)
    pairs = Inputs(three.domains, paired=True)
    source = open_source(location, inputs=pairs)
    assert domains(source) == {"a": [1, 2], "b": [3, 4], "c": [5, 6]}
    assert (source.layout, check(source, pairs)) == ("3 folders of same-named pairs", None)
    assert any("1 images without a partner are left out: c/3.png" in note for note in source.notes)
    assert open_source(location).classes == open_source(location, inputs=ONE).classes == ("a", "b", "c")
    assert "needs two domains, but" in check(open_source(location, inputs=UNPAIRED), UNPAIRED)
    inside = tree(tmp_path / "inside", [f"{side}/{part}/1.png" for side in "abc" for part in ("train", "test")][:-1])
    assert list(open_source(str(inside), inputs=three).domains) == ["a", "b", "c"]
    with pytest.raises(GancliError, match="holds 1 images in a/test, but none in c/test"):
        open_source(str(inside), "test", inputs=three)
