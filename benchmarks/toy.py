"""Which objectives find all modes? ``python benchmarks/toy.py --results FILE [--seeds N] [--pictures DIR]``

Trains ``gan-toy`` on ``toy:ring`` and ``toy:grid`` with every objective, in the settings below and with several seeds,
through the commands that users type, and prints a table in Markdown: modes found, and the share of 2,500 samples within
three standard deviations of a mode, mean and lowest to highest over the seeds. FILE keeps every result, one a line, and
results in it are not computed again. DIR gets the last sample picture of each first seed, and ``objectives.png`` with
all of them: a row for each data set, a column for each objective.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from PIL import Image

from gancli.cli.app import run
from gancli.generation.plots import LEFT, SIDE, TOP

SAMPLES = 2_500
DATA = ("toy:ring", "toy:grid")
COMMON = {
    "model.width": "128",
    "model.depth": "2",
    "model.latent_dim": "2",
    "train.batch": "128",
    "train.schedule": "{kind: linear, start: 0.5}",
}
SETTINGS: dict[str, dict[str, str]] = {
    "saturating": {"objective": "saturating"},
    "vanilla": {"objective": "vanilla"},
    "lsgan": {"objective": "lsgan"},
    "hinge": {"objective": "hinge"},
    "logistic, R1": {"objective": "logistic", "penalty": "r1", "penalty_weight": "0.1"},
    "relativistic, R1 and R2": {"objective": "relativistic", "penalty": "r1r2", "penalty_weight": "0.1"},
    "wgan, clipping": {"objective": "wgan", "penalty": "clip", "clip": "0.1", "critic_steps": "5"},
    "wgan, gradient penalty": {"objective": "wgan", "penalty": "gradient", "critic_steps": "5"},
}
"""Keys of the model section, by name."""


def words(data: str, name: str, seed: int, steps: int) -> list[str]:
    rules = {f"model.optimizers.{player}": "{lr: 1e-3, betas: [0.5, 0.9]}" for player in "DG"}
    sets = {**COMMON, **rules, **{f"model.{key}": value for key, value in SETTINGS[name].items()}}
    rare = {f"train.{key}_every": str(steps) for key in ("log", "sample", "checkpoint")}
    given = [f"--set={key}={value}" for key, value in {**sets, **rare}.items()]
    return ["train", "gan-toy", "--data", data, "--steps", str(steps), "--seed", str(seed), "--device", "cpu", *given]


def measured(typed: list[str]) -> dict[str, float]:
    """Trains in the working directory, and returns the values of ``coverage`` and the CPU seconds of training."""
    begun = time.process_time()
    shutil.rmtree("runs", ignore_errors=True)
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        status = run([*typed, "--name", "run"])
    if status:
        raise SystemExit(said.getvalue())
    seconds = time.process_time() - begun
    measure = ["evaluate", "run", "--metrics", "coverage", "-n", str(SAMPLES), "--device", "cpu", "--json"]
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(io.StringIO()):
        run(measure)
    return {**json.loads(printed.getvalue())["metrics"]["coverage"], "seconds": seconds}


def file_name(data: str, name: str) -> str:
    return f"{data}-{name}.png".translate({ord(":"): "-", ord(" "): "-", ord(","): None})


def side_by_side(pictures: Path) -> None:
    """Writes the left square of all pictures, at half its size and with 128 colours."""
    columns, half = len(SETTINGS), SIDE // 2
    whole = Image.new("RGB", (columns * (half + 4) - 4, 2 * half + 4), "white")
    for index, (data, name) in enumerate((data, name) for data in DATA for name in SETTINGS):
        square = Image.open(pictures / file_name(data, name)).crop((LEFT, TOP, LEFT + SIDE, TOP + SIDE))
        shown = square.resize((half, half), Image.Resampling.BOX)
        whole.paste(shown, (index % columns * (half + 4), index // columns * (half + 4)))
    whole.quantize(128, dither=Image.Dither.NONE).save(pictures / "objectives.png", optimize=True)


def spread(values: list[float], digits: int) -> str:
    return f"{mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--pictures", type=Path, help="folder for the pictures of the first seed")
    args = parser.parse_args()
    torch.set_num_threads(1)
    results, pictures = args.results.resolve(), args.pictures.resolve() if args.pictures else None
    known: dict[str, dict[str, Any]] = {}
    if results.exists():
        known = {" ".join(line["typed"]): line for line in map(json.loads, results.read_text().splitlines())}
    table: dict[tuple[str, str], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for seed in range(args.seeds):
            for data in DATA:
                for name in SETTINGS:
                    typed = words(data, name, seed, args.steps)
                    line = known.get(" ".join(typed))
                    if line is None:
                        line = {"data": data, "name": name, "seed": seed, **measured(typed), "typed": typed}
                        with results.open("a") as file:
                            file.write(json.dumps(line) + "\n")
                        if pictures and seed == 0:
                            pictures.mkdir(parents=True, exist_ok=True)
                            shutil.copy(max(Path("runs/run/samples").glob("*.png")), pictures / file_name(data, name))
                    table.setdefault((data, name), []).append(line)
    if pictures:
        side_by_side(pictures)
    print(f"{args.steps} steps, {args.seeds} seeds, {os.cpu_count()} cores, one thread\n")
    print("| data | objective | modes | within 3 std | evenness | CPU seconds |\n| --- | --- | --- | --- | --- | --- |")
    for (data, name), lines in table.items():
        row = [
            spread([line[key] for line in lines], n) for key, n in (("modes", 1), ("recognised", 2), ("evenness", 2))
        ]
        print(f"| `{data}` | {name} | {' | '.join(row)} | {mean(line['seconds'] for line in lines):.0f} |")


if __name__ == "__main__":
    main()
