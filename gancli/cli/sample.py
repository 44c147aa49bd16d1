"""``gancli sample``: pictures from a model, by seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from gancli.cli import options
from gancli.cli.latent import choose_points, open_model
from gancli.cli.output import default_name, write_images, write_points
from gancli.cli.seeds import MOST, parse_seeds
from gancli.cli.targets import choose_target
from gancli.errors import GancliError, check_between
from gancli.modelfile import find_model
from gancli.seeding import LARGEST_SEED


def sample(
    model: options.Model,
    n: Annotated[int | None, Option("-n", metavar="N", help="Number of images.  [default: 1]")] = None,
    seed: options.Seed = None,
    seeds: options.Seeds = None,
    latents: options.Latents = None,
    class_: options.Class = None,
    trunc: options.Trunc = None,
    cutoff: options.Cutoff = None,
    noise: options.Noise = None,
    space: Annotated[
        str | None,
        Option(metavar="z|w", help="Write latents or styles instead of images; with --latents: what FILE holds."),
    ] = None,
    output: options.Output = None,
    format_: options.Format = None,
    columns: Annotated[int | None, Option(metavar="N", help="Columns of the grid.  [default: square]")] = None,
    batch: options.Batch = None,
    device: options.AutoDevice = "auto",
) -> None:
    """Draw images from a model, and print the paths written.

    A seed always gives the same image, whatever else is drawn with it. -n 4 --seed 7 draws seeds 7 to 10.

    A .png, .jpg or .webp is a grid of all images; a directory gets a file for each; a .npy file holds float32
    [N, C, H, W] in [-1, 1]. Points, which are not images, are drawn into one plot, or are [N, D] in a .npy file.
    Without -o, a picture named after the model and its seeds is written to the working directory.

    --class all draws each seed with every class: a row of the grid for each class. Without --class, classes take turns:
    seed 0 has the first, seed 1 the second, and so on.

    --space w -o w.npy writes the styles instead of the images, truncated: [N, W], or with --cutoff [N, L, W], since
    layers differ. --latents w.npy --space w reads them.
    """
    wanted = _seeds(n, seed, seeds, latents)
    check_between("--columns", columns, 1)
    path = find_model(model)
    numbers = space if latents is None else None  # written instead of images
    default = default_name(path, f"-{numbers}", wanted, ".npy") if numbers else default_name(path, "", wanted)
    target = choose_target(output, format_, default=default)
    if numbers and target.format != "npy":
        raise GancliError(f"--space {numbers} writes numbers, not pictures", f"-o {numbers}.npy, or --format npy")
    for option, value in (("--noise", noise), ("--class", class_ if numbers == "z" else None)):
        if numbers and value is not None:
            raise GancliError(f"{option} {value} has no effect on what --space {numbers} writes", f"leave {option} out")

    import torch

    from gancli.data.opening import open_source
    from gancli.data.toy import WORDS
    from gancli.generation.plots import plane_of
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
    if not numbers and renderer.kind == "points":
        location = str(opened.info.config["data"]["source"])
        if columns is not None:
            raise GancliError("--columns has no effect on points", "leave it out")
        plane = plane_of(open_source(location)) if location in WORDS else None
        write_points(target, torch.cat(list(images)), plane, "sample")
        return
    columns = columns or (len(points) // len(opened.classes) if every else columns_for(len(points)))
    write_images(target, names, images, columns, "sampling")


def _seeds(n: int | None, seed: int | None, seeds: str | None, latents: Path | None) -> list[int]:
    """Returns the seeds to draw; none if there are latents."""
    values = {"-n": n, "--seed": seed, "--seeds": seeds, "--latents": latents}
    given = [option for option, value in values.items() if value is not None]
    if len(given) > 1 and given != ["-n", "--seed"]:
        raise GancliError(f"{' and '.join(given)} cannot be combined", "give -n and --seed, or --seeds, or --latents")
    if latents is not None:
        return []
    if seeds is not None:
        return parse_seeds(seeds)
    count, first = 1 if n is None else n, 0 if seed is None else seed
    check_between("-n", count, 1, MOST)
    check_between("--seed", first, 0, LARGEST_SEED - count)
    return list(range(first, first + count))
