"""How commands write images: the names of files, single files and stdout, grids and directories."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from gancli import console
from gancli.cli.targets import Target
from gancli.errors import GancliError
from gancli.files import replace_file, replacing
from gancli.modelfile import title

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from gancli.generation.plots import Plane


def default_name(model: Path, command: str, seeds: Sequence[int], suffix: str = ".png") -> str:
    """Returns the file's name if there is no -o: ``horses-seed3.png``, ``horses-truncate-seeds0-15.png``.

    Args:
        model: the model file.
        command: its name after a hyphen, or empty.
        seeds: of the images; empty for latents from a file.
        suffix: with the dot.
    """
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
    """Yields the file or stdout to write; if the block ends well, the file is there after it, and its path printed."""
    if target.kind == "stream":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with replacing(target.path) as file:
            yield file
        console.result(target.path)


def write_in_directory(target: Target, name: str, content: bytes) -> None:
    """Writes a file into the directory of a target, and prints its path."""
    file = target.path / f"{name}.{target.format}"
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, content)
    console.result(file)


def write_points(target: Target, points: Tensor, plane: Plane | None, name: str) -> None:
    """Writes points [N, D] as numbers or, on a plane, as a plot; ``name`` is what they are called in it.

    Raises:
        GancliError: the target is a directory.
    """
    from gancli.generation.plots import Plane, plot
    from gancli.generation.writers import encode, npy

    if target.kind == "directory":
        raise GancliError(
            f"-o {target.path}: a directory gets a file for each image, but points have one plot together",
            "-o plot.png, or -o points.npy",
        )
    with output_file(target) as output:
        if target.format == "npy":
            output.write(npy(points))
        else:
            output.write(encode(plot(plane or Plane.around(points.numpy()), {name: points}), target.format))


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

    from gancli.generation.writers import check_size, encode, grid, grid_size, npy, to_pixels, write_npy

    with console.progress(doing, len(names)) as bar:

        def counted() -> Iterator[Tensor]:
            for part in images:
                yield part
                bar.advance(len(part))

        if target.kind == "directory":
            each = (image for part in counted() for image in part.split(1))
            for name, image in zip(names, each, strict=True):
                if name is not None:
                    content = npy(image) if target.format == "npy" else encode(to_pixels(image)[0], target.format)
                    write_in_directory(target, name, content)
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
