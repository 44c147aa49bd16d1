"""The types of this package: what a SOURCE holds, and whether it suits an architecture. Importable without torch."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sized
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gancli.domains import Inputs
from gancli.errors import GancliError

Pixels = NDArray[np.uint8]
"""One decoded image: uint8 [H, W, C]; C = 1 is grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha."""
Labels = NDArray[np.int64] | NDArray[np.float32]
"""int64 [N] class indices, or float32 [N, K] attributes in {0, 1}."""
IDS = 0
"""In place of a number of channels: an image is read as a mask, uint8 [H, W, 1], whose values are ids of classes."""


class BadImage(Exception):
    """One image of a source cannot be used; the message says why, without the image's name."""


class Images(Protocol):
    """A list of images that are decoded one at a time, from any thread."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """Returns the image's name for messages: a path, a member of an archive, ``shapes[17]``."""

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        """Returns one image, decoded to ``channels`` channels; ``IDS`` reads a mask.

        Drawn images are drawn with ``size`` pixels a side; stored ones ignore it and come in their own size.

        Raises:
            BadImage: it cannot be decoded, or not to that many channels.
        """


class Facts:
    """What users should know about how images were read: learnt while they are decoded, from any thread."""

    def __init__(self) -> None:
        self._images: dict[str, set[int]] = {}

    def add(self, fact: str, name: str) -> None:
        """Adds a fact about the image ``name``, which counts once however often it is read."""
        self._images.setdefault(fact, set()).add(hash(name))

    def notes(self, without: Collection[str] = ()) -> list[str]:
        """Returns every fact, apart from some, with the number of its images."""
        counts = {fact: len(images) for fact, images in self._images.items() if fact not in without}
        return [f"{count:,} {'image' if count == 1 else 'images'}: {fact}" for fact, count in counts.items()]


class Numbered:
    """A list of items named by the list and a number, such as ``shapes[17]``."""

    def __init__(self, name: str, items: Sized) -> None:
        self._name, self._items = name, items

    def __len__(self) -> int:
        return len(self._items)

    def name(self, index: int) -> str:
        return f"{self._name}[{index}]"


class PointCloud(Numbered):
    """A list of points, ``values``: float32 [N, D].

    It also reads like ``Images`` that are all bad: points in place of images are reported like other unusable files.
    """

    def __init__(self, name: str, values: NDArray[np.float32]) -> None:
        super().__init__(name, values)
        self.values = values

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        raise BadImage("it is a point, not an image")


@dataclass(frozen=True)
class Source:
    """What ``open_source`` found, or one part of it.

    Attributes:
        location: the SOURCE as the user gave it.
        layout: what was recognised, in words ("class folders", "MNIST idx files").
        domains: images, or a ``PointCloud``, by the user's name of the domain; one-domain data has the one key
            ``"image"`` or ``"points"``.
        labels: of all items, if there are any.
        classes: names of the classes or attributes, in the order of the labels.
        paired: whether item i of each domain shows the same thing.
        fingerprint: changes whenever an image, its order or a label may have changed; names the cache file.
        unlabelled: why labels that were found are not used, in words; empty if there are none, or if they are used.
        notes: facts for the user: files left out, parts not used.
        has_test: this is the train part of data that have a test part too; ``open_source`` with ``"test"`` opens it.
        facts: about single images, which become known as these are decoded.
        channels: of domains whose images are arrays of more than 4 channels, which cannot be read as other numbers.
    """

    location: str
    layout: str
    domains: Mapping[str, Images]
    labels: Labels | None = None
    classes: tuple[str, ...] = ()
    paired: bool = False
    fingerprint: str = ""
    notes: tuple[str, ...] = ()
    has_test: bool = False
    unlabelled: str = ""
    facts: Facts = field(default_factory=Facts, compare=False)
    channels: Mapping[str, int] = field(default_factory=dict)


def check(source: Source, inputs: Inputs) -> str | None:
    """Returns in words why networks with these inputs cannot train on a source; None if they can.

    It opens no files, so images that should be masks and are not are reported only when they are decoded.
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
    if inputs.labels == "none":
        return None
    needs = f"it needs {'one class' if inputs.labels == 'class' else 'a list of attributes'} for every image"
    if source.labels is None and source.unlabelled:
        return f"{needs}, but the labels of {location} cannot be used: {source.unlabelled}"
    if source.labels is None:
        folders = "shapes:classes has some" if location == "shapes" else "put each class into a folder of its own"
        way = folders if inputs.labels == "class" else "a dataset.json can hold them"
        return f"{needs}, but {location} has no labels; {way}"
    if (source.labels.ndim == 1) != (inputs.labels == "class"):
        return f"{needs}, but {location} has {'one class' if source.labels.ndim == 1 else 'attributes'} for each"
    found = len(source.classes)
    if inputs.classes not in (None, found):
        what = "classes" if inputs.labels == "class" else "attributes"
        return f"it is made for {inputs.classes} {what}, but {location} has {found}: --set model.classes={found}"
    return None


def _count(number: int, thing: str = "domain") -> str:
    words = {1: "one", 2: "two", 3: "three", 4: "four"}
    return f"{words.get(number, number)} {thing}{'s' * (number != 1)}"


def fingerprint(text: str) -> str:
    """Returns a hash of a text that describes data."""
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).hexdigest()


def no_part(where: str, split: str) -> GancliError:
    """Returns the error that data have only the other part."""
    other = "test" if split == "train" else "train"
    hint = f"to train on it: --set data.split={other}; to look at it: --split {other}"
    return GancliError(f"{where} has no {split} part, only {other}", hint)


def same_proportions(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Returns whether two (width, height), scaled to the smaller one, differ by less than a pixel."""
    (width, height), (large_width, large_height) = sorted((one, other))
    # large / small is the same for both sides; either rounding may have made the smaller image.
    difference = abs(large_width * height - large_height * width)
    return difference < max(large_width, large_height)
