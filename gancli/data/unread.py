"""Names what is left out because it cannot be read: images of other formats, and folders without an image.

Importable without torch.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence

from gancli.data.files import natural
from gancli.data.formats import EXTENSIONS, unread_kind
from gancli.errors import GancliError, some


def unread_notes(names: Iterable[str]) -> list[str]:
    """Returns a line for each kind of image or video among file names that is not read, with what to do."""
    return [
        f"{len(files):,} {'file is' if len(files) == 1 else 'files are'} not read ({kind}: {some(files, 3)}); {advice}"
        for (kind, advice), files in _by_kind(names).items()
    ]


def _by_kind(names: Iterable[str]) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for name in sorted(names, key=natural):
        if (kind := unread_kind(name)) is not None:
            found.setdefault(kind, []).append(name)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def folder_notes(names: Iterable[str], used: Iterable[str]) -> list[str]:
    """Returns a line for each folder without an image that is read, beside folders that have some.

    Args:
        names: of all files.
        used: of those that are read.
    """
    full = {folder for name in used for folder in _above(name)}
    empty: dict[str, int] = {}
    for name in sorted(names, key=natural):
        # The topmost folder that has no image, if the one above it has some.
        missing = next((folder for folder in reversed(_above(name)) if folder not in full), None)
        if missing is not None and (not posixpath.dirname(missing) or posixpath.dirname(missing) in full):
            empty[missing] = empty.get(missing, 0) + 1
    return [
        f"the folder {folder} is not used: it holds {count:,} {'file' if count == 1 else 'files'}, but no image"
        for folder, count in empty.items()
    ]


def _above(name: str) -> list[str]:
    """Returns the folders that a file is in, the innermost first."""
    folders = []
    while name := posixpath.dirname(name):
        folders.append(name)
    return folders


def no_image(where: str, names: Sequence[str]) -> GancliError:
    """Returns the error that none of the files in a place is an image that is read."""
    kinds = _by_kind(names)
    said = ", ".join(f"{len(files):,} {kind}" for (kind, _), files in kinds.items())
    hint = next((advice for _, advice in kinds), f"image files end in one of: {' '.join(sorted(EXTENSIONS))}")
    text = f"{where} holds {len(names):,} files, but none is an image that is read"
    return GancliError(f"{text} ({said})" if said else text, hint)
