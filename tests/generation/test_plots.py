"""Plots of points: where a dot lands, what the map's colours say, and the best discriminator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gancli.data.opening import open_source
from gancli.data.toy import MIXTURES, draw
from gancli.generation.plots import (
    BOTTOM,
    CELLS,
    DATA_COLOUR,
    HIGH,
    LEFT,
    LOW,
    MIDDLE,
    RIGHT,
    SAMPLE_COLOUR,
    SIDE,
    TOP,
    Plane,
    plane_of,
    plot,
)

PLANE = Plane(left=-1.0, bottom=0.0, side=3.0)  # x from -1 to 2, y from 0 to 3: a hundred pixels for one unit
PANEL = (TOP + SIDE + BOTTOM, LEFT + SIDE + RIGHT, 3)


def square(picture: np.ndarray, panel: int = 0) -> np.ndarray:
    """The plotted square of one panel."""
    left = panel * PANEL[1] + LEFT
    return picture[TOP : TOP + SIDE, left : left + SIDE]


def test_a_point_lands_on_its_pixel() -> None:
    picture = plot(replace(PLANE, data=np.array([(1.5, 0.25)])), {"sample": torch.tensor([[0.005, 2.995], [9, 9]])})
    assert picture.shape == PANEL
    shown = square(picture)
    assert (shown[0:2, 99:102] == SAMPLE_COLOUR).all()  # a dot of 3 x 3, cut off by the upper edge
    assert (shown[275, 250] == DATA_COLOUR).all()
    assert (shown != 255).any(axis=2).sum() == 6 + 1
    both = plot(replace(PLANE, bottom=-1.5), {"a": torch.tensor([[0.5, 0]]), "b": torch.tensor([[0.5]])})
    assert both.shape == (PANEL[0], 2 * PANEL[1], 3)
    assert (square(both)[150, 150] == SAMPLE_COLOUR).all()
    assert (square(both, 1)[150, 150] == SAMPLE_COLOUR).all()  # a missing coordinate is 0


def test_points_outside_are_counted() -> None:
    inside = plot(PLANE, {"sample": torch.tensor([[0.5, 1.5]])})
    some = plot(PLANE, {"sample": torch.tensor([[0.5, 1.5], [9, 9], [np.nan, 1], [-1.01, 1]])})
    assert (square(some) == square(inside)).all()
    assert (some[:TOP] != inside[:TOP]).any()  # the legend says it


def test_the_map_has_the_colours_of_its_values() -> None:
    places = torch.from_numpy(PLANE.places())
    assert places.shape == (CELLS**2, 2)
    assert places[0].tolist() == pytest.approx([-0.985, 2.985])
    assert places[-1].tolist() == pytest.approx([1.985, 0.015])
    rising = (places[:, 0] + 1) / 3  # from 0 on the left to 1 on the right
    shown = square(plot(PLANE, {"sample": torch.zeros(0, 2)}, (rising, (0, 1))))
    for column, colour in ((0, LOW), (149, MIDDLE), (299, HIGH)):
        assert np.abs(shown[:, column].astype(int) - colour).max() <= 3
    assert (shown == shown[:1]).all()
    beyond = square(plot(PLANE, {"sample": torch.zeros(0, 2)}, (3 * rising - 1, (0, 1))))
    assert (beyond[:, 0] == LOW).all()
    assert (beyond[:, -1] == HIGH).all()
    stretched = square(plot(PLANE, {"sample": torch.zeros(0, 2)}, (50 * rising - 7, None)))
    assert (stretched[:, 0] == LOW).all()
    assert (stretched[:, -1] == HIGH).all()
    upwards = square(plot(PLANE, {"sample": torch.zeros(0, 2)}, (places[:, 1], (0, 3))))
    assert (upwards[0, 0] > upwards[-1, 0]).tolist() == [True, True, False]  # orange above, blue below


def test_the_best_discriminator_of_perfect_and_collapsed_samples() -> None:
    plane = plane_of(open_source("toy:ring"))
    assert plane is not None
    assert plane.mixture is MIXTURES["toy:ring"]

    def at(values: np.ndarray, x: float, y: float) -> float:
        return float(values[np.abs(plane.places() - (x, y)).max(axis=1).argmin()])

    radius = 2 / 1.414
    perfect = plane.optimum(draw("toy:ring", 50_000, 8000))
    assert at(perfect, radius, 0) == pytest.approx(0.5, abs=0.03)
    assert at(perfect, -1, 1) == pytest.approx(0.5, abs=0.03)
    assert at(perfect, 0, 0) == pytest.approx(0.5, abs=1e-6)  # nothing there
    collapsed = plane.optimum(np.full((1000, 2), (0.0, 0.3)))
    assert at(collapsed, radius, 0) > 0.99
    assert at(collapsed, 0, 0.3) < 0.01
    half = plane.optimum(draw("toy:ring", 0, 8000)[::8])  # all in the first of eight modes
    assert at(half, radius, 0) == pytest.approx(1 / 9, abs=0.02)
    picture = plot(plane, {"sample": torch.zeros(5, 2)}, (torch.zeros(CELLS**2), (0, 1)))
    assert picture.shape == (PANEL[0], 2 * PANEL[1], 3)
    assert (square(picture, 1)[150, 150] == SAMPLE_COLOUR).all()


def test_the_plane_is_that_of_the_data() -> None:
    plane = plane_of(open_source("toy:grid"))
    assert plane is not None
    assert plane.side == pytest.approx(1.2 * (8 / 2.828 + 6 * 0.0177), rel=0.02)
    assert (plane.left, plane.bottom) == pytest.approx((-plane.side / 2, -plane.side / 2), abs=0.01)
    assert plane.data.shape == (1000, 2)
    assert plane_of(open_source("shapes")) is None
    moons = plane_of(open_source("toy:moons"))
    assert moons is not None
    assert moons.mixture is None
    assert not Plane.around(np.ones((2, 3))).whole
    assert Plane.around(np.full((2, 2), np.nan)).side == 1
