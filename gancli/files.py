"""Writing files so that a kill or a full disk never leaves half of one. Importable without torch."""

from __future__ import annotations

import os
from pathlib import Path


def sync_directory(path: Path) -> None:
    """Makes renames inside a directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_synced(path: Path, content: bytes) -> None:
    """Writes a file and waits until it is on the disk."""
    try:
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        error.filename = str(path)  # writing to an open file, the system does not say to which
        raise


def replace_file(path: Path, content: bytes) -> None:
    """Writes a file so that at any moment there is the old content or the new one, whole."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write_synced(aside, content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    sync_directory(path.parent)
