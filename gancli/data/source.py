"""The types of this package: what a SOURCE holds, and whether it suits an architecture. Importable without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gancli.domains import Inputs

Pixels = NDArray[np.uint8]
"""One decoded image: uint8 [H, W, C]; C = 1 is grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha."""

IDS = 0
"""In place of a number of channels: an image is read as a mask, uint8 [H, W, 1], whose values are ids of classes."""


class BadImage(Exception):
    """One image of a source cannot be used; the message says why, without the image's name."""


class Images(Protocol):
    """A list of images that are decoded one at a time, from any thread."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """Returns what a person calls the image: a path, a member of an archive, ``shapes[17]``."""

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        """Returns one image, decoded to ``channels`` channels; ``IDS`` reads a mask.

        Args:
            index: which image.
            channels: number of channels, or ``IDS``.
            size: side in pixels that the reader wants. Images that are drawn are drawn at it; stored ones ignore it and
                come in their own size.

        Raises:
            BadImage: it cannot be decoded, or not to that many channels.
        """


class PointCloud:
    """A list of points.

    It also reads like ``Images`` that are all bad: points in place of images are reported like other unusable files.

    Args:
        name: what a person calls the list.
        values: float32 [N, D].
    """

    def __init__(self, name: str, values: NDArray[np.float32]) -> None:
        self._name, self.values = name, values

    def __len__(self) -> int:
        return len(self.values)

    def name(self, index: int) -> str:
        return f"{self._name}[{index}]"

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        raise BadImage("it is a point, not an image")


@dataclass(frozen=True)
class Source:
    """What ``open_source`` found.

    Attributes:
        location: the SOURCE as the user gave it.
        layout: what was recognised, in words ("class folders", "MNIST idx files").
        domains: images, or a ``PointCloud``, by the user's name of the domain; one-domain data has the one key
            ``"image"`` or ``"points"``.
        labels: int64 [N] class indices, float32 [N, K] attributes in {0, 1}, or None.
        classes: names of the classes or attributes, in the order of the labels.
        paired: whether item i of each domain shows the same thing.
        fingerprint: changes whenever an image, its order or a label may have changed; names the cache file.
        notes: what a person should know: files left out, parts not used.
        has_test: this is the train part of data that have a test part too; ``open_source`` with ``"test"`` opens it.
        channels: of the domains whose images are arrays of more than 4 channels; they can be read with no others.
    """

    location: str
    layout: str
    domains: Mapping[str, Images]
    labels: NDArray[np.int64] | NDArray[np.float32] | None = None
    classes: tuple[str, ...] = ()
    paired: bool = False
    fingerprint: str = ""
    notes: tuple[str, ...] = ()
    has_test: bool = False
    channels: Mapping[str, int] = field(default_factory=dict)


def check(source: Source, inputs: Inputs) -> str | None:
    """Returns in words why networks with these inputs cannot train on a source; None if they can.

    Whether the images of a mask domain are masks is in their files, which are not read here: those that are none are
    reported as they are decoded.
    """
    location, names, wanted = source.location, " and ".join(source.domains), len(inputs.domains)
    if len(source.domains) != wanted:
        if len(source.domains) == 1:
            held = "points" if isinstance(next(iter(source.domains.values())), PointCloud) else "images"
            return (
                f"it needs {_count(wanted)}, but {location} holds one set of {held} ({source.layout}); "
                f"put the domains into {_count(wanted, 'folder')} of one directory"
            )
        held = "pairs of images" if source.paired else _count(len(source.domains))
        return f"it needs {_count(wanted)}, but {location} holds {held}: {names}"
    for domain, images in zip(inputs.domains.values(), source.domains.values(), strict=True):
        points = isinstance(images, PointCloud)
        if points != (domain.kind == "points"):
            kinds = ("images", "points")
            return f"it needs {kinds[not points]}, but {location} holds {kinds[points]} ({source.layout})"
        if isinstance(images, PointCloud) and images.values.shape[1:] != domain.shape:
            needed, held = domain.shape[0], str(images.values.shape[1])
            return f"it needs points of {needed} numbers, but those of {location} have {held}"
    if inputs.paired and not source.paired:
        return f"it needs pairs of images, but nothing pairs {names} of {location} ({source.layout})"
    return _check_labels(source, inputs)


def _check_labels(source: Source, inputs: Inputs) -> str | None:
    if inputs.labels == "none":
        return None
    needed = "one class" if inputs.labels == "class" else "a list of attributes"
    if source.labels is None:
        return f"it needs {needed} for every image, but {source.location} has no labels"
    if (source.labels.ndim == 1) != (inputs.labels == "class"):
        held = "one class" if source.labels.ndim == 1 else "attributes"
        return f"it needs {needed} for every image, but {source.location} has {held} for each"
    if inputs.classes not in (None, len(source.classes)):
        what = "classes" if inputs.labels == "class" else "attributes"
        return (
            f"it is made for {inputs.classes} {what}, but {source.location} has {len(source.classes)}: "
            f"--set model.classes={len(source.classes)}"
        )
    return None


def _count(number: int, thing: str = "domain") -> str:
    words = {1: "one", 2: "two", 3: "three", 4: "four"}
    return f"{words.get(number, number)} {thing}{'s' * (number != 1)}"


def same_proportions(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Returns whether two (width, height) are alike in shape: scaled to the smaller one, they differ by less than a
    pixel."""
    (width, height), (large_width, large_height) = sorted((one, other))
    # large / small is the same for both sides; either rounding may have made the smaller image.
    difference = abs(large_width * height - large_height * width)
    return difference < max(large_width, large_height)
