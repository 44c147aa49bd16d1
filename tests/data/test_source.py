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
from pydantic import ValidationError

from gancli.architectures.base import DataNeeds
from gancli.data.arrays import read_idx
from gancli.data.files import DirectoryFiles
from gancli.data.layouts import natural
from gancli.data.named import _KNOWN
from gancli.data.source import NAMES, BadImage, Source, absolute, check, domain_names, open_source, same_proportions
from gancli.errors import GancliError
from gancli.schema import DataConfig


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


def test_paths_that_are_not_utf_8(tmp_path):
    try:
        folders = [tree(tmp_path / os.fsdecode(name), "1.png") for name in (b"caf\xe9", b"caf\xe8")]
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    sources = [open_source(str(place)) for folder in folders for place in (folder, zipped(folder))]
    assert [values(source) for source in sources] == [[1]] * 4
    assert len({source.fingerprint for source in sources}) == 4
    inside = open_source(str(tree(tmp_path / "inside", ["1.png", os.fsdecode(b"caf\xe9.png")])))
    assert values(inside) == [1, 2]


@given(st.lists(st.text("ab019_.é²", max_size=6), unique=True))
def test_natural_order_is_total_and_compares_numbers(names):
    keys = [natural(name) for name in names]
    assert len({str(key) for key in keys}) == len(names)
    assert len(sorted(keys)) == len(names)  # any two can be compared
    assert sorted(["x10", "x9", "x1"], key=natural) == ["x1", "x9", "x10"]


# -- two domains ------------------------------------------------------------------------------------------------------

UNPAIRED, PAIRS = DataNeeds(domains=2), DataNeeds(domains=2, paired=True)
SIDES = "trainA/1.png trainA/2.png trainB/2.png trainB/1.png testA/3.png testB/3.png"


@pytest.mark.parametrize(
    ("folder", "names"),
    [
        ("horse2zebra", ("horse", "zebra")),
        ("horse2zebra.zip", ("horse", "zebra")),
        ("horse2zebra.tar.gz", ("horse", "zebra")),
        ("vangogh2photo-256", ("vangogh", "photo")),
        ("iphone2dslr_v3", ("iphone", "dslr")),
        ("summer2winter_yosemite", ("summer", "winter")),
        ("summer2winter_yosemite_256.tar.gz", ("summer", "winter")),
        ("facades_label2photo", ("label", "photo")),
        ("wild-horse2zebra", ("wild-horse", "zebra")),
        ("Tag2Nacht (1)", ("Tag", "Nacht")),
        ("день2ночь", ("день", "ночь")),
        *(
            (other, ("A", "B"))
            for other in ("data", "2", "part2", "2zebra", "a2b", "x2y2z", "same2Same", "", "v2.5", "a_2_b")
        ),
    ],
)
def test_names_of_domains(folder, names):
    assert domain_names([folder]) == names
    assert domain_names(["trainA", folder, "night2day"]) == (names if names != ("A", "B") else ("night", "day"))


def domains(source: Source) -> dict[str, list[int]]:
    return {name: values(source, name) for name in source.domains}


@given(st.text(max_size=20))
def test_names_of_domains_are_always_usable(folder):
    first, second = domain_names([folder])
    assert DataConfig(domains=(first, second)).domains == (first, second)


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
    source = open_source(location, needs=UNPAIRED)
    assert domains(source) == {"cat": [1], "dog": [2]}
    assert source.has_test
    assert domains(open_source(location, "test", needs=UNPAIRED)) == {"cat": [3], "dog": [4]}
    assert domains(open_source(location, "all", needs=UNPAIRED)) == {"cat": [1, 3], "dog": [2, 4]}
    assert open_source(location).classes == ("A", "B")


INSIDE = [f"{side}/{part}/{name}.png" for side in "AB" for part, name in (("train", 1), ("train", 2), ("test", 1))]


@pytest.mark.parametrize("around", ["", "photos/"])
def test_two_folders_with_parts_inside(tmp_path, around):
    """What the official pix2pix asks for before its combine_A_and_B.py."""
    folder = tree(tmp_path / "day2night", [around + name for name in INSIDE] + [f"{around}B/train/9.png"])
    for location in (folder, zipped(folder), tarred(folder, ".tar")):
        for needs, b in ((PAIRS, [4, 5]), (UNPAIRED, [4, 5, 7])):
            train, test, both = (open_source(str(location), split, needs=needs) for split in ("train", "test", "all"))
            assert domains(train) == {"day": [1, 2], "night": b}
            assert domains(test) == {"day": [3], "night": [6]}
            # Partners are of the same part, whatever the names in the other one.
            assert domains(both) == {"day": [1, 2, 3], "night": [*b, 6]}
            assert (train.has_test, test.has_test, both.has_test) == (True, False, False)
            assert [source.paired for source in (train, test)] == [needs.paired, True]
            assert "test: 2 images not used (data.split is train)" in train.notes
            assert not any("not used" in note for note in both.notes)
            assert len({source.fingerprint for source in (train, test, both)}) == 3
        pairs = open_source(str(location), needs=PAIRS)
        assert any("1 images without a partner are left out" in note for note in pairs.notes)


def test_parts_inside_one_folder_only(tmp_path):
    """Then they are folders like any other, and all images are taken."""
    source = open_source(str(tree(tmp_path / "a", "cat/train/1.png cat/test/2.png dog/3.png")), needs=UNPAIRED)
    assert domains(source) == {"cat": [2, 1], "dog": [3]}
    assert not source.has_test
    source = open_source(str(tree(tmp_path / "b", "toy/train/1.png toy/car/2.png pet/train/3.png")), needs=UNPAIRED)
    assert domains(source) == {"pet": [3], "toy": [2, 1]}


def test_a_part_inside_that_one_folder_lacks(tmp_path):
    names = "cat/train/1.png cat/val/2.png dog/Train/3.png dog/7.png dog/test/4.png dog/x/5.png"
    location = str(tree(tmp_path / "data", names))
    train = open_source(location, needs=UNPAIRED)
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
            open_source(location, split, needs=UNPAIRED)
        assert caught.value.hint == "put the images of the other domain into cat/test"
    with pytest.raises(GancliError, match="no test part, only train"):
        open_source(str(tree(tmp_path / "none", "cat/train/1.png dog/train/2.png")), "test", needs=UNPAIRED)
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


def test_names_can_be_given(tmp_path):
    location = str(tree(tmp_path / "horse2zebra", SIDES))
    source = open_source(location, domains=("pony", "okapi"))
    assert list(source.domains) == ["pony", "okapi"]
    assert source.fingerprint == open_source(location).fingerprint
    assert list(open_source("shapes:pairs", domains=("a", "b")).domains) == ["a", "b"]
    with pytest.raises(GancliError, match="names a and b, but shapes holds one set") as caught:
        open_source("shapes", domains=("a", "b"))
    assert "data.domains" in caught.value.hint
    with pytest.raises(GancliError, match=r"names a and b and c, but .* holds horse and zebra"):
        open_source(location, domains=("a", "b", "c"))


@pytest.mark.parametrize(
    "names", [["a"], ["a", "b", "c"], ["a", "a"], ["", "b"], [" ", "b"], ["a/b", "c"], [1, 2], "ab", ["a", "\\"]]
)
def test_names_that_are_none(names):
    with pytest.raises(ValidationError, match="domains"):
        DataConfig(domains=names)
    assert DataConfig(domains=["horse", "zebra"]).domains == ("horse", "zebra")


def test_two_folders_are_what_is_needed(tmp_path):
    location = str(tree(tmp_path, "dogs/1.png dogs/2.png cats/a.png cats/b.png cats/2.png"))
    unpaired = open_source(location, needs=UNPAIRED)
    assert domains(unpaired) == {"cats": [5, 3, 4], "dogs": [1, 2]}
    assert not unpaired.paired
    assert check(unpaired, UNPAIRED) is None
    for needs in (None, DataNeeds(), DataNeeds(labels=True)):
        assert open_source(location, needs=needs).classes == ("cats", "dogs")
    # One of the two dogs has a partner, which is half of them.
    pairs = open_source(location, needs=PAIRS)
    assert domains(pairs) == {"cats": [5], "dogs": [2]}
    assert any("3 images without a partner are left out: cats/a.png" in note for note in pairs.notes)
    (tmp_path / "dogs" / "3.png").write_bytes(png())
    assert "nothing pairs cats and dogs" in check(open_source(location, needs=PAIRS), PAIRS)
    assert len({open_source(location, needs=needs).fingerprint for needs in (None, UNPAIRED)}) == 2


def test_who_needs_no_pairs_loses_no_image_for_their_sake(tmp_path):
    location = tree(tmp_path, "a/1.png a/2.png a/3.png b/1.png b/2.png b/3.png")
    assert open_source(str(location), needs=UNPAIRED).paired
    (tmp_path / "b" / "4.png").write_bytes(png())
    assert len(open_source(str(location)).domains["B"]) == 3
    unpaired = open_source(str(location), needs=UNPAIRED)
    assert (unpaired.paired, len(unpaired.domains["B"])) == (False, 4)


def test_two_endings_of_one_name_are_not_lost_silently(tmp_path):
    tree(tmp_path, "a/1.png a/2.png b/1.png b/2.png")
    (tmp_path / "a" / "2.bmp").write_bytes(b"")
    assert any("1 images without a partner" in note for note in open_source(str(tmp_path)).notes)


def test_sides_with_the_same_names_are_pairs_for_who_needs_them(tmp_path):
    location = str(tree(tmp_path, SIDES + " trainB/9.png"))
    for needs in (None, UNPAIRED):
        assert not open_source(location, needs=needs).paired
        assert len(open_source(location, needs=needs).domains["B"]) == 3
    train, test, both = (open_source(location, split, needs=PAIRS) for split in ("train", "test", "all"))
    assert all(source.paired for source in (train, test, both))
    assert domains(train) == {"A": [1, 2], "B": [4, 3]}
    assert domains(test) == {"A": [5], "B": [6]}
    assert domains(both) == {"A": [1, 2, 5], "B": [4, 3, 6]}
    assert any("1 images without a partner are left out: trainB/9.png" in note for note in train.notes)
    assert not any("partner" in note for note in test.notes)
    other = str(tree(tmp_path / "other", "trainA/1.png trainB/2.png"))
    assert "nothing pairs A and B" in check(open_source(other, needs=PAIRS), PAIRS)


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
            open_source(location, split, needs=needs)
        assert caught.value.hint.endswith(said.rpartition(" ")[2])


def test_one_of_two_folders_is_empty(tmp_path):
    folder = tree(tmp_path / "data", "horses/1.png horses/2.png")
    for hidden in ("__MACOSX", ".thumbnails"):
        (folder / hidden).mkdir()
    assert "needs 2 sets" in check(open_source(str(folder), needs=UNPAIRED), UNPAIRED)
    (folder / "zebras").mkdir()
    with pytest.raises(GancliError, match="2 images in horses, but none in zebras"):
        open_source(str(folder), needs=UNPAIRED)
    assert len(open_source(str(folder)).domains["image"]) == 2
    (folder / "notes").mkdir()
    assert "needs 2 sets" in check(open_source(str(folder), needs=UNPAIRED), UNPAIRED)
    tree(tmp_path / "around", f"docs/readme.txt {' '.join('data/' + name for name in SIDES.split())}")
    assert len(open_source(str(tmp_path / "around"), needs=UNPAIRED).domains) == 2


# -- pairs side by side -----------------------------------------------------------------------------------------------


def side_by_side(root: Path, sizes: list[tuple[int, int]]) -> Path:
    """Images whose left half has the value 2 * i and whose right half 2 * i + 1."""
    root.mkdir(parents=True)
    for i, (width, height) in enumerate(sizes):
        image = np.full((height, width, 3), 2 * i % 200, np.uint8)
        image[:, width // 2 :] += 1
        Image.fromarray(image).save(root / f"{i}.png")
    return root


def test_halves(tmp_path):
    folder = side_by_side(tmp_path / "edges2shoes", [(16, 8), (20, 10), (16, 8)])
    for location in (folder, zipped(folder), tarred(folder, ".tar"), tarred(folder, ".tar.gz")):
        for needs in (None, UNPAIRED, DataNeeds()):
            assert list(open_source(str(location), needs=needs).domains) == ["image"]
        source = open_source(str(location), needs=PAIRS)
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
    train, test, both = (open_source(str(tmp_path), split, needs=PAIRS) for split in ("train", "test", "all"))
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
    source = open_source(str(tmp_path / "data"), needs=PAIRS)
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
        for needs in (None, UNPAIRED, DataNeeds()):
            assert list(open_source(str(location), needs=needs).domains) == ["image"]
        source = open_source(str(location), needs=PAIRS)
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
        open_source(str(folder), needs=PAIRS)
    narrow = next(size for size in sizes if size[0] < 1.8 * size[1])
    assert caught.value.message.endswith(f"is {narrow[0]} x {narrow[1]} px")
    assert "two folders" in caught.value.hint
    assert "at least 1.8 times as wide as high" in caught.value.hint


def test_odd_widths_cannot_be_halved(tmp_path):
    folder = side_by_side(tmp_path / "most", [(51, 25), (51, 25), (50, 25)])
    with pytest.raises(GancliError, match=r"2 of 3 images have an odd width .* 0\.png is 51 x 25 px") as caught:
        open_source(str(folder), needs=PAIRS)
    assert "even width" in caught.value.hint
    assert len(open_source(str(folder)).domains["image"]) == 3
    folder = side_by_side(tmp_path / "half", [(51, 25), (50, 25)])
    left = open_source(str(folder), needs=PAIRS).domains["A"]
    assert left.read(1, 3).shape == (25, 25, 3)
    with pytest.raises(BadImage, match="it is 51 x 25 px, an odd width"):
        left.read(0, 3)


def test_most_images_must_be_halves(tmp_path):
    folder = side_by_side(tmp_path / "data", [(16, 8)] + [(8, 8)] * 2)
    with pytest.raises(GancliError, match=r"2 of 3 are not twice as wide .* 1\.png is 8 x 8 px") as caught:
        open_source(str(folder), needs=PAIRS)
    assert "two folders" in caught.value.hint
    (folder / "1.png").write_text("not an image")  # says nothing about the others
    source = open_source(str(folder), needs=PAIRS)
    with pytest.raises(BadImage, match="no image"):
        source.domains["A"].read(1, 3)


def test_sizes_of_many_images_are_sampled(tmp_path, monkeypatch):
    folder = side_by_side(tmp_path / "data", [(4, 2)] * 200)
    read: list[str] = []
    original = DirectoryFiles.read
    monkeypatch.setattr(DirectoryFiles, "read", lambda self, name: read.append(name) or original(self, name))
    open_source(str(folder), needs=PAIRS)
    assert 40 <= len(read) <= 64
    assert read[-1] == "196.png"


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
    with pytest.raises(GancliError, match="no list of images") as caught:
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


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ((300, 200), (300, 200), True),
        ((300, 200), (600, 400), True),
        ((1000, 667), (256, 171), True),
        ((1000, 667), (256, 170), True),
        ((300, 200), (200, 300), False),
        ((300, 200), (302, 200), False),
        ((256, 256), (256, 250), False),
        ((1, 1), (1, 1), True),
    ],
)
def test_proportions(one, other, same):
    assert same_proportions(one, other) == same_proportions(other, one) == same


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
        ("shapes:pairs", DataNeeds(), "pairs of images: outline and filled"),
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
