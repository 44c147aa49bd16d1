"""``gancli style-mix``: what each layer of a style model controls, as in figure 3 of the StyleGAN paper."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Annotated

from typer import Option

from gancli import console
from gancli.cli import options
from gancli.cli.latent import choose_points, open_model
from gancli.cli.output import default_name, write_images
from gancli.cli.seeds import parse_seeds
from gancli.cli.targets import choose_target
from gancli.generation.layers import NAMED, named_layers, parse_layers
from gancli.modelfile import find_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


def style_mix(
    model: options.Model,
    rows: Annotated[str, Option(metavar="SEEDS", help="Seeds of the rows: 0,1,4-6.")],
    cols: Annotated[str, Option(metavar="SEEDS", help="Seeds whose layers in --styles are used.")],
    styles: Annotated[
        list[str] | None,
        Option(
            metavar="LAYERS",
            help="coarse, middle, fine, or layers: 0-3,8. Repeat it for more rows.  [default: each of the three]",
        ),
    ] = None,
    class_: options.Class = None,
    trunc: options.Trunc = None,
    cutoff: options.Cutoff = None,
    noise: options.Noise = None,
    output: options.Output = None,
    format_: options.Format = None,
    batch: options.Batch = None,
    device: options.AutoDevice = "auto",
) -> None:
    """Mix the styles of two sets of seeds, and print the paths written.

    The column seeds are at the top, the row seeds on the left; each cell shows its row seed with some layers of its
    column seed. Coarse layers are those of 4 and 8 pixels (0-3), middle ones of 16 and 32 (4-7), fine ones the rest; in
    models of less than 64 pixels, about a third each. --class takes one class for all, or one for each seed, rows
    first; without it, classes take turns by seed. A .npy holds the grid's images row by row, with a black corner; a
    directory gets a file for each.
    """
    row_seeds, column_seeds = parse_seeds(rows, "--rows"), parse_seeds(cols, "--cols")
    path = find_model(model)
    target = choose_target(output, format_, default=default_name(path, "-style-mix", row_seeds + column_seeds))

    import torch

    from gancli.generation.latents import Points, mixed

    opened = open_model(model, path, device, batch=batch, trunc=trunc, cutoff=cutoff, noise=noise)
    renderer, styled = opened.renderer, opened.renderer.styled
    if styled is None:
        raise options.wrong_model(model, renderer.model, opened.info, "has no styles to mix")
    count, stage = styled.layers, styled.stage
    chosen = styles or [name for name in NAMED if named_layers(name, count)]
    bands = {text: parse_layers(text, count) for text in chosen}
    idle = [text for text, layers in bands.items() if stage is not None and min(layers) >= 2 * stage.depth]
    if stage is not None and idle:
        verb = "has" if len(idle) == 1 else "have"
        console.note(f"the model has grown to {stage.resolution} px so far: {' and '.join(idle)} {verb} no effect yet")
    points, names = choose_points(opened, row_seeds + column_seeds, class_)
    ws = renderer.styles(points, layered=True).values  # [N, L, W]

    # The grid's images after its corner: the name, styles and noise seed of each.
    first = len(row_seeds)  # of the columns
    files: list[str | None] = [*names[first:]]
    styles_of_cells, seeds = [ws[first:]], [*points.seeds[first:]]
    for band, (text, layers) in enumerate(bands.items()):
        cells = torch.cat([ws[:first, None], mixed(ws[:first], ws[first:], layers)], dim=1)  # [rows, 1 + columns, L, W]
        styles_of_cells.append(cells.flatten(0, 1))
        for row in range(first):
            files.append(names[row] if band == 0 else None)
            files += [f"{names[row]}-{name}-{text.replace(' ', '')}" for name in names[first:]]
            seeds += [points.seeds[row]] * (1 + len(column_seeds))

    def images() -> Iterator[Tensor]:
        parts = renderer.images(Points(torch.cat(styles_of_cells), seeds, space="w"))
        part = next(parts)
        yield torch.full_like(part[:1], -1)  # the corner
        yield from chain([part], parts)

    write_images(target, [None, *files], images(), 1 + len(column_seeds), "mixing")
