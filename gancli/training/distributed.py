"""Several processes that train one model, started by ``torchrun``; every function also works in a single process."""

from __future__ import annotations

import atexit
import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist

from gancli.errors import RunError


def launched() -> int:
    """Returns how many processes torchrun started, whether they are connected or not."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_rank() -> int:
    """Returns this process's number on its machine, which is the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def world_size() -> int:
    """Returns the number of connected processes: 1 before ``start`` and after ``stop``."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Returns this process's number among the connected ones; 0 writes files and speaks to the user."""
    return dist.get_rank() if dist.is_initialized() else 0


EVALUATION = timedelta(hours=12)
"""How long processes wait for the first one while it evaluates; torch's defaults are 10 and 30 minutes."""


def start(device: torch.device, *, patient: bool = False) -> None:
    """Connects the processes, each on its own device; does nothing if there is only one.

    Args:
        device: of this process.
        patient: the first process sometimes evaluates while the others wait.
    """
    if launched() == 1 or dist.is_initialized():
        return
    atexit.register(_leave)  # so early that it is among the last to be called
    limit = EVALUATION if patient else None
    if device.type == "cuda":
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", timeout=limit, device_id=device)
    else:
        dist.init_process_group("gloo", timeout=limit)


LOST = re.compile(r"gloo|nccl|connection (closed|reset|refused)|broken pipe|socket", re.IGNORECASE)
"""What errors say while a process waits for another one."""
_lost = threading.Event()
"""Set when another process has ended."""


def _leave() -> None:
    """Ends a process that has lost another one at once: the threads of gloo, which still wait, would abort it."""
    if _lost.is_set():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


@contextmanager
def naming_the_lost() -> Iterator[None]:
    """Turns the error of a process that waits for another one, which has ended, into one that says so."""
    try:
        yield
    except RuntimeError as error:
        if world_size() == 1 or not (isinstance(error, dist.DistError) or LOST.search(str(error))):
            raise
        _lost.set()
        raise RunError(
            f"process {rank()} of {world_size()} has lost another one, which failed or was killed; the run stops at "
            "its last checkpoint",
            "look at what the other process said, then continue with torchrun ... -m gancli resume RUN",
        ) from error


def stop() -> None:
    """Disconnects the processes; does nothing if there is only one."""
    if dist.is_initialized() and not _lost.is_set():
        dist.destroy_process_group()


def gather(content: bytes) -> list[bytes]:
    """Returns the ``content`` of every process, by rank, on the first of several; an empty list on the others."""
    everything: list[bytes] | None = [b""] * world_size() if rank() == 0 else None
    dist.gather_object(content, everything)
    return everything or []


def average(tensors: Iterable[Tensor]) -> None:
    """Replaces each floating-point tensor by its mean over all processes, with one message for all of them."""
    if world_size() == 1:
        return
    tensors = [tensor for tensor in tensors if tensor.is_floating_point()]
    if not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= world_size()
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def agree(flag: int, device: torch.device) -> int:
    """Returns the largest ``flag`` of all processes, so that all of them decide the same."""
    if world_size() == 1:
        return flag
    shared = torch.tensor(flag, device=device)
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return int(shared)


def share_text(text: str) -> str:
    """Returns rank 0's ``text`` on every process."""
    if world_size() == 1:
        return text
    box = [text]
    dist.broadcast_object_list(box)
    return box[0]


def barrier() -> None:
    """Waits until every process has come here."""
    if world_size() > 1:
        dist.barrier()
