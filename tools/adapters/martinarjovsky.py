"""WGAN of martinarjovsky/WassersteinGAN: ``main.py``, which is run with arguments, as a user would.

Its critic is low for reals and gancli's is high, so the last layer has the opposite sign. The first 25 steps have 100
critic steps there, unless the epoch ends earlier; here it ends where the game wants it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torchvision
from games import LATENTS
from golden import Draws, Game, Numbers
from torch import Tensor

from adapters import InOrder, Loader, driving, older_torch
from gancli.architectures.wgan import WARM_STEPS

REPOSITORY = "martinarjovsky/WassersteinGAN"
FILES = ("main.py", "models/dcgan.py", "models/mlp.py")


def play(checkout: Path, game: Game, steps: int) -> Numbers:
    config, numbers = game.model.config, Numbers()
    script = checkout.absolute() / FILES[0]
    variables: dict[str, Any] = {"__name__": "__main__"}
    networks: dict[str, InOrder] = {}
    moved: dict[str, Tensor] = {}

    def begin() -> None:
        last = list(variables["netD"].state_dict())[-1].rpartition(".")[0]
        networks["generator"] = InOrder(game.model.generator, variables["netG"])
        networks["critic"] = InOrder(game.model.critic, variables["netD"], turned=last)
        generator, critic = (variables[name].eval() for name in ("netG", "netD"))
        with torch.no_grad():
            numbers["G(z)"] = generator(LATENTS[:, :, None, None])
            numbers["D(x)"] = torch.cat([-critic(image[None]) for image in game.images(0)["image"]])
        generator.train()
        critic.train()

    def batches() -> Iterator[tuple[Tensor, None]]:
        for step in range(steps):
            draws.begin(step)
            losses = []
            for nth in range(config.warm_critic_steps if step < WARM_STEPS else config.critic_steps):
                yield game.images(step, nth)["image"], None
                losses.append(variables["errD"].item())
            numbers[f"step {step + 1}: D"] = torch.tensor(losses).mean()
            numbers[f"step {step + 1}: W"] = -numbers[f"step {step + 1}: D"]
            numbers[f"step {step + 1}: G"] = variables["errG"].detach()[0]
            numbers[f"step {step + 1}: generator moved"] = networks["generator"].moved()
            numbers[f"step {step + 1}: critic moved"] = moved["critic"]

    class Epochs(Loader):
        """One warm step is an epoch of its own; the last epoch has all others."""

        length = 0

        def __iter__(self) -> Any:
            if not self.length:
                begin()
            warm = not self.length or variables["gen_iterations"] < WARM_STEPS
            self.length = config.warm_critic_steps if warm else (steps - WARM_STEPS) * config.critic_steps
            return self

        def __next__(self) -> Any:
            return next(self.batches)

        next = __next__  # which iterators had when the code was written

        def __len__(self) -> int:
            moved["critic"] = networks["critic"].moved()  # asked before the weights are clipped for the next batch
            return self.length

    handed = batches()
    arguments = f"--dataset folder --dataroot . --niter {min(steps, WARM_STEPS + 1)} --batchSize {game.batch} "
    arguments += f"--imageSize {config.resolution} --nz {config.latent_dim} --ngf {config.generator_width} "
    arguments += f"--ndf {config.critic_width} --Diters {config.critic_steps} --n_extra_layers {config.extra_layers} "
    arguments += f"--clamp_lower {-config.clip} --clamp_upper {config.clip}"
    arguments += " --mlp_G" * (config.generator == "mlp") + " --mlp_D" * (config.critic == "mlp")
    arguments += " --noBN" * (not config.generator_norm)
    with (
        driving(checkout, arguments.split()),
        mock.patch.object(torchvision.datasets, "ImageFolder"),
        mock.patch.object(torchvision.transforms, "Scale", mock.Mock(), create=True),
        mock.patch.object(torch.utils.data, "DataLoader", Epochs(handed)),
        Draws().in_place_of_torch() as draws,
        older_torch(),
    ):
        exec(compile(script.read_text(encoding="utf-8"), script, "exec"), variables)
        next(handed, None)
    return numbers
