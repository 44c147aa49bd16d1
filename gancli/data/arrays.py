"""Images that come as one array: ``.npz`` files and MNIST's idx files."""

from __future__ import annotations

import gzip
import re
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gancli.data.formats import to_pixels
from gancli.data.source import BadImage, Images, Pixels
from gancli.errors import GancliError

IDX_NAME = re.compile(r"(train|t10k)[-.](images|labels)[-.]idx[13][-.]ubyte(\.gz)?")
IMAGE_KEYS = {
    "train": ("images", "x", "X", "data", "x_train", "X_train", "train_images", "arr_0"),
    "test": ("x_test", "X_test", "test_images", "x_val", "val_images"),
}
LABEL_KEYS = {
    "train": ("labels", "y", "label", "targets", "y_train", "train_labels", "arr_1"),
    "test": ("y_test", "test_labels", "y_val", "val_labels"),
}
SIDE_KEYS = {"train": (("A", "B"), ("trainA", "trainB")), "test": (("testA", "testB"), ("valA", "valB"))}
"""Keys of two domains; the first pair of keys that is there counts."""
MOST_CHANNELS = 64


class ArrayImages:
    """Images from one array.

    Args:
        name: what a person calls the array.
        array: [N, H, W] or [N, H, W, C]; uint8, or float from ``low`` to 1. Up to 4 channels are those of a picture
            (grey, grey and alpha, RGB, RGB and alpha) and can be read as another kind of picture.
        low: the value of black in a float array, 0 or -1.
    """

    def __init__(self, name: str, array: NDArray[Any], low: float = 0.0) -> None:
        self._name, self._array, self._low = name, array, low
        self.channels = array.shape[3] if array.ndim == 4 else 1

    def __len__(self) -> int:
        return len(self._array)

    def name(self, index: int) -> str:
        return f"{self._name}[{index}]"

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        image = self._array[index]
        if image.dtype != np.uint8:
            if not np.isfinite(image).all():
                raise BadImage("it holds values that are no numbers")
            image = np.rint((image.astype(np.float64) - self._low) * (255 / (1 - self._low))).astype(np.uint8)
        if image.ndim == 2:
            image = image[:, :, None]
        if self.channels == channels:
            return np.ascontiguousarray(image)
        if max(self.channels, channels) > 4:
            raise BadImage(f"it has {self.channels} channels and not {channels}")
        squeezed = image[:, :, 0] if self.channels == 1 else image
        return to_pixels(Image.fromarray(np.ascontiguousarray(squeezed)), channels)


def classes_of(labels: NDArray[np.int64]) -> tuple[str, ...]:
    """Returns the numbers from 0 to the largest label as class names."""
    return tuple(str(number) for number in range(int(labels.max()) + 1)) if len(labels) else ()


def read_idx(content: bytes, name: str, dimensions: int) -> NDArray[np.uint8]:
    """Parses an idx file of unsigned bytes, plain or gzipped.

    Args:
        content: the file's bytes.
        name: what errors call it.
        dimensions: how many the array must have: 3 for images, 1 for labels.

    Raises:
        GancliError: it is cut off, damaged, or something else.
    """
    hint = "download or copy it again"
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise GancliError(f"{name} is damaged: {error}", hint) from error
    start = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) < start:
        raise GancliError(f"{name} is no idx file of unsigned bytes with {dimensions} dimensions", hint)
    shape = tuple(int(side) for side in np.frombuffer(content, ">u4", dimensions, 4))
    expected = start + int(np.prod(shape, dtype=object))
    if len(content) != expected:
        raise GancliError(f"{name} has {len(content):,} bytes, but its header says {expected:,}", hint)
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


class Arrays(NamedTuple):
    """What ``read_npz`` found.

    Attributes:
        domains: images by domain, ``"image"`` or ``"A"`` and ``"B"``, part after part.
        labels: of each part.
        has_test: whether there is a test part beside these images.
        notes: what a person should know.
    """

    domains: dict[str, list[ArrayImages]]
    labels: list[NDArray[np.int64] | None]
    has_test: bool
    notes: tuple[str, ...]


def read_npz(path: Path, split: str) -> Arrays:
    """Reads a ``.npz`` with images and, where it has them, labels; or with the images of two domains.

    Images stand under one of ``IMAGE_KEYS``, labels under one of ``LABEL_KEYS``, two domains under ``SIDE_KEYS``; a
    file without a test part gives all it has for every split. Four dimensions are [N, H, W, C] or [N, C, H, W]: the
    last is C if it is 1, 3, 4, or smaller than the others, else the first on the same terms. Floats are in [0, 1], or
    in [-1, 1] if any value is negative.

    Raises:
        GancliError: it is damaged, holds Python objects, or no array that can be images.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            keys = list(archive.keys())
            sides = {part: _first(SIDE_KEYS[part], keys) for part in SIDE_KEYS}
            two = any(sides.values())
            found = sides if two else {part: _first([(key,) for key in IMAGE_KEYS[part]], keys) for part in sides}
            parts = [part for part in found if found[part] and split in (part, "all")]
            if (
                not parts
                and found["train"]
                and found["train"][0] not in ("x_train", "X_train", "train_images", "trainA")
            ):
                parts = ["train"]
            if not parts and not any(found.values()):
                raise _no_images(path, keys)
            if not parts:
                other = "test" if split == "train" else "train"
                raise GancliError(
                    f"{path} has no {split} part, only {other}",
                    f"to train on it: --set data.split={other}; to look at it: --split {other}",
                )
            domains = {
                name: [_images_from(archive[found[part][side]], f"{path}:{found[part][side]}") for part in parts]
                for side, name in enumerate(("A", "B") if two else ("image",))
            }
            labels: list[NDArray[np.int64] | None] = []
            for part, images in zip(parts, next(iter(domains.values())), strict=True):
                key = None if two else next((name for name in LABEL_KEYS[part] if name in keys), None)
                labels.append(None if key is None else _labels_from(archive[key], len(images), f"{path}:{key}"))
    except GancliError:
        raise
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
    ) as error:
        pickled = "allow_pickle" in str(error)
        reason = "it holds Python objects, which are never loaded" if pickled else str(error)
        hint = "save plain uint8 or float arrays with numpy.savez" if pickled else "write or copy it again"
        raise GancliError(f"{path} cannot be read: {reason}", hint) from error
    notes = tuple(
        f"{' and '.join(unused)}: another part, not used (data.split is {split})"
        for part, unused in found.items()
        if unused and part not in parts
    )
    return Arrays(domains, labels, split == "train" and parts == ["train"] and bool(found["test"]), notes)


def _first(candidates: Iterable[tuple[str, ...]], keys: list[str]) -> tuple[str, ...]:
    """Returns the first of some groups of keys that are all there, or none."""
    return next((group for group in candidates if all(key in keys for key in group)), ())


def _no_images(path: Path, keys: list[str]) -> GancliError:
    lonely = [
        (there, missing)
        for pairs in SIDE_KEYS.values()
        for pair in pairs
        for there, missing in (pair, pair[::-1])
        if there in keys
    ]
    if lonely:
        return GancliError(f"{path} holds {lonely[0][0]}, but no {lonely[0][1]}", "two domains are arrays A and B")
    named = ", ".join(sorted(key for names in IMAGE_KEYS.values() for key in names))
    return GancliError(
        f"{path} holds no images: its arrays are {', '.join(keys) or 'none'}",
        f"name the images one of {named}; two domains A and B",
    )


def _images_from(array: NDArray[Any], name: str) -> ArrayImages:
    hint = f"images are uint8 or float, [N, H, W], [N, H, W, C] or [N, C, H, W] with C up to {MOST_CHANNELS}"
    axis = _channel_axis(array.shape) if array.ndim == 4 else None
    if 0 in array.shape or (array.ndim != 3 and axis is None):
        raise GancliError(f"{name} has the shape {list(array.shape)}, which is no list of images", hint)
    if axis is not None:
        array = np.moveaxis(array, axis, 3)
    if array.dtype == np.uint8:
        return ArrayImages(name, array)
    if array.dtype.kind != "f":
        raise GancliError(f"{name} holds {array.dtype}, which is no kind of image", hint)
    finite = array[np.isfinite(array)]
    if len(finite) == 0:
        raise GancliError(f"{name} holds no number at all")
    low, high = float(finite.min()), float(finite.max())
    # A little over 1 is what averaging and filters leave behind.
    if not (low >= -1.001 and high <= 1.001):
        raise GancliError(
            f"{name} holds numbers from {low:.4g} to {high:.4g}",
            "float images lie in [0, 1] or [-1, 1]; or save uint8",
        )
    return ArrayImages(name, np.clip(array, -1, 1), -1.0 if low < 0 else 0.0)


def _channel_axis(shape: tuple[int, ...]) -> int | None:
    """Returns which of four axes holds the channels: that of a picture, or the one that is smaller than the others."""
    for axis, others in ((3, shape[1:3]), (1, shape[2:])):
        if shape[axis] in (1, 3, 4) or shape[axis] < min(*others, MOST_CHANNELS + 1):
            return axis
    return None


def _labels_from(array: NDArray[Any], count: int, name: str) -> NDArray[np.int64]:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (count,) or array.dtype.kind not in "iu" or (count and array.min() < 0):
        raise GancliError(
            f"{name} is {array.dtype} {list(array.shape)}, which cannot be the labels of {count} images",
            "labels are whole numbers >= 0, one per image",
        )
    return array.astype(np.int64)


class Joined:
    """Several lists of images, one after the other."""

    def __init__(self, parts: list[Images]) -> None:
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
