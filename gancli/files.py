"""Writes files so that a kill or a full disk never leaves half of one, and knows the errors of damaged ones.

Importable without torch.
"""

from __future__ import annotations

import itertools
import lzma
import os
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    tokenize.TokenError,
    NotImplementedError,
    TypeError,
    ValueError,
    MemoryError,
    RecursionError,
)
"""What Python and numpy raise for damaged archives and arrays, beside OSError, which then has no number."""


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
