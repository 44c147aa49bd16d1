"""Which images a command reads and which files it writes for each. Importable without torch."""

from __future__ import annotations

import glob
import os
import stat
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gancli.data.files import DirectoryFiles, natural
from gancli.data.formats import LARGEST_FILE
from gancli.data.source import BadImage
from gancli.data.unread import unread_notes
from gancli.errors import GancliError, nearest
from gancli.text import to_text

STDIN = "-"
LARGEST_LIST = 2**27
"""Bytes of a list of paths."""
MOST_LISTED = 1_000_000
"""Names in a list of paths."""


@dataclass(frozen=True)
class Input:
    """One image to be read.

    Attributes:
        path: the file; None is stdin.
        name: stem of the files made from it: the file's, after the folders below a directory searched recursively.
        listed: whether it was found in a directory instead of named by the user.
    """

    path: Path | None
    name: str
    listed: bool = False

    def __str__(self) -> str:
        return "stdin" if self.path is None else str(self.path)


@dataclass(frozen=True)
class Job:
    """One image and the files to write for it; none if the result goes to stdout."""

    input: Input
    outputs: tuple[Path, ...]


@dataclass(frozen=True)
class Plan:
    """What to read and write.

    Attributes:
        jobs: in the order of the inputs.
        kept: existing files that stay as they are.
        left_out: inputs that are themselves results of other inputs, from an earlier run.
    """

    jobs: list[Job]
    kept: list[Path]
    left_out: list[Input]


def find_inputs(
    arguments: Sequence[str],
    list_file: str | None = None,
    *,
    recursive: bool,
    wanted: Callable[[str], bool],
    leave_out: Path | None = None,
    passed: list[str] | None = None,
) -> list[Input]:
    """Returns the images that the user named, each file once.

    Args:
        arguments: files, directories, globs that no shell expanded, and ``-`` for stdin. An existing path is never
            taken for a glob.
        list_file: a file with a path on every line, ``-`` for stdin; empty lines are skipped. Its files need not exist.
        recursive: search directories recursively.
        wanted: returns whether to take a file from a directory, by its name.
        leave_out: a directory that is not searched, since the results go there.
        passed: gets the names of the other files in directories.

    Raises:
        GancliError: something does not exist, cannot be read, or holds no image; or nothing is named at all.
    """
    if not arguments and list_file is None:
        raise GancliError("no IMAGE given", "give files, directories, globs, - for stdin, or --from-file LIST")
    if [*arguments, list_file].count(STDIN) > 1:
        raise GancliError("stdin can be read only once, but - is given more than once")
    found: dict[Path | None, Input] = {}
    for argument in arguments:
        if argument == STDIN:
            found[None] = Input(None, "stdin")
            continue
        for path in _paths(argument):
            inputs = [Input(Path(path), Path(path).stem)]
            if os.path.isdir(path):  # noqa: PTH112 - of a text that may be no valid path
                inputs = _in_directory(Path(path), recursive, wanted, leave_out, [] if passed is None else passed)
            for item in inputs:
                found.setdefault(item.path, item)
    for line in _lines(list_file) if list_file is not None else ():
        found.setdefault(Path(line), Input(Path(line), Path(line).stem))
    if not found:
        raise GancliError(f"--from-file {list_file}: the list is empty")
    return list(found.values())


def _paths(argument: str) -> list[str]:
    """Returns the existing paths that an argument means."""
    if os.path.lexists(argument):
        return [argument]
    if glob.has_magic(argument):
        paths = sorted(glob.glob(argument, recursive=True), key=natural)  # noqa: PTH207 - as the user wrote them
        if not paths:
            raise GancliError(f"no file matches {argument!r}")
        return paths
    try:
        neighbours = [str(path) for path in Path(argument).parent.iterdir()]
    except (OSError, ValueError):
        neighbours = []
    raise GancliError(f"there is no image {argument!r}", nearest(argument, neighbours))


def _in_directory(
    folder: Path, recursive: bool, wanted: Callable[[str], bool], leave_out: Path | None, passed: list[str]
) -> list[Input]:
    if recursive:
        # Leaves out hidden files and links that lead back up; a folder that may not be entered is an error.
        names: Iterable[str] = DirectoryFiles(folder).entries
        if leave_out is not None and folder.resolve() in leave_out.resolve().parents:
            inside = f"{leave_out.resolve().relative_to(folder.resolve()).as_posix()}/"
            names = [name for name in names if not name.startswith(inside)]
    else:
        try:
            names = [entry.name for entry in os.scandir(folder) if not entry.is_dir() and entry.name[0] != "."]
        except OSError as error:
            raise GancliError(f"{folder} cannot be read: {error.strerror}") from error
    others = [name for name in names if not wanted(name)]
    passed += [str(folder / name) for name in others]
    inputs = [
        Input(folder / name, os.path.splitext(name)[0], listed=True)  # noqa: PTH122 - it keeps the folders
        for name in sorted(names, key=natural)
        if wanted(name)
    ]
    if not inputs:
        deeper = not recursive and any(entry.is_dir() for entry in os.scandir(folder))
        hint = "--recursive also searches the folders below" if deeper else "; ".join(unread_notes(others))
        raise GancliError(f"there is no image in {folder}", hint)
    return inputs


def _lines(list_file: str) -> list[str]:
    hint = "give a file with one path per line, or -"
    try:
        if list_file == STDIN:
            content = read_stdin()
        else:
            with open(list_file, "rb") as file:  # noqa: PTH123 - of a text that may be no valid path
                content = file.read(LARGEST_LIST + 1)
    except OSError as error:
        raise GancliError(f"--from-file {list_file}: {error.strerror}", hint) from error
    lines = [] if len(content) > LARGEST_LIST else to_text(content, f"--from-file {list_file}", hint).split("\n")
    if not lines or len(lines) > MOST_LISTED:
        limits = f"{MOST_LISTED:,} names or {LARGEST_LIST // 2**20} MiB"
        text = f"--from-file {list_file}: too large for a list of paths, which has at most {limits}"
        raise GancliError(text, "split the list, or name the directory")
    return [line for line in lines if line]


def read_stdin() -> bytes:
    """Returns all of stdin; raises ``GancliError`` if it is closed, endless, or a terminal."""
    if sys.stdin is None or sys.stdin.isatty():
        raise GancliError("nothing to read on stdin", "for instance: curl URL | gancli ... - -o out.png")
    try:
        return read_whole(sys.stdin.buffer)
    except BadImage as error:
        raise GancliError("stdin does not end: too much data for an image or a list") from error


def read_whole(file: BinaryIO) -> bytes:
    """Returns the content of a file, or raises ``BadImage`` if it is larger than any image: a pipe may be endless."""
    data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise BadImage("the file is too large to be an image")
    return data


def make_plan(inputs: Sequence[Input], outputs: Callable[[Input], Sequence[Path]], *, overwrite: bool) -> Plan:
    """Decides which files to write, before anything is computed. No input is ever overwritten.

    Args:
        outputs: returns the files to write for an input.
        overwrite: replace existing files.

    Raises:
        GancliError: two inputs have the same output, or an output is an input itself.
    """
    files = {item: tuple(outputs(item)) for item in inputs}
    identities = {identity: item for item in inputs if item.path and (identity := _identity(item.path))}
    existing = {path: found for paths in files.values() for path in paths if (found := _identity(path))}
    left_out: dict[Input, None] = {}
    for item, paths in files.items():
        for path in paths:
            owner = identities.get(existing[path]) if path in existing else None
            if owner is None:
                continue
            if owner is item or (overwrite and not owner.listed):
                raise GancliError(f"{path} would be overwritten, but it is an input", "choose another -o")
            left_out[owner] = None
    jobs: list[Job] = []
    kept: list[Path] = []
    makers: dict[Path, Input] = {}
    for item, paths in files.items():
        if item in left_out:
            continue
        for path in paths:
            if path in makers:
                raise GancliError(
                    f"{makers[path]} and {item} would both be written to {path}",
                    "translate them one by one, each with its own -o; if they are in different folders, --recursive "
                    "on the folder above keeps these apart",
                )
            makers[path] = item
        there = [] if overwrite else [path for path in paths if path in existing]
        kept += there
        missing = tuple(path for path in paths if path not in there)
        if missing or not paths:
            jobs.append(Job(item, missing))
    return Plan(jobs, kept, list(left_out))


def _identity(path: Path) -> tuple[int, int] | None:
    """Returns what identifies a file, whatever its name; None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return None if stat.S_ISDIR(status.st_mode) else (status.st_dev, status.st_ino)
