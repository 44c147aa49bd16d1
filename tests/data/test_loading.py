from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from made import tarred, tree, zipped
from served import CPU, pipeline, take

from gancli.data.loading import Batches
from gancli.data.opening import open_source
from gancli.data.sampler import Piece
from gancli.errors import RunError


@pytest.mark.slow
@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_other_ways_to_start_workers(method):
    code = (
        "import multiprocessing, torch, sys; sys.path.insert(0, sys.argv[1])\n"
        "from served import pipeline, source, take\n"
        "if __name__ == '__main__':\n"
        f"    multiprocessing.set_start_method('{method}')\n"
        "    for gib in (1, 0):\n"
        "        expected = take(pipeline(flip=True, cache_gib=gib), 6)\n"
        "        found = take(pipeline(flip=True, cache_gib=gib, workers=1), 6)\n"
        "        print(all(map(torch.equal, expected, found)))\n"
    )
    done = run_script(code)
    assert done.stdout.split() == ["True", "True"], done.stderr


def test_archives_stay_in_this_process(tmp_path):
    """Workers that are not forked get a copy of the pipeline, and an open archive cannot be copied."""
    folder = tree(tmp_path / "data", "1.png 2.png 3.png")
    for location in (zipped(folder), tarred(folder, ".tar"), tarred(folder, ".tar.gz")):
        pipe = pipeline(open_source(str(location)), batch=3)
        items, _ = pickle.loads(pickle.dumps(pipe))[Piece(range(3), 1)]
        assert sorted(items["image"][:, 0, 0, 0].tolist()) == [1, 2, 3]


def run_script(code: str, **options: object) -> subprocess.CompletedProcess[str]:
    folder = Path(os.environ["GANCLI_HOME"])
    script = folder / "script.py"
    script.write_text(code)
    return subprocess.run(
        [sys.executable, str(script), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        **options,
    )


def test_loading_leaves_the_runs_random_numbers_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    take(pipeline(workers=1), 2)
    assert torch.equal(torch.get_rng_state(), before)


def workers_of(batches: Batches) -> list[multiprocessing.process.BaseProcess]:
    return batches._raw._workers


def test_a_killed_worker_is_an_error_and_not_a_hang():
    batches = pipeline(workers=2).batches(0, CPU)
    next(batches)
    victims = workers_of(batches)
    started = time.monotonic()
    os.kill(victims[0].pid, signal.SIGKILL)
    time.sleep(0.2)  # nothing is raised here, in the midst of other work
    with pytest.raises(RunError, match="a loader process died") as caught:
        list(itertools.islice(batches, 50))
    assert time.monotonic() - started < 30
    assert "--workers 0" in caught.value.hint
    for victim in victims:
        victim.join(5)
        assert not victim.is_alive()
    assert list(batches) == []


def test_workers_ignore_what_only_the_parent_acts_on():
    batches = pipeline(workers=2).batches(0, CPU)
    next(batches)
    workers = workers_of(batches)
    for number in (signal.SIGINT, signal.SIGTERM):
        for worker in workers:
            os.kill(worker.pid, number)
    time.sleep(0.3)
    assert all(worker.is_alive() for worker in workers)
    assert len(next(batches)) == 16
    batches.close()
    for worker in workers:
        worker.join(5)
        assert not worker.is_alive()


def test_workers_end_with_batches_that_nobody_closed():
    batches = pipeline(workers=1).batches(0, CPU)
    next(batches)
    (worker,) = workers_of(batches)
    del batches
    worker.join(5)
    assert not worker.is_alive()


def test_signal_handlers_of_the_parent_are_left_alone():
    kinds = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
    before = [signal.getsignal(number) for number in kinds], signal.pthread_sigmask(signal.SIG_BLOCK, ())
    take(pipeline(workers=1), 1)
    assert before == ([signal.getsignal(number) for number in kinds], signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def test_ctrl_c_at_the_whole_group_reaches_only_the_parent():
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "from served import CPU, pipeline\n"
        "batches = pipeline(workers=2).batches(0, CPU)\n"
        "try:\n"
        "    os.killpg(0, signal.SIGINT)\n"
        "    while True: next(batches)\n"
        "except KeyboardInterrupt:\n"
        "    print(len(next(batches)), 'after Ctrl-C')\n"
    )
    done = run_script(code, start_new_session=True)
    assert done.stdout == "16 after Ctrl-C\n"
    assert done.stderr == ""


@pytest.mark.parametrize("end", ["", "sys.exit(3)"])
def test_leaving_without_close_does_not_hang(end):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from served import CPU, pipeline\n"
        "batches = pipeline(workers=2).batches(0, CPU)\n"
        "next(batches)\n" + end
    )
    started = time.monotonic()
    done = run_script(code)
    assert time.monotonic() - started < 30
    assert done.returncode == {"": 0, "sys.exit(3)": 3}[end]


@pytest.mark.parametrize("slow", ["", pytest.param("in (1,)", marks=pytest.mark.slow), "in (0, 1)"])
def test_workers_end_when_the_parent_is_killed(slow):
    """Also those that are so slow that they have not begun to work when it happens."""
    code = (
        "import os, signal, sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from gancli.data import loading as module\n"
        "from served import CPU, pipeline\n"
        "from test_loading import workers_of\n"
    )
    if slow:
        code += (
            "begin = module._begin_worker\n"
            f"module._begin_worker = lambda worker: (time.sleep(1 if worker {slow} else 0), begin(worker))\n"
        )
    code += (
        "batches = pipeline(workers=2).batches(0, CPU)\n"
        f"{'' if '0' in slow else 'next(batches)'}\n"
        "print(*[worker.pid for worker in workers_of(batches)], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    # communicate() returns only when the workers, which hold the pipe, have ended.
    started = time.monotonic()
    done = run_script(code)
    assert done.returncode == -signal.SIGKILL
    assert len(done.stdout.split()) == 2
    assert time.monotonic() - started < 30
