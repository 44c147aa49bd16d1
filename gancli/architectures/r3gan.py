"""R3GAN: a regularised relativistic loss and a plain ResNet, and none of the tricks that GANs were said to need.

Huang, Gokaslan, Kuleshov & Tompkin 2024, "The GAN is dead; long live the GAN! A Modern GAN Baseline" (arXiv
2501.05441), as the authors' code trains it (brownvc/R3GAN): config E of the paper. Where this file differs:

- there is no adaptive augmentation of what D sees (there: with a probability that rises to 0.3 or 0.55);
- all stages compute in the run's precision (there: the last three or four in bfloat16).

A step draws two batches, one for each player, so a run shows twice the images that the authors count.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from gancli.architectures.base import Batch, LatentModel, Loss, Update
from gancli.nn.losses import make_objective, squared_gradient_norms
from gancli.schema import (
    AdamConfig,
    AidsConfig,
    Classes,
    ImageModelConfig,
    Optimizers,
    Positive,
    PositiveOrRamp,
    Ramp,
    Width,
    Widths,
    at_images,
)

GAIN = sqrt(2 / (1 + 0.2**2))
"""Keeps the variance through a leaky ReLU of slope 0.2 (He et al. 2015)."""


def convolution(
    before: int, after: int, kernel: int, groups: int = 1, gain: float = 1.0, bias: bool = False
) -> nn.Conv2d:
    """Returns a convolution whose weights are drawn from N(0, gain / sqrt(fan in)); a bias begins as 0."""
    layer = nn.Conv2d(before, after, kernel, padding=kernel // 2, groups=groups, bias=bias)
    nn.init.normal_(layer.weight, std=gain / sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ResidualBlock(nn.Module):
    """x + F(x), [N, C, H, W] -> [N, C, H, W]: an inverted bottleneck with a grouped 3x3 convolution (section 4, E).

    F begins as 0, and its weights are scaled as in Fixup by the number of blocks L of the network (Zhang et al. 2019).
    """

    def __init__(self, channels: int, expansion: int, group: int, blocks: int) -> None:
        super().__init__()
        wide, gain = channels * expansion, GAIN * blocks**-0.25  # L^(-1 / (2m - 2)) with m = 3 layers
        self.layers = nn.Sequential(
            convolution(channels, wide, 1, gain=gain, bias=True),
            nn.LeakyReLU(0.2, inplace=True),
            convolution(wide, wide, 3, groups=wide // group, gain=gain, bias=True),
            nn.LeakyReLU(0.2, inplace=True),
            convolution(wide, channels, 1, gain=0.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Upsample(nn.Module):
    """[N, C, H, W] -> [N, C, 2H, 2W] with the filter [1, 3, 3, 1], zeros around the image.

    That is a bilinear interpolation, apart from the border.
    """

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (1, 1, 1, 1))
        return F.interpolate(padded, scale_factor=2.0, mode="bilinear", align_corners=False)[:, :, 2:-2, 2:-2]


class Downsample(nn.Module):
    """[N, C, H, W] -> [N, C, H/2, W/2] with the filter [1, 3, 3, 1], zeros around the image: three means of [1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (1, 1, 1, 1))
        return F.avg_pool2d(F.avg_pool2d(F.avg_pool2d(padded, 2, 1), 2, 1), 2)


class GenerativeBasis(nn.Module):
    """z [N, Z] -> [N, C, 4, 4]: learned 4x4 maps, each scaled by a linear function of z."""

    def __init__(self, latent_dim: int, channels: int) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.randn(channels, 4, 4))
        self.scale = linear(latent_dim, channels)

    def forward(self, z: Tensor) -> Tensor:
        return self.basis * self.scale(z)[:, :, None, None]


class DiscriminativeBasis(nn.Module):
    """[N, C, 4, 4] -> [N, outputs]: a weighted sum over the pixels of each channel, then a linear layer."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.basis = nn.Conv2d(channels, channels, 4, groups=channels, bias=False)
        nn.init.normal_(self.basis.weight, std=1 / 4)
        self.output = linear(channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.basis(x).flatten(1))


def linear(inputs: int, outputs: int, gain: float = 1.0) -> nn.Linear:
    """Returns a linear layer without bias whose weights are drawn from N(0, gain / sqrt(inputs))."""
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, std=gain / sqrt(inputs))
    return layer


class Generator(nn.Module):
    """z [N, Z] and weights of classes [N, K] -> image [N, C, R, R], meant to lie in [-1, 1]; there is no tanh."""

    def __init__(self, config: R3GAN.Config, classes: int) -> None:
        super().__init__()
        widths, total = config.widths, config.blocks * len(config.widths)
        self.embedding = linear(classes, config.latent_dim) if classes else None
        layers: list[nn.Module] = [GenerativeBasis(config.latent_dim * (2 if classes else 1), widths[0])]
        for index, width in enumerate(widths):
            if index:
                before = widths[index - 1]
                layers += [convolution(before, width, 1)] if before != width else []
                layers += [Upsample()]
            layers += [ResidualBlock(width, config.expansion, config.group, total) for _ in range(config.blocks)]
        self.layers = nn.Sequential(*layers, convolution(widths[-1], config.channels, 1))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.layers(z if self.embedding is None else torch.cat([z, self.embedding(y)], dim=1))


class Discriminator(nn.Module):
    """Image [N, C, R, R] and weights of classes [N, K] -> score [N]; classes by projection (Miyato & Koyama 2018)."""

    def __init__(self, config: R3GAN.Config, classes: int) -> None:
        super().__init__()
        widths, total = tuple(reversed(config.widths)), config.blocks * len(config.widths)
        layers: list[nn.Module] = [convolution(config.channels, widths[0], 1)]
        for index, width in enumerate(widths):
            layers += [ResidualBlock(width, config.expansion, config.group, total) for _ in range(config.blocks)]
            if index < len(widths) - 1:
                layers += [Downsample()]
                layers += [convolution(width, widths[index + 1], 1)] if width != widths[index + 1] else []
        features = widths[-1] if classes else 1
        self.layers = nn.Sequential(*layers, DiscriminativeBasis(widths[-1], features))
        self.embedding = linear(classes, features, gain=1 / sqrt(features)) if classes else None

    def forward(self, image: Tensor, y: Tensor | None = None) -> Tensor:
        features = self.layers(image)
        return features[:, 0] if self.embedding is None else (features * self.embedding(y)).sum(dim=1)


class R3GAN(LatentModel):
    """The game of section 2: D compares each real with a fake, with both gradient penalties R1 and R2 (equation 4)."""

    title = (
        "Huang, Gokaslan, Kuleshov & Tompkin 2024, The GAN is dead; long live the GAN! A Modern GAN Baseline, "
        "arXiv 2501.05441"
    )
    players = {"D": ("discriminator",), "G": ("generator",)}
    averaged = ("generator",)
    replays = True
    second_order = ("discriminator",)
    bounded = False

    class Config(ImageModelConfig):
        resolution: int = Field(32, ge=4, le=512, description="height and width in pixels: 4, 8, 16, ...")
        classes: Classes | None = Field(
            0, ge=0, description="number of classes; 0: none; null: as many as the data have"
        )
        latent_dim: Width = Field(64, description="Z, components of the latent vector")
        widths: Widths = Field((768, 768, 768, 768), description="channels at 4 px, 8 px, and so on")
        blocks: int = Field(2, ge=1, le=16, description="residual blocks at each size")
        expansion: int = Field(2, ge=1, le=64, description="how much wider a residual block is inside")
        group: Width = Field(16, description="channels of each group of the grouped convolutions")
        gamma: PositiveOrRamp = Field(
            Ramp[Positive](start=0.05, end=0.005, kimg=40_000, shape="cosine"),
            description="twice the weight of each of the two gradient penalties",
        )
        optimizers: Optimizers = Field(
            Optimizers(D=AdamConfig(betas=(0.0, 0.99)), G=AdamConfig(betas=(0.0, 0.99))),
            description="optimizer of each player",
        )

        @model_validator(mode="after")
        def _fits_together(self) -> R3GAN.Config:
            fitting = 4 * 2 ** (len(self.widths) - 1)
            if self.resolution != fitting:
                raise ValueError(
                    f"{len(self.widths)} widths are for a resolution of {fitting}, not {self.resolution}: "
                    "model.widths has a number for 4 px and for each doubling"
                )
            if any(width * self.expansion % self.group for width in self.widths):
                raise ValueError(f"group {self.group} must divide each width times {self.expansion}")
            return self

    def __init__(self, config: Config, aids: AidsConfig | None = None) -> None:
        super().__init__(config, aids)
        self.objective = make_objective("relativistic", self.aids)
        self.generator = Generator(config, self.classes)
        self.discriminator = Discriminator(config, self.classes)

    draws = 2

    def training_step(self, data: Iterator[Batch], update: Update) -> None:
        gamma = at_images(self.config.gamma, update.images_shown)
        update("D", lambda batch: self.d_loss(batch, gamma), next(data))
        update("G", self.g_loss, next(data))

    def draw_fakes(self, batch: Batch) -> Tensor:
        z = self.latents(len(batch), device=batch.image.device)
        return self.generator(z, self.class_weights(batch.labels))

    def d_loss(self, batch: Batch, gamma: float) -> Loss:
        y = self.class_weights(batch.labels)
        fake, y_of_fake = self.replayed(self.draw_fakes(batch), y)
        real, fake = batch.image.detach().requires_grad_(), fake.requires_grad_()
        real_scores, fake_scores = self.discriminator(real, y), self.discriminator(fake, y_of_fake)
        r1 = squared_gradient_norms(real_scores, real).mean()
        r2 = squared_gradient_norms(fake_scores, fake).mean()
        total = self.objective.d(real_scores, fake_scores) + gamma / 2 * (r1 + r2)
        return Loss(total, {"D(x) - D(G(z))": (real_scores - fake_scores).mean(), "R1": r1, "R2": r2})

    def g_loss(self, batch: Batch) -> Loss:
        y = self.class_weights(batch.labels)
        fake_scores = self.discriminator(self.draw_fakes(batch), y)
        return Loss(self.objective.g(fake_scores, self.discriminator(batch.image, y)))

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.generator(z, self.class_weights(labels))
