"""Points and their images, files of latents and styles, classes and layers as users write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gancli.architectures.base import LatentModel, StyleModel
from gancli.architectures.progan import ProGAN
from gancli.architectures.stylegan import StyleGAN
from gancli.cli.classes import class_labels, parse_classes
from gancli.cli.layers import NAMED, named_layers, parse_layers
from gancli.errors import GancliError
from gancli.generation.latents import Points, Renderer, latents_of_seeds, read_latents

CPU = torch.device("cpu")


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
    return Points(latents_of_seeds(model, range(count)), range(count), labels)


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
    renderer = Renderer(style_model, CPU, 2, psi=0.5, cutoff=3, noise="none")
    torch.testing.assert_close(images(renderer, points), half, atol=1e-5, rtol=0)
    styles = renderer.styles(points)
    assert styles.values.shape == (5, style_model.layers, 8)
    assert (styles.space, styles.labels) == ("w", None)
    torch.testing.assert_close(images(renderer, styles), half, atol=1e-5, rtol=0)  # not truncated again
    alike = Renderer(style_model, CPU, 2, psi=0.5).styles(points)
    torch.testing.assert_close(alike.values, style_model.mean_w + 0.5 * (w - style_model.mean_w))


def test_random_noise_goes_by_the_seed_in_any_company(style_model: StyleGAN) -> None:
    points = some_points(style_model)
    random, const = (images(Renderer(style_model, CPU, 2, noise=kind), points) for kind in ("random", "const"))
    assert (random - const).abs().mean() > 0.01
    torch.testing.assert_close(images(Renderer(style_model, CPU, 1, noise="random"), points[3:4]), random[3:4])
    other_seeds = Points(points.values, range(10, 15), points.labels)
    assert (images(Renderer(style_model, CPU, 2, noise="random"), other_seeds) - random).abs().mean() > 0.01


def test_a_file_of_points_says_itself_what_it_holds(tmp_path: Path, style_model: StyleGAN, other_model: ProGAN) -> None:
    def read(model: LatentModel, shape: tuple[int, ...], space: str | None = None) -> str:
        np.save(tmp_path / "x.npy", np.ones(shape))
        values, held = read_latents(tmp_path / "x.npy", model, space)  # type: ignore[arg-type]
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
    assert read_latents(tmp_path / "x.npy", model)[1] == "z"
    assert read_latents(tmp_path / "x.npy", model, "w")[1] == "w"


NAMES = ["cat", "dog", "tench, Tinca tinca", "7", "0"]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("cat", [0]),
        ("dog,cat, dog", [1, 0, 1]),
        ("tench, Tinca tinca", [2]),
        ("1,2", [1, 2]),
        ("7", [3]),  # a name before a number
        ("0", [4]),
    ],
)
def test_classes(text: str, numbers: list[int]) -> None:
    assert parse_classes(text, NAMES) == numbers


@pytest.mark.parametrize(("text", "hint"), [("dgo", "did you mean 'dog'?"), ("", "classes are"), ("5", "5 classes")])
def test_what_is_no_class(text: str, hint: str) -> None:
    with pytest.raises(GancliError) as caught:
        parse_classes(text, NAMES)
    assert hint in caught.value.hint


def test_labels_of_classes_are_parts_of_file_names_and_differ() -> None:
    assert class_labels(["cat", "big cow", "a/b", "Äpfel"]) == ["cat", "big_cow", "a_b", "Äpfel"]
    for names in (["a b", "a_b"], ["A", "a"], ["", "x"], ["x" * 50 + "1", "x" * 50 + "2"]):
        assert class_labels(names) == ["class0", "class1"]


@pytest.mark.parametrize(
    ("resolution", "sizes"),
    [
        (4, [1, 1, 0]),
        (8, [2, 1, 1]),
        (16, [2, 2, 2]),
        (32, [4, 2, 2]),
        (64, [4, 4, 2]),  # from here on as in the paper
        (128, [4, 4, 4]),
        (1024, [4, 4, 10]),
    ],
)
def test_coarse_middle_and_fine(resolution: int, sizes: list[int]) -> None:
    count = 2 * (resolution.bit_length() - 2)
    parts = [named_layers(name, count) for name in NAMED]
    assert [len(part) for part in parts] == sizes
    assert [layer for part in parts for layer in part] == list(range(count))


@pytest.mark.parametrize(
    ("text", "layers"),
    [("coarse", [0, 1, 2, 3]), ("0-6", [*range(7)]), ("8,0-3", [0, 1, 2, 3, 8]), ("fine,0", [0, *range(8, 18)])],
)
def test_layers(text: str, layers: list[int]) -> None:
    assert parse_layers(text, 18) == layers


@pytest.mark.parametrize("text", ["", "rough", "0-", "-1", "3-1", "18", "0-18", "1.5"])
def test_what_are_no_layers(text: str) -> None:
    with pytest.raises(GancliError) as caught:
        parse_layers(text, 18)
    assert "layer" in caught.value.message
    with pytest.raises(GancliError, match="2 layers"):
        parse_layers("fine", 2)
