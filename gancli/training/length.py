"""How long a run is: in steps, epochs or thousands of images."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

from gancli.architectures.base import Architecture
from gancli.data.sampler import Portion
from gancli.schema import TrainConfig, at_resolution

FOREVER = 2**53
"""More steps or images than any run has."""


def _ends(config: TrainConfig, epoch: int) -> tuple[int, float]:
    """Returns the steps and the real images after which a run ends; FOREVER for the one that does not limit it."""
    if config.steps is not None:
        return config.steps, FOREVER
    # Rounded, or 4.001 thousand would be a hair more than 4001 images, and a step more.
    if config.epochs is not None:
        return FOREVER, round(config.epochs * epoch, 6)
    assert config.kimg is not None  # the schema requires exactly one of the three
    return FOREVER, round(config.kimg * 1000, 6)


def finished_fraction(config: TrainConfig, epoch: int, *, step: int, images_shown: int) -> float:
    """Returns the finished part of a run, from 0 to 1; ``epoch`` is the number of images in the data."""
    steps, images = _ends(config, epoch)
    return min(1.0, max(step / steps, images_shown / images))


def portions(architecture: Architecture, config: TrainConfig) -> list[Portion]:
    """Returns what a run draws and when: a portion for every resolution that the networks grow through."""
    grown = architecture.stage_at(FOREVER)
    if grown is None:
        return [Portion(0, at_resolution(config.batch, architecture.resolution))]

    def resolution(images_shown: int) -> int:
        stage = architecture.stage_at(images_shown)
        assert stage is not None
        return stage.resolution

    found, start = [], 0
    while True:
        here = resolution(start)
        found.append(Portion(start, at_resolution(config.batch, here), grown.resolution // here))
        if here == grown.resolution:
            return found
        start = bisect.bisect_right(range(FOREVER), here, lo=start, key=resolution)


def estimated_length(
    config: TrainConfig,
    epoch: int,
    portions: Sequence[Portion],
    architecture: Architecture,
    step: int = 0,
    images_shown: int = 0,
) -> tuple[int, int]:
    """Returns the length of a run in steps and in real images.

    Args:
        config: of the run.
        epoch: number of images in the data.
        portions: what the run draws.
        architecture: says how many batches a step draws.
        step: steps that are already finished, perhaps with other batches.
        images_shown: real images that they drew.
    """
    steps, exact = _ends(config, epoch)
    images = math.ceil(exact)
    warm, warm_draws = architecture.warm_up
    for here, after in zip(portions, [*portions[1:], None], strict=True):
        end = images if after is None else min(after.start, images)
        for until, draws in ((warm, warm_draws), (steps, architecture.draws)):
            needed = math.ceil(max(0, end - images_shown) / (draws * here.batch))
            more = max(0, min(needed, min(until, steps) - step))
            step += more
            images_shown += math.ceil(more * draws * here.batch)
    return step, min(images_shown, images)
