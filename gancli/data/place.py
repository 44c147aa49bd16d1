"""What the recognisers of layouts take and return: a folder of a directory or an archive, and its layout."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from gancli.data.arrays import Labels
from gancli.data.files import Files, domain_names, natural
from gancli.data.formats import is_image
from gancli.data.images import Joined
from gancli.data.source import Images
from gancli.domains import Inputs
from gancli.errors import GancliError

PARTS = {
    "train": ("train", "training"),
    "test": ("test", "testing", "val", "valid", "validation"),
}
SIDE = re.compile(r"(train|test|val)[ab]")


@dataclass(frozen=True)
class Layout:
    """What was recognised in a place; the fields are those of ``Source``."""

    words: str
    domains: Mapping[str, Images]
    labels: Labels | None = None
    classes: tuple[str, ...] = ()
    paired: bool = False
    notes: tuple[str, ...] = ()
    has_test: bool = False


@dataclass(frozen=True)
class Place:
    """A folder and everything below it.

    Attributes:
        files: the directory or archive that it is in.
        location: the SOURCE as the user gave it.
        split: ``"train"``, ``"test"`` or ``"all"``.
        inputs: what the images are for; None: what the layout suggests is taken.
        prefix: the path of the folder in ``files``, with a slash at its end; empty for the top.
        names: of the files below it, each with the prefix, in order.
    """

    files: Files
    location: str
    split: str
    inputs: Inputs | None
    prefix: str
    names: list[str]

    @property
    def wanted(self) -> int | None:
        """The number of domains that the networks take; None if that is not known."""
        return None if self.inputs is None else len(self.inputs.domains)

    @property
    def several(self) -> bool:
        """Whether the networks take more than one domain."""
        return self.wanted is not None and self.wanted > 1

    @property
    def paired(self) -> bool:
        """Whether the networks need pairs."""
        return self.inputs is not None and self.inputs.paired

    @cached_property
    def top(self) -> list[str]:
        """The files directly in this folder."""
        return [name for name in self.names if "/" not in name[len(self.prefix) :]]

    @cached_property
    def images(self) -> list[str]:
        """The images directly in this folder."""
        return [name for name in self.top if is_image(name)]

    @cached_property
    def folders(self) -> dict[str, Place]:
        """The folders in this one by name, in natural order."""
        below: dict[str, list[str]] = {}
        for name in self.names:
            folder, slash, _ = name[len(self.prefix) :].partition("/")
            if slash:
                below.setdefault(folder, []).append(name)
        return {
            folder: replace(self, prefix=f"{self.prefix}{folder}/", names=below[folder])
            for folder in sorted(below, key=natural)
        }

    @cached_property
    def image_folders(self) -> dict[str, Place]:
        """The folders with images somewhere below, without their other files."""
        found = {
            folder: replace(below, names=list(filter(is_image, below.names))) for folder, below in self.folders.items()
        }
        return {folder: below for folder, below in found.items() if below.names}

    @cached_property
    def by_name(self) -> dict[str, str]:
        """The names of the folders by their lower-case form."""
        return {folder.lower(): folder for folder in self.folders}

    @property
    def has_parts(self) -> bool:
        """Whether any folder is called like a part of a data set, such as ``train`` or ``val``."""
        return any(name in self.by_name for names in PARTS.values() for name in names)

    @cached_property
    def sides(self) -> set[str]:
        """The folders called like one side of a part, such as ``trainA``, in lower case."""
        return {name for name in self.by_name if SIDE.fullmatch(name)}

    def names_of_domains(self) -> tuple[str, str]:
        """Returns the names of two domains in this folder whose own folders do not give them."""
        path = self.files.path
        return domain_names([*reversed(self.prefix.split("/")), path.absolute().name, path.resolve().name])

    def choose(self, there: Callable[[str], bool]) -> list[str]:
        """Returns the folder names of the parts that the split means, of those for which ``there`` is true.

        Raises:
            GancliError: there are none.
        """
        chosen = []
        for part in ("train", "test"):
            known = [folder for folder in PARTS[part] if there(folder)]
            if self.split == "all":
                chosen += known
            elif self.split == part:
                chosen += known[:1]
        if not chosen:
            other = "test" if self.split == "train" else "train"
            raise GancliError(
                f"{self.location} has no {self.split} part, only {other}",
                f"to train on it: --set data.split={other}; to look at it: --split {other}",
            )
        return chosen

    def leaves_a_test(self, there: Callable[[str], bool]) -> bool:
        """Returns whether ``there`` is true for a test part that a split of ``"train"`` leaves out."""
        return self.split == "train" and any(map(there, PARTS["test"]))

    def unused(self, part: str, count: int) -> str:
        """Returns the note about a part that the split leaves out."""
        return f"{part}: {count:,} images not used (data.split is {self.split})"


def are_parts(folders: Iterable[str]) -> bool:
    """Returns whether folders are the parts of one data set: all of them, or one to train on and one to test."""
    names = {folder.lower() for folder in folders}
    train, test = names & set(PARTS["train"]), names & set(PARTS["test"])
    return bool(names) and (names == train | test or bool(train and test))


def some(names: Sequence[str]) -> str:
    """Returns the first three names as text."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


@dataclass(frozen=True)
class Partners:
    """The images of several folders that have the same name, except for the ending.

    Attributes:
        sides: of each folder, the images that have a partner in all others, in the same order.
        alone: the other images.
        enough: at least half of the images of the smallest folder have partners.
    """

    sides: list[list[str]]
    alone: list[str]
    enough: bool

    @classmethod
    def of(cls, folders: Iterable[Place]) -> Partners:
        """Finds the partners in some folders."""
        folders = list(folders)
        stems = [{name[len(at.prefix) :].rpartition(".")[0]: name for name in at.names} for at in folders]
        common = sorted(set.intersection(*map(set, stems)), key=natural)
        sides = [[side[stem] for stem in common] for side in stems]
        known = {name for side in sides for name in side}
        alone = [name for at in folders for name in at.names if name not in known]
        return cls(sides, alone, 2 * len(common) >= min(len(at.names) for at in folders))

    @classmethod
    def joined(cls, parts: Sequence[Partners], smallest: int) -> Partners:
        """Returns the partners of all parts; ``smallest``: images of the smaller side, of all parts."""
        sides = [[name for part in parts for name in part.sides[side]] for side in range(len(parts[0].sides))]
        alone = [name for part in parts for name in part.alone]
        return cls(sides, alone, 2 * len(sides[0]) >= smallest)

    @property
    def notes(self) -> tuple[str, ...]:
        """The note about images without a partner."""
        if not self.alone:
            return ()
        return (f"{len(self.alone):,} images without a partner are left out: {some(self.alone)}",)


def join(parts: Sequence[Layout]) -> Layout:
    """Returns parts of one data set as one; classes of the same name are the same class."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    if any(tuple(part.domains) != tuple(first.domains) for part in parts):
        raise GancliError(
            "the parts of the data have different layouts",
            "choose one: --set data.split=train to train on it, --split train to look at it",
        )
    domains = {name: Joined([part.domains[name] for part in parts]) for name in first.domains}
    paired = all(part.paired for part in parts)
    labels, classes, left_out = join_labels([(part.labels, part.classes) for part in parts])
    if left_out:
        notes += ("the labels are not used: some parts have none, or different ones",)
    return Layout(first.words, domains, labels, classes, paired, notes)


def join_labels(
    parts: Iterable[tuple[Labels | None, tuple[str, ...]]],
) -> tuple[Labels | None, tuple[str, ...], bool]:
    """Joins labels and class names of several parts; the last value: there are labels that do not fit together."""
    parts = list(parts)
    known = [(labels, classes) for labels, classes in parts if labels is not None]
    if len(known) < len(parts):
        return None, (), bool(known)
    if all(labels.ndim == 1 for labels, _ in known):
        union = sorted({name for _, classes in known for name in classes}, key=natural)
        renumbered = [
            np.array([union.index(name) for name in classes], np.int64)[labels.astype(np.int64)]
            for labels, classes in known
        ]
        return np.concatenate(renumbered), tuple(union), False
    if all(classes == known[0][1] for _, classes in known):
        return np.concatenate([labels.astype(np.float32) for labels, _ in known]), known[0][1], False
    return None, (), True
