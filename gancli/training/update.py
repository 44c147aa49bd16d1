"""How a player moves: one small place for precision, accumulation, distribution, schedules and taking turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gancli.architectures.base import Architecture, Batch, Loss, LossFunction
from gancli.nn.stage import Stage
from gancli.schema import LearningRate, TrainConfig, TurnConfig, at_resolution
from gancli.training import distributed
from gancli.training.meter import Meter
from gancli.training.schedules import lr_factor

AUTOCAST = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Player:
    """One side of the game: the networks it moves, and what moves them.

    Attributes:
        parameters: by their name in the architecture's ``state_dict()``.
        optimizer: over exactly these parameters, in this order.
        scaler: keeps fp16 gradients in range; each player has its own, so that one's overflow spares the other.
        lr: learning rate before the schedule, or by resolution.
        loss: the last measured total, kept on its device for ``turn``.
    """

    networks: list[nn.Module]
    parameters: dict[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    lr: LearningRate
    turn: TurnConfig
    loss: Tensor | None = None


def network_names(architecture: Architecture) -> list[str]:
    """Returns the submodules that some player moves, in the order of their definition: what a model file holds."""
    moved = {name for optim in architecture.optimizers().values() for name in optim.nets}
    return [name for name, _ in architecture.named_children() if name in moved]


def make_players(architecture: Architecture, config: TrainConfig, device: torch.device) -> dict[str, Player]:
    """Builds each player's optimizer from what the architecture says of it; all weights are frozen until a move."""
    architecture.requires_grad_(False)
    players = {}
    for name, optim in architecture.optimizers().items():
        parameters = {
            f"{net}.{key}": parameter
            for net in optim.nets
            for key, parameter in architecture.get_submodule(net).named_parameters()
        }
        players[name] = Player(
            networks=[architecture.get_submodule(net) for net in optim.nets],
            parameters=parameters,
            optimizer=torch.optim.Adam(
                parameters.values(),
                lr=at_resolution(optim.adam.lr, architecture.stage.resolution),
                betas=optim.adam.betas,
                eps=optim.adam.eps,
                weight_decay=optim.adam.weight_decay,
                fused=device.type in ("cpu", "cuda"),  # one kernel, and with a scaler no host sync
            ),
            scaler=torch.amp.GradScaler(device.type, enabled=config.precision == "fp16"),
            lr=optim.adam.lr,
            turn=config.turns.get(name, TurnConfig()),
        )
    return players


class Update:
    """``update("D", self.d_loss, batch)`` moves D once; see ``gancli.architectures.base.Update``.

    Attributes:
        step: training steps finished before the present one.
        images_shown: real images drawn before the present step, over all ranks.
        meter: the named losses and scores since the last line of the log.
    """

    def __init__(self, players: Mapping[str, Player], config: TrainConfig, device: torch.device) -> None:
        self.players = players
        self.config = config
        self.device = device
        self.meter = Meter(device)
        self.step = 0
        self.images_shown = 0
        self._thawed: str | None = ""  # no player, but not none of them either: all weights are as they were made

    def begin(self, step: int, images_shown: int, fraction: float, stage: Stage) -> None:
        """Prepares one training step at a ``stage`` of growth; ``fraction`` of the run lies before it."""
        self.step = step
        self.images_shown = images_shown
        factor = lr_factor(self.config.schedule, step=step, fraction=fraction)
        for player in self.players.values():
            for group in player.optimizer.param_groups:
                group["lr"] = at_resolution(player.lr, stage.resolution) * factor

    def restart(self) -> None:
        """Lets every optimizer forget what it knows of its parameters."""
        for player in self.players.values():
            player.optimizer.state.clear()

    def learning_rates(self) -> dict[str, float]:
        """Returns the present learning rate of each player."""
        return {name: player.optimizer.param_groups[0]["lr"] for name, player in self.players.items()}

    def __call__(self, player: str, loss_function: LossFunction, batch: Batch, *, record: str | None = None) -> None:
        mover = self.players[player]
        if self._rests(mover):
            # The loss is measured all the same: it decides when the player returns, and may stash what others need.
            # All networks are frozen, but gradients by images stay possible: penalties are made of them.
            self._thaw(None)
            self._losses(player, loss_function, batch, record, learn=False)
            return
        self._thaw(player)
        mover.optimizer.zero_grad(set_to_none=True)
        self._losses(player, loss_function, batch, record, learn=True)
        distributed.average(p.grad for p in mover.parameters.values() if p.grad is not None)
        if self.config.clip_gradients is not None:
            mover.scaler.unscale_(mover.optimizer)
            nn.utils.clip_grad_norm_(mover.parameters.values(), self.config.clip_gradients)
        mover.scaler.step(mover.optimizer)
        mover.scaler.update()

    def forward(self, player: str, function: Callable[[Batch], None], batch: Batch) -> None:
        self._thaw(player)
        for part in batch.split(self.config.accumulate):
            with self._autocast():
                function(part)

    def _losses(
        self, player: str, loss_function: LossFunction, batch: Batch, record: str | None, *, learn: bool
    ) -> None:
        mover = self.players[player]
        parts = batch.split(self.config.accumulate)
        total: Tensor | None = None
        for part in parts:
            with self._autocast():
                loss: Loss = loss_function(part)
            if learn:
                mover.scaler.scale(loss.total / len(parts)).backward()
            self.meter.add({record or player: loss.total, **loss.parts})
            detached = loss.total.detach()
            total = detached if total is None else total + detached
        bounded = mover.turn.above is not None or mover.turn.below is not None
        if total is not None and bounded and record is None:
            mover.loss = total / len(parts)
            distributed.average([mover.loss])

    def _rests(self, player: Player) -> bool:
        turn = player.turn
        if self.step % turn.every:
            return True
        if player.loss is None:
            return False
        loss = float(player.loss)  # a host sync, only for those who ask for bounds
        return (turn.above is not None and loss <= turn.above) or (turn.below is not None and loss >= turn.below)

    def _thaw(self, player: str | None) -> None:
        if self._thawed != player:
            for name, other in self.players.items():
                for network in other.networks:
                    network.requires_grad_(name == player)
            self._thawed = player

    @contextmanager
    def _autocast(self) -> Iterator[None]:
        with torch.autocast(self.device.type, AUTOCAST[self.config.precision], enabled=self.config.precision != "fp32"):
            yield
