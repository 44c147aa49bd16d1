"""Recognises how the images of a directory or an archive are arranged, from the names alone.

``LAYOUTS`` at the end of this file is the table in docs/data.md: the first recogniser that fits is taken.
"""

from __future__ import annotations

import json
import math
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gancli.data.arrays import IDX_NAME, read_idx
from gancli.data.files import Files, is_hidden, natural
from gancli.data.formats import is_image, stored_size
from gancli.data.images import LEAST_PROPORTION, ArrayImages, HalfImages, join
from gancli.data.labels import Found, labelled, match_names, numbered, read_labels
from gancli.data.levels import Range
from gancli.data.place import PARTS, Place, are_parts, find_partners, side_of
from gancli.data.source import BadImage, Images, Source, fingerprint
from gancli.data.suffixes import cityscapes, suffixed
from gancli.data.unread import folder_notes, no_image, unread_notes
from gancli.domains import Inputs
from gancli.errors import GancliError, some
from gancli.text import to_text

STYLEGAN_LABELS = "dataset.json"
_PART = "train|training|test|testing|val|valid|validation"
PART_OF_NAME = re.compile(rf"(?:({_PART})[-_. ](.+)|(.+)[-_. ]({_PART}))", re.IGNORECASE)
SIZES_LOOKED_AT = 64  # images of a folder whose sizes decide whether it holds pairs side by side


DECODING = "decoding 2"
"""Changes when the same file is decoded to other pixels, so that no cache holds the old ones."""


def open_layout(files: Files, location: str, split: str, inputs: Inputs | None, limits: Range | None = None) -> Source:
    """Returns the source that a directory or archive holds; see ``open_source``.

    Raises:
        GancliError: it holds no images, or not the part, the domains or the pairs that are asked for.
    """
    names = sorted((name for name in files.entries if _matters(name)), key=natural)
    if not names:
        raise _nothing_in(files, location)
    place = Place(files, location, split, inputs, "", names, limits)
    source = recognise(place)
    about = (files.path.resolve(), split, source.layout, DECODING, limits)
    lines = [*about, *(f"{name}\0{files.entries[name].stamp}" for name in names)]
    known_by = fingerprint("".join(f"{line}\0" for line in lines))
    images = list(filter(is_image, names))
    unread = (*unread_notes(files.entries), *(folder_notes(files.entries, images) if images else ()))
    return replace(source, fingerprint=known_by, notes=files.notes + source.notes + unread, facts=place.facts)


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
    return no_image(location, others)


def recognise(place: Place) -> Source:
    """Returns what a place holds, by the first of ``LAYOUTS`` that fits; without a fingerprint.

    Raises:
        GancliError: none fits, or what fits is incomplete.
    """
    return next(source for _, recogniser in LAYOUTS if (source := recogniser(place)) is not None)


# -- the recognisers: each returns None if the place is not of its kind -----------------------------------------------


def only_folder(place: Place) -> Source | None:
    """One folder and nothing beside it: the data set is inside."""
    if place.top or len(place.folders) != 1 or are_parts(place.folders) or place.sides:
        return None
    ((folder, below),) = place.folders.items()
    source = recognise(below)
    here = place.files.path / place.prefix
    if place.wanted > 1 and len(source.domains) == 1 and here.is_dir():
        others = [entry.name for entry in here.iterdir() if entry.is_dir() and not is_hidden(entry.name)]
        others.remove(folder)
        if len(others) == 1:  # the folder of the other domain
            raise place.lacks(others[0], folder, len(place.names))
    return source


def stylegan(place: Place) -> Source | None:
    """Images, and StyleGAN's file of labels."""
    if f"{place.prefix}{STYLEGAN_LABELS}" not in place.top:
        return None
    names = list(filter(is_image, place.names))
    if not names:
        raise GancliError(f"{place.location} holds {STYLEGAN_LABELS}, but no images")
    images = {"image": place.encoded(names)}
    source = Source(place.location, f"images with {STYLEGAN_LABELS}", images)
    listed = _stylegan_labels(place)
    if not listed:
        return source
    by_name, notes = match_names(names, listed)
    found = [by_name.get(name) for name in names]
    missing = found.count(None)
    if not by_name:
        one = next(iter(listed))
        reason = f"{STYLEGAN_LABELS} names no image that is there: it has {one}, the images are {names[0]} and so on"
    elif missing:
        reason = f"{missing:,} images have no label"
    else:
        return labelled(replace(source, notes=notes), read_labels(found, place.inputs))
    return labelled(source, Found(None, notes=notes, reason=reason))


def _stylegan_labels(place: Place) -> dict[str, object]:
    """Returns the labels in ``dataset.json`` by the names of the images."""
    name = place.prefix + STYLEGAN_LABELS
    try:
        listed = json.loads(to_text(place.files.read(name), f"{name} of {place.location}"))["labels"]
        return {} if listed is None else {place.prefix + image: label for image, label in listed}
    except (ValueError, KeyError, TypeError, BadImage, RecursionError) as error:
        raise GancliError(
            f"{name} of {place.location} cannot be read: {error}",
            'it holds {"labels": [["folder/name.png", 0], ...]} or {"labels": null}',
        ) from error


def idx_files(place: Place) -> Source | None:
    """MNIST's files, or those of a similar data set."""
    parts: dict[str, dict[str, str]] = {"train": {}, "test": {}}
    # Sorted, a plain file comes before its gzipped copy.
    for name in sorted(place.top):
        match = IDX_NAME.fullmatch(posixpath.basename(name))
        if match is not None:
            parts["train" if match[1] == "train" else "test"].setdefault(match[2], name)
    if not any(parts.values()):
        return None

    def there(part: str) -> bool:
        return "images" in parts.get(part, ())

    source = join([_idx_part(place, parts[part]) for part in place.choose(there)])
    return replace(source, has_test=place.leaves_a_test(there))


def _idx_part(place: Place, part: Mapping[str, str]) -> Source:
    def read(kind: str, dimensions: int) -> NDArray[np.uint8]:
        full = f"{place.files.path}/{part[kind]}"
        try:
            return read_idx(place.files.read(part[kind]), full, dimensions)
        except BadImage as error:
            raise GancliError(f"{full} cannot be read: {error}") from error

    array = read("images", 3)
    name = f"{place.files.path}/{part['images']}"
    if 0 in array.shape:
        raise GancliError(f"{name} holds no images")
    source = Source(place.location, "MNIST idx files", {"image": ArrayImages(name, array)})
    if "labels" not in part:
        return replace(source, notes=(f"{part['images']} comes without labels",))
    labels = read("labels", 1).astype(np.int64)
    if len(labels) != len(array):
        raise GancliError(f"{name} has {len(array):,} images, but {part['labels']} {len(labels):,} labels")
    return labelled(source, numbered(labels))


def two_sides(place: Place) -> Source | None:
    """CycleGAN's folders, ``trainA`` and ``trainB``: domains, or pairs if the names agree and pairs are needed."""
    complete = any({f"{part}a", f"{part}b"} <= place.sides for part in ("train", "test", "val"))
    alone = not place.images and len(place.sides) == len(place.folders) and place.wanted != 1
    if not (complete or (place.sides and alone)):
        return None
    folders = place.image_folders
    by_name = {side_of(folder) or folder.lower(): folder for folder in folders}
    chosen = place.choose(lambda part: f"{part}a" in by_name or f"{part}b" in by_name)
    for part in chosen:
        for side, other in ("ab", "ba"):
            if f"{part}{side}" not in by_name:
                there = by_name[f"{part}{other}"]
                missing = there[:-1] + (side.upper() if there[-1].isupper() else side)
                raise place.lacks(missing, there, len(folders[there].names))
    used = [[by_name[f"{part}{side}"] for side in "ab"] for part in chosen]
    beside = [folder for folder in folders if not any(folder in pair for pair in used)]
    notes = tuple(place.unused(folder, len(folders[folder].names)) for folder in beside)
    names = [[name for folder in side for name in folders[folder].names] for side in zip(*used, strict=True)]
    paired = False
    if place.paired and (partners := find_partners(*([folders[folder] for folder in pair] for pair in used))).enough:
        paired, names, notes = True, partners.sides, notes + partners.notes
    if place.images:
        notes += (f"{len(place.images):,} images beside the folders are not used: {some(place.images, 3)}",)
    words = "pairs" if paired else "two unpaired domains"
    return Source(
        place.location,
        f"{words}, {' '.join(sorted(folder for pair in used for folder in pair))}",
        _domains(place, place.names_of_domains(), names),
        paired=paired,
        notes=notes,
        has_test=place.leaves_a_test(lambda part: f"{part}a" in by_name and f"{part}b" in by_name),
    )


def _domains(place: Place, titles: Sequence[str], names: Sequence[Sequence[str]]) -> dict[str, Images]:
    return {title: place.encoded(side) for title, side in zip(titles, names, strict=True)}


def halves(place: Place) -> Source | None:
    """Images at the top, if pairs are needed: each is a pair side by side, judged by the sizes of some of them."""
    if not place.images or not place.paired:
        return None
    sizes: dict[str, tuple[int, int]] = {}
    for name in place.images[:: math.ceil(len(place.images) / SIZES_LOOKED_AT)]:
        with suppress(BadImage):  # reported like any other when all are decoded
            width, height = stored_size(place.files.read(name))
            sizes[f"{name} is {width} x {height} px"] = width, height
    # To two percent of the width.
    unusual = [said for said, (width, height) in sizes.items() if 50 * abs(width - 2 * height) > width]
    narrow = [said for said, (width, height) in sizes.items() if width < LEAST_PROPORTION * height]
    odd = [said for said, (width, _) in sizes.items() if width % 2 and said not in narrow]
    usual = 2 * len(unusual) <= len(sizes)
    # Otherwise nearly all must be wide: photographs must not be cut in two because some of them are wide.
    if not usual and 10 * len(narrow) > len(sizes):
        raise GancliError(
            f"{place.location} holds no pairs: it is one folder of images, and {len(unusual)} of {len(sizes)} are "
            f"not twice as wide as high, as two images side by side are; {narrow[0]}",
            "pairs are two folders whose images have the same names, or images with A on the left and B on the "
            f"right, at least {LEAST_PROPORTION} times as wide as high",
        )
    if 2 * len(odd) > len(sizes):
        raise GancliError(
            f"{place.location} holds no usable pairs: {len(odd)} of {len(sizes)} images have an odd width "
            f"and cannot be halved; {odd[0]}",
            "crop or resize them to an even width, or put the two sides into two folders, with the same names",
        )
    notes = _unused_below(place)
    if not usual:
        said = "every image is cut in the middle, although most are not twice as wide as high"
        notes = (f"read as A|B side by side: {said}; {unusual[0]}", *notes)
    whole = place.encoded(place.images)
    left, right = place.names_of_domains()
    domains = {left: HalfImages(whole, right=False), right: HalfImages(whole, right=True)}
    return Source(place.location, "pairs side by side, A left and B right", domains, paired=True, notes=notes)


def flat(place: Place) -> Source | None:
    """Images at the top."""
    if not place.images:
        return None
    images = {"image": place.encoded(place.images)}
    return Source(place.location, "a folder of images", images, notes=_unused_below(place))


def _unused_below(place: Place) -> tuple[str, ...]:
    if not place.folders:
        return ()
    count = sum(len(below.names) for below in place.folders.values())
    return (f"{count:,} images in sub-folders are not used, since there are images beside the folders",)


def parts(place: Place) -> Source | None:
    """Folders ``train`` and ``test``, each with a layout of its own."""
    if not are_parts(place.folders):
        return None
    there = place.by_name.__contains__
    chosen = [place.by_name[part] for part in place.choose(there)]
    source = join([recognise(place.folders[folder]) for folder in chosen])
    unused = {folder: below for folder, below in place.folders.items() if folder not in chosen}
    notes = [place.unused(folder, sum(map(is_image, below.names))) for folder, below in unused.items()]
    return replace(
        source,
        layout=f"{' and '.join(chosen)}: {source.layout}",
        notes=(*source.notes, *notes),
        has_test=place.leaves_a_test(there),
    )


def parts_in_names(place: Place) -> Source | None:
    """Folders with the part in their names, such as ``train_label``, ``train_img``, ``test_label`` and ``test_img``."""
    groups: dict[str, dict[str, Place]] = {}
    for folder, below in place.image_folders.items():
        if match := PART_OF_NAME.fullmatch(folder):
            part, title = (match[1], match[2]) if match[1] else (match[4], match[3])
            groups.setdefault(part.lower(), {})[title] = below
    train, test = ({title for part in PARTS[kind] for title in groups.get(part, ())} for kind in PARTS)
    if not train or not test or not test <= train:
        return None
    chosen = place.choose(groups.__contains__)
    source = join([two_folders(place, groups[part]) or class_folders(place, groups[part]) for part in chosen])
    used = [below for part in chosen for below in groups[part].values()]
    unused = {folder: below for folder, below in place.image_folders.items() if below not in used}
    notes = [place.unused(folder, len(below.names)) for folder, below in unused.items()]
    return replace(
        source,
        layout=f"{' and '.join(chosen)}: {source.layout}",
        notes=(*source.notes, *notes),
        has_test=place.leaves_a_test(groups.__contains__),
    )


def parts_inside(place: Place) -> Source | None:
    """Folders that have the parts inside, such as ``A/train`` and ``B/train``."""
    folders = place.image_folders
    if not folders or not all(are_parts(below.folders) for below in folders.values()):
        return None
    chosen = place.choose(lambda part: any(part in below.by_name for below in folders.values()))
    found = []
    for part in chosen:
        there = {title: at.folders[at.by_name[part]] for title, at in folders.items() if part in at.by_name}
        missing = [title for title in folders if title not in there]
        if missing and 1 < place.wanted == len(folders):
            title, at = next(iter(there.items()))
            name = folders[title].by_name[part]
            raise place.lacks(f"{missing[0]}/{name}", f"{title}/{name}", len(at.names))
        found.append(two_folders(place, there) or class_folders(place, there))
    source = join(found)
    counts: Counter[str] = Counter()
    for below in folders.values():
        used = {below.by_name[part] for part in chosen if part in below.by_name}
        counts.update({name: len(at.names) for name, at in below.folders.items() if name not in used})
    notes = [place.unused(name, count) for name, count in counts.items()]
    beside = [name for below in folders.values() for name in below.top]
    if beside:
        notes.append(f"{len(beside):,} images beside the folders are not used: {some(beside, 3)}")
    enough = all if place.wanted > 1 else any  # a class may lack a part, but no domain may
    return replace(
        source,
        layout=f"{' and '.join(chosen)}: {source.layout}",
        notes=(*source.notes, *notes),
        has_test=place.leaves_a_test(lambda part: enough(part in below.by_name for below in folders.values())),
    )


def two_folders(place: Place, given: Mapping[str, Place] | None = None) -> Source | None:
    """Two folders: classes, domains or pairs; or as many folders as the networks take domains.

    ``given``: folders by the title of the domain or class, if these are not the ones in ``place``.
    """
    folders = place.image_folders if given is None else given
    if len(folders) != (place.wanted if place.wanted > 1 else 2):
        return None
    partners = find_partners(list(folders.values()))
    alike = len(partners.sides[0]) > partners.alone
    if place.wanted == 1:
        # Cats and dogs with the same numbers as names: networks for one domain can only mean classes.
        notes = ("read as two classes, although the names in both folders are the same",) if alike else ()
        return replace(class_folders(place, folders), notes=notes)
    # Networks that need no pairs lose no image because it has no partner.
    paired = partners.enough if place.paired else alike and not (place.wanted and partners.alone)
    if not place.wanted and not paired:
        return class_folders(place, folders)
    lettered = {folder.lower() for folder in folders} == {"a", "b"}
    titles = place.names_of_domains() if lettered else tuple(folders)
    names = partners.sides if paired else [below.names for below in folders.values()]
    count, all_of = ("two", "both") if len(folders) == 2 else (str(len(folders)), "all")
    if not paired:
        return Source(place.location, f"{count} folders, a domain each", _domains(place, titles, names))
    return Source(
        place.location,
        f"{count} folders of same-named pairs",
        _domains(place, titles, names),
        paired=True,
        notes=(f"read as pairs, since the names in {all_of} folders are the same", *partners.notes),
    )


def class_folders(place: Place, given: Mapping[str, Place] | None = None) -> Source:
    """Other folders: a class each; ``given`` as for ``two_folders``."""
    folders = place.image_folders if given is None else given
    if not folders:
        raise GancliError(f"{place.location} holds several data sets", "name one of the folders inside")
    labels = np.repeat(np.arange(len(folders)), [len(below.names) for below in folders.values()])
    images = {"image": place.encoded([name for below in folders.values() for name in below.names])}
    return Source(place.location, "class folders", images, labels, tuple(folders))


LAYOUTS: tuple[tuple[str, Callable[[Place], Source | None]], ...] = (
    ("one folder and nothing else", only_folder),
    (f"`{STYLEGAN_LABELS}`", stylegan),
    ("idx files", idx_files),
    ("`trainA` `trainB` `testA` `testB`", two_sides),
    ("`0_A.png` `0_B.png` at the top, for two domains", suffixed),
    ("images at the top, for pairs", halves),
    ("images at the top", flat),
    ("`train` and `test` (or `val`, ...)", parts),
    ("`leftImg8bit` and `gtFine`", cityscapes),
    ("`train_label` `train_img` `test_label` `test_img`", parts_in_names),
    ("folders that all have `train` and `test` (or `val`, ...) inside", parts_inside),
    ("two folders", two_folders),
    ("other folders", class_folders),
)
"""The recognisers in the order in which they are asked, by the first column of the table in docs/data.md."""
