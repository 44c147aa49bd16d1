"""The networks of znxlwm/pytorch-MNIST-CelebA-cGAN-cDCGAN, whose checkpoints gancli imports.

Its scripts train as soon as they are run, so only their beginnings are, up to the end of the networks. There, ``d/2``
is made a whole number, which it was in Python 2.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from checkpoints import LATENT, image, latents, record_of

from adapters import driving, stand_ins

REPOSITORY = "znxlwm/pytorch-MNIST-CelebA-cGAN-cDCGAN"
FILES = ("pytorch_MNIST_cGAN.py", "pytorch_MNIST_cDCGAN.py", "pytorch_CelebA_cDCGAN.py")
RECORDED = LATENT


def networks(checkout: Path) -> dict[str, Any]:
    """Returns what the networks compute; the convolutional ones with d = 8."""
    plot = SimpleNamespace()
    unneeded = {"imageio": plot, "matplotlib": SimpleNamespace(pyplot=plot), "matplotlib.pyplot": plot}

    def classes(script: str, end: str) -> dict[str, Any]:
        source = (checkout / script).read_text(encoding="utf-8").split(end)[0].replace("d/2", "d//2")
        names: dict[str, Any] = {"__name__": script}
        with driving(checkout, kind=torch.float32), stand_ins(**unneeded):
            exec(source, names)
        return names

    found = {}
    cgan = classes(FILES[0], "temp_z_ =")
    one_hot = torch.eye(10)[[3, 8]]
    found["znxlwm-cgan-g"] = record_of(cgan["generator"](), latents("a latent", 100), one_hot)
    flat = torch.cat([image(1, 28), -image(1, 28)]).flatten(1)
    found["znxlwm-cgan-d"] = record_of(cgan["discriminator"](), flat, one_hot)
    for name, script, end, count, size in (
        ("mnist", FILES[1], "# fixed noise", 10, 32),
        ("celeba", FILES[2], "# label preprocess", 2, 64),
    ):
        cdcgan = classes(script, end)
        one_hot = torch.eye(count)[[0, count - 1]][:, :, None, None]
        images = image(1 if name == "mnist" else 3, size)
        images = torch.cat([images, -images])
        found[f"znxlwm-{name}-g"] = record_of(
            cdcgan["generator"](8), latents("a latent", 100)[:, :, None, None], one_hot
        )
        found[f"znxlwm-{name}-d"] = record_of(cdcgan["discriminator"](8), images, one_hot.expand(-1, -1, size, size))
    return found
