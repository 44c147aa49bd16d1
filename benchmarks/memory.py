"""Compares the memory that training takes with what ``--dry-run`` expects: ``python benchmarks/memory.py dcgan``.

The measured value is the peak of this process's resident memory during a few steps on the CPU, minus its resident
memory before the networks were built. Linux only.
"""

from __future__ import annotations

import argparse
import itertools
import re
from pathlib import Path

import torch

from gancli import config as configuration
from gancli.architectures.base import Batch
from gancli.data.opening import open_source
from gancli.data.pipeline import Pipeline
from gancli.registry import load_architecture
from gancli.training.length import portions
from gancli.training.plan import expected_memory
from gancli.training.trainer import Trainer

CPU = torch.device("cpu")


def resident(key: str) -> float:
    """Returns VmRSS (current) or VmHWM (peak) in MiB."""
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("preset")
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="A.B=V")
    parser.add_argument("--steps", type=int, default=5)
    arguments = parser.parse_args()
    config = configuration.resolve(arguments.preset, sets=arguments.sets)
    kind = load_architecture(config.architecture)
    inputs = kind.inputs(config.model)
    architecture = kind(config.model, config.train.aids)
    drawn = portions(architecture, config.train)
    # This also loads what torch loads with the first optimizer, 150 MiB.
    expected = expected_memory(architecture, config, drawn[0])
    pipeline = Pipeline(open_source("shapes"), inputs, config.data, portions=drawn, seed=0)
    batch = next(pipeline.batches(0, CPU))
    before = resident("VmRSS") - expected.weights / 2**20  # the weights are already in memory
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    trainer = Trainer(architecture, config, pipeline, CPU)
    for _ in range(arguments.steps):
        trainer.play_round(Batch(batch.images) for _ in itertools.count())
    measured = resident("VmHWM") - before
    total = expected.total / 2**20
    parts = ", ".join(f"{size / 2**20:.0f} {name}" for name, size in vars(expected).items())
    print(f"{arguments.preset} {' '.join(arguments.sets)} at batch {drawn[0].batch}")
    print(f"expected {total:.0f} MiB ({parts})")
    print(f"measured {measured:.0f} MiB, {measured / total:.2f} x")


if __name__ == "__main__":
    main()
