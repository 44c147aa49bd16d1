"""An evaluation from end to end: checks, features, one pass over each side, and a report."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from gancli.errors import GancliError, RunError
from gancli.metrics.base import Metric, Side, Task, Values
from gancli.metrics.catalogue import BUILT_IN, load_metric
from gancli.metrics.comparison import Comparison
from gancli.metrics.features import Extractor, load_extractor, sha256
from gancli.metrics.looking import look_at_made
from gancli.metrics.real import from_file, know_real
from gancli.metrics.statistics import check_finite
from gancli.version import __version__

LIBRARIES = ("torch", "torchvision", "torch-fidelity", "torchmetrics")


@dataclass(frozen=True)
class Request:
    """What to measure, and how.

    Attributes:
        metrics: by name, in the order of the report.
        device: where networks compute.
        features: value of ``--features``; empty: each metric uses its own.
        weights, classifier, stats: values of these options, if they are given.
        save_stats: whether the statistics of the real images will be saved.
        seed: of all that is drawn.
        batch: images at a time.
    """

    metrics: Mapping[str, type[Metric]]
    device: torch.device
    features: str = ""
    weights: Path | None = None
    classifier: str = ""
    stats: Path | None = None
    save_stats: bool = False
    seed: int = 0
    batch: int = 64


@dataclass(frozen=True)
class Report:
    """The result of an evaluation.

    Attributes:
        metrics: values by metric and name.
        failed: why the other metrics have no values.
        better: by metric, see ``Metric.better``.
        protocol: how the values were computed, as plain data.
    """

    metrics: dict[str, Values]
    failed: list[RunError]
    better: dict[str, str]
    protocol: dict[str, Any]


class Evaluation:
    """Measures images, most metrics against real ones.

    Args:
        progress: as ``console.progress``.

    Raises:
        GancliError: a metric cannot measure these images, or something that it needs is missing. No image has been made
            or read yet.
    """

    def __init__(self, request: Request, comparison: Comparison, progress: Callable[[str, int], Any]) -> None:
        self.request, self.comparison = request, comparison
        if request.weights is not None and not request.features:
            raise GancliError(f"--weights {request.weights}: needs --features", "--features torchvision:NAME")
        kinds, real = request.metrics, comparison.real
        for name, kind in kinds.items():
            if comparison.kind not in kind.kinds:
                possible = [other for other in BUILT_IN if comparison.kind in load_metric(other).kinds]
                raise GancliError(f"{name} cannot judge {comparison.kind}", f"--metrics {','.join(possible)}")
            if kind.needs_real and real is None and request.stats is None:
                hint = "--data SOURCE" if kind.needs_real_images else "--data SOURCE, or --stats FILE"
                what = "points" if comparison.kind == "points" else "images"
                raise GancliError(f"{name} compares with real {what}", hint)
            if kind.needs_real_images and real is None:
                raise GancliError(f"{name} looks at the real images, so --stats is not enough", "--data SOURCE")
            if kind.needs_classifier and not request.classifier:
                raise GancliError(f"{name} needs a classifier", f"--classifier FILE, or leave out {name!r}")
            if kind.by_class:
                comparison.check_classes(name)
        self.extractors = {name: request.features or kind.extractor for name, kind in kinds.items() if kind.extractor}
        """By metric that uses features."""
        classifier = None
        if request.classifier:
            classifier = load_extractor(request.classifier, request.device, option="--classifier")
        names = dict.fromkeys(self.extractors.values())
        self.task = Task(
            Side(comparison.made),
            None if real is None else Side(real),
            known={},
            paired=comparison.paired,
            extractors={name: load_extractor(name, request.device, request.weights) for name in names},
            classifier=classifier,
            classes=comparison.classes,
            seed=request.seed,
            batch=request.batch,
            device=request.device,
            progress=progress,
        )
        self.needed: dict[str, bool] = {}
        """By extractor that sees the real images: whether the features of each are needed, not only their moments."""
        for name, extractor in self.extractors.items():
            if kinds[name].needs_real:
                self.needed[extractor] = self.needed.get(extractor, False) or kinds[name].keeps_features
        if request.save_stats and len(self.needed) != 1:
            raise GancliError(
                "--save-stats writes the statistics of one kind of features, but "
                + (f"the metrics need {' and '.join(self.needed)}" if self.needed else "no metric needs any"),
                "--features NAME, and a metric such as fid",
            )
        if request.stats is not None:
            self.task.known = from_file(request.stats, self.needed, self.task, comparison, kinds.values())
        if real is not None and len(real) < 2:
            raise GancliError(f"{real.name} has only one image, but metrics compare several", "--data SOURCE with more")
        self.metrics = {name: kind(self.task) for name, kind in kinds.items()}
        for option, given, used in (
            ("--features", request.features, self.task.extractors),
            ("--classifier", request.classifier, any(kind.needs_classifier for kind in kinds.values())),
            ("--stats", request.stats, self.needed),
        ):
            if given and not used:
                raise GancliError(f"{option} {given}: not used by {' and '.join(kinds)}", f"leave {option} out")

    def run(self) -> Report:
        """Looks at all images once, and returns the values.

        Raises:
            GancliError: the images do not suit a metric.
            RunError: no metric has a finite value.
        """
        task, metrics, real = self.task, list(self.metrics.values()), self.comparison.real
        look_at_made(task, metrics, real if self.comparison.paired else None)
        if real is not None:
            know_real(task, self.comparison, self.needed, metrics)
        for extractor, known in task.known.items():
            width, made = len(known.moments.mean), task.made.features[extractor].shape[1]
            if width != made:
                raise GancliError(
                    f"the statistics are of {width} features, but {extractor} has {made}", "choose other --features"
                )
            if not known.moments.covariance.any():
                raise RunError(
                    f"all real images have the same features of {extractor}, so nothing can be compared with them",
                    "use other images, or other --features",
                )
        values: dict[str, Values] = {}
        failed: list[RunError] = []
        for name, metric in self.metrics.items():
            try:
                values[name] = check_finite(metric.values(task, self.extractors.get(name, "")))
            except RunError as error:  # the other metrics still have values
                failed.append(error)
        if not values:
            raise failed[0]
        better = {name: metric.better for name, metric in self.metrics.items()}
        return Report(values, failed, better, _protocol(task, self.request, self.extractors, self.comparison))

    def save_statistics(self, path: Path) -> None:
        """Writes the statistics of the real images, after ``run``."""
        (known,) = self.task.known.values()
        known.save(path)


def _protocol(task: Task, request: Request, extractors: Mapping[str, str], comparison: Comparison) -> dict[str, Any]:
    """Returns how the values were computed, as plain data."""

    def stated(extractor: Extractor) -> dict[str, Any]:
        return {"name": extractor.name, "preprocessing": extractor.preprocessing, "weights": extractor.weights}

    real: dict[str, Any] | None = None
    if task.real is not None:
        count = task.real.count or len(task.real.images)
        real = {"name": task.real.images.name, "split": comparison.split, "images": count}
        real |= {"preparation": comparison.preparation}
    if request.stats is not None:
        known = next(iter(task.known.values()))
        of = {key: known.protocol[key] for key in ("name", "split", "images", "preparation") if key in known.protocol}
        real = {**(real or {}), "statistics": {"file": str(request.stats), "sha256": sha256(request.stats), **of}}
    return {
        "features": {name: stated(task.extractors[extractor]) for name, extractor in extractors.items()},
        "classifier": None if task.classifier is None else stated(task.classifier),
        "colour": "8 bits, sRGB; grey is repeated" if comparison.kind == "image" else None,
        "made": {"name": task.made.images.name, "images": task.made.count, **comparison.about},
        "real": real,
        "seed": request.seed,
        "device": str(request.device),
        "versions": {
            "gancli": __version__,
            "python": platform.python_version(),
            **{name: import_module(name.replace("-", "_")).__version__ for name in LIBRARIES},
        },
    }
