"""Precision and recall of sets whose answer is known."""

from __future__ import annotations

import numpy as np
from tasks import features_task, task

from gancli.metrics.precision_recall import PrecisionRecall


def test_a_collapsed_generator_is_precise_and_recalls_little() -> None:
    generator = np.random.default_rng(0)
    real = generator.normal(size=(200, 8)).astype(np.float32)
    collapsed = (real[:1] + 0.01 * generator.normal(size=(200, 8))).astype(np.float32)
    wild = (3 * generator.normal(size=(200, 8))).astype(np.float32)
    found = {
        name: PrecisionRecall(task()).values(features_task(made, real), "x")
        for name, made in (("collapsed", collapsed), ("wild", wild), ("same", real))
    }
    assert found["collapsed"]["precision"] > 0.95
    assert found["collapsed"]["recall"] < 0.1
    assert found["wild"]["precision"] < 0.5
    assert found["wild"]["recall"] > found["collapsed"]["recall"]
    assert found["same"] == {"precision": 1, "recall": 1}
