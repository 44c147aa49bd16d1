"""Convolutions padded as TensorFlow's ``SAME`` does: a stride of s divides the size by s, or multiplies it.

For even kernels or strides of 2 the padding is not symmetric, so torch's own cannot express it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SameConv2d(nn.Conv2d):
    """[N, C, H, W] -> [N, C', ceil(H / s), ceil(W / s)]; if the padding is odd, right and below get one more."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride)

    def forward(self, x: Tensor) -> Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        down, across = (max((math.ceil(size / stride) - 1) * stride + kernel - size, 0) for size in x.shape[2:])
        if down % 2 or across % 2:  # only this part takes a copy
            x = F.pad(x, (0, across % 2, 0, down % 2))
        return F.conv2d(x, self.weight, self.bias, stride, (down // 2, across // 2))


class SameConvTranspose2d(nn.ConvTranspose2d):
    """[N, C, H, W] -> [N, C', s H, s W]: the transpose of ``SameConv2d``."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        y = F.conv_transpose2d(x, self.weight, self.bias, stride, (kernel - stride) // 2)
        layout = torch.channels_last if y.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
        # Norms are several times slower if there are gaps between the rows.
        return y[:, :, : stride * x.shape[2], : stride * x.shape[3]].contiguous(memory_format=layout)
