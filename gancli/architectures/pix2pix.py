"""pix2pix: one image from another, learnt from pairs.

Isola, Zhu, Zhou & Efros 2017, "Image-to-Image Translation with Conditional Adversarial Networks" (arXiv 1611.07004),
with the sizes and the order of play of the authors' code, junyanz/pytorch-CycleGAN-and-pix2pix. x is the input image, y
the true output. Where the code differs from the paper:

- the learning rate falls linearly to 0 over the second half of the run (the paper keeps it, as its Lua code does);
- dropout begins one level after the innermost one of the decoder (the paper has it in the innermost three);
- the bottleneck of the U-Net is not normalised: with one image at a time a batch norm would make it 0 (the paper's
  errata say so too).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from math import log2
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from gancli.architectures.base import Batch, Loss, Translator, Update, Way
from gancli.domains import Domain, Inputs
from gancli.nn.init import normal_init
from gancli.nn.losses import ObjectiveName, make_objective
from gancli.nn.norm import NORMS, NormName
from gancli.nn.resnet import ResnetGenerator, Upsampling
from gancli.schema import AidsConfig, Depth, Flag, ImageModelConfig, Width

ReceptiveField = Literal[1, 16, 34, 70, 142, 286]
STRIDED = {16: 1, 34: 2, 70: 3, 142: 4, 286: 5}
"""Strided 4x4 convolutions by receptive field in pixels; two more of stride 1 follow."""
GeneratorName = Literal["resnet", "unet"]


class PatchGAN(nn.Module):
    """Image [N, C, H, W] -> logits [N, 1, h, w], each for the patch that it sees (sections 3.2.2 and 6.1.2).

    A conditional discriminator sees the condition, an image of the same size, before the image that it judges.

    70 px is C64-C128-C256-C512; 1 px, the paper's PixelGAN, has 1x1 convolutions only.

    Args:
        channels: C, with those of the condition if there is one.
        width: channels after the first convolution.
        receptive_field: side of a patch in pixels.
        norm: batch or instance; convolutions before an instance norm have biases, as in the official code.
    """

    def __init__(
        self, channels: int, *, width: int = 64, receptive_field: ReceptiveField = 70, norm: NormName = "batch"
    ) -> None:
        super().__init__()
        bias = norm == "instance"
        layers: list[nn.Module]
        if receptive_field == 1:
            layers = [
                nn.Conv2d(channels, width, 1),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Conv2d(width, 2 * width, 1, bias=bias),
                NORMS[norm](2 * width),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Conv2d(2 * width, 1, 1, bias=bias),
            ]
        else:
            strided = STRIDED[receptive_field]
            layers = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
            present = width
            for level in range(1, strided + 1):
                wider = width * min(2**level, 8)
                layers += [
                    nn.Conv2d(present, wider, 4, stride=2 if level < strided else 1, padding=1, bias=bias),
                    NORMS[norm](wider),
                    nn.LeakyReLU(0.2, inplace=True),
                ]
                present = wider
            layers.append(nn.Conv2d(present, 1, 4, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.layers(image if condition is None else torch.cat([condition, image], 1))


class UNetGenerator(nn.Module):
    """Image [N, C, H, W] -> image [N, C', H, W] in [-1, 1]; H and W are multiples of 2^depth (section 6.1.1).

    ``depth`` halvings lead to the bottleneck, which is 1 x 1 for the size that the network is named after (8: 256 px,
    7: 128 px); on the way back, every level also gets the features of the way down.

    In the paper's notation, for 256 px, the encoder is C64-C128-C256-C512-C512-C512-C512-C512 and the decoder
    C512-CD512-CD512-CD512-C256-C128-C64 and the output. Neither the first nor the last encoder layer is normalised; in
    the decoder, all layers but the output are.

    Args:
        depth: halvings, at least 5.
        width: channels after the first convolution.
        norm: batch or instance; convolutions before an instance norm have biases, as in the official code.
        dropout: drop half of the values in the depth - 5 decoder levels after the innermost one: the paper's noise.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        depth: int = 8,
        width: int = 64,
        norm: NormName = "batch",
        dropout: bool = True,
    ) -> None:
        super().__init__()
        bias = norm == "instance"
        widths = [width * min(2**level, 8) for level in range(depth)]  # 256 px: 64, 128, 256, 512, 512, 512, 512, 512
        self.down = nn.ModuleList([nn.Conv2d(in_channels, width, 4, stride=2, padding=1, bias=bias)])
        for level, (outer, inner) in enumerate(pairwise(widths), 1):
            layers: list[nn.Module] = [
                nn.LeakyReLU(0.2, inplace=True),
                nn.Conv2d(outer, inner, 4, stride=2, padding=1, bias=bias),
            ]
            if level < depth - 1:
                layers.append(NORMS[norm](inner))
            self.down.append(nn.Sequential(*layers))
        self.up = nn.ModuleList()  # from the bottleneck outwards
        for level in reversed(range(1, depth)):
            inner = widths[level] if level == depth - 1 else 2 * widths[level]
            outer = widths[level - 1]
            layers = [
                nn.ReLU(inplace=True),
                nn.ConvTranspose2d(inner, outer, 4, stride=2, padding=1, bias=bias),
                NORMS[norm](outer),
            ]
            # Not the bottleneck's own level, and none of the four outer ones.
            if dropout and 4 <= level < depth - 1:
                layers.append(nn.Dropout(0.5))
            self.up.append(nn.Sequential(*layers))
        output = nn.ConvTranspose2d(2 * width, out_channels, 4, stride=2, padding=1)
        self.up.append(nn.Sequential(nn.ReLU(inplace=True), output, nn.Tanh()))

    def forward(self, image: Tensor) -> Tensor:
        # Activations work in place, so the first of a level changes what is kept for the way back. That is harmless: a
        # ReLU follows there, and ReLU(LeakyReLU(x)) = ReLU(x).
        skips = []
        x = image
        for down in self.down:
            x = down(x)
            skips.append(x)
        skips.pop()  # the bottleneck itself
        for up in self.up[:-1]:
            x = torch.cat([skips.pop(), up(x)], 1)
        return self.up[-1](x)


@contextmanager
def noise_on(network: nn.Module) -> Iterator[None]:
    """Lets a network in evaluation mode drop out at random and normalise with the statistics of its batch.

    This is how pix2pix makes its images (sections 3.1 and 3.3): its noise is dropout, and with one image at a time its
    batch norm is an instance norm. Running statistics are neither used nor changed.
    """
    noisy = [module for module in network.modules() if isinstance(module, (nn.Dropout, nn.BatchNorm2d))]
    resting = [module for module in noisy if not module.training]

    def switch(on: bool) -> None:
        for module in resting:
            module.training = on
            if isinstance(module, nn.BatchNorm2d):
                module.track_running_stats = not on

    switch(True)
    try:
        yield
    finally:
        switch(False)


class ImageToImageConfig(ImageModelConfig):
    """The choice of networks that pix2pix and CycleGAN share, as their common official implementation offers it."""

    resolution: int = Field(256, ge=16, le=2048, description="height and width of an image in pixels")
    channels: int = Field(3, ge=1, le=64, description="of the first domain: 1 for grey, 3 for RGB, others for arrays")
    channels_b: int | None = Field(None, ge=1, le=64, description="of the second domain; null: as the first")
    generator: GeneratorName = Field("resnet", description="kind of generator")
    generator_width: Width = Field(64, description="ngf, channels after a generator's first convolution")
    blocks: Depth = Field(9, ge=0, description="resnet: residual blocks")
    upsampling: Upsampling = Field(
        "deconv", description="resnet: transposed convolutions, or interpolation followed by a convolution"
    )
    depth: int | None = Field(None, ge=5, le=11, description="unet: halvings; null: from the resolution down to 1 px")
    dropout: Flag = Field(False, description="drop half of the values in the middle of a generator")
    discriminator_width: Width = Field(64, description="ndf, channels after a discriminator's first convolution")
    receptive_field: ReceptiveField = Field(70, description="side in pixels of the patches that D judges")
    norm: NormName = Field("instance", description="normalisation in all networks")

    @model_validator(mode="after")
    def _fits_together(self) -> ImageToImageConfig:
        multiple = self.multiple
        if self.resolution % multiple:
            raise ValueError(f"resolution {self.resolution} must be a multiple of {multiple} for this generator")
        least = 3 * 2 ** STRIDED.get(self.receptive_field, 0)
        if self.resolution < least:
            raise ValueError(f"resolution {self.resolution}: receptive_field {self.receptive_field} needs {least}")
        return self

    @property
    def halvings(self) -> int:
        """How often a U-Net halves its input."""
        return self.depth if self.depth is not None else max(5, int(log2(self.resolution)))

    @property
    def multiple(self) -> int:
        """Height and width of what the generators take are multiples of this."""
        return 2**self.halvings if self.generator == "unet" else ResnetGenerator.MULTIPLE

    def channels_of(self, domain: str) -> int:
        """Returns the channels of domain ``"A"`` or ``"B"``."""
        return self.channels if domain == "A" or self.channels_b is None else self.channels_b

    def build_generator(self, source: str, target: str) -> nn.Module:
        """Builds a generator from one domain to the other."""
        channels = self.channels_of(source), self.channels_of(target)
        width, norm, dropout = self.generator_width, self.norm, self.dropout
        if self.generator == "unet":
            return UNetGenerator(*channels, depth=self.halvings, width=width, norm=norm, dropout=dropout)
        return ResnetGenerator(
            *channels, width=width, blocks=self.blocks, norm=norm, dropout=dropout, upsampling=self.upsampling
        )

    def build_discriminator(self, channels: int) -> PatchGAN:
        """Builds a discriminator of images with this many channels."""
        return PatchGAN(channels, width=self.discriminator_width, receptive_field=self.receptive_field, norm=self.norm)

    def inputs(self, *, paired: bool = False) -> Inputs:
        """Returns the two domains."""
        size = (self.resolution, self.resolution)
        return Inputs({domain: Domain((self.channels_of(domain), *size)) for domain in ("A", "B")}, paired=paired)


class Pix2Pix(Translator):
    """The game of pix2pix: a conditional GAN with an L1 loss beside it (section 3.1)."""

    title = (
        "Isola, Zhu, Zhou & Efros 2017, Image-to-Image Translation with Conditional Adversarial Networks, "
        "arXiv 1611.07004"
    )
    players = {"D": ("discriminator",), "G": ("generator",)}
    averaged = ("generator",)
    replays = True
    noisy = True

    class Config(ImageToImageConfig):
        direction: Literal["AtoB", "BtoA"] = Field("AtoB", description="from which domain to which")
        generator: GeneratorName = Field("unet", description="kind of generator")
        dropout: Flag = Field(True, description="drop half of the values in the middle of G: its noise")
        norm: NormName = Field("batch", description="normalisation in all networks")
        objective: ObjectiveName = Field("vanilla", description="adversarial loss")
        l1_weight: float = Field(100.0, ge=0, description="lambda, weight of the L1 loss")

    def __init__(self, config: Config, aids: AidsConfig | None = None) -> None:
        super().__init__(config, aids)
        self.way = Way("A", "B") if config.direction == "AtoB" else Way("B", "A")
        self.objective = make_objective(config.objective, self.aids)
        self.generator = config.build_generator(*self.way)
        self.discriminator = config.build_discriminator(config.channels_of("A") + config.channels_of("B"))
        normal_init(self)

    @classmethod
    def inputs(cls, config: Config) -> Inputs:
        return config.inputs(paired=True)

    def training_step(self, data: Iterator[Batch], update: Update) -> None:
        batch = next(data)
        update.forward("G", self.translate_inputs, batch)  # once: both players judge the same fakes
        update("D", self.d_loss, batch)
        update("G", self.g_loss, batch)

    def translate_inputs(self, batch: Batch) -> None:
        batch.stash["fake"] = self.generator(batch.images[self.way.source])

    def d_loss(self, batch: Batch) -> Loss:
        # D sees the input beside each output (section 3.1, equation 1).
        x, y = batch.images[self.way.source], batch.images[self.way.target]
        fake_logits = self.discriminator(*self.replayed(batch.stash["fake"], x))
        real_logits = self.discriminator(y, x)
        # Halved, so that D learns at half the speed of G (section 3.3).
        return Loss(0.5 * self.objective.d(real_logits, fake_logits))

    def g_loss(self, batch: Batch) -> Loss:
        x, y, fake = batch.images[self.way.source], batch.images[self.way.target], batch.stash["fake"]
        adversarial = self.objective.g(self.discriminator(fake, x))
        l1 = self.config.l1_weight * F.l1_loss(fake, y)  # equation 3
        return Loss(adversarial + l1, {"adv": adversarial, "L1": l1})  # equation 4

    @property
    def multiple(self) -> int:
        return self.config.multiple

    def ways(self) -> tuple[Way, ...]:
        return (self.way,)

    def translate(
        self, image: Tensor, way: Way, *, labels: Tensor | None = None, style: Tensor | None = None
    ) -> Tensor:
        # As in training, with dropout and with the statistics of the image itself (section 3.3).
        with noise_on(self.generator):
            return self.generator(image)

    def preview(self, watched: Batch) -> list[Mapping[str, Tensor]]:
        x, y = watched.images[self.way.source], watched.images[self.way.target]
        return [{"input": x, "translation": self._one_by_one(x), "truth": y}]

    def paired_loss(self, batch: Batch) -> dict[str, Tensor]:
        fake = self._one_by_one(batch.images[self.way.source])
        return {"test_L1": F.l1_loss(fake, batch.images[self.way.target])}

    def _one_by_one(self, x: Tensor) -> Tensor:
        return torch.cat([self.translate(image, self.way) for image in x.split(1)])
