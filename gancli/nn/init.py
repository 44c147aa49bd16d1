"""Initial weights that two papers or more share."""

from __future__ import annotations

from torch import nn


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
