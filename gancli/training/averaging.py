"""Exponential moving averages of the networks that sampling uses (torch's ``AveragedModel``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gancli.architectures.base import Architecture
from gancli.nn.norm import spectral_norms
from gancli.schema import AveragingConfig


class Averaging:
    """Keeps an average of each network that the architecture names in ``averaged``; buffers are averaged too.

    The vectors of a power iteration are an exception, because an average of unit vectors is not a unit vector. They are
    copied from the network. ``Architecture.settle`` computes the vectors of the averaged weights, and the statistics of
    their batch norms.

    Args:
        architecture: its networks are averaged.
        config: if None, no averages are kept and the networks themselves are used.
    """

    def __init__(self, architecture: Architecture, config: AveragingConfig | None) -> None:
        self.config = config if config is not None else AveragingConfig()
        self._decay = 0.0
        self.architecture = architecture
        self.models = {
            name: AveragedModel(
                architecture.get_submodule(name),
                # The decay may depend on the batch size, which growing networks change.
                multi_avg_fn=lambda old, new, count: get_ema_multi_avg_fn(self._decay)(old, new, count),
                use_buffers=True,
            ).requires_grad_(False)
            for name in (architecture.averaged if config is not None else ())
        }
        self._norms = [
            (average, own)
            for name, model in self.models.items()
            for (average, _), (own, _) in zip(
                spectral_norms(model.module), spectral_norms(architecture.get_submodule(name)), strict=True
            )
        ]

    def update(self, step: int, images: int, images_shown: int = 0) -> None:
        """Takes the weights after training step ``step`` (counted from 1) into the average.

        Args:
            step: the step.
            images: real images that it has shown.
            images_shown: those before it.
        """
        self._decay = self.config.decay_of(images, images_shown)
        for name, model in self.models.items():
            if step <= self.config.start:
                model.n_averaged.zero_()  # makes the update below a plain copy; the counter is on the CPU
            model.update_parameters(self.architecture.get_submodule(name))
        for average, own in self._norms:
            average.load_state_dict(own.state_dict())

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Replaces the networks by their averages within the context."""
        networks = {name: self.architecture.get_submodule(name) for name in self.models}
        for name, model in self.models.items():
            setattr(self.architecture, name, model.module)
        try:
            yield
        finally:
            for name, network in networks.items():
                setattr(self.architecture, name, network)

    def state(self) -> dict[str, Any]:
        """Returns how many updates each average has seen; the averages themselves are in the model file."""
        return {"averaged": {name: int(model.n_averaged) for name, model in self.models.items()}}

    def load(self, values: Mapping[str, Any]) -> None:
        for name, count in values["averaged"].items():
            if name in self.models:
                self.models[name].n_averaged.fill_(count)


@contextmanager
def settled(architecture: Architecture, averaging: Averaging) -> Iterator[dict[str, Tensor]]:
    """Within the context, the networks that sampling uses are averaged and settled, as in a model file.

    Yields the buffers that settling has changed, by name in ``state_dict()``, with the values from before. They get
    these values back afterwards.
    """
    with averaging.applied():
        state = {
            f"{name}.{key}": tensor
            for name, average in averaging.models.items()
            for key, tensor in average.module.named_buffers()
        }
        before = {name: tensor.clone() for name, tensor in state.items()}
        if averaging.models:
            architecture.settle()
        changed = {name: before[name] for name, tensor in state.items() if not torch.equal(tensor, before[name])}
        try:
            yield changed
        finally:
            for name, tensor in changed.items():
                state[name].copy_(tensor)
