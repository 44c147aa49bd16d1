"""GAN and cGAN of eriklindernoren/PyTorch-GAN: ``gan.py`` and ``cgan.py``, scripts that train as soon as they are run.

``gan.py`` runs as it is. In ``cgan.py``, G moves before D and both judge the same fakes; gancli plays all conditional
GANs in one order. So the two halves of the loop change places, and each draws fakes of its own. Its D has half of
gancli's loss, and so half of its epsilon of Adam.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torchvision
from games import MANY_LATENTS
from golden import Draws, Game, Numbers
from torch import Tensor

from adapters import InOrder, Loader, driving, older_torch

REPOSITORY = "eriklindernoren/PyTorch-GAN"
FILES = ("implementations/cgan/cgan.py", "implementations/gan/gan.py")
NETWORKS = ("generator", "discriminator")


def play(checkout: Path, game: Game, steps: int) -> Numbers:
    config, numbers = game.model.config, Numbers()
    conditional = game.labels is not None
    script = checkout.absolute() / FILES[0 if conditional else 1]
    source = script.read_text(encoding="utf-8")
    labels = [] if game.labels is None else [game.labels.argmax(dim=1)]
    variables: dict[str, Any] = {"__name__": "__main__"}

    def batches() -> Iterator[tuple[Tensor, Any]]:
        networks = {name: InOrder(game.model.get_submodule(name), variables[name]) for name in NETWORKS}
        generator, discriminator = (variables[name].eval() for name in NETWORKS)
        with torch.no_grad():
            numbers["G(z)"] = generator(MANY_LATENTS, *labels)
            scores = discriminator(game.images(0)["image"], *labels).flatten()
            numbers["D(x)"] = scores if conditional else scores.logit()
        generator.train()
        discriminator.train()
        if conditional:
            variables["optimizer_D"].param_groups[0]["eps"] /= 2
        for step in range(steps):
            draws.begin(step)
            yield game.images(step)["image"], *(labels or [None])
            numbers[f"step {step + 1}: D"] = variables["d_loss"].detach() * (2 if conditional else 1)
            numbers[f"step {step + 1}: G"] = variables["g_loss"].detach()
            numbers.update({f"step {step + 1}: {name} moved": network.moved() for name, network in networks.items()})

    sizes = f"--n_epochs 1 --batch_size {game.batch} --latent_dim {config.latent_dim} --img_size {config.resolution} "
    sizes += f"--channels {config.channels} --sample_interval 1000"
    with (
        driving(checkout, f"{sizes} --n_classes {config.classes}".split() if conditional else sizes.split()),
        mock.patch.object(torchvision.datasets, "MNIST"),
        mock.patch.object(torchvision.utils, "save_image"),
        mock.patch.object(torch.utils.data, "DataLoader", Loader(batches())),
        Draws().in_place_of_torch() as draws,
        older_torch(),
    ):
        exec(compile(reordered(source) if conditional else source, script, "exec"), variables)
    return numbers


def reordered(source: str) -> str:
    """Returns ``cgan.py`` with D's half of the loop first, and with fakes drawn in both halves."""
    starts = ["# -----------------\n        #  Train Gen", "# Sample noise and labels", "# Loss measures", "# ----"]
    places = [0]
    for start in starts:
        places.append(source.index(start, places[-1] + 1))
    places.append(source.index("print(", places[-1]))
    before, clear, draw, move, judge = (source[a:b] for a, b in pairwise(places))
    return before + draw + judge + clear + draw + move + source[places[-1] :]
