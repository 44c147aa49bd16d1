"""Fréchet distance of features (Heusel et al. 2017, arXiv 1706.08500, equation 6)."""

from __future__ import annotations

import numpy as np
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

from gancli.console import warn
from gancli.errors import GancliError
from gancli.metrics.base import Metric, Task, Values
from gancli.metrics.statistics import Moments, moments


def frechet(one: Moments, other: Moments) -> float:
    """Returns |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of two Gaussians."""
    pair = [{"mu": side.mean, "sigma": side.covariance} for side in (one, other)]
    return float(fid_statistics_to_metric(*pair, verbose=False)[KEY_METRIC_FID])


def _warn_of_few(name: str, count: int, what: str, width: int) -> None:
    if 0 < count <= width:
        warn(
            f"{name}: {count:,} {what} are too few for {width:,} features, so the value is too high; use more than "
            f"{width:,}, or compare only with values from the same number of images"
        )


class FID(Metric):
    name = "fid"
    title = "Fréchet distance of features (Heusel et al. 2017)"
    extractor = "inception"
    keeps_features = False

    def values(self, task: Task, extractor: str) -> Values:
        known = task.known[extractor].moments
        made = task.made.features[extractor]
        for count, what in ((len(made), "generated images"), (known.images, "real images")):
            _warn_of_few("fid", count, what, made.shape[1])
        return {"fid": frechet(moments(made), known)}


class ClassFID(Metric):
    name = "class-fid"
    title = "Fréchet distance within each class, and its mean"
    extractor = "inception"
    by_class = True

    def values(self, task: Task, extractor: str) -> Values:
        real, made = task.features(extractor), task.made.features[extractor]
        classes = task.known[extractor].labels
        if classes is None or task.made.labels is None:
            without = "the real side" if classes is None else task.made.images.name
            raise GancliError(f"class-fid: {without} has no classes", "leave out 'class-fid'")
        distances, fewest = {}, len(real)
        for label, name in enumerate(task.classes):
            sides = [features[labels == label] for features, labels in ((made, task.made.labels), (real, classes))]
            if min(map(len, sides)) < 2:
                raise GancliError(
                    f"class-fid: a side has fewer than two images of class {name}", "use more images (-n)"
                )
            fewest = min(fewest, *map(len, sides))
            distances[f"class_fid[{name}]"] = frechet(*map(moments, sides))
        _warn_of_few("class-fid", fewest, "images of a class", real.shape[1])
        return {"class_fid": float(np.mean(list(distances.values()))), **distances}
