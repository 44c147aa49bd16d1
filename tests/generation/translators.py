"""Untrained translators and a scene for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from gancli.architectures.base import Translator


def build(kind: type[Translator], **config: Any) -> Translator:
    """An untrained model whose output has some contrast."""
    torch.manual_seed(0)
    small = {"resolution": 64, "generator_width": 8, "discriminator_width": 4, **config}
    model = kind(kind.Config(**small)).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.mul_(5)
    return model


def scene(height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """An image [1, 3, H, W] that is even on the left and full of detail on the right."""
    y, x = np.mgrid[:height, :width]
    detail = np.random.default_rng(0).normal(0, 40, (height, width)) * (x > width / 2)
    waves = np.stack([128 + 90 * np.sin(y / 37 + x / 53 + c) + detail for c in range(3)])
    return waves.clip(0, 255).astype(np.uint8)[None]
