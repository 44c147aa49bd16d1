from __future__ import annotations

import threading
import time

import pytest

from gancli.data.source import BadImage
from gancli.data.threads import CHUNK, in_threads


def test_results_come_in_order_whatever_takes_long():
    def work(index: int) -> int:
        if index % CHUNK == 0:
            time.sleep(0.02 if index == 0 else 0.001)
        if index % 10 == 3:
            raise BadImage(f"number {index}")
        return index * index

    results = list(in_threads(work, 200))
    assert len(results) == 200
    for index, result in enumerate(results):
        if index % 10 == 3:
            assert isinstance(result, BadImage)
            assert str(result) == f"number {index}"
        else:
            assert result == index * index


def test_nothing_to_do():
    assert list(in_threads(lambda index: index, 0)) == []


def test_stopping_early_ends_the_threads_at_once():
    done: list[int] = []

    def work(index: int) -> int:
        if index >= CHUNK:
            time.sleep(0.05)
        done.append(index)
        return index

    results = in_threads(work, 100_000)
    assert next(results) == 0
    started = time.monotonic()
    results.close()
    assert time.monotonic() - started < 0.05 * CHUNK / 2
    assert len(done) < 3 * CHUNK
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("gancli-decode")]


def test_other_errors_are_raised():
    def work(index: int) -> int:
        if index == 40:
            raise ZeroDivisionError
        return index

    with pytest.raises(ZeroDivisionError):
        list(in_threads(work, 1000))
