"""Labels as they are written, and the classes 0 to K - 1 that networks take. Importable without torch."""

from __future__ import annotations

import posixpath
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gancli.data.files import natural
from gancli.data.source import Labels, Source
from gancli.domains import Inputs

FEWEST = 6
"""Labels of fewer images are never taken for ids."""


class Found(NamedTuple):
    """Labels of all images, or the reason why there are none.

    Attributes:
        labels: see ``Source``; None: they cannot be used.
        classes: names of the classes or attributes.
        notes: facts for the user.
        reason: why the labels cannot be used, in words.
    """

    labels: Labels | None
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    reason: str = ""


def labelled(source: Source, found: Found) -> Source:
    """Returns a source with labels, or with a note that they are not used."""
    notes = (*source.notes, *found.notes)
    if found.labels is None:
        notes += (f"the labels are not used: {found.reason}",)
    return replace(source, labels=found.labels, classes=found.classes, unlabelled=found.reason, notes=notes)


def numbered(values: NDArray[Any]) -> Found:
    """Returns labels that are numbers of classes by their format, such as MNIST's: class 7 stays class 7."""
    most = int(values.max()) if len(values) else -1
    return Found(values.astype(np.int64), tuple(map(str, range(most + 1))))


def read_labels(written: Sequence[Any] | NDArray[Any], inputs: Inputs | None, others: Sequence[Any] = ()) -> Found:
    """Returns what was written for each image as classes or attributes.

    Lists of 0 and 1 are attributes. Integers, whole floats, texts, dates, true and false are names of classes, in
    natural order. Integers that begin with 0 and leave out at most half of those up to the largest are numbers of
    classes, and so are those that fit the number of classes that the networks have already.

    Args:
        written: a label for each image.
        inputs: what the networks take, if that is known.
        others: labels of other parts of the same data: their classes count, too.
    """
    attributes = _attributes(written)
    if attributes is not None:
        return Found(attributes, tuple(map(str, range(attributes.shape[1]))))
    values = [_plain(value) for value in written]
    if not values or any(value is None for value in values):
        wrong = next((value for value, plain in zip(written, values, strict=True) if plain is None), None)
        return Found(None, reason=f"{_shown(wrong)} is not the name of a class, a whole number or a list of 0 and 1")
    known = {value for value in (*values, *map(_plain, others)) if value is not None}
    given = inputs.classes if inputs is not None and inputs.labels == "class" else None
    numbers = {value for value in known if isinstance(value, int) and value >= 0}
    if len(numbers) == len(known):
        most, count = max(numbers), len(known)
        if most + 1 == given or (0 in known and most < 2 * count and given != count):
            empty = [str(number) for number in range(most + 1) if number not in known] if most + 1 > count else []
            notes = (f"no image belongs to class {', '.join(empty[:8])}{' ...' * (len(empty) > 8)}",) if empty else ()
            return _if_shared(Found(np.array(values, np.int64), tuple(map(str, range(most + 1))), notes), given)
    names = sorted({str(value) for value in known}, key=_in_order)
    number = {name: index for index, name in enumerate(names)}
    return _if_shared(Found(np.array([number[str(value)] for value in values], np.int64), tuple(names)), given)


def _if_shared(found: Found, given: int | None) -> Found:
    """Returns the labels unless they are ids: most images have a class of their own."""
    assert found.labels is not None
    used = np.unique(found.labels)
    images, classes = len(found.labels), len(used)
    if 2 * classes <= images or images < FEWEST or given == len(found.classes):
        return found
    names = [found.classes[index] for index in used[:3]]
    reason = f"they are {classes:,} different ones for {images:,} images, such as {', '.join(names)}: ids, not classes"
    return Found(None, reason=f"{reason} (model.classes={len(found.classes)} takes them as classes)")


def _in_order(name: str) -> tuple[Any, ...]:
    """Sorting key: whole numbers by their value, then other names in natural order."""
    digits = name[1:] if name[:1] == "-" else name
    return (0, int(name), "") if digits.isdecimal() and digits.isascii() and len(name) < 1000 else (1, 0, natural(name))


def _plain(value: Any) -> int | str | None:
    """Returns the name of a class as an int or a text; None if it is neither."""
    if isinstance(value, np.datetime64):
        return str(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str):
        return value.strip() or None
    return value if isinstance(value, int) else None


def _attributes(written: Sequence[Any] | NDArray[Any]) -> NDArray[np.float32] | None:
    """Returns lists of 0 and 1, all of one length, as an array [N, K]; None if they are something else."""
    if not len(written) or not isinstance(written[0], list | tuple | np.ndarray):
        return None
    try:
        values = np.array(written, np.float32)
    except (ValueError, TypeError, OverflowError):
        return None
    return values if values.ndim == 2 and values.shape[1] and np.isin(values, (0, 1)).all() else None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


# -- names ------------------------------------------------------------------------------------------------------------


def _clean(name: str) -> str:
    parts = unicodedata.normalize("NFC", name).replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", "."))


def _stem(name: str) -> str:
    return posixpath.splitext(name)[0]


_FORMS: tuple[Callable[[str], str], ...] = (
    _clean,
    lambda name: _clean(name).casefold(),
    lambda name: _stem(_clean(name).casefold()),
    lambda name: posixpath.basename(_clean(name).casefold()),
    lambda name: _stem(posixpath.basename(_clean(name).casefold())),
)
"""What counts of a name, from the strictest to the most lenient: not the slashes, the case, the ending, the folders."""


def match_names(images: Sequence[str], listed: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Finds what a list says about images whose names it may write in another way.

    Slashes and backslashes, ``./``, upper and lower case, missing folders and other endings do not matter, as long as
    only one image and one entry of the list have such a name.

    Returns:
        What is listed by the names of the images, and notes for the user.
    """
    found = {name: listed[name] for name in images if name in listed}
    other = [name for name in listed if name not in found]
    missing = [name for name in images if name not in found]
    written: dict[str, str] = {}
    for form in _FORMS:
        if not missing or not other:
            break
        ours, theirs = _unique(form, images), _unique(form, listed)
        for name in missing:
            key = form(name)
            if key in theirs and ours.get(key) == name and theirs[key] in listed:
                written[name] = theirs[key]
        missing = [name for name in missing if name not in written]
    found.update({name: listed[entry] for name, entry in written.items()})
    if not written:
        return found, ()
    name, entry = next(iter(written.items()))
    return found, (f"{len(written):,} labels are for names that are written differently, such as {entry} for {name}",)


def _unique(form: Callable[[str], str], names: Iterable[str]) -> dict[str, str]:
    """Returns names by their form, without those that share it."""
    forms = {name: form(name) for name in names}
    counts = Counter(forms.values())
    return {key: name for name, key in forms.items() if counts[key] == 1}
