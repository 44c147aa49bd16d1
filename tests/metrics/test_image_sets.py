"""Sets of images: which images are drawn. Those of models are in test_comparison.py."""

from __future__ import annotations

import numpy as np

from gancli.data.shapes import Drawn
from gancli.metrics.images import Stored


def test_some_images_are_drawn_by_their_number_alone() -> None:
    images = Stored("shapes", "key", Drawn("shapes"), 3)
    some = images.some(10, 3)
    assert len(some) == 10
    assert (np.diff(some.chosen) > 0).all()
    assert (some.chosen == images.some(10, 3).chosen).all()
    assert (some.chosen != images.some(10, 4).chosen).any()
    assert some.key != images.key
    assert images.some(10**6, 3) is images
