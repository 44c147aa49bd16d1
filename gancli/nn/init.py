"""Initial weights that no paper here invented, and networks without any."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


def normal_init(network: nn.Module, std: float = 0.02) -> None:
    """Draws convolution weights from N(0, std) and batch-norm weights from N(1, std); biases become 0.

    DCGAN (Radford et al. 2015, section 4) fixed std = 0.02, and pix2pix, CycleGAN and many others kept it.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, std)
            nn.init.zeros_(module.bias)


class _NothingDrawn(TorchFunctionMode):
    """Skips whatever fills a tensor."""

    FILLING = (Tensor.normal_, Tensor.uniform_, Tensor.fill_, Tensor.zero_)
    DRAWING = (torch.rand, torch.randn)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init" or func in self.FILLING:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        if func in self.DRAWING:
            return torch.empty(*args, **kwargs)
        return func(*args, **kwargs)


@contextmanager
def without_weights() -> Iterator[None]:
    """Builds networks on the meta device: shapes without memory, for weights that come from a file.

    Initialisers are skipped. They have nothing to fill on the meta device, but take seconds: many of torch's functions
    are Python there, which imports torch's compiler first.
    """
    with torch.device("meta"), _NothingDrawn():
        yield
