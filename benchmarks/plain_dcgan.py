"""The DCGAN of a course in plain PyTorch: the networks and loop that gancli is compared with.

The caller chooses widths, batch and hyperparameters. This file uses nothing from gancli.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log2

import torch
from torch import Tensor, nn


def networks(latent_dim: int, width: int, channels: int, resolution: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Returns G, which takes [N, Z, 1, 1], and D, which ends with a sigmoid; both initialised as published."""
    blocks = int(log2(resolution)) - 2
    up = [nn.ConvTranspose2d(latent_dim, width * 2 ** (blocks - 1), 4, 1, 0, bias=False)]
    up += [nn.BatchNorm2d(width * 2 ** (blocks - 1)), nn.ReLU(True)]
    down = [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    for level in range(blocks - 1, 0, -1):
        up += [nn.ConvTranspose2d(width * 2**level, width * 2 ** (level - 1), 4, 2, 1, bias=False)]
        up += [nn.BatchNorm2d(width * 2 ** (level - 1)), nn.ReLU(True)]
    for level in range(1, blocks):
        down += [nn.Conv2d(width * 2 ** (level - 1), width * 2**level, 4, 2, 1, bias=False)]
        down += [nn.BatchNorm2d(width * 2**level), nn.LeakyReLU(0.2, True)]
    up += [nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False), nn.Tanh()]
    down += [nn.Conv2d(width * 2 ** (blocks - 1), 1, 4, 1, 0, bias=False), nn.Sigmoid()]
    generator, discriminator = nn.Sequential(*up), nn.Sequential(*down)
    for network in (generator, discriminator):
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(module.weight, 0.0, 0.02)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, 0.02)
                nn.init.zeros_(module.bias)
    return generator, discriminator


def training(
    generator: nn.Module, discriminator: nn.Module, batches: Iterator[Tensor], latent_dim: int, lr: float = 2e-4
) -> Iterator[tuple[float, float]]:
    """Plays a step at every ``next`` and yields both losses as numbers, as the listings print them."""
    criterion = nn.BCELoss()
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=lr, betas=(0.5, 0.999))
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=lr, betas=(0.5, 0.999))
    for real in batches:
        ones, zeros = torch.ones(len(real)), torch.zeros(len(real))
        discriminator.zero_grad()
        loss_real = criterion(discriminator(real).view(-1), ones)
        loss_real.backward()
        fake = generator(torch.randn(len(real), latent_dim, 1, 1))
        loss_fake = criterion(discriminator(fake.detach()).view(-1), zeros)
        loss_fake.backward()
        optimizer_d.step()
        generator.zero_grad()
        loss_g = criterion(discriminator(fake).view(-1), ones)
        loss_g.backward()
        optimizer_g.step()
        yield (loss_real + loss_fake).item(), loss_g.item()
