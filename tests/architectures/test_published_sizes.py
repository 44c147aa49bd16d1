"""Presets that promise published networks have as many parameters as those, and weights drawn as theirs are."""

from __future__ import annotations

import pytest
import torch

from gancli import config as configuration
from gancli.architectures.base import Architecture
from gancli.nn.init import without_weights
from gancli.registry import load_architecture

# Counted on the official networks, at the sizes of the official scripts: G, then D or the critic. Those of 2014 are
# sums over the layers of goodfeli/adversarial, mnist.yaml, and of Mirza & Osindero, section 4.1.
COUNTS = {
    ("gan", ""): (2_503_984, 1_231_441),
    ("cgan", "classes=10"): (2_413_984, 1_224_351),
    ("gan-mnist", ""): (1_510_032, 533_505),
    ("cgan-mnist", "classes=10"): (1_624_336, 1_997_313),
    ("cgan-mnist", "classes=10 networks=embedding resolution=32"): (1_757_412, 1_055_845),
    ("cdcgan-mnist", "classes=10"): (3_076_737, 2_643_329),
    ("cdcgan", "classes=2"): (11_857_539, 11_037_057),
    ("lsgan", ""): (15_591_427, 4_333_441),
    ("wgan", ""): (3_576_704, 2_765_568),
    ("wgan", "extra_layers=1 generator_norm=false"): (3_611_648, 2_802_560),
    ("wgan", "generator=mlp generator_width=512 critic=mlp"): (6_880_768, 794_881),
    ("wgan-gp", ""): (8_540_483, 7_491_841),
    ("wgan-gp-cifar10", ""): (1_204_483, 1_053_825),
    (
        "wgan-gp-cifar10",
        "networks=dcgan critic_norm=true generator_widths=[512,256,128] critic_widths=[128,256,512]",
    ): (5_179_907, 4_114_689),
    ("r3gan", ""): (22_429_824, 22_381_440),
    ("r3gan-cifar10", "classes=10"): (20_781_952, 21_280_512),
    ("r3gan-cifar10", "classes=0"): (20_732_160, 20_683_776),
}
# Standard deviations of the weights that the official code draws for these sizes.
DEVIATIONS = {
    ("gan", ""): {  # uniform up to 0.05 and 0.005
        "generator.layers.0": 0.0289,
        "generator.layers.2": 0.0289,
        "generator.layers.4": 0.0289,
        "discriminator.layers.2.linear": 0.00289,
        "discriminator.layers.4.linear": 0.00289,
    },
    ("wgan-gp", ""): {
        "generator.layers.0": 0.0155,
        "generator.layers.5.layers.6": 0.0589,
        "generator.layers.5.shortcut.1": 0.102,
        "generator.layers.8": 0.0814,
        "critic.layers.0": 0.0576,
        "critic.layers.4.layers.5": 0.0208,
        "critic.layers.6": 0.0156,
    },
    ("wgan-gp-cifar10", ""): {
        "generator.layers.0": 0.0306,
        "generator.layers.2.layers.3": 0.0417,
        "generator.layers.7": 0.0412,
        "critic.blocks.0.layers.0": 0.0582,
        "critic.blocks.0.layers.2": 0.0417,
    },
    (
        "wgan-gp-cifar10",
        "networks=dcgan critic_norm=true generator_widths=[512,256,128] critic_widths=[128,256,512]",
    ): {"generator.blocks.0.0": 0.0204, "generator.blocks.2.0": 0.0676, "critic.layers.0": 0.0676},
    ("lsgan", "latent_dim=64 resolution=64 width=16"): {
        "generator.layers.0": 0.02,
        "generator.layers.5": 0.02,
        "discriminator.layers.2": 0.0176,  # a normal distribution of 0.02 cut at two deviations
        "discriminator.score": 0.02,
    },
    ("r3gan", "widths=[96,96,48,48,24] group=8"): {
        "generator.layers.0.scale": 0.125,
        "generator.layers.1.layers.0": 0.0796,
        "generator.layers.1.layers.2": 0.0919,
        "generator.layers.1.layers.4": 0.0,
        "discriminator.layers.1.layers.0": 0.159,
    },
}


def build(preset: str, sets: str) -> Architecture:
    config = configuration.resolve(preset, sets=[f"model.{key}" for key in sets.split()])
    return load_architecture(config.architecture)(config.model)


@pytest.mark.parametrize(("preset", "sets"), COUNTS)
def test_networks_have_the_published_size(preset: str, sets: str) -> None:
    with without_weights():
        model = build(preset, sets)
    counted = [
        sum(weight.numel() for weight in model.get_submodule(model.players[player][0]).parameters()) for player in "GD"
    ]
    assert tuple(counted) == COUNTS[preset, sets]


@pytest.mark.parametrize(("preset", "sets"), DEVIATIONS)
def test_weights_are_drawn_as_the_official_ones(preset: str, sets: str) -> None:
    torch.manual_seed(0)
    model = build(preset, sets)
    for name, official in DEVIATIONS[preset, sets].items():
        weight = model.get_submodule(name).weight
        assert isinstance(weight, torch.Tensor)
        assert weight.std().item() == pytest.approx(official, rel=0.06), name
        assert abs(weight.mean().item()) <= 0.06 * official, name
