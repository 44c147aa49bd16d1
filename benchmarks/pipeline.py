"""Compares the images/s of the input pipeline with the images/s that a CPU training step consumes.

``python benchmarks/pipeline.py --data ../shared/data`` decodes each source, reads one epoch, and then times batches for
a few seconds. The training step uses a batch that is ready in memory.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from pathlib import Path

import torch

from gancli import config as configuration
from gancli.data.opening import open_source
from gancli.data.pipeline import Pipeline
from gancli.data.sampler import Portion
from gancli.registry import load_architecture
from gancli.schema import RunConfig
from gancli.training.trainer import Trainer

CPU = torch.device("cpu")
CASES = [
    ("mnist", "dcgan-mnist", 32, 128),
    ("cifar10.zip", "dcgan-cifar10", 32, 128),
    ("monet2photo/trainB", "dcgan", 64, 64),
    ("monet2photo/trainB", "dcgan", 128, 64),
    ("monet2photo/trainB", "dcgan", 256, 16),  # the preset has 64, but then a step takes a minute
]
"""Source, preset, resolution and batch."""


def images_per_second(draw: Callable[[], int], seconds: float) -> float:
    """Calls ``draw``, which returns how many images it took, for at least ``seconds``."""
    begun, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - begun) < seconds:
        count += draw()
    return count / elapsed


def fed(pipeline: Pipeline, seconds: float) -> float:
    batches = pipeline.batches(0, CPU)
    while batches.images_shown < pipeline.length:  # the first epoch
        next(batches)
    speed = images_per_second(lambda: len(next(batches)), seconds)
    batches.close()
    return speed


def consumed(config: RunConfig, pipeline: Pipeline, seconds: float) -> float:
    architecture = load_architecture(config.architecture)(config.model, config.train.aids)
    trainer = Trainer(architecture, config, pipeline, CPU)
    batch = next(pipeline.batches(0, CPU))

    def step() -> int:
        trainer.play_round(itertools.repeat(batch))
        return len(batch)

    step()  # warm
    return images_per_second(step, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=5)
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; all speeds are images/s")
    head = f"{'source':20} {'px':>4} {'batch':>5} {'crop':13} {'step':>8}"
    print(f"{head} {'0 workers':>10} {'2 workers':>10} {'least ratio':>12}", flush=True)
    for name, preset, resolution, batch in CASES:
        source = open_source(str(arguments.data / name))
        sizes = [f"model.resolution={resolution}", f"train.batch={batch}"]
        step = None
        for way, settings in {
            "center": ["data.flip=false"],
            "random, flip": ["data.flip=true", "data.crop=random", f"data.load_size={resolution * 9 // 8}"],
        }.items():
            config = configuration.resolve(preset, sets=[*sizes, *settings])
            inputs = load_architecture(config.architecture).inputs(config.model)
            speeds = []
            for workers in (0, 2):
                pipeline = Pipeline(source, inputs, config.data, portions=[Portion(0, batch)], seed=0, workers=workers)
                speeds.append(fed(pipeline, arguments.seconds))
            step = step or consumed(config, pipeline, arguments.seconds)  # measured once for both crops
            print(
                f"{name:20} {resolution:4} {batch:5} {way:13} {step:8.1f} {speeds[0]:10.0f} {speeds[1]:10.0f} "
                f"{min(speeds) / step:11.0f}x",
                flush=True,
            )


if __name__ == "__main__":
    main()
