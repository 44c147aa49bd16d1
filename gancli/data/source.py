"""What a SOURCE is: lists of images, with labels where the layout gives them. Importable without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""One decoded image: uint8 [H, W, C] with C = 1 (grey) or 3 (RGB)."""


class BadImage(Exception):
    """One image of a source cannot be decoded; the message says why, without the image's name."""


class Images(Protocol):
    """A list of images that are decoded one at a time, from any thread."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """Returns what a person calls the image: a path, a member of an archive, ``shapes[17]``."""

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        """Decodes one image to ``channels`` channels; raises ``BadImage`` if that is impossible.

        ``size`` is the side in pixels that the reader wants: images that are drawn are drawn at it, stored ones ignore
        it and come in their own size.
        """


@dataclass(frozen=True)
class Source:
    """What ``open_source`` found.

    Attributes:
        location: the SOURCE as the user gave it.
        layout: what was recognised, in words ("class folders", "MNIST idx files").
        domains: images by domain; one-domain data has the one key ``"image"``.
        labels: int64 [N] class indices, float32 [N, K] attributes in {0, 1}, or None.
        classes: names of the classes or attributes, in the order of the labels.
        paired: whether image i of each domain shows the same thing.
        fingerprint: changes whenever an image, its order or a label may have changed; names the cache file.
        notes: what a person should know: files left out, parts not used.
    """

    location: str
    layout: str
    domains: Mapping[str, Images]
    labels: NDArray[np.int64] | NDArray[np.float32] | None = None
    classes: tuple[str, ...] = ()
    paired: bool = False
    fingerprint: str = ""
    notes: tuple[str, ...] = field(default=())
