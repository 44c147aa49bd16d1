"""All metrics, gancli's and those of installed packages. Importable without torch.

A package adds a metric with an entry point of the group ``gancli.metrics``: its name is what ``--metrics`` takes, its
value the class, a ``gancli.metrics.base.Metric`` of that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

from gancli.errors import GancliError, nearest
from gancli.registry import load_plugin, package_of, plugins

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
"""gancli's own metrics, in the order of the documentation."""


def metric_names() -> list[str]:
    """Returns the names of all metrics: gancli's own, then those of installed packages in alphabetical order."""
    return [*BUILT_IN, *sorted(plugins(GROUP).keys() - BUILT_IN)]


def load_metric(name: str) -> type[Metric]:
    """Imports a metric.

    Raises:
        GancliError: there is no metric of this name, or two, or the package that adds it is broken.
    """
    from gancli.metrics.base import Metric

    if name not in metric_names():
        hint = nearest(name, metric_names()) or f"choose from: {', '.join(metric_names())}"
        raise GancliError(f"there is no metric {name!r}", hint)
    point = plugins(GROUP).get(name)
    if point is None:
        built_in: type[Metric] = BUILT_IN[name].load()
        return built_in
    package = package_of(point)
    if name in BUILT_IN:
        raise GancliError(
            f"{package} adds a metric {name!r}, but that is the name of one of gancli's own",
            f"uninstall {package}, or ask its authors for another name",
        )
    metric = load_plugin(point, "metric")
    if not (isinstance(metric, type) and issubclass(metric, Metric) and getattr(metric, "name", "") == name):
        raise GancliError(
            f"{point.value} of {package} is not a subclass of gancli.metrics.base.Metric with the name {name!r}",
            f"update or uninstall {package}",
        )
    return metric


def chosen_metrics(names: str, option: str = "--metrics") -> dict[str, type[Metric]]:
    """Returns the metrics in the value of an option such as ``fid,kid``, by name; see ``load_metric``."""
    try:
        return {name: load_metric(name) for name in map(str.strip, names.split(","))}
    except GancliError as error:
        raise GancliError(f"{option} {names}: {error.message}", error.hint) from error


def without_classifier(names: str, option: str) -> dict[str, type[Metric]]:
    """Returns ``chosen_metrics``; raises ``GancliError`` if one needs a classifier."""
    chosen = chosen_metrics(names, option)
    for name, metric in chosen.items():
        if metric.needs_classifier:
            raise GancliError(f"{name} needs a classifier", "use `gancli evaluate --classifier`")
    return chosen
