"""Weights, images and random draws from formulas, and a few training steps of gancli that use them.

``tools/official.py`` gives the same inputs to the official code and writes its results to ``tests/golden``; ``pytest
tests/architectures`` compares gancli's numbers with them. Nothing is random, so the numbers are the same for everyone.

Everything is in double precision. In single precision, some gradients are only rounding errors (for instance those of a
bias before an instance norm), and Adam turns a gradient of any size into a whole step.
"""

from __future__ import annotations

import itertools
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn.utils.parametrize import is_parametrized

from gancli.architectures.base import Architecture, Batch
from gancli.schema import TrainConfig
from gancli.training.update import Update, make_players, network_names

Numbers = dict[str, Tensor]
"""Losses (0-d), outputs, and how far the weights of each network have moved (1-d), by name."""


# ---- formulas ----------------------------------------------------------------------------------------------


def wave(*shape: int, phase: float) -> Tensor:
    """Returns noise, uniform in [-1, 1), the same in both precisions."""
    count = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    noise = torch.sin(count * 12.9898 + phase * 78.233).mul(43758.5453).frac().abs()
    return (2 * noise - 1).float().double().reshape(shape)


def fill(model: torch.nn.Module, scale: float = 0.1) -> None:
    """Gives every parameter values from a formula over its name and shape, and makes the model double."""
    model.double().train()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = wave(*parameter.shape, phase=zlib.crc32(name.encode()) % 1000)
            parameter.copy_(values * scale if parameter.ndim > 1 else 1 + values * 0.1)


def settle(model: torch.nn.Module) -> None:
    """Sets all spectral norms to their converged state, so that the number of power iterations does not matter."""
    for module in model.modules():
        if is_parametrized(module, "weight"):
            norm, weight = module.parametrizations.weight[0], module.parametrizations.weight.original
            left, _, right = torch.linalg.svd(weight.detach().flatten(1), full_matrices=False)
            norm._u.copy_(left[:, 0])
            norm._v.copy_(right[0])


class Draws:
    """Replaces random numbers: the n-th draw of a shape in a step is always the same.

    Dimensions of 1 do not count, so that a latent [N, Z, 1, 1] equals one of [N, Z].
    """

    def __init__(self) -> None:
        self.step = 0
        self.counts: Counter[tuple[Any, ...]] = Counter()

    def begin(self, step: int) -> None:
        """Starts the draws of a step, counted from 0."""
        self.step = step
        self.counts.clear()

    def normal(self, shape: Sequence[int], nth: int = 1) -> Tensor:
        """Returns the n-th normal draw of a shape, of variance 1."""
        return wave(*shape, phase=300 + 20 * self.step + nth) * 3**0.5

    def uniform(self, shape: Sequence[int], nth: int = 1) -> Tensor:
        """Returns the n-th uniform draw of a shape, in (0, 1)."""
        return (wave(*shape, phase=500 + 20 * self.step + nth) + 1) / 2

    def whole(self, low: int, high: int, shape: Sequence[int], nth: int = 1) -> Tensor:
        """Returns the n-th draw of whole numbers of a shape, in [low, high)."""
        share = (wave(*shape, phase=700 + 20 * self.step + nth) + 1) / 2
        return (low + share * (high - low)).long()

    def _nth(self, kind: str, shape: Sequence[int]) -> int:
        key = (kind, *(size for size in shape if size != 1))
        self.counts[key] += 1
        return self.counts[key]

    @contextmanager
    def in_place_of_torch(self) -> Iterator[Draws]:
        """Makes torch.randn, rand, randint and dropout use these draws."""

        def sizes(shape: tuple[Any, ...]) -> tuple[int, ...]:
            return tuple(shape[0]) if shape and not isinstance(shape[0], int) else shape

        def randn(*shape: Any, **_: object) -> Tensor:
            return self.normal(sizes(shape), self._nth("normal", sizes(shape)))

        def rand(*shape: Any, **_: object) -> Tensor:
            return self.uniform(sizes(shape), self._nth("uniform", sizes(shape)))

        def randint(*arguments: Any, **_: object) -> Tensor:
            low, high, shape = arguments if len(arguments) == 3 else (0, *arguments)
            return self.whole(low, high, shape, self._nth("whole", shape))

        def dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
            if not training or not p:
                return x
            kept = self.uniform(x.shape, self._nth("dropout", x.shape)) >= p
            return x * kept / (1 - p)

        with (
            mock.patch.multiple(torch, randn=randn, rand=rand, randint=randint),
            mock.patch.object(torch.nn.functional, "dropout", dropout),
        ):
            yield self


def summary(tensor: Tensor) -> Any:
    """Returns a tensor's summary for JSON: a single number itself, otherwise some statistics and elements."""
    flat = tensor.detach().flatten()
    if tensor.ndim == 0:
        return tensor.item()
    return {
        "shape": list(tensor.shape),
        "largest": flat.abs().max().item(),
        "mean": flat.mean().item(),
        "std": flat.std().item(),
        "first": flat[:4].tolist(),
        "last": flat[-4:].tolist(),
    }


# ---- gancli's side -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Game:
    """A narrow model and everything needed to play with it. Playing changes its weights.

    Attributes:
        model: ours, in double precision.
        shapes: [C, H, W] of the images by domain.
        outputs: outputs of the networks before the first step, by name.
        labels: weights of classes [N, K], if there are classes.
        watched: buffers that are compared after every step.
        batch: images per batch.
        steps: training steps.
        tolerance: largest deviation of the weights from the official ones after a step, relative to their largest move.
        loss_tolerance: largest deviation of a loss; gancli logs losses in single precision.
        official: further arguments for the adapter of the official code.
    """

    model: Any
    shapes: dict[str, tuple[int, int, int]]
    outputs: Callable[[Game], Numbers]
    labels: Tensor | None = None
    watched: tuple[str, ...] = ()
    batch: int = 1
    steps: int = 2
    tolerance: float = 1e-9
    loss_tolerance: float = 1e-7
    official: Mapping[str, Any] = field(default_factory=dict)

    def tolerance_of(self, name: str, official: Tensor) -> float:
        """Returns the largest allowed deviation from official numbers, relative to their largest element."""
        if not name.startswith("step"):
            return 1e-9  # an output
        return self.tolerance if official.ndim else self.loss_tolerance

    def images(self, step: int, nth: int = 0) -> dict[str, Tensor]:
        """Returns the n-th batch of real images of a step, both counted from 0, as large as the networks are now."""
        side = self.model.resolution
        return {
            domain: wave(self.batch, *shape, phase=100 + 10 * step + 2 * nth + index)[:, :, :side, :side]
            for index, (domain, shape) in enumerate(self.shapes.items())
        }


def vector(network: torch.nn.Module, values: Mapping[str, Tensor] | None = None) -> Tensor:
    """Returns the parameters of a network, or other values for them, as one vector, in the order of their names.

    A bias marked ``idle`` is left out: a batch norm takes it away again, so its gradient is only a rounding error.
    """
    named = sorted(network.named_parameters())
    return torch.cat(
        [(values[name] if values else own).detach().flatten() for name, own in named if not hasattr(own, "idle")]
    )


def play(game: Game, steps: int) -> Numbers:
    """Returns gancli's numbers; only this function uses gancli's trainer."""
    model: Architecture = game.model
    with torch.no_grad(), Draws().in_place_of_torch():
        numbers = dict(game.outputs(game))
    device = torch.device("cpu")
    config = TrainConfig(steps=steps, batch=game.batch)
    update = Update(make_players(model, config, device), config, device)
    before = {network: vector(model.get_submodule(network)) for network in network_names(model)}
    with Draws().in_place_of_torch() as draws:
        for step in range(steps):
            draws.begin(step)
            update.begin(step, step * game.batch, 0.0, model.resolution)
            model.training_step((Batch(game.images(step, nth), game.labels) for nth in itertools.count()), update)
            for loss, value in update.meter.read().items():
                numbers[f"step {step + 1}: {loss}"] = torch.tensor(value, dtype=torch.float64)
            update.meter.clear()
            for network, weights in before.items():
                numbers[f"step {step + 1}: {network} moved"] = vector(model.get_submodule(network)) - weights
            for buffer in game.watched:
                numbers[f"step {step + 1}: {buffer}"] = model.get_buffer(buffer).clone()
    return numbers
