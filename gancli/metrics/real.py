"""Statistics of the real images: from ``--stats``, kept by an earlier evaluation, or computed now and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from gancli.console import warn
from gancli.errors import GancliError
from gancli.home import home
from gancli.metrics.base import Metric, Task
from gancli.metrics.comparison import Comparison
from gancli.metrics.features import Extractor
from gancli.metrics.images import Part, Stored
from gancli.metrics.looking import look
from gancli.metrics.statistics import Known, moments

NEGATIVE = 1e-4
"""Part of the largest variance that rounding to 32 bits may put below 0."""


def know_real(task: Task, comparison: Comparison, needed: Mapping[str, bool], metrics: Sequence[Metric]) -> None:
    """Finds or computes statistics of the real images for ``task.known``, and shows the images to the metrics.

    ``needed`` says by extractor whether the features of every image are needed, not only their moments.
    """
    real, images = task.real, comparison.real
    assert real is not None
    assert images is not None
    missing: dict[str, Path] = {}
    for extractor, keeps in needed.items():
        if extractor in task.known:  # given by --stats
            continue
        # A file with the features has their moments, too.
        places = [_place(task.extractors[extractor], images, each) for each in dict.fromkeys((keeps, True))]
        if (found := _kept(places)) is None:
            missing[extractor] = places[0]
        else:
            task.known[extractor] = found
            real.count = found.moments.images
            images.bad.update(found.protocol.get("unreadable", {}))
    watching = [metric for metric in metrics if type(metric).see_real is not Metric.see_real]
    if not missing and not watching:
        return

    def see(part: Part, pair: Part | None) -> None:
        for metric in watching:
            metric.see_real(part)

    parts = ((part, None) for part in images.parts(task.batch))
    for extractor, (spool, _) in look(task, real, parts, see, missing).items():
        features, keeps, path = spool.read(), needed[extractor], missing[extractor]
        known = task.known[extractor] = Known(
            moments(features),
            features if keeps else None,
            real.labels if keeps else None,
            {
                "features": task.extractors[extractor].key,
                "name": images.name,
                "split": comparison.split,
                "images": real.count,
                "preparation": comparison.preparation,
                "classes": comparison.classes,
                "unreadable": images.bad,
            },
        )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            known.save(path)
        except OSError as error:
            warn(f"cannot keep the statistics of the real images for the next time: {path}: {error.strerror}")


def from_file(
    path: Path, needed: Mapping[str, bool], task: Task, comparison: Comparison, metrics: Iterable[type[Metric]]
) -> dict[str, Known]:
    """Returns the statistics of the file that ``--stats`` names, by extractor.

    Raises:
        GancliError: it cannot be read, or does not suit the metrics: other features or classes, or no features of
            single images.
    """
    try:
        known = Known.load(path)
    except GancliError as error:
        raise GancliError(f"--stats {error.message}", error.hint) from error
    eigenvalues = np.linalg.eigvalsh(known.moments.covariance)
    if not np.allclose(known.moments.covariance, known.moments.covariance.T) or (
        eigenvalues[0] < -NEGATIVE * max(1e-9, eigenvalues[-1])
    ):
        raise GancliError(f"--stats {path}: sigma is not the covariance of anything: it has negative variances")
    if len(needed) > 1:
        raise GancliError(
            f"--stats {path} holds one kind of features, but the metrics need {' and '.join(needed)}",
            "--features NAME uses the same for all metrics",
        )
    for extractor, keeps in needed.items():
        features, here = known.protocol.get("features"), task.extractors[extractor].key
        if features not in (None, here):
            raise GancliError(
                f"--stats {path}: these statistics are of other features: {features}", f"this evaluation needs {here}"
            )
        classes = known.protocol.get("classes")
        if any(metric.by_class for metric in metrics) and classes not in (None, list(comparison.classes)):
            ours = ", ".join(comparison.classes)
            raise GancliError(
                f"--stats {path}: these images have the classes {', '.join(classes)}, but those to judge {ours}",
                "use statistics of data with the same classes",
            )
        prepared = known.protocol.get("preparation")
        if prepared not in (None, comparison.preparation):
            warn(f"--stats {path}: these images were {prepared}, but those to judge are {comparison.preparation}")
        if keeps and known.features is None:
            raise GancliError(
                f"--stats {path} holds mean and covariance, but the metrics need the features of every image",
                "only fid works without them",
            )
    return dict.fromkeys(needed, known)


def _kept(places: Sequence[Path]) -> Known | None:
    """Returns statistics of an earlier evaluation, if there are any."""
    for path in filter(Path.is_file, places):
        try:
            return Known.load(path)
        except GancliError as error:
            warn(f"statistics of the real images are computed again: {error.message}")
    return None


def _place(extractor: Extractor, images: Stored, keeps: bool) -> Path:
    """Returns where statistics of images are kept between evaluations."""
    what = f"{extractor.key}\0{images.key}\0{'features' if keeps else 'moments'}"
    digest = hashlib.blake2b(what.encode(errors="surrogateescape"), digest_size=16)
    return home() / "statistics" / f"{digest.hexdigest()}.npz"
