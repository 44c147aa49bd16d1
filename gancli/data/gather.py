"""From stored values to what the networks take: the one place where pixels become [-1, 1]."""

from __future__ import annotations

import torch
from torch import Tensor


def scale(pixels: Tensor) -> Tensor:
    """Returns uint8 pixels of any shape and layout as float32 in [-1, 1]: x / 127.5 - 1."""
    return pixels.to(torch.float32).div_(127.5).sub_(1)
