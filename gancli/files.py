"""Writes files so that a kill or a full disk never leaves half of one, and reads JSON. Importable without torch."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

DEEPEST = 32
"""Levels of lists and objects in each other; no JSON of gancli has as many."""


def parse_json(text: str | bytes) -> Any:
    """Returns the value of JSON text; raises ``ValueError`` if it is not JSON, or nested too deeply."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    level = [value]
    for _ in range(DEEPEST):
        several = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        if not several:
            return value
        level = [inner for each in several for inner in each]
    raise ValueError("nested too deeply")


def unused(path: Path) -> Path:
    """Returns ``path``, or ``path-2`` and so on if that exists."""
    others = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return next(free for free in itertools.chain([path], others) if not free.exists())


def sync_directory(path: Path) -> None:
    """Makes renames inside a directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_synced(path: Path, content: bytes) -> None:
    """Writes a file and waits until it is on the disk."""
    with _synced(path) as file:
        file.write(content)


@contextmanager
def _synced(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        error.filename = error.filename or str(path)  # the system does not name an open file
        raise


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yields a file to write, which becomes ``path`` at the end of the block; if the block fails, nothing changes.

    So ``path`` always has the whole old or the whole new content. If it is not a regular file, such as ``/dev/null`` or
    a named pipe, the block writes to it directly.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with _synced(aside) as file:
            yield file
        aside.replace(path)
    except OSError as error:
        if str(error.filename) == str(aside):
            error.filename = str(path)  # the name that the user knows
        raise
    finally:
        if aside.exists():
            aside.unlink()
    sync_directory(path.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Writes a file as ``replacing`` does."""
    with replacing(path) as file:
        file.write(content)
