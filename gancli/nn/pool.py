"""A history of generated images, from which discriminators learn (Shrivastava et al. 2016, section 2.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """Returns generated images or, half of the time, older ones instead.

    The images are buffers, so checkpoints hold them. Nothing is read on the host.

    Args:
        size: how many images are kept; 0 returns every image unchanged.
        shape: (C, H, W) of the images.
    """

    images: Tensor
    held: Tensor

    def __init__(self, size: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("held", torch.tensor(0))

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Returns as many images as it gets, [N, C, H, W].

        Until the pool is full, every image is kept and returned. After that, with equal probability, an image is either
        returned and not kept, or it replaces a kept one, which is returned.
        """
        if self.size == 0:
            return images.detach()
        given = images.to(self.images.dtype)
        chosen = []
        for image in given.split(1):
            full = self.held >= self.size
            random_place = torch.randint(self.size, (1,), device=given.device)
            place = torch.where(full, random_place, self.held)
            swap = full & (torch.rand(1, device=given.device) < 0.5)
            kept = self.images.index_select(0, place)
            chosen.append(torch.where(swap[:, None, None, None], kept, image))
            self.images.index_copy_(0, place, torch.where((swap | ~full)[:, None, None, None], image, kept))
            self.held += ~full
        return torch.cat(chosen)
