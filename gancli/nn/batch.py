"""What one training step is played with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class Batch:
    """Real data, their labels, and what the losses of a step leave for each other.

    Attributes:
        images: real data by domain: images float [N, C, H, W] in [-1, 1], masks int64 [N, H, W], points float [N, D].
            One-domain data of images is under ``"image"``.
        labels: int64 [N] class indices, float [N, K] attributes in {0, 1}, or None.
        stash: what one loss leaves for the next within the step, for instance a fake that both players judge.
        first: place of its first item in the batch that it was split from; 0 for a whole batch.
    """

    images: dict[str, Tensor]
    labels: Tensor | None = None
    stash: dict[str, Any] = field(default_factory=dict)
    first: int = 0
    _parts: list[Batch] = field(default_factory=list, repr=False)

    @property
    def image(self) -> Tensor:
        """The real images of one-domain data, float [N, C, H, W] in [-1, 1]."""
        return self.images["image"]

    def __len__(self) -> int:
        return len(next(iter(self.images.values())))

    def to(self, device: torch.device) -> Batch:
        """Returns the data and labels on a device, with an empty stash."""
        labels = self.labels.to(device) if self.labels is not None else None
        return Batch({name: images.to(device) for name, images in self.images.items()}, labels, first=self.first)

    def split(self, parts: int) -> list[Batch]:
        """Returns ``parts`` micro-batches of equal size (or, where that is impossible, a difference of one item).

        Every call returns the same objects, so that stashes live for the whole step.
        """
        if parts == 1:
            return [self]
        if not self._parts:
            pieces = {name: tensor.tensor_split(parts) for name, tensor in self.images.items()}
            labels = self.labels.tensor_split(parts) if self.labels is not None else [None] * parts
            first = self.first
            for index in range(parts):
                images = {name: piece[index] for name, piece in pieces.items()}
                self._parts.append(Batch(images, labels[index], first=first))
                first += len(self._parts[-1])
        return self._parts
