"""Inception score (Salimans et al. 2016, arXiv 1606.03498, section 4): exp of the mean KL of p(y|x) from p(y)."""

from __future__ import annotations

import numpy as np
import torch
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

from gancli.console import warn
from gancli.errors import GancliError
from gancli.metrics.base import Metric, Task, Values

SPLITS = 10


class InceptionScore(Metric):
    name = "is"
    title = "inception score, mean and std of 10 splits (Salimans et al. 2016)"
    better = "higher"
    extractor = "inception"
    needs_real = False

    def values(self, task: Task, extractor: str) -> Values:
        logits = task.made.logits.get(extractor)
        if logits is None:
            raise GancliError(
                f"inception score (is): {extractor} has no class logits", "--features inception, or leave out 'is'"
            )
        count = len(logits)
        if count < SPLITS:
            raise GancliError(
                f"inception score (is) needs {SPLITS} images, one per split, but {task.fewest()}",
                "-n 5000, or leave out 'is'",
            )
        if count < 5000:
            warn(f"is: the value is too low with {count:,} images instead of 50,000")
        # One split after the other, in torch-fidelity's order, so memory does not grow with their number.
        order = np.random.RandomState(task.seed).permutation(count)
        parts = [order[split * count // SPLITS : (split + 1) * count // SPLITS] for split in range(SPLITS)]
        scores = [
            isc_features_to_metric(torch.from_numpy(logits[np.sort(part)]), splits=1, shuffle=False) for part in parts
        ]
        means = [score[KEY_METRIC_ISC_MEAN] for score in scores]
        return {"is": float(np.mean(means)), "is_std": float(np.std(means))}
