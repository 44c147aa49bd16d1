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
from gancli.data.images import join
from gancli.data.layouts import open_layout
from gancli.data.source import BadImage, Numbered, Pixels, Source
from gancli.errors import GancliError
from gancli.home import home

TIMEOUT = 30.0
"""Seconds without an answer until a download counts as failed."""


class Known(NamedTuple):
    """How torchvision spells a data set.

    Attributes:
        name: of the class in ``torchvision.datasets``.
        files: returns, for that class and a part, the folder below the root where a person may put the downloaded
            files, and their names.
        splits: the constructor takes ``split="train"`` or ``"test"``; otherwise ``train=True`` or ``False``.
    """

    name: str
    files: Callable[[Any, str], tuple[str, list[str]]]
    splits: bool = False


def _idx_files(kind: Any, part: str) -> tuple[str, list[str]]:
    names = [url.rpartition("/")[2] for url, _ in kind.resources]
    begin = "train" if part == "train" else "t10k"
    return f"{kind.__name__}/raw", [name for name in names if name.startswith(begin)]


def _archive(kind: Any, part: str) -> tuple[str, list[str]]:
    return "", [kind.filename]


def _by_part(kind: Any, part: str) -> tuple[str, list[str]]:
    return "", [kind.split_list[part][1]]


def _celeba_files(kind: Any, part: str) -> tuple[str, list[str]]:
    return kind.base_folder, [name.replace(".zip", ".zip (unpacked)") for _, _, name in kind.file_list]


_KNOWN = {
    "mnist": Known("MNIST", _idx_files),
    "fashion-mnist": Known("FashionMNIST", _idx_files),
    "kmnist": Known("KMNIST", _idx_files),
    "usps": Known("USPS", _by_part),
    "cifar10": Known("CIFAR10", _archive),
    "cifar100": Known("CIFAR100", _archive),
    "svhn": Known("SVHN", _by_part, splits=True),
    "stl10": Known("STL10", _archive, splits=True),
    "celeba": Known("CelebA", _celeba_files, splits=True),
}

NAMES = tuple(_KNOWN)
"""The names that a SOURCE can be."""


class TorchvisionImages(Numbered):
    """The images of a torchvision data set whose items are (Pillow image, target)."""

    def __init__(self, name: str, dataset: Any) -> None:
        super().__init__(name, dataset)
        self._dataset = dataset

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
    words = f"torchvision's {known.name}"
    # A name always means the data set.
    notes = (f"./{name} here is not used; write ./{name} to name it",) if Path(name).exists() else ()
    if known.files is _idx_files:
        # torchvision fetches the idx files, and they are read like those of any folder.
        for part in parts:
            folder, files = known.files(kind, part)
            paths = [root / folder / file for file in files]
            if not all(path.exists() or path.with_suffix("").exists() for path in paths):
                _open_part(name, known, kind, root, part)
        source = open_layout(DirectoryFiles(root / folder), name, split, None)
        classes = tuple(kind.classes) if source.labels is not None else ()
        return replace(source, layout=words, classes=classes, notes=source.notes + notes)
    sources = []
    for part in parts:
        dataset = _open_part(name, known, kind, root, part)
        sources.append(Source(name, words, {"image": TorchvisionImages(name, dataset)}, *_labels(dataset)))
    source = join(sources)
    # torchvision checks the files against known checksums, so the name is enough.
    text = f"{name}\0{split}\0{len(source.domains['image'])}"
    fingerprint = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return replace(source, fingerprint=fingerprint, notes=notes, has_test=split == "train")


def _open_part(name: str, known: Known, kind: Any, root: Path, part: str) -> Any:
    which = {"split": part} if known.splits else {"train": part == "train"}
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        # torchvision prints to stdout, which carries results only. The CIFAR files hold pickles; it compares their
        # checksums before it loads them.
        with contextlib.redirect_stdout(sys.stderr):
            try:
                return kind(root, **which)
            except (RuntimeError, FileNotFoundError):
                root.mkdir(parents=True, exist_ok=True)
                return kind(root, **which, download=True)
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
