"""Images and points that come as arrays: ``.npz`` and ``.npy`` files, and MNIST's idx files."""

from __future__ import annotations

import gzip
import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gancli.data.files import domain_names
from gancli.data.images import ArrayImages, Joined
from gancli.data.source import Images, PointCloud, Source
from gancli.errors import GancliError

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

Labels = NDArray[np.int64] | NDArray[np.float32]
Items = ArrayImages | PointCloud


def classes_of(labels: Labels) -> tuple[str, ...]:
    """Returns numbers as class names: from 0 to the largest label, or of each attribute of labels [N, K]."""
    if not len(labels):
        return ()
    return tuple(map(str, range(int(labels.max()) + 1 if labels.ndim == 1 else labels.shape[1])))


def read_idx(content: bytes, name: str, dimensions: int) -> NDArray[np.uint8]:
    """Parses an idx file of unsigned bytes, plain or gzipped.

    Args:
        content: the file's bytes.
        name: what errors call it.
        dimensions: number of dimensions that the array must have: 3 for images, 1 for labels.

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
        raise GancliError(f"{name} is not an idx file of unsigned bytes with {dimensions} dimensions", hint)
    shape = tuple(int(side) for side in np.frombuffer(content, ">u4", dimensions, 4))
    expected = start + int(np.prod(shape, dtype=object))
    if len(content) != expected:
        raise GancliError(f"{name} has {len(content):,} bytes, but its header says {expected:,}", hint)
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def open_npz(path: Path, location: str, split: str) -> Source:
    """Opens a ``.npz`` file; see ``read_npz`` for what it may hold.

    Equally long arrays of two domains are pairs. The names of the domains come from the file's name (``sat2map.npz``).

    Raises:
        GancliError: it cannot be read, or has no such part.
    """
    found = read_npz(path, split)
    domains = {name: _joined(parts, path) for name, parts in found.domains.items()}
    channels = {name: _channels(parts[0]) for name, parts in found.domains.items() if _channels(parts[0]) > 4}
    two = len(domains) == 2
    paired = two and len({tuple(map(len, parts)) for parts in found.domains.values()}) == 1
    if two:
        names = domain_names([path.absolute().name, path.resolve().name])
        channels = {name: channels[key] for name, key in zip(names, domains, strict=True) if key in channels}
        domains = dict(zip(names, domains.values(), strict=True))
    known = [part for part in found.labels if part is not None]
    labels: NDArray[Any] | None = None
    if len(known) == len(found.labels) and len({part.shape[1:] for part in known}) == 1:
        labels = np.concatenate(known)
    return Source(
        location,
        ("an npz file with pairs" if paired else "an npz file with two unpaired domains") if two else "an npz file",
        domains,
        labels,
        classes_of(labels) if labels is not None else (),
        paired,
        _fingerprint(path, split),
        found.notes,
        found.has_test,
        channels,
    )


def open_npy(path: Path, location: str, split: str) -> Source:
    """Opens a ``.npy`` file: one array of images or points, as in a ``.npz``, the same for each ``split``.

    Raises:
        GancliError: it cannot be read, or holds neither.
    """
    with _reading(path):
        items = _items_from(np.load(path, allow_pickle=False), str(path))
    name, channels = _domain_of(items), _channels(items)
    return Source(
        location,
        "an npy file",
        {name: items},
        fingerprint=_fingerprint(path, split),
        channels={name: channels} if channels > 4 else {},
    )


def _fingerprint(path: Path, split: str) -> str:
    status = path.stat()
    text = f"{path.resolve()}\0{split}\0{status.st_size}\0{status.st_mtime_ns}"
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).hexdigest()


def _channels(items: Items) -> int:
    return items.channels if isinstance(items, ArrayImages) else 0


def _domain_of(items: Items) -> str:
    """Returns the name of the only domain."""
    return "points" if isinstance(items, PointCloud) else "image"


def _joined(parts: Sequence[Items], path: Path) -> Images:
    if len(parts) == 1:
        return parts[0]
    points = [part.values for part in parts if isinstance(part, PointCloud)]
    if not points:
        return Joined(parts)
    if len(points) < len(parts) or len({values.shape[1] for values in points}) > 1:
        raise GancliError(f"the parts of {path} hold different things", "choose one, such as data.split=train")
    return PointCloud(str(path), np.concatenate(points))


class Arrays(NamedTuple):
    """What ``read_npz`` found.

    Attributes:
        domains: images or points by domain, ``"image"`` or ``"points"``, or ``"A"`` and ``"B"``; part after part.
        labels: of each part.
        has_test: whether the file has a test part besides these images.
        notes: what a person should know.
    """

    domains: dict[str, list[Items]]
    labels: list[Labels | None]
    has_test: bool
    notes: tuple[str, ...]


def read_npz(path: Path, split: str) -> Arrays:
    """Reads a ``.npz`` with images or points and, optionally, labels; or with the images of two domains.

    Images or points are under one of ``IMAGE_KEYS``, labels under one of ``LABEL_KEYS``, two domains under
    ``SIDE_KEYS``; a file without a test part gives everything for every split. Floats [N, D] are points. Four
    dimensions are [N, H, W, C] or [N, C, H, W]: the last one is C if it is 1, 3, 4, or smaller than the others; else
    the second one, by the same rule. Float images are in [0, 1], or in [-1, 1] if any value is negative.

    Raises:
        GancliError: it is damaged, holds Python objects, or no array that can be images or points.
    """
    with _reading(path), np.load(path, allow_pickle=False) as archive:
        keys = list(archive.keys())
        sides = {part: _first(SIDE_KEYS[part], keys) for part in SIDE_KEYS}
        two = any(sides.values())
        found = sides if two else {part: _first([(key,) for key in IMAGE_KEYS[part]], keys) for part in sides}
        parts = [part for part in found if found[part] and split in (part, "all")]
        named_parts = ("x_train", "X_train", "train_images", "trainA")
        if not parts and found["train"] and found["train"][0] not in named_parts:
            parts = ["train"]
        if not parts and not any(found.values()):
            raise _no_images(path, keys)
        if not parts:
            other = "test" if split == "train" else "train"
            raise GancliError(
                f"{path} has no {split} part, only {other}",
                f"to train on it: --set data.split={other}; to look at it: --split {other}",
            )
        groups = [
            [_items_from(archive[found[part][side]], f"{path}:{found[part][side]}") for part in parts]
            for side in range(2 if two else 1)
        ]
        labels: list[Labels | None] = []
        for part, items in zip(parts, groups[0], strict=True):
            key = None if two else next((name for name in LABEL_KEYS[part] if name in keys), None)
            labels.append(None if key is None else _labels_from(archive[key], len(items), f"{path}:{key}"))
    notes = tuple(
        f"{' and '.join(unused)}: another part, not used (data.split is {split})"
        for part, unused in found.items()
        if unused and part not in parts
    )
    names = ("A", "B") if two else (_domain_of(groups[0][0]),)
    has_test = split == "train" and parts == ["train"] and bool(found["test"])
    return Arrays(dict(zip(names, groups, strict=True)), labels, has_test, notes)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns whatever numpy raises while it reads a file into a ``GancliError``."""
    try:
        yield
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        pickled = "allow_pickle" in str(error)
        reason = "it holds Python objects, which are never loaded" if pickled else str(error)
        hint = "save plain uint8 or float arrays with numpy.savez" if pickled else "write or copy it again"
        raise GancliError(f"{path} cannot be read: {reason}", hint) from error


def _first(candidates: Iterable[tuple[str, ...]], keys: list[str]) -> tuple[str, ...]:
    """Returns the first group of keys that are all in the file, or none."""
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


def _items_from(array: NDArray[Any], name: str) -> Items:
    if array.ndim == 2 and array.size and array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise GancliError(f"{name} holds points that are not finite")
        return PointCloud(name, array.astype(np.float32))
    hint = (
        f"images are uint8 or float, [N, H, W], [N, H, W, C] or [N, C, H, W] with C up to {MOST_CHANNELS}; "
        "points are float [N, D]"
    )
    axis = _channel_axis(array.shape) if array.ndim == 4 else None
    if 0 in array.shape or (array.ndim != 3 and axis is None):
        raise GancliError(f"{name} has the shape {list(array.shape)}, which is not a list of images or points", hint)
    if axis is not None:
        array = np.moveaxis(array, axis, 3)
    if array.dtype == np.uint8:
        return ArrayImages(name, array)
    if array.dtype.kind != "f":
        raise GancliError(f"{name} holds {array.dtype}, which cannot be images", hint)
    finite = array[np.isfinite(array)]
    if len(finite) == 0:
        raise GancliError(f"{name} holds no finite number")
    low, high = float(finite.min()), float(finite.max())
    # Averaging and filters leave values a little over 1.
    if not (low >= -1.001 and high <= 1.001):
        raise GancliError(
            f"{name} holds numbers from {low:.4g} to {high:.4g}",
            "float images lie in [0, 1] or [-1, 1]; or save uint8",
        )
    return ArrayImages(name, np.clip(array, -1, 1), -1.0 if low < 0 else 0.0)


def _channel_axis(shape: tuple[int, ...]) -> int | None:
    """Returns the axis of the channels: as long as those of a picture, or shorter than the others; None: neither."""
    for axis, others in ((3, shape[1:3]), (1, shape[2:])):
        if shape[axis] in (1, 3, 4) or shape[axis] < min(*others, MOST_CHANNELS + 1):
            return axis
    return None


def _labels_from(array: NDArray[Any], count: int, name: str) -> Labels:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and len(array) == count and np.isin(array, (0, 1)).all():
        return array.astype(np.float32)
    if array.shape != (count,) or array.dtype.kind not in "iu" or (count and array.min() < 0):
        raise GancliError(
            f"{name} is {array.dtype} {list(array.shape)}, which cannot be the labels of {count} images",
            "labels are whole numbers >= 0, one per image; or attributes [N, K], each 0 or 1",
        )
    return array.astype(np.int64)
