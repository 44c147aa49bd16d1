"""``gancli sample``: pictures from a model, by seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gancli.cli.options import AutoDevice, Batch, Cutoff, Format, Latents, Model, Noise


def sample(
    model: Model,
    n: Annotated[int | None, typer.Option("-n", metavar="N", help="How many images.  [default: 1]")] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", help="Seed of the first image; the next have N+1, ...  [default: 0]"),
    ] = None,
    seeds: Annotated[str | None, typer.Option("--seeds", metavar="LIST", help="One image per seed: 0,1,4-6.")] = None,
    latents: Latents = None,
    class_: Annotated[
        str | None,
        typer.Option(
            "--class",
            metavar="NAME",
            help="Class, by name or number; several between commas, one for each image; all.  [default: in turn]",
        ),
    ] = None,
    trunc: Annotated[
        float | None,
        typer.Option(
            "--trunc",
            metavar="T",
            help="Less variety. Style models: psi, 1 is all, 0 the mean. Others: draw latent values above T again.",
        ),
    ] = None,
    cutoff: Cutoff = None,
    noise: Noise = None,
    space: Annotated[
        str | None,
        typer.Option(
            "--space", metavar="z|w", help="Write latents or styles, as .npy; with --latents, what FILE holds."
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="File (.png .jpg .webp: a grid; .npy), directory (a file each), or -.",
        ),
    ] = None,
    format_: Format = None,
    columns: Annotated[
        int | None, typer.Option("--columns", metavar="N", help="Columns of the grid.  [default: square]")
    ] = None,
    batch: Batch = None,
    device: AutoDevice = "auto",
) -> None:
    """Draw images from a model, and print the paths written.

    A seed gives the same image in any company. Without -o, a picture named after model and seeds is written into the
    working directory. A .npy file holds float32 [N, C, H, W] in [-1, 1].

    With --class all, each seed is drawn with every class: a column of the grid for each. Without --class, seed 0 has
    the first class, seed 1 the second, and so on.

    --space w -o w.npy writes the styles instead of images, truncated: [N, W], or [N, L, W] where --cutoff makes
    layers differ; --latents w.npy --space w reads them.
    """
    from gancli.cli.latent import check_output, choose_points, default_name, open_model, write_images
    from gancli.cli.targets import choose_target
    from gancli.errors import GancliError
    from gancli.modelfile import find_model

    wanted = _seeds(n, seed, seeds, latents)
    if columns is not None and columns < 1:
        raise GancliError(f"--columns {columns}: must be at least 1")
    path = find_model(model)
    numbers = space if latents is None else None
    suffix = ".npy" if numbers else ".png"
    target = choose_target(
        output, format_, default=default_name(path, f"-{numbers}" if numbers else "", wanted, suffix)
    )
    check_output(target, "sample", model)
    if numbers and target.format != "npy":
        raise GancliError(f"--space {numbers} writes no pictures, but numbers", f"-o {numbers}.npy, or --format npy")

    for option, value in (("--noise", noise), ("--class", class_ if numbers == "z" else None)):
        if numbers and value is not None:
            raise GancliError(
                f"{option} {value} changes nothing in what --space {numbers} writes", f"leave {option} out"
            )

    from gancli.architectures.base import StyleModel
    from gancli.generation.writers import columns_for

    opened = open_model(model, path, device, batch=batch, trunc=trunc, cutoff=cutoff, noise=noise, space=space)
    if numbers == "z" and trunc is not None and isinstance(opened.model, StyleModel):
        raise GancliError(f"--trunc {trunc:g} truncates styles, but --space z writes latents", "--space w")
    every = class_ == "all" and bool(opened.classes) and "all" not in opened.classes
    points, names = choose_points(
        opened, wanted, class_, latents=latents, space=opened.space, with_classes=numbers != "z", for_each_class=every
    )
    if points.space == "w" or numbers == "w":
        points = opened.renderer.styles(points)
    images = [points.values] if numbers else opened.renderer.images(points)
    columns = columns or (len(opened.classes) if every else columns_for(len(points)))
    write_images(target, names, images, columns, "sampling")


def _seeds(n: int | None, seed: int | None, seeds: str | None, latents: Path | None) -> list[int]:
    """Returns the seeds to draw; none where latents are given."""
    from gancli.cli.seeds import LARGEST, MOST, parse_seeds
    from gancli.errors import GancliError

    counted = [option for option, value in (("-n", n), ("--seed", seed)) if value is not None]
    ways = [
        *counted[:1],
        *(["--seeds"] if seeds is not None else []),
        *(["--latents"] if latents is not None else []),
    ]
    if len(ways) > 1:
        raise GancliError(
            f"{' and '.join(ways)} both say which images to draw",
            "give -n and --seed, or --seeds, or --latents",
        )
    if latents is not None:
        return []
    if seeds is not None:
        return parse_seeds(seeds)
    count, first = 1 if n is None else n, 0 if seed is None else seed
    if not 1 <= count <= MOST:
        raise GancliError(f"-n {count}: must lie between 1 and {MOST:,}")
    if not 0 <= first <= LARGEST - count:
        raise GancliError(f"--seed {first}: must lie between 0 and 2^63 - 1")
    return list(range(first, first + count))
