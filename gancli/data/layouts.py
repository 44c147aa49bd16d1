"""Recognises how the images of a directory or an archive are arranged, from the names alone.

``LAYOUTS`` at the end of this file is the table in docs/data.md: the first recogniser that fits is taken.
"""

from __future__ import annotations

import hashlib
import json
import math
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gancli.data.arrays import IDX_NAME, classes_of, read_idx
from gancli.data.files import Files, is_hidden, natural
from gancli.data.formats import EXTENSIONS, is_image, stored_size
from gancli.data.images import LEAST_PROPORTION, ArrayImages, EncodedImages, HalfImages
from gancli.data.place import Layout, Partners, Place, are_parts, join, some
from gancli.data.source import BadImage, Source
from gancli.domains import Inputs
from gancli.errors import GancliError

STYLEGAN_LABELS = "dataset.json"
SIZES_LOOKED_AT = 64
"""Images of a folder whose sizes decide whether it holds pairs side by side."""


def open_layout(files: Files, location: str, split: str, inputs: Inputs | None) -> Source:
    """Returns the source that a directory or archive holds; see ``open_source``.

    Raises:
        GancliError: it holds no images, not the part that ``split`` asks for, or one of two domains only; or pairs
            are needed and one folder of images holds none.
    """
    names = sorted((name for name in files.entries if _matters(name)), key=natural)
    if not names:
        raise _nothing_in(files, location)
    layout = recognise(Place(files, location, split, inputs, "", names))
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


def _matters(name: str) -> bool:
    last = posixpath.basename(name)
    return is_image(last) or last == STYLEGAN_LABELS or IDX_NAME.fullmatch(last) is not None


def _nothing_in(files: Files, location: str) -> GancliError:
    others = sorted(files.entries, key=natural)
    if not others:
        what = "folder" if files.path.is_dir() else "archive"
        return GancliError(f"the {what} {location!r} is empty", "name a folder or archive with images")
    data = [name for name in others if re.search(r"\.(zip|npz|npy|tar(\.\w+)?|tgz)$", name)]
    if data:
        return GancliError(f"{location} holds no images", f"it holds {data[0]}: name that as SOURCE")
    endings = " ".join(sorted(EXTENSIONS))
    return GancliError(
        f"{location} holds {len(others):,} files, but none is an image", f"image files end in one of: {endings}"
    )


def recognise(place: Place) -> Layout:
    """Returns what a place holds, by the first of ``LAYOUTS`` that fits.

    Raises:
        GancliError: none fits, or what fits is incomplete.
    """
    return next(layout for _, recogniser in LAYOUTS if (layout := recogniser(place)) is not None)


# -- the recognisers: each returns None if the place is none of its kind ----------------------------------------------


def only_folder(place: Place) -> Layout | None:
    """One folder and nothing beside it: the data set is inside."""
    if place.top or len(place.folders) != 1 or place.has_parts or place.sides:
        return None
    ((folder, below),) = place.folders.items()
    layout = recognise(below)
    if place.several and len(layout.domains) == 1:
        _refuse_empty_sibling(place, folder)
    return layout


def _refuse_empty_sibling(place: Place, folder: str) -> None:
    """Raises GancliError if a directory has two folders, but images in one only."""
    here = place.files.path / place.prefix
    if not here.is_dir():
        return
    others = [entry.name for entry in here.iterdir() if entry.is_dir() and not is_hidden(entry.name)]
    others.remove(folder)
    if len(others) == 1:
        raise GancliError(
            f"{place.location} holds {len(place.names):,} images in {folder}, but none in {others[0]}",
            f"put the images of the other domain into {others[0]}",
        )


def stylegan(place: Place) -> Layout | None:
    """Images, and StyleGAN's file of labels."""
    if f"{place.prefix}{STYLEGAN_LABELS}" not in place.top:
        return None
    names = list(filter(is_image, place.names))
    if not names:
        raise GancliError(f"{place.location} holds {STYLEGAN_LABELS}, but no images")
    layout = Layout(f"images with {STYLEGAN_LABELS}", {"image": EncodedImages(place.files, names)})
    by_name = _stylegan_labels(place)
    found = [by_name.get(name) for name in names]
    missing = found.count(None)
    if missing == len(names):
        return layout
    if missing:
        return replace(layout, notes=(f"{missing:,} images have no label, so no labels are used",))
    if all(type(label) is int and label >= 0 for label in found):
        labels = np.array(found, np.int64)
        return replace(layout, labels=labels, classes=classes_of(labels))
    try:
        attributes = np.array(found, np.float32)
    except (ValueError, TypeError):
        attributes = np.empty(0, np.float32)
    if attributes.ndim == 2 and np.isin(attributes, (0, 1)).all():
        return replace(layout, labels=attributes, classes=classes_of(attributes))
    return replace(layout, notes=("the labels are not used: they are neither whole numbers >= 0 nor lists of 0 and 1",))


def _stylegan_labels(place: Place) -> dict[str, object]:
    """Returns the labels in ``dataset.json`` by the names of the images."""
    name = place.prefix + STYLEGAN_LABELS
    try:
        listed = json.loads(place.files.read(name))["labels"]
        return {} if listed is None else {place.prefix + image: label for image, label in listed}
    except (ValueError, KeyError, TypeError, BadImage, RecursionError) as error:
        raise GancliError(
            f"{name} of {place.location} cannot be read: {error}",
            'it holds {"labels": [["folder/name.png", 0], ...]} or {"labels": null}',
        ) from error


def idx_files(place: Place) -> Layout | None:
    """MNIST's files, or those of its kin."""
    parts: dict[str, dict[str, str]] = {"train": {}, "t10k": {}}
    # Sorted, a plain file comes before its gzipped copy.
    for name in sorted(place.top):
        match = IDX_NAME.fullmatch(posixpath.basename(name))
        if match is not None:
            parts[match[1]].setdefault(match[2], name)
    if not any(parts.values()):
        return None
    by_part = {"train": parts["train"], "test": parts["t10k"]}
    chosen = place.choose(lambda folder: "images" in by_part.get(folder, ()))
    layout = join([_idx_part(place, by_part[part]) for part in chosen])
    return replace(layout, has_test=place.split == "train" and "images" in parts["t10k"])


def _idx_part(place: Place, part: Mapping[str, str]) -> Layout:
    name = f"{place.files.path}/{part['images']}"
    array = _read_idx(place, part["images"], 3)
    if 0 in array.shape:
        raise GancliError(f"{name} holds no images")
    images = {"image": ArrayImages(name, array)}
    if "labels" not in part:
        return Layout("MNIST idx files", images, notes=(f"{part['images']} comes without labels",))
    labels = _read_idx(place, part["labels"], 1).astype(np.int64)
    if len(labels) != len(array):
        raise GancliError(f"{name} has {len(array):,} images, but {part['labels']} {len(labels):,} labels")
    return Layout("MNIST idx files", images, labels, classes_of(labels))


def _read_idx(place: Place, name: str, dimensions: int) -> NDArray[np.uint8]:
    full = f"{place.files.path}/{name}"
    try:
        return read_idx(place.files.read(name), full, dimensions)
    except BadImage as error:
        raise GancliError(f"{full} cannot be read: {error}") from error


def two_sides(place: Place) -> Layout | None:
    """CycleGAN's folders, ``trainA`` and ``trainB``: domains, or pairs if the names agree and pairs are needed."""
    complete = any({f"{part}a", f"{part}b"} <= place.sides for part in ("train", "test", "val"))
    alone = not place.images and len(place.sides) == len(place.folders) and place.wanted != 1
    if not (complete or (place.sides and alone)):
        return None
    folders = place.image_folders
    by_name = {folder.lower(): folder for folder in folders}
    chosen = place.choose(lambda part: f"{part}a" in by_name or f"{part}b" in by_name)
    for part in chosen:
        _refuse_one_side(place, part)
    sides = [[folders[by_name[f"{part}{side}"]] for part in chosen] for side in "ab"]
    used = sorted(by_name[f"{part}{side}"] for part in chosen for side in "ab")
    notes = tuple(place.unused(folder, len(at.names)) for folder, at in folders.items() if folder not in used)
    names = [[name for at in side for name in at.names] for side in sides]
    paired = False
    if place.paired:
        parts = [Partners.of(part) for part in zip(*sides, strict=True)]
        partners = Partners.joined(parts, min(map(len, names)))
        paired = partners.enough
        if paired:
            names = partners.sides
            notes += partners.notes
    if place.images:
        notes += (f"{len(place.images):,} images beside the folders are not used: {some(place.images)}",)
    titles = place.names_of_domains()
    return Layout(
        f"{'pairs' if paired else 'two unpaired domains'}, {' '.join(used)}",
        {title: EncodedImages(place.files, side) for title, side in zip(titles, names, strict=True)},
        paired=paired,
        notes=notes,
        has_test=place.leaves_a_test(lambda part: f"{part}a" in by_name and f"{part}b" in by_name),
    )


def _refuse_one_side(place: Place, part: str) -> None:
    """Raises GancliError if only one side of a part has images."""
    by_name = {folder.lower(): folder for folder in place.image_folders}
    for side, other in ("ab", "ba"):
        if f"{part}{side}" not in by_name:
            there = by_name[f"{part}{other}"]
            missing = there[:-1] + (side.upper() if there[-1].isupper() else side)
            raise GancliError(
                f"{place.location} holds {len(place.image_folders[there].names):,} images in {there}, but none in "
                f"{missing}",
                f"put the images of the other domain into {missing}",
            )


def halves(place: Place) -> Layout | None:
    """Images at the top, where pairs are needed: each must be a pair side by side, by the sizes of some of them."""
    if not place.images or not place.paired:
        return None
    step = math.ceil(len(place.images) / SIZES_LOOKED_AT)
    looked_at = 0
    unusual, narrow, odd = [], [], []
    for name in place.images[::step]:
        try:
            width, height = stored_size(place.files.read(name))
        except BadImage:
            continue  # reported like any other when all are decoded
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
    # Otherwise nearly all must be wide: photographs must not be cut in two because some of them are wide.
    if not usual and 10 * len(narrow) > looked_at:
        raise GancliError(
            f"{place.location} holds no pairs: it is one folder of images, and {len(unusual)} of {looked_at} are "
            f"not twice as wide as high, as two images side by side are; {narrow[0]}",
            "pairs are two folders whose images have the same names, or images with A on the left and B on the "
            f"right, which are at least {LEAST_PROPORTION} times as wide as high",
        )
    if 2 * len(odd) > looked_at:
        raise GancliError(
            f"{place.location} holds no pairs that can be used: {len(odd)} of {looked_at} images have an odd width "
            f"and cannot be halved; {odd[0]}",
            "crop or resize them to an even width, or put the two sides into two folders, with the same names",
        )
    whole = EncodedImages(place.files, place.images)
    left, right = place.names_of_domains()
    notes = _unused_below(place)
    if not usual:
        notes = (
            "read as A|B side by side: every image is cut in the middle, although most are not twice as wide as "
            f"high; {unusual[0]}",
            *notes,
        )
    domains = {left: HalfImages(whole, right=False), right: HalfImages(whole, right=True)}
    return Layout("pairs side by side, A left and B right", domains, paired=True, notes=notes)


def flat(place: Place) -> Layout | None:
    """Images at the top."""
    if not place.images:
        return None
    images = EncodedImages(place.files, place.images)
    return Layout("a folder of images", {"image": images}, notes=_unused_below(place))


def _unused_below(place: Place) -> tuple[str, ...]:
    if not place.folders:
        return ()
    count = sum(len(below.names) for below in place.folders.values())
    return (f"{count:,} images in sub-folders are not used, since there are images beside these folders",)


def parts(place: Place) -> Layout | None:
    """Folders ``train`` and ``test``, each with a layout of its own."""
    if not are_parts(place.folders):
        return None
    chosen = [place.by_name[part] for part in place.choose(lambda folder: folder in place.by_name)]
    layout = join([recognise(place.folders[folder]) for folder in chosen])
    notes = tuple(
        place.unused(folder, sum(map(is_image, below.names)))
        for folder, below in place.folders.items()
        if folder not in chosen
    )
    return replace(
        layout,
        words=f"{' and '.join(chosen)}: {layout.words}",
        notes=layout.notes + notes,
        has_test=place.leaves_a_test(lambda folder: folder in place.by_name),
    )


def parts_inside(place: Place) -> Layout | None:
    """Folders that have the parts inside, such as ``A/train`` and ``B/train``."""
    folders = place.image_folders
    if not folders or not all(are_parts(below.folders) for below in folders.values()):
        return None
    chosen = place.choose(lambda part: any(part in below.by_name for below in folders.values()))
    found = []
    for part in chosen:
        there = {folder: below.by_name[part] for folder, below in folders.items() if part in below.by_name}
        missing = [folder for folder in folders if folder not in there]
        if place.several and missing and len(folders) == place.wanted:
            folder, name = next(iter(there.items()))
            count, empty = len(folders[folder].folders[name].names), f"{missing[0]}/{name}"
            raise GancliError(
                f"{place.location} holds {count:,} images in {folder}/{name}, but none in {empty}",
                f"put the images of the other domain into {empty}",
            )
        chosen_folders = {folder: folders[folder].folders[name] for folder, name in there.items()}
        found.append(_two_folders(place, chosen_folders) or _class_folders(place, chosen_folders))
    counts: Counter[str] = Counter()
    for below in folders.values():
        used = {below.by_name[part] for part in chosen if part in below.by_name}
        counts.update({name: len(at.names) for name, at in below.folders.items() if name not in used})
    notes = tuple(place.unused(name, count) for name, count in counts.items())
    beside = [name for below in folders.values() for name in below.top]
    if beside:
        notes += (f"{len(beside):,} images beside the folders are not used: {some(beside)}",)
    layout = join(found)
    enough = all if place.several else any  # a class may lack a part, but no domain may
    return replace(
        layout,
        words=f"{' and '.join(chosen)}: {layout.words}",
        notes=layout.notes + notes,
        has_test=place.leaves_a_test(lambda part: enough(part in below.by_name for below in folders.values())),
    )


def two_folders(place: Place) -> Layout | None:
    """Two folders: classes, domains or pairs; or as many folders as the networks take domains."""
    return _two_folders(place, place.image_folders)


def _two_folders(place: Place, folders: Mapping[str, Place]) -> Layout | None:
    """Recognises two folders by the domains that are needed and by the names in them.

    Args:
        place: where the data are, which may give names to the domains.
        folders: by the title of the domain or class.
    """
    if len(folders) != (place.wanted if place.several else 2):
        return None
    partners = Partners.of(folders.values())
    alike = len(partners.sides[0]) > len(partners.alone)
    if place.wanted == 1:
        # Cats and dogs with the same numbers as names: networks for one domain can only mean classes.
        notes = ("read as two classes, although the names in both folders are the same",) if alike else ()
        return replace(_class_folders(place, folders), notes=notes)
    # Networks that need no pairs lose no image because it has no partner.
    paired = partners.enough if place.paired else alike and (place.wanted is None or not partners.alone)
    if place.wanted is None and not paired:
        return _class_folders(place, folders)
    lettered = {folder.lower() for folder in folders} == {"a", "b"}
    titles = place.names_of_domains() if lettered else tuple(folders)
    names = partners.sides if paired else [below.names for below in folders.values()]
    domains = {title: EncodedImages(place.files, side) for title, side in zip(titles, names, strict=True)}
    count = "two" if len(folders) == 2 else str(len(folders))
    if not paired:
        return Layout(f"{count} folders, a domain each", domains)
    said = f"read as pairs, since the names in {'both' if count == 'two' else 'all'} folders are the same"
    return Layout(f"{count} folders of same-named pairs", domains, paired=True, notes=(said, *partners.notes))


def class_folders(place: Place) -> Layout | None:
    """Other folders: a class each."""
    if not place.image_folders:
        raise GancliError(f"{place.location} holds several data sets", "name one of the folders inside")
    return _class_folders(place, place.image_folders)


def _class_folders(place: Place, folders: Mapping[str, Place]) -> Layout:
    labels = np.repeat(np.arange(len(folders)), [len(below.names) for below in folders.values()])
    names = [name for below in folders.values() for name in below.names]
    return Layout("class folders", {"image": EncodedImages(place.files, names)}, labels, tuple(folders))


LAYOUTS: tuple[tuple[str, Callable[[Place], Layout | None]], ...] = (
    ("one folder and nothing beside it", only_folder),
    (f"`{STYLEGAN_LABELS}`", stylegan),
    ("idx files", idx_files),
    ("`trainA` `trainB` `testA` `testB`", two_sides),
    ("images at the top, for pairs", halves),
    ("images at the top", flat),
    ("`train` and `test` (or `val`, ...)", parts),
    ("folders that all have `train` and `test` (or `val`, ...) inside", parts_inside),
    ("two folders", two_folders),
    ("other folders", class_folders),
)
"""The recognisers in the order in which they are asked, by the first column of the table in docs/data.md."""
