"""The games that ``tools/official.py`` plays on both sides: narrow models, and what is compared.

A game's name is an architecture's, with a suffix where its networks come from several official repositories.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from golden import Game, Numbers, fill, settle, wave
from torch import Tensor, nn

from gancli.architectures.cdcgan import CDCGAN
from gancli.architectures.cgan import CGAN
from gancli.architectures.cyclegan import CycleGAN
from gancli.architectures.dcgan import DCGAN
from gancli.architectures.gan import GAN
from gancli.architectures.lsgan import LSGAN
from gancli.architectures.pix2pix import Pix2Pix
from gancli.architectures.progan import ProGAN
from gancli.architectures.r3gan import R3GAN
from gancli.architectures.stylegan import StyleGAN
from gancli.architectures.ugatit import UGATIT
from gancli.architectures.wgan import WGAN
from gancli.architectures.wgan_gp import WGANGP, ResidualBlock, ResNetGenerator


def dcgan() -> dict[str, Game]:
    """A narrow DCGAN of 64 px, the only size that the official script supports."""
    model = DCGAN(DCGAN.Config(generator_width=8, discriminator_width=8, latent_dim=16))
    fill(model)

    def outputs(game: Game) -> Numbers:
        model.eval()
        images, scores = model.generator(LATENTS), model.discriminator(game.images(0)["image"]).sigmoid()
        model.train()
        return {"G(z), evaluation mode": images, "D(x), evaluation mode": scores}

    return {"64 px": Game(model, {"image": (3, 64, 64)}, outputs, batch=4)}


LATENTS = wave(4, 16, phase=99) * 2
"""Latents that the models decode."""
BEFORE_NORM = 1e-4
"""Tolerance with biases before an instance norm: their gradients are rounding errors, so Adam moves them a little."""


def cyclegan() -> dict[str, Game]:
    """CycleGAN with narrow ResNets of 6 blocks; both pools are full after two steps."""
    config = CycleGAN.Config(resolution=32, generator_width=4, discriminator_width=4, blocks=6, pool_size=2)
    model = CycleGAN(config)
    fill(model)

    def outputs(game: Game) -> Numbers:
        return {"translation": model.generator_ab(game.images(0)["A"])}

    return {"ResNet": Game(model, dict.fromkeys("AB", (3, 32, 32)), outputs, steps=5, tolerance=BEFORE_NORM)}


def pix2pix() -> dict[str, Game]:
    """pix2pix as published with a narrow U-Net, and with the alternatives: ResNet, instance norm, BtoA, lsgan."""
    unet = Pix2Pix.Config(resolution=128, generator_width=4, discriminator_width=4)
    resnet = Pix2Pix.Config(
        resolution=32,
        channels=3,
        channels_b=1,
        direction="BtoA",
        generator="resnet",
        blocks=6,
        norm="instance",
        objective="lsgan",
        dropout=False,
        generator_width=4,
        discriminator_width=4,
    )

    def outputs(game: Game) -> Numbers:
        return {"translation": game.model.generator(game.images(0)[game.model.way.source])}

    games = {}
    for name, config in {"U-Net": unet, "ResNet, BtoA": resnet}.items():
        model = Pix2Pix(config)
        fill(model)
        shapes = {domain: (config.channels_of(domain), config.resolution, config.resolution) for domain in ("A", "B")}
        tolerance = BEFORE_NORM if config.norm == "instance" else 1e-9
        games[name] = Game(model, shapes, outputs, tolerance=tolerance)
    return games


def ugatit() -> dict[str, Game]:
    """Narrow U-GAT-IT, full and light, for the smallest images that a discriminator of 7 layers accepts."""

    def outputs(game: Game) -> Numbers:
        translation, _, attention = game.model.generator_ab(game.images(0)["A"])
        return {"translation": translation, "attention": attention}

    def game(light: bool, **settings: Any) -> Game:
        model = UGATIT(
            UGATIT.Config(resolution=96, light=light, residual_blocks=2, generator_width=4, discriminator_width=4)
        )
        fill(model)
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if key.endswith("rho"):  # close enough to 1 for a step to exceed it, so that clipping is tested
                    parameter.copy_(1 - 1e-4 * (parameter - 1).abs())
        settle(model)
        return Game(model, dict.fromkeys("AB", (3, 96, 96)), outputs, **settings)

    return {
        "full": game(False, tolerance=1e-6, official={"order": "new"}),
        "light": game(True, tolerance=1e-6, official={"order": "new"}),
        # gancli's are half a power iteration ahead. Adam amplifies the difference where D's gradients are small.
        "full, power iterations as in 2019": game(False, tolerance=0.1, loss_tolerance=2e-6),
    }


STAGES = {
    "4 px": 300_000,
    "8 px, alpha 0.3": 780_000,
    "8 px": 1_500_000,
    "16 px, alpha 0.6": 2_160_000,
    "16 px": 2_500_000,
}
"""Real images shown before a stage of growth, at the published pace from 4 px on."""


def growing(model: Any, stage: str, classes: int, **settings: Any) -> Game:
    """A game of ProGAN or StyleGAN at a stage of growth."""
    fill(model, 1.7)
    for name, buffer in model.named_buffers():
        buffer.copy_(wave(*buffer.shape, phase=zlib.crc32(name.encode()) % 1000))
    model.stage = trained = model.stage_at(STAGES[stage])
    labels = torch.eye(3, dtype=torch.float64)[[0, 1, 2, 0]] if classes else None
    z = LATENTS[:, : model.config.latent_dim]

    def outputs(game: Game) -> Numbers:
        numbers = {}
        for name, images_shown in STAGES.items():
            model.stage = here = model.stage_at(images_shown)
            image = game.images(0)["image"]
            if isinstance(model, StyleGAN):
                ws = model.truncate(model.map(z, labels), 0.7, 3)
                numbers[f"G, {name}"] = model.synthesis(ws, model.synthesis.constant_noise(), here)
                numbers[f"D, {name}"] = model.judge(image, labels)[:, None]
            else:
                numbers[f"G, {name}"] = model.generator(z, labels, here)
                numbers[f"D, {name}"] = model.discriminator(image, here)
        model.stage = trained
        return numbers

    return Game(model, {"image": (3, 16, 16)}, outputs, labels=labels, batch=4, **settings)


def progan() -> dict[str, Game]:
    """A narrow ProGAN of 16 px while it grows."""

    def game(stage: str, classes: int, **settings: Any) -> Game:
        config = ProGAN.Config(resolution=16, latent_dim=12, classes=classes, width=64, max_width=16)
        return growing(ProGAN(config), stage, classes, **settings)

    return variants(game)


def stylegan() -> dict[str, Game]:
    """A narrow StyleGAN of 16 px while it grows."""

    def game(stage: str, classes: int, **settings: Any) -> Game:
        config = StyleGAN.Config(
            resolution=16,
            latent_dim=12,
            style_dim=20,
            mapping_layers=3,
            mapping_lr=0.5,
            classes=classes,
            width=64,
            max_width=16,
            growth={"initial_resolution": 4},
        )
        return growing(StyleGAN(config), stage, classes, watched=("mapping.mean",), **settings)

    return variants(game)


def variants(game: Callable[..., Game]) -> dict[str, Game]:
    """Games with classes and without, at two stages; and one with TensorFlow's Adam.

    TensorFlow's Adam adds epsilon before the bias correction, torch's after it. In the other games, the official
    optimizer gets an epsilon that has the same effect as torch's.
    """
    return {
        # Adam turns a gradient close to epsilon into a part of a step, so rounding, which differs between CPUs, shows.
        "3 classes, 16 px, alpha 0.6": game("16 px, alpha 0.6", 3, tolerance=1e-8, official={"epsilon": "torch"}),
        "no classes, 8 px, alpha 0.3": game("8 px, alpha 0.3", 0, tolerance=1e-8, official={"epsilon": "torch"}),
        "3 classes, 16 px, TensorFlow's Adam": game(
            # A weight whose gradient is close to epsilon moves by a different fraction of a step.
            "16 px, alpha 0.6",
            3,
            tolerance=1,
            loss_tolerance=1e-5,
            official={"epsilon": "tensorflow"},
        ),
    }


def latent(
    model: Any,
    z: Tensor,
    labels: Tensor | None = None,
    *,
    scale: float = 0.1,
    evaluation: bool = True,
    **settings: Any,
) -> Game:
    """A game of a model whose D or critic is one network; the outputs are those of z and of the first images."""
    fill(model, scale)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):  # around 0, so that units differ in their sign
                parameter.sub_(1)
    mark_idle_biases(model)
    judge = model.get_submodule(model.players["D"][0])

    def outputs(game: Game) -> Numbers:
        model.train(not evaluation)
        numbers = {
            "G(z)": model.decode(z, labels),
            "D(x)": judge(game.images(0)["image"], *([] if labels is None else [labels])),
        }
        model.train()
        return numbers

    shape = (model.config.channels, model.config.resolution, model.config.resolution)
    return Game(model, {"image": shape}, outputs, labels=labels, batch=len(z), **settings)


def mark_idle_biases(model: torch.nn.Module) -> None:
    """Marks biases that a batch norm takes away again."""
    for module in model.modules():
        marked: list[Any] = []
        if isinstance(module, ResNetGenerator):  # whatever a block adds to a channel reaches the last norm
            marked = [
                layer for block in module.modules() if isinstance(block, ResidualBlock) for layer in block.modules()
            ]
        elif isinstance(module, nn.Sequential):
            marked = [layer for layer, after in pairwise(module) if isinstance(after, (nn.BatchNorm1d, nn.BatchNorm2d))]
        for layer in marked:
            if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)) and layer.bias is not None:
                layer.bias.idle = True


def one_hot(classes: int, images: int = 4) -> Tensor:
    """Weights of the classes of some images."""
    return torch.eye(classes, dtype=torch.float64)[torch.arange(images) * 3 % classes]


def gan() -> dict[str, Game]:
    """The plain networks, whose widths the official script fixes."""
    return {"plain, 28 px": latent(GAN(GAN.Config(latent_dim=16)), MANY_LATENTS, tolerance=1e-8)}


def cgan() -> dict[str, Game]:
    """A narrow cGAN of the branches of znxlwm, for the 28 px and 10 classes of the official script."""
    config = CGAN.Config(classes=10, generator_width=16, discriminator_width=64)
    return {"branches, 28 px": latent(CGAN(config), WIDE_LATENTS, one_hot(10))}


def cgan_embedding() -> dict[str, Game]:
    """PyTorch-GAN's networks and least squares."""
    config = CGAN.Config(resolution=16, classes=10, latent_dim=16, networks="embedding", objective="lsgan")
    return {"embedding, least squares, 16 px": latent(CGAN(config), MANY_LATENTS, one_hot(10, 16), tolerance=1e-8)}


def cdcgan() -> dict[str, Game]:
    """Narrow conditional DCGANs, as the official scripts have them for MNIST and for CelebA."""
    mnist = CDCGAN.Config(channels=1, classes=10, generator_width=8, discriminator_width=8)
    celeba = CDCGAN.Config(
        resolution=64, channels=3, classes=2, generator_width=4, discriminator_width=4, activation="leaky"
    )
    return {
        "10 classes, 32 px": latent(CDCGAN(mnist), WIDE_LATENTS, one_hot(10)),
        "2 classes, 64 px": latent(CDCGAN(celeba), WIDE_LATENTS, one_hot(2)),
    }


def lsgan() -> dict[str, Game]:
    """A narrow LSGAN of 32 px."""
    model = LSGAN(LSGAN.Config(resolution=32, latent_dim=16, width=4))
    return {"32 px": latent(model, LATENTS, watched=("generator.layers.3.running_mean",))}


def wgan() -> dict[str, Game]:
    """Narrow WGANs: 25 warm steps and two more with convolutions, two warm steps with others; weights exceed c."""

    def game(steps: int, width: int, warm: int, **given: Any) -> Game:
        config = WGAN.Config(
            resolution=32,
            latent_dim=16,
            generator_width=width,
            critic_width=width,
            clip=0.2,
            critic_steps=2,
            warm_critic_steps=warm,
            **given,
        )
        # A loss is a mean over critic steps, summed in single precision, of terms of either sign.
        return latent(WGAN(config), LATENTS, scale=0.3, steps=steps, loss_tolerance=1e-6)

    return {
        "convolutions, 32 px": game(27, 4, 1, extra_layers=1),
        "no norm in G": game(2, 4, 2, generator_norm=False),
        "linear layers": game(2, 16, 3, generator="mlp", critic="mlp"),
    }


def wgan_gp() -> dict[str, Game]:
    """Narrow networks of each official script; the steps begin with the critic."""

    def game(script: str, **given: Any) -> Game:
        config = WGANGP.Config(**given, critic_steps=2)
        z = wave(4, 128, phase=99) * 2
        return latent(WGANGP(config), z, scale=0.3, evaluation=False, official={"script": script})

    adam = {player: {"lr": 1e-4, "betas": (0.5, 0.9)} for player in "DG"}
    faster = {player: {"lr": 2e-4, "betas": (0.0, 0.9)} for player in "DG"}
    return {
        "DCGAN, 32 px": game(
            "gan_cifar.py",
            resolution=32,
            networks="dcgan",
            generator_widths=(16, 8, 4),
            critic_widths=(4, 8, 16),
            optimizers=adam,
        ),
        "ResNet, 32 px": game(
            "gan_cifar_resnet.py",
            resolution=32,
            generator_widths=(8, 8, 8, 8),
            critic_widths=(8, 8, 8, 8),
            critic_norm=False,
            optimizers=faster,
        ),
        "ResNet with layer norm, 64 px": game(
            "gan_64x64.py", resolution=64, generator_widths=(16, 16, 8, 4, 2), critic_widths=(2, 4, 8, 16, 16)
        ),
    }


def r3gan() -> dict[str, Game]:
    """Narrow R3GANs of 16 px, without classes and with three."""

    def game(classes: int, gamma: float) -> Game:
        config = R3GAN.Config(resolution=16, classes=classes, latent_dim=16, widths=(12, 8, 8), group=4, gamma=gamma)
        labels = one_hot(classes) if classes else None
        return latent(R3GAN(config), LATENTS, labels, scale=0.4)

    return {"no classes, 16 px": game(0, 2.0), "3 classes, 16 px": game(3, 0.05)}


MANY_LATENTS = wave(16, 16, phase=99) * 2
"""Many, since the bias of a unit that has the same sign for all of them is nearly idle before a batch norm."""
WIDE_LATENTS = wave(4, 100, phase=99) * 2
"""Latents of the size that znxlwm's scripts fix."""


GAMES: dict[str, Callable[[], dict[str, Game]]] = {
    "cdcgan": cdcgan,
    "cgan": cgan,
    "cgan-embedding": cgan_embedding,
    "cyclegan": cyclegan,
    "dcgan": dcgan,
    "gan": gan,
    "lsgan": lsgan,
    "pix2pix": pix2pix,
    "progan": progan,
    "r3gan": r3gan,
    "stylegan": stylegan,
    "ugatit": ugatit,
    "wgan": wgan,
    "wgan-gp": wgan_gp,
}
"""Games by name."""
