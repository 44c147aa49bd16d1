"""Where gancli keeps what outlives a run: downloaded data sets, caches, named models."""

from __future__ import annotations

import os
from pathlib import Path

from gancli.errors import GancliError


def home() -> Path:
    """Returns ``$GANCLI_HOME``, by default ``~/.gancli``; the directory need not exist yet.

    Raises:
        GancliError: it is a file, or in the home directory of a user who does not exist.
    """
    given = os.environ.get("GANCLI_HOME") or "~/.gancli"
    hint = "set GANCLI_HOME to a directory of yours"
    try:
        path = Path(given).expanduser().absolute()
        if path.exists() and not path.is_dir():
            raise GancliError(f"GANCLI_HOME is {given}, which is a file", hint)
    except (RuntimeError, ValueError) as error:  # of expanduser
        raise GancliError(f"GANCLI_HOME is {given}, but there is no such home directory", hint) from error
    except OSError as error:
        raise GancliError(f"GANCLI_HOME is {given}: {os.strerror(error.errno or 0).lower()}", hint) from error
    return path
