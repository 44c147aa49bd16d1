"""What the recognisers of layouts look at: a folder of a directory or an archive, and files of the same name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from gancli.data.files import Files, domain_names, natural
from gancli.data.formats import is_image
from gancli.data.images import EncodedImages
from gancli.data.levels import Range
from gancli.data.source import Facts, no_part
from gancli.domains import Inputs
from gancli.errors import GancliError, some

PARTS = {"train": ("train", "training"), "test": ("test", "testing", "val", "valid", "validation")}
SIDE = re.compile(r"(train|test|val)[-_ ]?([ab])")


def side_of(folder: str) -> str | None:
    """Returns ``traina`` for ``trainA`` or ``train_A``; None if a folder is not called like one side of a part."""
    match = SIDE.fullmatch(folder.lower())
    return match[1] + match[2] if match else None


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
        limits: ``data.range``; None: automatic.
        facts: filled in as the images are decoded.
    """

    files: Files
    location: str
    split: str
    inputs: Inputs | None
    prefix: str
    names: list[str]
    limits: Range | None = None
    facts: Facts = field(default_factory=Facts)

    def encoded(self, names: Sequence[str]) -> EncodedImages:
        """Returns the image files with these names."""
        return EncodedImages(self.files, names, self.limits, self.facts)

    @property
    def wanted(self) -> int:
        """The number of domains that the networks take; 0 if that is not known."""
        return 0 if self.inputs is None else len(self.inputs.domains)

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
        return list(filter(is_image, self.top))

    @cached_property
    def folders(self) -> dict[str, Place]:
        """The folders in this one by name, in natural order."""
        below: dict[str, list[str]] = {}
        for name in self.names:
            folder, slash, _ = name[len(self.prefix) :].partition("/")
            if slash:
                below.setdefault(folder, []).append(name)
        ordered = sorted(below, key=natural)
        return {folder: replace(self, prefix=f"{self.prefix}{folder}/", names=below[folder]) for folder in ordered}

    @cached_property
    def image_folders(self) -> dict[str, Place]:
        """The folders with images somewhere below, without their other files."""
        images = {folder: list(filter(is_image, below.names)) for folder, below in self.folders.items()}
        return {folder: replace(self.folders[folder], names=names) for folder, names in images.items() if names}

    @cached_property
    def by_name(self) -> dict[str, str]:
        """The names of the folders by their lower-case form."""
        return {folder.lower(): folder for folder in self.folders}

    @cached_property
    def sides(self) -> set[str]:
        """The folders called like one side of a part, such as ``trainA`` or ``train_A``, as ``traina``."""
        return {side for name in self.by_name if (side := side_of(name)) is not None}

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
            raise no_part(self.location, self.split)
        return chosen

    def leaves_a_test(self, there: Callable[[str], bool]) -> bool:
        """Returns whether ``there`` is true for a test part that a split of ``"train"`` leaves out."""
        return self.split == "train" and any(map(there, PARTS["test"]))

    def unused(self, part: str, count: int) -> str:
        """Returns the note about a part that the split leaves out."""
        return f"{part}: {count:,} images not used (data.split is {self.split})"

    def lacks(self, missing: str, there: str, count: int) -> GancliError:
        """Returns the error that one folder has images, but not the one of the other domain."""
        return GancliError(
            f"{self.location} holds {count:,} images in {there}, but none in {missing}",
            f"put the images of the other domain into {missing}",
        )


def are_parts(folders: Iterable[str]) -> bool:
    """Returns whether folders are the parts of one data set: all of them, or one to train on and one to test."""
    names = {folder.lower() for folder in folders}
    train, test = names & set(PARTS["train"]), names & set(PARTS["test"])
    return bool(names) and (names == train | test or bool(train and test))


class Partners(NamedTuple):
    """The images of several folders that have the same name, except for the ending.

    Attributes:
        sides: of each domain, the images that have a partner in all others, in the same order.
        notes: about the other images.
        alone: how many these are.
        enough: at least half of the images of the smallest domain have partners.
    """

    sides: list[list[str]]
    notes: tuple[str, ...]
    alone: int
    enough: bool


def _letter(stems: Iterable[str]) -> str | None:
    """Returns the letter if all names end in ``_a``, or all in ``_b``."""
    ends = {stem[-2:].lower() for stem in stems}
    return ends.pop() if len(ends) == 1 and ends <= {"_a", "_b", "-a", "-b"} else None


def find_partners(*parts: Sequence[Place]) -> Partners:
    """Finds the partners in each part, which has one folder of each domain."""
    sides: list[list[str]] = [[] for _ in parts[0]]
    for folders in parts:
        stems = [{name[len(at.prefix) :].rpartition(".")[0]: name for name in at.names} for at in folders]
        if not set.intersection(*map(set, stems)) and len({_letter(side) for side in stems} - {None}) > 1:
            stems = [{stem[:-2]: name for stem, name in side.items()} for side in stems]
        common = sorted(set.intersection(*map(set, stems)), key=natural)
        for side, names in zip(sides, stems, strict=True):
            side += [names[stem] for stem in common]
    known = {name for side in sides for name in side}
    alone = [name for folders in parts for at in folders for name in at.names if name not in known]
    smallest = min(sum(len(at.names) for at in side) for side in zip(*parts, strict=True))
    notes = (f"{len(alone):,} images without a partner are left out: {some(alone, 3)}",) if alone else ()
    return Partners(sides, notes, len(alone), 2 * len(sides[0]) >= smallest)
