"""Ways between points: what slerp and lerp keep, where paths begin and end, curves, loops, several at once."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gancli.generation.between import Blend, Paths, lerp, slerp
from gancli.generation.latents import Points

BLENDS = [slerp, lerp]


def vectors(count: int, size: int = 16, seed: int = 0) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_slerp_turns_evenly_and_changes_the_norm_evenly() -> None:
    a, b = vectors(2)
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    between = slerp(a.expand(11, -1), b.expand(11, -1), t)
    u, v = a / a.norm(), b / b.norm()
    angle = torch.acos(u @ v)
    directions = (torch.sin((1 - t) * angle)[:, None] * u + torch.sin(t * angle)[:, None] * v) / torch.sin(angle)
    norms = (1 - t) * a.norm() + t * b.norm()
    torch.testing.assert_close(between, norms[:, None] * directions)
    straight = lerp(a.expand(11, -1), b.expand(11, -1), t)
    assert straight[5].norm() < 0.8 * norms[5]  # what slerp is for
    torch.testing.assert_close(straight[3], 0.7 * a + 0.3 * b)


@pytest.mark.parametrize("turn", [0.0, 1e-12, 1e-6, 1.0, math.pi - 1e-6, math.pi - 1e-12, math.pi])
def test_slerp_between_any_directions(turn: float) -> None:
    a, side = vectors(2)
    a = a / a.norm()
    side = side - (side @ a) * a
    b = math.cos(turn) * a + math.sin(turn) * side / side.norm()
    t = torch.linspace(0, 1, 9, dtype=torch.float64)
    between = slerp(a.expand(9, -1), b.expand(9, -1), t)
    torch.testing.assert_close(between.norm(dim=1), torch.ones(9, dtype=torch.float64))
    torch.testing.assert_close(between[[0, -1]], torch.stack([a, b]), atol=1e-8, rtol=0)
    steps = (between[1:] - between[:-1]).norm(dim=1)
    torch.testing.assert_close(steps, torch.full_like(steps, 2 * math.sin(turn / 16)), atol=1e-8, rtol=0)


def test_slerp_from_nothing_goes_straight() -> None:
    a, b = torch.zeros(1, 4).double(), vectors(1, 4)
    torch.testing.assert_close(slerp(a, b, torch.tensor([0.25]).double()), b / 4)


def test_slerp_takes_each_layer_by_itself() -> None:
    a, b = vectors(6).view(2, 3, 16), vectors(6, seed=1).view(2, 3, 16)
    t = torch.tensor([0.3, 0.6]).double()
    each = torch.stack([slerp(a[:, layer], b[:, layer], t) for layer in range(3)], dim=1)
    torch.testing.assert_close(slerp(a, b, t), each)


def points(count: int, shape: tuple[int, ...] = (16,), classes: int = 0) -> Points:
    values = vectors(count, math.prod(shape)).float().view(count, *shape)
    labels = torch.eye(classes)[torch.arange(count) % classes] if classes else None
    return Points(values, range(count), labels)


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize(("loop", "frames"), [(False, 4 * 5 + 1), (True, 5 * 5)])
def test_a_path_goes_through_its_points_exactly(blend: Blend, smooth: bool, loop: bool, frames: int) -> None:
    stops = points(5, (2, 4, 2))
    path = Paths(stops, 1, 5, blend, loop=loop, smooth=smooth)
    assert len(path) == path.frames == frames
    values = path[0:frames].values
    assert values.dtype == torch.float32
    assert torch.equal(values[::5], stops.values)
    assert len({tuple(value.flatten().tolist()) for value in values}) == frames  # no frame comes twice
    steps = (values[1:] - values[:-1]).flatten(1).norm(dim=1)
    assert steps.max() < 4 * steps.min()
    if loop:
        closing = (values[-1] - values[0]).norm()
        assert steps.min() / 2 < closing < 2 * steps.max()
    # In parts it is the same.
    assert torch.equal(torch.cat([path[first : first + 4].values for first in range(0, frames, 4)]), values)


@pytest.mark.parametrize("blend", BLENDS)
def test_curves_do_not_turn_sharply(blend: Blend) -> None:
    """The speed on both sides of a point: the same in a curve, not where straight ways meet."""

    def turns(smooth: bool) -> Tensor:
        path = Paths(points(4), 1, 1000, blend, loop=True, smooth=smooth)
        values = path[0 : len(path)].values.double()
        values = torch.cat([values[-1:], values, values[:1]])
        before, after = values[1:-1] - values[:-2], values[2:] - values[1:-1]
        return ((after - before).norm(dim=1) / before.norm(dim=1))[::1000]

    assert turns(smooth=True).max() < 0.05
    assert turns(smooth=False).min() > 0.5


def test_a_curve_is_the_polynomial_of_catmull_and_rom_and_ends_straight() -> None:
    stops = points(4)
    p = stops.values.double()
    path = Paths(stops, 1, 4, lerp, smooth=True)[0:13].values.double()
    t = 0.25
    expected = 0.5 * (
        2 * p[1]
        + (p[2] - p[0]) * t
        + (2 * p[0] - 5 * p[1] + 4 * p[2] - p[3]) * t**2
        + (3 * p[1] - p[0] - 3 * p[2] + p[3]) * t**3
    )
    torch.testing.assert_close(path[5], expected, atol=1e-6, rtol=0)
    two = Points(stops.values[:2], range(2))
    torch.testing.assert_close(Paths(two, 1, 4, lerp, smooth=True)[0:5].values, Paths(two, 1, 4, lerp)[0:5].values)


def test_slerp_keeps_the_sphere_on_straight_ways_and_curves() -> None:
    stops = points(5)
    stops = Points(stops.values / stops.values.norm(dim=1, keepdim=True), range(5))
    for smooth in (False, True):
        norms = Paths(stops, 1, 20, slerp, loop=True, smooth=smooth)[0:100].values.norm(dim=1)
        torch.testing.assert_close(norms, torch.ones(100))
    assert Paths(stops, 1, 20, lerp)[0:80].values.norm(dim=1).min() < 0.9


@pytest.mark.parametrize("smooth", [False, True])
def test_classes_go_straight_between_the_points(smooth: bool) -> None:
    path = Paths(points(3, classes=3), 1, 4, slerp, smooth=smooth, loop=True)
    labels = path[0:12].labels
    assert labels is not None
    torch.testing.assert_close(labels.sum(dim=1), torch.ones(12))
    assert labels[5].tolist() == [0, 0.75, 0.25]
    assert labels[[0, 4, 8]].tolist() == torch.eye(3).tolist()
    assert labels[11].tolist() == [0.75, 0, 0.25]


def test_paths_side_by_side_have_points_of_their_own() -> None:
    stops = points(6)
    together = Paths(stops, 2, 5, slerp)
    first, second = (Paths(stops[part], 1, 5, slerp)[0:11].values for part in (slice(0, 3), slice(3, 6)))
    assert together.frames == 11
    assert torch.equal(together[0:22].values, torch.stack([first, second], dim=1).flatten(0, 1))
    one_by_one = Paths(stops, 2, 5, slerp, one_by_one=True)
    assert torch.equal(one_by_one[0:22].values, torch.cat([first, second]))
