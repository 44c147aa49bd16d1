"""PatchGAN: a discriminator that judges every patch of an image (Isola et al. 2017, section 3.2.2)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from gancli.nn.norm import NORMS, NormName

ReceptiveField = Literal[1, 16, 34, 70, 142, 286]
STRIDED = {16: 1, 34: 2, 70: 3, 142: 4, 286: 5}
"""Strided 4x4 convolutions by receptive field in pixels; two more of stride 1 follow."""


class PatchGAN(nn.Module):
    """Image [N, C, H, W] -> logits [N, 1, h, w], each for the patch that it sees (paper, section 6.1.2).

    70 px is C64-C128-C256-C512; 1 px, the paper's PixelGAN, has 1x1 convolutions only.

    Args:
        channels: C, of both images together where the discriminator is conditional.
        width: channels behind the first convolution.
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
            layers += [nn.Conv2d(present, 1, 4, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)
