"""The networks of 2014, which no official PyTorch code has: what they compute, by formulas, and how they are drawn."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gancli.architectures.base import LatentModel
from gancli.architectures.cgan import CGAN
from gancli.architectures.gan import GAN


def gan() -> GAN:
    torch.manual_seed(0)
    sizes = {"generator_widths": (12, 10), "discriminator_widths": (6, 4), "pieces": 3}
    return GAN(GAN.Config(networks="maxout", latent="uniform", resolution=4, channels=3, latent_dim=5, **sizes))


def cgan() -> CGAN:
    torch.manual_seed(0)
    return CGAN(CGAN.Config(networks="maxout", resolution=4, classes=3, latent_dim=5))


def linear(model: nn.Module, name: str, x: Tensor) -> Tensor:
    layer = model.get_submodule(name)
    return x @ layer.weight.T + layer.bias  # type: ignore[operator, union-attr]


def maxout(model: nn.Module, name: str, x: Tensor, units: int, pieces: int) -> Tensor:
    """max over j of W[i, j] x + b[i, j] (Goodfellow et al. 2013, section 2)."""
    return linear(model, f"{name}.linear", x).reshape(len(x), units, pieces).max(dim=2).values


def spread(model: nn.Module) -> None:
    """Gives all weights values at which every unit matters."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.5)


@torch.no_grad()
def test_gan_computes_what_was_published() -> None:
    model = gan().eval()
    spread(model)
    z, image = torch.rand(7, 5) * 2 - 1, torch.rand(7, 3, 4, 4) * 2 - 1
    h = linear(model, "generator.layers.2", linear(model, "generator.layers.0", z).clamp(min=0)).clamp(min=0)
    pixels = 1 / (1 + (-linear(model, "generator.layers.4", h)).exp())  # in [0, 1], as the paper's images
    torch.testing.assert_close(model.decode(z), (2 * pixels - 1).reshape(7, 3, 4, 4))
    h = maxout(model, "discriminator.layers.2", (image.reshape(7, 48) + 1) / 2, 6, 3)
    h = maxout(model, "discriminator.layers.4", h, 4, 3)
    torch.testing.assert_close(model.discriminator(image), linear(model, "discriminator.layers.6", h)[:, 0])


@torch.no_grad()
def test_cgan_computes_what_was_published() -> None:
    model = cgan().eval()
    z, image, y = torch.rand(7, 5), torch.rand(7, 1, 4, 4) * 2 - 1, torch.eye(3)[[0, 1, 2, 0, 1, 2, 0]]
    both = torch.cat([linear(model, "generator.z.0", z), linear(model, "generator.y.0", y)], dim=1).clamp(min=0)
    assert both.shape == (7, 200 + 1000)
    h = linear(model, "generator.layers.0", both).clamp(min=0)
    pixels = 1 / (1 + (-linear(model, "generator.layers.3", h)).exp())
    torch.testing.assert_close(model.decode(z, y), (2 * pixels - 1).reshape(7, 1, 4, 4))
    seen = maxout(model, "discriminator.image.1", (image.reshape(7, 16) + 1) / 2, 240, 5)
    both = torch.cat([seen, maxout(model, "discriminator.y.0", y, 50, 5)], dim=1)
    h = maxout(model, "discriminator.layers.0", both, 240, 4)
    torch.testing.assert_close(model.discriminator(image, y), linear(model, "discriminator.layers.2", h)[:, 0])


@pytest.mark.parametrize(
    ("build", "shares"),
    [
        (
            gan,  # mnist.yaml: include probabilities of 0.8 for h0 and of 0.5 for h1 and y, in D alone
            {"discriminator.layers.1": 0.2, "discriminator.layers.3": 0.5, "discriminator.layers.5": 0.5},
        ),
        (
            cgan,  # section 4.1: 0.5 in both networks
            dict.fromkeys(
                [
                    *("generator.z.2", "generator.y.2", "generator.layers.2"),
                    *("discriminator.image.2", "discriminator.y.1", "discriminator.layers.1"),
                ],
                0.5,
            ),
        ),
    ],
)
def test_what_is_dropped_out_in_training(build: Callable[[], LatentModel], shares: dict[str, float]) -> None:
    found: dict[str, float] = {}
    for name, module in build().named_modules():
        if isinstance(module, nn.Dropout):
            dropped = module.train()(torch.ones(100_000))
            found[name] = 1 - dropped.count_nonzero().item() / 100_000
            assert dropped.max().item() == pytest.approx(1 / (1 - shares[name]))  # so that the mean stays
    assert found == pytest.approx(shares, abs=0.01)


def test_weights_are_uniform_and_biases_begin_as_0() -> None:
    model = gan()
    for network, largest in ((model.generator, 0.05), (model.discriminator, 0.005)):
        for layer in network.modules():
            if isinstance(layer, nn.Linear):
                assert 0.7 * largest < layer.weight.abs().max() <= largest
                assert not layer.bias.any()


@pytest.mark.parametrize(
    ("build", "low", "high"),
    [
        (gan, -(3**0.5), 3**0.5),  # of variance 1
        (cgan, 0.0, 1.0),  # "within the unit hypercube"
    ],
)
def test_latents_are_uniform(build: Callable[[], LatentModel], low: float, high: float) -> None:
    drawn = build().latents(20_000, torch.Generator().manual_seed(0))
    quarters = [low + part * (high - low) for part in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert drawn.min() >= low
    assert drawn.max() <= high
    assert drawn.quantile(torch.linspace(0, 1, 5)).tolist() == pytest.approx(quarters, abs=0.02)
