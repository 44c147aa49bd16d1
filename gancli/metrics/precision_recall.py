"""Improved precision and recall (Kynkäänniemi et al. 2019, arXiv 1904.06991, algorithm 1), k = 3 neighbours."""

from __future__ import annotations

import torch
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

from gancli.errors import GancliError
from gancli.metrics.base import Metric, Task, Values

NEIGHBOURS = 3
ROWS = 1024
"""Images whose distances to all others are in memory at a time."""


class PrecisionRecall(Metric):
    name = "prc"
    title = "improved precision and recall, k = 3 (Kynkäänniemi et al. 2019)"
    better = "higher"
    extractor = "vgg16"

    def values(self, task: Task, extractor: str) -> Values:
        made, real = task.made.features[extractor], task.features(extractor)
        if min(len(made), len(real)) <= NEIGHBOURS:
            raise GancliError(
                f"prc needs more than {NEIGHBOURS} images per side, but {task.fewest()}",
                "leave out 'prc', or use more images",
            )
        found = prc_features_to_metric(
            torch.from_numpy(made),
            torch.from_numpy(real),
            prc_neighborhood=NEIGHBOURS,
            prc_batch_size=ROWS,
            save_cpu_ram=True,
            verbose=False,
        )
        return {"precision": found[KEY_METRIC_PRECISION], "recall": found[KEY_METRIC_RECALL]}
