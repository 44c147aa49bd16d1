"""What a SOURCE is: lists of images, with labels where the layout gives them. Importable without torch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from gancli.errors import GancliError, nearest

if TYPE_CHECKING:
    from gancli.domains import Inputs

NAMES = ("mnist", "fashion-mnist", "kmnist", "usps", "cifar10", "cifar100", "svhn", "stl10", "celeba")
"""torchvision's data sets that a SOURCE can be; ``gancli.data.named`` knows them."""

KINDS_OF_SOURCE = (
    "shapes, a folder of images, a zip, tar or npz file, a folder of MNIST idx files, or one of " + ", ".join(NAMES)
)

Pixels = NDArray[np.uint8]
"""One decoded image: uint8 [H, W, C]; C = 1 is grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha."""

DOMAIN_NAMES = re.compile(r"([^\W\d_](?:[^\W\d_]|-)+)2([^\W\d_](?:[^\W\d_]|-)+?)(?:[- .(]+v?\d.*)?")
"""What is named like ``horse2zebra``; a size or version may follow, as in ``vangogh2photo-256``."""
ARCHIVE_ENDING = re.compile(r"\.(zip|npz|t(ar|gz|bz2?|xz)|tar\.\w+)$", re.IGNORECASE)


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
        domains: images by what a user calls the domain; one-domain data has the one key ``"image"``.
        labels: int64 [N] class indices, float32 [N, K] attributes in {0, 1}, or None.
        classes: names of the classes or attributes, in the order of the labels.
        paired: whether image i of each domain shows the same thing.
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


def open_source(
    location: str,
    split: str = "train",
    *,
    inputs: Inputs | None = None,
    domains: tuple[str, ...] | None = None,
) -> Source:
    """Recognises what a SOURCE is; images are not decoded yet.

    Some data can be read in several ways: two folders are two classes, two domains, or pairs where the names are the
    same; wide images are pairs side by side for who needs pairs. ``check`` says whether what was
    found is enough.

    A name (``shapes``, ``mnist``) always means the built-in or torchvision data; a path of the same name is written
    with a slash (``./mnist``).

    Args:
        location: ``shapes`` or a variant of it, a directory, a zip, tar or ``.npz`` file, or a torchvision name.
        split: ``"train"``, ``"test"`` or ``"all"``, for data that is delivered in parts.
        needs: what the images are for; by default what the layout suggests is taken.
        domains: what to call the domains, in their order, instead of the names that were found.

    Raises:
        GancliError: there is nothing of that name, it holds no images, not that part, cannot be read, or has another
            number of domains than are named.
    """
    source = _open(location, split, inputs)
    if domains is None:
        return source
    if len(domains) != len(source.domains):
        raise GancliError(
            f"data.domains names {' and '.join(domains)}, but {location} holds "
            + (" and ".join(source.domains) if len(source.domains) > 1 else "one set of images"),
            "" if len(source.domains) > 1 else "leave data.domains out, or put the two sets into two folders",
        )
    names = dict(zip(source.domains, domains, strict=True))
    return replace(
        source,
        domains={names[name]: images for name, images in source.domains.items()},
        channels={names[name]: channels for name, channels in source.channels.items()},
    )


def _open(location: str, split: str, inputs: Inputs | None) -> Source:
    # Imported here since these modules build on this one, and torchvision's takes seconds.
    from gancli.data.shapes import open_shapes

    if location == "shapes" or location.startswith("shapes:"):
        return open_shapes(location, split)
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
    return open_layout(files, location, split, inputs)


def _open_npz(path: Path, location: str, split: str) -> Source:
    from gancli.data.arrays import Joined, classes_of, read_npz

    found = read_npz(path, split)
    domains = {name: parts[0] if len(parts) == 1 else Joined(list(parts)) for name, parts in found.domains.items()}
    channels = {name: parts[0].channels for name, parts in found.domains.items() if parts[0].channels > 4}
    two = len(domains) == 2
    paired = two and len({tuple(map(len, parts)) for parts in found.domains.values()}) == 1
    if two:
        names = domain_names([path.absolute().name, path.resolve().name])
        channels = {name: channels[key] for name, key in zip(names, domains, strict=True) if key in channels}
        domains = dict(zip(names, domains.values(), strict=True))
    known = [part for part in found.labels if part is not None]
    labels = np.concatenate(known) if len(known) == len(found.labels) else None
    status = path.stat()
    fingerprint = f"{path.resolve()}\0{split}\0{status.st_size}\0{status.st_mtime_ns}"
    return Source(
        location,
        ("an npz file with pairs" if paired else "an npz file with two unpaired domains") if two else "an npz file",
        domains,
        labels,
        classes_of(labels) if labels is not None else (),
        paired,
        hashlib.blake2b(fingerprint.encode(errors="surrogateescape"), digest_size=16).hexdigest(),
        found.notes,
        found.has_test,
        channels,
    )


def domain_names(folders: Iterable[str]) -> tuple[str, str]:
    """Returns the names of two domains that have none of their own.

    Args:
        folders: names of the folders or archives that hold them, or the title of a checkpoint. The first piece
            between underscores that is like ``horse2zebra`` is taken: the rest says where the images are from, as in
            ``summer2winter_yosemite`` and ``facades_label2photo``.

    Returns:
        ``("horse", "zebra")``; without such a piece ``("A", "B")``.
    """
    for folder in folders:
        for piece in ARCHIVE_ENDING.sub("", folder).split("_"):
            match = DOMAIN_NAMES.fullmatch(piece)
            if match is not None:
                first, second = match[1].rstrip("-"), match[2].rstrip("-")
                if first.lower() != second.lower():
                    return first, second
    return "A", "B"


def _unknown(location: str, path: Path) -> GancliError:
    """The error for a SOURCE that is neither a name nor an existing path."""
    near = nearest(location, ("shapes", *NAMES))
    if not near and path.parent.is_dir():
        try:
            near = nearest(str(path), [str(entry) for entry in path.parent.iterdir()])
        except OSError:
            near = ""
    return GancliError(f"{location!r} does not exist", near or f"SOURCE is {KINDS_OF_SOURCE}")


def check(source: Source, inputs: Inputs) -> str | None:
    """Returns in words why an architecture with these inputs cannot train on a source; None if it can."""
    count, wanted, names = len(source.domains), len(inputs.domains), " and ".join(source.domains)
    labels = inputs.labels != "none"
    if wanted == 1 and count > 1:
        reason = "pairs of images" if source.paired else "two domains"
        return f"it needs one set of images, but {source.location} holds {reason}: {names}"
    if count != wanted:
        return f"it needs {wanted} sets of images, but {source.location} holds {count} ({source.layout})"
    if inputs.paired and not source.paired:
        return f"it needs pairs of images, but nothing pairs {names} of {source.location} ({source.layout})"
    if labels and source.labels is None:
        return f"it needs a class for every image, but {source.location} has no labels"
    if labels and source.labels is not None and source.labels.ndim != 1:
        return f"it needs one class for every image, but {source.location} has attributes"
    if inputs.classes is not None and inputs.classes != len(source.classes):
        return (
            f"it is made for {inputs.classes} classes, but {source.location} has {len(source.classes)}: "
            f"--set model.classes={len(source.classes)}"
        )
    return None


def same_proportions(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Returns whether two (width, height) are alike in shape: scaled to the smaller one, they differ by less than a
    pixel."""
    (width, height), (large_width, large_height) = sorted((one, other))
    # large / small is the same for both sides; either rounding may have made the smaller image.
    difference = abs(large_width * height - large_height * width)
    return difference < max(large_width, large_height)


def absolute(location: str) -> str:
    """Returns a SOURCE that means the same from any working directory; names and what is not there stay as they are."""
    if location in NAMES or location == "shapes" or location.startswith("shapes:"):
        return location
    path = Path(location).expanduser()
    return str(path.resolve()) if path.exists() else location
