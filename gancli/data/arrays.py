"""Images that come as one array: ``.npz`` files and MNIST's idx files."""

from __future__ import annotations

import gzip
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

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


class ArrayImages:
    """Images from one array.

    Args:
        name: what a person calls the array.
        array: [N, H, W] or [N, H, W, C] with C = 1, 3 or 4 (RGB and alpha); uint8, or float from ``low`` to 1.
        low: the value of black in a float array, 0 or -1.
    """

    def __init__(self, name: str, array: NDArray[Any], low: float = 0.0) -> None:
        self._name, self._array, self._low = name, array, low

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
        if image.shape[2] == channels:
            return np.ascontiguousarray(image)
        squeezed = image[:, :, 0] if image.shape[2] == 1 else image
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


def read_npz(path: Path, split: str) -> tuple[list[ArrayImages], list[NDArray[np.int64] | None], tuple[str, ...]]:
    """Reads a ``.npz`` with images and, where it has them, labels.

    Images stand under one of ``IMAGE_KEYS``, labels under one of ``LABEL_KEYS``; a file without a test part gives all
    it has for every split. Four dimensions are [N, H, W, C] if the last is 1, 3 or 4, else [N, C, H, W]. Floats are in
    [0, 1], or in [-1, 1] if any value is negative.

    Returns:
        Images and labels of each part, and notes.

    Raises:
        GancliError: it is damaged, holds Python objects, or no array that can be images.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            keys = list(archive.keys())
            found = {part: [key for key in IMAGE_KEYS[part] if key in keys][:1] for part in ("train", "test")}
            parts = [part for part in ("train", "test") if found[part] and split in (part, "all")]
            if not parts and found["train"] and found["train"][0] not in ("x_train", "X_train", "train_images"):
                parts = ["train"]
            if not parts and not any(found.values()):
                named = ", ".join(sorted(key for names in IMAGE_KEYS.values() for key in names))
                raise GancliError(
                    f"{path} holds no images: its arrays are {', '.join(keys) or 'none'}",
                    f"name the images one of {named}",
                )
            if not parts:
                other = "test" if split == "train" else "train"
                raise GancliError(
                    f"{path} has no {split} part, only {other}",
                    f"to train on it: --set data.split={other}; to look at it: --split {other}",
                )
            images, labels = [], []
            notes: list[str] = []
            for part in parts:
                (key,) = found[part]
                images.append(_images_from(archive[key], f"{path}:{key}"))
                label_key = next((name for name in LABEL_KEYS[part] if name in keys), None)
                labels.append(
                    None
                    if label_key is None
                    else _labels_from(archive[label_key], len(images[-1]), f"{path}:{label_key}")
                )
            for part, names in found.items():
                if names and part not in parts:
                    notes.append(f"{names[0]} is another part, not used (--set data.split={part} or all)")
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
    return images, labels, tuple(notes)


def _images_from(array: NDArray[Any], name: str) -> ArrayImages:
    hint = "images are uint8 or float, [N, H, W], [N, H, W, C] or [N, C, H, W] with C = 1, 3 or 4"
    if array.ndim == 4 and array.shape[3] not in (1, 3, 4) and array.shape[1] in (1, 3, 4):
        array = array.transpose(0, 2, 3, 1)
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in (1, 3, 4)) or 0 in array.shape:
        raise GancliError(f"{name} has the shape {list(array.shape)}, which is no list of images", hint)
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
