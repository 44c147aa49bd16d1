"""How long do help pages take, and does any of them import torch? ``python benchmarks/startup.py``

This command measures how long a whole command takes, separately for ``import torch`` and the rest:

    python benchmarks/startup.py --first sample dcgan-shapes -n 16 -o grid.png
"""

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
    """Returns the elapsed and the processor time of one command; other load affects the second less."""
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


FIRST = """
import sys, time
begun = time.perf_counter()
import torch
after_torch = time.perf_counter()
from gancli.cli.app import run
assert run(sys.argv[1:]) == 0
print(after_torch - begun, time.perf_counter() - after_torch, "torch._dynamo" in sys.modules, file=sys.stderr)
"""


def first_image(arguments: list[str], rounds: int) -> None:
    """Prints how long a command takes: for the import of torch, and after it."""
    found = []
    for _ in range(rounds):
        done = subprocess.run([sys.executable, "-c", FIRST, *arguments], check=True, capture_output=True, text=True)
        found.append(done.stderr.splitlines()[-1].split())
    torch_s, rest_s = (sorted(float(each[place]) for each in found) for place in (0, 1))
    compiler = "imported" if found[0][2] == "True" else "not imported"
    print(
        f"import torch {torch_s[0]:.2f} to {torch_s[-1]:.2f} s, then {rest_s[0]:.2f} to {rest_s[-1]:.2f} s, "
        f"median {statistics.median(rest_s):.2f} s; torch's compiler is {compiler}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="runs of each command")
    parser.add_argument("--first", nargs=argparse.REMAINDER, metavar="COMMAND", help="measure this gancli command")
    given = parser.parse_args()
    rounds = given.rounds
    if given.first:
        first_image(given.first, rounds)
        return
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
