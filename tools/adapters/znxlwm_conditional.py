"""cGAN and conditional DCGAN of znxlwm/pytorch-MNIST-CelebA-cGAN-cDCGAN, scripts of 2017 that train when they are run.

They are run with narrower layers, and where they no longer run, with today's spelling of the same operation:
``d//2`` for ``d/2``, ``Resize`` for ``Scale``, ``.item()`` for ``.data[0]``. The 784 pixels and 100 latents remain.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
import torchvision
from games import WIDE_LATENTS
from golden import Draws, Game, Numbers
from torch import Tensor

from adapters import Finished, InOrder, Loader, driving, older_torch, stand_ins

REPOSITORY = "znxlwm/pytorch-MNIST-CelebA-cGAN-cDCGAN"
FILES = ("pytorch_CelebA_cDCGAN.py", "pytorch_MNIST_cDCGAN.py", "pytorch_MNIST_cGAN.py")
NETWORKS = {"G": "generator", "D": "discriminator"}
TODAY = {"d/2": "d//2", "transforms.Scale": "transforms.Resize", ".data[0]": ".item()"}


def play(checkout: Path, game: Game, steps: int) -> Numbers:
    config, numbers, labels = game.model.config, Numbers(), game.labels
    assert labels is not None
    flat = config.resolution == 28
    script = checkout.absolute() / {28: FILES[2], 32: FILES[1], 64: FILES[0]}[config.resolution]
    source = script.read_text(encoding="utf-8")
    sizes = {"batch_size = 128": f"batch_size = {game.batch}", "(128)": f"({config.generator_width})"}
    for old, new in {**TODAY, **sizes}.items():
        source = source.replace(old, new)
    if flat:
        source = re.sub(r"\b(256|512|1024|2048)\b", lambda width: str(int(width[0]) // 16), source)
    variables: dict[str, Any] = {"__name__": "__main__"}

    def given(image: Tensor) -> tuple[Tensor, Tensor]:
        """What D is called with: pixels and labels, or an image and planes."""
        if flat:
            return image.flatten(1), labels
        return image, labels[:, :, None, None].expand(-1, -1, *image.shape[2:])

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        networks = {ours: InOrder(game.model.get_submodule(ours), variables[name]) for name, ours in NETWORKS.items()}
        generator, discriminator = (variables[name].eval() for name in NETWORKS)
        with torch.no_grad():
            z, y = (WIDE_LATENTS, labels) if flat else (WIDE_LATENTS[:, :, None, None], labels[:, :, None, None])
            numbers["G(z)"] = generator(z, y).reshape(game.images(0)["image"].shape)
            numbers["D(x)"] = discriminator(*given(game.images(0)["image"])).flatten().logit()
        generator.train()
        discriminator.train()
        for step in range(steps):
            draws.begin(step)
            yield game.images(step)["image"], labels.argmax(dim=1)
            for player in "DG":
                numbers[f"step {step + 1}: {player}"] = variables[f"{player}_train_loss"].detach()
            numbers.update({f"step {step + 1}: {name} moved": network.moved() for name, network in networks.items()})
        raise Finished

    pyplot = SimpleNamespace(imread=lambda path: np.zeros((64, 64, 3)))
    data = SimpleNamespace(imgs=[("", 0)])
    with (
        driving(checkout) as scratch,
        stand_ins(
            matplotlib=SimpleNamespace(pyplot=pyplot), **{"matplotlib.pyplot": pyplot}, imageio=SimpleNamespace()
        ),
        mock.patch.multiple(torchvision.datasets, MNIST=mock.DEFAULT, ImageFolder=lambda *_: data),
        mock.patch.object(torch.utils.data, "DataLoader", Loader(batches())),
        Draws().in_place_of_torch() as draws,
        older_torch(config.classes),
    ):
        genders = scratch / "data" / "resized_celebA" / "gender_label.pkl"
        genders.parent.mkdir(parents=True)
        genders.write_bytes(pickle.dumps(steps * labels.argmax(dim=1).tolist()))
        try:
            exec(compile(source, script, "exec"), variables)
        except Finished:
            return numbers
    raise AssertionError("the official loop ended early")
