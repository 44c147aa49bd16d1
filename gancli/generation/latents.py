"""Latents by seed, and their images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from gancli.architectures.base import LatentModel


def latents_of_seeds(model: LatentModel, seeds: Sequence[int], truncation: float | None = None) -> Tensor:
    """Returns one latent per seed, [len(seeds), *latent shape], on the CPU.

    Each seed has a random generator of its own, so that a seed means the same latent in any company and on any device.
    """
    latents = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        z = model.latents(1, generator)
        latents.append(z if truncation is None else model.resample(z, truncation, generator))
    return torch.cat(latents)


@torch.inference_mode()
def decode_in_batches(model: LatentModel, z: Tensor, batch: int, device: torch.device) -> Iterator[Tensor]:
    """Yields images on the CPU, float32 [<= batch, C, H, W] in [-1, 1], in the order of ``z``.

    The model is used as it is; put it into evaluation mode before, so that no image depends on its neighbours.
    """
    for part in z.split(batch):
        yield model.decode(part.to(device)).float().cpu()
