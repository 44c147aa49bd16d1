"""torchvision's data sets by name, kept under ``$GANCLI_HOME/data``; missing ones are downloaded.

Importable without torch.
"""

from __future__ import annotations

import contextlib
import inspect
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gancli.data.files import DirectoryFiles
from gancli.data.images import join
from gancli.data.labels import numbered
from gancli.data.layouts import open_layout
from gancli.data.pixels import to_pixels
from gancli.data.source import BadImage, Numbered, Pixels, Source, fingerprint
from gancli.errors import GancliError
from gancli.home import home

TIMEOUT = 30.0  # seconds without an answer until a download counts as failed

NAMES = {
    "mnist": "MNIST",
    "fashion-mnist": "FashionMNIST",
    "kmnist": "KMNIST",
    "usps": "USPS",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "svhn": "SVHN",
    "stl10": "STL10",
    "celeba": "CelebA",
}
"""The names that a SOURCE can be, and those of the classes in ``torchvision.datasets``."""


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

    kind = getattr(datasets, NAMES[name])
    parts = ["train", "test"] if split == "all" else [split]
    words = f"torchvision's {NAMES[name]}"
    # A name always means the data set.
    notes = (f"./{name} here is not used; write ./{name} to name it",) if Path(name).exists() else ()
    if hasattr(kind, "resources"):
        # torchvision fetches the idx files of MNIST and similar data sets; they are read as in any folder.
        for part in parts:
            folder, files = _files(kind, part)
            if not all((folder / file).exists() or (folder / file).with_suffix("").exists() for file in files):
                _open_part(name, kind, part)
        source = open_layout(DirectoryFiles(folder), name, split, None)
        classes = tuple(kind.classes) if source.labels is not None else ()
        return replace(source, layout=words, classes=classes, notes=source.notes + notes)
    sources = []
    for part in parts:
        dataset = _open_part(name, kind, part)
        sources.append(Source(name, words, {"image": TorchvisionImages(name, dataset)}, *_labels(dataset)))
    source = join(sources)
    # torchvision checks the files against known checksums, so the name is enough.
    known_by = fingerprint(f"{name}\0{split}\0{len(source.domains['image'])}")
    return replace(source, fingerprint=known_by, notes=notes, has_test=split == "train")


def _files(kind: Any, part: str) -> tuple[Path, list[str]]:
    """Returns the folder for the downloaded files of a part, and their names."""
    root: Path = home() / "data"
    if hasattr(kind, "resources"):
        names = [url.rpartition("/")[2] for url, _ in kind.resources]
        begin = "train" if part == "train" else "t10k"
        return root / kind.__name__ / "raw", [name for name in names if name.startswith(begin)]
    if hasattr(kind, "split_list"):
        return root, [kind.split_list[part][1]]
    if hasattr(kind, "file_list"):
        names = [name for _, _, name in kind.file_list]
        return root / kind.base_folder, [name.replace(".zip", ".zip (unpacked)") for name in names]
    return root, [kind.filename]


def _open_part(name: str, kind: Any, part: str) -> Any:
    root = home() / "data"
    which = {"split": part} if "split" in inspect.signature(kind).parameters else {"train": part == "train"}
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
        needed = error.name
        raise GancliError(f"{name} cannot be read without the package {needed}", f"pip install {needed}") from error
    except (RuntimeError, OSError, ValueError) as error:
        folder, files = _files(kind, part)
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        here = f"write ./{name} for the one here, or " if Path(name).exists() else ""
        raise GancliError(
            f"{name} is not in {root} and cannot be downloaded: {reason}",
            f"{here}download {', '.join(files)} elsewhere and put {'it' if len(files) == 1 else 'them'} into {folder}",
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
    classes = tuple(dataset.classes) if getattr(dataset, "classes", None) else numbered(values).classes
    return values, classes
