"""Measures a model while it trains (``train.evaluate``). Imports the libraries of the metrics, which takes seconds."""

from __future__ import annotations

from pathlib import Path

import torch

from gancli.architectures.base import Architecture
from gancli.console import note, progress
from gancli.data.source import Source
from gancli.errors import GancliError
from gancli.metrics.catalogue import without_classifier
from gancli.metrics.comparison import of_model
from gancli.metrics.evaluation import Evaluation, Request
from gancli.schema import EvaluateConfig, RunConfig
from gancli.training.trainer import Evaluator


def make_evaluator(
    config: EvaluateConfig, run: RunConfig, architecture: Architecture, source: Source, device: torch.device
) -> Evaluator:
    """Checks that a metric can be measured, and returns the evaluator.

    Args:
        config: what to measure.
        run: the run's configuration.
        architecture: the model, on ``device``; measured with the weights that it has at the time.
        source: the real images.
        device: where networks compute.

    Raises:
        GancliError: the metric is unknown, does not suit this architecture, or something that it needs is missing.
    """
    metrics = without_classifier(config.metric, "--eval")
    metric, *more = metrics
    if more:
        raise GancliError(f"--eval {config.metric}: a run is measured by one metric", f"--eval {metric}:{config.every}")
    seed = run.train.seed
    weights = None if config.weights is None else Path(config.weights)
    request = Request(metrics, device, config.features or "", weights, seed=seed)
    comparison = of_model(run.architecture, architecture, source, run.data, device, n=config.images, seed=seed)
    # Raised now, and not after some thousand steps.
    better = Evaluation(request, comparison, progress).metrics[metric].better
    if not better:
        note(f"{metric} is neither better lower nor better higher, so no best checkpoint is kept")

    def measure() -> dict[str, float]:
        (values,) = Evaluation(request, comparison, progress).run().metrics.values()
        return values

    return Evaluator(better, measure)
