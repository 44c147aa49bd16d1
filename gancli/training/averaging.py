"""Exponential moving averages of the networks that sampling uses (torch's ``AveragedModel``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gancli.architectures.base import Architecture
from gancli.schema import AveragingConfig


class Averaging:
    """Keeps an average beside each network that the architecture names in ``averaged``; buffers are averaged too."""

    def __init__(self, architecture: Architecture, config: AveragingConfig) -> None:
        self.config = config
        self._decay = 0.0
        self.architecture = architecture
        self.models = {
            name: AveragedModel(
                architecture.get_submodule(name),
                # The decay may follow from the batch, which growing networks change.
                multi_avg_fn=lambda old, new, count: get_ema_multi_avg_fn(self._decay)(old, new, count),
                use_buffers=True,
            ).requires_grad_(False)
            for name in architecture.averaged
        }

    def update(self, step: int, images: int) -> None:
        """Takes the weights after training step ``step`` (counted from 1), of ``images``, into the average."""
        self._decay = self.config.decay_of(images)
        for name, model in self.models.items():
            if step <= self.config.start:
                model.n_averaged.zero_()  # makes the update below a plain copy; the counter lies on the CPU
            model.update_parameters(self.architecture.get_submodule(name))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Puts the averages in their networks' places for as long as the context lasts."""
        networks = {name: self.architecture.get_submodule(name) for name in self.models}
        for name, model in self.models.items():
            setattr(self.architecture, name, model.module)
        try:
            yield
        finally:
            for name, network in networks.items():
                setattr(self.architecture, name, network)

    def counts(self) -> dict[str, int]:
        """Returns how many updates each average has seen, for the checkpoint; the averages lie in the model file."""
        return {name: int(model.n_averaged) for name, model in self.models.items()}

    def load_counts(self, counts: dict[str, int]) -> None:
        for name, model in self.models.items():
            model.n_averaged.fill_(counts[name])
