"""The one exception that users see: what is wrong, and what to type instead. Importable without torch.

The command line prints ``error: <message>`` and ``hint: <hint>`` on stderr and exits with ``exit_code``; any other
exception is a defect of gancli and says so.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

WRONG_INPUT = 2
FAILED = 1


class GancliError(Exception):
    """What the user gave cannot be used: a path, a key, an option, a file's content (exit code 2).

    Args:
        message: what is wrong, naming what the user gave. No full stop at the end; several lines are allowed.
        hint: what to type or change; empty if the message says it all.
    """

    exit_code = WRONG_INPUT

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class RunError(GancliError):
    """Something failed while running although the input was fine: a full disk, a loss of NaN (exit code 1)."""

    exit_code = FAILED


def closest(word: str, known: Iterable[str]) -> str | None:
    """Returns the entry of ``known`` closest to ``word``; None if none is close."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)), None)


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns ``"did you mean 'x'?"`` for the entry of ``known`` closest to ``word``, or ``""`` if none is close."""
    found = closest(word, known)
    return f"did you mean {found!r}?" if found is not None else ""


def some(names: Iterable[str], most: int = 10) -> str:
    """Returns names, separated by commas; those after the first ``most`` are counted."""
    listed = list(names)
    rest = f" and {len(listed) - most:,} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + rest


def check_known(option: str, value: str | None, known: Iterable[str]) -> None:
    """Raises ``GancliError`` if a value is given, but is not one of those ``known``."""
    if value is not None and value not in known:
        raise GancliError(f"{option} {value}: unknown", f"known are: {', '.join(known)}")


def check_between(option: str, value: int | None, least: int, most: int | None = None) -> None:
    """Raises ``GancliError`` for a given value that is not an integer between ``least`` and ``most``."""
    if value is not None and (isinstance(value, bool) or not hasattr(value, "__index__")):
        raise GancliError(f"{option} {value!r}: must be an integer")
    if value is not None and (value < least or (most is not None and value > most)):
        limits = f"at least {least}" if most is None else f"between {least} and {most:,}"
        raise GancliError(f"{option} {value}: must be {limits}")
