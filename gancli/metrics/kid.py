"""Kernel distance of features (Bińkowski et al. 2018, arXiv 1801.01401, section 4): an unbiased estimate of MMD^2."""

from __future__ import annotations

import torch
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

from gancli.console import warn
from gancli.errors import GancliError
from gancli.metrics.base import Metric, Task, Values

SUBSETS, SUBSET = 100, 1000


class KID(Metric):
    name = "kid"
    title = "kernel distance of features, mean and std of 100 subsets of 1000 (Bińkowski et al. 2018)"
    extractor = "inception"

    def values(self, task: Task, extractor: str) -> Values:
        made, real = task.made.features[extractor], task.features(extractor)
        size = min(SUBSET, len(made), len(real))
        if size < 2:
            raise GancliError(
                f"kid needs two images on each side, but {task.fewest()}", "leave out 'kid', or use more images"
            )
        if size < SUBSET:
            warn(
                f"kid: subsets have {size:,} images instead of {SUBSET:,}; compare kid_std only with values from "
                "subsets of this size"
            )
        found = kid_features_to_metric(
            torch.from_numpy(made),
            torch.from_numpy(real),
            kid_subsets=SUBSETS,
            kid_subset_size=size,
            rng_seed=task.seed,
            verbose=False,
        )
        mean, std = found[KEY_METRIC_KID_MEAN], found[KEY_METRIC_KID_STD]
        return {"kid": mean, "kid_std": std, "kid_x100": 100 * mean, "kid_std_x100": 100 * std}
