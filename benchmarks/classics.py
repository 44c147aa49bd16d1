"""How well do the classics learn MNIST? ``python benchmarks/classics.py accuracy --data ../shared/data``

Everything goes through the commands that users type, on one thread for each run; the LeNet-5 in ``--data`` judges.

- ``accuracy``: the share of 10,000 samples in which the LeNet sees the digit that was asked for;
- ``distance``: the Fréchet distance between 10,000 samples and the test images in the LeNet's 84 features, for all
  latent models after the same number of real images;
- ``critic``: how the critic's estimate of the Wasserstein distance goes with that distance during a run (the paper's
  claim that its loss tells the quality), as Spearman's rank correlation.

Runs are kept in ``--out`` and not repeated, so a measurement that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from evaluation import Digits
from scipy.stats import spearmanr

from gancli.metrics.trust import trust

SHORT = ["model.generator_width=32", "model.discriminator_width=32"]
SHORT += ["train.schedule.kind=constant", "train.average.decay=0.999"]
CONDITIONAL = {
    "cdcgan-mnist": ["--epochs", "4", "--batch", "64", *(word for key in SHORT for word in ("--set", key))],
    "cgan-mnist": ["--epochs", "15"],
}
"""Options that make the presets short enough for a CPU."""
AT_32 = {
    "gan-mnist": ["--resolution", "32"],
    "dcgan-mnist": [],
    "lsgan-mnist": [],
    "wgan-mnist": [],
    "wgan-gp-mnist": [],
    "r3gan-mnist": [],
}
CRITICS = ("wgan-mnist", "wgan-gp-mnist")


def gancli(*words: str) -> str:
    command = [sys.executable, "-m", "gancli", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def trained(preset: str, seed: int, mnist: str, options: list[str]) -> str:
    """Returns the name of a finished run, trained now if it is not there."""
    name = f"{preset}-seed{seed}"
    if (Path("runs") / name / "checkpoints").is_dir():
        gancli("resume", name)  # at once, if it is finished
    elif not (Path("runs") / name).exists():
        gancli("train", preset, "--data", mnist, "--seed", str(seed), "--name", name, *options)
    return name


def measured(run: str, mnist: str, metric: str, *options: str) -> dict[str, Any]:
    report = gancli(
        "evaluate", run, "--data", mnist, "--split", "test", "--metrics", metric, "-n", "10000", "--json", *options
    )
    values: dict[str, Any] = json.loads(report)["metrics"][metric]
    return values


def line(name: str, values: list[float]) -> None:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    each = ", ".join(f"{value:.4g}" for value in values)
    print(f"{name:16} mean {statistics.mean(values):8.4g}  deviation {spread:7.2g}  ({each})", flush=True)


def accuracy(mnist: str, seeds: list[int]) -> None:
    for preset, options in CONDITIONAL.items():
        runs = [trained(preset, seed, mnist, options) for seed in seeds]
        line(preset, [measured(run, mnist, "accuracy", "--classifier", "lenet.pt")["accuracy"] for run in runs])


def distance(mnist: str, seeds: list[int], kimg: float) -> None:
    for preset, options in AT_32.items():
        runs = [trained(preset, seed, mnist, ["--kimg", f"{kimg:g}", *options]) for seed in seeds]
        line(preset, [measured(run, mnist, "fid", "--features", "lenet.pt")["fid"] for run in runs])


def critic(mnist: str, kimg: float) -> None:
    for preset in CRITICS:
        name = f"{preset}-critic"
        if not (Path("runs") / name).exists():
            keys = {"metric": "fid", "features": str(Path("lenet.pt").resolve()), "every": "100", "images": "5000"}
            sets = [word for key, value in keys.items() for word in ("--set", f"train.evaluate.{key}={value}")]
            sets += ["--set", "train.log_every=100"]
            gancli("train", preset, "--data", mnist, "--name", name, "--kimg", f"{kimg:g}", *sets)
        rows = [json.loads(row) for row in (Path("runs") / name / "log.jsonl").read_text().splitlines()]
        estimates = {row["step"]: row["W"] for row in rows if "W" in row}
        distances = {row["step"]: row["fid"] for row in rows if "fid" in row}
        steps = [step for step in distances if step in estimates and step > 100]
        found = spearmanr([estimates[step] for step in steps], [distances[step] for step in steps])
        first, last = steps[0], steps[-1]
        print(
            f"{preset:16} W {estimates[first]:.4g} -> {estimates[last]:.4g}, fid {distances[first]:.4g} -> "
            f"{distances[last]:.4g}, rank correlation {found.statistic:.2f} over {len(steps)} points",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("accuracy", "distance", "critic"))
    parser.add_argument("--data", type=Path, required=True, help="folder with mnist/ and features/")
    parser.add_argument("--out", type=Path, default=Path("classics"), help="folder of the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--kimg", type=float, default=300, help="thousands of real images, for distance and critic")
    arguments = parser.parse_args()
    data = arguments.data.resolve()
    arguments.out.mkdir(parents=True, exist_ok=True)
    os.chdir(arguments.out)
    os.environ |= {"GANCLI_HOME": str(Path("home").resolve()), "OMP_NUM_THREADS": "1"}
    torch.jit.save(
        torch.jit.trace(
            Digits(data / "features/mnist_lenet5_csinva.pth"), torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
        ),
        "lenet.pt",
    )
    trust(["lenet.pt"])
    mnist = str(data / "mnist")
    match arguments.what:
        case "accuracy":
            accuracy(mnist, arguments.seeds)
        case "distance":
            distance(mnist, arguments.seeds, arguments.kimg)
        case _:
            critic(mnist, arguments.kimg)


if __name__ == "__main__":
    main()
