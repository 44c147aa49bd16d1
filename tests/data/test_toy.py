"""The built-in points: the same everywhere, where their papers put them, and with the density that they claim."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

from gancli.data.opening import absolute, open_source
from gancli.data.source import PointCloud
from gancli.data.toy import MIXTURES, WORDS, Mixture, draw
from gancli.errors import GancliError

GOLDEN = {
    "toy:ring": "1a54f88858f6f4ec",
    "toy:grid": "614b42f53eb52bac",
    "toy:swissroll": "319bc8402736d00c",
    "toy:two-gaussians": "0f2350f2e6a4626e",
    "toy:moons": "d522550281aae489",
}


@pytest.mark.parametrize("location", WORDS)
def test_points_are_the_same_everywhere_and_depend_on_their_index_alone(location: str) -> None:
    points = draw(location, 0, 1000)
    assert points.dtype == np.float32
    assert hashlib.sha256(points.tobytes()).hexdigest()[:16] == GOLDEN[location]
    assert (points[300:310] == draw(location, 300, 10)).all()


@pytest.mark.parametrize("location", WORDS)
def test_parts_share_no_point(location: str) -> None:
    sources = {split: open_source(location, split) for split in ("train", "test", "all")}
    clouds = {split: source.domains["points"] for split, source in sources.items()}
    assert {split: len(cloud) for split, cloud in clouds.items()} == {"train": 50_000, "test": 10_000, "all": 60_000}
    values = {split: cloud.values for split, cloud in clouds.items() if isinstance(cloud, PointCloud)}
    assert (values["all"] == np.concatenate([values["train"], values["test"]])).all()
    assert len({source.fingerprint for source in sources.values()}) == 3
    assert [source.has_test for source in sources.values()] == [True, False, False]


@pytest.mark.parametrize(
    ("location", "modes", "std", "places"),
    [
        ("toy:ring", 8, 0.02 / 1.414, [(2 / 1.414, 0), (1, 1)]),
        ("toy:grid", 25, 0.05 / 2.828, [(0, 0), (4 / 2.828, -2 / 2.828)]),
        ("toy:two-gaussians", 2, 0.25, [(-1, 0), (1, 0)]),
    ],
)
def test_mixtures_have_the_published_modes(
    location: str, modes: int, std: float, places: list[tuple[float, float]]
) -> None:
    mixture, points = MIXTURES[location], draw(location, 0, 50_000)
    assert len(mixture.means) == modes
    for place in places:
        assert np.abs(mixture.means - place).max(axis=1).min() < 1e-3
    belongs = mixture.modes(points)
    share = -math.expm1(-(3**2) / 2)  # of a Gaussian in the plane within three standard deviations
    assert (belongs >= 0).mean() == pytest.approx(share, abs=0.002)
    nearest = ((points[:, None] - mixture.means) ** 2).sum(axis=2).argmin(axis=1)
    assert np.bincount(nearest).tolist() == [50_000 // modes] * modes or location == "toy:two-gaussians"
    around = points - mixture.means[np.arange(50_000) % modes]
    assert around.std(axis=0) == pytest.approx([std, std], rel=0.02)
    assert around.mean(axis=0) == pytest.approx([0, 0], abs=std / 50)
    assert np.corrcoef(around.T)[0, 1] == pytest.approx(0, abs=0.02)


def test_the_density_is_that_of_the_points() -> None:
    mixture = MIXTURES["toy:two-gaussians"]
    middles = (np.arange(400) + 0.5) / 100 - 2
    places = np.stack(np.meshgrid(middles, middles), axis=2).reshape(-1, 2)
    assert mixture.density(places).sum() / 100**2 == pytest.approx(1, abs=1e-3)
    assert mixture.density(places, blur=0.1).sum() / 100**2 == pytest.approx(1, abs=1e-3)
    points = draw("toy:two-gaussians", 0, 50_000)
    near = (np.abs(points - (1, 0.1)) < 0.05).all(axis=1).mean() / 0.1**2  # points per unit of area
    assert mixture.density(np.array([(1.0, 0.1)])) == pytest.approx([near], rel=0.1)
    assert mixture.density(np.array([(1.0, 0.0)]))[0] == pytest.approx(0.5 / (2 * np.pi * 0.25**2), rel=1e-6)
    blurred = mixture.density(np.array([(1.0, 0.0)]), blur=0.25)[0]
    assert blurred == pytest.approx(0.5 / (4 * np.pi * 0.25**2), rel=1e-3)


def test_a_point_belongs_to_the_nearest_mode_within_three_standard_deviations() -> None:
    mixture = Mixture(np.array([(0.0, 0.0), (1.0, 0.0)]), 0.1)
    points = np.array([(0.29, 0), (0.31, 0), (1, -0.29), (0.8, 0.3), (np.nan, 0), (np.inf, 0)])
    assert mixture.modes(points).tolist() == [0, -1, 1, -1, -1, -1]


def test_curves_lie_where_scikit_learn_puts_them() -> None:
    roll = draw("toy:swissroll", 0, 5000) * 7.5
    radius = np.hypot(*roll.T)
    turned = np.angle(np.exp(1j * (radius - np.arctan2(roll[:, 1], roll[:, 0]))))
    assert 1.5 * np.pi - 1 < radius.min() < 5.5
    assert 13.5 < radius.max() < 4.5 * np.pi + 1
    assert turned.mean() == pytest.approx(0, abs=0.01)
    assert (turned * radius).std() == pytest.approx(0.25 * math.sqrt(1 + (radius**2).mean()), rel=0.1)
    moons = draw("toy:moons", 0, 5000) + np.array([0.5, 0.25])
    upper, lower = moons[::2], moons[1::2]
    for radii in (np.hypot(*upper.T), np.hypot(*(lower - (1, 0.5)).T)):
        assert radii.mean() == pytest.approx(1, abs=0.01)
        assert radii.std() == pytest.approx(0.05, rel=0.1)
    assert upper[:, 1].mean() > 0.5 > 0 > lower[:, 1].mean()


@pytest.mark.parametrize("location", ["toy", "toy:", "toy:rings"])
def test_an_unknown_kind_names_the_known_ones(location: str) -> None:
    with pytest.raises(GancliError, match=f"there are no built-in points '{location}'") as caught:
        open_source(location)
    assert all(known in caught.value.hint for known in WORDS)
    assert ("./toy" in caught.value.hint) == (location == "toy")


def test_a_name_means_the_same_in_any_folder() -> None:
    assert absolute("toy:ring") == "toy:ring"
