"""Normalisations that two papers or more share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from torch import nn

NormName = Literal["batch", "instance"]


def InstanceNorm(channels: int) -> nn.Module:  # noqa: N802 - stands where a class would
    """Instance normalisation without weights (Ulyanov et al. 2016): a group norm in which every channel is a group.

    Not ``nn.InstanceNorm2d``: on a CPU that is 3 to 6 times as slow, and in torch 2.13 to 2.15 its gradient for one
    image is wrong where the incoming gradient is channels_last.
    """
    return nn.GroupNorm(channels, channels, affine=False)


NORMS: dict[NormName, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm2d, "instance": InstanceNorm}


@contextmanager
def noise_on(network: nn.Module) -> Iterator[None]:
    """Within it, a network in evaluation mode drops out at random and normalises with the statistics of its batch.

    pix2pix makes its images so (Isola et al. 2017, sections 3.1 and 3.3): its noise is dropout, and with one image at a
    time its batch norm is an instance norm. Running statistics are neither used nor moved.
    """
    changed: list[nn.Module] = []
    try:
        for module in network.modules():
            if isinstance(module, (nn.Dropout, nn.BatchNorm2d)) and not module.training:
                module.training = True
                changed.append(module)
                if isinstance(module, nn.BatchNorm2d):
                    module.track_running_stats = False
        yield
    finally:
        for module in changed:
            module.training = False
            if isinstance(module, nn.BatchNorm2d):
                module.track_running_stats = True
