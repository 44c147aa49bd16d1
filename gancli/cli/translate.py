"""``gancli translate``: images of one domain into images of another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gancli.cli.options import Model, Precision, wrong_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gancli.architectures.base import Architecture, Translator
    from gancli.cli.targets import Target
    from gancli.generation.inputs import Input, Plan
    from gancli.modelfile import ModelInfo

SMALLEST_TILE = 64
NAMED = 5
"""Files that a message names; of more it gives the number."""


def translate(
    model: Model,
    images: Annotated[
        list[str] | None,
        typer.Argument(metavar="IMAGE", help="Files, directories, globs, or - for an image on stdin."),
    ] = None,
    from_file: Annotated[
        str | None,
        typer.Option("--from-file", metavar="LIST", help="File with the path of an image on every line, or -."),
    ] = None,
    recursive: Annotated[
        bool,
        typer.Option("-r", "--recursive", help="Search directories with all below; the output keeps their folders."),
    ] = False,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="DOMAIN", help="Into which domain.  [default: the second, where possible]"),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="OUT", help="File (.png .jpg .webp .npy), directory (a file each), or -."
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", metavar="F", help="png, jpg, webp or npy, where -o is no file.  [default: png]"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write files anew that are there already, instead of keeping them.")
    ] = False,
    size: Annotated[
        int | None,
        typer.Option("--size", metavar="N", help="Resize the short side to N before.  [default: the image's own size]"),
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option("--tile", metavar="N", help="Translate larger images in overlapping tiles of N pixels."),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch", metavar="N", help="Images or tiles computed at a time.  [default: 1 on a CPU, else up to 8]"
        ),
    ] = None,
    attention: Annotated[
        bool, typer.Option("--attention", help="Write the attention, over the input, as NAME-attention.png, too.")
    ] = False,
    side_by_side: Annotated[
        bool,
        typer.Option("--side-by-side", help="One picture: input, with --attention the attention, translation."),
    ] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="Seed of what a model draws, as pix2pix.  [default: 0]")
    ] = None,
    device: Annotated[str, typer.Option("--device", metavar="D", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Precision = "fp32",
) -> None:
    """Translate images into another domain, and print the paths written.

    Without -o, img.jpg becomes img-zebra.png in the working directory; in the directory that -o names, img.png. The
    result has the size of its input. Files that are there already are kept, so that an interrupted run can be repeated.
    An image that cannot be read is reported at the end, with exit code 1, and the others are done.

    A .npy file holds float32 [C, H, W] or [N, C, H, W] in [-1, 1], as input and output.
    """
    import sys

    from gancli.cli.seeds import LARGEST
    from gancli.cli.targets import Target, choose_target
    from gancli.errors import GancliError, RunError
    from gancli.modelfile import find_model

    for option, value, least in (("--batch", batch, 1), ("--size", size, 1), ("--tile", tile, SMALLEST_TILE)):
        if value is not None and value < least:
            raise GancliError(f"{option} {value}: must be at least {least}")
    if seed is not None and not 0 <= seed <= LARGEST:
        raise GancliError(f"--seed {seed}: must lie between 0 and 2^63 - 1")
    target = choose_target(output, format_, default="name.png")
    if output is None:  # a file for each image, too
        target = Target("directory", Path(), target.format)
    if target.kind == "stream" and sys.stdout.isatty():
        raise GancliError("image bytes would spoil the terminal", f"gancli translate {model} IMAGE -o FILE")
    if target.kind == "stream" and attention and not side_by_side:
        raise GancliError("--attention makes a second picture, but -o - takes one", "add --side-by-side")
    path = find_model(model)

    import torch

    from gancli import console
    from gancli.architectures.base import AttentiveTranslator
    from gancli.data.formats import is_image
    from gancli.data.source import BadImage
    from gancli.devices import choose_device
    from gancli.generation.inputs import Job, find_inputs, make_plan, read_stdin
    from gancli.generation.translation import (
        Picture,
        Translated,
        Translation,
        attention_pixels,
        output_pixels,
        read_picture,
        translate_all,
    )
    from gancli.generation.writers import encode, npy
    from gancli.modelfile import load_model
    from gancli.training.update import AUTOCAST

    if precision not in AUTOCAST:
        raise GancliError(f"--precision {precision}: unknown", f"known are: {', '.join(AUTOCAST)}")
    chosen = choose_device(device)
    loaded, info = load_model(path, chosen)
    translator, domain = translator_towards(loaded, info, model, to)
    names = dict(zip(translator.domains, info.domains, strict=True))
    (source,) = (info.images[name] for internal, name in names.items() if internal != domain)
    kind = _format(target, format_, info.images[names[domain]].channels, side_by_side)
    if tile is not None and translator.fixed_size not in (None, (tile, tile)):
        raise GancliError(f"--tile {tile}: {model} takes images of {source.width}x{source.height} only")
    if attention and not isinstance(translator, AttentiveTranslator):
        raise GancliError(f"--attention: a {info.architecture} has none to show", "a ugatit has")
    if seed is not None and not translator.noisy:
        console.warn(f"--seed changes nothing: a {info.architecture} translates without chance")

    def outputs(item: Input) -> tuple[Path, ...]:
        if target.kind == "stream":
            return ()
        if target.kind == "file":
            first = target.path
        else:
            first = target.path / f"{item.name}{'' if output else f'-{names[domain]}'}.{kind}"
        if not attention or side_by_side:
            return (first,)
        return first, first.with_name(f"{first.stem}-attention.{'png' if kind == 'npy' else kind}")

    inputs = find_inputs(
        images or [],
        from_file,
        recursive=recursive,
        wanted=lambda name: name.lower().endswith(".npy") or (source.channels <= 4 and is_image(name)),
        leave_out=target.path if target.kind == "directory" and output else None,
    )
    if len(inputs) > 1 and target.kind != "directory":
        raise GancliError(f"-o {output} takes one image, but there are {len(inputs)}", "-o DIRECTORY/")
    plan = make_plan(inputs, outputs, overwrite=overwrite)
    stdin = read_stdin() if any(job.input.path is None for job in plan.jobs) else b""

    def read(job: Job) -> Picture:
        data = stdin if job.input.path is None else _read(job.input.path)
        picture = read_picture(data, source.channels, size, alpha=kind != "jpg")
        if len(picture.values) > 1 and (kind != "npy" or attention):
            raise BadImage(f"holds {len(picture.values)} images, which only --format npy can hold")
        return picture

    def write(job: Job, picture: Picture, translated: Translated) -> bytes:
        """Writes the files of a job, or returns what goes to stdout."""
        if kind == "npy":
            contents = [npy(torch.from_numpy(translated.images))]
        else:
            contents = [encode(output_pixels(picture, translated, side_by_side=side_by_side), kind)]
        if attention and not side_by_side:
            contents.append(encode(attention_pixels(picture, translated), "png" if kind == "npy" else kind))
        for file, content in zip(outputs(job.input), contents, strict=False):
            if file in job.outputs:
                _write(file, content)
        return contents[0] if target.kind == "stream" else b""

    failures: list[str] = []
    with console.progress("translating", len(plan.jobs)) as bar:
        translation = Translation(
            translator,
            domain,
            chosen,
            batch=batch,
            seed=seed or 0,
            precision=AUTOCAST[precision],
            tile=tile,
            attention=attention,
            floats=kind == "npy",
            on_rows=bar.update if len(plan.jobs) == 1 else None,
        )
        try:
            for job, result in translate_all(plan.jobs, read, translation, write):
                if isinstance(result, BadImage):
                    failures.append(f"{job.input}: {result}")
                elif target.kind == "stream":
                    sys.stdout.buffer.write(result)
                    sys.stdout.buffer.flush()
                for file in job.outputs if not isinstance(result, BadImage) else ():
                    console.result(file)
                if len(plan.jobs) > 1:
                    bar.advance()
        finally:
            _report(plan, failures)
    if failures:
        raise RunError(f"{len(failures)} of {len(plan.jobs)} images could not be translated")


def translator_towards(loaded: Architecture, info: ModelInfo, model: str, to: str | None) -> tuple[Translator, str]:
    """Returns the model as a translator, and which of its domains ``--to`` means."""
    from gancli.architectures.base import Translator
    from gancli.errors import GancliError, nearest

    if not isinstance(loaded, Translator):
        raise wrong_model(model, loaded, info, "translates no images")
    names = dict(zip(loaded.domains, info.domains, strict=True))
    targets = [domain for domain in loaded.domains if domain in loaded.targets()]
    possible = f"it translates into {' and '.join(names[domain] for domain in targets)}"
    if to is None:
        return loaded, targets[-1]
    meant = {**{domain: domain for domain in names}, **{name: domain for domain, name in names.items()}}
    if to not in meant:
        raise GancliError(f"--to {to}: {model} knows no such domain", nearest(to, names.values()) or possible)
    if meant[to] not in targets:
        raise GancliError(f"--to {to}: {model} translates from {to} only", possible)
    return loaded, meant[to]


def _format(target: Target, given: str | None, channels: int, side_by_side: bool) -> str:
    """Returns what is written: what the user said, else what can hold the images."""
    from gancli.errors import GancliError

    viewable = side_by_side or channels <= 4
    if given is None and target.kind != "file":
        return "png" if viewable else "npy"
    if target.format == "npy" and side_by_side:
        raise GancliError("--side-by-side makes a picture, which a .npy file is not", "leave out one of them")
    if target.format != "npy" and not viewable:
        raise GancliError(
            f"the images have {channels} channels, which no {target.format} file can hold",
            "--format npy, or --side-by-side to look at the first of them",
        )
    return target.format


def _read(path: Path) -> bytes:
    from gancli.data.source import BadImage
    from gancli.generation.inputs import read_whole

    try:
        if path.suffix.lower() == ".npy":
            return path.read_bytes()
        with path.open("rb") as file:
            return read_whole(file)
    except (OSError, ValueError) as error:  # ValueError: no path at all
        raise BadImage(getattr(error, "strerror", None) or str(error)) from error


def _write(file: Path, content: bytes) -> None:
    import errno

    from gancli.data.source import BadImage
    from gancli.errors import RunError
    from gancli.files import replace_file

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, content)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise RunError(
            f"{file} cannot be written: something of that name is in the way", "choose another -o"
        ) from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise BadImage(f"the name {file.name} is too long for a file") from error
        raise


def _report(plan: Plan, failures: Sequence[str]) -> None:
    """Says what was not translated and why."""
    from gancli import console

    def some(names: Sequence[object]) -> str:
        listed = ", ".join(str(name) for name in names[:NAMED])
        return listed if len(names) <= NAMED else f"{listed} and {len(names) - NAMED} more"

    if plan.left_out:
        console.note(f"left out, since they are results of others: {some(plan.left_out)}")
    if plan.kept:
        console.note(f"kept, since they are there already: {some(plan.kept)} (--overwrite writes them anew)")
    for failure in failures:
        console.warn(failure)
