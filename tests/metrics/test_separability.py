"""Linear separability in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gancli.metrics import separability


def test_conditional_entropy_in_closed_form() -> None:
    seen = np.array([True, True, False, False])
    assert separability.conditional_entropy(seen, seen) == 0
    assert separability.conditional_entropy(seen, ~seen) == 0  # known the other way round is known as well
    told = np.array([True, False, True, False])
    assert separability.conditional_entropy(seen, told) == pytest.approx(math.log(2))
    mixed = separability.conditional_entropy(np.array([1, 1, 1, 0]) > 0, np.array([1, 1, 0, 0]) > 0)
    assert mixed == pytest.approx(0.5 * math.log(2))


def test_attributes_on_either_side_of_a_plane_are_separable_and_others_not() -> None:
    z = np.random.default_rng(0).normal(size=(2000, 4)).astype(np.float32)
    assert separability.attribute_entropy(z, z[:, 0] + z[:, 1]) < 0.01
    assert separability.attribute_entropy(z, np.abs(z[:, 0]) - 1) > 0.3
    assert separability.attribute_entropy(z, np.ones(2000, np.float32)) == 0
