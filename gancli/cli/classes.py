"""Classes as users write them. Importable without torch."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gancli.errors import GancliError, nearest

LISTED = 10
"""Largest number of classes that a message lists."""


def parse_classes(text: str, names: Sequence[str]) -> list[int]:
    """Returns the numbers of the classes that ``cat,dog`` or ``0,1`` means, in the order given.

    Args:
        text: a name, or names and numbers from 0 on, separated by commas. Names win over numbers.
        names: of all classes, in the order of the labels.

    Raises:
        GancliError: there is no such class.
    """
    if text in names:  # it may contain a comma
        return [names.index(text)]
    found = []
    for item in map(str.strip, text.split(",")):
        if item in names:
            found.append(names.index(item))
        elif re.fullmatch(r"[0-9]{1,9}", item) and int(item) < len(names):
            found.append(int(item))
        else:
            rest = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
            known = f"its {len(names)} classes are: {', '.join(names[:LISTED])}{rest}"
            raise GancliError(f"--class {text}: the model has no class {item!r}", nearest(item, names) or known)
    return found


def class_labels(names: Sequence[str]) -> list[str]:
    """Returns a distinct label for every class, for use in file names."""
    labels = [re.sub(r"[^\w.+-]+", "_", name)[:40] for name in names]
    if len({label.casefold() for label in labels}) < len(labels) or not all(labels):
        return [f"class{number}" for number in range(len(names))]
    return labels
