"""``gancli sample``: pictures from a model, by seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gancli.cli.options import (
    AutoDevice,
    Batch,
    Class,
    Cutoff,
    Format,
    Latents,
    Model,
    Noise,
    Output,
    Seed,
    Seeds,
    Trunc,
)


def sample(
    model: Model,
    n: Annotated[int | None, typer.Option("-n", metavar="N", help="Number of images.  [default: 1]")] = None,
    seed: Seed = None,
    seeds: Seeds = None,
    latents: Latents = None,
    class_: Class = None,
    trunc: Trunc = None,
    cutoff: Cutoff = None,
    noise: Noise = None,
    space: Annotated[
        str | None,
        typer.Option(
            "--space", metavar="z|w", help="Write latents or styles instead of images; with --latents: what FILE holds."
        ),
    ] = None,
    output: Output = None,
    format_: Format = None,
    columns: Annotated[
        int | None, typer.Option("--columns", metavar="N", help="Columns of the grid.  [default: square]")
    ] = None,
    batch: Batch = None,
    device: AutoDevice = "auto",
) -> None:
    """Draw images from a model, and print the paths written.

    A seed always gives the same image, whatever else is drawn with it. -n 4 --seed 7 draws seeds 7 to 10.

    A .png, .jpg or .webp is a grid of all images; a directory gets a file for each; a .npy file holds float32
    [N, C, H, W] in [-1, 1]. Without -o, a picture named after the model and its seeds is written to the working
    directory.

    --class all draws each seed with every class: a column of the grid for each. Without --class, classes take turns:
    seed 0 has the first, seed 1 the second, and so on.

    --space w -o w.npy writes the styles instead of the images, truncated: [N, W], or with --cutoff [N, L, W], since
    layers differ. --latents w.npy --space w reads them.
    """
    from gancli.cli.latent import choose_points, open_model
    from gancli.cli.output import check_output, default_name, write_images
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
        raise GancliError(f"--space {numbers} writes numbers, not pictures", f"-o {numbers}.npy, or --format npy")

    for option, value in (("--noise", noise), ("--class", class_ if numbers == "z" else None)):
        if numbers and value is not None:
            raise GancliError(f"{option} {value} has no effect on what --space {numbers} writes", f"leave {option} out")

    from gancli.generation.writers import columns_for

    opened = open_model(model, path, device, batch=batch, trunc=trunc, cutoff=cutoff, noise=noise, space=space)
    renderer = opened.renderer
    if numbers == "z" and trunc is not None and renderer.styled is not None:
        raise GancliError(f"--trunc {trunc:g} truncates styles, but --space z writes latents", "--space w")
    every = class_ == "all" and bool(opened.classes) and "all" not in opened.classes
    points, names = choose_points(
        opened, wanted, class_, latents=latents, with_classes=numbers != "z", for_each_class=every
    )
    if points.space == "w" or numbers == "w":
        points = renderer.styles(points)
    images = [points.values] if numbers else renderer.images(points)
    columns = columns or (len(opened.classes) if every else columns_for(len(points)))
    write_images(target, names, images, columns, "sampling")


def _seeds(n: int | None, seed: int | None, seeds: str | None, latents: Path | None) -> list[int]:
    """Returns the seeds to draw; none if there are latents."""
    from gancli.cli.seeds import MOST, parse_seeds
    from gancli.errors import GancliError
    from gancli.seeding import LARGEST_SEED

    counted = [option for option, value in (("-n", n), ("--seed", seed)) if value is not None]
    ways = [
        *counted[:1],
        *(["--seeds"] if seeds is not None else []),
        *(["--latents"] if latents is not None else []),
    ]
    if len(ways) > 1:
        raise GancliError(
            f"{' and '.join(ways)} cannot be combined",
            "give -n and --seed, or --seeds, or --latents",
        )
    if latents is not None:
        return []
    if seeds is not None:
        return parse_seeds(seeds)
    count, first = 1 if n is None else n, 0 if seed is None else seed
    if not 1 <= count <= MOST:
        raise GancliError(f"-n {count}: must be between 1 and {MOST:,}")
    if not 0 <= first <= LARGEST_SEED - count:
        raise GancliError(f"--seed {first}: must be between 0 and 2^63 - 1")
    return list(range(first, first + count))
