"""The choice of networks that pix2pix and CycleGAN share, as their common official implementation offers it."""

from __future__ import annotations

from math import log2
from typing import Literal

from pydantic import Field, model_validator
from torch import nn

from gancli.nn.norm import NormName
from gancli.nn.patchgan import STRIDED, PatchGAN, ReceptiveField
from gancli.nn.resnet import ResnetGenerator, Upsampling
from gancli.nn.unet import UNetGenerator
from gancli.schema import Flag, ModelConfig

GeneratorName = Literal["resnet", "unet"]


class ImageToImageConfig(ModelConfig):
    """Generators and discriminators of pix2pix and CycleGAN."""

    resolution: int = Field(256, ge=16, le=2048, description="height and width of an image in pixels")
    channels: int = Field(3, ge=1, le=64, description="of the first domain: 1 for grey, 3 for RGB, others for arrays")
    channels_b: int | None = Field(None, ge=1, le=64, description="of the second domain; as the first where not given")
    generator: GeneratorName = Field("resnet", description="kind of generator")
    generator_width: int = Field(64, ge=1, description="ngf, channels behind a generator's first convolution")
    blocks: int = Field(9, ge=0, description="resnet: residual blocks")
    upsampling: Upsampling = Field(
        "deconv", description="resnet: transposed convolutions, or interpolation followed by a convolution"
    )
    depth: int | None = Field(
        None, ge=5, le=11, description="unet: halvings; where not given, as many as lead from the resolution to 1 px"
    )
    dropout: Flag = Field(False, description="drop half of the values in the middle of a generator")
    discriminator_width: int = Field(64, ge=1, description="ndf, channels behind a discriminator's first convolution")
    receptive_field: ReceptiveField = Field(70, description="side in pixels of the patches that D judges")
    norm: NormName = Field("instance", description="normalisation in all networks")

    @model_validator(mode="after")
    def _fits_together(self) -> ImageToImageConfig:
        multiple = self.multiple
        if self.resolution % multiple:
            raise ValueError(f"resolution {self.resolution} is no multiple of {multiple}, which the generator needs")
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
        if self.generator == "unet":
            return UNetGenerator(
                self.channels_of(source),
                self.channels_of(target),
                depth=self.halvings,
                width=self.generator_width,
                norm=self.norm,
                dropout=self.dropout,
            )
        return ResnetGenerator(
            self.channels_of(source),
            self.channels_of(target),
            width=self.generator_width,
            blocks=self.blocks,
            norm=self.norm,
            dropout=self.dropout,
            upsampling=self.upsampling,
        )

    def build_discriminator(self, channels: int) -> PatchGAN:
        """Builds a discriminator of images with this many channels."""
        return PatchGAN(channels, width=self.discriminator_width, receptive_field=self.receptive_field, norm=self.norm)

    def shapes(self) -> dict[str, tuple[int, int, int]]:
        """Returns (C, H, W) of the images of each domain."""
        return {domain: (self.channels_of(domain), self.resolution, self.resolution) for domain in ("A", "B")}
