from __future__ import annotations

import numpy as np
import pytest

from gancli.data.sampler import Order, random_bits, uniform


def test_every_epoch_shows_every_image_once_in_an_order_of_its_own():
    order = Order(5, "image", np.arange(100))
    shown = order.indices(np.arange(300)).reshape(3, 100)
    assert (np.sort(shown, axis=1) == np.arange(100)).all()
    assert not (shown[0] == shown[1]).all()
    assert not (shown[1] == shown[2]).all()


def test_order_depends_on_seed_and_stream_only():
    positions = np.arange(50, 250)
    reference = Order(5, "A", np.arange(97)).indices(positions)
    pieces = [Order(5, "A", np.arange(97)).indices(piece) for piece in np.array_split(positions, 7)]
    assert (np.concatenate(pieces) == reference).all()
    assert not (Order(5, "B", np.arange(97)).indices(positions) == reference).all()
    assert not (Order(6, "A", np.arange(97)).indices(positions) == reference).all()


def test_data_smaller_than_a_batch_is_repeated():
    shown = Order(0, "image", np.arange(3)).indices(np.arange(64))
    assert (np.bincount(shown, minlength=3) >= 21).all()


def test_only_the_given_images_are_shown():
    shown = Order(5, "image", np.array([2, 3, 9])).indices(np.arange(6))
    assert sorted(shown[:3]) == sorted(shown[3:]) == [2, 3, 9]
    assert (np.array([2, 3, 9])[Order(5, "image", np.arange(3)).indices(np.arange(6))] == shown).all()


def test_uniform_is_the_same_for_ever_and_in_any_grouping():
    values = uniform(0, np.arange(1000), "flip")
    assert values[:3].tolist() == [0.2488403588250443, 0.40468377756905893, 0.6366701097692489]
    assert (uniform(0, np.arange(500, 510), "flip") == values[500:510]).all()
    assert Order(0, "image", np.arange(8)).indices(np.arange(16)).tolist() == [
        4,
        2,
        7,
        6,
        1,
        0,
        5,
        3,
        5,
        6,
        3,
        4,
        0,
        2,
        1,
        7,
    ]


def test_splitmix64_reference_values():
    # The published generator, seeded with 1234567.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert random_bits(1234567, np.arange(4)).tolist() == expected


def test_uniform_covers_its_interval_evenly():
    values = uniform(3, np.arange(200_000), "crop x", "image")
    assert values.min() >= 0
    assert values.max() < 1
    counts = np.histogram(values, bins=100, range=(0, 1))[0]
    chi_square = ((counts - 2000) ** 2 / 2000).sum()
    assert 53 < chi_square < 161  # 99 degrees of freedom, p = 1e-4 on either side


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0, "flip"), (0, "crop x")),
        ((0, "flip"), (1, "flip")),
        ((0, "flip", "A"), (0, "flip", "B")),
    ],
)
def test_streams_and_seeds_are_independent(one, other):
    places = np.arange(100_000)
    a, b = uniform(one[0], places, *one[1:]), uniform(other[0], places, *other[1:])
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.013  # four standard deviations
    assert abs(np.corrcoef(a[1:], b[:-1])[0, 1]) < 0.013
    assert abs(np.corrcoef(a[1:], a[:-1])[0, 1]) < 0.013
