"""Writes files so that a kill or a full disk never leaves half of one, and reads JSON. Importable without torch."""

from __future__ import annotations

import itertools
import json
import lzma
import os
import re
import shutil
import struct
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    tokenize.TokenError,
    struct.error,
    NotImplementedError,
    OverflowError,
    SyntaxError,
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


def _machine() -> str:
    try:  # containers have process numbers of their own
        numbers = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        numbers = ""
    return f"{zlib.crc32(f'{os.uname().nodename} {numbers}'.encode()):08x}"


def aside_of(path: Path) -> Path:
    """Returns the hidden name beside ``path`` under which this process writes it; it has 35 bytes at most.

    What killed processes left under such names in the folder is removed first.
    """
    remove_leftovers(path.parent)
    return path.with_name(f".gancli-{_machine()}-{os.getpid()}-{zlib.crc32(os.fsencode(path.name)):08x}")


_CLEANED: set[Path] = set()


def remove_leftovers(folder: Path) -> None:
    """Removes what processes of this machine that do not live any more left half-written; once for each folder."""
    if (folder := folder.absolute()) in _CLEANED:
        return
    _CLEANED.add(folder)
    for left in folder.iterdir():
        match = re.fullmatch(rf"\.gancli-{_machine()}-(\d{{1,9}})-[0-9a-f]{{8}}", left.name)
        if match is None or _lives(int(match[1])):
            continue
        with suppress(OSError):  # another process was faster, or only the owner may
            shutil.rmtree(left) if left.is_dir() else left.unlink()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True


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
    aside = path
    try:
        aside = aside_of(path)
        with _synced(aside) as file:
            yield file
        aside.replace(path)
    except OSError as error:
        if str(error.filename) in (str(aside), str(path.parent)):
            error.filename = str(path)  # the name that the user knows
        error.filename2 = None
        raise
    finally:
        if aside != path:
            aside.unlink(missing_ok=True)
    sync_directory(path.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Writes a file as ``replacing`` does."""
    with replacing(path) as file:
        file.write(content)
