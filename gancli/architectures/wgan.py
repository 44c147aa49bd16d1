"""WGAN: a critic with bounded slope estimates how far fakes are from reals, and G moves them closer.

Arjovsky, Chintala & Bottou 2017, "Wasserstein GAN" (arXiv 1701.07875), as the authors' code trains it
(martinarjovsky/WassersteinGAN, main.py): the weights are clipped before each critic step (algorithm 1: after it), and
the critic gets 100 steps while it is new, and again every 500 steps. Where this file differs from the code:

- the critic is high for reals, as in the paper (there it is low for them), so that what it maximises is the estimate of
  the distance, ``W`` in the log: positive, and falling while G improves;
- an epoch's end does not cut the critic's steps short;
- samples are drawn with running averages in G's batch norms (there with the statistics of the batch).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from gancli.architectures import dcgan
from gancli.architectures.base import Batch, LatentModel, Loss, Update
from gancli.architectures.gan import rectified
from gancli.nn.init import normal_init
from gancli.nn.losses import make_objective
from gancli.schema import AidsConfig, Depth, Flag, ImageModelConfig, Optimizers, PowerOfTwo, RMSpropConfig, Turns, Width

WARM_STEPS, REFRESH_EVERY = 25, 500
"""In the first steps, and in every 500th, the critic moves ``warm_critic_steps`` times."""


class Generator(dcgan.Generator):
    """DCGAN's, if wanted without norms (section 4.3), and with more 3x3 convolutions at half of the full size."""

    def __init__(
        self, latent_dim: int, width: int, channels: int, resolution: int, extra_layers: int, norm: bool
    ) -> None:
        super().__init__(latent_dim, width, channels, resolution)
        *layers, last, tanh = self.layers
        for _ in range(extra_layers):
            convolution = nn.Conv2d(width, width, 3, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        if not norm:
            layers = [layer for layer in layers if not isinstance(layer, nn.BatchNorm2d)]
        self.layers = nn.Sequential(*layers, last, tanh)


class Critic(dcgan.Discriminator):
    """DCGAN's discriminator without a sigmoid, if wanted with more 3x3 convolutions at half of the full size."""

    def __init__(self, width: int, channels: int, resolution: int, extra_layers: int) -> None:
        super().__init__(width, channels, resolution)
        first, leaky, *rest = self.layers
        layers = [first, leaky]
        for _ in range(extra_layers):
            convolution = nn.Conv2d(width, width, 3, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(width), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers, *rest)


class MLPGenerator(nn.Module):
    """z [N, Z] -> image [N, *shape] through four linear layers and no tanh: values may leave [-1, 1] (section 4.3)."""

    def __init__(self, latent_dim: int, width: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        hidden = rectified(latent_dim, width, width, width)
        self.layers = nn.Sequential(*hidden, nn.Linear(width, prod(shape)), nn.Unflatten(1, shape))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class MLPCritic(nn.Module):
    """Image [N, *shape] -> score [N] through four linear layers."""

    def __init__(self, width: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        hidden = rectified(prod(shape), width, width, width)
        self.layers = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(width, 1))

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image).flatten()


@torch.no_grad()
def clip_weights(network: nn.Module, largest: float) -> None:
    """Clips all weights of a network to [-largest, largest], those of norms included (algorithm 1, line 7)."""
    for weight in network.parameters():
        weight.clamp_(-largest, largest)


class WGAN(LatentModel):
    """The game of algorithm 1: max over critics f with clipped weights of E[f(x)] - E[f(G(z))], which G minimises."""

    title = "Arjovsky, Chintala & Bottou 2017, Wasserstein GAN, arXiv 1701.07875"
    players = {"D": ("critic",), "G": ("generator",)}
    averaged = ("generator",)
    replays = True

    class Config(ImageModelConfig):
        resolution: PowerOfTwo = Field(64, ge=32, le=256, description="height and width in pixels, a power of two")
        generator: Literal["dcgan", "mlp"] = Field("dcgan", description="G's network")
        critic: Literal["dcgan", "mlp"] = Field("dcgan", description="the critic's network")
        generator_norm: Flag = Field(True, description="batch norm in a dcgan G")
        extra_layers: Depth = Field(0, ge=0, description="3x3 convolutions more in the networks of dcgan")
        latent_dim: Width = Field(100, description="Z, components of the latent vector")
        generator_width: Width = Field(64, description="ngf: channels before G's last layer, or units of an mlp")
        critic_width: Width = Field(64, description="ndf: the same after the critic's first layer")
        clip: float = Field(0.01, gt=0, description="c, the largest weight of the critic")
        critic_steps: Turns = Field(5, description="critic steps for each step of G")
        warm_critic_steps: Turns = Field(100, description="the same in the first 25 steps, and in every 500th")
        optimizers: Optimizers = Field(
            Optimizers(D=RMSpropConfig(), G=RMSpropConfig()), description="optimizer of each player"
        )

    def __init__(self, config: ImageModelConfig, aids: AidsConfig | None = None) -> None:
        super().__init__(config, aids)
        self.objective = make_objective("wgan", self.aids)
        self.generator, self.critic = self.build()

    def build(self) -> tuple[nn.Module, nn.Module]:
        """Returns G and the critic, and says whether G's images can leave [-1, 1]."""
        config = self.config
        self.bounded = config.generator == "dcgan"
        size = (config.channels, config.resolution)
        shape = (*size, config.resolution)
        if config.generator == "dcgan":
            generator: nn.Module = Generator(
                config.latent_dim, config.generator_width, *size, config.extra_layers, config.generator_norm
            )
        else:
            generator = MLPGenerator(config.latent_dim, config.generator_width, shape)
        if config.critic == "dcgan":
            critic: nn.Module = Critic(config.critic_width, *size, config.extra_layers)
        else:
            critic = MLPCritic(config.critic_width, shape)
        normal_init(generator)
        normal_init(critic)
        return generator, critic

    @property
    def draws(self) -> float:
        usual, warm = self.config.critic_steps, self.config.warm_critic_steps
        return float(usual + (warm - usual) / REFRESH_EVERY)

    @property
    def warm_up(self) -> tuple[int, int]:  # type: ignore[override]
        return WARM_STEPS, self.config.warm_critic_steps

    def training_step(self, data: Iterator[Batch], update: Update) -> None:
        warm = update.step < WARM_STEPS or update.step % REFRESH_EVERY == 0
        for _ in range(self.config.warm_critic_steps if warm else self.config.critic_steps):
            batch = next(data)
            clip_weights(self.critic, self.config.clip)
            update("D", self.d_loss, batch)
        update("G", self.g_loss, batch)

    def draw_fakes(self, batch: Batch) -> Tensor:
        return self.generator(self.latents(len(batch), device=batch.image.device))

    def d_loss(self, batch: Batch) -> Loss:
        (fake,) = self.replayed(self.draw_fakes(batch))
        negative_distance = self.objective.d(self.critic(batch.image), self.critic(fake))
        return Loss(negative_distance, {"W": -negative_distance})

    def g_loss(self, batch: Batch) -> Loss:
        return Loss(self.objective.g(self.critic(self.draw_fakes(batch))))

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.generator(z)
