"""How long a run is: in steps, epochs or thousands of images."""

from __future__ import annotations

import math

from gancli.schema import TrainConfig


def _total_images(config: TrainConfig, epoch: int) -> float | None:
    """Returns the length of a run in real images, or None where its length is given in steps."""
    if config.epochs is not None:
        return config.epochs * epoch
    return config.kimg * 1000 if config.kimg is not None else None


def finished_fraction(config: TrainConfig, epoch: int, *, step: int, images_shown: int) -> float:
    """Returns the finished part of a run, from 0 to 1; ``epoch`` is the number of images in the data."""
    if config.steps is not None:
        return min(step / config.steps, 1.0)
    images = _total_images(config, epoch)
    assert images is not None  # the schema lets exactly one of the three be set
    return min(images_shown / images, 1.0)


def estimated_steps(config: TrainConfig, epoch: int) -> int:
    """Returns the length of a run in steps, if each step draws one batch."""
    images = _total_images(config, epoch)
    return config.steps if config.steps is not None else math.ceil((images or 0) / config.batch)
