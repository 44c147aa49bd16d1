"""ProGAN: published sizes, the scale of activations, fades, losses and classes."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from unittest import mock

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from gancli.architectures.base import Batch
from gancli.architectures.progan import EqualizedConv2d, EqualizedLinear, GrowthConfig, ProGAN, UpConv2d, upsample
from gancli.nn.stage import Stage
from gancli.testing import check_architecture

SMALL = {"resolution": 16, "latent_dim": 8, "width": 32, "max_width": 8}


def small(**changes: object) -> ProGAN:
    torch.manual_seed(0)
    return ProGAN(ProGAN.Config(**SMALL | changes))


def root_mean_square(x: Tensor) -> float:
    return x.square().mean().sqrt().item()


def test_it_keeps_the_contract_with_classes() -> None:
    check_architecture(ProGAN, ProGAN.Config(**SMALL, classes=3))


def test_published_parameter_counts() -> None:
    # Counted on G_paper and D_paper of the official code.
    with torch.device("meta"):
        model = ProGAN(ProGAN.Config())
    assert sum(p.numel() for p in model.generator.parameters()) == 23_079_115
    assert sum(p.numel() for p in model.discriminator.parameters()) == 23_087_249


@pytest.mark.parametrize("resolution", [4, 8, 32])
def test_every_layer_keeps_the_scale_of_activations(resolution: int) -> None:
    torch.manual_seed(0)
    model = ProGAN(ProGAN.Config(resolution=resolution, latent_dim=64, width=1024, max_width=64))
    gains: dict[str, tuple[nn.Module, float]] = {}

    def measure(name: str) -> object:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            gains[name] = layer, root_mean_square(output) / root_mean_square(inputs[0])

        return hook

    for name, layer in model.generator.named_modules():
        if isinstance(layer, EqualizedLinear | EqualizedConv2d):
            layer.register_forward_hook(measure(name))
    with torch.no_grad():
        image = model.generator(torch.randn(32, 64), None, model.stage)
    assert 0.7 < root_mean_square(image) < 1.3
    assert len(gains) == 3 + 2 * (model.stage.depth - 1)  # toRGB of one resolution only
    for name, (layer, gain) in gains.items():
        expected, near = sqrt(2), 0.1
        if "to_rgb" in name:
            expected, near = 1.0, 0.3  # of 3 channels only
        elif "dense" in name:
            expected = sqrt(2) / 4
        else:
            block = int(name.split(".")[1])
            # A kernel of 3 pixels reaches over the border at two places.
            size = 3 * 4 * 2**block
            expected *= (size - 2) / size
            assert isinstance(layer, UpConv2d) == (".up" in name)
        assert gain == pytest.approx(expected, rel=near), name


def test_fades_of_the_generator_begin_and_end_at_its_stages() -> None:
    model = small().double()
    z = torch.randn(3, 8, dtype=torch.float64)
    begun, ended = model.generator(z, None, Stage(16, 0.0)), model.generator(z, None, Stage(16, 1 - 1e-12))
    torch.testing.assert_close(begun, upsample(model.generator(z, None, Stage(8))))
    torch.testing.assert_close(ended, model.generator(z, None, Stage(16)))
    middle = model.generator(z, None, Stage(16, 0.5))
    torch.testing.assert_close(middle, (begun + ended) / 2)


def test_images_of_every_stage_have_the_full_size() -> None:
    model = small()
    z = model.latents(2, torch.Generator().manual_seed(0))
    for images_shown in (0, 1_000_000, 2_000_000, 10**8):
        model.stage = model.stage_at(images_shown)
        images = model.decode(z)
        assert images.shape == (2, 3, 16, 16)
        assert images.abs().max() <= 1
        repeated = 16 // model.stage.resolution
        assert torch.equal(
            images, images[:, :, ::repeated, ::repeated].repeat_interleave(repeated, 2).repeat_interleave(repeated, 3)
        )
    assert model.stage == Stage(16)


@pytest.mark.parametrize("stage", [Stage(4), Stage(8, 0.4), Stage(16)])
@pytest.mark.parametrize("classes", [0, 3])
def test_losses_equal_their_formulas(stage: Stage, classes: int) -> None:
    model = small(classes=classes, gradient_penalty=7.0, drift=0.2, class_weight=0.5).double()
    model.stage = stage
    real = torch.randn(4, 3, stage.resolution, stage.resolution, dtype=torch.float64)
    labels = torch.tensor([0, 2, 1, 1]) if classes else None
    batch = Batch({"image": real}, labels)
    z = torch.randn(4, 8, dtype=torch.float64)
    t = torch.rand(4, 1, 1, 1, dtype=torch.float64)
    with mock.patch("torch.randn", return_value=z), mock.patch("torch.rand", return_value=t):
        found, of_g = model.d_loss(batch), model.g_loss(batch)

    shown = real
    if stage.fade < 1:
        shown = stage.fade * real + (1 - stage.fade) * upsample(F.avg_pool2d(real, 2))
    weights = F.one_hot(labels, 3).double() if labels is not None else None
    fake = model.generator(z, weights, stage)
    outputs = {name: model.discriminator(images, stage) for name, images in (("real", shown), ("fake", fake))}
    between = (t * fake + (1 - t) * shown).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(model.discriminator(between, stage)[:, 0].sum(), between)
    # Official networks take images of the full size, in which every pixel is repeated (16/r)^2 times and has so much
    # less of the gradient.
    ratio = 16 // stage.resolution
    repeated = gradient.repeat_interleave(ratio, 2).repeat_interleave(ratio, 3) / ratio**2
    penalty = ((repeated.flatten(1).norm(dim=1) - 1) ** 2).mean()
    scores_of_d = {name: output[:, 0] for name, output in outputs.items()}
    expected = scores_of_d["fake"].mean() - scores_of_d["real"].mean() + 7 * penalty
    expected = expected + 0.2 * (scores_of_d["real"] ** 2).mean()
    expected_of_g = -scores_of_d["fake"].mean()
    if labels is not None:
        wrong = {
            name: -output[:, 1:].log_softmax(dim=1)[torch.arange(4), labels].mean() for name, output in outputs.items()
        }
        expected = expected + 0.5 * (wrong["real"] + wrong["fake"])
        expected_of_g = expected_of_g + 0.5 * wrong["fake"]
        torch.testing.assert_close(of_g.parts["G class"], wrong["fake"])
    torch.testing.assert_close(found.total, expected)
    torch.testing.assert_close(found.parts["gp"], penalty)
    torch.testing.assert_close(of_g.total, expected_of_g)


def test_labels_of_the_data_are_ignored_without_classes() -> None:
    model = small()
    real, labels = torch.randn(4, 3, 16, 16), torch.tensor([0, 1, 2, 3])
    losses = []
    for given in (None, labels):
        torch.manual_seed(1)
        batch = Batch({"image": real}, given)
        losses.append((model.d_loss(batch).total, model.g_loss(batch).total))
    assert losses[0] == losses[1]


def test_classes_as_indices_and_as_weights_are_the_same() -> None:
    model = small(classes=3)
    z = model.latents(3, torch.Generator().manual_seed(0))
    labels = torch.tensor([2, 0, 2])
    images = model.decode(z, labels)
    assert torch.equal(images, model.decode(z, F.one_hot(labels, 3).float()))
    assert not torch.equal(images, model.decode(z, torch.tensor([1, 0, 2])))
    between = model.decode(z, torch.full((3, 3), 1 / 3))
    assert between.shape == images.shape


def test_inputs_have_labels_if_there_are_classes() -> None:
    plain, labelled = ProGAN.inputs(ProGAN.Config()), ProGAN.inputs(ProGAN.Config(classes=7))
    assert (plain.labels, plain.classes) == ("none", None)
    assert labelled == replace(plain, labels="class", classes=7)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"resolution": 48}, "power of two"),
        ({"growth": {"initial_resolution": 12}}, "power of two"),
        ({"resolution": 16, "growth": {"initial_resolution": 32}}, "growth begins at 32 px"),
        ({"resolution": 2048}, "1024"),
    ],
)
def test_sizes_that_networks_cannot_grow_to_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ProGAN.Config.model_validate(wrong)


def test_growth_from_the_resolution_itself_is_no_growth() -> None:
    model = small(growth=GrowthConfig(initial_resolution=16))
    assert {model.stage_at(images) for images in (0, 10**6, 10**9)} == {Stage(16)}
