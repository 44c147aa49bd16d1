"""Decoding in threads: Pillow releases Python's lock while it decodes. Importable without torch."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from gancli.data.source import BadImage
from gancli.devices import cores

CHUNK = 32
"""Images that a thread decodes before it hands them over."""

T = TypeVar("T")


def in_threads(decode: Callable[[int], T], count: int) -> Generator[T | BadImage, None, None]:
    """Yields the results of ``decode`` for 0, 1, ..., count - 1 in order, or the ``BadImage`` that it raised."""
    stopped = threading.Event()

    def decode_chunk(start: int) -> list[T | BadImage]:
        results: list[T | BadImage] = []
        for index in range(start, min(start + CHUNK, count)):
            if stopped.is_set():
                break
            try:
                results.append(decode(index))
            except BadImage as error:
                results.append(error)
        return results

    threads = cores()
    starts = iter(range(0, count, CHUNK))
    pending: deque[Future[list[T | BadImage]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="gancli-decode") as pool:
        try:
            while True:
                while len(pending) < 2 * threads and (start := next(starts, None)) is not None:
                    pending.append(pool.submit(decode_chunk, start))
                if not pending:
                    return
                yield from pending.popleft().result()
        finally:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
