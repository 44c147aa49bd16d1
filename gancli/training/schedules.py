"""Learning-rate schedules: pure functions of how far a run has come, so that nothing of them needs storing."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gancli.nn.stage import Stage
from gancli.schema import Number, ScheduleConfig, at_resolution


def at_stage(value: Number | Mapping[int, Number], stage: Stage | None) -> Number:
    """Returns the value that holds at a stage of growth, if it depends on the resolution.

    Raises:
        TypeError: it does, but the networks do not grow; ``session`` refuses such a configuration before.
    """
    if not isinstance(value, Mapping):
        return value
    if stage is None:
        raise TypeError("a table by resolution is for networks that grow")
    return at_resolution(value, stage.resolution)


def lr_factor(schedule: ScheduleConfig, *, step: int, fraction: float) -> float:
    """Returns the factor on every learning rate.

    Args:
        schedule: kind and constants.
        step: training steps finished.
        fraction: finished part of the run, in [0, 1].
    """
    if schedule.kind == "step":
        return schedule.gamma ** (step // schedule.every)
    if schedule.kind == "constant" or fraction <= schedule.start:
        return 1.0
    decayed = (min(fraction, 1.0) - schedule.start) / (1.0 - schedule.start)
    if schedule.kind == "cosine":
        decayed = (1.0 - math.cos(math.pi * decayed)) / 2
    return 1.0 + (schedule.final - 1.0) * decayed
