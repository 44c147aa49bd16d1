"""An evaluation from end to end: which images, which features, one pass over either side, and a report."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gancli.console import warn
from gancli.errors import GancliError, RunError, nearest
from gancli.home import home
from gancli.metrics.accuracy import Accuracy
from gancli.metrics.base import Metric, Side, Task, Values
from gancli.metrics.comparison import Comparison
from gancli.metrics.coverage import Coverage
from gancli.metrics.features import Extractor, load_extractor, sha256
from gancli.metrics.fid import FID, ClassFID
from gancli.metrics.images import ImageSet, Part, Stored
from gancli.metrics.inception_score import InceptionScore
from gancli.metrics.kid import KID
from gancli.metrics.path_length import PathLength
from gancli.metrics.precision_recall import PrecisionRecall
from gancli.metrics.separability import Separability
from gancli.metrics.statistics import Known, Spool, check_finite, moments
from gancli.metrics.structural import MSSSIM, PSNR, SSIM
from gancli.metrics.swd import SWD
from gancli.version import __version__

METRICS: dict[str, type[Metric]] = {
    kind.name: kind
    for kind in (
        *(FID, KID, InceptionScore, PrecisionRecall, PathLength, SSIM, MSSSIM, PSNR, SWD, Separability),
        *(ClassFID, Accuracy, Coverage),
    )
}


STATED = ("name", "split", "images", "preparation")
"""What statistics say of the images that they are of."""


@dataclass(frozen=True)
class Request:
    """What is to be measured, and how.

    Attributes:
        metrics: names, in the order of the report.
        features: what ``--features`` names; empty: each metric takes its own.
        weights: of these features.
        classifier: what ``--classifier`` names.
        stats: statistics of the real images, instead of these.
        save_stats: whether those of the real images will be saved.
        seed, batch, device: as in ``Task``.
    """

    metrics: Sequence[str]
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
    """What came out of an evaluation.

    Attributes:
        metrics: values by metric and name.
        failed: why there are no values of the other metrics.
        better: by metric, whether a lower or a higher first value is better; "" where neither is.
        protocol: how they came about, as plain values.
    """

    metrics: dict[str, Values]
    failed: list[RunError]
    better: dict[str, str]
    protocol: dict[str, Any]


def chosen_metrics(names: str, option: str = "--metrics") -> list[str]:
    """Returns the metrics that ``fid,kid``, the value of an option, names.

    Raises:
        GancliError: one is unknown, or there is none.
    """
    chosen = list(dict.fromkeys(name.strip() for name in names.split(",")))
    for name in chosen:
        if name not in METRICS:
            raise GancliError(
                f"{option} {names}: there is no metric {name!r}",
                nearest(name, METRICS) or f"known are: {', '.join(METRICS)}",
            )
    return chosen


def without_classifier(names: str, option: str) -> None:
    """Raises ``GancliError`` where a metric is unknown or needs a classifier, which only ``evaluate`` takes."""
    for name in chosen_metrics(names, option):
        if METRICS[name].needs_classifier:
            raise GancliError(f"{name} needs a classifier", "gancli evaluate has --classifier")


class Evaluation:
    """Measures images against real ones.

    Args:
        request: what is to be measured.
        comparison: of what.
        progress: a context manager that shows how far some work is, ``console.progress``.

    Raises:
        GancliError: a metric cannot be measured of these images, or what it needs is not here. No image has been made
            or read by then.
    """

    def __init__(self, request: Request, comparison: Comparison, progress: Callable[[str, int], Any]) -> None:
        self.request, self.comparison = request, comparison
        if request.weights is not None and not request.features:
            raise GancliError(f"--weights {request.weights}: of which network?", "--features torchvision:NAME")
        self.wanted = {
            name: (request.features or METRICS[name].extractor) if METRICS[name].extractor else ""
            for name in request.metrics
        }
        real = comparison.real
        for name in self.wanted:
            kind = METRICS[name]
            if kind.needs_real and real is None and request.stats is None:
                raise GancliError(f"{name} compares with real images", "--data SOURCE, or --stats FILE")
            if kind.needs_real_images and real is None:
                raise GancliError(f"{name} looks at the real images, so that --stats is not enough", "--data SOURCE")
            if kind.needs_classifier and not request.classifier:
                raise GancliError(f"{name} needs a classifier", f"--classifier FILE, or leave {name} out")
            if kind.by_class:
                comparison.check_classes(name)
        extractors = dict.fromkeys(name for name in self.wanted.values() if name)
        self.task = Task(
            Side(comparison.made),
            None if real is None else Side(real),
            known={},
            paired=comparison.paired,
            extractors={name: load_extractor(name, request.device, request.weights) for name in extractors},
            classifier=(
                load_extractor(request.classifier, request.device, option="--classifier")
                if request.classifier
                else None
            ),
            classes=comparison.classes,
            seed=request.seed,
            batch=request.batch,
            device=request.device,
            progress=progress,
        )
        self.needed = _needed_features(self.wanted)
        if request.save_stats and len(self.needed) != 1:
            raise GancliError(
                "--save-stats writes the statistics of one kind of features, but "
                + (f"here are {' and '.join(self.needed)}" if self.needed else "no metric needs any"),
                "--features NAME, and a metric such as fid",
            )
        if request.stats is not None:
            self.task.known = _from_file(request.stats, self.needed, self.task, comparison, self.wanted)
        self.metrics = {name: METRICS[name](self.task) for name in self.wanted}
        if request.features and not any(self.wanted.values()):
            raise GancliError(
                f"--features {request.features}: {' and '.join(self.wanted)} looks at no features",
                "leave --features out",
            )
        for option, given, needed in (
            ("--classifier", request.classifier, any(METRICS[name].needs_classifier for name in self.wanted)),
            ("--stats", request.stats, self.needed),
        ):
            if given and not needed:
                raise GancliError(
                    f"{option} {given}: {' and '.join(self.wanted)} does not look at it", f"leave {option} out"
                )

    def run(self) -> Report:
        """Looks at all images, once.

        Raises:
            GancliError: the images do not suit a metric.
            RunError: no result is a number.
        """
        task, metrics, real = self.task, list(self.metrics.values()), self.comparison.real
        _look_at_made(task, metrics, real if self.comparison.paired else None)
        if real is not None:
            _know_real(task, self.comparison, self.needed, metrics)
        for extractor, known in task.known.items():
            width, made = len(known.moments.mean), task.made.features[extractor].shape[1]
            if width != made:
                raise GancliError(
                    f"the statistics are of {width} features, but {extractor} has {made}",
                    "they were made with other --features",
                )
            if not known.moments.covariance.any():
                raise RunError(
                    f"all real images have the same features of {extractor}, with which nothing can be compared",
                    "other images, or other --features",
                )
        values: dict[str, Values] = {}
        failed: list[RunError] = []
        for name, metric in self.metrics.items():
            try:
                values[name] = check_finite(metric.values(task, self.wanted[name]))
            except RunError as error:  # which costs the others nothing
                failed.append(error)
        if not values:
            raise failed[0]
        better = {name: metric.better for name, metric in self.metrics.items()}
        return Report(values, failed, better, _protocol(task, self.request, self.wanted, self.comparison))

    def save_statistics(self, path: Path) -> None:
        """Writes the statistics of the real images, after ``run``."""
        (known,) = self.task.known.values()
        known.save(path)


def _needed_features(wanted: Mapping[str, str]) -> dict[str, bool]:
    """Returns which features of the real images are needed, and whether of each image and not only their moments."""
    needed: dict[str, bool] = {}
    for name, extractor in wanted.items():
        if extractor and METRICS[name].needs_real:
            needed[extractor] = needed.get(extractor, False) or METRICS[name].keeps_features
    return needed


def _look_at_made(task: Task, metrics: Sequence[Metric], pairs: Stored | None) -> None:
    made = task.made
    seeing = any(type(metric).see_made is not Metric.see_made for metric in metrics)
    if not seeing and not task.extractors:
        made.count = len(made.images)  # a metric that makes images of its own
        return

    def see(part: Part, pair: Part | None) -> None:
        for metric in metrics:
            metric.see_made(part, pair)

    for name, (features, logits) in _look(
        task, made, _with_pairs(made.images, pairs, task.batch), see, task.extractors
    ).items():
        made.features[name] = features.read()
        if logits.read().size:
            made.logits[name] = logits.read()


def _look(
    task: Task,
    side: Side,
    parts: Iterable[tuple[Part, Part | None]],
    see: Callable[[Part, Part | None], None],
    extractors: Iterable[str],
) -> dict[str, tuple[Spool, Spool]]:
    """Shows the images of a side to ``see``, and returns their features and logits by extractor."""
    spools = {name: (Spool(), Spool()) for name in extractors}
    labels: list[NDArray[np.int64]] = []
    side.count = 0
    with task.progress(f"looking at {side.images.name}", len(side.images)) as bar:
        for part, pair in parts:
            see(part, pair)
            _extract(task, part, spools)
            labels += [] if part.labels is None else [part.labels]
            side.count += len(part)
            bar.advance(len(part))
    if not side.count:
        reasons = "".join(f"\n  {name}: {reason}" for name, reason in list(_bad(side.images).items())[:3])
        raise GancliError(f"no image of {side.images.name} can be read{reasons}")
    _check_count(side)
    side.labels = np.concatenate(labels) if labels else None
    return spools


def _with_pairs(made: ImageSet, real: Stored | None, size: int) -> Iterator[tuple[Part, Part | None]]:
    """Yields parts of the images to judge, each with its pairs where there are some."""
    if real is None:
        for part in made.parts(size):
            yield part, None
        return
    others, waiting = real.parts(size), dict[int, NDArray[np.uint8]]()
    reached = -1
    for part in made.parts(size):
        while reached < part.places[-1] and (other := next(others, None)) is not None:
            waiting |= zip(other.places.tolist(), other.pixels, strict=True)
            reached = int(other.places[-1])
        # What cannot be read is missing on one side.
        both = [row for row, place in enumerate(part.places.tolist()) if place in waiting]
        pairs = [waiting[int(place)] for place in part.places[both]]
        waiting = {place: pixels for place, pixels in waiting.items() if place > part.places[-1]}
        for pair in pairs:
            if pair.shape != part.pixels.shape[1:]:
                (height, width), (other_height, other_width) = part.pixels.shape[1:3], pair.shape[:2]
                raise GancliError(
                    f"an image of {made.name} has {width}x{height} pixels, but its pair {other_width}x{other_height}"
                )
        if both:
            places, labels = part.places[both], None if part.labels is None else part.labels[both]
            yield Part(places, part.pixels[both], labels), Part(places, np.stack(pairs))


def _extract(task: Task, part: Part, spools: Mapping[str, tuple[Spool, Spool]]) -> None:
    if not spools:
        return
    images = part.rgb().to(task.device)
    for name, (features, logits) in spools.items():
        said = task.extractors[name](images)
        features.add(said.values.numpy())
        if said.logits is not None:
            logits.add(said.logits.numpy())


def _bad(images: ImageSet) -> dict[str, str]:
    found: dict[str, str] = getattr(images, "bad", {})
    return found


def _check_count(side: Side) -> None:
    if side.count < 2:
        raise GancliError(f"{side.images.name} has {side.count} image that can be read; metrics compare several")


def _know_real(task: Task, comparison: Comparison, needed: Mapping[str, bool], metrics: Sequence[Metric]) -> None:
    """Finds or makes the statistics of the real images, and shows these to metrics that want to see them."""
    real = comparison.real
    assert real is not None
    assert task.real is not None
    missing = {}
    for extractor, keeps in needed.items():
        if extractor in task.known:  # --stats said them
            continue
        # What holds the features has the moments, too.
        places = [_cache(task.extractors[extractor], real, each) for each in dict.fromkeys((keeps, True))]
        found = _kept(places)
        if found is None:
            missing[extractor] = places[0]
        else:
            task.known[extractor] = found
            task.real.count = found.moments.images
            real.bad.update(found.protocol.get("unreadable", {}))
    watching = [metric for metric in metrics if type(metric).see_real is not Metric.see_real]
    if missing or watching:
        _look_at_real(task, watching, {extractor: needed[extractor] for extractor in missing}, comparison)
    for extractor, path in missing.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            task.known[extractor].save(path)
        except OSError as error:
            warn(f"statistics of the real images are not kept for the next time: {path}: {error.strerror}")


def _kept(places: Sequence[Path]) -> Known | None:
    """Returns statistics of an earlier evaluation, if there are any."""
    for path in places:
        if path.is_file():
            try:
                return Known.load(path)
            except GancliError as error:
                warn(f"made again: {error.message}")
    return None


def _from_file(
    path: Path, needed: Mapping[str, bool], task: Task, comparison: Comparison, metrics: Iterable[str]
) -> dict[str, Known]:
    """Returns the statistics that ``--stats`` names, if they are of the features that are needed."""
    try:
        known = Known.load(path)
    except GancliError as error:
        raise GancliError(f"--stats {error.message}", error.hint) from error
    if len(needed) > 1:
        raise GancliError(
            f"--stats {path} holds one kind of features, but the metrics need {' and '.join(needed)}",
            "--features NAME takes one for all",
        )
    for extractor, keeps in needed.items():
        features, here = known.protocol.get("features"), task.extractors[extractor].key
        if features not in (None, here):
            raise GancliError(f"--stats {path}: these statistics are of other features: {features}", f"here are {here}")
        classes = known.protocol.get("classes")
        if any(METRICS[name].by_class for name in metrics) and classes not in (None, list(comparison.classes)):
            raise GancliError(
                f"--stats {path}: these images have the classes {', '.join(classes)}, but those to judge "
                f"{', '.join(comparison.classes)}",
                "statistics of data with the same classes",
            )
        prepared = known.protocol.get("preparation")
        if prepared not in (None, comparison.preparation):
            warn(f"--stats {path}: these images were {prepared}, but those to judge are {comparison.preparation}")
        if keeps and known.features is None:
            raise GancliError(
                f"--stats {path} holds mean and covariance only, but the features of every image are needed",
                "only fid does without them",
            )
    return dict.fromkeys(needed, known)


def _look_at_real(task: Task, watching: Sequence[Metric], missing: Mapping[str, bool], comparison: Comparison) -> None:
    real = task.real
    assert real is not None

    def see(part: Part, pair: Part | None) -> None:
        for metric in watching:
            metric.see_real(part)

    parts = ((part, None) for part in real.images.parts(task.batch))
    for name, (spool, _) in _look(task, real, parts, see, missing).items():
        features, kept = spool.read(), missing[name]
        task.known[name] = Known(
            moments(features),
            features if kept else None,
            real.labels if kept else None,
            {
                "features": task.extractors[name].key,
                "name": real.images.name,
                "split": comparison.split,
                "images": real.count,
                "preparation": comparison.preparation,
                "classes": comparison.classes,
                "unreadable": _bad(real.images),
            },
        )


def _cache(extractor: Extractor, images: Stored, keeps: bool) -> Path:
    """Returns where the statistics of images are kept between evaluations."""
    what = f"{extractor.key}\0{images.key}\0{'features' if keeps else 'moments'}"
    return (
        home()
        / "statistics"
        / f"{hashlib.blake2b(what.encode(errors='surrogateescape'), digest_size=16).hexdigest()}.npz"
    )


def _protocol(task: Task, request: Request, wanted: Mapping[str, str], comparison: Comparison) -> dict[str, Any]:
    """Says how the numbers came about, as plain values."""
    import torch_fidelity
    import torchmetrics
    import torchvision

    def stated(extractor: Extractor) -> dict[str, Any]:
        return {"name": extractor.name, "preprocessing": extractor.preprocessing, "weights": extractor.weights}

    real: dict[str, Any] | None = None
    if task.real is not None:
        count = task.real.count or len(task.real.images)
        real = {"name": task.real.images.name, "split": comparison.split, "images": count}
        real["preparation"] = comparison.preparation
    if request.stats is not None:
        known = next(iter(task.known.values()), None)
        of = {} if known is None else {key: value for key, value in known.protocol.items() if key in STATED}
        real = {**(real or {}), "statistics": {"file": str(request.stats), "sha256": sha256(request.stats), **of}}
    return {
        "features": {name: stated(task.extractors[extractor]) for name, extractor in wanted.items() if extractor},
        "classifier": None if task.classifier is None else stated(task.classifier),
        "colour": "8 bits, sRGB; grey is repeated",
        "made": {"name": task.made.images.name, "images": task.made.count, **comparison.about},
        "real": real,
        "seed": request.seed,
        "device": str(request.device),
        "versions": {
            "gancli": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "torch-fidelity": torch_fidelity.__version__,
            "torchmetrics": torchmetrics.__version__,
        },
    }
