"""Which metrics there are: those of gancli and those of installed packages. Importable without torch.

A package adds a metric with an entry point of the group ``gancli.metrics``: its name is what ``--metrics`` takes, its
value the class, a ``gancli.metrics.base.Metric`` of that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from gancli.errors import GancliError, nearest

if TYPE_CHECKING:
    from gancli.metrics.base import Metric

GROUP = "gancli.metrics"

BUILT_IN: Mapping[str, EntryPoint] = {
    name: EntryPoint(name, f"gancli.metrics.{value}", GROUP)
    for name, value in {
        "fid": "fid:FID",
        "kid": "kid:KID",
        "is": "inception_score:InceptionScore",
        "prc": "precision_recall:PrecisionRecall",
        "ppl": "path_length:PathLength",
        "ssim": "structural:SSIM",
        "ms-ssim": "structural:MSSSIM",
        "psnr": "structural:PSNR",
        "swd": "swd:SWD",
        "separability": "separability:Separability",
        "class-fid": "fid:ClassFID",
        "accuracy": "accuracy:Accuracy",
        "coverage": "coverage:Coverage",
    }.items()
}
"""gancli's own metrics, in the order of the documentation. Their modules import torch and torch-fidelity, so each is
imported when it is asked for."""


@cache
def _third_party() -> list[EntryPoint]:
    return sorted(entry_points(group=GROUP), key=lambda point: (point.name, _package(point)))


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module.partition(".")[0]


def metric_names() -> list[str]:
    """Returns the names of all metrics: gancli's own, then those of installed packages in alphabetical order."""
    return list(dict.fromkeys([*BUILT_IN, *(point.name for point in _third_party())]))


def load_metric(name: str) -> type[Metric]:
    """Imports a metric.

    Raises:
        GancliError: there is no metric of this name or more than one, or the package that adds it is broken.
    """
    from gancli.metrics.base import Metric

    points = [point for point in (*BUILT_IN.values(), *_third_party()) if point.name == name]
    if not points:
        raise GancliError(
            f"there is no metric {name!r}",
            nearest(name, metric_names()) or f"known are: {', '.join(metric_names())}",
        )
    point, *others = points
    package = _package(point)
    if others:
        raise GancliError(
            f"{package} and {' and '.join(map(_package, others))} both define a metric {name!r}",
            f"uninstall {_package(others[-1])}, or ask its authors for another name",
        )
    try:
        metric = point.load()
    except Exception as error:
        if name in BUILT_IN:
            raise
        raise GancliError(
            f"the metric {name!r} of {package} cannot be imported: {error}", f"update or uninstall {package}"
        ) from error
    if not (isinstance(metric, type) and issubclass(metric, Metric) and getattr(metric, "name", "") == name):
        raise GancliError(
            f"{point.value}, the metric {name!r} of {package}, is not a subclass of gancli.metrics.base.Metric whose "
            f"name is {name!r}",
            f"update or uninstall {package}",
        )
    return metric


def chosen_metrics(names: str, option: str = "--metrics") -> dict[str, type[Metric]]:
    """Returns the metrics that ``fid,kid``, the value of an option, lists, by name.

    Raises:
        GancliError: see ``load_metric``.
    """
    chosen = {}
    for name in map(str.strip, names.split(",")):
        try:
            chosen[name] = load_metric(name)
        except GancliError as error:
            raise GancliError(f"{option} {names}: {error.message}", error.hint) from error
    return chosen


def without_classifier(names: str, option: str) -> dict[str, type[Metric]]:
    """Returns ``chosen_metrics`` for a command without ``--classifier``.

    Raises:
        GancliError: a metric needs a classifier; or see ``load_metric``.
    """
    chosen = chosen_metrics(names, option)
    for name, metric in chosen.items():
        if metric.needs_classifier:
            raise GancliError(f"{name} needs a classifier", "gancli evaluate has --classifier")
    return chosen
