"""Where pictures go: what ``-o`` means. Importable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gancli.errors import GancliError

SUFFIXES = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".webp": "webp", ".npy": "npy"}


@dataclass(frozen=True)
class Target:
    """A file, a directory that gets a file per image, or stdout; and the format that is written there."""

    kind: Literal["file", "directory", "stream"]
    path: Path
    format: str


def choose_target(output: str | None, format_: str | None, *, default: str) -> Target:
    """Returns what ``-o`` and ``--format`` mean.

    Args:
        output: ``-`` for stdout, a file name with a known suffix, or a directory: one that exists, ends in ``/``, or
            has no suffix. None: ``default``, in the working directory.
        format_: the format for a directory or stdout, ``png`` if None.
        default: file name with a suffix.

    Raises:
        GancliError: the format is unknown, or contradicts the file name.
    """
    formats = sorted(set(SUFFIXES.values()))
    if format_ is not None and format_ not in formats:
        raise GancliError(f"--format {format_}: unknown", f"known are: {', '.join(formats)}")
    if output == "-":
        return Target("stream", Path("-"), format_ or "png")
    if output is None:
        path = Path(default)
        return Target("file", path.with_suffix(f".{format_}") if format_ else path, format_ or SUFFIXES[path.suffix])
    path = Path(output)
    if path.is_dir() or output.endswith("/") or not path.suffix:
        if path.exists() and not path.is_dir():
            raise GancliError(f"-o {output}: there is a file of this name, so it cannot be a directory")
        return Target("directory", path, format_ or "png")
    if path.suffix.lower() not in SUFFIXES:
        raise GancliError(
            f"-o {output}: {path.suffix} files cannot be written",
            f"known are: {' '.join(SUFFIXES)}, a directory, -",
        )
    chosen = SUFFIXES[path.suffix.lower()]
    if format_ is not None and format_ != chosen:
        raise GancliError(f"-o {output} is a {chosen} file, but --format says {format_}", "leave --format out")
    if not path.parent.is_dir():
        raise GancliError(f"-o {output}: there is no directory {path.parent}", f"mkdir -p {path.parent}")
    return Target("file", path, chosen)
