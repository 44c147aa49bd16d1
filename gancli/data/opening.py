"""Opens a SOURCE: the built-in data, torchvision's data sets, arrays, folders and archives."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from gancli.data.arrays import open_arrays
from gancli.data.files import open_files
from gancli.data.layouts import open_layout
from gancli.data.levels import Range
from gancli.data.named import NAMES, open_named
from gancli.data.shapes import open_shapes
from gancli.data.source import Source
from gancli.data.toy import WORDS as TOYS
from gancli.data.toy import open_toy
from gancli.domains import Inputs
from gancli.errors import GancliError, nearest

BUILT_IN = {"shapes": open_shapes, "toy": open_toy}
"""By the part of a SOURCE before the colon."""
HINT = (
    "SOURCE is shapes, toy:ring, a folder of images, a zip, tar, npz or npy file, a folder of MNIST idx files, "
    f"or one of {', '.join(NAMES)}"
)


def open_source(
    location: str,
    split: str = "train",
    *,
    inputs: Inputs | None = None,
    domains: tuple[str, ...] | None = None,
    limits: Range | None = None,
) -> Source:
    """Recognises what a SOURCE is; images are not decoded yet.

    Some data can be read in several ways, see docs/data.md; ``check`` says whether the result is enough.

    Args:
        location: a name (``shapes`` or a variant of it, ``toy:ring`` or other points, a torchvision name), a directory,
            or a zip, tar, ``.npz`` or ``.npy`` file. A name always means that data set; a path of the same name is
            written with a slash (``./mnist``).
        split: ``"train"``, ``"test"`` or ``"all"``, for data that come in parts.
        inputs: what the networks take; by default what the layout suggests is taken.
        domains: names for the domains, in their order, instead of those that were found. The found names in another
            order put the domains into that order.
        limits: the numbers that become black and white in images of more than 8 bits; None: see docs/data.md.

    Raises:
        GancliError: it cannot be read, or does not hold the images, the part or the domains that are asked for.
    """
    source = _open(location, split, inputs, limits)
    if domains is None or domains == tuple(source.domains):
        return source
    if len(domains) != len(source.domains):
        held, hint = " and ".join(source.domains), ""
        if len(source.domains) == 1:
            held, hint = "one set of images", "leave data.domains out, or put the two sets into two folders"
        raise GancliError(f"data.domains names {' and '.join(domains)}, but {location} holds {held}", hint)
    if set(domains) == set(source.domains):
        ordered = {name: source.domains[name] for name in domains}
        return replace(source, domains=ordered, fingerprint=f"{source.fingerprint} {' '.join(domains)}")
    names = dict(zip(source.domains, domains, strict=True))
    return replace(
        source,
        domains={names[name]: images for name, images in source.domains.items()},
        channels={names[name]: channels for name, channels in source.channels.items()},
    )


def is_name(location: str) -> bool:
    """Returns whether a SOURCE names data that are built in or torchvision's, and so the same everywhere."""
    return location in NAMES or location.partition(":")[0] in BUILT_IN


def _open(location: str, split: str, inputs: Inputs | None, limits: Range | None) -> Source:
    if (opened := BUILT_IN.get(location.partition(":")[0])) is not None:
        return opened(location, split)
    if location in NAMES:
        return open_named(location, split)
    path = Path(location).expanduser()
    try:
        missing = not location or not path.exists()
    except OSError as error:
        raise GancliError(f"{location} cannot be read: {error.strerror or error}") from error
    if missing:
        near = nearest(location, ("shapes", *TOYS, *NAMES))
        if not near and path.parent.is_dir():
            with suppress(OSError):
                near = nearest(str(path), map(str, path.parent.iterdir()))
        raise GancliError(f"{location!r} does not exist", near or HINT)
    if path.suffix.lower() in (".npz", ".npy") and path.is_file():
        return open_arrays(path, location, split, limits, inputs)
    files = open_files(path)
    if files is None:
        raise GancliError(f"{location} is neither a folder nor an archive", HINT)
    return open_layout(files, location, split, inputs, limits)


def absolute(location: str) -> str:
    """Returns a SOURCE that means the same in any working directory; names and missing paths stay as they are."""
    if is_name(location):
        return location
    path = Path(location).expanduser()
    return str(path.resolve()) if path.exists() else location
