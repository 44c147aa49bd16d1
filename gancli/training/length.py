"""How long a run is: in steps, epochs or thousands of images."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

from gancli.architectures.base import Architecture
from gancli.data.sampler import Portion
from gancli.schema import TrainConfig, at_resolution

FOREVER = 2**53
"""Images that no run shows."""


def _total_images(config: TrainConfig, epoch: int) -> float | None:
    """Returns the length of a run in real images, or None where its length is given in steps."""
    # Rounded, or 4.001 thousand would be a hair more than 4001 images, and a step more.
    if config.epochs is not None:
        return round(config.epochs * epoch, 6)
    return round(config.kimg * 1000, 6) if config.kimg is not None else None


def finished_fraction(config: TrainConfig, epoch: int, *, step: int, images_shown: int) -> float:
    """Returns the finished part of a run, from 0 to 1; ``epoch`` is the number of images in the data."""
    if config.steps is not None:
        return min(step / config.steps, 1.0)
    images = _total_images(config, epoch)
    assert images is not None  # the schema lets exactly one of the three be set
    return min(images_shown / images, 1.0)


def portions(architecture: Architecture, config: TrainConfig) -> list[Portion]:
    """Returns what a run draws when: a portion for every resolution that the networks grow through, at least one."""
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


def estimated_steps(
    config: TrainConfig, epoch: int, portions: Sequence[Portion], draws: int = 1, step: int = 0, images_shown: int = 0
) -> int:
    """Returns the length of a run in steps.

    Args:
        config, epoch, portions: of the run, its data and what it draws.
        draws: batches that a step draws (``Architecture.draws``).
        step: steps that it has finished already, with other batches perhaps.
        images_shown: real images that they drew.
    """
    if config.steps is not None:
        return config.steps
    images = math.ceil(_total_images(config, epoch) or 0)
    return _steps_and_images(portions, draws, step, images_shown, images=images)[0]


def estimated_images(config: TrainConfig, epoch: int, portions: Sequence[Portion], draws: int = 1) -> int:
    """Returns the length of a run in real images; for ``draws`` see ``estimated_steps``."""
    images = _total_images(config, epoch)
    return math.ceil(images) if images is not None else _steps_and_images(portions, draws, 0, 0, steps=config.steps)[1]


def _steps_and_images(
    portions: Sequence[Portion],
    draws: int,
    step: int,
    shown: int,
    *,
    steps: int | None = None,
    images: int | None = None,
) -> tuple[int, int]:
    """Counts on to the end of a run, which is after ``steps`` steps or at the first one to reach ``images``."""
    for here, after in zip(portions, [*portions[1:], None], strict=True):
        end = FOREVER if after is None else after.start
        end = end if images is None else min(end, images)
        more = max(0, math.ceil((end - shown) / (draws * here.batch)))
        more = more if steps is None else min(more, steps - step)
        step, shown = step + more, shown + more * draws * here.batch
    return step, shown
