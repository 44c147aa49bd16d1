"""What the adapters of ProGAN and StyleGAN share: the official code of both is for TensorFlow 1.

Another Python, which has TensorFlow, runs ``tensorflow1.py``. It must be 3.10 or 3.11, since their code imports ``imp``
and ``distutils``, and have ``tensorflow-cpu`` and ``requests``.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from math import log2, sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from games import LATENTS, STAGES
from golden import Draws, Game, Numbers
from torch import Tensor
from torch.nn import functional as F

from gancli.errors import GancliError

BETA2, EPSILON = 0.99, 1e-8
"""Of Adam in both papers."""


class Name(NamedTuple):
    """The official variable that means the same as one of our tensors."""

    player: str
    variable: str
    to_ours: Callable[[Tensor], Tensor] = lambda tensor: tensor
    to_theirs: Callable[[Tensor], Tensor] = lambda tensor: tensor


def dense(player: str, variable: str) -> Name:
    """A matrix, there [I, O]."""
    return Name(player, variable, Tensor.t, Tensor.t)


def convolution(player: str, variable: str) -> Name:
    """A kernel, there [h, w, I, O]."""
    return Name(player, variable, lambda w: w.permute(3, 2, 0, 1), lambda w: w.permute(2, 3, 1, 0))


def discriminator_names(depth: int) -> dict[str, Name]:
    """Returns the variable for each parameter of D, which is the same network in both papers."""
    names: dict[str, Name] = {}
    for block in range(depth):
        at = f"{4 * 2**block}x{4 * 2**block}"
        layers = {f"from_rgb.{block}": f"FromRGB_lod{depth - 1 - block}"}
        layers[f"blocks.{block}.conv"] = f"{at}/Conv0" if block else f"{at}/Conv"
        if block:
            layers[f"blocks.{block}.down"] = f"{at}/Conv1_down"
        names |= {f"{ours}.weight": convolution("D", f"{theirs}/weight") for ours, theirs in layers.items()}
        names |= {f"{ours}.bias": Name("D", f"{theirs}/bias") for ours, theirs in layers.items()}
    for ours, theirs in {"blocks.0.dense": "4x4/Dense0", "blocks.0.output": "4x4/Dense1"}.items():
        names |= {f"{ours}.weight": dense("D", f"{theirs}/weight"), f"{ours}.bias": Name("D", f"{theirs}/bias")}
    return {f"discriminator.{key}": name for key, name in names.items()}


def version(python: str) -> str:
    """Returns the version of TensorFlow that a Python has.

    Raises:
        GancliError: it has none, or lacks something else that the official code imports.
    """
    command = [python, "-c", "import imp, distutils, requests, tensorflow; print(tensorflow.__version__)"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise GancliError(f"--tensorflow {python}: {error.strerror}") from error
    if done.returncode:
        raise GancliError(
            f"the official code is for TensorFlow, which {python} cannot run it with: {done.stderr.splitlines()[-1]}",
            "python3.11 -m venv tf && tf/bin/pip install tensorflow-cpu requests, and add --tensorflow tf/bin/python",
        )
    return done.stdout.strip()


def play(
    checkout: Path,
    game: Game,
    steps: int,
    *,
    python: str,
    epsilon: str,
    names: Mapping[str, Name],
    spec: Mapping[str, Any],
    draws_of: Callable[[Draws, str], Mapping[str, Tensor]],
    scores: Mapping[str, str],
) -> Numbers:
    """Returns the official numbers.

    Args:
        checkout: the official repository.
        game: what is played.
        steps: how often.
        python: a Python that has TensorFlow.
        epsilon: ``torch`` for an epsilon of Adam's that weighs as much as where torch adds it, after the correction of
            the bias; ``tensorflow`` for the official one, which is added before.
        names: the official variable for each of our tensors.
        spec: what ``tensorflow1.play`` wants to know of the networks and losses.
        draws_of: what a player draws in a step, by ``kind/number``.
        scores: for our names of what is logged beside the losses, the official ones, which are added up.
    """
    model, stage, side = game.model, game.model.stage, game.model.config.resolution
    before = {ours: tensor.clone() for ours, tensor in model.state_dict().items()}
    labels = game.labels if game.labels is not None else torch.zeros(game.batch, 0, dtype=torch.float64)
    inputs = {"labels": labels, "latents": LATENTS[:, : model.config.latent_dim]}
    inputs |= {f"{name.player}/{name.variable}": name.to_theirs(before[ours]) for ours, name in names.items()}
    lods = {}
    for title, images_shown in STAGES.items():
        model.stage = model.stage_at(images_shown)
        lods[title] = level_of_detail(model)
        inputs[f"images/{title}"] = F.interpolate(game.images(0)["image"], size=side)
    model.stage = stage
    draws = Draws()
    for step in range(steps):
        draws.begin(step)
        inputs[f"reals/{step}"] = game.images(step)["image"]
        inputs |= {
            f"draws/{step}/{player}/{name}": drawn for player in "DG" for name, drawn in draws_of(draws, player).items()
        }
    correction = [sqrt(1 - BETA2 ** (step + 1)) if epsilon == "torch" else 1.0 for step in range(steps)]
    sides = {
        player: {**spec[player], "variables": [name.variable for name in names.values() if name.player == player]}
        for player in "GD"
    }
    told = {
        **spec,
        **sides,
        "stages": lods,
        "lod": level_of_detail(model),
        "steps": steps,
        "epsilons": [EPSILON * factor for factor in correction],
    }
    found = run(python, checkout, inputs, told)

    numbers: Numbers = {}
    for title in STAGES:
        repeats = found[f"G/{title}"].shape[-1] // model.stage_at(STAGES[title]).resolution
        numbers[f"G, {title}"] = found[f"G/{title}"][:, :, ::repeats, ::repeats]
        numbers[f"D, {title}"] = found[f"D/{title}"]
    for step in range(steps):
        for ours, theirs in {"D": "loss/D", "G": "loss/G", **scores}.items():
            numbers[f"step {step + 1}: {ours}"] = sum(found[f"{step}/{name}"] for name in theirs.split())
        now = {ours: name.to_ours(found[f"{step}/{name.player}/{name.variable}"]) for ours, name in names.items()}
        for network, module in model.named_children():
            moved = [
                now[f"{network}.{key}"] - before[f"{network}.{key}"] for key, _ in sorted(module.named_parameters())
            ]
            numbers[f"step {step + 1}: {network} moved"] = torch.cat([tensor.flatten() for tensor in moved])
        numbers |= {f"step {step + 1}: {buffer}": now[buffer] for buffer in game.watched}
    return numbers


def level_of_detail(model: Any) -> float:
    """Returns how often images must still double; a doubling that is faded in counts as far as it is missing."""
    return log2(model.config.resolution / model.stage.resolution) + 1 - model.stage.fade


def run(
    python: str,
    checkout: Path,
    inputs: Mapping[str, Tensor],
    spec: Mapping[str, Any],
    program: str = "tensorflow1.py",
) -> dict[str, Tensor]:
    """Runs a program of this folder and returns what it computes."""
    with tempfile.TemporaryDirectory() as scratch:
        given, made = Path(scratch) / "inputs.npz", Path(scratch) / "outputs.npz"
        np.savez(given, spec=json.dumps(spec), **{name: tensor.numpy() for name, tensor in inputs.items()})
        command = [python, str(Path(__file__).with_name(program)), str(checkout), str(given), str(made)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise GancliError(f"{' '.join(command)} failed:\n{done.stderr}")
        with np.load(made) as file:
            return {name: torch.from_numpy(array) for name, array in file.items()}
