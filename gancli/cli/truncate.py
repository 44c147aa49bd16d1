"""``gancli truncate``: what is won and lost by truncation, as a grid."""

from __future__ import annotations

from typing import Annotated

import typer

from gancli.cli.options import AutoDevice, Batch, Cutoff, Format, Model, Noise

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
    batch: Batch = None,
    device: AutoDevice = "auto",
) -> None:
    """Draw seeds at several levels of truncation, and print the paths written.

    Less variety, better images: a row for each seed, a column for each level. For a style model a level is psi: styles
    go towards their mean, which 0 is, and beyond it, to the opposite of each image at -1. Other models draw latent
    values again that are above the level or below its negative. A .npy holds the images row by row.
    """
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
    path = find_model(model)
    target = choose_target(output, format_, default=default_name(path, "-truncate", wanted, ".png"))
    check_output(target, "truncate", model)

    from dataclasses import replace

    import torch

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
    names = [f"{name}-trunc{level:g}" for name in names for level in chosen]
    write_images(target, names, opened.renderer.images(cells), count, "truncating")
