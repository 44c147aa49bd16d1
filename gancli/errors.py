"""The one exception that users see: what is wrong, and what to type instead.

Importable without torch. The command line prints ``error: <message>`` and ``hint: <hint>`` on stderr and leaves
with ``exit_code``; any other exception is a defect of gancli and says so.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

WRONG_INPUT = 2
FAILED = 1


class GancliError(Exception):
    """What the user gave cannot be used: a path, a key, an option, a file's content (exit code 2).

    Args:
        message: what is wrong, naming the thing the user gave. No full stop at the end, several lines allowed.
        hint: what to type or change; empty where the message says it all.
    """

    exit_code = WRONG_INPUT

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class RunError(GancliError):
    """Something failed while running although the input was fine: NaN loss, disk full, out of memory (exit code 1)."""

    exit_code = FAILED


def closest(word: str, known: Iterable[str]) -> str | None:
    """Returns the entry of ``known`` closest to ``word``; None if none is close."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)), None)


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns ``"did you mean 'x'?"`` for the entry of ``known`` closest to ``word``, or ``""`` if none is close."""
    found = closest(word, known)
    return f"did you mean {found!r}?" if found is not None else ""
