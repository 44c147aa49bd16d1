"""ProGAN: both networks grow from 4 px on, layer by layer, while they are trained.

Karras, Aila, Laine & Lehtinen 2017, "Progressive Growing of GANs for Improved Quality, Stability, and Variation" (arXiv
1710.10196), with the sizes, losses and order of play of the authors' code (tkarras/progressive_growing_of_gans). Where
that differs from the paper:

- 600 thousand images per phase (paper 800);
- minibatch standard deviation over groups of 4 (paper: over the whole batch).

Where it differs from their code:

- the moving average follows a whole round; theirs is taken between D's and G's step, half a round earlier;
- stages are looked up at every step, theirs at every fourth;
- fakes of G's step have the labels of the batch, theirs others drawn from the data;
- Adam's epsilon is added after the correction of its bias (torch), in TensorFlow before.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import sqrt

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from gancli.architectures.base import Batch, GrowingModel, Loss, Optim, Update
from gancli.nn.losses import gradient_penalty
from gancli.nn.progressive import (
    EqualizedConv2d,
    EqualizedLinear,
    GrowingConfig,
    GrowingDiscriminator,
    Stage,
    UpConv2d,
    fade_reals,
    pixel_norm,
    to_resolution,
    upsample,
    widths_by_depth,
)
from gancli.schema import AidsConfig


class FirstBlock(nn.Module):
    """Latent and class [N, Z + K] -> features [N, F, 4, 4]."""

    def __init__(self, inputs: int, features: int) -> None:
        super().__init__()
        # The gain of the authors' first code. The bias is one for each feature, not for each of its pixels.
        self.dense = EqualizedLinear(inputs, features * 16, gain=sqrt(2) / 4, bias=False)
        self.bias = nn.Parameter(torch.zeros(features))
        self.conv = EqualizedConv2d(features, features)

    def forward(self, z: Tensor) -> Tensor:
        x = self.dense(pixel_norm(z)).unflatten(1, (-1, 4, 4)) + self.bias.view(1, -1, 1, 1)
        x = pixel_norm(F.leaky_relu(x, 0.2))
        return pixel_norm(F.leaky_relu(self.conv(x), 0.2))


class UpBlock(nn.Module):
    """Features [N, I, H, W] -> [N, O, 2H, 2W]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.up = UpConv2d(inputs, outputs)
        self.conv = EqualizedConv2d(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = pixel_norm(F.leaky_relu(self.up(x), 0.2))
        return pixel_norm(F.leaky_relu(self.conv(x), 0.2))


class Generator(nn.Module):
    """Latents [N, Z] and weights of classes [N, K] -> images [N, C, R, R], R the resolution of the stage (table 2)."""

    def __init__(self, latent_dim: int, classes: int, widths: list[int], channels: int) -> None:
        super().__init__()
        first: nn.Module = FirstBlock(latent_dim + classes, widths[0])
        self.blocks = nn.ModuleList([first, *(UpBlock(wide, narrow) for wide, narrow in pairwise(widths))])
        self.to_rgb = nn.ModuleList(EqualizedConv2d(width, channels, kernel=1, gain=1) for width in widths)

    def forward(self, z: Tensor, labels: Tensor | None, stage: Stage) -> Tensor:
        x = z if labels is None else torch.cat([z, labels], dim=1)
        newest = stage.depth - 1
        for block in self.blocks[:newest]:
            x = block(x)
        image = self.to_rgb[newest](self.blocks[newest](x))
        if stage.fade < 1:
            image = torch.lerp(upsample(self.to_rgb[newest - 1](x)), image, stage.fade)
        return image


class ProGAN(GrowingModel):
    """The game of ProGAN: WGAN-GP with a drift term, and AC-GAN's where there are classes."""

    title = (
        "Karras, Aila, Laine & Lehtinen 2017, Progressive Growing of GANs for Improved Quality, Stability, and "
        "Variation, arXiv 1710.10196"
    )
    averaged = ("generator",)
    discriminators = ("discriminator",)
    uses_targets = False

    class Config(GrowingConfig):
        gradient_penalty: float = Field(10.0, ge=0, description="lambda, weight of the gradient penalty")
        drift: float = Field(1e-3, ge=0, description="weight of the squared scores of reals, which keeps them near 0")
        class_weight: float = Field(1.0, ge=0, description="weight of AC-GAN's terms")

    config: Config

    def __init__(self, config: Config, aids: AidsConfig | None = None) -> None:
        super().__init__(config, aids)
        self.config = config
        widths = widths_by_depth(config.resolution, config.width, config.max_width)
        self.generator = Generator(config.latent_dim, config.classes, widths[1:], config.channels)
        # A score, and a logit for each class.
        self.discriminator = GrowingDiscriminator(1 + config.classes, widths, config.channels, config.stddev_group)

    def optimizers(self) -> dict[str, Optim]:
        return {
            "D": Optim(("discriminator",), self.config.optimizers.D),
            "G": Optim(("generator",), self.config.optimizers.G),
        }

    def training_step(self, data: Iterator[Batch], update: Update) -> None:
        batch = next(data)
        update("D", self.d_loss, batch)
        update("G", self.g_loss, batch)

    def draw_fakes(self, batch: Batch) -> Tensor:
        z = torch.randn(len(batch), self.config.latent_dim, device=batch.image.device)
        return self.generator(z, self.class_weights(batch.labels), self.stage)

    def judge(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns scores [N] and logits of the classes [N, K]."""
        outputs = self.discriminator(images, self.stage)
        return outputs[:, 0], outputs[:, 1:]

    def d_loss(self, batch: Batch) -> Loss:
        real, fake = fade_reals(batch.image, self.stage), self.draw_fakes(batch)
        real_scores, real_logits = self.judge(real)
        fake_scores, fake_logits = self.judge(fake)
        # Theirs differentiates by pixels of the full size, to which small images are repeated: the norm is r/R of ours.
        target = self.config.resolution / self.stage.resolution
        penalty = gradient_penalty(lambda images: self.judge(images)[0], real, fake, target)
        total = fake_scores.mean() - real_scores.mean()  # WGAN
        total = total + self.config.gradient_penalty * penalty
        total = total + self.config.drift * real_scores.square().mean()  # section A.1
        parts = {"D(x)": real_scores.mean(), "D(G(z))": fake_scores.mean(), "gp": penalty}
        if self.classes and batch.labels is not None:
            parts["D class"] = F.cross_entropy(real_logits, batch.labels) + F.cross_entropy(fake_logits, batch.labels)
            total = total + self.config.class_weight * parts["D class"]
        return Loss(total, parts)

    def g_loss(self, batch: Batch) -> Loss:
        scores, logits = self.judge(self.draw_fakes(batch))
        if not self.classes or batch.labels is None:
            return Loss(-scores.mean())
        wrong = F.cross_entropy(logits, batch.labels)
        return Loss(-scores.mean() + self.config.class_weight * wrong, {"G class": wrong})

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        image = self.generator(z, self.class_weights(labels), self.stage)
        return to_resolution(image, self.config.resolution).clamp(-1, 1)
