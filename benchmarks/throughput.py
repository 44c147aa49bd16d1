"""How fast do the classics train, compared with plain loops? ``python benchmarks/throughput.py --data ../shared/data``

gancli's side is its whole loop (``Trainer.fit``) with data pipeline, log and live display; the plain side is a loop of
``plain_classics.py`` with decoded images in memory. Both play in the same process in turns of some steps, so other work
on the machine affects both. Neither writes samples or checkpoints. gancli writes at least one line of the log in each
turn, and WGAN begins with short turns of the critic.

The table is in Markdown: medians over the turns of milliseconds per step and of the ratios, gancli / plain.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from plain_classics import LOOPS
from step import seconds

from gancli import config as configuration
from gancli.console import TrainingDisplay
from gancli.training.rundir import RunDirectory
from gancli.training.session import prepare
from gancli.training.trainer import Trainer

STEPS = {"gan-toy": 500, "gan-mnist": 50, "cgan-mnist": 10, "lsgan-mnist": 10}
"""Steps in a turn; 1 for the others."""
ITEMS = 10_000
"""Images of the plain side."""


class Turns(TrainingDisplay):
    """A display that lets the plain side play after every few steps of gancli, and measures both."""

    def __init__(self, plain: Callable[[], None], steps: int, turns: int) -> None:
        super().__init__("throughput", steps * turns)
        self.plain, self.steps = plain, steps
        self.pairs: list[tuple[tuple[float, float], tuple[float, float]]] = []
        self.resume()

    def resume(self) -> None:
        self.begun, self.begun_processor = time.perf_counter(), time.process_time()

    def advance(self, step: int, images: int) -> None:
        super().advance(step, images)
        if step % self.steps == 0:
            ours = time.perf_counter() - self.begun, time.process_time() - self.begun_processor
            self.pairs.append((seconds(self.plain, self.steps), (ours[0] / self.steps, ours[1] / self.steps)))
            self.resume()


def measure(preset: str, data: Path, turns: int) -> Turns:
    """Returns what a preset and its plain loop took, one turn more than wanted: the first is to warm up."""
    steps = STEPS.get(preset, 1)
    settings = [f"train.steps={(turns + 1) * steps}", "train.sample_every=1000000", "train.checkpoint_every=1000000"]
    settings += ["data.source=toy:ring"] if preset == "gan-toy" else [f"data.source={data / 'mnist'}"]
    settings += ["model.warm_critic_steps=5"] if preset == "wgan-mnist" else []
    every = configuration.resolve(preset).train.log_every
    config = configuration.resolve(preset, sets=[*settings, f"train.log_every={min(steps, every)}"])
    session = prepare(config, begins=True)
    batches = session.pipeline.batches(0, session.device, torch.contiguous_format)
    first = [next(batches) for _ in range(ITEMS // config.train.batch)]
    (images,) = (torch.cat(parts) for parts in zip(*(batch.images.values() for batch in first), strict=True))
    labels = torch.zeros(len(images)) if first[0].labels is None else torch.cat([batch.labels for batch in first])
    loop = LOOPS[preset]((images, labels))
    display = Turns(lambda: next(loop) and None, steps, turns + 1)
    trainer = Trainer(session.architecture, session.config, session.pipeline, session.device, session.watched)
    with tempfile.TemporaryDirectory() as folder, display:
        trainer.fit(RunDirectory.create(Path(folder) / "run", session.config), display)
    return display


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the MNIST files in mnist/")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--only", choices=LOOPS, nargs="+", default=list(LOOPS), help="only these presets")
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, medians of {arguments.turns} turns\n")
    print("| preset | steps in a turn | plain ms | gancli ms | ratio | of processor time |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for preset in arguments.only:
        with contextlib.redirect_stderr(io.StringIO()):
            display = measure(preset, arguments.data, arguments.turns)
        pairs = display.pairs[1:]
        wall, processor = (statistics.median(ours[i] / plain[i] for plain, ours in pairs) for i in (0, 1))
        plain, ours = (statistics.median(side[0] for side in column) * 1000 for column in zip(*pairs, strict=True))
        print(f"| {preset} | {display.steps} | {plain:.2f} | {ours:.2f} | {wall:.3f} | {processor:.3f} |", flush=True)


if __name__ == "__main__":
    main()
