"""How long does help take: ``python benchmarks/startup.py``; and does any help page import torch."""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time

from gancli.cli.app import app

HEAVY = ("torch", "torchvision", "numpy", "rich", "pydantic")


def milliseconds(arguments: list[str]) -> tuple[float, float]:
    """Returns the time on the clock and the processor time of one command; the second does not grow with load."""
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "gancli", *arguments], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall * 1000, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def heavy_imports(arguments: list[str]) -> list[str]:
    """Returns which of HEAVY a command imports; Python itself lists its imports on stderr."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "gancli", *arguments], check=True, capture_output=True, text=True
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    return [name for name in HEAVY if name in imported]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    commands = [[], *([command.name or ""] for command in app.registered_commands)]
    print(f"{'ms':24} {'best':>6} {'median':>7} {'processor':>10}   heavy imports")
    any_torch = False
    for command in commands:
        arguments = [*command, "--help"]
        milliseconds(arguments)  # warm
        wall, processor = zip(*(milliseconds(arguments) for _ in range(rounds)), strict=True)
        heavy = heavy_imports(arguments)
        any_torch |= "torch" in heavy
        name = " ".join(["gancli", *arguments])
        print(
            f"{name:24} {min(wall):6.0f} {statistics.median(wall):7.0f} {statistics.median(processor):10.0f}   "
            f"{', '.join(heavy) or 'none'}",
            flush=True,
        )
    sys.exit(any_torch)


if __name__ == "__main__":
    main()
