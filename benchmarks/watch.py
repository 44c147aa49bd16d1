"""Does ``train.watch`` warn of runs that fail, and of no others? ``python benchmarks/watch.py --mnist FOLDER``

Trains small presets for about a minute each: healthy ones with two seeds or more, and others that are made to fail.
The table has those that fail first, and says what gancli warned of and when. With ``--grids DIR`` the runs stay there,
with their logs and samples; runs that are there already are only judged.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gancli import config as configuration
from gancli.training.watch import Watch

OFTEN = ["train.log_every=20", "train.sample_every=100", "train.checkpoint_every=100000"]
TOY = ["train.batch=32", "model.depth=2", "model.width=32", "train.steps=2000", "train.sample_every=250"]
TOY += ["train.log_every=50", "train.samples=256"]
DC = ["model.generator_width=16", "model.discriminator_width=16", "train.batch=16", "train.steps=500"]
MNIST = ["train.batch=16", "train.steps=400"]
D_LR, G_LR = "model.optimizers.D.lr", "model.optimizers.G.lr"


def sgd(rate: float) -> list[str]:
    return [f"model.optimizers.{player}={{kind: sgd, lr: {rate}}}" for player in "DG"]


SMALL = {
    "gan-toy": TOY,
    "dcgan-shapes": DC,
    "cdcgan-shapes": DC,
    "dcgan-mnist": [*MNIST, "model.generator_width=16", "model.discriminator_width=16"],
    "cdcgan-mnist": [*MNIST, "model.generator_width=16", "model.discriminator_width=16"],
    "gan-mnist": ["train.batch=32", "train.steps=1500", "train.log_every=50", "train.sample_every=250"],
    "cgan-mnist": ["train.batch=32", "train.steps=600", "model.discriminator_width=256"],
    "lsgan-mnist": [*MNIST, "model.width=8", "train.steps=300"],
    "wgan-mnist": [*MNIST, "model.generator_width=16", "model.critic_width=16", "model.warm_critic_steps=10"],
    "wgan-gp-mnist": [*MNIST, "model.generator_widths=[64, 32, 16]", "model.critic_widths=[16, 32, 64]"],
    "r3gan-mnist": [*MNIST, "model.widths=[64, 64, 32, 16]"],
    "stylegan-shapes": ["train.kimg=8", "model.growth={initial_resolution: 8, stable_kimg: 2, fade_kimg: 2}"],
    "progan-shapes": ["train.kimg=8", "model.growth={initial_resolution: 4, stable_kimg: 1, fade_kimg: 1}"],
    "pix2pix-shapes": ["train.steps=300"],
}
SMALL["wgan-mnist"] += ["train.steps=200"]
SMALL["wgan-gp-mnist"] += ["train.steps=150"]
SMALL["r3gan-mnist"] += ["train.steps=150"]


@dataclass(frozen=True)
class Run:
    preset: str
    change: tuple[str, ...] = ()
    seed: int = 0

    @property
    def name(self) -> str:
        return "_".join([self.preset, *self.change, str(self.seed)]).translate(dict.fromkeys(map(ord, " :{}/[],"), "-"))


def toy(objective: str, *more: str) -> tuple[str, ...]:
    return (f"model.objective={objective}", *more)


HEALTHY = [
    Run("gan-toy", toy("wgan", "model.penalty=gradient", "model.critic_steps=2")),
    Run("gan-toy", toy("logistic", "model.penalty=r1")),
    *(Run("gan-toy", toy("relativistic", "model.penalty=r1r2"), seed) for seed in range(2)),
    *(Run("dcgan-shapes", seed=seed) for seed in range(3)),
    *(Run("cdcgan-shapes", seed=seed) for seed in range(3)),
    *(Run("gan-mnist", seed=seed) for seed in range(2)),
    *(Run("dcgan-mnist", seed=seed) for seed in range(2)),
    *(Run(preset) for preset in ("cdcgan-mnist", "cgan-mnist", "lsgan-mnist", "wgan-mnist", "wgan-gp-mnist")),
    *(Run(preset) for preset in ("r3gan-mnist", "stylegan-shapes")),
]
FAILING = [
    Run("gan-toy", toy("vanilla", f"{G_LR}=1e-6")),
    Run("gan-toy", toy("saturating", f"{G_LR}=2e-2")),
    Run("gan-toy", toy("saturating", "model.critic_steps=10", f"{D_LR}=1e-2")),
    *(Run("gan-toy", toy("wgan", *sgd(0.03)), seed) for seed in range(4)),
    Run("gan-toy", toy("hinge", *sgd(0.1))),
    Run("gan-toy", toy("vanilla", *sgd(0.3))),
    Run("gan-toy", toy("vanilla", f"{D_LR}=3e-2", f"{G_LR}=3e-2")),
    Run("dcgan-shapes", (f"{G_LR}=1e-6",)),
    Run("dcgan-shapes", ("train.turns.D.every=20",)),
    Run("gan-mnist", (f"{G_LR}=1e-7",)),
    Run("gan-mnist", ("model.objective=saturating", f"{D_LR}=2e-3", f"{G_LR}=1e-6")),
    Run("gan-mnist", (f"{G_LR}=2e-2",)),
    Run("gan-mnist", (f"{D_LR}=2e-2", f"{G_LR}=2e-2")),
    Run("lsgan-mnist", (f"{D_LR}=1e-2", f"{G_LR}=1e-6")),
    Run("dcgan-mnist", (f"{G_LR}=1e-6",)),
]


def ring(path: Path) -> Path:
    """Writes points on a ring of eight Gaussians."""
    random = np.random.default_rng(0)
    angles = random.integers(8, size=20_000) * np.pi / 4
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) + random.normal(0, 0.02, (20_000, 2))
    np.save(path, points.astype(np.float32))
    return path


def train(run: Run, directory: Path, mnist: str) -> list[dict[str, Any]]:
    """Trains one run and returns its log."""
    out = directory / run.name
    if not out.exists():
        sets = [*OFTEN, *SMALL[run.preset], *run.change, f"train.seed={run.seed}"]
        data = {"gan-toy": str(directory / "ring.npy")}.get(run.preset, mnist if "mnist" in run.preset else None)
        words = ["--out", str(out), *(word for each in sets for word in ("--set", each))]
        words += ["--data", data] if data is not None else []
        done = subprocess.run(
            [sys.executable, "-m", "gancli", "train", run.preset, *words],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        (directory / f"{run.name}.err").write_text(done.stderr)
    if not (out / "log.jsonl").exists():
        return []
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", default="mnist", help="SOURCE of MNIST")
    parser.add_argument("--grids", type=Path, help="directory in which the runs stay")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(arguments.jobs) as pool:
        directory = arguments.grids or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        ring(directory / "ring.npy")
        runs = [*FAILING, *HEALTHY]
        logs = pool.map(lambda run: train(run, directory, arguments.mnist), runs)
        print("| run | warned of, at step |\n| --- | --- |")
        for run, log in zip(runs, logs, strict=True):
            settings = configuration.resolve(config_file=directory / run.name / "config.yaml")
            watch, warned = Watch(min(settings.train.batches())), []
            for record in log:
                warned += [f"{name} {record['step']}" for name in watch.take(record.get("watch", {}))]
            change = f" with `{' '.join(run.change)}`" if run.change else ""
            print(f"| `{run.preset}`{change}, seed {run.seed} | {', '.join(warned) or 'nothing'} |", flush=True)


if __name__ == "__main__":
    main()
