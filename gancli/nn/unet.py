"""The U-Net generator of pix2pix (Isola et al. 2017, section 6.1.1), which CycleGAN's code offers as well."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from gancli.nn.norm import NORMS, NormName


class UNetGenerator(nn.Module):
    """Image [N, C, H, W] -> image [N, C', H, W] in [-1, 1]; H and W are multiples of 2^depth.

    ``depth`` halvings lead to the bottleneck, which is 1 x 1 for the size that the network is named after (8: 256 px,
    7: 128 px); on the way back every level gets what the way down had there.

    In the paper's notation, for 256 px, the encoder is C64-C128-C256-C512-C512-C512-C512-C512 and the decoder
    C512-CD512-CD512-CD512-C256-C128-C64 and the output. Neither the first nor the last encoder layer is normalised, and
    of the decoder's only the output is not.

    Args:
        in_channels, out_channels: C and C'.
        depth: halvings, at least 5.
        width: channels behind the first convolution.
        norm: batch or instance; convolutions before an instance norm have biases, as in the official code.
        dropout: drop half of the values in the depth - 5 decoder levels behind the innermost one: the paper's noise.
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
        self.up.append(
            nn.Sequential(
                nn.ReLU(inplace=True), nn.ConvTranspose2d(2 * width, out_channels, 4, stride=2, padding=1), nn.Tanh()
            )
        )

    def forward(self, image: Tensor) -> Tensor:
        # Activations work in place, the first of a level on what is kept for the way back. There a ReLU follows anyway,
        # and ReLU(LeakyReLU(x)) = ReLU(x).
        skips = []
        x = image
        for down in self.down:
            x = down(x)
            skips.append(x)
        skips.pop()  # the bottleneck itself
        for up in self.up[:-1]:
            x = torch.cat([skips.pop(), up(x)], 1)
        return self.up[-1](x)
