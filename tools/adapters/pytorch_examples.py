"""DCGAN of pytorch/examples: ``dcgan/main.py``, a script that trains as soon as it is run.

It is run with arguments, as a user would; its data loader is replaced by one that hands out the game's images and,
whenever it is asked for the next ones, reads the script's variables.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from games import LATENTS
from golden import Draws, Game, Numbers
from torch import Tensor

from adapters import Translation, driving

REPOSITORY = "pytorch/examples"
FILES = ("dcgan/main.py",)
NETWORKS = {"netG": "generator", "netD": "discriminator"}


def play(checkout: Path, game: Game, steps: int) -> Numbers:
    numbers: Numbers = {}
    script = checkout.absolute() / FILES[0]
    variables: dict[str, Any] = {"__name__": "__main__"}
    weights = Translation("dcgan", game.model)

    def outputs() -> None:
        networks = [variables[name].eval() for name in NETWORKS]
        with torch.no_grad():
            numbers["G(z), evaluation mode"] = networks[0](LATENTS[:, :, None, None])
            numbers["D(x), evaluation mode"] = networks[1](game.images(0)["image"])
        for network in networks:
            network.train()

    def after(step: int) -> None:
        losses = {"D": "errD", "G": "errG", "D(x)": "D_x", "D(G(z))": "D_G_z1"}
        for ours, theirs in losses.items():
            numbers[f"step {step}: {ours}"] = torch.as_tensor(variables[theirs]).detach()
        for theirs, ours in NETWORKS.items():
            numbers[f"step {step}: {ours} moved"] = weights.moved(ours, variables[theirs].state_dict())

    class Loader:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def __len__(self) -> int:
            return steps

        def __iter__(self) -> Iterator[tuple[Tensor]]:
            outputs()
            for step in range(steps):
                draws.begin(step)
                yield (game.images(step)["image"],)
                after(step + 1)

    config = game.model.config
    arguments = (
        f"--dataset fake --niter 1 --batchSize {game.batch} --nz {config.latent_dim} --ngf {config.generator_width} "
        f"--ndf {config.discriminator_width} --netG netG.pth --netD netD.pth --outf ."
    )
    with (
        driving(checkout, arguments.split()) as scratch,
        mock.patch.object(torch.utils.data, "DataLoader", Loader),
        Draws().in_place_of_torch() as draws,
    ):
        for theirs, ours in NETWORKS.items():
            torch.save(weights.theirs(ours), scratch / f"{theirs}.pth")
        exec(compile(script.read_text(encoding="utf-8"), script, "exec"), variables)
    return numbers
