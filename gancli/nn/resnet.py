"""The translating ResNet of Johnson et al. 2016, as CycleGAN has it (Zhu et al. 2017, section 7.2)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from gancli.nn.norm import NORMS, NormName

Upsampling = Literal["deconv", "nearest", "bilinear"]


class ResnetBlock(nn.Module):
    """x + F(x) with two 3x3 convolutions, [N, C, H, W] -> [N, C, H, W]; no ReLU after the sum."""

    def __init__(self, channels: int, norm: NormName, dropout: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=norm == "instance"),
            NORMS[norm](channels),
            nn.ReLU(inplace=True),
            *([nn.Dropout(0.5)] if dropout else []),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=norm == "instance"),
            NORMS[norm](channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class ResnetGenerator(nn.Module):
    """Image [N, C, H, W] -> image [N, C', H, W] in [-1, 1]; H and W are multiples of 4 and at least 12.

    In the paper's notation, with R = ``blocks``: c7s1-64, d128, d256, R x R256, u128, u64, c7s1-3.

    Args:
        width: channels after the first convolution.
        blocks: residual blocks at a quarter of the size.
        norm: batch or instance; convolutions before an instance norm have biases, as in the official code.
        dropout: drop half of the values inside the residual blocks.
        upsampling: transposed convolutions, or an interpolation followed by a 3x3 convolution.
    """

    MULTIPLE = 4

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        width: int = 64,
        blocks: int = 9,
        norm: NormName = "instance",
        dropout: bool = False,
        upsampling: Upsampling = "deconv",
    ) -> None:
        super().__init__()
        bias = norm == "instance"
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(in_channels, width, 7, bias=bias),
            NORMS[norm](width),
            nn.ReLU(inplace=True),
        ]
        for channels in (width, 2 * width):  # [N, 64, H, W] -> [N, 256, H/4, W/4]
            layers += [
                nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=bias),
                NORMS[norm](2 * channels),
                nn.ReLU(inplace=True),
            ]
        layers += [ResnetBlock(4 * width, norm, dropout) for _ in range(blocks)]
        for wide, narrow in ((4 * width, 2 * width), (2 * width, width)):
            if upsampling == "deconv":
                layers.append(nn.ConvTranspose2d(wide, narrow, 3, stride=2, padding=1, output_padding=1, bias=bias))
            else:
                align_corners = True if upsampling == "bilinear" else None
                layers += [
                    nn.Upsample(scale_factor=2, mode=upsampling, align_corners=align_corners),
                    nn.ReflectionPad2d(1),
                    nn.Conv2d(wide, narrow, 3),
                ]
            layers += [NORMS[norm](narrow), nn.ReLU(inplace=True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)
