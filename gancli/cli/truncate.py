"""``gancli truncate``: what is won and lost by truncation, as a grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gancli.cli.options import AutoDevice, Batch, Cutoff, Features, Format, Model, Noise, Weights

if TYPE_CHECKING:
    import torch

    from gancli.metrics.evaluation import Evaluation

WITH_STYLES = [1.0, 0.7, 0.5, 0.0, -1.0]
WITHOUT_STYLES = [2.0, 1.0, 0.5, 0.2]
"""Levels where none are given: psi, and thresholds in standard deviations."""


def truncate(
    model: Model,
    seeds: Annotated[str, typer.Option("--seeds", metavar="LIST", help="A row for each: 0,1,4-6.")] = "0-3",
    levels: Annotated[
        str | None,
        typer.Option(
            "--levels", metavar="LIST", help="A column for each.  [default: 1,0.7,0.5,0,-1; without styles 2,1,0.5,0.2]"
        ),
    ] = None,
    class_: Annotated[
        str | None,
        typer.Option(
            "--class",
            metavar="NAME",
            help="Class, by name or number; one for each seed between commas.  [default: in turn]",
        ),
    ] = None,
    cutoff: Cutoff = None,
    noise: Noise = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="File (.png .jpg .webp: the grid; .npy), directory (a file each), or -.",
        ),
    ] = None,
    format_: Format = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics", metavar="LIST", help="Also print a table of metrics by level: prc,fid, as evaluate has them."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="SOURCE", help="For --metrics: the real images.  [default: the model's, if built in]"
        ),
    ] = None,
    n: Annotated[int | None, typer.Option("-n", metavar="N", help="For --metrics: most images of either side.")] = None,
    features: Features = None,
    weights: Weights = None,
    batch: Batch = None,
    device: AutoDevice = "auto",
) -> None:
    """Draw seeds at several levels of truncation, and print the paths written.

    Less variety, better images: a row for each seed, a column for each level. For a style model a level is psi: styles
    go towards their mean, which 0 is, and beyond it, to the opposite of each image at -1. Other models draw latent
    values again that are above the level or below its negative. A .npy holds the images row by row.

    --metrics prc shows what is won and lost in numbers: precision and recall at every level.
    """
    from gancli.cli.evaluate import check_count
    from gancli.cli.latent import check_output, choose_points, default_name, open_model, write_images
    from gancli.errors import GancliError
    from gancli.generation.seeds import parse_seeds
    from gancli.generation.targets import choose_target
    from gancli.modelfile import find_model

    wanted = parse_seeds(seeds)
    try:
        chosen = None if levels is None else [float(level) for level in levels.split(",")]
    except ValueError as error:
        raise GancliError(f"--levels {levels}: must be numbers between commas", "--levels 1,0.7,0.5") from error
    if metrics is None:
        for option, value in (("--data", data), ("-n", n), ("--features", features), ("--weights", weights)):
            if value is not None:
                raise GancliError(f"{option} {value} says what to measure, but not which metric", "--metrics prc")
    check_count(n)
    path = find_model(model)
    target = choose_target(output, format_, default=default_name(path, "-truncate", wanted, ".png"))
    check_output(target, "truncate", model)
    if metrics is not None and target.kind == "stream":
        raise GancliError("-o - and --metrics would both write to stdout", "-o FILE")

    from dataclasses import replace

    import torch

    from gancli import console
    from gancli.architectures.base import StyleModel
    from gancli.generation.latents import Points, latents_of_seeds

    opened = open_model(model, path, device, batch=batch, levels=chosen or (), cutoff=cutoff, noise=noise)
    points, names = choose_points(opened, wanted, class_)
    if isinstance(opened.model, StyleModel):
        chosen = chosen or WITH_STYLES
        styles = [replace(opened.renderer, psi=level).styles(points) for level in chosen]
        points, values = replace(points, labels=None, space="w"), [each.values for each in styles]
    else:
        chosen = chosen or WITHOUT_STYLES
        values = [latents_of_seeds(opened.model, points.seeds, level) for level in chosen]
    count = len(chosen)
    cells = Points(
        torch.stack(values, dim=1).flatten(0, 1),
        [seed for seed in points.seeds for _ in chosen],
        None if points.labels is None else points.labels.repeat_interleave(count, dim=0),
        points.space,
    )
    names = [f"{name}-trunc{str(level).removesuffix('.0')}" for name in names for level in chosen]
    if metrics is None:
        write_images(target, names, opened.renderer.images(cells), count, "truncating")
        return
    evaluations = _evaluations(
        model, chosen, cutoff, metrics, data, n, features, weights, batch, opened.renderer.device
    )
    first = next(evaluations)  # says what is missing before anything is written
    write_images(target, names, opened.renderer.images(cells), count, "truncating")
    measured = []
    for evaluation in chain([first], evaluations):
        report = evaluation.run()
        if report.failed:
            raise report.failed[0]
        measured.append({name: value for values in report.metrics.values() for name, value in values.items()})
    console.table(
        ["level", *measured[0]],
        [
            [f"{level:g}", *(f"{value:.6g}" for value in values.values())]
            for level, values in zip(chosen, measured, strict=True)
        ],
    )


def _evaluations(
    model: str,
    levels: Sequence[float],
    cutoff: int | None,
    metrics: str,
    data: str | None,
    n: int | None,
    features: str | None,
    weights: Path | None,
    batch: int | None,
    device: torch.device,
) -> Iterator[Evaluation]:
    """Yields the evaluation of each level of truncation."""
    from gancli import console
    from gancli.cli.evaluate import Wanted, of_model
    from gancli.metrics.catalogue import chosen_metrics, without_classifier
    from gancli.metrics.evaluation import Evaluation, Request

    without_classifier(metrics, "--metrics")
    request = Request(chosen_metrics(metrics), device, features or "", weights, batch=batch or 64)
    for level in levels:
        comparison = of_model(Wanted(model, data, None, n, None, level, cutoff), request)
        yield Evaluation(request, comparison, console.progress)
