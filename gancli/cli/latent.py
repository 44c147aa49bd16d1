"""What the commands share that make images from latents: opening the model, choosing points, writing images."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast, get_args

from gancli import console
from gancli.cli.options import wrong_model
from gancli.errors import GancliError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from gancli.architectures.base import LatentModel
    from gancli.cli.targets import Target
    from gancli.generation.latents import NoiseKind, Points, Renderer, Space

PIXELS_AT_A_TIME = 2**22
MOST_AT_A_TIME = 64
FARTHEST = 1_000_000
"""Of a level of truncation; numbers that a network makes of more may be none."""


@dataclass(frozen=True)
class Opened:
    """A model that makes images from latents.

    Attributes:
        name: what the user typed.
        model: on its device.
        classes: names of the classes that it takes, or their numbers where it does not know names; may be none.
        renderer: makes its images, as the options say.
        level: threshold above which latents are drawn again, or None.
        space: what ``--space`` says, or None.
    """

    name: str
    model: LatentModel
    classes: list[str]
    renderer: Renderer
    level: float | None
    space: Space | None


def check_output(target: Target, command: str, model: str) -> None:
    """Raises ``GancliError`` where bytes would go to a terminal."""
    if target.kind == "stream" and sys.stdout.isatty():
        raise GancliError(
            "image bytes would spoil the terminal", f"gancli {command} {model} -o - | COMMAND, or -o FILE"
        )


def open_model(
    name: str,
    path: Path,
    device: str,
    *,
    batch: int | None,
    trunc: float | None = None,
    levels: Sequence[float] | None = None,
    cutoff: int | None = None,
    noise: str | None = None,
    space: str | None = None,
    styles: bool = False,
) -> Opened:
    """Loads a model and checks that it can do what is asked of it.

    Args:
        name: what the user typed.
        path: the model file.
        device, batch, trunc, levels, cutoff, noise, space: what the options of these names say, None where they are not
            given, or not there. The renderer truncates by ``trunc``, the command itself by ``levels``.
        styles: whether the command is for models with styles alone.

    Raises:
        GancliError: it is another kind of model, or an option is wrong or not for it.
    """
    if batch is not None and batch < 1:
        raise GancliError(f"--batch {batch}: must be at least 1")
    truncation, wanted = ("--levels", levels) if levels is not None else ("--trunc", [] if trunc is None else [trunc])
    for level in wanted:
        if not abs(level) <= FARTHEST:  # not a number, too
            raise GancliError(f"{truncation} {level:g}: must lie between {-FARTHEST:,} and {FARTHEST:,}")

    from gancli.architectures.base import LatentModel, StyleModel
    from gancli.devices import choose_device
    from gancli.generation.latents import NoiseKind, Renderer, Space
    from gancli.modelfile import load_model

    for option, value, known in (("--noise", noise, get_args(NoiseKind)), ("--space", space, get_args(Space))):
        if value is not None and value not in known:
            raise GancliError(f"{option} {value}: unknown", f"known are: {', '.join(known)}")
    chosen = choose_device(device)
    model, info = load_model(path, chosen)
    if not isinstance(model, LatentModel):
        raise wrong_model(name, model, info, "makes no images from latents")
    if styles and not isinstance(model, StyleModel):
        raise wrong_model(name, model, info, "has no styles to mix")
    if not isinstance(model, StyleModel):
        for option, given in (("--noise", noise), ("--cutoff", cutoff), ("--space", space)):
            if given not in (None, "z"):
                raise GancliError(f"{option} {given}: a {info.architecture} has no styles", f"leave {option} out")
        for level in wanted:
            if level <= 0:
                raise GancliError(
                    f"{truncation} {level:g}: must be above 0, as a {info.architecture} draws latents above it again",
                    f"{truncation} 0.5; smaller means less variety",
                )
    elif cutoff is not None and not 1 <= cutoff <= model.layers:
        raise GancliError(f"--cutoff {cutoff}: this model has {model.layers} layers", f"1 to {model.layers}")
    if cutoff is not None and trunc is None and levels is None:
        raise GancliError(
            f"--cutoff {cutoff} says where truncation ends, but there is no --trunc", f"--trunc 0.7 --cutoff {cutoff}"
        )
    if batch is None:
        size = next(iter(info.images.values()))
        batch = max(1, min(MOST_AT_A_TIME, PIXELS_AT_A_TIME // (size.height * size.width)))
    psi, threshold = (trunc, None) if isinstance(model, StyleModel) else (None, trunc)
    kind = cast("NoiseKind", noise or "const")
    renderer = Renderer(model, chosen, batch, 1.0 if psi is None else psi, cutoff, kind)
    names = info.classes if len(info.classes) == model.classes else [str(number) for number in range(model.classes)]
    return Opened(name, model, names, renderer, threshold, cast("Space | None", space))


def choose_points(
    opened: Opened,
    seeds: Sequence[int],
    class_: str | None,
    *,
    latents: Path | None = None,
    space: Space | None = None,
    with_classes: bool = True,
    for_each_class: bool = False,
) -> tuple[Points, list[str]]:
    """Returns the points that seeds or a file of latents mean, and a name of each for files.

    Args:
        opened: the model.
        seeds: of the latents.
        class_: ``--class``: the class of all points or, between commas, of each; a single point is repeated for
            several. None: in turn, by the seed.
        latents: a file that has them, instead of seeds.
        space: what the file holds, if the user says so.
        with_classes: whether the points get classes, where the model takes them.
        for_each_class: all points with every class, one after the other; then ``class_`` is not looked at.

    Raises:
        GancliError: there is no such class, or the file holds something else.
    """
    import torch

    from gancli.cli.classes import class_labels, parse_classes
    from gancli.generation.latents import Points, latents_of_seeds, read_latents

    count = len(opened.classes)
    if class_ is not None and not count:
        raise GancliError(f"--class {class_}: {opened.name} knows no classes", "leave --class out")
    held: Space = "z"
    if latents is None:
        values = latents_of_seeds(opened.model, seeds, opened.level)
        names = [f"seed{seed:04d}" for seed in seeds]
    elif opened.level is not None:
        raise GancliError(
            f"--trunc {opened.level:g} cannot be: it draws latents, but --latents gives them", "leave --trunc out"
        )
    else:
        values, held = read_latents(latents, opened.model, space)
        seeds = range(len(values))
        names = [f"latent{index:04d}" for index in seeds]
    if held == "w" or not count or not with_classes:
        if class_ is not None:
            raise GancliError(
                f"--class {class_}: {latents} holds styles, which have a class already", "leave --class out"
            )
        return Points(values, seeds, space=held), names
    if for_each_class:
        classes = [*range(count)] * len(seeds)
        values = values.repeat_interleave(count, dim=0)
        seeds = [seed for seed in seeds for _ in range(count)]
        names = [name for name in names for _ in range(count)]
    elif class_ is not None:
        classes = parse_classes(class_, opened.classes)
        if len(classes) == 1:
            classes *= len(seeds)
        elif len(seeds) == 1:
            values = values.expand(len(classes), *values.shape[1:])
            seeds, names = [*seeds] * len(classes), names * len(classes)
        if len(classes) != len(seeds):
            raise GancliError(
                f"--class {class_}: these are {len(classes)} classes for {len(seeds)} images",
                "one for all, one for each, or several of one seed",
            )
    else:
        classes = [seed % count for seed in seeds]
        console.note(f"the classes take turns, seed 0 is {opened.classes[0]}; --class NAME says which")
    labels = class_labels(opened.classes)
    names = [f"{name}-{labels[number]}" for name, number in zip(names, classes, strict=True)]
    return Points(values, seeds, torch.eye(count)[classes]), names


def default_name(model: Path, command: str, seeds: Sequence[int], suffix: str) -> str:
    """Returns the file's name where there is no -o: ``horses-seed3.png``, ``horses-truncate-seeds0-15.png``.

    Args:
        model: the model file.
        command: what it is, with a hyphen, or empty.
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
    """Yields the file or stdout to write; the file is there, and its path printed, once the block has ended well."""
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
        names: of the files in a directory, without suffix; None for what gets none.
        images: all of them, in parts, float [n, C, H, W] in [-1, 1] on the CPU. For ``.npy`` any numbers [n, ...].
        columns: of the grid.
        doing: what the progress bar says.
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
                if not parts:  # before the others are made for nothing
                    check_size(target.format, *grid_size(len(names), columns, *part.shape[2:]))
                parts.append(to_pixels(part))
            pixels = np.concatenate(parts)
            with output_file(target) as output:
                output.write(encode(grid(pixels, columns), target.format))
