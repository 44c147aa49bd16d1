"""What a run will be, before it begins: its networks, its length, and the memory that it needs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode

from gancli.architectures.base import Architecture, Batch
from gancli.data.sampler import Portion, share
from gancli.domains import Inputs
from gancli.schema import RunConfig
from gancli.training.length import estimated_length, portions
from gancli.training.update import Player, Update, make_players, network_names


@dataclass(frozen=True)
class Memory:
    """Expected peak in bytes. The parts are exact; they do not include what kernels allocate while they run."""

    weights: int
    gradients: int
    optimizers: int
    averages: int
    activations: int | None
    """None if a training step reads values, which a plan does not have."""

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizers + self.averages + (self.activations or 0)


@dataclass(frozen=True)
class Plan:
    """Parameters by network, the length in steps and epochs, the batch sizes, and the memory of one process."""

    parameters: Mapping[str, int]
    steps: int
    batches: Sequence[int]
    epochs: float
    memory: Memory


def make_plan(architecture: Architecture, config: RunConfig, epoch: int, world: int = 1) -> Plan:
    """Plans a run over data of ``epoch`` images."""
    drawn = portions(architecture, config.train)
    steps, images = estimated_length(config.train, epoch, drawn, architecture)
    # Growing networks need the most memory when a step shows the most pixels, which depends on the batch sizes.
    reached = [portion for portion in drawn if portion.start < images]
    largest = max(reached, key=lambda portion: portion.batch / portion.reduction**2)
    return Plan(
        parameters={
            name: sum(parameter.numel() for parameter in architecture.get_submodule(name).parameters())
            for name in network_names(architecture)
        },
        steps=steps,
        batches=[portion.batch for portion in reached],
        epochs=images / epoch,
        memory=expected_memory(architecture, config, largest, world),
    )


def expected_memory(architecture: Architecture, config: RunConfig, portion: Portion, world: int = 1) -> Memory:
    """Plays the first step of a portion with torch's fake tensors, which have no values, and watches autograd.

    Activations are the tensors that autograd keeps for the backward pass, counted once per storage, at their peak.
    """
    # A scaler and turns with bounds read values. bf16 takes as much memory as fp16 and needs no scaler.
    precision = "fp32" if config.train.precision == "fp32" else "bf16"
    train = config.train.model_copy(update={"precision": precision, "turns": {}})
    batch = share(portion.batch, world, train.accumulate)
    device = torch.device("cpu")
    with FakeTensorMode():
        fake = type(architecture)(config.model, train.aids)
        fake.stage = fake.stage_at(portion.start)
        players = make_players(fake, train, device)
        moments = sum(_moments(player) for player in players.values())
        kept = _Kept(fake.state_dict().values())
        inputs = fake.inputs(config.model)
        domains = {name: domain.reduced(portion.reduction) for name, domain in inputs.domains.items()}
        one = random_batch(replace(inputs, domains=domains), batch)
        batches = (Batch(one.images, one.labels) for _ in itertools.count())
        try:
            with torch.autograd.graph.saved_tensors_hooks(kept.pack, kept.unpack):
                fake.training_step(batches, Update(players, train, device))
            activations: int | None = kept.peak
        except (DataDependentOutputException, DynamicOutputShapeException):
            activations = None
    moved = [_bytes(player.parameters.values()) for player in players.values()]
    averages = [_bytes(fake.get_submodule(name).state_dict().values()) for name in fake.averaged]
    own = [_bytes(fake.get_submodule(name).state_dict().values()) for name in network_names(fake)]
    snapshots = train.aids.old_networks_kept if train.aids.old_networks else 0
    return Memory(
        weights=_bytes(fake.state_dict().values()) + snapshots * sum(own),
        gradients=sum(moved),  # a player's gradients live until its next turn
        optimizers=moments,
        averages=sum(averages) if train.average is not None else 0,
        activations=activations,
    )


def random_batch(inputs: Inputs, n: int) -> Batch:
    """Returns noise in the shapes that ``inputs`` declare, drawn from torch's default generator."""
    data = {}
    for name, domain in inputs.domains.items():
        match domain.kind:
            case "image":
                data[name] = torch.rand(n, *domain.shape) * 2 - 1
            case "mask":
                data[name] = torch.randint(2, (n, *domain.shape))
            case "points":
                data[name] = torch.randn(n, *domain.shape)
    match inputs.labels:
        case "class":
            return Batch(data, torch.randint(inputs.classes or 2, (n,)))
        case "attributes":
            return Batch(data, torch.randint(2, (n, inputs.classes or 2)).float())
    return Batch(data)


class _Kept:
    """Counts the bytes that autograd holds for the backward pass: each tensor from its first use until it is read."""

    def __init__(self, weights: Iterable[Tensor]) -> None:
        self.weights = {_storage(tensor) for tensor in weights}  # counted already
        self.held: dict[Any, int] = {}
        self.now = self.peak = 0

    def pack(self, tensor: Tensor) -> Tensor:
        storage = _storage(tensor)
        if storage not in self.weights and storage not in self.held:
            self.held[storage] = tensor.untyped_storage().nbytes()
            self.now += self.held[storage]
            self.peak = max(self.peak, self.now)
        return tensor

    def unpack(self, tensor: Tensor) -> Tensor:
        self.now -= self.held.pop(_storage(tensor), 0)
        return tensor


def _storage(tensor: Tensor) -> Any:
    # Fake tensors have no addresses; the storage object itself tells them apart.
    return tensor.untyped_storage()._cdata


def _moments(player: Player) -> int:
    """Returns the bytes of an optimizer's moments, which it allocates in its first step."""
    for parameter in player.parameters.values():
        parameter.grad = torch.zeros_like(parameter)
    player.optimizer.step()
    states = player.optimizer.state.values()
    return _bytes(value for state in states for value in state.values() if isinstance(value, Tensor))


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
