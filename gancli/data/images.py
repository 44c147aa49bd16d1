"""Lists of images, each an ``Images``: files, halves of files, arrays, several lists as one, one side of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gancli.data.files import Files, natural
from gancli.data.formats import LARGEST_FILE, decode
from gancli.data.levels import Range, to_levels
from gancli.data.pixels import to_pixels
from gancli.data.source import IDS, BadImage, Facts, Images, Numbered, Pixels, PointCloud, Source, same_proportions
from gancli.errors import GancliError

LEAST_PROPORTION = 1.8
"""Width over height from which an image may be two side by side; photographs, films and screens of 16:9 have 1.78."""


class EncodedImages:
    """Image files of a directory or an archive, in the order of ``names``.

    Args:
        limits: ``data.range``; None: automatic.
        facts: filled in as images are read.
    """

    def __init__(self, files: Files, names: Sequence[str], limits: Range | None, facts: Facts) -> None:
        self._files, self._names, self._limits, self._facts = files, names, limits, facts

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        return f"{self._files.path}/{self._names[index]}"

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        name = self._names[index]
        if self._files.entries[name].size > LARGEST_FILE:
            raise BadImage("the file is too large to be an image")
        return decode(self._files.read(name), channels, self._limits, lambda fact: self._facts.add(fact, name))


class Of:
    """Images that are each made from one other image."""

    def __init__(self, images: Images) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def name(self, index: int) -> str:
        return self._images.name(index)


class HalfImages(Of):
    """The left half of images that hold two side by side, or the right one."""

    def __init__(self, images: Images, right: bool) -> None:
        super().__init__(images)
        self._right = right

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        pixels = self._images.read(index, channels, size)
        height, width = pixels.shape[:2]
        if width < LEAST_PROPORTION * height:
            raise BadImage(f"it is {width} x {height} px, not two images side by side")
        if width % 2:
            raise BadImage(f"it is {width} x {height} px, an odd width that cannot be halved")
        half = width // 2
        return pixels[:, half:] if self._right else pixels[:, :half]


class Masks(Of):
    """Images that are read as masks, whatever channels are asked for."""

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        return self._images.read(index, IDS, size)


class ArrayImages(Numbered):
    """Images from one array.

    Args:
        name: of the array, for messages.
        array: [N, H, W] or [N, H, W, C]; uint8, or any numbers. Up to 4 channels are those of a picture (grey, grey
            and alpha, RGB, RGB and alpha) and can be read as another kind of picture. uint8 with one channel can be
            read as masks.
        span: the numbers that are black and white, unless the array is uint8.
    """

    def __init__(self, name: str, array: NDArray[Any], span: Range = (0, 1)) -> None:
        super().__init__(name, array)
        self._array, self._span = array, span
        self.channels = array.shape[3] if array.ndim == 4 else 1

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        image = self._array[index]
        if channels == IDS:
            if image.dtype != np.uint8 or self.channels != 1:
                raise BadImage(f"a mask is uint8 with one channel, not {image.dtype} with {self.channels}")
            channels = 1
        if image.dtype != np.uint8:
            if not np.isfinite(image).all():
                raise BadImage("it holds values that are not finite")
            image = to_levels(image, self._span)
        if image.ndim == 2:
            image = image[:, :, None]
        image = np.ascontiguousarray(image)
        if self.channels == channels:
            return image
        if max(self.channels, channels) > 4:
            raise BadImage(f"it has {self.channels} channels and not {channels}")
        return to_pixels(Image.fromarray(image[:, :, 0] if self.channels == 1 else image), channels)


class Joined:
    """Several lists of images, one after the other."""

    def __init__(self, parts: Sequence[Images]) -> None:
        self._parts = parts
        self._ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def _find(self, index: int) -> tuple[Images, int]:
        part = int(np.searchsorted(self._ends, index, side="right"))
        return self._parts[part], index - (int(self._ends[part - 1]) if part else 0)

    def name(self, index: int) -> str:
        part, place = self._find(index)
        return part.name(place)

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        part, place = self._find(index)
        return part.read(place, channels, size)


def join(parts: Sequence[Source]) -> Source:
    """Returns parts of one data set as one; classes of the same name are the same class.

    Raises:
        GancliError: the parts have different domains.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    dimensions = [
        {name: images.values.shape[1] if isinstance(images, PointCloud) else 0 for name, images in part.domains.items()}
        for part in parts
    ]
    if any(list(found.items()) != list(dimensions[0].items()) for found in dimensions):
        raise GancliError(
            f"the parts of {first.location} hold different things",
            "choose one: --set data.split=train to train on it, --split train to look at it",
        )
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    domains: dict[str, Images] = {}
    for name in first.domains:
        lists = [part.domains[name] for part in parts]
        points = [images.values for images in lists if isinstance(images, PointCloud)]
        domains[name] = PointCloud(first.location, np.concatenate(points)) if points else Joined(lists)
    labels: list[NDArray[Any]] = [part.labels for part in parts if part.labels is not None]
    classes = first.classes
    if len(labels) == len(parts) and all(values.ndim == 1 for values in labels):
        classes = tuple(sorted({name for part in parts for name in part.classes}, key=natural))
        numbers = [np.array([classes.index(name) for name in part.classes], np.int64) for part in parts]
        labels = [known[values] for known, values in zip(numbers, labels, strict=True)]
    elif labels and (any(values.ndim == 1 for values in labels) or any(part.classes != classes for part in parts)):
        labels = []
        notes += ("the labels are not used: some parts have none, or different ones",)
    return replace(
        first,
        domains=domains,
        labels=np.concatenate(labels) if labels else None,
        classes=classes if labels else (),
        paired=all(part.paired for part in parts),
        notes=notes,
    )


class Aligned(Of):
    """One side of pairs that are resized until they cover the crop: all images of a pair must lose the same parts.

    An image whose proportions differ from those of its partner in ``first``, the first side, is a bad one, so the pair
    is left out. ``channels`` is the number that images are read with.
    """

    def __init__(self, images: Images, channels: int, first: Aligned | None) -> None:
        super().__init__(images)
        self._channels, self._first = channels, first
        self._sizes: dict[int, tuple[int, int]] = {}

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        pixels = self._images.read(index, channels, size)
        height, width = self._sizes[index] = pixels.shape[:2]
        if self._first is not None:
            try:
                other_height, other_width = self._first.size(index, size)
            except BadImage:  # the other image was reported already, and the pair is left out
                return pixels
            if not same_proportions((width, height), (other_width, other_height)):
                raise BadImage(
                    f"it is {width} x {height} px, but its partner {self._first.name(index)} {other_width} x "
                    f"{other_height}: they would be cropped in different ways (data.resize=stretch takes them whole)"
                )
        return pixels

    def size(self, index: int, size: int | None) -> tuple[int, int]:
        """Returns height and width; usually they are known because this side was read before."""
        if index not in self._sizes:
            self.read(index, self._channels, size)
        return self._sizes[index]
