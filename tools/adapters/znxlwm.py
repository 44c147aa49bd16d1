"""U-GAT-IT of znxlwm/UGATIT-pytorch: its class ``UGATIT``, whose ``train`` is one long loop.

Data sets and loaders are replaced by one that hands out the game's images and, whenever it is asked for the next ones,
reads the variables of the loop. ``cv2`` and ``scipy.misc``, which write and read images, are not needed.

Its discriminators have the spectral norm of ``torch.nn.utils.spectral_norm``, which gancli's are half a power iteration
ahead of. ``order="new"`` takes that difference away.
"""

from __future__ import annotations

import importlib
import sys
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from checkpoints import GOLDEN, record
from golden import Draws, Game, Numbers
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.spectral_norm import SpectralNorm

from adapters import Finished, Translation, driving, stand_ins
from gancli.importers.znxlwm import NETWORKS

REPOSITORY = "znxlwm/UGATIT-pytorch"
FILES = ("UGATIT.py", "dataset.py", "networks.py", "utils.py")
RECORDED = GOLDEN

ADVERSARIAL = "{0}_loss_G{1} {0}_cam_loss_G{1} {0}_loss_L{1} {0}_cam_loss_L{1}"
LOSSES = {
    "D": (1, "Discriminator_loss"),
    "D_a": (1, "D_loss_A"),
    "D_b": (1, "D_loss_B"),
    "G": (1, "Generator_loss"),
    "adv_a": (1, ADVERSARIAL.format("G_ad", "A")),
    "adv_b": (1, ADVERSARIAL.format("G_ad", "B")),
    "cycle_a": (10, "G_recon_loss_A"),
    "cycle_b": (10, "G_recon_loss_B"),
    "identity_a": (10, "G_identity_loss_A"),
    "identity_b": (10, "G_identity_loss_B"),
    "cam_a": (1000, "G_cam_loss_A"),
    "cam_b": (1000, "G_cam_loss_B"),
}
"""By our name of a loss, its official weight and the official variables that add up to it."""


def play(checkout: Path, game: Game, steps: int, *, order: str = "old") -> Numbers:
    """Returns the official numbers; with ``order="new"``, spectral norms are iterated as torch does it today."""
    numbers: Numbers = {}
    weights = Translation("ugatit", game.model)

    class Loader:
        """Hands out images of one domain; that of A, which is asked first, keeps the books."""

        def __init__(self, domain: str) -> None:
            self.domain = domain
            self.step = 0

        def __iter__(self) -> Loader:
            return self

        def __next__(self) -> tuple[Tensor, None]:
            if self.domain == "A" and self.step > 0:
                after(self.step, sys._getframe(1).f_locals)
            if self.step == steps:
                raise Finished
            self.step += 1
            return game.images(self.step - 1)[self.domain], None

        next = __next__  # which iterators had when the code was written

    def after(step: int, variables: dict[str, Any]) -> None:
        for ours, (weight, theirs) in LOSSES.items():
            numbers[f"step {step}: {ours}"] = weight * sum(variables[name] for name in theirs.split()).detach()
        for theirs, ours in NETWORKS.items():
            numbers[f"step {step}: {ours} moved"] = weights.moved(ours, getattr(model, theirs).state_dict())

    compute = _in_todays_order if order == "new" else SpectralNorm.compute_weight
    with (
        driving(checkout),
        Draws().in_place_of_torch(),
        mock.patch.object(SpectralNorm, "compute_weight", compute),
    ):
        with stand_ins(cv2=SimpleNamespace(), scipy=SimpleNamespace(misc=None)):
            module = importlib.import_module("UGATIT")
        module.ImageFolder = lambda folder, transform: Path(folder).name
        module.DataLoader = lambda folder, **_: Loader(folder[-1])
        model = module.UGATIT(_options(game.model.config, steps))
        model.build_model()
        for theirs, ours in NETWORKS.items():
            getattr(model, theirs).load_state_dict(weights.theirs(ours))
        with torch.no_grad():
            numbers["translation"], _, numbers["attention"] = model.genA2B(game.images(0)["A"])
        try:
            model.train()
        except Finished:
            return numbers
    raise AssertionError("the official loop ended early")


def _in_todays_order(norm: SpectralNorm, module: torch.nn.Module, do_power_iteration: bool) -> Tensor:
    """Divides a weight by its norm after a step of u, then of v; the hook of the time has v first."""
    weight = getattr(module, f"{norm.name}_orig")
    u, v = (getattr(module, f"{norm.name}_{side}") for side in "uv")
    matrix = norm.reshape_weight_to_matrix(weight)
    if do_power_iteration:
        with torch.no_grad():
            u.copy_(F.normalize(matrix @ v, dim=0, eps=norm.eps))
            v.copy_(F.normalize(matrix.T @ u, dim=0, eps=norm.eps))
    return weight / (u.clone() @ matrix @ v.clone())


def _options(config: Any, steps: int) -> Namespace:
    """Returns what main.py would parse, for a configuration of ours."""
    return Namespace(
        light=config.light,
        dataset="golden",
        result_dir=".",
        iteration=steps + 1,
        decay_flag=False,
        batch_size=1,
        print_freq=steps + 2,
        save_freq=steps + 2,
        lr=1e-4,
        weight_decay=1e-4,
        ch=config.generator_width,
        adv_weight=1,
        cycle_weight=10,
        identity_weight=10,
        cam_weight=1000,
        n_res=config.residual_blocks,
        n_dis=6,
        img_size=config.resolution,
        img_ch=3,
        device="cpu",
        benchmark_flag=False,
        resume=False,
    )


def networks(checkout: Path) -> dict[str, Any]:
    """Returns what the networks compute."""
    with driving(checkout, kind=torch.float32):
        module = importlib.import_module("networks")
    return {
        "ugatit-full": record(module.ResnetGenerator(3, 3, 2, 2, 96, False), 3, 96),
        "ugatit-light": record(module.ResnetGenerator(3, 3, 3, 1, 96, True), 3, 96),
        "ugatit-global": record(module.Discriminator(3, 2, 7), 3, 128),
        "ugatit-local": record(module.Discriminator(3, 2, 5), 3, 96),
    }
