"""Images and points that come as arrays: ``.npz`` and ``.npy`` files, and MNIST's idx files."""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gancli.data.files import domain_names
from gancli.data.images import ArrayImages, join
from gancli.data.labels import Found, labelled, read_labels
from gancli.data.levels import TOLERANCE, Range, find_range
from gancli.data.source import BadImage, PointCloud, Source, fingerprint, no_part
from gancli.domains import Inputs
from gancli.errors import GancliError
from gancli.files import DAMAGED

IDX_NAME = re.compile(r"(train|t10k)[-.](images|labels)[-.]idx[13][-.]ubyte(\.gz)?")
IMAGE_KEYS = {
    "train": ("images", "x", "X", "data", "points", "x_train", "X_train", "train_images", "arr_0"),
    "test": ("x_test", "X_test", "test_images", "x_val", "val_images"),
}
LABEL_KEYS = {
    "train": ("labels", "y", "label", "targets", "y_train", "train_labels", "arr_1"),
    "test": ("y_test", "test_labels", "y_val", "val_labels"),
}
SIDE_KEYS = {"train": (("A", "B"), ("trainA", "trainB")), "test": (("testA", "testB"), ("valA", "valB"))}
"""Keys of two domains; the first pair of keys in the file counts."""
MOST_CHANNELS = 64

Items = ArrayImages | PointCloud


def read_idx(content: bytes, name: str, dimensions: int) -> NDArray[np.uint8]:
    """Returns the array in an idx file of unsigned bytes, plain or gzipped.

    Raises:
        GancliError: it is cut off, damaged, or has other dimensions; errors call it ``name``.
    """
    hint = "download or copy it again"
    packed = content[:2] == b"\x1f\x8b"
    try:
        with gzip.open(io.BytesIO(content)) if packed else io.BytesIO(content) as file:
            start = file.read(4 + 4 * dimensions)
            if start[:4] != bytes([0, 0, 8, dimensions]) or len(start) < 4 + 4 * dimensions:
                raise GancliError(f"{name} is not an idx file of unsigned bytes with {dimensions} dimensions", hint)
            shape = tuple(int(side) for side in np.frombuffer(start, ">u4", dimensions, 4))
            expected = int(np.prod(shape, dtype=object))
            # In blocks, and one byte more at most: the header may say anything, and so little may unpack to so much.
            values = bytearray()
            while len(values) <= expected and (block := file.read(min(2**20, expected + 1 - len(values)))):
                values += block
    except (*DAMAGED, OSError) as error:
        raise GancliError(f"{name} is damaged: {error}", hint) from error
    if len(values) != expected:
        held = "more" if len(values) > expected else f"{len(start) + len(values):,}"
        raise GancliError(f"{name} has {held} bytes, but its header says {len(start) + expected:,}", hint)
    return np.frombuffer(values, np.uint8).reshape(shape)


def open_arrays(
    path: Path, location: str, split: str, limits: Range | None = None, inputs: Inputs | None = None
) -> Source:
    """Opens a ``.npz`` file, or a ``.npy`` file: one array of images or points, the same for each ``split``.

    In a ``.npz``, images or points are under one of ``IMAGE_KEYS``, labels under one of ``LABEL_KEYS``, the images of
    two domains under ``SIDE_KEYS``; a file without a test part gives the same for every split. Equally long arrays
    of two domains are pairs, and the domains' names come from the file's name (``sat2map.npz``).

    Floats [N, D] are points. Four dimensions are [N, H, W, C] or [N, C, H, W]: the last one is C if it is 1, 3, 4, or
    smaller than the others; else the second one, by the same rule. Float images are in [0, 1], or in [-1, 1] if any
    value is negative; other numbers need ``limits``, see ``find_range``.

    Raises:
        GancliError: it is damaged, holds Python objects or no array that can be images or points, or has no such part.
    """
    with _reading(path):
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            source = _source(location, "an npy file", [_items_from(loaded, str(path), limits)])
        else:
            with loaded as archive:
                source = _read_npz(archive, path, location, split, limits, inputs)
    status = path.stat()
    known_by = fingerprint(f"{path.resolve()}\0{split}\0{status.st_size}\0{status.st_mtime_ns}\0{limits}")
    return replace(source, fingerprint=known_by)


def _read_npz(
    archive: Mapping[str, NDArray[Any]],
    path: Path,
    location: str,
    split: str,
    limits: Range | None,
    inputs: Inputs | None,
) -> Source:
    keys = list(archive)
    sides = {part: _first(pairs, keys) for part, pairs in SIDE_KEYS.items()}
    two = any(sides.values())
    found = sides if two else {part: _first([(key,) for key in IMAGE_KEYS[part]], keys) for part in sides}
    if not any(found.values()):
        raise _no_images(path, keys)
    parts = [part for part in found if found[part] and split in (part, "all")]
    if not parts and found["train"] and found["train"][0] not in ("x_train", "X_train", "train_images", "trainA"):
        parts = ["train"]
    if not parts:
        raise no_part(str(path), split)
    names = domain_names([path.absolute().name, path.resolve().name]) if two else ()
    sources = []
    # All parts have the same classes, also those that lack one.
    label_keys = () if two else [_first([(key,) for key in LABEL_KEYS[part]], keys) for part in found if found[part]]
    columns = [_column(archive[key]) for group in label_keys for key in group]
    others = [value for column in columns if column.ndim == 1 for value in column]
    for part in parts:
        items = [_items_from(archive[key], f"{path}:{key}", limits) for key in found[part]]
        label_key = () if two else _first([(key,) for key in LABEL_KEYS[part]], keys)
        labels = [_labels_from(archive[key], len(items[0]), f"{path}:{key}", inputs, others) for key in label_key]
        sources.append(_source(location, "an npz file", items, names, *labels))
    whole = join(sources)
    unused = [keys for part, keys in found.items() if keys and part not in parts]
    notes = [f"{' and '.join(keys)}: another part, not used (data.split is {split})" for keys in unused]
    return replace(
        whole,
        layout=f"an npz file with {'pairs' if whole.paired else 'two unpaired domains'}" if two else "an npz file",
        notes=(*whole.notes, *notes),
        has_test=split == "train" and parts == ["train"] and bool(found["test"]),
    )


def _source(
    location: str, layout: str, items: Sequence[Items], names: Sequence[str] = (), labels: Found | None = None
) -> Source:
    """Returns the source of one part; ``names`` are those of two domains."""
    names = names or ("points" if isinstance(items[0], PointCloud) else "image",)
    domains = dict(zip(names, items, strict=True))
    paired = len(items) == 2 and len(items[0]) == len(items[1])
    channels = {name: images.channels for name, images in domains.items() if isinstance(images, ArrayImages)}
    many = {name: number for name, number in channels.items() if number > 4}
    source = Source(location, layout, domains, paired=paired, channels=many)
    return source if labels is None else labelled(source, labels)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns whatever numpy raises while it reads a file into a ``GancliError``."""
    try:
        yield
    except (*DAMAGED, OSError, KeyError) as error:
        pickled = "allow_pickle" in str(error)
        reason = "it holds Python objects, which are never loaded" if pickled else str(error)
        if isinstance(error, MemoryError):
            reason = "it says to be larger than the memory"
        hint = "save plain uint8 or float arrays with numpy.savez" if pickled else "write or copy it again"
        raise GancliError(f"{path} cannot be read: {reason}", hint) from error


def _first(candidates: Sequence[tuple[str, ...]], keys: list[str]) -> tuple[str, ...]:
    """Returns the first group of keys that are all in the file, or none."""
    return next((group for group in candidates if all(key in keys for key in group)), ())


def _no_images(path: Path, keys: list[str]) -> GancliError:
    for pair in (pair for pairs in SIDE_KEYS.values() for pair in pairs):
        for there, missing in (pair, pair[::-1]):
            if there in keys:
                return GancliError(f"{path} holds {there}, but no {missing}", "two domains are arrays A and B")
    named = ", ".join(sorted(key for names in IMAGE_KEYS.values() for key in names))
    return GancliError(
        f"{path} holds no images: its arrays are {', '.join(keys) or 'none'}",
        f"name the images one of {named}; two domains A and B",
    )


def _items_from(array: NDArray[Any], name: str, limits: Range | None) -> Items:
    if array.ndim == 2 and array.size and array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise GancliError(f"{name} holds points that are not finite")
        return PointCloud(name, array.astype(np.float32))
    hint = (
        f"images are uint8 or float, [N, H, W], [N, H, W, C] or [N, C, H, W] with C up to {MOST_CHANNELS}; "
        "points are float [N, D]; data.range says what is black and white in other numbers"
    )
    if 0 in array.shape:
        raise GancliError(f"{name} is empty: its shape is {list(array.shape)}")
    axis = _channel_axis(array.shape) if array.ndim == 4 else None
    if (array.ndim != 3 and axis is None) or array.dtype.kind not in "buif":
        raise GancliError(f"{name} is {array.dtype} {list(array.shape)}, which is neither images nor points", hint)
    if axis is not None:
        array = np.moveaxis(array, axis, 3)
    if array.dtype == np.uint8:
        return ArrayImages(name, array)
    if array.dtype == np.bool_:
        return ArrayImages(name, array.view(np.uint8) * np.uint8(255))
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    if finite.size == 0:
        raise GancliError(f"{name} holds no finite number")
    low, high = float(finite.min()), float(finite.max())
    if limits is None and array.dtype.kind == "f" and -1 - TOLERANCE <= low < 0 and high <= 1 + TOLERANCE:
        return ArrayImages(name, array, (-1, 1))
    try:
        return ArrayImages(name, array, find_range(low, high, array.dtype, limits, None))
    except BadImage as error:
        raise GancliError(f"{name} cannot be used: {error}", "or save it as uint8, or as floats in [0, 1]") from error


def _channel_axis(shape: tuple[int, ...]) -> int | None:
    """Returns the axis of the channels: as long as those of a picture, or shorter than the others; None: neither."""
    for axis, others in ((3, shape[1:3]), (1, shape[2:])):
        if shape[axis] in (1, 3, 4) or shape[axis] < min(*others, MOST_CHANNELS + 1):
            return axis
    return None


def _labels_from(
    array: NDArray[Any], count: int, name: str, inputs: Inputs | None = None, others: Sequence[Any] = ()
) -> Found:
    array = _column(array)
    if len(array.shape) not in (1, 2) or len(array) != count or array.dtype.kind not in "biufUSM":
        raise GancliError(
            f"{name} is {array.dtype} {list(array.shape)}, which cannot be the labels of {count} images",
            "labels are whole numbers or names, one per image; or attributes [N, K], each 0 or 1",
        )
    found = read_labels(array, inputs, others)
    if found.labels is None and array.ndim == 2:
        raise GancliError(f"{name} cannot be used as labels of {count} images: {found.reason}", "attributes are 0 or 1")
    return found


def _column(array: NDArray[Any]) -> NDArray[Any]:
    """Returns labels [N, 1] as [N]."""
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
