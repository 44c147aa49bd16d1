"""What a SOURCE is: lists of images, with labels where the layout gives them. Importable without torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from gancli.errors import GancliError, nearest

if TYPE_CHECKING:
    from gancli.architectures.base import DataNeeds

NAMES = ("mnist", "fashion-mnist", "kmnist", "usps", "cifar10", "cifar100", "svhn", "stl10", "celeba")
"""torchvision's data sets that a SOURCE can be; ``gancli.data.named`` knows them."""

KINDS_OF_SOURCE = (
    "shapes, a folder of images, a zip, tar or npz file, a folder of MNIST idx files, or one of " + ", ".join(NAMES)
)

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


def open_source(location: str, split: str = "train", *, one_set: bool = False) -> Source:
    """Recognises what a SOURCE is; images are not decoded yet.

    A name (``shapes``, ``mnist``) always means the built-in or torchvision data; a path of the same name is written
    with a slash (``./mnist``).

    Args:
        location: ``shapes`` or a variant of it, a directory, a zip, tar or ``.npz`` file, or a torchvision name.
        split: ``"train"``, ``"test"`` or ``"all"``, for data that is delivered in parts.
        one_set: the caller has a use for one set of images only, so two folders of same-named images are two classes
            and not pairs.

    Raises:
        GancliError: there is nothing of that name, it holds no images, not that part, or cannot be read.
    """
    # Imported here since these modules build on this one, and torchvision's takes seconds.
    from gancli.data.shapes import open_shapes

    if location == "shapes" or location.startswith("shapes:"):
        return open_shapes(location)
    if location in NAMES:
        from gancli.data.named import open_named

        return open_named(location, split)
    path = Path(location).expanduser()
    try:
        missing = not location or not path.exists()
    except OSError as error:
        raise GancliError(f"{location} cannot be read: {error.strerror or error}") from error
    if missing:
        raise _unknown(location, path)
    if path.suffix.lower() == ".npz" and path.is_file():
        return _open_npz(path, location, split)
    from gancli.data.files import open_files
    from gancli.data.layouts import open_layout

    files = open_files(path)
    if files is None:
        raise GancliError(f"{location} is neither a folder nor an archive", f"SOURCE is {KINDS_OF_SOURCE}")
    return open_layout(files, location, split, one_set)


def _open_npz(path: Path, location: str, split: str) -> Source:
    from gancli.data.arrays import Joined, classes_of, read_npz

    images, labels, notes = read_npz(path, split)
    known = [part for part in labels if part is not None]
    status = path.stat()
    fingerprint = f"{path.resolve()}\0{split}\0{status.st_size}\0{status.st_mtime_ns}"
    joined = np.concatenate(known) if len(known) == len(images) else None
    return Source(
        location,
        "an npz file",
        {"image": images[0] if len(images) == 1 else Joined(list(images))},
        joined,
        classes_of(joined) if joined is not None else (),
        fingerprint=hashlib.blake2b(fingerprint.encode(errors="surrogateescape"), digest_size=16).hexdigest(),
        notes=notes,
    )


def _unknown(location: str, path: Path) -> GancliError:
    """The error for a SOURCE that is neither a name nor an existing path."""
    near = nearest(location, ("shapes", *NAMES))
    if not near and path.parent.is_dir():
        try:
            near = nearest(str(path), [str(entry) for entry in path.parent.iterdir()])
        except OSError:
            near = ""
    return GancliError(f"{location!r} does not exist", near or f"SOURCE is {KINDS_OF_SOURCE}")


def check(source: Source, needs: DataNeeds) -> str | None:
    """Returns in words why an architecture with these needs cannot train on a source; None if it can."""
    count, names = len(source.domains), " and ".join(source.domains)
    if needs.domains == 1 and count > 1:
        reason = "same-named images of two folders" if source.paired else "two domains"
        return f"it needs one set of images, but {source.location} holds {reason}: {names}"
    if count != needs.domains:
        return f"it needs {needs.domains} sets of images, but {source.location} holds {count}"
    if needs.paired and not source.paired:
        return f"it needs pairs of images, but nothing pairs {names} of {source.location}"
    if needs.labels and source.labels is None:
        return f"it needs a class for every image, but {source.location} has no labels"
    if needs.labels and source.labels is not None and source.labels.ndim != 1:
        return f"it needs one class for every image, but {source.location} has attributes"
    return None


def absolute(location: str) -> str:
    """Returns a SOURCE that means the same from any working directory; names and what is not there stay as they are."""
    if location in NAMES or location == "shapes" or location.startswith("shapes:"):
        return location
    path = Path(location).expanduser()
    return str(path.resolve()) if path.exists() else location
