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
from math import log2, prod, sqrt

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from gancli.architectures.base import Batch, LatentModel, Loss, Update
from gancli.nn.losses import gradient_penalty, make_objective
from gancli.nn.stage import Stage
from gancli.schema import (
    AdamConfig,
    AidsConfig,
    Classes,
    ImageModelConfig,
    Optimizers,
    PowerOfTwo,
    Section,
    Width,
)


class GrowthConfig(Section):
    """When the networks grow: at each resolution they are first faded in, from the second on, and then trained on."""

    initial_resolution: PowerOfTwo = Field(4, ge=4, le=2048, description="height and width in pixels at the beginning")
    stable_kimg: float = Field(600.0, ge=0, le=1e9, description="thousands of real images before a resolution doubles")
    fade_kimg: float = Field(600.0, ge=0, le=1e9, description="thousands of real images while new layers are faded in")

    def stage(self, resolution: int, images_shown: int) -> Stage:
        """Returns the stage after some real images, of networks that grow up to ``resolution``.

        Alpha is linear in the images shown, as in the official schedules. If both lengths are 0, networks are fully
        grown from the beginning; official ones would stay small forever.
        """
        stable, fade = round(self.stable_kimg * 1000), round(self.fade_kimg * 1000)
        doublings = int(log2(resolution // self.initial_resolution))
        if stable + fade == 0:
            return Stage(resolution)
        phase, images = divmod(images_shown, stable + fade)
        if phase >= doublings:
            return Stage(resolution)
        here = self.initial_resolution * 2**phase
        return Stage(here) if images <= stable else Stage(2 * here, (images - stable) / fade)


class GrowingConfig(ImageModelConfig):
    """Sizes, growth and optimizers that ProGAN and StyleGAN share."""

    resolution: PowerOfTwo = Field(1024, ge=4, le=1024, description="height and width in pixels of the grown networks")
    latent_dim: Width = Field(512, description="Z, components of the latent vector")
    classes: Classes = Field(0, ge=0, description="number of classes; 0: labels of the data are not used")
    width: Width = Field(8192, description="channels at r px are twice this over r, at most max_width")
    max_width: Width = Field(512, description="most channels of a layer")
    growth: GrowthConfig = Field(GrowthConfig(), description="when the networks grow")
    stddev_group: Width = Field(4, description="samples over which D measures variation")
    optimizers: Optimizers = Field(
        Optimizers(D=AdamConfig(lr=1e-3, betas=(0.0, 0.99)), G=AdamConfig(lr=1e-3, betas=(0.0, 0.99))),
        description="optimizer of each player",
    )

    @model_validator(mode="after")
    def _grows(self) -> GrowingConfig:
        if self.growth.initial_resolution > self.resolution:
            raise ValueError(
                f"growth begins at {self.growth.initial_resolution} px (growth.initial_resolution), "
                f"which is more than the resolution {self.resolution}"
            )
        return self


def widths_by_depth(resolution: int, width: int, most: int) -> list[int]:
    """Returns the units of D's hidden layer, and the channels at 4, 8, ... ``resolution`` px.

    These are 2 ``width`` / px, and twice as many units as channels at 4 px, but at most ``most``. With 8192 and 512 as
    published: 512 up to 32 px, then 256, 128, 64, 32, 16 at 1024 px.
    """
    return [max(1, min(width // 2**depth, most)) for depth in range(int(log2(resolution)))]


# ---- layers ---------------------------------------------------------------------------------------------------


class EqualizedLinear(nn.Module):
    """Fully connected layer with an equalized learning rate: [N, I] -> [N, O].

    Args:
        gain: sqrt(2) keeps the scale of activations through a leaky ReLU; 1 if none follows.
        lr_mul: factor on the learning rate; the initial function is the same for every value.
    """

    def __init__(
        self, inputs: int, outputs: int, gain: float = sqrt(2), lr_mul: float = 1.0, *, bias: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        nn.init.normal_(self.weight, std=1 / lr_mul)
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = gain / sqrt(inputs) * lr_mul
        self.lr_mul = lr_mul

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias if self.bias is None or self.lr_mul == 1 else self.bias * self.lr_mul
        return F.linear(x, self.weight * self.scale, bias)


class EqualizedConv2d(nn.Module):
    """Convolution with an equalized learning rate that keeps height and width: [N, I, H, W] -> [N, O, H, W]."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, gain: float = sqrt(2), *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = gain / sqrt(prod(self.weight.shape[1:]))
        self.padding = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class UpConv2d(EqualizedConv2d):
    """Nearest-neighbour upsampling and a 3x3 convolution in one: [N, I, H, W] -> [N, O, 2H, 2W].

    Each output pixel sees only 2 x 2 different inputs, so one transposed convolution with a 4x4 kernel does both with
    less than half of the multiplications.
    """

    def forward(self, x: Tensor) -> Tensor:
        # A transposed convolution lays the kernel down mirrored.
        weight = _spread(self.weight, self.scale, mirrored=True).transpose(0, 1)
        return F.conv_transpose2d(x, weight, self.bias, stride=2, padding=1)


class DownConv2d(EqualizedConv2d):
    """A 3x3 convolution and averaging over 2 x 2 pixels in one: [N, I, H, W] -> [N, O, H/2, W/2]."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, _spread(self.weight, self.scale / 4), self.bias, stride=2, padding=1)


def _spread(weight: Tensor, scale: float, *, mirrored: bool = False) -> Tensor:
    """Adds 3x3 kernels up at the four places of a 2 x 2 window, times ``scale``: [O, I, 3, 3] -> [O, I, 4, 4].

    One matrix product for all kernels, many times as fast as adding up shifted copies of them.
    """
    # Made where it is used: a copy from the CPU would wait for the device.
    step = torch.arange(4, device=weight.device) - torch.arange(3, device=weight.device)[:, None]
    add = ((step == 0) | (step == 1)).to(weight.dtype)  # [3, 4], along one side: a kernel of 3 at two places
    add = add.flip(0) if mirrored else add
    return (weight.flatten(2) @ (scale * torch.kron(add, add))).unflatten(2, (4, 4))


def upsample(x: Tensor) -> Tensor:
    """Every pixel becomes 2 x 2: [N, C, H, W] -> [N, C, 2H, 2W]."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def downsample(x: Tensor) -> Tensor:
    """Averages over 2 x 2 pixels: [N, C, H, W] -> [N, C, H/2, W/2]."""
    return F.avg_pool2d(x, 2)


def pixel_norm(x: Tensor, eps: float = 1e-8) -> Tensor:
    """Divides the vector [C] at every pixel, or of every sample, by its root mean square (section 4.2)."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + eps)


def minibatch_stddev(x: Tensor, group: int = 4, eps: float = 1e-8) -> Tensor:
    """Appends a channel with the variation within the batch (section 3): [N, C, H, W] -> [N, C + 1, H, W].

    Samples i, i + N/group, i + 2N/group, ... form a group. The channel holds the standard deviation over a
    group, averaged over all channels and pixels. A batch smaller than ``group`` is one group; one that ``group``
    does not divide is cut into the largest groups that do.
    """
    n, _, height, width = x.shape
    group = max(size for size in range(1, min(group, n) + 1) if n % size == 0)
    precise = x.to(torch.promote_types(x.dtype, torch.float32))
    grouped = precise.unflatten(0, (group, -1))  # [G, M, C, H, W]
    deviation = (grouped.var(dim=0, correction=0) + eps).sqrt().mean(dim=(1, 2, 3))  # [M]
    channel = deviation.to(x.dtype).repeat(group).reshape(n, 1, 1, 1)
    return torch.cat([x, channel.expand(n, 1, height, width)], dim=1)


# ---- networks -------------------------------------------------------------------------------------------------


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


class DownBlock(nn.Module):
    """Features [N, I, H, W] -> [N, O, H/2, W/2]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = EqualizedConv2d(inputs, inputs)
        self.down = DownConv2d(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.down(F.leaky_relu(self.conv(x), 0.2)), 0.2)


class LastBlock(nn.Module):
    """Features [N, F, 4, 4] -> outputs [N, O], with the variation within the batch as one feature more."""

    def __init__(self, features: int, hidden: int, outputs: int, group: int) -> None:
        super().__init__()
        self.group = group
        self.conv = EqualizedConv2d(features + 1, features)
        self.dense = EqualizedLinear(features * 16, hidden)
        self.output = EqualizedLinear(hidden, outputs, gain=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.conv(minibatch_stddev(x, self.group)), 0.2)
        return self.output(F.leaky_relu(self.dense(x.flatten(1)), 0.2))


class Discriminator(nn.Module):
    """Images [N, C, R, R], R the resolution of the stage -> outputs [N, O] (table 2).

    Args:
        widths: what ``widths_by_depth`` returns.
        group: see ``minibatch_stddev``.
        down: the block that halves features.
    """

    def __init__(
        self, outputs: int, widths: list[int], channels: int, group: int, down: type[DownBlock] = DownBlock
    ) -> None:
        super().__init__()
        hidden, *widths = widths
        last: nn.Module = LastBlock(widths[0], hidden, outputs, group)
        self.blocks = nn.ModuleList([last, *(down(narrow, wide) for wide, narrow in pairwise(widths))])
        self.from_rgb = nn.ModuleList(EqualizedConv2d(channels, width, kernel=1) for width in widths)

    def forward(self, image: Tensor, stage: Stage) -> Tensor:
        newest = stage.depth - 1
        x = self.blocks[newest](F.leaky_relu(self.from_rgb[newest](image), 0.2))
        if stage.fade < 1:
            x = torch.lerp(F.leaky_relu(self.from_rgb[newest - 1](downsample(image)), 0.2), x, stage.fade)
        for depth in reversed(range(newest)):
            x = self.blocks[depth](x)
        return x


# ---- the game -------------------------------------------------------------------------------------------------


def fade_reals(images: Tensor, stage: Stage) -> Tensor:
    """Makes real images as sharp as the networks are at this stage: [N, C, H, W] -> the same shape.

    While layers are faded in, reals are blended with themselves at half the resolution, by the same weight as the
    outputs of the networks (section 2).
    """
    return torch.lerp(upsample(downsample(images)), images, stage.fade) if stage.fade < 1 else images


def to_resolution(images: Tensor, resolution: int) -> Tensor:
    """Repeats pixels until the images have the resolution: [N, C, h, w] -> [N, C, R, R]."""
    return images if images.shape[-1] == resolution else F.interpolate(images, size=resolution, mode="nearest")


class GrowingModel(LatentModel):
    """A latent model of normal latents whose networks grow, with classes or without: ProGAN and StyleGAN."""

    replays = "older fakes are smaller while the networks grow"

    config: GrowingConfig

    stage: Stage

    def __init__(self, config: GrowingConfig, aids: AidsConfig | None = None) -> None:
        super().__init__(config, aids)
        self.stage = Stage(config.resolution)

    def stage_at(self, images_shown: int) -> Stage:
        return self.config.growth.stage(self.config.resolution, images_shown)


class ProGAN(GrowingModel):
    """The game of ProGAN: WGAN-GP with a drift term, and AC-GAN's terms if there are classes."""

    title = (
        "Karras, Aila, Laine & Lehtinen 2017, Progressive Growing of GANs for Improved Quality, Stability, and "
        "Variation, arXiv 1710.10196"
    )
    players = {"D": ("discriminator",), "G": ("generator",)}
    averaged = ("generator",)
    second_order = ("discriminator",)

    class Config(GrowingConfig):
        gradient_penalty: float = Field(10.0, ge=0, description="lambda, weight of the gradient penalty")
        drift: float = Field(1e-3, ge=0, description="weight of the squared scores of reals, which keeps them near 0")
        class_weight: float = Field(1.0, ge=0, description="weight of AC-GAN's terms")

    config: Config

    def __init__(self, config: Config, aids: AidsConfig | None = None) -> None:
        super().__init__(config, aids)
        self.objective = make_objective("wgan", self.aids)
        widths = widths_by_depth(config.resolution, config.width, config.max_width)
        self.generator = Generator(config.latent_dim, config.classes, widths[1:], config.channels)
        # A score, and a logit for each class.
        self.discriminator = Discriminator(1 + config.classes, widths, config.channels, config.stddev_group)

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
        total = self.objective.d(real_scores, fake_scores)
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
            return Loss(self.objective.g(scores))
        wrong = F.cross_entropy(logits, batch.labels)
        return Loss(self.objective.g(scores) + self.config.class_weight * wrong, {"G class": wrong})

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        image = self.generator(z, self.class_weights(labels), self.stage)
        return to_resolution(image, self.config.resolution).clamp(-1, 1)
