"""Plays training steps of the official code and of gancli side by side: ``python tools/official.py ARCH PATH``.

PATH is your git clone of the official repository; gancli keeps no official code. Both sides get the same weights,
images and random draws from formulas (``tools/golden.py``, ``tools/games.py``), in double precision on the CPU. The
table has rows for some outputs and, after each step, for each loss and for how far the weights of each network have
moved. A row has the official value and gancli's (for tensors, the root mean square), the largest difference of any
element, and that difference relative to the largest official element. The exit status is 1 if a relative deviation
exceeds its tolerance.

    python tools/official.py dcgan ~/examples                                  # pytorch/examples
    python tools/official.py cyclegan ~/pytorch-CycleGAN-and-pix2pix           # junyanz/pytorch-CycleGAN-and-pix2pix
    python tools/official.py pix2pix ~/pytorch-CycleGAN-and-pix2pix
    python tools/official.py ugatit ~/UGATIT-pytorch                           # znxlwm/UGATIT-pytorch
    python tools/official.py progan ~/progressive_growing_of_gans --tensorflow tf/bin/python    # tkarras/...
    python tools/official.py stylegan ~/stylegan --tensorflow tf/bin/python    # NVlabs/stylegan
    python tools/official.py gan ~/PyTorch-GAN                                 # eriklindernoren/PyTorch-GAN
    python tools/official.py cgan-embedding ~/PyTorch-GAN
    python tools/official.py cgan ~/pytorch-MNIST-CelebA-cGAN-cDCGAN           # znxlwm/pytorch-MNIST-CelebA-cGAN-cDCGAN
    python tools/official.py cdcgan ~/pytorch-MNIST-CelebA-cGAN-cDCGAN
    python tools/official.py lsgan ~/LSGAN --tensorflow tf/bin/python          # xudonmao/LSGAN
    python tools/official.py wgan ~/WassersteinGAN                             # martinarjovsky/WassersteinGAN
    python tools/official.py wgan-gp ~/improved_wgan_training --tensorflow tf/bin/python    # igul222/...
    python tools/official.py r3gan ~/R3GAN                                     # brownvc/R3GAN

``--write`` replaces the official numbers in ``tests/golden``, with which ``pytest`` compares gancli's.

``--networks`` plays no steps. It compares the outputs of official networks with the numbers in ``tests/importers``,
which the tests of the importers use (``--write`` replaces them):

    python tools/official.py cyclegan ~/pytorch-CycleGAN-and-pix2pix --networks
    python tools/official.py ugatit ~/UGATIT-pytorch --networks
    python tools/official.py stylegan ~/style-based-gan-pytorch --networks     # rosinality/style-based-gan-pytorch
    python tools/official.py cgan ~/pytorch-MNIST-CelebA-cGAN-cDCGAN --networks    # znxlwm/...; and those of cdcgan
    python tools/official.py gan ~/PyTorch-GAN --networks                      # eriklindernoren/...; and its cGAN
    python tools/official.py wgan ~/WassersteinGAN --networks                  # martinarjovsky/WassersteinGAN
    python tools/official.py wgan-gp ~/mimicry --networks                      # kwotsin/mimicry
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from datetime import date
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import games
import golden
import torch
from golden import Numbers
from torch import Tensor

from gancli.errors import GancliError

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
STEPS = {
    "cdcgan": "znxlwm_conditional",
    "cgan": "znxlwm_conditional",
    "cgan-embedding": "pytorch_gan",
    "cyclegan": "junyanz",
    "dcgan": "pytorch_examples",
    "gan": "pytorch_gan",
    "lsgan": "xudonmao",
    "pix2pix": "junyanz",
    "progan": "tkarras",
    "r3gan": "brownvc",
    "stylegan": "nvlabs",
    "ugatit": "znxlwm",
    "wgan": "martinarjovsky",
    "wgan-gp": "igul222",
}
"""The adapter that plays an architecture's steps."""
NETWORKS = {
    "cdcgan": "znxlwm_cgan_networks",
    "cgan": "znxlwm_cgan_networks",
    "cyclegan": "junyanz",
    "gan": "pytorch_gan_networks",
    "pix2pix": "junyanz",
    "stylegan": "rosinality",
    "ugatit": "znxlwm",
    "wgan": "martinarjovsky_networks",
    "wgan-gp": "mimicry_networks",
}
"""The adapter of the networks whose outputs the importer's tests of an architecture use."""
NETWORK_TOLERANCE = 1e-5
"""Largest allowed difference of an output; outputs are of the order of 1 and in single precision."""


def origin(checkout: Path, repository: str, files: tuple[str, ...]) -> dict[str, Any]:
    """Returns the origin of the numbers of official code.

    Raises:
        GancliError: the checkout lacks one of the files, or is not a git checkout with unchanged files.
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
        raise GancliError(f"{checkout} is not a git checkout, so its commit is unknown", hint) from error
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


def laid_out(value: Any, levels: int) -> str:
    """Returns JSON with one line for each item of the outer ``levels`` of objects."""
    if not levels or not isinstance(value, dict):
        return json.dumps(value)
    items = (f"{json.dumps(key)}: {laid_out(item, levels - 1)}" for key, item in value.items())
    return "{\n" + ",\n".join(items) + "\n}"


def shown(value: Tensor) -> str:
    """Returns a number, or the root mean square of several."""
    return f"{value.item():.8g}" if value.ndim == 0 else f"rms {value.square().mean().sqrt().item():.8g}"


class Row(NamedTuple):
    """How far gancli is from one official number: its name, the relative deviation, and whether that is too much."""

    name: str
    deviation: float
    fails: bool


def compare(case: str, game: golden.Game, official: Numbers, ours: Numbers) -> list[Row]:
    """Prints and returns a row for each number."""
    print(f"\n{case:<44} {'official':>18} {'gancli':>18} {'deviation':>10} {'relative':>10}")
    rows = []
    for name, theirs in official.items():
        difference = (theirs - ours[name]).abs().max().item()
        relative = difference / (theirs.abs().max().item() or 1.0)
        row = Row(f"{case}, {name}", relative, not relative <= game.tolerance_of(name, theirs))  # a nan fails
        values = f"{shown(theirs):>18} {shown(ours[name]):>18}"
        print(f"  {name:<42} {values} {difference:>10.1e} {relative:>10.1e}{' too much' if row.fails else ''}")
        rows.append(row)
    return rows


def numbers_in(record: Any, path: str = "") -> dict[str, float]:
    """Returns every number in a JSON value, by its path."""
    if isinstance(record, (int, float)):
        return {path: record}
    items = record.items() if isinstance(record, dict) else enumerate(record)
    return {where: number for key, value in items for where, number in numbers_in(value, f"{path}/{key}").items()}


def compare_networks(adapter: Any, settings: argparse.Namespace) -> int:
    """Compares the outputs of official networks with the recorded numbers; returns the exit status."""
    recorded, found = json.loads(adapter.RECORDED.read_text()), adapter.networks(settings.checkout)
    above = 0
    print(f"{'network':<44} {'deviation':>10}")
    for name, record in found.items():
        new, old = numbers_in(record), numbers_in(recorded.get(name, {}))
        largest = max(abs(new[key] - old[key]) for key in new) if new.keys() == old.keys() else inf
        fails = not largest <= NETWORK_TOLERANCE
        print(f"  {name:<42} {largest:>10.1e}{' too much' if fails else ''}")
        above += fails
    if settings.write:
        adapter.RECORDED.write_text(laid_out(recorded | found, 1) + "\n")
        print(f"wrote {adapter.RECORDED}")
    return 1 if above else 0


def compare_steps(adapter: Any, known: dict[str, Any], settings: argparse.Namespace) -> int:
    """Compares the steps of both sides; returns the exit status."""
    more = {"python": settings.tensorflow} if "tensorflow" in known else {}
    rows, cases = [], {}
    for case, game in games.GAMES[settings.architecture]().items():
        steps = settings.steps or game.steps
        official = adapter.play(settings.checkout, game, steps, **more, **game.official)
        rows += compare(case, game, official, golden.play(game, steps))
        numbers = {name: golden.summary(tensor) for name, tensor in official.items()}
        cases[case] = {"steps": steps, "settings": dict(game.official), "numbers": numbers}
    above, largest = sum(row.fails for row in rows), max(rows, key=lambda row: row.deviation)
    within = f"{above} of {len(rows)} numbers are above" if above else f"all {len(rows)} numbers are within"
    print(f"\n{within} their tolerance; largest relative deviation: {largest.deviation:.1e} ({largest.name})")
    if settings.write:
        path = GOLDEN / f"{settings.architecture}.json"
        path.write_text(laid_out({"official": known, "cases": cases}, 4) + "\n")
        print(f"wrote {path}")
    return 1 if above else 0


def main(settings: argparse.Namespace) -> int:
    """Checks the arguments and compares; returns the exit status.

    Raises:
        GancliError: PATH is not an unchanged checkout of the official repository, or its code cannot be run.
    """
    modules = NETWORKS if settings.networks else STEPS
    if settings.architecture not in modules:
        what = "--networks: none" if settings.networks else "no steps"
        raise GancliError(f"{what} of {settings.architecture} are recorded", f"choose from {', '.join(modules)}")
    adapter = importlib.import_module(f"adapters.{modules[settings.architecture]}")
    known = origin(settings.checkout, adapter.REPOSITORY, adapter.FILES)
    if not settings.networks and hasattr(adapter, "version"):
        known["tensorflow"] = adapter.version(settings.tensorflow)
    versions = ", ".join(f"{name} {known[name]}" for name in ("torch", "tensorflow") if name in known)
    print(f"{known['repository']}, commit {known['commit'][:10]} of {known['committed']}; {versions}")
    if settings.networks:
        return compare_networks(adapter, settings)
    return compare_steps(adapter, known, settings)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architecture", metavar="ARCH", choices={**STEPS, **NETWORKS}, help=", ".join(STEPS))
    parser.add_argument("checkout", metavar="PATH", type=Path, help="checkout of the official repository")
    parser.add_argument("--steps", type=int, metavar="N", help="training steps; by default 2, in a few games more")
    parser.add_argument("--tensorflow", metavar="PYTHON", default=sys.executable, help="a Python with TensorFlow")
    parser.add_argument("--networks", action="store_true", help="compare the networks that gancli imports, not steps")
    parser.add_argument("--write", action="store_true", help="write the official numbers to tests/")
    try:
        status = main(parser.parse_args())
    except GancliError as error:
        print(f"error: {error.message}", *([f"hint: {error.hint}"] if error.hint else []), sep="\n", file=sys.stderr)
        status = error.exit_code
    sys.exit(status)
