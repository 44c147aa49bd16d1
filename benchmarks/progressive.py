"""How fast do ProGAN and StyleGAN train? ``python benchmarks/progressive.py``

The first table compares a step of StyleGAN with rosinality's, which ``plain_stylegan.py`` has in plain PyTorch. Both
train with the same channels and batch in the same process and alternate after a few steps, so other work on the machine
affects both. The plain side has its images ready in memory; gancli's side is its whole step: data pipeline, random
numbers, losses, average, and the sums for the log. The memory of each side is measured in a separate process: the peak
of the resident memory minus that before the networks were built (Linux only). rosinality's discriminator is the larger
one: both convolutions of its blocks see images of full height and width, and the first has more channels.

The second table has the images per second at each stage of growth, all with the same batch.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence

import plain_stylegan
import torch
from step import seconds
from translators import mebibytes

from gancli import config as configuration
from gancli.data.opening import open_source
from gancli.data.pipeline import Pipeline
from gancli.registry import load_architecture
from gancli.training.length import portions
from gancli.training.trainer import Trainer

CPU = torch.device("cpu")
VARIANTS = {
    "as it comes": [],
    "NCHW": ["train.channels_last=false"],
    "channels_last": ["train.channels_last=true"],
    "bf16": ["train.precision=bf16"],
    "compile": ["train.compile=true"],
}
"""gancli's settings; the plain side is always eager, fp32 and NCHW."""
ENDLESS = 10**6
"""Thousands of images, more than any measurement uses."""


def gancli_step(preset: str, settings: Sequence[str]) -> Callable[[], Callable[[], None]]:
    """Opens the data and returns a function that builds the networks and returns the step."""
    config = configuration.resolve(preset, sets=settings)
    kind = load_architecture(config.architecture)
    with torch.device("meta"):  # only to find out how it grows
        drawn = portions(kind(config.model), config.train)
    pipeline = Pipeline(open_source("shapes"), kind.inputs(config.model), config.data, portions=drawn, seed=0)

    def build() -> Callable[[], None]:
        trainer = Trainer(kind(config.model, config.train.aids), config, pipeline, CPU)
        batches = pipeline.batches(0, CPU, trainer.memory_format)

        def step() -> None:
            trainer.play_round(batches)

        return step

    return build


def sizes(resolution: int, widest: int, batch: int) -> list[str]:
    """Returns the settings of the networks; with ``widest`` 512, they have the published number of channels."""
    width = [f"model.width={16 * widest}", f"model.max_width={widest}", f"model.latent_dim={widest}"]
    return [*width, f"model.resolution={resolution}", f"train.batch={batch}"]


def grown(resolution: int, widest: int, batch: int, variant: str) -> Callable[[], Callable[[], None]]:
    """Returns a function that builds StyleGAN at its full size."""
    full = [f"model.growth.initial_resolution={resolution}", f"model.style_dim={widest}"]
    return gancli_step("stylegan", [*sizes(resolution, widest, batch), *full, *VARIANTS[variant]])


def plain(resolution: int, widest: int, batch: int) -> Callable[[], Callable[[], None]]:
    """Loads the images and returns a function that builds the networks and returns the step."""
    ready = [torch.rand(batch, 3, resolution, resolution) * 2 - 1 for _ in range(8)]

    def build() -> Callable[[], None]:
        loop = plain_stylegan.stylegan(itertools.cycle(ready), resolution, widest)
        return lambda: next(loop)

    return build


def compare(arguments: argparse.Namespace, variants: Sequence[str]) -> None:
    """Prints the throughput and memory of StyleGAN and the ratios to those of the plain side."""
    resolution, widest, batch = arguments.resolution, arguments.widest, arguments.batch
    print(
        f"{'StyleGAN':15} {'plain images/s':>15} {'gancli images/s':>16} {'ratio':>6} {'of processor time':>18} "
        f"{'plain MiB':>10} {'gancli MiB':>11} {'ratio':>6}  (gancli / plain, medians of {arguments.rounds} rounds)",
        flush=True,
    )
    for variant in variants:
        theirs, ours = plain(resolution, widest, batch)(), grown(resolution, widest, batch, variant)()
        for step in (theirs, ours):
            seconds(step, arguments.steps)  # warm
        pairs = [(seconds(theirs, arguments.steps), seconds(ours, arguments.steps)) for _ in range(arguments.rounds)]
        rate = statistics.median(a[0] / b[0] for a, b in pairs)
        processor = statistics.median(b[1] / a[1] for a, b in pairs)
        a, b = (batch / statistics.median(side[0] for side in column) for column in zip(*pairs, strict=True))
        del theirs, ours, step
        command = [sys.executable, __file__, "--resolution", str(resolution), "--widest", str(widest)]
        command += ["--batch", str(batch), "--steps", str(arguments.steps), "--measure"]
        our_memory, plain_memory = (
            float(subprocess.run([*command, side], check=True, stdout=subprocess.PIPE, text=True).stdout)
            for side in (variant, "plain")
        )
        print(
            f"{variant:15} {a:15.2f} {b:16.2f} {rate:6.3f} {processor:18.3f} "
            f"{plain_memory:10.0f} {our_memory:11.0f} {our_memory / plain_memory:6.3f}",
            flush=True,
        )


def stages(arguments: argparse.Namespace) -> None:
    """Prints the images per second at each stage, for networks that can grow to the full resolution."""
    print(
        f"\n{'images/s':8}" + "".join(f"{name:>20}" for name in ("progan", "progan fading", "stylegan", "st. fading"))
    )
    resolution = 4
    while resolution <= arguments.resolution:
        rates = []
        for preset, fades in itertools.product(("progan", "stylegan"), (False, True)):
            if fades and resolution == 4:
                rates.append("")
                continue
            begins = resolution // 2 if fades else resolution
            growth = [f"model.growth.initial_resolution={begins}"]
            # Fading begins at the second step and never ends.
            growth += [f"model.growth.stable_kimg={0 if fades else ENDLESS}", f"model.growth.fade_kimg={ENDLESS}"]
            settings = [*sizes(arguments.resolution, arguments.widest, arguments.batch), *growth]
            step = gancli_step(preset, settings)()
            seconds(step, 2)  # warm
            each = statistics.median(seconds(step, arguments.steps)[0] for _ in range(arguments.rounds))
            rates.append(f"{arguments.batch / each:.2f}")
        print(f"{resolution:5} px" + "".join(f"{rate:>20}" for rate in rates), flush=True)
        resolution *= 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=2, help="steps of each side per round")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument(
        "--widest", type=int, default=512, help="channels of the widest layers; the official value is 512"
    )
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--variants", default="as it comes", help=f"gancli's settings: {', '.join(VARIANTS)}")
    parser.add_argument("--only", choices=("ratio", "stages"), help="print only this table")
    parser.add_argument("--measure", metavar="SIDE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        size = arguments.resolution, arguments.widest, arguments.batch
        build = plain(*size) if arguments.measure == "plain" else grown(*size, arguments.measure)
        print(mebibytes(build, arguments.steps + 2))
        return
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, up to {arguments.resolution} px, "
        f"{arguments.widest} channels at most, batch {arguments.batch}"
    )
    if arguments.only != "stages":
        compare(arguments, arguments.variants.split(","))
    if arguments.only != "ratio":
        stages(arguments)


if __name__ == "__main__":
    main()
