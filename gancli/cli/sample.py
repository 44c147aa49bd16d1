"""``gancli sample``: pictures from a model, by seed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gancli.cli.options import complete_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from gancli.architectures.base import LatentModel


def sample(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="Name, run directory or model file.", autocompletion=complete_model),
    ],
    n: Annotated[int | None, typer.Option("-n", metavar="N", help="How many images.  [default: 1]")] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", help="Seed of the first image; the next have N+1, ...  [default: 0]"),
    ] = None,
    seeds: Annotated[str | None, typer.Option("--seeds", metavar="LIST", help="One image per seed: 0,1,4-6.")] = None,
    latents: Annotated[
        Path | None, typer.Option("--latents", metavar="FILE.npy", help="Latents [N, Z] instead of seeds.")
    ] = None,
    trunc: Annotated[
        float | None,
        typer.Option(
            "--trunc",
            metavar="T",
            help="Draw latent components above T in absolute value again (less variety).",
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
    format_: Annotated[
        str | None,
        typer.Option("--format", metavar="F", help="png, jpg, webp or npy, for a directory or -.  [default: png]"),
    ] = None,
    columns: Annotated[
        int | None, typer.Option("--columns", metavar="N", help="Columns of the grid.  [default: square]")
    ] = None,
    batch: Annotated[int, typer.Option("--batch", metavar="N", help="Images computed at a time.")] = 64,
    device: Annotated[str, typer.Option("--device", metavar="D", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
) -> None:
    """Draw images from a model, and print the paths written.

    A seed gives the same image in any company. Without -o, a picture named after model and seeds is written into the
    working directory. A .npy file holds float32 [N, C, H, W] in [-1, 1].
    """
    import sys

    from gancli.errors import GancliError
    from gancli.generation.targets import choose_target
    from gancli.modelfile import find_model

    wanted = _seeds(n, seed, seeds, latents)
    if trunc is not None and (not trunc > 0 or latents is not None):
        raise GancliError(
            f"--trunc {trunc:g} cannot be: "
            + ("it draws latents, but --latents gives them" if latents else "T must be above 0")
        )
    for option, value in (("--batch", batch), ("--columns", columns)):
        if value is not None and value < 1:
            raise GancliError(f"{option} {value}: must be at least 1")
    path = find_model(model)
    target = choose_target(output, format_, default=_default_name(path, wanted))
    if target.kind == "stream" and sys.stdout.isatty():
        raise GancliError("image bytes would spoil the terminal", f"gancli sample {model} -o - | COMMAND, or -o FILE")

    import torch

    from gancli import console
    from gancli.architectures.base import LatentModel, Translator
    from gancli.devices import choose_device
    from gancli.files import replace_file
    from gancli.generation.latents import decode_in_batches, latents_of_seeds
    from gancli.generation.writers import columns_for, encode, grid, npy, to_pixels
    from gancli.modelfile import load_model

    chosen = choose_device(device)
    loaded, info = load_model(path, chosen)
    if not isinstance(loaded, LatentModel):
        raise GancliError(
            f"{model} is a {info.architecture}, which makes no images from latents",
            f"gancli translate {model} IMAGE" if isinstance(loaded, Translator) else "",
        )
    z = latents_of_seeds(loaded, wanted, trunc) if latents is None else _read_latents(latents, loaded)
    names = [f"seed{number:04d}" for number in wanted] if latents is None else [f"latent{i:04d}" for i in range(len(z))]

    images = []
    with console.progress("sampling", len(z)) as bar:
        done = 0
        for part in decode_in_batches(loaded, z, batch, chosen):
            if target.kind == "directory":
                target.path.mkdir(parents=True, exist_ok=True)
                for name, image, pixels in zip(names[done:], part, to_pixels(part), strict=False):
                    file = target.path / f"{name}.{target.format}"
                    content = npy(image[None]) if target.format == "npy" else encode(pixels, target.format)
                    replace_file(file, content)
                    console.result(file)
            else:
                images.append(part)
            done += len(part)
            bar.update(done, len(z))
    if target.kind == "directory":
        return
    stacked = torch.cat(images)
    if target.format == "npy":
        content = npy(stacked)
    else:
        content = encode(grid(to_pixels(stacked), columns or columns_for(len(stacked))), target.format)
    if target.kind == "stream":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    else:
        replace_file(target.path, content)
        typer.echo(target.path)


def _seeds(n: int | None, seed: int | None, seeds: str | None, latents: Path | None) -> list[int]:
    """Returns the seeds to draw; none where latents are given."""
    from gancli.errors import GancliError
    from gancli.generation.seeds import LARGEST, parse_seeds

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
    if count < 1:
        raise GancliError(f"-n {count}: must be at least 1")
    if not 0 <= first <= LARGEST - count:
        raise GancliError(f"--seed {first}: must lie between 0 and 2^63 - 1")
    return list(range(first, first + count))


def _default_name(model: Path, seeds: Sequence[int]) -> str:
    """Returns the picture's name where there is no -o: ``horses-seed3.png``, ``horses-seeds0-15.png``."""
    from gancli.modelfile import IN_RUN

    name = model.resolve().parent.name if model.name == IN_RUN else model.stem
    if not seeds:
        return f"{name}-latents.png"
    if len(seeds) == 1:
        return f"{name}-seed{seeds[0]}.png"
    if list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{name}-seeds{seeds[0]}-{seeds[-1]}.png"
    return f"{name}-seeds{seeds[0]}+{len(seeds) - 1}.png"


def _read_latents(path: Path, model: LatentModel) -> Tensor:
    """Reads latents from a .npy file and checks that they are this model's."""
    import numpy as np
    import torch

    from gancli.errors import GancliError

    shape = model.latents(1, torch.Generator()).shape[1:]
    expected = f"[N, {', '.join(map(str, shape))}]"
    try:
        values = np.load(path, allow_pickle=False)
    except OSError as error:
        raise GancliError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise GancliError(f"{path} is not a .npy file of numbers", "numpy.save('z.npy', z)") from error
    if (
        not isinstance(values, np.ndarray)
        or values.dtype.kind not in "fiu"
        or values.shape[1:] != shape
        or not len(values)
    ):
        found = f"{values.dtype} {list(values.shape)}" if isinstance(values, np.ndarray) else "an archive"
        raise GancliError(f"{path} holds {found}, but this model takes float {expected}")
    if not np.isfinite(values).all():
        raise GancliError(f"{path} holds numbers that are not finite")
    return torch.from_numpy(values.astype(np.float32))
