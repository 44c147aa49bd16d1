"""Recognises how the images of a directory or an archive are arranged, from the names alone."""

from __future__ import annotations

import hashlib
import json
import math
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gancli.data.arrays import IDX_NAME, ArrayImages, Joined, classes_of, read_idx
from gancli.data.files import Files, is_hidden
from gancli.data.formats import EXTENSIONS, LARGEST_FILE, decode, is_image, stored_size
from gancli.data.source import BadImage, Images, Pixels, Source, domain_names
from gancli.errors import GancliError

if TYPE_CHECKING:
    from gancli.domains import Inputs

PARTS = {
    "train": ("train", "training"),
    "test": ("test", "testing", "val", "valid", "validation"),
}
STYLEGAN_LABELS = "dataset.json"
SIZES_LOOKED_AT = 64
"""Images of a folder whose sizes decide whether it holds pairs side by side."""
LEAST_PROPORTION = 1.8
"""Width over height from which an image may be two side by side; photographs, films and screens of 16:9 have 1.78."""

Labels = NDArray[np.int64] | NDArray[np.float32]


class EncodedImages:
    """Image files of a directory or an archive.

    Args:
        files: where they are.
        names: their names there, in order.
    """

    def __init__(self, files: Files, names: list[str]) -> None:
        self._files, self._names = files, names

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        return f"{self._files.path}/{self._names[index]}"

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        name = self._names[index]
        if self._files.entries[name].size > LARGEST_FILE:
            raise BadImage("the file is too large to be an image")
        return decode(self._files.read(name), channels)


class HalfImages:
    """One half of images that hold two side by side.

    Args:
        images: the whole ones.
        right: the right half, not the left one.
    """

    def __init__(self, images: EncodedImages, right: bool) -> None:
        self._images, self._right = images, right

    def __len__(self) -> int:
        return len(self._images)

    def name(self, index: int) -> str:
        return self._images.name(index)

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        pixels = self._images.read(index, channels, size)
        height, width = pixels.shape[:2]
        if width < LEAST_PROPORTION * height:
            raise BadImage(f"it is {width} x {height} px, not two images side by side")
        if width % 2:
            raise BadImage(f"it is {width} x {height} px, an odd width that cannot be halved")
        half = width // 2
        return pixels[:, half:] if self._right else pixels[:, :half]


@dataclass(frozen=True)
class Layout:
    """What was recognised below some folder; the fields are those of ``Source``."""

    words: str
    domains: Mapping[str, Images]
    labels: Labels | None = None
    classes: tuple[str, ...] = ()
    paired: bool = False
    notes: tuple[str, ...] = ()
    has_test: bool = False


def open_layout(files: Files, location: str, split: str, inputs: Inputs | None) -> Source:
    """Returns the source that a directory or archive holds; see ``open_source``.

    Raises:
        GancliError: it holds no images, not the part that ``split`` asks for, or one of two domains only; or pairs
            are needed and one folder of images holds none.
    """
    names = sorted((name for name in files.entries if _matters(name)), key=natural)
    if not names:
        raise _nothing_in(files, location)
    layout = _Finder(files, location, split, inputs).find("", names)
    digest = hashlib.blake2b(digest_size=16)
    lines = [files.path.resolve(), split, layout.words, *(f"{name}\0{files.entries[name].stamp}" for name in names)]
    for line in lines:
        digest.update(f"{line}\0".encode(errors="surrogateescape"))
    notes = files.notes + layout.notes
    return Source(
        location,
        layout.words,
        layout.domains,
        layout.labels,
        layout.classes,
        layout.paired,
        digest.hexdigest(),
        notes,
        layout.has_test,
    )


def natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sorting key that puts ``2.png`` before ``10.png``."""
    pieces = re.split(r"([0-9]+)", name)
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces if piece], name


def _matters(name: str) -> bool:
    last = posixpath.basename(name)
    return is_image(last) or last == STYLEGAN_LABELS or IDX_NAME.fullmatch(last) is not None


def _nothing_in(files: Files, location: str) -> GancliError:
    others = sorted(files.entries, key=natural)
    if not others:
        return GancliError(f"{location} is empty", "name a folder or archive with images")
    data = [name for name in others if re.search(r"\.(zip|npz|tar(\.\w+)?|tgz)$", name)]
    if data:
        return GancliError(f"{location} holds no images", f"it holds {data[0]}: name that as SOURCE")
    endings = " ".join(sorted(EXTENSIONS))
    return GancliError(
        f"{location} holds {len(others):,} files, but none is an image", f"images are known by their ending: {endings}"
    )


class _Finder:
    """The search below one directory or archive."""

    def __init__(self, files: Files, location: str, split: str, inputs: Inputs | None) -> None:
        self.files, self.location, self.split = files, location, split
        self.sets = len(inputs.domains) if inputs is not None else None
        self.pairs_needed = inputs is not None and inputs.paired

    def find(self, prefix: str, names: list[str]) -> Layout:
        """Recognises what ``names`` are, all of which begin with ``prefix``."""
        top, folders = _divide(prefix, names)
        by_name = {folder.lower(): folder for folder in folders}
        parts = set(by_name) & {folder for known in PARTS.values() for folder in known}
        sides = {f"{part}{side}" for part in ("train", "test", "val") for side in "ab"} & set(by_name)
        if not top and len(folders) == 1 and not parts and not sides:
            ((folder, below),) = folders.items()
            layout = self.find(f"{prefix}{folder}/", below)
            if self.sets == 2 and len(layout.domains) == 1:
                self._refuse_empty_sibling(prefix, folder, len(below))
            return layout
        if f"{prefix}{STYLEGAN_LABELS}" in top:
            return self._stylegan(prefix, [name for name in names if is_image(name)])
        if any(IDX_NAME.fullmatch(posixpath.basename(name)) for name in top):
            return self._idx(top)
        images = [name for name in top if is_image(name)]
        complete = any(f"{part}a" in sides and f"{part}b" in sides for part in ("train", "test", "val"))
        if complete or (sides and not images and len(sides) == len(folders) and self.sets != 1):
            beside = (f"{len(images):,} images beside the folders are not used: {_some(images)}",) if images else ()
            layout = self._two_sides(prefix, folders)
            return replace(layout, notes=layout.notes + beside)
        if images:
            notes: tuple[str, ...] = ()
            if folders:
                unused = sum(map(len, folders.values()))
                notes = (f"{unused:,} images in sub-folders are not used, since there are images beside these folders",)
            if self.pairs_needed:
                halves = self._halves(prefix, images)
                return replace(halves, notes=halves.notes + notes)
            return Layout("a folder of images", {"image": EncodedImages(self.files, images)}, notes=notes)
        if _are_parts(folders):
            return self._parts(prefix, folders, by_name)
        folders = {folder: found for folder, below in folders.items() if (found := list(filter(is_image, below)))}
        if not folders:
            raise GancliError(f"{self.location} holds several data sets", "name one of the folders inside")
        inside = {folder: _divide(f"{prefix}{folder}/", below) for folder, below in folders.items()}
        if all(_are_parts(below) for _, below in inside.values()):
            return self._parts_inside(prefix, inside)
        return self._folders(prefix, {folder: (f"{prefix}{folder}/", below) for folder, below in folders.items()})

    def _chosen(self, there: Callable[[str], bool]) -> list[str]:
        """Returns the parts that the split asks for, as the folder names ``there`` knows."""
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

    def _leaves_a_test(self, there: Callable[[str], bool]) -> bool:
        """Returns whether there is a test part beside the train part, of the folders that ``there`` knows."""
        return self.split == "train" and any(map(there, PARTS["test"]))

    def _parts(self, prefix: str, folders: dict[str, list[str]], by_name: dict[str, str]) -> Layout:
        chosen = [by_name[part] for part in self._chosen(lambda folder: folder in by_name)]
        found = [self.find(f"{prefix}{folder}/", folders[folder]) for folder in chosen]
        layout = _join(found)
        notes = tuple(
            f"{folder}: {sum(map(is_image, names)):,} images not used (data.split is {self.split})"
            for folder, names in folders.items()
            if folder not in chosen
        )
        return Layout(
            f"{' and '.join(chosen)}: {layout.words}",
            layout.domains,
            layout.labels,
            layout.classes,
            layout.paired,
            layout.notes + notes,
            self._leaves_a_test(lambda folder: folder in by_name),
        )

    def _parts_inside(self, prefix: str, inside: dict[str, tuple[list[str], dict[str, list[str]]]]) -> Layout:
        """Folders that have the parts inside, as ``A/train`` and ``B/train``; by folder what ``_divide`` returns."""
        by_name = {folder: {part.lower(): part for part in below} for folder, (_, below) in inside.items()}
        chosen = self._chosen(lambda part: any(part in known for known in by_name.values()))
        unused = {folder: dict(below) for folder, (_, below) in inside.items()}
        found = []
        for part in chosen:
            there = {folder: known[part] for folder, known in by_name.items() if part in known}
            folders = {
                folder: (f"{prefix}{folder}/{name}/", unused[folder].pop(name)) for folder, name in there.items()
            }
            if self.sets == 2 and len(folders) == 1 and len(inside) == 2:
                ((folder, (_, names)),) = folders.items()
                missing = f"{next(other for other in inside if other != folder)}/{there[folder]}"
                raise GancliError(
                    f"{self.location} holds {len(names):,} images in {folder}/{there[folder]}, but none in {missing}",
                    f"put the images of the other domain into {missing}",
                )
            found.append(self._folders(prefix, folders))
        counts: Counter[str] = Counter()
        for below in unused.values():
            counts.update({name: len(names) for name, names in below.items()})
        notes = tuple(
            f"{name}: {count:,} images not used (data.split is {self.split})" for name, count in counts.items()
        )
        beside = [name for top, _ in inside.values() for name in top]
        if beside:
            notes += (f"{len(beside):,} images beside the folders are not used: {_some(beside)}",)
        layout = _join(found)
        enough = all if self.sets == 2 else any  # a class may lack a part, of two domains none may
        return replace(
            layout,
            words=f"{' and '.join(chosen)}: {layout.words}",
            notes=layout.notes + notes,
            has_test=self._leaves_a_test(lambda part: enough(part in known for known in by_name.values())),
        )

    def _two_sides(self, prefix: str, folders: dict[str, list[str]]) -> Layout:
        images = {folder: found for folder, names in folders.items() if (found := list(filter(is_image, names)))}
        by_name = {folder.lower(): folder for folder in images}
        chosen = self._chosen(lambda part: f"{part}a" in by_name or f"{part}b" in by_name)
        for side, other in ("ab", "ba"):
            for part in chosen:
                if f"{part}{side}" not in by_name:
                    there = by_name[f"{part}{other}"]
                    missing = there[:-1] + (side.upper() if there[-1].isupper() else side)
                    raise GancliError(
                        f"{self.location} holds {len(images[there]):,} images in {there}, but none in {missing}",
                        f"put the images of the other domain into {missing}",
                    )
        sides = [[by_name[f"{part}{side}"] for part in chosen] for side in "ab"]
        used = sorted(folder for side in sides for folder in side)
        notes = tuple(
            f"{folder}: {len(found):,} images not used (data.split is {self.split})"
            for folder, found in images.items()
            if folder not in used
        )
        has_test = self._leaves_a_test(lambda part: f"{part}a" in by_name and f"{part}b" in by_name)
        names = [[name for folder in side for name in images[folder]] for side in sides]
        paired = False
        if self.pairs_needed:
            parts = [
                _partners([(f"{prefix}{folder}/", images[folder]) for folder in folders_of_part])
                for folders_of_part in zip(*sides, strict=True)
            ]
            partners = [[name for part, _ in parts for name in part[side]] for side in range(2)]
            paired = _mostly_partners(partners, names)
            if paired:
                names = partners
                notes += _left_out([name for _, alone in parts for name in alone])
        domains = {
            name: EncodedImages(self.files, side) for name, side in zip(self._domain_names(prefix), names, strict=True)
        }
        words = f"{'pairs' if paired else 'two unpaired domains'}, {' '.join(used)}"
        return Layout(words, domains, paired=paired, notes=notes, has_test=has_test)

    def _folders(self, prefix: str, folders: dict[str, tuple[str, list[str]]]) -> Layout:
        """Folders of images: classes, or where there are two, pairs or two domains, as is needed and as names suggest.

        Args:
            prefix: where the data are, which may give names to the domains.
            folders: by title, the path of a folder with a slash, and the names of the images below it.
        """
        classes = self._class_folders({title: below for title, (_, below) in folders.items()})
        if len(folders) != 2:
            return classes
        names = [below for _, below in folders.values()]
        partners, alone = _partners(list(folders.values()))
        alike = len(partners[0]) > len(alone)
        if self.sets not in (None, 2):
            # Cats and dogs numbered alike: only who asks for one set can mean classes.
            notes = ("read as two classes, although the names in both folders are the same",) if alike else ()
            return replace(classes, notes=notes)
        # Who has no use for pairs loses no image for their sake.
        without = alike and (self.sets is None or not alone)
        paired = _mostly_partners(partners, names) if self.pairs_needed else without
        if self.sets is None and not paired:
            return classes
        lettered = {folder.lower() for folder in folders} == {"a", "b"}
        titles = self._domain_names(prefix) if lettered else tuple(folders)
        domains = {
            title: EncodedImages(self.files, side)
            for title, side in zip(titles, partners if paired else names, strict=True)
        }
        if not paired:
            return Layout("two folders, a domain each", domains)
        said = ("read as pairs, since the names in both folders are the same", *_left_out(alone))
        return Layout("two folders of same-named pairs", domains, paired=True, notes=said)

    def _halves(self, prefix: str, names: list[str]) -> Layout:
        """Recognises images that hold a pair side by side, from the sizes of some of them."""
        step = math.ceil(len(names) / SIZES_LOOKED_AT)
        looked_at = 0
        unusual, narrow, odd = [], [], []
        for name in names[::step]:
            try:
                width, height = stored_size(self.files.read(name))
            except BadImage:
                continue  # it is reported like any other when all are decoded
            looked_at += 1
            said = f"{name} is {width} x {height} px"
            # To two percent of the width.
            if 50 * abs(width - 2 * height) > width:
                unusual.append(said)
            if width < LEAST_PROPORTION * height:
                narrow.append(said)
            elif width % 2:
                odd.append(said)
        usual = 2 * len(unusual) <= looked_at
        # Of other proportions nearly all must be wide, lest photographs, some of them wide ones, be cut in two.
        if not usual and 10 * len(narrow) > looked_at:
            raise GancliError(
                f"{self.location} holds no pairs: it is one folder of images, and {len(unusual)} of {looked_at} are "
                f"not twice as wide as high, as two images side by side are; {narrow[0]}",
                "pairs are two folders whose images have the same names, or images with A on the left and B on the "
                f"right, which are at least {LEAST_PROPORTION} times as wide as high",
            )
        if 2 * len(odd) > looked_at:
            raise GancliError(
                f"{self.location} holds no pairs that can be used: {len(odd)} of {looked_at} images have an odd width "
                f"and cannot be halved; {odd[0]}",
                "crop or resize them to an even width, or put the two sides into two folders, with the same names",
            )
        whole = EncodedImages(self.files, names)
        domains = {
            name: HalfImages(whole, right)
            for name, right in zip(self._domain_names(prefix), (False, True), strict=True)
        }
        notes: tuple[str, ...] = ()
        if not usual:
            notes = (
                "read as A|B side by side: every image is cut in the middle, although most are not twice as wide as "
                f"high; {unusual[0]}",
            )
        return Layout("pairs side by side, A left and B right", domains, paired=True, notes=notes)

    def _domain_names(self, prefix: str) -> tuple[str, str]:
        """The names of two domains below ``prefix`` whose folders do not give them."""
        path = self.files.path
        return domain_names([*reversed(prefix.split("/")), path.absolute().name, path.resolve().name])

    def _refuse_empty_sibling(self, prefix: str, folder: str, count: int) -> None:
        """Raises GancliError where a directory has two folders, but images in one only."""
        above = self.files.path / prefix
        if not above.is_dir():
            return
        others = [entry.name for entry in above.iterdir() if entry.is_dir() and not is_hidden(entry.name)]
        others.remove(folder)
        if len(others) == 1:
            raise GancliError(
                f"{self.location} holds {count:,} images in {folder}, but none in {others[0]}",
                f"put the images of the other domain into {others[0]}",
            )

    def _class_folders(self, folders: dict[str, list[str]]) -> Layout:
        labels = np.repeat(np.arange(len(folders)), [len(names) for names in folders.values()])
        names = [name for below in folders.values() for name in below]
        return Layout("class folders", {"image": EncodedImages(self.files, names)}, labels, tuple(folders))

    def _stylegan(self, prefix: str, names: list[str]) -> Layout:
        words = f"images with {STYLEGAN_LABELS}"
        if not names:
            raise GancliError(f"{self.location} holds {STYLEGAN_LABELS}, but no images")
        images = {"image": EncodedImages(self.files, names)}
        try:
            content = json.loads(self.files.read(prefix + STYLEGAN_LABELS))
            listed = content["labels"]
            by_name = {} if listed is None else {prefix + name: label for name, label in listed}
        except (ValueError, KeyError, TypeError, BadImage, RecursionError) as error:
            raise GancliError(
                f"{prefix}{STYLEGAN_LABELS} of {self.location} cannot be read: {error}",
                'it holds {"labels": [["folder/name.png", 0], ...]} or {"labels": null}',
            ) from error
        found = [by_name.get(name) for name in names]
        missing = found.count(None)
        if missing:
            notes = () if missing == len(names) else (f"{missing:,} images have no label, so that none is used",)
            return Layout(words, images, notes=notes)
        if all(type(label) is int and label >= 0 for label in found):
            labels = np.array(found, np.int64)
            return Layout(words, images, labels, classes_of(labels))
        try:
            attributes = np.array(found, np.float32)
        except (ValueError, TypeError):
            attributes = np.empty(0, np.float32)
        if attributes.ndim == 2 and np.isin(attributes, (0, 1)).all():
            return Layout(words, images, attributes, tuple(map(str, range(attributes.shape[1]))))
        return Layout(
            words,
            images,
            notes=("its labels are neither whole numbers >= 0 nor lists of 0 and 1, so that none is used",),
        )

    def _idx(self, names: list[str]) -> Layout:
        parts: dict[str, dict[str, str]] = {"train": {}, "t10k": {}}
        # Sorted, a plain file comes before its gzipped copy.
        for name in sorted(names):
            match = IDX_NAME.fullmatch(posixpath.basename(name))
            if match is not None:
                parts[match[1]].setdefault(match[2], name)
        idx_names = {"train": "train", "test": "t10k"}
        chosen = self._chosen(lambda folder: "images" in parts.get(idx_names.get(folder, ""), ()))
        found = [self._idx_part(parts[idx_names[part]]) for part in chosen]
        return replace(_join(found), has_test=self.split == "train" and "images" in parts["t10k"])

    def _idx_part(self, part: dict[str, str]) -> Layout:
        name = f"{self.files.path}/{part['images']}"
        array = self._read_idx(part["images"], 3)
        if 0 in array.shape:
            raise GancliError(f"{name} holds no images")
        images = {"image": ArrayImages(name, array)}
        if "labels" not in part:
            return Layout("MNIST idx files", images, notes=(f"{part['images']} comes without labels",))
        labels = self._read_idx(part["labels"], 1).astype(np.int64)
        if len(labels) != len(array):
            raise GancliError(f"{name} has {len(array):,} images, but {part['labels']} {len(labels):,} labels")
        return Layout("MNIST idx files", images, labels, classes_of(labels))

    def _read_idx(self, name: str, dimensions: int) -> NDArray[np.uint8]:
        full = f"{self.files.path}/{name}"
        try:
            return read_idx(self.files.read(name), full, dimensions)
        except BadImage as error:
            raise GancliError(f"{full} cannot be read: {error}") from error


def _divide(prefix: str, names: list[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Splits names below ``prefix`` into those directly there and those in each folder."""
    top: list[str] = []
    folders: dict[str, list[str]] = {}
    for name in names:
        folder, slash, _ = name[len(prefix) :].partition("/")
        if slash:
            folders.setdefault(folder, []).append(name)
        else:
            top.append(name)
    return top, dict(sorted(folders.items(), key=lambda item: natural(item[0])))


def _are_parts(folders: Iterable[str]) -> bool:
    """Returns whether folders beside each other are parts of one data set: all, or one to train on and one to test."""
    names = {folder.lower() for folder in folders}
    train, test = names & set(PARTS["train"]), names & set(PARTS["test"])
    return bool(names) and (names == train | test or bool(train and test))


def _partners(sides: Sequence[tuple[str, list[str]]]) -> tuple[list[list[str]], list[str]]:
    """Finds the images of two folders that have the same name but for the ending.

    Args:
        sides: of each folder its name with a slash, and the names of its images.

    Returns:
        The names of both sides in the same order, and those of the images without a partner.
    """
    stems = [{name[len(folder) :].rpartition(".")[0]: name for name in names} for folder, names in sides]
    common = sorted(stems[0].keys() & stems[1].keys(), key=natural)
    partners = [[side[stem] for stem in common] for side in stems]
    known = {*partners[0], *partners[1]}
    return partners, [name for _, names in sides for name in names if name not in known]


def _mostly_partners(partners: list[list[str]], names: list[list[str]]) -> bool:
    """Returns whether at least half of the images of the smaller side have a partner."""
    return 2 * len(partners[0]) >= min(map(len, names))


def _left_out(alone: list[str]) -> tuple[str, ...]:
    return (f"{len(alone):,} images without a partner are left out: {_some(alone)}",) if alone else ()


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _join(parts: list[Layout]) -> Layout:
    """Returns parts of one data set as one; classes of the same name are the same class."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    if any(tuple(part.domains) != tuple(first.domains) for part in parts):
        raise GancliError(
            "the parts of the data are arranged in different ways",
            "choose one: --set data.split=train to train on it, --split train to look at it",
        )
    domains = {name: Joined([part.domains[name] for part in parts]) for name in first.domains}
    paired = all(part.paired for part in parts)
    labels, classes, left_out = join_labels([(part.labels, part.classes) for part in parts])
    if left_out:
        notes += ("some parts have no labels or other ones, so that none is used",)
    return Layout(first.words, domains, labels, classes, paired, notes)


def join_labels(
    parts: Iterable[tuple[Labels | None, tuple[str, ...]]],
) -> tuple[Labels | None, tuple[str, ...], bool]:
    """Joins labels and class names of several parts; the last value says that some do not fit together."""
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
