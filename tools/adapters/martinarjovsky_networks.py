"""The networks of martinarjovsky/WassersteinGAN, whose checkpoints gancli imports."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from checkpoints import LATENT, image, latents, record_of

from adapters import driving

REPOSITORY = "martinarjovsky/WassersteinGAN"
FILES = ("models/dcgan.py", "models/mlp.py")
RECORDED = LATENT


def networks(checkout: Path) -> dict[str, Any]:
    """Returns what the networks compute; critics return a mean over the batch, which is of one image."""
    with driving(checkout, kind=torch.float32):
        dcgan, mlp = (importlib.import_module(f"models.{name}") for name in ("dcgan", "mlp"))
    z = latents("a latent", 12)
    map_of_1 = z[:, :, None, None]
    return {
        "wgan-g": record_of(dcgan.DCGAN_G(64, 12, 3, 4, 1, 0), map_of_1),
        "wgan-g-extra": record_of(dcgan.DCGAN_G(32, 12, 1, 4, 1, 2), map_of_1),
        "wgan-g-nobn": record_of(dcgan.DCGAN_G_nobn(32, 12, 3, 4, 1, 1), map_of_1),
        "wgan-g-mlp": record_of(mlp.MLP_G(32, 12, 3, 16, 1), map_of_1),
        "wgan-d": record_of(dcgan.DCGAN_D(64, 12, 3, 4, 1, 0), image(3, 64)),
        "wgan-d-extra": record_of(dcgan.DCGAN_D(32, 12, 1, 4, 1, 2), image(1, 32)),
        "wgan-d-mlp": record_of(mlp.MLP_D(32, 12, 3, 16, 1), image(3, 32)),
    }
