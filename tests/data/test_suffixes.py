from __future__ import annotations

import pytest
from made import ONE, PAIRS, UNPAIRED, domains, tree, values, zipped

from gancli.data.opening import open_source

HD = "train_A/1.png train_A/2.png train_B/1.png train_B/2.png test_A/3.png test_B/3.png"


@pytest.mark.parametrize("separator", ["_", "-", "", " "])
def test_sides_of_parts_may_be_written_apart(tmp_path, separator):
    tree(tmp_path / "sat2map", [name.replace("_", separator) for name in HD.split()])
    for location in (tmp_path / "sat2map", zipped(tmp_path / "sat2map")):
        pairs = open_source(str(location), inputs=PAIRS)
        assert pairs.paired
        assert domains(pairs) == {"sat": [1, 2], "map": [3, 4]}
        assert pairs.has_test
        assert domains(open_source(str(location), "test", inputs=UNPAIRED)) == {"sat": [5], "map": [6]}
        trained = domains(open_source(str(location), inputs=UNPAIRED))
        assert trained == {"sat": [1, 2], "map": [3, 4]}


@pytest.mark.parametrize("name", ["{part}_{title}", "{title}-{part}"])
def test_parts_in_names(tmp_path, name):
    folders = [name.format(part=part, title=title) for part in ("train", "test") for title in ("img", "label")]
    tree(tmp_path, [f"{folder}/{i}.png" for folder in folders for i in range(2)])
    pairs = open_source(str(tmp_path), inputs=PAIRS)
    assert domains(pairs) == {"img": [1, 2], "label": [3, 4]}
    assert pairs.has_test
    one = open_source(str(tmp_path), inputs=ONE)
    assert (one.classes, sorted(values(one))) == (("img", "label"), [1, 2, 3, 4])
    assert any("2 images not used" in note for note in one.notes)
    assert domains(open_source(str(tmp_path), "test", inputs=PAIRS)) == {"img": [5, 6], "label": [7, 8]}


def test_folders_that_only_sound_like_parts_are_classes(tmp_path):
    tree(tmp_path, "steam_train/1.png blood_test/2.png tree/3.png")
    assert open_source(str(tmp_path), inputs=ONE).classes == ("blood_test", "steam_train", "tree")


def test_partners_in_one_folder(tmp_path):
    tree(tmp_path / "day2night", "0_A.png 0_B.png 1_A.png 1_B.png 2_A.png 2_B.png 3_A.png")
    for inputs in (PAIRS, UNPAIRED):
        source = open_source(str(tmp_path / "day2night"), inputs=inputs)
        assert source.paired
        assert domains(source) == {"day": [1, 3, 5], "night": [2, 4, 6]}
        assert "1 images without a partner are left out: 3_A.png" in source.notes
    assert len(values(open_source(str(tmp_path / "day2night"), inputs=ONE))) == 7
    other = tree(tmp_path / "other", "x_real.png x_fake.png y_real.png y_fake.png")
    assert len(open_source(str(other), inputs=ONE).domains["image"]) == 4


def test_partners_in_two_folders_may_have_the_letter_of_theirs(tmp_path):
    tree(tmp_path, "A/0_A.png A/1_A.png B/0_B.png B/1_B.png")
    assert domains(open_source(str(tmp_path), inputs=PAIRS)) == {"A": [1, 2], "B": [3, 4]}


CITY = (
    "leftImg8bit/train/ulm/u_1_leftImg8bit.png leftImg8bit/train/ulm/u_2_leftImg8bit.png "
    "gtFine/train/ulm/u_1_gtFine_color.png gtFine/train/ulm/u_1_gtFine_labelIds.png "
    "gtFine/train/ulm/u_2_gtFine_color.png gtFine/train/ulm/u_2_gtFine_instanceIds.png "
    "leftImg8bit/val/bonn/b_1_leftImg8bit.png gtFine/val/bonn/b_1_gtFine_color.png "
    "leftImg8bit/test/berlin/t_1_leftImg8bit.png"
)


def test_cityscapes(tmp_path):
    tree(tmp_path, CITY)
    for inputs in (PAIRS, UNPAIRED, None):
        source = open_source(str(tmp_path), inputs=inputs)
        assert source.paired
        assert domains(source) == {"gtFine": [3, 5], "leftImg8bit": [1, 2]}
        assert source.has_test
    assert values(open_source(str(tmp_path), inputs=ONE)) == [1, 2]
    assert any(note.startswith("val: 1 images not used") for note in source.notes)
    whole = open_source(str(tmp_path), "all", inputs=PAIRS)
    assert domains(whole) == {"gtFine": [3, 5, 8], "leftImg8bit": [1, 2, 7]}
