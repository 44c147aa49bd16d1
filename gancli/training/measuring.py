"""Measures a model while it trains (``train.evaluate``). It imports the metrics' libraries, which takes seconds."""

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
        architecture: the model, on ``device``; each measurement uses its current weights.
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
    # This raises errors now, and not after thousands of steps.
    better = Evaluation(request, comparison, progress).metrics[metric].better
    if not better:
        note(f"neither low nor high values of {metric} are better, so no best checkpoint is kept")

    def measure() -> dict[str, float]:
        (values,) = Evaluation(request, comparison, progress).run().metrics.values()
        return values

    return Evaluator(better, measure)
