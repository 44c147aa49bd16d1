"""Loader processes: they gather raw batches, and end when the run ends, however that happens."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset

from gancli.architectures.base import Batch
from gancli.data.sampler import Piece
from gancli.errors import RunError


class Raw(NamedTuple):
    """A batch before it reaches the device: what the gatherers of the domains return, and labels [N] or [N, K]."""

    items: dict[str, torch.Tensor]
    labels: torch.Tensor | None


class Batches:
    """Endless batches; call ``close`` when done, so that no worker is left over.

    Args:
        dataset: gathers the raw batch of a ``Piece``, in the worker processes.
        pieces: this rank's, endlessly.
        finish: makes a batch of a raw one, in this process.
        workers: number of processes; 0 gathers in this one.
        pinned: raw batches are moved into page-locked memory, from which a GPU copies faster.
    """

    def __init__(
        self, dataset: Dataset[Raw], pieces: Iterable[Piece], finish: Callable[[Raw], Batch], workers: int, pinned: bool
    ) -> None:
        self._finish = finish
        self._raw: Iterator[Raw] | None
        if workers or pinned:
            loader = DataLoader(
                dataset,
                batch_size=None,  # the data set returns whole batches
                sampler=pieces,
                num_workers=workers,
                prefetch_factor=4 if workers else None,  # batches that each worker prepares ahead
                pin_memory=pinned,
                worker_init_fn=_begin_worker,
                # Its own, so that the run's random numbers do not depend on when loading began.
                generator=torch.Generator(),
            )
            with _quiet_start():
                self._raw = iter(loader)
        else:  # without a DataLoader, which takes longer than a batch of points
            self._raw = map(dataset.__getitem__, pieces)
        # Before multiprocessing's own exit handler, which waits for workers that ignore its SIGTERM.
        this = weakref.ref(self)
        self._at_exit = lambda: None if (alive := this()) is None else alive.close()
        atexit.register(self._at_exit)

    def __iter__(self) -> Batches:
        return self

    def __del__(self) -> None:
        if hasattr(self, "_at_exit"):
            self.close()

    def __next__(self) -> Batch:
        if self._raw is None:
            raise StopIteration
        try:
            raw = next(self._raw)
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            self.close()
            reason = str(error).splitlines()[0].rstrip(".")
            raise RunError(
                f"a loader process died: {reason}",
                "often memory or shared memory ran out; --workers 0 does without such processes",
            ) from error
        return self._finish(raw)

    def close(self) -> None:
        """Ends the workers, and with them the iteration."""
        raw, self._raw = self._raw, None
        atexit.unregister(self._at_exit)
        workers = getattr(raw, "_workers", [])
        if workers:
            raw._shutdown_workers()  # type: ignore[union-attr]
        for worker in workers:
            if worker.is_alive():
                worker.kill()


def _begin_worker(worker: int) -> None:
    """Ctrl-C and a job scheduler's SIGTERM reach every process; only the parent acts on them, and ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # torch notices a change of parent only from here on, so a worker whose parent has gone already would wait forever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        # Forked workers hold the pipes by which the others see that the parent lives; those of a fork server are its
        # children.
        served = multiprocessing.get_start_method() == "forkserver"
        if not parent.is_alive() if served else os.getppid() != parent.pid:
            os._exit(1)


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Keeps signals from workers that are just starting, and torch's SIGCHLD handler out of this process.

    The handler would raise a dead worker's error in the middle of other code; without it ``next`` finds out.
    """
    on_child = signal.getsignal(signal.SIGCHLD)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        # torch sets its handler in the main thread only.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, on_child if on_child is not None else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
