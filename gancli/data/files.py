"""One view of a directory, a zip and a tar: names, sizes and contents of the files inside.

Nothing is ever unpacked by name, so a member called ``../x`` or ``/x`` is just a file with an odd name.
"""

from __future__ import annotations

import os
import re
import tarfile
import tempfile
import threading
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from gancli.data.source import BadImage
from gancli.errors import GancliError, RunError
from gancli.files import DAMAGED

DOMAIN_NAMES = re.compile(r"([^\W\d_](?:[^\W\d_]|-)+)2([^\W\d_](?:[^\W\d_]|-)+?)(?:[- .(]+v?\d.*)?")
"""A name like ``horse2zebra``; a size or version may follow, as in ``vangogh2photo-256``."""
ARCHIVE_ENDING = re.compile(r"\.(zip|npz|t(ar|gz|bz2?|xz)|tar\.\w+)$", re.IGNORECASE)


class Entry(NamedTuple):
    """A file's size in bytes, and a text that changes when its content does."""

    size: int
    stamp: str


class Files(ABC):
    """The files of a directory or an archive, read from any thread.

    Attributes:
        path: the directory or archive.
        entries: by name, with ``/`` between folders; hidden files and macOS's ``__MACOSX`` are left out.
        notes: facts about reading these files for the user.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: tuple[str, ...] = ()
        self.entries = {name: entry for name, entry in self._scan() if not is_hidden(name)}

    @abstractmethod
    def _scan(self) -> Iterator[tuple[str, Entry]]:
        """Yields every file; raises GancliError if ``path`` cannot be searched."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Returns a file's content; raises BadImage if it cannot be read."""


def is_hidden(name: str) -> bool:
    """Returns whether a file or folder is hidden or made by macOS."""
    return any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in name.split("/"))


def _clean(member: str) -> str:
    """A member's name with plain separators: ``./a\\b.png`` is ``a/b.png``."""
    return "/".join(part for part in member.replace("\\", "/").split("/") if part not in ("", "."))


class DirectoryFiles(Files):
    """A directory and everything below it; symbolic links are followed."""

    def _scan(self, prefix: str = "", above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[tuple[str, Entry]]:
        folder = self.path / prefix
        try:
            status = folder.stat()
            entries = list(os.scandir(folder))
        except OSError as error:
            raise GancliError(f"{folder} cannot be read: {error.strerror}", f"try: ls -l {folder}") from error
        here = (status.st_dev, status.st_ino)
        if here in above:  # a link back up
            return
        for entry in entries:
            name = prefix + entry.name
            if entry.is_dir():
                if not is_hidden(entry.name):
                    yield from self._scan(name + "/", above | {here})
            elif entry.is_file():
                status = entry.stat()
                yield name, Entry(status.st_size, f"{status.st_size}-{status.st_mtime_ns}")
            elif entry.is_symlink():
                # The target is missing. Reading it fails, so it is reported like any other unreadable image.
                yield name, Entry(0, "missing")

    def read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise BadImage(error.strerror or str(error)) from error


class ZipFiles(Files):
    """The members of a zip archive."""

    def _scan(self) -> Iterator[tuple[str, Entry]]:
        try:
            self._archive = zipfile.ZipFile(self.path)
        except (*DAMAGED, OSError) as error:
            raise damaged(self.path, error) from error
        self._lock = threading.Lock()  # ZipFile counts its readers without one
        members = [member for member in self._archive.infolist() if not member.is_dir()]
        if any(member.flag_bits & 1 for member in members):
            raise GancliError(f"{self.path} is encrypted", "unpack it and name the folder")
        self._members = {_clean(member.filename): member for member in members}
        for name, member in self._members.items():
            yield name, Entry(member.file_size, f"{member.file_size}-{member.CRC:08x}")

    def read(self, name: str) -> bytes:
        try:
            with self._lock, self._archive.open(self._members[name]) as member:
                # No more than the directory says: a member may unpack to far more.
                return member.read(self._members[name].file_size)
        except (*DAMAGED, OSError) as error:
            raise BadImage(f"it cannot be read from the zip: {error}") from error


class TarFiles(Files):
    """The members of a tar archive. A compressed one has no random access: it is decompressed once into a temporary
    file, which disappears with the process, however it ends."""

    def _scan(self) -> Iterator[tuple[str, Entry]]:
        self._members: dict[str, tuple[int, int]] = {}
        links = 0
        changed = self.path.stat().st_mtime_ns
        try:
            self._file = self._random_access()
            with tarfile.open(fileobj=self._file, mode="r:") as archive:
                for member in archive:
                    links += member.issym() or member.islnk()
                    if member.isreg() and not member.issparse():
                        name = _clean(member.name)
                        self._members[name] = (member.offset_data, member.size)
                        yield name, Entry(member.size, f"{member.size}-{member.mtime}-{changed}")
        except (*DAMAGED, OSError) as error:
            raise damaged(self.path, error) from error
        if links:
            self.notes += (f"{links} links inside the archive are ignored",)

    def _random_access(self) -> BinaryIO:
        try:
            with tarfile.open(self.path, "r:"):
                return self.path.open("rb")
        except tarfile.ReadError:
            note = "a compressed tar is decompressed to a temporary file at every start; a zip or a plain tar is not"
            self.notes += (note,)
        unpacked: BinaryIO = tempfile.TemporaryFile(prefix="gancli-")  # noqa: SIM115 - it lives as long as this object
        # tarfile finds the compression; the stream below its members is the plain tar.
        with tarfile.open(self.path, "r:*") as archive:
            assert archive.fileobj is not None
            archive.fileobj.seek(0)
            try:
                while block := archive.fileobj.read(2**20):
                    unpacked.write(block)
                unpacked.seek(0)
            except OSError as error:
                if error.errno is None:
                    raise
                raise RunError(
                    f"{self.path} cannot be decompressed to {tempfile.gettempdir()}: {error.strerror}",
                    "unpack it and name the folder, or set TMPDIR to a place with more room",
                ) from error
        return unpacked

    def read(self, name: str) -> bytes:
        offset, size = self._members[name]
        try:
            data = os.pread(self._file.fileno(), size, offset)
        except OSError as error:
            raise BadImage(error.strerror or str(error)) from error
        if len(data) < size:
            raise BadImage("the archive ends within this file")
        return data


def open_files(path: Path) -> Files | None:
    """Returns the files of a directory or archive, found by its content; None if ``path`` is neither.

    Raises:
        GancliError: it is one, but damaged, encrypted or without permission to read.
    """
    if path.is_dir():
        return DirectoryFiles(path)
    try:
        with path.open("rb"):
            if zipfile.is_zipfile(path):
                return ZipFiles(path)
            if tarfile.is_tarfile(path):
                return TarFiles(path)
    except OSError as error:
        if error.errno is None:
            raise damaged(path, error) from error
        raise GancliError(f"{path} cannot be read: {error.strerror or error}", f"try: ls -l {path}") from error
    except DAMAGED as error:
        raise damaged(path, error) from error
    if ARCHIVE_ENDING.search(path.name):
        raise damaged(path, "it does not begin or end like one")
    return None


def damaged(path: Path, reason: Exception | str) -> GancliError:
    """Returns the error that an archive cannot be read."""
    if isinstance(reason, OSError) and reason.errno is not None:
        return GancliError(f"{path} cannot be read: {reason.strerror}", f"try: ls -l {path}")
    return GancliError(f"{path} is a damaged archive: {reason}", "download or copy it again")


def natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sorting key that puts ``2.png`` before ``10.png``."""
    pieces = re.split(r"([0-9]+)", name)
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces if piece], name


def domain_names(folders: Iterable[str]) -> tuple[str, str]:
    """Returns names for two domains that have none of their own.

    ``folders`` are the folders or archives that hold the domains, or the title of a checkpoint. The first piece between
    underscores that is like ``horse2zebra`` gives the names, also in ``summer2winter_yosemite`` and
    ``facades_label2photo``; without such a piece they are A and B.
    """
    for folder in folders:
        for piece in ARCHIVE_ENDING.sub("", folder).split("_"):
            if match := DOMAIN_NAMES.fullmatch(piece):
                first, second = match[1].rstrip("-"), match[2].rstrip("-")
                if first.lower() != second.lower():
                    return first, second
    return "A", "B"
