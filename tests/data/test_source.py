from __future__ import annotations

import numpy as np
import pytest
from made import CLASSES, IMAGE, ONE, PAIRS, UNPAIRED, stylegan

from gancli.data.opening import open_source
from gancli.data.source import check, same_proportions
from gancli.domains import Domain, Inputs


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


@pytest.mark.parametrize(
    ("location", "needs", "reason"),
    [
        ("shapes", ONE, None),
        ("shapes:classes", CLASSES, None),
        ("shapes:classes", ONE, None),
        ("shapes:pairs", PAIRS, None),
        ("shapes:domains", UNPAIRED, None),
        ("shapes", CLASSES, "no labels"),
        ("shapes", UNPAIRED, "needs two domains"),
        ("shapes:domains", ONE, "two domains: plain and striped"),
        ("shapes:pairs", ONE, "pairs of images: outline and filled"),
        ("shapes:domains", PAIRS, "nothing pairs plain and striped"),
    ],
)
def test_check(location, needs, reason):
    found = check(open_source(location), needs)
    assert found is None if reason is None else reason in found


def test_check_tells_attributes_from_classes(tmp_path):
    source = stylegan(tmp_path, [["00000/img1.png", [0, 1]], ["00000/img2.png", [1, 1]], ["00001/img3.png", [0, 0]]])
    assert "attributes" in check(source, CLASSES)
    assert check(source, ONE) is None
    assert check(source, labelled("attributes")) is None
    assert check(source, labelled("attributes", 2)) is None
    assert check(source, labelled("attributes", 5)).endswith("has 2: --set model.classes=2")
    classes = open_source("shapes:classes")
    assert "a list of attributes for every image, but shapes:classes has one class" in check(
        classes, labelled("attributes")
    )
    assert check(classes, labelled("class", 6)) is None
    assert "it is made for 10 classes, but shapes:classes has 6: --set model.classes=6" in check(
        classes, labelled("class", 10)
    )
    assert "needs a list of attributes for every image, but shapes has no labels" in check(
        open_source("shapes"), labelled("attributes")
    )


def labelled(labels: str, classes: int | None = None) -> Inputs:
    return Inputs({"image": IMAGE}, labels=labels, classes=classes)


def test_check_tells_points_from_images(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((5, 2)))
    points = open_source(str(tmp_path / "x.npy"))
    assert check(points, Inputs({"points": Domain((2,), "points")})) is None
    assert "it needs images, but" in check(points, ONE)
    assert "holds points (an npy file)" in check(points, ONE)
    assert "it needs two domains" in check(points, UNPAIRED)
    assert "one set of points" in check(points, UNPAIRED)
    assert "needs points of 3 numbers" in check(points, Inputs({"points": Domain((3,), "points")}))
    assert "it needs points, but shapes holds images" in check(
        open_source("shapes"), Inputs({"points": Domain((2,), "points")})
    )
    # Whether files are masks is seen as they are decoded.
    assert check(open_source("shapes"), Inputs({"mask": Domain((8, 8), "mask")})) is None


def test_check_counts_any_number_of_domains():
    five = Inputs(dict.fromkeys("abcde", IMAGE))
    assert "needs 5 domains, but shapes:domains holds two domains: plain and striped" in check(
        open_source("shapes:domains"), five
    )
    assert "put the domains into 5 folders" in check(open_source("shapes"), five)
