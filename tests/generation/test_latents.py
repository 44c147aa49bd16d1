"""Points by seed or from a file, truncation, and their images."""

from __future__ import annotations

from math import erf
from pathlib import Path

import numpy as np
import pytest
import torch

from gancli.architectures.base import LatentModel, StyleModel
from gancli.architectures.dcgan import DCGAN
from gancli.architectures.progan import ProGAN
from gancli.architectures.stylegan import StyleGAN
from gancli.errors import GancliError
from gancli.generation.latents import Points, Renderer, make_renderer, mixed, read_latents
from gancli.generation.writers import to_pixels

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> DCGAN:
    torch.manual_seed(0)
    dcgan = DCGAN(DCGAN.Config(resolution=32, generator_width=8, latent_dim=16))
    dcgan.train()
    with torch.no_grad():  # running statistics of a network that has seen something
        for _ in range(50):
            dcgan.decode(torch.randn(32, 16))
    return dcgan.eval()


def test_a_seed_always_gives_the_same_latent(model: DCGAN) -> None:
    alone = model.latents_of_seeds([7])
    among = model.latents_of_seeds([3, 7, 1])
    assert torch.equal(alone[0], among[1])
    assert not torch.equal(among[0], among[1])
    assert torch.equal(alone[0], torch.randn(1, 16, generator=torch.Generator().manual_seed(7))[0])


def test_a_seed_gives_the_same_image_in_any_batch_to_one_grey_level(model: DCGAN) -> None:
    points = Points(model.latents_of_seeds(range(20)), range(20))
    pixels = [
        to_pixels(torch.cat(list(Renderer(model, CPU, batch).images(points)))).astype(int) for batch in (1, 7, 20)
    ]
    assert pixels[0].std() > 1
    assert abs(pixels[0] - pixels[1]).max() <= 1
    assert abs(pixels[0] - pixels[2]).max() <= 1


def test_truncation_draws_again_and_keeps_what_lies_within(model: DCGAN) -> None:
    free, cut = model.latents_of_seeds(range(50)), model.latents_of_seeds(range(50), 0.5)
    inside = free.abs() <= 0.5
    assert torch.equal(free[inside], cut[inside])
    assert cut.abs().max() <= 0.5
    # Redrawn, not clamped: the values spread over the interval as a truncated normal does (std 0.2839 for t = 0.5).
    assert cut.std().item() == pytest.approx(0.2839, rel=0.05)


@pytest.mark.parametrize("level", [3.0, 1.0, 0.3, 1e-9])
def test_truncated_latents_are_spread_as_drawing_again_would(model: DCGAN, level: float) -> None:
    z = torch.randn(1, 100_000, generator=torch.Generator().manual_seed(0))
    cut = model.resample(z, level, torch.Generator().manual_seed(1)).double()
    assert cut.abs().max() <= torch.tensor(level)  # both as float32 can say it
    assert cut.std() > level / 5
    # The distribution of a truncated normal, at the quartiles of the interval.
    for part in (-0.5, 0.0, 0.5):
        below, whole = erf(part * level / 2**0.5), erf(level / 2**0.5)
        assert (cut < part * level).double().mean().item() == pytest.approx((below + whole) / (2 * whole), abs=0.01)


@pytest.mark.parametrize(
    ("bounds", "truncation", "left"),
    [
        ((-1.0, 1.0), 0.5, (-0.5, 0.5)),
        ((-1.0, 1.0), 1e-9, (-1e-9, 1e-9)),
        ((-(3**0.5), 3**0.5), 1.0, (-1.0, 1.0)),
        ((-1.0, 1.0), 1.5, (-1.0, 1.0)),
        ((0.0, 1.0), 0.4, (0.0, 0.4)),  # cgan's: what was never negative does not become so
        ((-0.2, 1.0), 0.5, (-0.2, 0.5)),
        ((-1.0, 0.1), 0.5, (-0.5, 0.1)),
    ],
)
def test_truncated_uniform_latents_stay_uniform_within_both_bounds(
    model: DCGAN,
    monkeypatch: pytest.MonkeyPatch,
    bounds: tuple[float, float],
    truncation: float,
    left: tuple[float, float],
) -> None:
    monkeypatch.setattr(model, "latent_range", bounds)
    z = model.latents(1000, torch.Generator().manual_seed(0))
    cut = model.resample(z, truncation, torch.Generator().manual_seed(1))
    inside = z.abs() <= truncation
    assert torch.equal(cut[inside], z[inside])
    assert cut.dtype == z.dtype
    quarters = [left[0] + part * (left[1] - left[0]) for part in (0.0, 0.25, 0.5, 0.75, 1.0)]
    found = cut.double().quantile(torch.linspace(0, 1, 5, dtype=torch.float64)).tolist()
    assert found == pytest.approx(quarters, rel=1e-6, abs=0.02 * (left[1] - left[0]))
    assert left[0] * (1 + 1e-6) <= found[0]
    assert found[-1] <= left[1] * (1 + 1e-6)


@pytest.fixture(scope="module")
def style_model() -> StyleGAN:
    torch.manual_seed(0)
    config = StyleGAN.Config(
        resolution=16, latent_dim=6, style_dim=8, mapping_layers=2, width=64, max_width=8, classes=2
    )
    model = StyleGAN(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("noise_strength"):
                parameter.normal_()
    model.mapping.mean.normal_()
    return model.eval()


@pytest.fixture(scope="module")
def other_model() -> ProGAN:
    torch.manual_seed(0)
    return ProGAN(ProGAN.Config(resolution=8, latent_dim=6, width=32, max_width=8)).eval()


def some_points(model: LatentModel, count: int = 5) -> Points:
    labels = torch.eye(2)[torch.arange(count) % 2] if model.classes else None
    return Points(model.latents_of_seeds(range(count)), range(count), labels)


def images(renderer: Renderer, points: Points) -> torch.Tensor:
    return torch.cat(list(renderer.images(points)))


def test_points_become_images_through_the_model(style_model: StyleGAN, other_model: ProGAN) -> None:
    points = some_points(other_model)
    with torch.no_grad():
        torch.testing.assert_close(images(Renderer(other_model, CPU, 2), points), other_model.decode(points.values))
        points = some_points(style_model)
        expected = style_model.decode(points.values, points.labels)
        torch.testing.assert_close(images(Renderer(style_model, CPU, 2), points), expected, atol=1e-5, rtol=0)
        w = style_model.map(points.values, points.labels)
        half = style_model.synthesize(style_model.truncate(w, 0.5, 3), "none")
    assert (half - expected).abs().mean() > 0.01
    renderer = Renderer(style_model, CPU, 2, truncation=0.5, cutoff=3, noise="none")
    torch.testing.assert_close(images(renderer, points), half, atol=1e-5, rtol=0)
    styles = renderer.styles(points)
    assert styles.values.shape == (5, style_model.layers, 8)
    assert (styles.space, styles.labels) == ("w", None)
    torch.testing.assert_close(images(renderer, styles), half, atol=1e-5, rtol=0)  # not truncated again
    alike = Renderer(style_model, CPU, 2, truncation=0.5).styles(points)
    torch.testing.assert_close(alike.values, style_model.mean_w + 0.5 * (w - style_model.mean_w))


def test_random_noise_depends_on_the_seed_alone(style_model: StyleGAN) -> None:
    points = some_points(style_model)
    random, const = (images(Renderer(style_model, CPU, 2, noise=kind), points) for kind in ("random", "const"))
    assert (random - const).abs().mean() > 0.01
    torch.testing.assert_close(images(Renderer(style_model, CPU, 1, noise="random"), points[3:4]), random[3:4])
    other_seeds = Points(points.values, range(10, 15), points.labels)
    assert (images(Renderer(style_model, CPU, 2, noise="random"), other_seeds) - random).abs().mean() > 0.01


def test_a_file_of_points_says_itself_what_it_holds(tmp_path: Path, style_model: StyleGAN, other_model: ProGAN) -> None:
    def read(model: LatentModel, shape: tuple[int, ...], space: str | None = None) -> str:
        np.save(tmp_path / "x.npy", np.ones(shape))
        values, held = read_latents(tmp_path / "x.npy", Renderer(model, CPU).shapes, space)  # type: ignore[arg-type]
        assert values.shape == shape
        assert values.dtype == torch.float32
        return held

    assert read(style_model, (3, 6)) == "z"
    assert read(style_model, (3, 8)) == "w"
    assert read(style_model, (3, 6, 8)) == "w"
    assert read(style_model, (3, 6), "z") == "z"
    assert read(style_model, (3, 8), "w") == "w"
    assert read(other_model, (3, 6)) == "z"
    for model, shape, space, expected in (
        (style_model, (3, 6), "w", "[N, 8] or [N, 6, 8]"),
        (style_model, (3, 8), "z", "[N, 6]"),
        (style_model, (3, 7), None, "[N, 6] or [N, 8] or [N, 6, 8]"),
        (style_model, (0, 6), None, "[N, 6]"),
        (other_model, (3, 6, 8), None, "[N, 6]"),
    ):
        with pytest.raises(GancliError) as caught:
            read(model, shape, space)  # type: ignore[arg-type]
        assert f"takes float {expected}" in caught.value.message


def test_latents_and_styles_of_one_shape_are_latents_unless_said_otherwise(tmp_path: Path) -> None:
    config = StyleGAN.Config(resolution=8, latent_dim=8, style_dim=8, mapping_layers=1, width=16)
    model: StyleModel = StyleGAN(config)
    np.save(tmp_path / "x.npy", np.ones((2, 8), np.float32))
    assert read_latents(tmp_path / "x.npy", Renderer(model, CPU).shapes)[1] == "z"
    assert read_latents(tmp_path / "x.npy", Renderer(model, CPU).shapes, "w")[1] == "w"


def test_points_get_classes() -> None:
    points = Points(torch.arange(6.0).view(3, 2), [4, 5, 6])
    one, each = points.with_classes([1], 3), points.with_classes([2, 0, 1], 3)
    assert one.labels is not None
    assert each.labels is not None
    assert one.labels.argmax(1).tolist() == [1, 1, 1]
    assert each.labels.tolist() == torch.eye(3)[[2, 0, 1]].tolist()
    assert torch.equal(each.values, points.values)
    several = points[1:2].with_classes([2, 0], 3)
    assert (several.values.tolist(), list(several.seeds)) == ([[2, 3], [2, 3]], [5, 5])
    assert several.labels is not None
    assert several.labels.argmax(1).tolist() == [2, 0]
    with pytest.raises(GancliError, match="2 classes given for 3 images"):
        points.with_classes([0, 1], 3)
    twice = each.repeated(2)
    assert list(twice.seeds) == [4, 4, 5, 5, 6, 6]
    assert twice.values[:, 0].tolist() == [0, 0, 2, 2, 4, 4]
    assert twice.labels is not None
    assert twice.labels.argmax(1).tolist() == [2, 2, 0, 0, 1, 1]


def test_another_level_of_truncation_is_what_drawing_with_it_gives(style_model: StyleGAN, other_model: ProGAN) -> None:
    points = some_points(other_model)
    expected = Renderer(other_model, CPU, truncation=0.4).draw(range(5))
    assert torch.equal(Renderer(other_model, CPU, truncation=2.0).truncated(points, 0.4).values, expected.values)
    assert not torch.equal(points.values, expected.values)
    points = some_points(style_model)
    expected = Renderer(style_model, CPU, truncation=-0.4).styles(points)
    renderer = Renderer(style_model, CPU, truncation=2.0)
    assert torch.equal(renderer.truncated(points, -0.4).values, expected.values)
    assert torch.equal(renderer.draw(range(5)).values, points.values)  # psi does not change latents


def test_mixed_styles_have_layers_of_rows_and_columns() -> None:
    rows, columns = torch.rand(2, 4, 3), torch.rand(5, 4, 3)
    styles = mixed(rows, columns, [0, 2])
    assert styles.shape == (2, 5, 4, 3)
    for row in range(2):
        for column in range(5):
            assert torch.equal(styles[row, column, [0, 2]], columns[column, [0, 2]])
            assert torch.equal(styles[row, column, [1, 3]], rows[row, [1, 3]])


def test_options_are_checked_by_what_the_model_has(style_model: StyleGAN, other_model: ProGAN) -> None:
    renderer = make_renderer(style_model, CPU, truncation=-1.0, cutoff=2, noise="random")
    assert (renderer.batch, renderer.truncation, renderer.cutoff, renderer.noise) == (64, -1.0, 2, "random")
    assert list(renderer.shapes) == ["z", "w"]
    assert make_renderer(other_model, CPU, batch=3).batch == 3
    assert list(make_renderer(other_model, CPU).shapes) == ["z"]
    large = ProGAN(ProGAN.Config(resolution=1024, latent_dim=2, width=8, max_width=2))
    assert make_renderer(large, CPU).batch == 4
    for model, options, said in (
        (other_model, {"noise": "const"}, "--noise const: ProGAN has no styles"),
        (other_model, {"truncation": 0.0}, "--trunc 0: must be greater than 0"),
        (style_model, {"truncation": float("nan")}, "--trunc nan: must be between"),
        (style_model, {"truncation": 1.0, "cutoff": 7}, "--cutoff 7: this model has 6 layers"),
        (style_model, {"cutoff": 2}, "--cutoff 2 limits truncation, but there is no --trunc"),
        (style_model, {"batch": 0}, "--batch 0: must be at least 1"),
        (style_model, {"space": "y"}, "--space y: unknown"),
        (other_model, {"space": "w"}, "--space w: ProGAN has no styles"),
    ):
        with pytest.raises(GancliError) as caught:
            make_renderer(model, CPU, prefix="--", **options)  # type: ignore[arg-type]
        assert said in caught.value.message
