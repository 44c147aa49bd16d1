"""How a player moves: precision, accumulation, distribution, schedules and taking turns, in one place."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gancli.architectures.base import Architecture, Batch, Loss, LossFunction
from gancli.schema import OptimizerConfig, ScheduleConfig, TrainConfig, TurnConfig, at_images, at_resolution
from gancli.training import distributed
from gancli.training.meter import Meter

ALWAYS = TurnConfig()
"""The turn of a player that moves in every round."""
WATCH = "watch "
"""Begins the names of values in the meter that are no losses, but watched for what goes wrong."""
AUTOCAST = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Player:
    """One side of the game: the networks that it moves, and its optimizer.

    Attributes:
        parameters: by their name in the architecture's ``state_dict()``.
        optimizer: over exactly these parameters, in this order.
        scaler: keeps fp16 gradients in range; one per player, so that an overflow of one does not affect the other.
        rule: settings of the optimizer; they may depend on the resolution and on the images shown.
        ramps: those of them that depend on the images shown.
        turn: when the player rests.
        loss: the last measured total, kept on its device for ``turn``.
    """

    networks: list[nn.Module]
    parameters: dict[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    rule: OptimizerConfig
    ramps: dict[str, Any]
    turn: TurnConfig
    loss: Tensor | None = None


def network_names(architecture: Architecture) -> list[str]:
    """Returns the submodules that some player moves, in the order of their definition; a model file holds these."""
    moved = {name for optim in architecture.optimizers().values() for name in optim.nets}
    return [name for name, _ in architecture.named_children() if name in moved]


RULES: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}


def make_players(architecture: Architecture, config: TrainConfig, device: torch.device) -> dict[str, Player]:
    """Builds each player's optimizer as the architecture declares it; all weights are frozen except during a move."""
    architecture.requires_grad_(False)
    players = {}
    for name, optim in architecture.optimizers().items():
        parameters = {
            f"{net}.{key}": parameter
            for net in optim.nets
            for key, parameter in architecture.get_submodule(net).named_parameters()
        }
        rule = optim.rule
        options = {name: at_images(value, 0) for name, value in rule if name != "kind"}
        options["lr"] = at_resolution(rule.lr, architecture.resolution)
        if rule.kind in ("adam", "sgd"):  # with a scaler, fused kernels need no host sync; RMSprop has none
            options["fused"] = device.type in ("cpu", "cuda")
        players[name] = Player(
            networks=[architecture.get_submodule(net) for net in optim.nets],
            parameters=parameters,
            optimizer=RULES[rule.kind](parameters.values(), **options),
            scaler=torch.amp.GradScaler(device.type, enabled=config.precision == "fp16"),
            rule=rule,
            ramps={name: value for name, value in rule if at_images(value, 0) != value},
            turn=config.turns.get(name, ALWAYS),
        )
    return players


def lr_factor(schedule: ScheduleConfig, *, step: int, fraction: float) -> float:
    """Returns the factor of every learning rate: a pure function, so that no schedule has to be stored.

    Args:
        schedule: kind and constants.
        step: training steps finished.
        fraction: finished part of the run, in [0, 1].
    """
    if schedule.kind == "step":
        return schedule.gamma ** (step // schedule.every)
    if schedule.kind == "milestones":
        return float(schedule.gamma ** sum(fraction >= milestone for milestone in schedule.milestones))
    if schedule.kind == "constant" or fraction <= schedule.start:
        return 1.0
    decayed = (min(fraction, 1.0) - schedule.start) / (1.0 - schedule.start)
    if schedule.kind == "cosine":
        decayed = (1.0 - math.cos(math.pi * decayed)) / 2
    return 1.0 + (schedule.final - 1.0) * decayed


class Update:
    """``update("D", self.d_loss, batch)`` moves D once; see ``gancli.architectures.base.Update``.

    Attributes:
        step: training steps finished before the current one.
        images_shown: real images drawn before the current step, over all ranks.
        older: the player that has older networks in the current step, if any: it rests, and no loss is recorded.
        watched: whether the norms of the gradients are recorded in the current step. A player with turns may rest in
            all of these steps, so its first move after a line of the log is recorded as well.
        meter: the named losses and scores since the last line of the log.
    """

    def __init__(self, players: Mapping[str, Player], config: TrainConfig, device: torch.device) -> None:
        self.players = players
        self.config = config
        self.device = device
        self.meter = Meter(device)
        self.step = 0
        self.images_shown = 0
        self.epoch = 0
        self.older: str | None = None
        self.watched = False

    def begin(self, step: int, images_shown: int, fraction: float, resolution: int, epoch: int = 0) -> None:
        """Prepares one training step at a ``resolution``, in an ``epoch``; ``fraction`` of the run is finished."""
        self.step = step
        self.images_shown = images_shown
        self.epoch = epoch
        factor = lr_factor(self.config.schedule, step=step, fraction=fraction)
        for player in self.players.values():
            for group in player.optimizer.param_groups:
                group.update({name: at_images(value, images_shown) for name, value in player.ramps.items()})
                group["lr"] = at_resolution(player.rule.lr, resolution) * factor

    def restart(self) -> None:
        """Clears the moments of every optimizer."""
        for player in self.players.values():
            player.optimizer.state.clear()

    def learning_rates(self) -> dict[str, float]:
        """Returns the current learning rate of each player."""
        return {name: player.optimizer.param_groups[0]["lr"] for name, player in self.players.items()}

    def __call__(self, player: str, loss_function: LossFunction, batch: Batch, *, record: str | None = None) -> None:
        mover = self.players[player]
        if player == self.older or self._rests(mover):
            # The loss is still measured: it decides when the player returns, and may stash what others need. All
            # networks are frozen, but gradients with respect to images still work, for penalties.
            self._losses(player, loss_function, batch, record, learn=False)
            return
        for parameter in mover.parameters.values():
            parameter.grad = None
        with _thawed(mover):
            self._losses(player, loss_function, batch, record, learn=True)
        distributed.average(p.grad for p in mover.parameters.values() if p.grad is not None)
        name = f"{WATCH}{player} gradient"
        due = self.watched or (self.config.watch and mover.turn != ALWAYS and name not in self.meter.counts)
        watched = due and record is None and self.older is None
        if watched or self.config.clip_gradients is not None:
            mover.scaler.unscale_(mover.optimizer)
        if watched:
            gradients = [p.grad for p in mover.parameters.values() if p.grad is not None]
            self.meter.add({name: nn.utils.get_total_norm(gradients)})
        if self.config.clip_gradients is not None:
            nn.utils.clip_grad_norm_(mover.parameters.values(), self.config.clip_gradients)
        mover.scaler.step(mover.optimizer)
        mover.scaler.update()

    def forward(self, player: str, function: Callable[[Batch], None], batch: Batch) -> None:
        with _thawed(self.players[player]):
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
                mean = loss.total if len(parts) == 1 else loss.total / len(parts)
                mover.scaler.scale(mean).backward()
            if self.older is None:
                self.meter.add({record or player: loss.total, **loss.parts})
            detached = loss.total.detach()
            total = detached if total is None else total + detached
        bounded = mover.turn.above is not None or mover.turn.below is not None
        if total is not None and bounded and record is None and self.older is None:
            mover.loss = total / len(parts)
            distributed.average([mover.loss])

    def _rests(self, player: Player) -> bool:
        turn = player.turn
        if ((self.epoch if turn.unit == "epochs" else self.step) - turn.offset) % turn.every:
            return True
        if player.loss is None:
            return False
        loss = float(player.loss)  # a host sync, only if there are bounds
        return (turn.above is not None and loss <= turn.above) or (turn.below is not None and loss >= turn.below)

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint keeps besides the ``moments``, as JSON values."""
        return {
            "meter": self.meter.state(),
            "scalers": {name: player.scaler.state_dict() for name, player in self.players.items()},
            "losses": {name: float(player.loss) for name, player in self.players.items() if player.loss is not None},
        }

    def load(self, values: Mapping[str, Any]) -> None:
        self.meter.load(values["meter"])
        for name, player in self.players.items():
            if values["scalers"][name] and player.scaler.is_enabled():
                player.scaler.load_state_dict(values["scalers"][name])
            if name in values["losses"]:
                player.loss = torch.tensor(values["losses"][name], device=self.device)

    def moments(self) -> dict[str, Tensor]:
        """Returns the state of the optimizers, by ``player/parameter/key``."""
        return {
            f"{name}/{parameter_name}/{key}": tensor
            for name, player in self.players.items()
            for parameter_name, parameter in player.parameters.items()
            for key, tensor in player.optimizer.state.get(parameter, {}).items()
            if tensor is not None  # SGD without momentum
        }

    def load_moments(self, moments: Mapping[str, Tensor]) -> None:
        """Gives the optimizers back what ``moments`` returned."""
        for path, value in moments.items():
            name, parameter_name, key = path.split("/")
            player = self.players[name]
            parameter = player.parameters[parameter_name]
            # The fused kernels need the same strides for moments and weights.
            like = parameter if value.shape == parameter.shape else torch.empty((), device=self.device)
            player.optimizer.state[parameter][key] = torch.empty_like(like, requires_grad=False).copy_(value)

    def _autocast(self) -> AbstractContextManager[Any]:
        precision = self.config.precision
        return nullcontext() if precision == "fp32" else torch.autocast(self.device.type, AUTOCAST[precision])


@contextmanager
def _thawed(player: Player) -> Iterator[None]:
    """Within the context, the networks of a player learn."""
    for parameter in player.parameters.values():
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in player.parameters.values():
            parameter.requires_grad_(False)
