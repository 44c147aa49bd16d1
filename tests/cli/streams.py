"""A stdout that cannot be written. It lasts as long as a block: pytest puts its own back between fixture and test."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """Puts stdout on a disk without space."""
    full = Path("/dev/full").open("w")  # noqa: SIM115
    with contextlib.redirect_stdout(full):
        yield
    with contextlib.suppress(OSError):
        full.close()


@contextlib.contextmanager
def closed_pipe() -> Iterator[None]:
    """Puts stdout on a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed, contextlib.redirect_stdout(closed):
        yield
