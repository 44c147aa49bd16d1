"""torchvision's data sets by name, kept under ``$GANCLI_HOME/data``; missing ones are downloaded.

Importable without torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gancli.data.arrays import classes_of
from gancli.data.files import DirectoryFiles
from gancli.data.formats import to_pixels
from gancli.data.images import Joined
from gancli.data.layouts import open_layout
from gancli.data.place import join_labels
from gancli.data.source import BadImage, Pixels, Source
from gancli.errors import GancliError
from gancli.home import home

TIMEOUT = 30.0
"""Seconds without an answer until a download counts as failed."""


class Known(NamedTuple):
    """How torchvision spells a data set.

    Attributes:
        name: of the class in ``torchvision.datasets``.
        part: the constructor's arguments that choose ``"train"`` or ``"test"``.
        files: the folder below the root where a person may put the downloaded files, and their names.
    """

    name: str
    part: Callable[[str], dict[str, Any]]
    files: Callable[[Any, str], tuple[str, list[str]]]


def _by_train(part: str) -> dict[str, Any]:
    return {"train": part == "train"}


def _by_split(part: str) -> dict[str, Any]:
    return {"split": part}


def _idx_files(kind: Any, part: str) -> tuple[str, list[str]]:
    begin = "train" if part == "train" else "t10k"
    return f"{kind.__name__}/raw", [
        name for url, _ in kind.resources if (name := url.rpartition("/")[2]).startswith(begin)
    ]


def _archive(kind: Any, part: str) -> tuple[str, list[str]]:
    return "", [kind.filename]


def _by_part(kind: Any, part: str) -> tuple[str, list[str]]:
    return "", [kind.split_list[part][1]]


def _celeba_files(kind: Any, part: str) -> tuple[str, list[str]]:
    return kind.base_folder, [name.replace(".zip", ".zip (unpacked)") for _, _, name in kind.file_list]


_KNOWN = {
    "mnist": Known("MNIST", _by_train, _idx_files),
    "fashion-mnist": Known("FashionMNIST", _by_train, _idx_files),
    "kmnist": Known("KMNIST", _by_train, _idx_files),
    "usps": Known("USPS", _by_train, _by_part),
    "cifar10": Known("CIFAR10", _by_train, _archive),
    "cifar100": Known("CIFAR100", _by_train, _archive),
    "svhn": Known("SVHN", _by_split, _by_part),
    "stl10": Known("STL10", _by_split, _archive),
    "celeba": Known("CelebA", _by_split, _celeba_files),
}
"""How torchvision spells each data set."""

NAMES = tuple(_KNOWN)
"""The names that a SOURCE can be."""


class TorchvisionImages:
    """The images of a torchvision data set whose items are (Pillow image, target)."""

    def __init__(self, name: str, dataset: Any) -> None:
        self._name, self._dataset = name, dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def name(self, index: int) -> str:
        return f"{self._name}[{index}]"

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        try:
            image = self._dataset[index][0]
            image.load()
            return to_pixels(image, channels)
        except (OSError, ValueError, SyntaxError) as error:
            raise BadImage(str(error)) from error


def open_named(name: str, split: str) -> Source:
    """Opens one of ``NAMES``.

    Raises:
        GancliError: its files are missing and cannot be downloaded; the hint says where to put them.
    """
    from torchvision import datasets

    known = _KNOWN[name]
    kind = getattr(datasets, known.name)
    root = home() / "data"
    parts = ["train", "test"] if split == "all" else [split]
    if known.files is _idx_files:
        return _open_idx(name, known, kind, root, split)
    opened = [_open_part(name, known, kind, root, part) for part in parts]
    labels, classes, _ = join_labels([_labels(dataset) for dataset in opened])
    images = Joined([TorchvisionImages(name, dataset) for dataset in opened])
    # torchvision checks the files against known checksums, so the name is enough.
    fingerprint = hashlib.blake2b(f"{name}\0{split}\0{len(images)}".encode(), digest_size=16).hexdigest()
    return Source(
        name,
        f"torchvision's {known.name}",
        {"image": images},
        labels,
        classes,
        fingerprint=fingerprint,
        notes=_shadowed(name),
        has_test=split == "train",
    )


def _open_idx(name: str, known: Known, kind: Any, root: Path, split: str) -> Source:
    """Opens MNIST or its kin: torchvision fetches the idx files, and they are read like those of any folder."""
    folder = root / known.files(kind, "train")[0]
    for part in ["train", "test"] if split == "all" else [split]:
        files = known.files(kind, part)[1]
        if not all((folder / file).exists() or (folder / file.removesuffix(".gz")).exists() for file in files):
            _open_part(name, known, kind, root, part)
    source = open_layout(DirectoryFiles(folder), name, split, None)
    classes = tuple(kind.classes) if source.labels is not None else ()
    words = f"torchvision's {known.name}"
    return replace(source, layout=words, classes=classes, notes=source.notes + _shadowed(name))


def _shadowed(name: str) -> tuple[str, ...]:
    """Returns the note about a path of the same name: a name always means the data set."""
    return (f"./{name} here is not used; write ./{name} to name it",) if Path(name).exists() else ()


def _open_part(name: str, known: Known, kind: Any, root: Path, part: str) -> Any:
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        # torchvision prints to stdout, which carries results only. The CIFAR files hold pickles; it compares their
        # checksums before it loads them.
        with contextlib.redirect_stdout(sys.stderr):
            try:
                return kind(root, **known.part(part))
            except (RuntimeError, FileNotFoundError):
                root.mkdir(parents=True, exist_ok=True)
                return kind(root, **known.part(part), download=True)
    except ModuleNotFoundError as error:
        raise GancliError(
            f"{name} cannot be read without the package {error.name}", f"pip install {error.name}"
        ) from error
    except (RuntimeError, OSError, ValueError) as error:
        folder, files = known.files(kind, part)
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise GancliError(
            f"{name} is not in {root} and cannot be downloaded: {reason}",
            f"download {', '.join(files)} elsewhere and put {'it' if len(files) == 1 else 'them'} into {root / folder}",
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)


def _labels(dataset: Any) -> tuple[Any, tuple[str, ...]]:
    """Returns a torchvision data set's labels or attributes, and their names."""
    if hasattr(dataset, "attr"):
        # CelebA's list of names ends in an empty one.
        names = tuple(name for name in dataset.attr_names if name)
        return np.asarray(dataset.attr, np.float32), names
    values = np.asarray(dataset.targets if hasattr(dataset, "targets") else dataset.labels, np.int64)
    classes = tuple(dataset.classes) if getattr(dataset, "classes", None) else classes_of(values)
    return values, classes
