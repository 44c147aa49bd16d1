"""What the adapters of LSGAN and WGAN-GP share: the official code of both is a TensorFlow 1 script of Python 2.

Another Python runs ``tensorflow1_scripts.py``, which plays the script's loop turn by turn; see ``growing.version`` for
what that Python must have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from golden import Game, Numbers, vector
from torch import Tensor

from adapters import growing
from adapters.growing import Name


class Turn(NamedTuple):
    """One move of a player: the step that it belongs to, and what the official graph is fed with, by placeholder."""

    player: str
    step: int
    feeds: Mapping[str, Tensor]


def transposed(player: str, variable: str) -> Name:
    """The kernel of a transposed convolution, there [h, w, O, I]."""
    return Name(player, variable, lambda w: w.permute(3, 2, 0, 1), lambda w: w.permute(2, 3, 1, 0))


def play(
    checkout: Path,
    game: Game,
    python: str,
    *,
    names: Mapping[str, Name],
    turns: Sequence[Turn],
    inputs: Mapping[str, Tensor],
    wanted: Mapping[str, Sequence[str]] | None = None,
    **spec: Any,
) -> tuple[dict[str, Tensor], Numbers]:
    """Returns what was found, by turn, and how far the weights have moved after each turn of G.

    Args:
        checkout: the official repository.
        game: what is played.
        python: a Python that has TensorFlow.
        names: the official variable for each of our tensors.
        turns: of all players in the order of the script.
        inputs: further arrays.
        wanted: names in the script that are read at a turn of each player.
        spec: what else ``tensorflow1_scripts.py`` wants to know.
    """
    before = {ours: tensor.clone() for ours, tensor in game.model.state_dict().items()}
    given = {f"weights/{name.variable}": name.to_theirs(before[ours]) for ours, name in names.items()}
    given |= {f"{index}/{name}": value for index, turn in enumerate(turns) for name, value in turn.feeds.items()}
    told = [{"player": turn.player, "wanted": (wanted or {}).get(turn.player, [])} for turn in turns]
    found = growing.run(
        python, checkout, {**given, **inputs}, {**spec, "turns": told}, program="tensorflow1_scripts.py"
    )
    numbers: Numbers = {}
    for index, turn in enumerate(turns):
        if turn.player == "D":
            continue
        now = {ours: name.to_ours(found[f"{index}/{name.variable}"]) for ours, name in names.items()}
        for network, module in game.model.named_children():
            state = {key: now[f"{network}.{key}"] for key, _ in module.named_parameters()}
            numbers[f"step {turn.step + 1}: {network} moved"] = vector(module, state) - vector(module)
        numbers |= {f"step {turn.step + 1}: {buffer}": now[buffer] for buffer in game.watched}
    return found, numbers


def mean(found: Mapping[str, Tensor], turns: Sequence[Turn], player: str, step: int, name: str) -> Tensor:
    """Returns the mean of what was found at a player's turns in a step."""
    at = [index for index, turn in enumerate(turns) if (turn.player, turn.step) == (player, step)]
    return torch.stack([found[f"{index}/{name}"] for index in at]).mean()
