"""The networks of gan.py and cgan.py in eriklindernoren/PyTorch-GAN, whose checkpoints gancli imports.

The scripts train as soon as they are run, so only their beginnings are, up to the end of the networks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from checkpoints import LATENT, image, latents, record_of

from adapters import driving

REPOSITORY = "eriklindernoren/PyTorch-GAN"
FILES = ("implementations/gan/gan.py", "implementations/cgan/cgan.py")
RECORDED = LATENT


def networks(checkout: Path) -> dict[str, Any]:
    """Returns what the networks compute."""

    def classes(script: str, arguments: str) -> dict[str, Any]:
        names: dict[str, Any] = {"__name__": script}
        source = (checkout / script).read_text(encoding="utf-8").split("# Loss function")[0]
        with driving(checkout, arguments.split(), kind=torch.float32):
            exec(source, names)
        return names

    gan = classes(FILES[0], "--latent_dim 12 --img_size 6 --channels 3")
    cgan = classes(FILES[1], "--latent_dim 12 --img_size 12 --n_classes 4")
    images, labels = torch.cat([image(1, 12), -image(1, 12)]), torch.tensor([1, 3])
    return {
        "pytorch-gan-g": record_of(gan["Generator"](), latents("a latent", 12)),
        "pytorch-gan-d": record_of(gan["Discriminator"](), torch.cat([image(3, 6), -image(3, 6)])),
        "pytorch-gan-cgan-g": record_of(cgan["Generator"](), latents("a latent", 12), labels),
        "pytorch-gan-cgan-d": record_of(cgan["Discriminator"](), images, labels),
    }
