"""``-o`` and ``--format``: where pictures go. Importable without torch."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gancli.errors import GancliError, check_known

STILLS = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".webp": "webp", ".npy": "npy"}
"""Formats of single pictures and grids, by suffix."""
MOVING = {".mp4": "mp4", ".gif": "gif", **STILLS}
"""Formats of films: a ``webp`` is animated, a ``png`` or ``jpg`` has the frames side by side."""


@dataclass(frozen=True)
class Target:
    """A file, a directory with a file per image, or stdout; and the format to write there."""

    kind: Literal["file", "directory", "stream"]
    path: Path
    format: str


def choose_target(
    output: str | None, format_: str | None, *, default: str, suffixes: Mapping[str, str] = STILLS
) -> Target:
    """Returns what ``-o`` and ``--format`` mean.

    Args:
        output: ``-`` or ``/dev/stdout``, a file name with a known suffix, a device or pipe, or a directory: one that
            exists, ends in ``/``, or has no suffix. None: ``default``, in the working directory.
        format_: the format if the file name has no suffix. None: ``png`` for a directory, else that of ``default``.
        default: file name with a suffix.
        suffixes: the formats of a file, by suffix. A directory gets one picture per file, in one of ``STILLS``.

    Raises:
        GancliError: the format is unknown or contradicts the file name, or bytes would go to a terminal.
    """
    check_known("--format", format_, sorted(set(suffixes.values())))
    if output in ("-", "/dev/stdout"):
        if sys.stdout.isatty():
            raise GancliError("refusing to write image data to a terminal", "gancli ... -o - | COMMAND, or -o FILE")
        return Target("stream", Path("-"), format_ or suffixes[Path(default).suffix])
    if output is None:
        path = Path(default)
        return Target("file", path.with_suffix(f".{format_}") if format_ else path, format_ or suffixes[path.suffix])
    path = Path(output)
    if path.is_char_device() or path.is_fifo():
        return Target("file", path, format_ or suffixes[Path(default).suffix])
    if path.is_dir() or output.endswith("/") or not path.suffix:
        if path.exists() and not path.is_dir():
            raise GancliError(f"-o {output}: a file of this name is in the way of the directory")
        if format_ is not None and format_ not in STILLS.values():
            text = f"--format {format_}: a directory gets one picture per file"
            raise GancliError(text, "choose png, jpg, webp or npy")
        return Target("directory", path, format_ or "png")
    if path.suffix.lower() not in suffixes:
        hint = f"give a file ending in {' '.join(suffixes)}, a directory, or -"
        raise GancliError(f"-o {output}: {path.suffix} files cannot be written", hint)
    chosen = suffixes[path.suffix.lower()]
    if format_ is not None and format_ != chosen:
        raise GancliError(f"-o {output} and --format {format_} contradict each other", "leave --format out")
    if path.parent.is_file():
        raise GancliError(f"-o {output}: {path.parent} is a file, not a directory")
    if not path.parent.is_dir():
        raise GancliError(f"-o {output}: the directory {path.parent} does not exist", f"mkdir -p {path.parent}")
    return Target("file", path, chosen)
