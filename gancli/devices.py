"""Which device to compute on, and how many cores there are. Importable without torch."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gancli.errors import GancliError

if TYPE_CHECKING:
    import torch

WORKERS_PER_CORE = 8
"""More loader processes per core only wait for each other, and each takes memory."""


def cores() -> int:
    """Returns how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_workers(workers: int) -> None:
    """Raises ``GancliError`` for more loader processes than the cores of this machine can feed."""
    if workers > WORKERS_PER_CORE * cores():
        words = "1 core" if cores() == 1 else f"{cores()} cores"
        raise GancliError(f"{workers} loader processes are too many for the {words} here", f"--workers {cores()}")


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """Returns the device that ``--device`` means: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.

    Args:
        name: what the user gave; ``auto`` means CUDA if there is one, else Apple's MPS, else the CPU.
        local_rank: number of this process on its machine; ``auto`` and ``cuda`` give each process a GPU of its own.

    Raises:
        GancliError: there is no such device.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name.startswith("cuda"):
        if not torch.cuda.is_available():
            raise GancliError("there is no CUDA device here", "type `gancli doctor` to see why, or use --device cpu")
        device = torch.device(name if ":" in name else f"cuda:{local_rank}")
        if device.index >= torch.cuda.device_count():
            raise GancliError(f"there is no device {device}", f"the last one is cuda:{torch.cuda.device_count() - 1}")
        return device
    if name == "mps" and not torch.backends.mps.is_available():
        raise GancliError("there is no MPS device here", "use --device cpu")
    if name not in ("cpu", "mps"):
        raise GancliError(f"there is no device {name!r}", "use auto, cpu, mps, cuda or cuda:N")
    return torch.device(name)
