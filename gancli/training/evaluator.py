"""Measures a model while it trains (``train.evaluate``). Imports the libraries of the metrics, which takes seconds."""

from __future__ import annotations

from pathlib import Path

import torch

from gancli.architectures.base import Architecture, LatentModel, Translator
from gancli.console import note, progress
from gancli.data.source import Source
from gancli.errors import GancliError
from gancli.generation.latents import Renderer
from gancli.metrics.comparison import Comparison, of_latents, of_translator
from gancli.metrics.evaluation import Evaluation, Request, chosen_metrics, without_classifier
from gancli.schema import EvaluateConfig, RunConfig
from gancli.training.trainer import Evaluator


def make_evaluator(
    config: EvaluateConfig, run: RunConfig, architecture: Architecture, source: Source, device: torch.device
) -> Evaluator:
    """Makes sure that a metric can be measured, and returns what measures it.

    Args:
        config: what is to be measured.
        run: the run's configuration.
        architecture: it is measured with the networks that it has at the time, on ``device``.
        source: the real images.
        device: where networks compute.

    Raises:
        GancliError: the metric is unknown, cannot be measured of this architecture, or lacks what it needs.
    """
    without_classifier(config.metric, "--eval")
    metric, *more = chosen_metrics(config.metric)
    if more:
        raise GancliError(f"--eval {config.metric}: a run is measured by one metric", f"--eval {metric}:{config.every}")
    name, data, seed = run.architecture, run.data, run.train.seed
    shapes = type(architecture).input_shapes(run.model)
    weights = None if config.weights is None else Path(config.weights)
    request = Request([metric], device, config.features or "", weights, seed=seed)
    comparison: Comparison
    if isinstance(architecture, LatentModel):
        renderer = Renderer(architecture, device, noise="random")
        (shape,) = shapes.values()
        classes = source.classes if architecture.classes else ()
        comparison = of_latents(name, renderer, source, data, shape, n=config.images, seed=seed, classes=classes)
    elif isinstance(architecture, Translator):
        to = architecture.targets()[-1]
        comparison = of_translator(name, architecture, to, source, data, shapes, device, n=config.images, seed=seed)
    else:
        raise GancliError(f"train.evaluate: {name} makes no images that could be measured", "leave train.evaluate out")
    # Says now, and not after some thousand steps, what is missing.
    better = Evaluation(request, comparison, progress).metrics[metric].better
    if not better:
        note(f"of {metric} neither lower nor higher is better: no best checkpoint is kept")

    def measure() -> dict[str, float]:
        (values,) = Evaluation(request, comparison, progress).run().metrics.values()
        return values

    return Evaluator(better, measure)
