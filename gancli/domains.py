"""What the networks take: the one declaration that data, planning, model files, previews and docs follow from.

Importable without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["image", "mask", "points"]
"""``image``: float in [-1, 1]. ``mask``: int64 ids of classes. ``points``: float as stored."""


@dataclass(frozen=True)
class Domain:
    """One set of data, as the networks take it.

    Attributes:
        shape: image (C, H, W), mask (H, W), points (D,).
        kind: see ``Kind``.
    """

    shape: tuple[int, ...]
    kind: Kind = "image"

    def reduced(self, factor: int) -> Domain:
        """Returns the domain at 1 / ``factor`` of its height and width; points have neither and stay as they are."""
        if self.kind == "points":
            return self
        *channels, height, width = self.shape
        return Domain((*channels, height // factor, width // factor), self.kind)


@dataclass(frozen=True)
class Inputs:
    """What a model of one configuration is trained on.

    Attributes:
        domains: in the architecture's names and order; one-domain data is under ``"image"`` (points: ``"points"``).
        paired: whether item i of each domain shows the same thing.
        labels: ``class``: one class per item, int64 [N]; ``attributes``: float [N, K] in {0, 1}.
        classes: number of classes or attributes. None: as many as the data have; that number then becomes the key
            ``model.classes`` before the networks are built.
    """

    domains: Mapping[str, Domain]
    paired: bool = False
    labels: Literal["none", "class", "attributes"] = "none"
    classes: int | None = None
