import math

import pytest
import torch
from torch.nn import functional as F

from gancli.nn.same import SameConv2d, SameConvTranspose2d


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kernel", [2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_padding_is_that_of_tensorflow_and_the_transpose_is_dense(
    kernel: int, stride: int, layout: torch.memory_format
) -> None:
    forward = SameConv2d(2, 4, kernel, stride).double().to(memory_format=layout)
    for size in ((8, 8), (7, 12), (9, 6)):
        x = torch.randn(3, 2, *size, dtype=torch.double).to(memory_format=layout)
        padding = []
        for side in reversed(size):
            total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
            padding += [total // 2, total - total // 2]
        padded = F.conv2d(F.pad(x, padding), forward.weight, forward.bias, stride)
        torch.testing.assert_close(forward(x), padded, rtol=0, atol=1e-12)
    if kernel >= stride:
        y = SameConvTranspose2d(2, 4, kernel, stride).to(memory_format=layout)(x.float())
        assert y.shape == (3, 4, stride * size[0], stride * size[1])
        assert y.is_contiguous(memory_format=layout)
