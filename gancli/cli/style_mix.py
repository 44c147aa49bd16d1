"""``gancli style-mix``: what each layer of a style model decides, as figure 3 of the StyleGAN paper shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gancli.cli.options import AutoDevice, Batch, Cutoff, Format, Model, Noise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


def style_mix(
    model: Model,
    rows: Annotated[str, typer.Option("--rows", metavar="SEEDS", help="Whom the rows begin with: 0,1,4-6.")],
    cols: Annotated[str, typer.Option("--cols", metavar="SEEDS", help="Whom the layers in --styles are taken from.")],
    styles: Annotated[
        list[str] | None,
        typer.Option(
            "--styles",
            metavar="LAYERS",
            help="coarse, middle, fine, or layers: 0-3,8. Again for more rows.  [default: each of the three]",
        ),
    ] = None,
    class_: Annotated[
        str | None,
        typer.Option(
            "--class",
            metavar="NAME",
            help="Class, by name or number; or one for each of rows, then columns.  [default: in turn]",
        ),
    ] = None,
    trunc: Annotated[
        float | None, typer.Option("--trunc", metavar="T", help="Psi: 1 is all of the variety, 0 the mean.")
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
    """Mix the styles of two sets of seeds, and print the paths written.

    Along the top are the column seeds, on the left the row seeds; in between, row seeds with some layers of column
    seeds. Coarse are the layers of 4 and 8 pixels (0-3), middle those of 16 and 32 (4-7), fine the rest; in models of
    less than 64 pixels about a third each. A .npy holds the grid's images row by row, the empty corner black.
    """
    from gancli.cli.latent import check_output, choose_points, default_name, open_model, write_images
    from gancli.cli.layers import NAMED, named_layers, parse_layers
    from gancli.cli.seeds import parse_seeds
    from gancli.cli.targets import choose_target
    from gancli.modelfile import find_model

    row_seeds, column_seeds = parse_seeds(rows, "--rows"), parse_seeds(cols, "--cols")
    path = find_model(model)
    target = choose_target(output, format_, default=default_name(path, "-style-mix", row_seeds + column_seeds, ".png"))
    check_output(target, "style-mix", model)

    from itertools import chain

    import torch

    from gancli import console
    from gancli.architectures.base import StyleModel
    from gancli.generation.latents import Points

    opened = open_model(model, path, device, batch=batch, trunc=trunc, cutoff=cutoff, noise=noise, styles=True)
    assert isinstance(opened.model, StyleModel)
    count = opened.model.layers
    bands = {
        text: parse_layers(text, count) for text in styles or [name for name in NAMED if named_layers(name, count)]
    }
    stage = opened.model.stage
    idle = [text for text, layers in bands.items() if min(layers) >= 2 * stage.depth]
    if idle:
        console.note(f"the model has grown to {stage.resolution} px so far: {' and '.join(idle)} change nothing yet")
    points, names = choose_points(opened, row_seeds + column_seeds, class_)
    points = opened.renderer.styles(points)
    ws = points.values if points.values.ndim == 3 else points.values[:, None].expand(-1, count, -1)  # [N, L, W]

    # The grid's images from the second on: of each its name, its styles, and the seed of its noise.
    first = len(row_seeds)  # of the columns
    files: list[str | None] = [*names[first:]]
    mixed, seeds = [*ws[first:]], [*points.seeds[first:]]
    for band, (text, layers) in enumerate(bands.items()):
        for row in range(first):
            files.append(names[row] if band == 0 else None)
            files += [f"{names[row]}-{name}-{text.replace(' ', '')}" for name in names[first:]]
            mixed.append(ws[row])
            for source in ws[first:]:
                mixed.append(ws[row].clone())
                mixed[-1][layers] = source[layers]
            seeds += [points.seeds[row]] * (1 + len(column_seeds))

    def images() -> Iterator[Tensor]:
        parts = opened.renderer.images(Points(torch.stack(mixed), seeds, space="w"))
        part = next(parts)
        yield torch.full_like(part[:1], -1)  # the corner
        yield from chain([part], parts)

    write_images(target, [None, *files], images(), 1 + len(column_seeds), "mixing")
