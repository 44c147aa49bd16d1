"""WGAN-GP: WGAN with a penalty on the slope of the critic instead of clipped weights.

Gulrajani et al. 2017, "Improved Training of Wasserstein GANs" (arXiv 1704.00028), with the networks of the authors'
code (igul222/improved_wgan_training):

- ``dcgan``: 5x5 convolutions, no norm in the critic (gan_cifar.py; gan_mnist.py is the same without norm in G);
- ``resnet``: residual blocks (appendix F), with a critic that averages over pixels (gan_cifar_resnet.py, here without
  classes), or one with layer norm (the "good" networks of gan_64x64.py).

The critic moves five times, then G once (there: G first, but not in the first step). Samples are drawn with running
averages in G's batch norms (there with the statistics of the batch).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from math import ceil
from typing import Any, Literal

from pydantic import Field, model_validator
from torch import Tensor, nn

from gancli.architectures.base import Batch, Loss, Update
from gancli.architectures.wgan import WGAN
from gancli.nn.losses import gradient_penalty
from gancli.nn.same import SameConv2d, SameConvTranspose2d
from gancli.schema import AdamConfig, Flag, ImageModelConfig, Optimizers, Turns, Width, Widths

Upsampling = Literal["nearest", "bilinear"]


Norm = Callable[[int], nn.Module]
LayerNorm: Norm = partial(nn.GroupNorm, 1)
"""Over all channels and pixels of an image, with a gain and a bias for each channel."""


class Generator(nn.Module):
    """z [N, Z] -> image [N, C, R, R] in [-1, 1] through 5x5 transposed convolutions.

    A size that does not double is cropped: 28 px begin with 4, 7 (of 8) and 14.
    """

    def __init__(self, latent_dim: int, widths: Widths, channels: int, resolution: int, norm: bool) -> None:
        super().__init__()
        self.sizes = [ceil(resolution / 2**i) for i in reversed(range(len(widths)))]  # after each doubling
        side = ceil(resolution / 2 ** len(widths))
        flat = widths[0] * side * side
        self.first = nn.Sequential(
            nn.Linear(latent_dim, flat),
            nn.BatchNorm1d(flat) if norm else nn.Identity(),
            nn.ReLU(inplace=True),
            nn.Unflatten(1, (widths[0], side, side)),
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(
                SameConvTranspose2d(before, after, 5, 2),
                nn.BatchNorm2d(after) if norm else nn.Identity(),
                nn.ReLU(inplace=True),
            )
            for before, after in pairwise(widths)
        )
        self.blocks.append(nn.Sequential(SameConvTranspose2d(widths[-1], channels, 5, 2), nn.Tanh()))

    def forward(self, z: Tensor) -> Tensor:
        x = self.first(z)
        for block, size in zip(self.blocks, self.sizes, strict=True):
            x = block(x)[:, :, :size, :size]
        return x


class Critic(nn.Module):
    """Image [N, C, R, R] -> score [N] through 5x5 convolutions of stride 2, without norm."""

    def __init__(self, widths: Widths, channels: int, resolution: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((channels, *widths)):
            layers += [SameConv2d(before, after, 5, 2), nn.LeakyReLU(0.2, inplace=True)]
        pixels = ceil(resolution / 2 ** len(widths)) ** 2
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * pixels, 1))

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image).flatten()


class ResidualBlock(nn.Module):
    """shortcut(x) + conv(relu(norm(conv(relu(norm(x)))))), [N, C, H, W] -> [N, C', H', W'] (appendix F).

    Args:
        before, after: C and C'.
        resample: double the size before the first convolution, halve it after the last (a mean of four), or neither.
        norm: makes a norm of some channels.
        first_bias: whether the first convolution has a bias.
        upsampling: how the size is doubled.
    """

    def __init__(
        self,
        before: int,
        after: int,
        resample: Literal["up", "down"] | None,
        norm: Norm,
        *,
        first_bias: bool,
        upsampling: Upsampling = "nearest",
    ) -> None:
        super().__init__()
        middle = before if resample == "down" else after
        up: list[nn.Module] = [nn.Upsample(scale_factor=2, mode=upsampling)] if resample == "up" else []
        down: list[nn.Module] = [nn.AvgPool2d(2)] if resample == "down" else []
        self.layers = nn.Sequential(
            norm(before),
            nn.ReLU(),
            *up,
            nn.Conv2d(before, middle, 3, padding=1, bias=first_bias),
            norm(middle),
            nn.ReLU(inplace=True),
            nn.Conv2d(middle, after, 3, padding=1),
            *down,
        )
        plain = before == after and resample is None
        self.shortcut = nn.Identity() if plain else nn.Sequential(*up, nn.Conv2d(before, after, 1), *down)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.layers(x)


class ResNetGenerator(nn.Module):
    """z [N, Z] -> image [N, C, R, R] in [-1, 1]; each residual block doubles the size."""

    def __init__(
        self, latent_dim: int, widths: Widths, channels: int, resolution: int, first_bias: bool, upsampling: Upsampling
    ) -> None:
        super().__init__()
        side = resolution // 2 ** (len(widths) - 1)
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, widths[0] * side * side),
            nn.Unflatten(1, (widths[0], side, side)),
            *(
                ResidualBlock(before, after, "up", nn.BatchNorm2d, first_bias=first_bias, upsampling=upsampling)
                for before, after in pairwise(widths)
            ),
            nn.BatchNorm2d(widths[-1]),
            nn.ReLU(inplace=True),
            nn.Conv2d(widths[-1], channels, 3, padding=1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class FirstBlock(nn.Module):
    """The residual block that sees the image: no ReLU before it, and half of the size after it."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
            nn.AvgPool2d(2),
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(channels, width, 1))

    def forward(self, image: Tensor) -> Tensor:
        return self.shortcut(image) + self.layers(image)


class PooledCritic(nn.Module):
    """Image [N, C, R, R] -> score [N]; residual blocks without norm, halving down to 8 px, and a mean over pixels."""

    def __init__(self, widths: Widths, channels: int, resolution: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = [FirstBlock(channels, widths[0])]
        size = resolution // 2
        for before, after in pairwise(widths):
            blocks.append(ResidualBlock(before, after, "down" if size > 8 else None, nn.Identity, first_bias=True))
            size = size // 2 if size > 8 else size
        self.blocks = nn.Sequential(*blocks, nn.ReLU(inplace=True))
        self.score = nn.Linear(widths[-1], 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.score(self.blocks(image).mean(dim=(2, 3))).flatten()


class LayerNormCritic(nn.Module):
    """Image [N, C, R, R] -> score [N]; a convolution, residual blocks with layer norm that halve the size, a layer."""

    def __init__(self, widths: Widths, channels: int, resolution: int) -> None:
        super().__init__()
        side = resolution // 2 ** (len(widths) - 1)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, widths[0], 3, padding=1),
            *(ResidualBlock(before, after, "down", LayerNorm, first_bias=False) for before, after in pairwise(widths)),
            nn.Flatten(),
            nn.Linear(widths[-1] * side * side, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image).flatten()


def fan_init(network: nn.Module, glorot: nn.Module | None = None) -> None:
    """Draws weights as the authors' code does: uniform, of variance 4 / (fan in + fan out) for convolutions.

    Linear layers, 1x1 convolutions and the one named ``glorot`` have half of that variance; a stride of s divides the
    larger side's fan by s^2. Biases become 0.
    """
    for module in network.modules():
        if not isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            continue
        area = module.weight[0, 0].numel()
        fans = [float(size * area) for size in module.weight.shape[:2]]
        if not isinstance(module, nn.Linear):
            fans[0] /= module.stride[0] ** 2  # a convolution's outputs, a transposed one's inputs
        variance = 2.0 if area == 1 or module is glorot else 4.0
        bound = (3 * variance / sum(fans)) ** 0.5
        nn.init.uniform_(module.weight, -bound, bound)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class WGANGP(WGAN):
    """The game of algorithm 1; the critic minimises E[f(G(z))] - E[f(x)] + lambda E[(|df(x')/dx'| - 1)^2] (eq. 3)."""

    title = "Gulrajani et al. 2017, Improved Training of Wasserstein GANs, arXiv 1704.00028"
    second_order = ("critic",)

    class Config(ImageModelConfig):
        networks: Literal["dcgan", "resnet"] = Field("resnet", description="5x5 convolutions, or residual blocks")
        latent_dim: Width = Field(128, description="Z, components of the latent vector")
        generator_widths: Widths = Field(
            (512, 512, 256, 128, 64), description="channels in G, from the smallest size to the largest"
        )
        critic_widths: Widths = Field(
            (64, 128, 256, 512, 512), description="channels in the critic, from first to last"
        )
        generator_norm: Flag = Field(True, description="dcgan: batch norm in G")
        critic_norm: Flag = Field(
            True, description="resnet: layer norm; false: none, and a mean over pixels at the end"
        )
        upsampling: Upsampling = Field("nearest", description="resnet: how G doubles the size")
        gradient_penalty: float = Field(10.0, gt=0, description="lambda, the weight of the gradient penalty")
        critic_steps: Turns = Field(5, description="critic steps for each step of G")
        optimizers: Optimizers = Field(
            Optimizers(D=AdamConfig(lr=1e-4, betas=(0.0, 0.9)), G=AdamConfig(lr=1e-4, betas=(0.0, 0.9))),
            description="optimizer of each player",
        )

        @model_validator(mode="after")
        def _sizes_divide(self) -> WGANGP.Config:
            for name, widths in (("generator_widths", self.generator_widths), ("critic_widths", self.critic_widths)):
                if self.networks == "resnet" and name == "critic_widths" and not self.critic_norm:
                    continue  # takes the mean over the pixels that are left
                halvings = len(widths) - (self.networks == "resnet")
                if self.resolution < 2 ** (halvings + 1):
                    raise ValueError(f"{name}: {len(widths)} numbers halve {self.resolution} px to less than 2")
                if self.networks == "resnet" and self.resolution % 2**halvings:
                    raise ValueError(f"{name}: {self.resolution} px cannot be halved {halvings} times")
            return self

    def build(self) -> tuple[nn.Module, nn.Module]:
        config = self.config
        size, glorot = (config.channels, config.resolution), None
        if config.networks == "dcgan":
            generator: Any = Generator(config.latent_dim, config.generator_widths, *size, config.generator_norm)
            critic: Any = Critic(config.critic_widths, *size)
        else:
            # The first convolution of a block lacks a bias in gan_64x64.py, where a norm follows in both networks.
            generator = ResNetGenerator(
                config.latent_dim, config.generator_widths, *size, not config.critic_norm, config.upsampling
            )
            kind = LayerNormCritic if config.critic_norm else PooledCritic
            critic = kind(config.critic_widths, *size)
            glorot = critic.layers[0] if config.critic_norm else generator.layers[-2]
        fan_init(nn.ModuleList([generator, critic]), glorot)
        return generator, critic

    def training_step(self, data: Iterator[Batch], update: Update) -> None:
        for _ in range(self.config.critic_steps):
            batch = next(data)
            update("D", self.d_loss, batch)
        update("G", self.g_loss, batch)

    def d_loss(self, batch: Batch) -> Loss:
        (fake,) = self.replayed(self.draw_fakes(batch))
        negative_distance = self.objective.d(self.critic(batch.image), self.critic(fake))
        penalty = gradient_penalty(self.critic, batch.image, fake)
        total = negative_distance + self.config.gradient_penalty * penalty
        return Loss(total, {"W": -negative_distance, "penalty": penalty})
