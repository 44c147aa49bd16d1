"""Where gancli keeps what outlives a run: downloaded data sets, caches, named models."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """Returns ``$GANCLI_HOME``, by default ``~/.gancli``; the directory need not exist yet."""
    return Path(os.environ.get("GANCLI_HOME") or "~/.gancli").expanduser().absolute()
