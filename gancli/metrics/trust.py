"""Programs that the user has allowed to run: TorchScript and ``torch.export`` files. Importable without torch.

Such a program can read and write files, and loading a ``torch.export`` file can run any code. So each one is run only
after the user has allowed it once; ``$GANCLI_HOME/trusted`` has its SHA-256, in lines as ``sha256sum`` writes them.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from gancli.errors import GancliError
from gancli.home import home

MADE = "make one with torch.jit.save(torch.jit.trace(network, images), 'features.pt')"


def trust(files: Iterable[str | Path | None]) -> None:
    """Allows programs to run, now and later; None and what is no file are left out.

    Raises:
        GancliError: a file cannot be read, or the list cannot be written.
    """
    place = home() / "trusted"
    for path in (Path(file) for file in files if file is not None and Path(file).is_file()):
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest in _trusted():
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("a", encoding="utf-8", errors="backslashreplace") as listed:
                listed.write(f"{digest}  {path.name}\n")
        except OSError as error:
            raise GancliError(f"--trust: cannot use {error.filename or place}: {error.strerror}") from error


def _trusted() -> set[str]:
    try:
        lines = (home() / "trusted").read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return set()
    return {line.partition(" ")[0] for line in lines}


def read_program(path: Path, known: str = "") -> bytes:
    """Returns the content of a program that may run.

    Args:
        path: the file.
        known: SHA-256 of the program that its authors distribute, which may run unasked.

    Raises:
        GancliError: it cannot be read, is no program, or the user has not allowed it.
    """
    try:
        content = path.read_bytes()
        allowed = {known} | _trusted()
    except OSError as error:
        raise GancliError(f"cannot read {error.filename or path}: {error.strerror}") from error
    if not zipfile.is_zipfile(BytesIO(content)):
        raise GancliError(f"{path} is not a TorchScript or torch.export file", MADE)
    if hashlib.sha256(content).hexdigest() not in allowed:
        raise GancliError(
            f"{path} is a program that can read and write your files, and you have not allowed it to run",
            "if you trust whoever made it, add --trust once; this file then runs without it, too",
        )
    return content
