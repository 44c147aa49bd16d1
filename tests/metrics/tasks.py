"""What metrics are given, made up for the tests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gancli.metrics.statistics import Known, moments


def task(**what: Any) -> Any:
    return SimpleNamespace(seed=0, paired=False, classes=(), classifier=None, device=torch.device("cpu"), **what)


def features_task(made: NDArray[Any], real: NDArray[Any], **more: Any) -> Any:
    known = Known(moments(real), real, more.pop("real_labels", None), {})
    side = SimpleNamespace(features={"x": made}, logits={}, labels=more.pop("labels", None))
    return SimpleNamespace(
        made=side, known={"x": known}, seed=0, features=lambda name: known.features, classes=(), **more
    )


def pictures(count: int, side: int, seed: int, channels: int = 3) -> NDArray[np.uint8]:
    smooth = np.random.default_rng(seed).uniform(0, 255, (count, side // 4, side // 4, channels))
    return smooth.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)
