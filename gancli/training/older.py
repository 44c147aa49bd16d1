"""Older networks to play against, so that no player forgets how to (github.com/soumith/ganhacks, item 8)."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor

from gancli.architectures.base import Architecture
from gancli.schema import TrainConfig
from gancli.seeding import derive
from gancli.training.update import Update


class OlderNetworks:
    """Snapshots of all networks. In some rounds one player has those of a snapshot, and only the others learn.

    Args:
        architecture: on its device; snapshots are kept there, too.
        config: ``aids.old_networks`` says how often, and ``aids.old_networks_every`` how old.
    """

    def __init__(self, architecture: Architecture, config: TrainConfig) -> None:
        self.aids, self.seed = config.aids, config.seed
        live = architecture.state_dict()  # shares the memory of the networks
        self.live = {
            player: {name: tensor for name, tensor in live.items() if name.partition(".")[0] in optim.nets}
            for player, optim in architecture.optimizers().items()
        }
        self.snapshots: list[dict[str, Tensor]] = []

    def keep(self, step: int) -> None:
        """Takes a snapshot if one is due after ``step`` steps."""
        if self.aids.old_networks and step % self.aids.old_networks_every == 0:
            present = {name: tensor.clone() for own in self.live.values() for name, tensor in own.items()}
            self.snapshots = [*self.snapshots, present][-self.aids.old_networks_kept :]

    def round(self, step: int, update: Update) -> AbstractContextManager[None]:
        """Returns the context of the round after ``step`` steps; within it, one player may have older networks."""
        if not self.snapshots:
            return nullcontext()
        draw = random.Random(derive(self.seed, "older networks", step))  # the same in all processes
        if draw.random() >= self.aids.old_networks:
            return nullcontext()
        return self._exchanged(draw.choice(sorted(self.live)), draw.choice(self.snapshots), update)

    @contextmanager
    def _exchanged(self, player: str, snapshot: Mapping[str, Tensor], update: Update) -> Iterator[None]:
        live = self.live[player]
        present = {name: tensor.clone() for name, tensor in live.items()}
        update.older = player
        try:
            _copy(snapshot, live)
            yield
        finally:
            _copy(present, live)
            update.older = None

    def tensors(self) -> dict[str, Tensor]:
        """Returns the snapshots, oldest first, by ``number/name``."""
        return {f"{i}/{name}": tensor for i, kept in enumerate(self.snapshots) for name, tensor in kept.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what ``tensors`` returned, as far as the configuration still wants it."""
        kept: dict[str, dict[str, Tensor]] = {}
        like = {name: tensor for own in self.live.values() for name, tensor in own.items()}
        for path, tensor in tensors.items():
            number, name = path.split("/")
            kept.setdefault(number, {})[name] = torch.empty_like(like[name]).copy_(tensor)
        wanted = self.aids.old_networks_kept if self.aids.old_networks else 0
        self.snapshots = [kept[number] for number in sorted(kept, key=int)][len(kept) - min(wanted, len(kept)) :]


@torch.no_grad()
def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    for name, tensor in target.items():
        tensor.copy_(source[name])
