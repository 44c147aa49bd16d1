"""Plays training steps of the official code and of gancli side by side: ``python tools/official.py ARCH PATH``.

PATH is a checkout of the official repository, which you need to have; gancli keeps no official code. Both sides get the
same weights, images and draws from formulas (``tools/golden.py``), in double precision on the CPU. For each loss, some
outputs, and how far each network's weights have moved after each step, it prints the official value beside gancli's (of
several, the root mean square) and the largest deviation: of any element, and relative to the largest official element.
The exit status is 1 where a relative deviation is above its tolerance.

    python tools/official.py dcgan ~/examples                                  # pytorch/examples
    python tools/official.py cyclegan ~/pytorch-CycleGAN-and-pix2pix           # junyanz/pytorch-CycleGAN-and-pix2pix
    python tools/official.py pix2pix ~/pytorch-CycleGAN-and-pix2pix
    python tools/official.py ugatit ~/UGATIT-pytorch                           # znxlwm/UGATIT-pytorch
    python tools/official.py progan ~/progressive_growing_of_gans --tensorflow tf/bin/python    # tkarras/...
    python tools/official.py stylegan ~/stylegan --tensorflow tf/bin/python    # NVlabs/stylegan

With ``--write`` the official numbers replace those in ``tests/golden``, which ``pytest`` compares gancli's with.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import golden
import torch
from golden import Numbers
from torch import Tensor

from gancli.errors import GancliError

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
ADAPTERS = {
    "cyclegan": "junyanz",
    "dcgan": "pytorch_examples",
    "pix2pix": "junyanz",
    "progan": "tkarras",
    "stylegan": "nvlabs",
    "ugatit": "znxlwm",
}
"""The module of ``adapters`` by architecture."""


def origin(checkout: Path, repository: str, files: tuple[str, ...]) -> dict[str, Any]:
    """Returns where numbers of official code come from.

    Raises:
        GancliError: the checkout lacks one of the files, or is no git checkout in which they are unchanged.
    """
    hint = f"git clone https://github.com/{repository}, and give that folder"
    missing = [file for file in files if not (checkout / file).is_file()]
    if missing:
        raise GancliError(f"{checkout} is not a checkout of {repository}: it has no {missing[0]}", hint)

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(checkout), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        commit, day = git("log", "-1", "--format=%H %cs").split()
        changed = git("status", "--porcelain", "--", *files)
    except (OSError, subprocess.CalledProcessError) as error:
        raise GancliError(f"{checkout} is not a git checkout, so its commit is not known", hint) from error
    if changed:
        raise GancliError(f"files in {checkout} differ from its commit:\n{changed}", hint)
    return {
        "repository": f"https://github.com/{repository}",
        "commit": commit,
        "committed": day,
        "files": list(files),
        "ran": date.today().isoformat(),
        "torch": torch.__version__,
    }


def shown(value: Tensor) -> str:
    """Returns a number, or the root mean square of several."""
    return f"{value.item():.8g}" if value.ndim == 0 else f"rms {value.square().mean().sqrt().item():.8g}"


def compare(
    case: str, official: Numbers, ours: Numbers, tolerance: Callable[[str, Tensor], float]
) -> tuple[float, int]:
    """Prints a row for each number; returns the largest relative deviation and how many are above their tolerance."""
    print(f"\n{case:<44} {'official':>18} {'gancli':>18} {'deviation':>10} {'relative':>10}")
    largest, above = 0.0, 0
    for name, theirs in official.items():
        difference = (theirs - ours[name]).abs().max().item()
        relative = difference / (theirs.abs().max().item() or 1.0)
        fails = not relative <= tolerance(name, theirs)  # a nan does
        values = f"{shown(theirs):>18} {shown(ours[name]):>18}"
        print(f"  {name:<42} {values} {difference:>10.1e} {relative:>10.1e}{' too much' if fails else ''}")
        largest, above = max(largest, relative), above + fails
    return largest, above


def main(architecture: str, checkout: Path, python: str, steps: int | None, write: bool) -> int:
    """Plays, compares and prints; returns the exit status."""
    adapter = importlib.import_module(f"adapters.{ADAPTERS[architecture]}")
    known = origin(checkout, adapter.REPOSITORY, adapter.FILES)
    settings = {}
    if architecture in ("progan", "stylegan"):
        known["tensorflow"] = adapter.version(python)
        settings["python"] = python
    versions = ", ".join(f"{name} {known[name]}" for name in ("torch", "tensorflow") if name in known)
    print(f"{known['repository']}, commit {known['commit'][:10]} of {known['committed']}; {versions}")
    results = []
    cases = {}
    for case, game in golden.GAMES[architecture]().items():
        played = steps or game.steps
        official = adapter.play(checkout, game, played, **settings, **game.official)
        results.append(compare(case, official, golden.play(game, played), game.tolerance_of))
        cases[case] = {"steps": played, "numbers": {name: golden.summary(tensor) for name, tensor in official.items()}}
    largest, above = max(relative for relative, _ in results), sum(count for _, count in results)
    print(f"\nlargest relative deviation: {largest:.1e}; above their tolerance: {above}")
    if write:
        path = GOLDEN / f"{architecture}.json"
        path.write_text(json.dumps({"official": known, "cases": cases}, indent=1) + "\n")
        print(f"wrote {path}")
    return 1 if above else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architecture", metavar="ARCH", choices=ADAPTERS, help=", ".join(ADAPTERS))
    parser.add_argument("checkout", metavar="PATH", type=Path, help="checkout of the official repository")
    parser.add_argument("--tensorflow", metavar="PYTHON", default=sys.executable, help="a Python with TensorFlow")
    parser.add_argument("--steps", type=int, metavar="N", help="training steps; by default 2, and 5 of CycleGAN")
    parser.add_argument("--write", action="store_true", help="keep the official numbers in tests/golden")
    options = parser.parse_args()
    try:
        status = main(options.architecture, options.checkout, options.tensorflow, options.steps, options.write)
    except GancliError as error:
        print(f"error: {error}", *([f"hint: {error.hint}"] if error.hint else []), sep="\n", file=sys.stderr)
        status = error.exit_code
    sys.exit(status)
