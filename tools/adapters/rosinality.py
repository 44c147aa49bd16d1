"""StyleGAN of rosinality/style-based-gan-pytorch: the generator, whose checkpoints gancli imports.

Its discriminator is another network than the authors', and its steps are not played; ``nvlabs.py`` plays the authors'.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from checkpoints import STYLEGAN, excerpt, latents, stylegan_noise, stylegan_state, values

from adapters import driving

REPOSITORY = "rosinality/style-based-gan-pytorch"
FILES = ("model.py",)
RECORDED = STYLEGAN


def networks(checkout: Path) -> dict[str, Any]:
    """Returns what a generator makes at each resolution, truncated, mixed, and with noise.

    It is a sixteenth as wide as the official one, whose channels are written as numbers.
    """

    def narrower(number: re.Match[str]) -> str:
        return str(int(number[0]) // 16)

    source = (checkout / FILES[0]).read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "model"}
    with driving(checkout, kind=torch.float32):
        exec(re.sub(r"\b(16|32|64|128|256|512)\b", narrower, source), names)
        generator = names["StyledGenerator"](32).eval()
    shapes = {key: list(tensor.shape) for key, tensor in generator.state_dict().items()}
    generator.load_state_dict(stylegan_state(shapes))
    z, other, mean = latents("a latent", 32), latents("another latent", 32), values("a mean", (1, 32))
    images: dict[str, Any] = {}
    with torch.no_grad():
        for step in range(1, 9):
            noise = stylegan_noise(4 * 2**step)
            silent = [torch.zeros_like(tensor) for tensor in noise]
            made = {
                "plain": generator(z, silent, step=step, alpha=1),
                "truncated": generator(z, silent, step=step, alpha=1, mean_style=mean, style_weight=0.7),
                "mixed": generator([z, other], silent, step=step, alpha=1, mixing_range=(0, 1)),
                "noisy": generator(z, noise, step=step, alpha=1),
            }
            images[str(4 * 2**step)] = {name: excerpt(image) for name, image in made.items()}
    return {"shapes": shapes, "images": images}
