"""How fast is a DCGAN training step compared with plain PyTorch? ``python benchmarks/step.py``

Both train the same networks with the same batch in the same process and alternate after a few steps, so other work on
the machine affects both. The plain loop has its images ready in memory; gancli's side is its whole step: data pipeline,
random numbers, losses with their scores, and the sums for the log.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from plain_dcgan import networks, training

from gancli import config as configuration
from gancli.architectures.base import Batch
from gancli.data.opening import open_source
from gancli.data.pipeline import Pipeline
from gancli.registry import load_architecture
from gancli.training.length import portions
from gancli.training.trainer import Trainer

CPU = torch.device("cpu")
NCHW, NHWC = torch.contiguous_format, torch.channels_last
VARIANTS: dict[str, tuple[list[str], torch.memory_format]] = {
    "eager fp32, both NCHW": (["train.channels_last=false"], NCHW),
    "eager fp32, both channels_last": ([], NHWC),
    "eager fp32 (as it comes)": ([], NCHW),
    "with EMA": (["train.average={decay: 0.999}"], NCHW),
    "bf16": (["train.precision=bf16"], NCHW),
    "compile": (["train.compile=true"], NCHW),
    "bf16 + compile": (["train.precision=bf16", "train.compile=true"], NCHW),
}
"""gancli's settings, and the memory layout of the plain loop, NCHW by default."""


def gancli_step(settings: list[str]) -> Callable[[], None]:
    config = configuration.resolve("dcgan", sets=settings)
    architecture = load_architecture(config.architecture)(config.model, config.train.aids)
    inputs = architecture.inputs(config.model)
    pipeline = Pipeline(
        open_source("shapes"), inputs, config.data, portions=portions(architecture, config.train), seed=0
    )
    trainer = Trainer(architecture, config, pipeline, CPU)
    batches = iter(pipeline.batches(0, CPU))
    if not config.train.channels_last:  # batches come in channels_last
        batches = (Batch({"image": batch.image.contiguous()}) for batch in batches)

    def step() -> None:
        trainer.play_round(batches)

    return step


def plain_step(model: Any, batch: int, layout: torch.memory_format = NCHW) -> Callable[[], None]:
    ready = [torch.rand(batch, model.channels, model.resolution, model.resolution) * 2 - 1 for _ in range(8)]
    ready = [images.to(memory_format=layout) for images in ready]
    generator, discriminator = networks(model.latent_dim, model.generator_width, model.channels, model.resolution)
    for network in (generator, discriminator):
        network.to(memory_format=layout)
    loop = training(generator, discriminator, itertools.cycle(ready), model.latent_dim)
    return lambda: next(loop) and None


def seconds(step: Callable[[], None], count: int) -> tuple[float, float]:
    """Returns the elapsed time and the processor time (of all threads) per step."""
    begun, begun_processor = time.perf_counter(), time.process_time()
    for _ in range(count):
        step()
    return (time.perf_counter() - begun) / count, (time.process_time() - begun_processor) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=5, help="steps of each side per round")
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--only", help="variants whose name contains this")
    arguments = parser.parse_args()
    size = [
        f"model.resolution={arguments.resolution}",
        f"model.generator_width={arguments.width}",
        f"model.discriminator_width={arguments.width}",
        f"train.batch={arguments.batch}",
    ]
    config = configuration.resolve("dcgan", sets=size)
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {arguments.resolution} px, "
        f"width {arguments.width}, batch {arguments.batch}"
    )
    print(
        f"{'variant':36} {'plain ms':>9} {'gancli ms':>10} {'ratio':>6} {'ratio of processor time':>24}  "
        f"(gancli / plain, medians of {arguments.rounds} rounds)",
        flush=True,
    )
    for name, (settings, layout) in VARIANTS.items():
        if arguments.only and arguments.only not in name:
            continue
        plain, ours = plain_step(config.model, arguments.batch, layout), gancli_step([*size, *settings])
        for step in (plain, ours):
            seconds(step, 3)  # warm
        pairs = [(seconds(plain, arguments.steps), seconds(ours, arguments.steps)) for _ in range(arguments.rounds)]
        wall, processor = (statistics.median(b[i] / a[i] for a, b in pairs) for i in (0, 1))
        a, b = (statistics.median(side[0] for side in column) * 1000 for column in zip(*pairs, strict=True))
        print(f"{name:36} {a:9.1f} {b:10.1f} {wall:6.3f} {processor:24.3f}", flush=True)


if __name__ == "__main__":
    main()
