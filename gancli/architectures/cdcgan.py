"""Conditional DCGAN: DCGAN's convolutions under cGAN's conditions.

No paper of its own: Radford et al. 2015 (arXiv 1511.06434) with the conditions of Mirza & Osindero 2014 (arXiv
1411.1784), as znxlwm/pytorch-MNIST-CelebA-cGAN-cDCGAN trains it on MNIST (32 px) and on CelebA with the gender (64 px).
Unlike DCGAN's, all convolutions have biases and batch norms begin with weights of 1. The game is cGAN's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from math import log2
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from gancli.architectures.cgan import CGAN, ConditionalConfig, normal_weights
from gancli.schema import PowerOfTwo, Width


class Generator(nn.Module):
    """z [N, Z] and weights of classes y [N, K] -> image [N, C, R, R] in [-1, 1].

    Half of the first layer's channels come from either; at 32 px with a width of 128 it has 512, and then 256, 128.
    """

    def __init__(
        self,
        latent_dim: int,
        classes: int,
        width: int,
        channels: int,
        resolution: int,
        activation: Callable[[], nn.Module],
    ) -> None:
        super().__init__()
        widths = [width * 2**i for i in reversed(range(int(log2(resolution)) - 2))]  # 32 px: 512, 256, 128

        def block(before: int, after: int, stride: int) -> list[nn.Module]:
            conv = nn.ConvTranspose2d(before, after, 4, stride, padding=stride - 1)
            return [conv, nn.BatchNorm2d(after), activation()]

        self.z = nn.Sequential(*block(latent_dim, widths[0] // 2, 1))  # [N, Z, 1, 1] -> [N, 256, 4, 4]
        self.y = nn.Sequential(*block(classes, widths[0] // 2, 1))
        layers = [layer for wide, narrow in pairwise(widths) for layer in block(wide, narrow, 2)]
        self.layers = nn.Sequential(
            *layers, nn.ConvTranspose2d(widths[-1], channels, 4, stride=2, padding=1), nn.Tanh()
        )
        normal_weights(self)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.layers(torch.cat([self.z(z[:, :, None, None]), self.y(y[:, :, None, None])], dim=1))


class Discriminator(nn.Module):
    """Image [N, C, R, R] and weights of classes y [N, K] -> logit [N]; y becomes a constant plane for each class."""

    def __init__(self, classes: int, width: int, channels: int, resolution: int) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(int(log2(resolution)) - 2)]  # 32 px: 128, 256, 512

        def first(planes: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(planes, widths[0] // 2, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)
            )

        self.image, self.y = first(channels), first(classes)
        layers: list[nn.Module] = []
        for narrow, wide in pairwise(widths):
            layers += [
                nn.Conv2d(narrow, wide, 4, stride=2, padding=1),
                nn.BatchNorm2d(wide),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4))
        normal_weights(self)

    def forward(self, image: Tensor, y: Tensor) -> Tensor:
        planes = y[:, :, None, None].expand(-1, -1, *image.shape[2:])
        return self.layers(torch.cat([self.image(image), self.y(planes)], dim=1)).flatten()


class CDCGAN(CGAN):
    """cGAN's game between convolutions."""

    title = (
        "Radford, Metz & Chintala 2015, Unsupervised Representation Learning with Deep Convolutional Generative "
        "Adversarial Networks, arXiv 1511.06434, with classes as in Mirza & Osindero 2014, arXiv 1411.1784"
    )

    class Config(ConditionalConfig):
        resolution: PowerOfTwo = Field(32, ge=16, le=256, description="height and width in pixels, a power of two")
        generator_width: Width = Field(128, description="channels before G's last layer")
        discriminator_width: int = Field(128, ge=2, le=2**16, description="channels after D's first layer")
        activation: Literal["relu", "leaky"] = Field("relu", description="G's nonlinearity; leaky in the CelebA script")

    def build(self) -> tuple[nn.Module, nn.Module]:
        config = self.config
        activation = partial(nn.LeakyReLU, 0.2) if config.activation == "leaky" else nn.ReLU
        generator = Generator(
            config.latent_dim, self.classes, config.generator_width, config.channels, config.resolution, activation
        )
        discriminator = Discriminator(self.classes, config.discriminator_width, config.channels, config.resolution)
        return generator, discriminator
