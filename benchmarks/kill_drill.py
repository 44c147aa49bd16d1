"""Kills 50 runs with SIGKILL at random moments, then resumes them: ``python benchmarks/kill_drill.py``.

Each must end with the same bytes of model.safetensors and the same numbers in log.jsonl as an uninterrupted run. A
third of the kills happen while a checkpoint is being written, the others at any time between the start and the end of
the process. Every fifth trial is killed again after it was resumed. A run killed before it had a directory is started
again, as a user would do. A loader process that outlives its run is also a failure. Two trials run at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from gancli.data.opening import open_source

STEPS = 60
TRAIN = [
    *("train", "dcgan-shapes", "--data", "../photos", "--name", "run", "--steps", str(STEPS), "--batch", "8"),
    *("--set", "model.generator_width=4", "--set", "model.discriminator_width=4", "--set", "train.samples=4"),
    *("--set", "train.log_every=5", "--set", "train.checkpoint_every=4", "--set", "train.sample_every=6"),
]
RESUME = ["resume", "run"]
AVERAGE = "train.average={decay: 0.9, start: 5}"
VARIANTS = {
    "fp32": ["--set", "train.average=null"],
    "2 workers, EMA": ["--workers", "2", "--set", AVERAGE],
    "bf16, EMA, accumulate": ["--precision", "bf16", "--set", "train.accumulate=2", "--set", AVERAGE],
    "all of these": ["--workers", "2", "--precision", "bf16", "--set", "train.accumulate=2", "--set", AVERAGE],
}
CLOCK = ("images_per_s", "eta_s", "memory_mib")  # the only entries of the log that may differ
ORPHANS_GO_WITHIN = 30.0
"""Seconds: every five seconds, torch's loader processes check whether their parent is still alive."""
TOO_LATE = "not at all: it had ended"


def start(cwd: Path, arguments: list[str]) -> subprocess.Popen[str]:
    cwd.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "gancli", *arguments],
        cwd=cwd,
        env={**os.environ, "GANCLI_HOME": str(cwd / "home"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # loader processes are in the same group, so survivors() can find them
    )


def finish(cwd: Path, arguments: list[str]) -> float:
    begun = time.monotonic()
    process = start(cwd, arguments)
    _, errors = process.communicate(timeout=600)
    if process.returncode:
        raise RuntimeError(f"gancli {arguments[0]} failed: {errors}")
    return time.monotonic() - begun


def result(cwd: Path) -> tuple[bytes, list[dict[str, float]]]:
    run = cwd / "runs" / "run"
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    numbers = [{key: value for key, value in line.items() if key not in CLOCK} for line in lines]
    return (run / "model.safetensors").read_bytes(), numbers


def kill(process: subprocess.Popen[str], run: Path, rng: random.Random, writing: bool, duration: float) -> str:
    """Kills at a random moment; returns which, as seen from the contents of the run directory."""
    if writing:
        checkpoint = rng.randrange(1, STEPS // 4)  # the number of checkpoints to wait for
        seen: set[str] = set()
        while len(seen) < checkpoint and process.poll() is None:
            seen |= {path.name for path in run.glob("checkpoints/.*.writing")}
        time.sleep(rng.uniform(0, 0.005))
    else:
        deadline = time.monotonic() + rng.uniform(0, duration)
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.005)
    ended = process.poll() is not None
    process.kill()
    process.communicate()
    if ended:
        return TOO_LATE
    if list(run.glob("checkpoints/.*.writing")):
        return "half a checkpoint left"
    if list(run.glob("checkpoints/[0-9]*")):
        return "with checkpoints"
    return "before the first checkpoint" if run.is_dir() else "before there was a run"


def survivors(group: int) -> bool:
    """Returns whether a process of the group is still alive after ``ORPHANS_GO_WITHIN`` seconds."""
    deadline = time.monotonic() + ORPHANS_GO_WITHIN
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.1)
    return True


def trial(number: int, scratch: Path, variant: str, writing: bool, seed: int, duration: float) -> tuple[list[str], str]:
    """Returns the moments of the kills, and what is wrong at the end (empty if nothing is)."""
    rng = random.Random(f"{seed} {number}")
    cwd = scratch / f"trial{number}"
    run = cwd / "runs" / "run"
    moments = []
    groups = []
    train = [*TRAIN, *VARIANTS[variant]]
    while len(groups) < (2 if number % 5 == 4 else 1):
        process = start(cwd, RESUME if run.is_dir() else train)
        moment = kill(process, run, rng, writing, duration)
        if moment == TOO_LATE and not moments:
            shutil.rmtree(run)  # the machine became faster: start this trial again
            continue
        moments.append(moment)
        groups.append(process.pid)
    try:
        finish(cwd, RESUME if run.is_dir() else train)
    except RuntimeError as error:
        return moments, str(error)
    (model, log), (expected_model, expected_log) = result(cwd), result(scratch / variant)
    wrong = []
    if model != expected_model:
        wrong.append("model.safetensors differs")
    if log != expected_log:
        wrong.append("log.jsonl differs")
    if any(survivors(group) for group in groups):
        wrong.append("processes were left behind")
    return moments, ", ".join(wrong)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    arguments = parser.parse_args()
    moments: Counter[str] = Counter()
    failures = 0
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(2) as pool:
        scratch = Path(name)
        (scratch / "photos").mkdir()
        shapes = open_source("shapes").domains["image"]
        for index in range(45):  # not a multiple of the batch size, so an epoch ends within a batch
            Image.fromarray(shapes.read(index, 3, 36 + index % 3)).save(scratch / "photos" / f"{index}.png")
        durations = dict(
            zip(VARIANTS, pool.map(lambda v: finish(scratch / v, [*TRAIN, *VARIANTS[v]]), VARIANTS), strict=True)
        )
        print("uninterrupted:", ", ".join(f"{variant} {seconds:.1f} s" for variant, seconds in durations.items()))
        jobs = {}
        for number in range(arguments.trials):
            variant = list(VARIANTS)[number % len(VARIANTS)]
            writing = number % 3 == 0
            jobs[number] = (
                variant,
                writing,
                pool.submit(trial, number, scratch, variant, writing, arguments.seed, durations[variant]),
            )
        for number, (variant, writing, job) in jobs.items():
            at, wrong = job.result()
            moments.update(at)
            failures += bool(wrong)
            aim = "checkpoint" if writing else "any moment"
            print(f"{number:3} {variant:22} {aim:10}  killed {', then '.join(at)}: {wrong or 'same'}", flush=True)
    late = moments.pop(TOO_LATE, 0)  # second kills of a trial
    print(
        f"\n{late} runs ended before their second kill; {moments.total()} kills: "
        + ", ".join(f"{count} {moment}" for moment, count in moments.most_common())
    )
    print(
        f"{arguments.trials - failures} of {arguments.trials} ended in the same bytes and numbers, with no process left"
    )
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
