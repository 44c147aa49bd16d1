"""Recognises how the images of a directory or an archive are arranged, from the names alone."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gancli.data.arrays import IDX_NAME, ArrayImages, Joined, classes_of, read_idx
from gancli.data.files import Files
from gancli.data.formats import EXTENSIONS, LARGEST_FILE, decode, is_image
from gancli.data.source import BadImage, Images, Pixels, Source
from gancli.errors import GancliError

PARTS = {
    "train": ("train", "training"),
    "test": ("test", "testing", "val", "valid", "validation"),
}
STYLEGAN_LABELS = "dataset.json"

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


@dataclass(frozen=True)
class Layout:
    """What was recognised below some folder; the fields are those of ``Source``."""

    words: str
    domains: Mapping[str, Images]
    labels: Labels | None = None
    classes: tuple[str, ...] = ()
    paired: bool = False
    notes: tuple[str, ...] = ()


def open_layout(files: Files, location: str, split: str, one_set: bool) -> Source:
    """Returns the source that a directory or archive holds; see ``open_source``.

    Raises:
        GancliError: it holds no images, or not the part that ``split`` asks for.
    """
    names = sorted((name for name in files.entries if _matters(name)), key=natural)
    if not names:
        raise _nothing_in(files, location)
    layout = _Finder(files, location, split, one_set).find("", names)
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{files.path.resolve()}\0{split}\0{layout.words}\0".encode())
    for name in names:
        digest.update(f"{name}\0{files.entries[name].stamp}\0".encode(errors="surrogateescape"))
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

    def __init__(self, files: Files, location: str, split: str, one_set: bool) -> None:
        self.files, self.location, self.split, self.one_set = files, location, split, one_set

    def find(self, prefix: str, names: list[str]) -> Layout:
        """Recognises what ``names`` are, all of which begin with ``prefix``."""
        top, folders = _divide(prefix, names)
        by_name = {folder.lower(): folder for folder in folders}
        parts = set(by_name) & {folder for known in PARTS.values() for folder in known}
        sides = {f"{part}{side}" for part in ("train", "test", "val") for side in "ab"} & set(by_name)
        if not top and len(folders) == 1 and not parts and not sides:
            ((folder, below),) = folders.items()
            return self.find(f"{prefix}{folder}/", below)
        if f"{prefix}{STYLEGAN_LABELS}" in top:
            return self._stylegan(prefix, [name for name in names if is_image(name)])
        if any(IDX_NAME.fullmatch(posixpath.basename(name)) for name in top):
            return self._idx(top)
        images = [name for name in top if is_image(name)]
        if images:
            notes: tuple[str, ...] = ()
            if folders:
                unused = sum(map(len, folders.values()))
                notes = (f"{unused:,} images in sub-folders are not used, since there are images beside these folders",)
            return Layout("a folder of images", {"image": EncodedImages(self.files, images)}, notes=notes)
        if any(f"{part}a" in sides and f"{part}b" in sides for part in ("train", "test", "val")):
            return self._two_sides(folders, by_name)
        if parts and (len(parts) == len(folders) or (parts & set(PARTS["train"]) and parts & set(PARTS["test"]))):
            return self._parts(prefix, folders, by_name)
        folders = {folder: found for folder, below in folders.items() if (found := list(filter(is_image, below)))}
        if not folders:
            raise GancliError(f"{self.location} holds several data sets", "name one of the folders inside")
        if len(folders) == 2 and (pairs := self._pairs(prefix, folders)) is not None:
            if not self.one_set:
                return pairs
            # Cats and dogs numbered alike: only who asks for one set can mean classes.
            alike = ("read as two classes, although the names in both folders are the same",)
            return replace(self._class_folders(folders), notes=alike)
        return self._class_folders(folders)

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
        )

    def _two_sides(self, folders: dict[str, list[str]], by_name: dict[str, str]) -> Layout:
        chosen = self._chosen(lambda folder: f"{folder}a" in by_name and f"{folder}b" in by_name)
        domains = {
            side.upper(): EncodedImages(
                self.files, [name for part in chosen for name in folders[by_name[f"{part}{side}"]] if is_image(name)]
            )
            for side in "ab"
        }
        used = {by_name[f"{part}{side}"] for part in chosen for side in "ab"}
        notes = tuple(
            f"{folder}: {len(names):,} images not used (data.split is {self.split})"
            for folder, names in folders.items()
            if folder not in used
        )
        return Layout(f"two unpaired domains, {' '.join(sorted(used))}", domains, notes=notes)

    def _pairs(self, prefix: str, folders: dict[str, list[str]]) -> Layout | None:
        """Recognises two folders whose images are the same by name, with few exceptions."""
        stems = [
            {name[len(prefix) + len(folder) + 1 :].rpartition(".")[0]: name for name in names}
            for folder, names in folders.items()
        ]
        common = sorted(set(stems[0]) & set(stems[1]), key=natural)
        alone = [name for side in stems for stem, name in side.items() if stem not in set(common)]
        if len(common) <= len(alone):
            return None
        notes: tuple[str, ...] = ("read as pairs, since the names in both folders are the same",)
        if alone:
            notes += (f"{len(alone):,} images without a partner are left out: {_some(alone)}",)
        domains = {
            folder: EncodedImages(self.files, [side[stem] for stem in common])
            for folder, side in zip(folders, stems, strict=True)
        }
        return Layout("two folders of same-named pairs", domains, paired=True, notes=notes)

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
        return _join(found)

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
