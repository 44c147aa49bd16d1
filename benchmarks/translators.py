"""How fast is a training step of the translators compared with the official one? ``python benchmarks/translators.py``

Both train the same networks with batch 1 in the same process and alternate after a few steps, so other work on the
machine affects both. The plain side has its images ready in memory; gancli's side is its whole step: data pipeline,
random numbers, losses, and the sums for the log. The memory of each side is measured in a separate process: the peak of
the resident memory minus that before the networks were built (Linux only).
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import plain_translators as plain
import torch
from memory import resident
from PIL import Image
from step import seconds

from gancli import config as configuration
from gancli.data.opening import open_source
from gancli.data.pipeline import Pipeline
from gancli.data.sampler import Portion
from gancli.registry import load_architecture
from gancli.schema import at_resolution
from gancli.training.trainer import Trainer

CPU = torch.device("cpu")


class Case(NamedTuple):
    """An architecture at one size: gancli's preset and settings, and the official step for a given width."""

    preset: str
    resolution: int
    settings: list[str]
    plain: Callable[[plain.Pairs, int], Iterator[None]]


CASES = {
    "pix2pix 128": Case("pix2pix", 128, [], lambda pairs, width: plain.pix2pix(pairs, width, 7)),
    "pix2pix 256": Case("pix2pix", 256, [], lambda pairs, width: plain.pix2pix(pairs, width, 8)),
    "cyclegan 128": Case("cyclegan", 128, ["model.blocks=6"], lambda pairs, width: plain.cyclegan(pairs, width, 6)),
    "cyclegan 256": Case("cyclegan", 256, [], lambda pairs, width: plain.cyclegan(pairs, width, 9)),
    "ugatit light 128": Case("ugatit-light", 128, [], plain.ugatit_light),
}
VARIANTS = {
    "as it comes": [],
    "NCHW": ["train.channels_last=false"],
    "channels_last": ["train.channels_last=true"],
    "bf16": ["train.precision=bf16"],
    "compile": ["train.compile=true"],
    "bf16 + compile": ["train.precision=bf16", "train.compile=true"],
}
"""gancli's settings; the plain side is always eager, fp32 and NCHW."""


def write_pictures(folder: Path, resolution: int) -> None:
    """Writes 8 images of each domain, paired by name and a ninth larger than the networks' input, as published."""
    random = np.random.default_rng(0)
    size = resolution * 286 // 256
    for part in ("trainA", "trainB"):
        (folder / part).mkdir(parents=True)
        for index in range(8):
            pixels = random.integers(0, 256, (size, size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / part / f"{index}.png", compress_level=1)


def gancli_step(case: Case, variant: str, width: int, folder: Path) -> Callable[[], Callable[[], None]]:
    """Opens the data and returns a function that builds the networks and returns the step."""
    sizes = [f"model.resolution={case.resolution}", f"model.generator_width={width}"]
    sizes += [f"model.discriminator_width={width}"]
    config = configuration.resolve(case.preset, sets=[*sizes, *case.settings, *VARIANTS[variant]])
    kind = load_architecture(config.architecture)
    inputs = kind.inputs(config.model)
    source = open_source(str(folder), inputs=inputs)
    batch = at_resolution(config.train.batch, config.model.resolution)
    pipeline = Pipeline(source, inputs, config.data, portions=[Portion(0, batch)], seed=0)

    def build() -> Callable[[], None]:
        trainer = Trainer(kind(config.model, config.train.aids), config, pipeline, CPU)
        batches = pipeline.batches(0, CPU, trainer.memory_format)

        def step() -> None:
            trainer.play_round(batches)

        return step

    return build


def plain_step(case: Case, width: int) -> Callable[[], Callable[[], None]]:
    """Loads the images and returns a function that builds the networks and returns the step."""
    shape = (1, 3, case.resolution, case.resolution)
    ready = [(torch.rand(shape) * 2 - 1, torch.rand(shape) * 2 - 1) for _ in range(8)]

    def build() -> Callable[[], None]:
        loop = case.plain(itertools.cycle(ready), width)
        return lambda: next(loop)

    return build


def mebibytes(build: Callable[[], Callable[[], None]], steps: int) -> float:
    """Returns the peak memory of networks and steps; call it only once per process."""
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.sum().backward()
    torch.optim.Adam([weight]).step()  # the first optimizer makes torch load much more
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    step = build()
    for _ in range(steps):
        step()
    return resident("VmHWM") - before


def memory_of(side: str, name: str, variant: str, width: int) -> float:
    """Returns the result of ``mebibytes`` in a new process; ``side`` is plain or gancli."""
    command = [sys.executable, __file__, "--width", str(width), "--measure", side, name, variant]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=2, help="steps of each side per round")
    parser.add_argument("--width", type=int, default=64, help="channels of the first layers; the official value is 64")
    parser.add_argument("--only", default="", help="cases and variants whose name contains this: `cyclegan 128, bf16`")
    parser.add_argument("--compile", action="store_true", help="add the compiled variants, which take minutes to start")
    parser.add_argument("--measure", nargs=3, metavar=("SIDE", "CASE", "VARIANT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        if arguments.measure:
            side, name, variant = arguments.measure
            case = CASES[name]
            write_pictures(Path(temporary), case.resolution)
            ours = gancli_step(case, variant, arguments.width, Path(temporary))
            print(mebibytes(ours if side == "gancli" else plain_step(case, arguments.width), steps=4))
            return
        print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, width {arguments.width}, batch 1")
        print(
            f"{'case, variant':32} {'plain ms':>9} {'gancli ms':>10} {'ratio':>6} {'of processor time':>18} "
            f"{'plain MiB':>10} {'gancli MiB':>11} {'ratio':>6}  "
            f"(gancli / plain, medians of {arguments.rounds} rounds)",
            flush=True,
        )
        for name, variant in itertools.product(CASES, VARIANTS):
            title = f"{name}, {variant}"
            if arguments.only not in title or ("compile" in variant and not arguments.compile):
                continue
            case = CASES[name]
            folder = Path(temporary, str(case.resolution))
            if not folder.exists():
                write_pictures(folder, case.resolution)
            plain_side = plain_step(case, arguments.width)()
            ours = gancli_step(case, variant, arguments.width, folder)()
            for step in (plain_side, ours):
                seconds(step, 3)  # warm
            pairs = [
                (seconds(plain_side, arguments.steps), seconds(ours, arguments.steps)) for _ in range(arguments.rounds)
            ]
            wall, processor = (statistics.median(b[i] / a[i] for a, b in pairs) for i in (0, 1))
            a, b = (statistics.median(side[0] for side in column) * 1000 for column in zip(*pairs, strict=True))
            del plain_side, ours, step
            plain_memory, our_memory = (memory_of(side, name, variant, arguments.width) for side in ("plain", "gancli"))
            print(
                f"{title:32} {a:9.1f} {b:10.1f} {wall:6.3f} {processor:18.3f} "
                f"{plain_memory:10.0f} {our_memory:11.0f} {our_memory / plain_memory:6.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
