"""``gancli truncate``: what truncation does to images, as a grid."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import Annotated

from typer import Option

from gancli import console
from gancli.cli import options
from gancli.cli.evaluate import Wanted, of_model
from gancli.cli.latent import choose_points, open_model
from gancli.cli.output import default_name, write_images
from gancli.cli.seeds import parse_seeds
from gancli.cli.targets import choose_target
from gancli.errors import GancliError, check_between
from gancli.metrics.catalogue import without_classifier
from gancli.modelfile import find_model

WITH_STYLES = [1.0, 0.7, 0.5, 0.0, -1.0]
WITHOUT_STYLES = [2.0, 1.0, 0.5, 0.2]
"""Default levels: psi, and thresholds in standard deviations."""


def truncate(
    model: options.Model,
    seeds: Annotated[str, Option(metavar="LIST", help="A row for each: 0,1,4-6.")] = "0-3",
    levels: Annotated[
        str | None,
        Option(metavar="LIST", help="A column for each.  [default: 1,0.7,0.5,0,-1; without styles 2,1,0.5,0.2]"),
    ] = None,
    class_: options.Class = None,
    cutoff: options.Cutoff = None,
    noise: options.Noise = None,
    output: options.Output = None,
    format_: options.Format = None,
    metrics: Annotated[
        str | None, Option(metavar="LIST", help="Also print a table of metrics by level, as in evaluate: prc,fid.")
    ] = None,
    data: Annotated[
        str | None,
        Option(metavar="SOURCE", help="For --metrics: real images.  [default: the training data, if built in]"),
    ] = None,
    n: Annotated[
        int | None, Option("-n", metavar="N", help="For --metrics: use at most N real and N generated images.")
    ] = None,
    features: options.Features = None,
    weights: options.Weights = None,
    batch: options.Batch = None,
    device: options.AutoDevice = "auto",
) -> None:
    """Draw seeds at several levels of truncation, and print the paths written.

    Truncation gives up variety for better images. The grid has a row for each seed and a column for each level. For a
    style model a level is psi: 1 leaves styles as they are, 0 replaces them by their mean, -1 by their opposites. Other
    models redraw latent values outside [-level, level]. Without --class, classes take turns by seed. A .npy holds the
    images row by row; a directory gets a file for each.

    --metrics prc measures the trade: precision and recall at every level.
    """
    wanted = parse_seeds(seeds)
    try:
        chosen = None if levels is None else [float(level) for level in levels.split(",")]
    except ValueError as error:
        raise GancliError(f"--levels {levels}: must be numbers, separated by commas", "--levels 1,0.7,0.5") from error
    if metrics is None:
        for option, value in (("--data", data), ("-n", n), ("--features", features), ("--weights", weights)):
            if value is not None:
                raise GancliError(f"{option} {value} has no effect without --metrics", "add --metrics prc")
    check_between("-n", n, 2, 10**9)
    path = find_model(model)
    target = choose_target(output, format_, default=default_name(path, "-truncate", wanted))
    if metrics is not None and target.kind == "stream":
        raise GancliError("-o - and --metrics would both write to stdout", "-o FILE")

    import torch

    # Any level will do here, for --cutoff: each column then has its own.
    opened = open_model(model, path, device, batch=batch, trunc=1.0, cutoff=cutoff, noise=noise)
    renderer = opened.renderer
    chosen = chosen or (WITHOUT_STYLES if renderer.styled is None else WITH_STYLES)
    for level in chosen:
        renderer.check_level(level, "--levels")
    points, names = choose_points(opened, wanted, class_)
    columns = [renderer.truncated(points, level) for level in chosen]
    values = torch.stack([column.values for column in columns], dim=1).flatten(0, 1)
    count = len(chosen)
    cells = replace(columns[0].repeated(count), values=values)
    names = [f"{name}-trunc{str(level).removesuffix('.0')}" for name in names for level in chosen]
    if metrics is None:
        write_images(target, names, renderer.images(cells), count, "truncating")
        return

    from gancli.metrics.evaluation import Evaluation, Request

    which = without_classifier(metrics, "--metrics")
    request = Request(which, renderer.device, features or "", weights, batch=batch or 64)
    comparisons = (of_model(Wanted(model, data, n=n, trunc=level, cutoff=cutoff), request) for level in chosen)
    evaluations = (Evaluation(request, comparison, console.progress) for comparison in comparisons)
    first = next(evaluations)  # fails before anything is written
    write_images(target, names, renderer.images(cells), count, "truncating")
    measured = []
    for evaluation in chain([first], evaluations):
        report = evaluation.run()
        if report.failed:
            raise report.failed[0]
        measured.append({name: value for values in report.metrics.values() for name, value in values.items()})
    rows = zip(chosen, measured, strict=True)
    console.table(
        ["level", *measured[0]],
        [[f"{level:g}", *(f"{value:.6g}" for value in values.values())] for level, values in rows],
    )
