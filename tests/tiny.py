"""Small networks as files, in place of those whose weights cannot be had in a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from gancli.metrics.trust import trust

WIDTH, CLASSES = 6, 4


class Tiny(nn.Module):
    """uint8 [N, 3, H, W] of any size -> features [N, 6] and logits [N, 4]."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Parameter(torch.randn(WIDTH, 3, 3, 3, generator=generator) / 200)
        self.last = nn.Parameter(torch.randn(WIDTH, CLASSES, generator=generator))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.nn.functional.conv2d(images.float(), self.first, stride=2)
        features = torch.tanh(x).mean(dim=(2, 3))
        return features, features @ self.last


def script(path: Path, module: nn.Module | None = None) -> Path:
    """Writes a network as TorchScript, which may run."""
    torch.jit.save(torch.jit.script(module or Tiny()), path)
    trust([path])
    return path


def folder(path: Path, count: int, seed: int, side: int = 24, level: float = 1.0) -> Path:
    """Writes images of smooth random colours."""
    path.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    for index in range(count):
        small = generator.uniform(0, 255 * level, (4, 4, 3)).astype(np.uint8)
        Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(path / f"{index:03}.png")
    return path
