from __future__ import annotations

import pytest
from made import CLASSES, ONE, PAIRS, UNPAIRED, stylegan

from gancli.data.opening import open_source
from gancli.data.source import check, same_proportions


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
