"""Layouts whose pairs are told apart by the end of their names. Importable without torch."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from gancli.data.formats import is_image
from gancli.data.images import join
from gancli.data.place import Place
from gancli.data.source import Source
from gancli.errors import some

SIDE_SUFFIX = re.compile(r"(.+)[-_]([ab])", re.IGNORECASE)
"""The stem of a name such as ``0_A.png``."""
PHOTOS, LABELS = "leftImg8bit", "gtFine"
"""The folders of Cityscapes, and the ends of the names in them."""


def suffixed(place: Place) -> Source | None:
    """Images at the top called ``0_A.png`` and ``0_B.png``, for networks with two domains."""
    if not place.images or place.wanted != 2:
        return None
    sides: dict[str, dict[str, str]] = {"a": {}, "b": {}}
    for name in place.images:
        if match := SIDE_SUFFIX.fullmatch(posixpath.splitext(name)[0]):
            sides[match[2].lower()].setdefault(match[1], name)
    common = [stem for stem in sides["a"] if stem in sides["b"]]
    alone = len(place.images) - 2 * len(common)
    if alone > len(common):
        return None
    domains = {
        title: place.encoded([names[stem] for stem in common])
        for title, names in zip(place.names_of_domains(), sides.values(), strict=True)
    }
    used = {names[stem] for names in sides.values() for stem in common}
    rest = [name for name in place.images if name not in used]
    notes = (f"{len(rest):,} images without a partner are left out: {some(rest, 3)}",) if rest else ()
    return Source(place.location, "pairs called _A and _B in one folder", domains, paired=True, notes=notes)


def cityscapes(place: Place) -> Source | None:
    """Cityscapes: ``leftImg8bit/train/CITY/*_leftImg8bit.png`` and ``gtFine/train/CITY/*_gtFine_color.png``."""
    if not {PHOTOS.lower(), LABELS.lower()} <= set(place.by_name):
        return None
    photos, labels = (place.folders[place.by_name[name.lower()]] for name in (PHOTOS, LABELS))
    there: Callable[[str], bool] = photos.by_name.__contains__
    masks = place.inputs is not None and any(domain.kind == "mask" for domain in place.inputs.domains.values())
    endings = ("labelIds", "color") if masks else ("color", "labelIds")
    chosen = place.choose(there)
    source = join([_part(place, photos.folders[photos.by_name[part]], labels, endings) for part in chosen])
    others = {part: photos.folders[folder] for part, folder in photos.by_name.items() if part not in chosen}
    notes = [place.unused(part, sum(map(is_image, below.names))) for part, below in others.items()]
    return replace(source, notes=(*source.notes, *notes), has_test=place.leaves_a_test(there))


def _part(place: Place, photos: Place, labels: Place, endings: Sequence[str]) -> Source:
    names = [name for name in photos.names if posixpath.splitext(name)[0].endswith(f"_{PHOTOS}")]
    known = set(labels.names)
    if place.wanted == 1:
        return Source(place.location, f"Cityscapes, {PHOTOS}", {"image": place.encoded(names)})
    for ending in endings:
        partners = {name: _label(name, photos, labels, ending) for name in names}
        pairs = {name: label for name, label in partners.items() if label in known}
        if pairs:
            break
    alone = len(names) - len(pairs)
    return Source(
        place.location,
        f"Cityscapes, pairs of {LABELS} ({ending}) and {PHOTOS}",
        {LABELS: place.encoded(list(pairs.values())), PHOTOS: place.encoded(list(pairs))},
        paired=True,
        notes=(f"{alone:,} images of {PHOTOS} without a partner are left out",) if alone else (),
    )


def _label(photo: str, photos: Place, labels: Place, ending: str) -> str:
    """Returns the name that the label image of a photograph has."""
    part = posixpath.basename(photos.prefix.rstrip("/"))
    below = posixpath.splitext(photo)[0][len(photos.prefix) : -len(f"_{PHOTOS}")]
    return f"{labels.prefix}{part}/{below}_{LABELS}_{ending}.png"
