"""Histories of generated data, from which discriminators learn (Shrivastava et al. 2016, section 2.3)."""

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


class Replay(nn.Module):
    """Replaces a share of generated data with older data; unlike ``ImagePool``, it takes a whole batch at once.

    The data are buffers, so checkpoints hold them. Nothing is read on the host.

    Args:
        size: how many items are kept; no call may give more.
        share: probability that an item is exchanged for an older one.
        features: values of an item, over all tensors that belong to it.
    """

    items: Tensor
    filled: Tensor

    def __init__(self, size: int, share: float, features: int) -> None:
        super().__init__()
        self.size, self.share = size, share
        self.register_buffer("items", torch.zeros(size, features))
        self.register_buffer("filled", torch.zeros(size, dtype=torch.bool))

    @torch.no_grad()
    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Takes tensors [N, ...] and returns as many of the same shapes; what belongs to an item stays with it.

        Until the pool is full, every item is kept and returned. After that, an item is either returned and not kept, or
        exchanged for a kept one.
        """
        given = torch.cat([tensor.detach().flatten(1).to(self.items.dtype) for tensor in tensors], dim=1)
        n, device = len(given), given.device
        full = self.filled.all()
        free = (self.filled.sum() + torch.arange(n, device=device)) % self.size
        place = torch.where(full, torch.rand(self.size, device=device).argsort()[:n], free)
        swap = (full & (torch.rand(n, device=device) < self.share))[:, None]
        older = self.items[place]
        chosen = torch.where(swap, older, given)
        self.items[place] = torch.where(full & ~swap, older, given)
        self.filled[place] = True
        widths = [tensor[0].numel() for tensor in tensors]
        parts = zip(chosen.split(widths, dim=1), tensors, strict=True)
        return tuple(part.reshape(tensor.shape) for part, tensor in parts)
