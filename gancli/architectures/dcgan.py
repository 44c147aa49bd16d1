"""DCGAN: an image from a vector through strided convolutions alone.

Radford, Metz & Chintala 2015, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks" (arXiv 1511.06434), with the sizes and the order of play of the authors' Torch code (soumith/dcgan.torch) and
of pytorch/examples. Where they differ from the paper:

- batch 64 (paper 128) and z ~ N(0, 1) (paper U(-1, 1));
- no convolution has a bias, the last of each network included;
- widths follow the resolution: every doubling adds one stride-2 block to each network, 4 at 64 px.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import log2
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from gancli.architectures.base import Batch, LatentModel, Loss, Update
from gancli.nn.init import normal_init
from gancli.nn.losses import make_objective
from gancli.schema import AidsConfig, ImageModelConfig, PowerOfTwo, Width


class Generator(nn.Module):
    """z [N, Z] -> image [N, C, R, R] in [-1, 1] (paper, figure 1)."""

    def __init__(self, latent_dim: int, width: int, channels: int, resolution: int) -> None:
        super().__init__()
        widths = [width * 2**i for i in reversed(range(int(log2(resolution)) - 2))]  # 64 px: 512, 256, 128, 64
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(latent_dim, widths[0], 4, bias=False),  # [N, Z, 1, 1] -> [N, 512, 4, 4]
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        ]
        for wide, narrow in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(narrow),
                nn.ReLU(inplace=True),
            ]
        layers += [nn.ConvTranspose2d(widths[-1], channels, 4, stride=2, padding=1, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z[:, :, None, None])


class Discriminator(nn.Module):
    """Image [N, C, R, R] -> logit [N] that it is real. No batch norm in the first and last layer (section 3)."""

    def __init__(self, width: int, channels: int, resolution: int) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(int(log2(resolution)) - 2)]  # 64 px: 64, 128, 256, 512
        layers: list[nn.Module] = [
            nn.Conv2d(channels, widths[0], 4, stride=2, padding=1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for narrow, wide in pairwise(widths):
            layers += [
                nn.Conv2d(narrow, wide, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(wide),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        layers += [nn.Conv2d(widths[-1], 1, 4, bias=False)]  # [N, 512, 4, 4] -> [N, 1, 1, 1]
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image).flatten()


class DCGAN(LatentModel):
    """The game of DCGAN: min-max binary cross-entropy, with the non-saturating loss for G."""

    title = (
        "Radford, Metz & Chintala 2015, Unsupervised Representation Learning with Deep Convolutional Generative "
        "Adversarial Networks, arXiv 1511.06434"
    )
    players = {"D": ("discriminator",), "G": ("generator",)}
    averaged = ("generator",)
    replays = True

    class Config(ImageModelConfig):
        resolution: PowerOfTwo = Field(64, ge=32, le=256, description="height and width in pixels, a power of two")
        channels: Literal[1, 3] = Field(3, description="1 for grey, 3 for RGB")
        latent_dim: Width = Field(100, description="Z, components of the latent vector")
        generator_width: Width = Field(64, description="ngf, channels before G's last layer")
        discriminator_width: Width = Field(64, description="ndf, channels after D's first layer")

    def __init__(self, config: Config, aids: AidsConfig | None = None) -> None:
        super().__init__(config, aids)
        self.objective = make_objective("vanilla", self.aids)
        self.generator = Generator(config.latent_dim, config.generator_width, config.channels, config.resolution)
        self.discriminator = Discriminator(config.discriminator_width, config.channels, config.resolution)
        normal_init(self)

    def training_step(self, data: Iterator[Batch], update: Update) -> None:
        batch = next(data)
        update.forward("G", self.draw_fakes, batch)  # once: both players judge the same fakes
        update("D", self.d_loss, batch)
        update("G", self.g_loss, batch)

    def draw_fakes(self, batch: Batch) -> None:
        batch.stash["fake"] = self.generator(self.latents(len(batch), device=batch.image.device))

    def d_loss(self, batch: Batch) -> Loss:
        # Reals and fakes pass D separately: in one batch they would share their batch-norm statistics.
        real_logits = self.discriminator(batch.image)
        (fake,) = self.replayed(batch.stash["fake"])
        fake_logits = self.discriminator(fake)
        return Loss(
            self.objective.d(real_logits, fake_logits),
            {"D(x)": real_logits.sigmoid().mean(), "D(G(z))": fake_logits.sigmoid().mean()},
        )

    def g_loss(self, batch: Batch) -> Loss:
        return Loss(self.objective.g(self.discriminator(batch.stash["fake"])))

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.generator(z)
