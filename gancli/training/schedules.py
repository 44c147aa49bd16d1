"""Learning-rate schedules: pure functions of how far a run has come, so that nothing of them needs storing."""

from __future__ import annotations

import math

from gancli.schema import ScheduleConfig


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
