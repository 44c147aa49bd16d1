"""Checkpoints that survive a kill at any moment: a directory is complete and checked, or it does not exist.

``checkpoints/<step>/`` holds the trainer's files and ``SHA256SUMS`` (for ``sha256sum -c``). It is written under a
hidden name, synced to the disk, and renamed; then older ones are removed.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from gancli.files import sync_directory, unused, write_synced

SUMS = "SHA256SUMS"


class DamagedCheckpoint(Exception):
    """A checkpoint directory differs from what was written; the message says how."""


def write(directory: Path, step: int, files: Mapping[str, bytes], *, keep: int) -> None:
    """Writes ``directory/<step>`` and removes all but the newest ``keep`` checkpoints.

    Args:
        directory: the ``checkpoints`` directory of a run.
        step: training steps finished.
        files: content by file name.
        keep: how many checkpoints remain, including this one; at least 1.
    """
    write_directory(directory / str(step), files)
    for old in steps(directory)[:-keep]:
        _remove(directory / str(old))


def write_directory(final: Path, files: Mapping[str, bytes]) -> None:
    """Writes a directory that is complete and checked, or does not exist; it replaces an older one."""
    aside = final.with_name(f".{final.name}.writing")
    shutil.rmtree(aside, ignore_errors=True)
    final.parent.mkdir(exist_ok=True)  # not those above it: a run that has been removed is not made again
    aside.mkdir()
    try:
        sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
        for name, content in {**files, SUMS: sums.encode()}.items():
            write_synced(aside / name, content)
        sync_directory(aside)
        if final.exists():
            _remove(final)
        aside.rename(final)
        sync_directory(final.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _remove(path: Path) -> None:
    # Renamed first, so that a kill in the middle does not leave half a checkpoint under a good name.
    hidden = path.with_name(f".{path.name}.removing")
    shutil.rmtree(hidden, ignore_errors=True)
    path.rename(hidden)
    shutil.rmtree(hidden)


def set_aside(path: Path) -> None:
    """Renames a damaged checkpoint to ``<step>.damaged``, so that nothing is lost or taken for a good one."""
    path.rename(unused(path.with_name(f"{path.name}.damaged")))


def clean(directory: Path) -> None:
    """Removes what a killed process left half-written or half-removed."""
    for pattern in (".*.writing", ".*.removing"):
        for leftover in directory.glob(pattern):
            shutil.rmtree(leftover, ignore_errors=True)


def steps(directory: Path) -> list[int]:
    """Returns the steps of all checkpoints, oldest first."""
    if not directory.is_dir():
        return []
    return sorted(int(path.name) for path in directory.iterdir() if path.name.isdecimal() and path.is_dir())


def read(path: Path) -> dict[str, bytes]:
    """Reads and checks one checkpoint directory: content by file name.

    Raises:
        DamagedCheckpoint: a file is missing, cannot be read, or differs from what was written.
    """
    try:
        listed = dict(line.split("  ", 1)[::-1] for line in (path / SUMS).read_text().splitlines())
        if any("/" in name for name in listed):
            raise ValueError("files of another directory")
        files = {name: (path / name).read_bytes() for name in listed}
    except FileNotFoundError as error:
        raise DamagedCheckpoint(f"{Path(error.filename).name} is missing") from error
    except ValueError as error:
        raise DamagedCheckpoint(f"{SUMS} is not a list of checksums") from error
    except OSError as error:
        raise DamagedCheckpoint(str(error)) from error
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != listed[name]:
            raise DamagedCheckpoint(f"{name} does not have the checksum it was written with")
    return files
