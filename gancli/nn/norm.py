"""Normalisations that no paper here invented."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import ParametrizationList, register_parametrization

NormName = Literal["batch", "instance"]


def InstanceNorm(channels: int) -> nn.Module:  # noqa: N802 - used like a class
    """Instance normalisation without weights (Ulyanov et al. 2016): a group norm in which every channel is a group.

    Not ``nn.InstanceNorm2d``: on a CPU that is 3 to 6 times as slow, and in torch 2.13 to 2.15 its gradient for one
    image is wrong where the incoming gradient is channels_last.
    """
    return nn.GroupNorm(channels, channels, affine=False)


NORMS: dict[NormName, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm2d, "instance": InstanceNorm}

SETTLED = 15
"""Power iterations after which the vectors follow a weight closely enough; torch's own number for a new weight."""


class SpectralNorm(nn.Module):
    """W -> W / sigma(W), sigma(W) the largest singular value of [O, the rest] (Miyato et al. 2018, algorithm 1).

    Computes what ``torch.nn.utils.parametrizations.spectral_norm`` computes, from a state of the same names, and can do
    two things more: it builds on the meta device at once (there each of 15 power iterations takes milliseconds of
    Python), and ``settle`` iterates after the weight was replaced.

    Args:
        weight: [O, ...], with two dimensions or more.
        eps: added to the norm of a vector that it is divided by.
    """

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, eps: float = 1e-12) -> None:
        super().__init__()
        self.eps = eps
        rows, columns = weight.flatten(1).shape
        self.register_buffer("_u", weight.new_empty(rows).normal_())
        self.register_buffer("_v", weight.new_empty(columns).normal_())
        if not weight.is_meta:
            F.normalize(self._v, dim=0, eps=eps, out=self._v)
            self.settle(weight)

    @torch.no_grad()
    def settle(self, weight: Tensor, iterations: int = SETTLED) -> None:
        """Follows the weight by some power iterations."""
        matrix = weight.flatten(1)
        for _ in range(iterations):
            F.normalize(torch.mv(matrix, self._v), dim=0, eps=self.eps, out=self._u)
            F.normalize(torch.mv(matrix.T, self._u), dim=0, eps=self.eps, out=self._v)

    def forward(self, weight: Tensor) -> Tensor:
        if self.training:
            self.settle(weight, 1)
        # Copies: the next pass changes the vectors in place, while the graph of this one still needs them.
        u, v = self._u.clone(), self._v.clone()
        return weight / torch.vdot(u, torch.mv(weight.flatten(1), v))


def spectral_norm(layer: nn.Linear | nn.Conv2d) -> nn.Module:
    """Divides the weight of a layer by its spectral norm whenever it is used; returns the layer."""
    # Unsafe: it would try the parametrization out first, which is slow on the meta device.
    register_parametrization(layer, "weight", SpectralNorm(layer.weight), unsafe=True)
    return layer


def spectral_norms(network: nn.Module) -> list[tuple[SpectralNorm, Tensor]]:
    """Returns the spectral norms of a network's layers, each with the weight that it divides."""
    return [
        (norm, parametrized.original)
        for parametrized in network.modules()
        if isinstance(parametrized, ParametrizationList)
        for norm in parametrized
        if isinstance(norm, SpectralNorm)
    ]


def batch_norms(network: nn.Module) -> list[nn.BatchNorm1d | nn.BatchNorm2d]:
    """Returns the batch norms of a network that keep running statistics."""
    norms = (module for module in network.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d))
    return [norm for norm in norms if norm.track_running_stats]


@contextmanager
def measuring(networks: Iterable[nn.Module]) -> Iterator[None]:
    """Within the context, batch norms forget their statistics and average those of all batches that pass.

    Everything else in the networks is as in evaluation; nothing is dropped out.
    """
    networks = list(networks)
    modes = [(module, module.training) for network in networks for module in network.modules()]
    norms = [norm for network in networks for norm in batch_norms(network)]
    momenta = [norm.momentum for norm in norms]
    try:
        for network in networks:
            network.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
            norm.momentum = None  # a plain average
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, training in modes:
            module.training = training
