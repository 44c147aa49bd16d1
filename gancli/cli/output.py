"""Where and how commands write images: the names of files, single files and stdout, grids and directories."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from gancli import console
from gancli.errors import GancliError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from gancli.cli.targets import Target


def check_output(target: Target, command: str, model: str) -> None:
    """Raises ``GancliError`` if bytes would go to a terminal."""
    if target.kind == "stream" and sys.stdout.isatty():
        raise GancliError(
            "refusing to write image data to a terminal", f"gancli {command} {model} -o - | COMMAND, or -o FILE"
        )


def default_name(model: Path, command: str, seeds: Sequence[int], suffix: str) -> str:
    """Returns the file's name if there is no -o: ``horses-seed3.png``, ``horses-truncate-seeds0-15.png``.

    Args:
        model: the model file.
        command: its name after a hyphen, or empty.
        seeds: those of the images; empty for latents from a file.
        suffix: with the dot.
    """
    from gancli.modelfile import title

    name = title(model) + command
    if not seeds:
        return f"{name}-latents{suffix}"
    if len(seeds) == 1:
        return f"{name}-seed{seeds[0]}{suffix}"
    if list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{name}-seeds{seeds[0]}-{seeds[-1]}{suffix}"
    return f"{name}-seeds{seeds[0]}+{len(seeds) - 1}{suffix}"


@contextmanager
def output_file(target: Target) -> Iterator[BinaryIO]:
    """Yields the file or stdout to write; when the block has ended well, the file is there and its path printed."""
    from gancli.files import replacing

    if target.kind == "stream":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with replacing(target.path) as file:
            yield file
        console.result(target.path)


def write_images(
    target: Target, names: Sequence[str | None], images: Iterable[Tensor], columns: int, doing: str
) -> None:
    """Writes images where and how ``target`` says: a grid, a ``.npy`` file, or a file for each.

    Args:
        target: where; its format is one of ``STILLS``.
        names: of the files in a directory, without suffix; None for images that get none.
        images: all of them, in parts, float [n, C, H, W] in [-1, 1] on the CPU. For ``.npy`` any numbers [n, ...].
        columns: of the grid.
        doing: label of the progress bar.
    """
    import numpy as np

    from gancli.files import replace_file
    from gancli.generation.writers import check_size, encode, grid, grid_size, npy, to_pixels, write_npy

    with console.progress(doing, len(names)) as bar:

        def counted() -> Iterator[Tensor]:
            for part in images:
                yield part
                bar.advance(len(part))

        if target.kind == "directory":
            target.path.mkdir(parents=True, exist_ok=True)
            left = iter(names)
            for part in counted():
                for image in part.split(1):
                    name = next(left)
                    if name is None:
                        continue
                    content = npy(image) if target.format == "npy" else encode(to_pixels(image)[0], target.format)
                    file = target.path / f"{name}.{target.format}"
                    replace_file(file, content)
                    console.result(file)
        elif target.format == "npy":
            with output_file(target) as output:
                write_npy(output, counted(), len(names))
        else:
            parts: list[NDArray[np.uint8]] = []
            for part in counted():
                parts.append(to_pixels(part))
                if len(parts) == 1 and len(parts[0]) == len(part):  # before the others are made for nothing
                    check_size(target.format, *grid_size(len(names), columns, *parts[0].shape[1:3]))
            pixels = np.concatenate(parts)
            with output_file(target) as output:
                output.write(encode(grid(pixels, columns), target.format))
