"""``gancli translate``: images of one domain into images of another."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from gancli import console
from gancli.cli import options
from gancli.cli.targets import Target, choose_target
from gancli.errors import GancliError, RunError, check_between, check_known, some
from gancli.files import replace_file
from gancli.generation.ways import names_of, way_towards
from gancli.modelfile import find_model, load_model
from gancli.seeding import LARGEST_SEED

if TYPE_CHECKING:
    from gancli.generation.inputs import Input, Job, Plan
    from gancli.generation.pictures import Picture, Translated

SMALLEST_TILE = 64
NAMED = 5
"""Largest number of files that a message lists."""


def translate(
    model: options.Model,
    images: Annotated[
        list[str] | None, Argument(metavar="IMAGE", help="Files, directories, globs, or - for an image on stdin.")
    ] = None,
    from_file: Annotated[
        str | None, Option(metavar="LIST", help="File with one path of an image per line, or -.")
    ] = None,
    recursive: Annotated[
        bool, Option("-r", "--recursive", help="Also search the folders below directories; the output keeps them.")
    ] = False,
    to: options.To = None,
    output: options.Output = None,
    format_: options.Format = None,
    overwrite: options.Overwrite = False,
    size: Annotated[
        int | None, Option(metavar="N", help="First resize the short side to N.  [default: the image's own size]")
    ] = None,
    tile: Annotated[
        int | None, Option(metavar="N", help="Translate larger images in overlapping tiles of N pixels.")
    ] = None,
    batch: Annotated[
        int | None,
        Option(metavar="N", help="Images or tiles computed at a time.  [default: 1 on a CPU, else up to 8]"),
    ] = None,
    range_: options.Range = None,
    attention: Annotated[
        bool, Option("--attention", help="Also write the attention, over the input, as NAME-attention.png.")
    ] = False,
    side_by_side: Annotated[
        bool, Option("--side-by-side", help="One picture with input, attention (if asked for) and translation.")
    ] = False,
    seed: options.Seed = None,
    device: options.AutoDevice = "auto",
    precision: options.Precision = "fp32",
) -> None:
    """Translate images into another domain, and print the paths written.

    Without -o, img.jpg becomes img-zebra.png in the working directory; with -o DIR, it becomes img.png in DIR. The
    result has the size of its input. Existing files are skipped, so an interrupted run can be repeated; --overwrite
    replaces them. Images that cannot be read are reported at the end, with exit code 1; all others are translated.

    If a model has several ways to one domain, --to SOURCE:TARGET chooses one. --seed is for models that draw noise,
    such as pix2pix.

    As input and output, a .npy file holds float32 [C, H, W] or [N, C, H, W] in [-1, 1].
    """
    check_between("--batch", batch, 1)
    check_between("--size", size, 1)
    check_between("--tile", tile, SMALLEST_TILE)
    check_between("--seed", seed, 0, LARGEST_SEED)
    target = choose_target(output, format_, default="name.png")
    if output is None:  # also a file for each image
        target = Target("directory", Path(), target.format)
    if target.kind == "stream" and attention and not side_by_side:
        raise GancliError("--attention makes a second picture, but -o - takes only one", "add --side-by-side")
    options.parse_range(range_)
    path = find_model(model)

    import torch

    from gancli.architectures.base import AttentiveTranslator, Translator
    from gancli.data.formats import is_image
    from gancli.data.levels import PLAIN_RANGES
    from gancli.data.source import BadImage, Facts
    from gancli.data.unread import unread_notes
    from gancli.devices import choose_device
    from gancli.generation.inputs import find_inputs, make_plan, read_stdin
    from gancli.generation.pictures import attention_pixels, output_pixels, read_picture
    from gancli.generation.translation import Translation, translate_all
    from gancli.generation.writers import encode, npy
    from gancli.training.update import AUTOCAST

    check_known("--precision", precision, AUTOCAST)
    chosen = choose_device(device)
    translator, info = load_model(path, chosen, whole=False)
    if not isinstance(translator, Translator):
        raise options.wrong_model(model, translator, info, "translates no images")
    way = way_towards(translator, info, model, to)
    domains = translator.inputs(translator.config).domains
    channels = domains[way.source].shape[0]
    kind = _format(target, format_, domains[way.target].shape[0], side_by_side)
    limits = options.range_for(range_, info)
    fixed = translator.fixed_size
    if tile is not None and fixed is not None and fixed != (tile, tile):
        raise GancliError(f"--tile {tile}: {model} takes only images of {fixed[1]}x{fixed[0]}", "leave --tile out")
    if attention and not isinstance(translator, AttentiveTranslator):
        text = f"--attention needs a model with attention, such as ugatit; {model} is a {info.architecture}"
        raise GancliError(text, "leave --attention out")
    if seed is not None and not translator.noisy:
        console.warn(f"--seed has no effect: {info.architecture} is deterministic")

    picture_kind = "png" if kind == "npy" else kind
    ending = f".{kind}" if output else f"-{names_of(translator, info)[way.target]}.{kind}"

    def outputs(item: Input) -> tuple[Path, ...]:
        if target.kind == "stream":
            return ()
        first = target.path if target.kind == "file" else target.path / f"{item.name}{ending}"
        if not attention or side_by_side:
            return (first,)
        return first, first.with_name(f"{first.stem}-attention.{picture_kind}")

    passed: list[str] = []
    inputs = find_inputs(
        images or [],
        from_file,
        recursive=recursive,
        wanted=lambda name: name.lower().endswith(".npy") or (channels <= 4 and is_image(name)),
        leave_out=target.path if target.kind == "directory" and output else None,
        passed=passed,
    )
    for text in unread_notes(passed):
        console.note(text)
    if len(inputs) > 1 and target.kind != "directory":
        raise GancliError(f"-o {output} is for one image, but there are {len(inputs)}", "-o DIRECTORY/")
    plan = make_plan(inputs, outputs, overwrite=overwrite)
    stdin = read_stdin() if any(job.input.path is None for job in plan.jobs) else b""

    def read(job: Job) -> Picture:
        data = stdin if job.input.path is None else _read(job.input.path)
        picture = read_picture(
            data, channels, size, alpha=kind != "jpg", limits=limits, tell=lambda fact: facts.add(fact, str(job.input))
        )
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
            contents.append(encode(attention_pixels(picture, translated), picture_kind))
        for file, content in zip(outputs(job.input), contents, strict=False):
            if file in job.outputs:
                _write(file, content)
        return contents[0] if target.kind == "stream" else b""

    facts = Facts()
    failures: list[str] = []
    with console.progress("translating", len(plan.jobs)) as bar:
        translation = Translation(
            translator,
            way,
            chosen,
            batch=batch,
            seed=seed or 0,
            precision=AUTOCAST[precision or "fp32"],
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
                else:
                    for file in job.outputs:
                        console.result(file)
                if len(plan.jobs) > 1:
                    bar.advance()
        finally:
            _report(plan, facts.notes(PLAIN_RANGES), failures)
    if failures:
        raise RunError(f"{len(failures)} of {len(plan.jobs)} images could not be translated")


def _format(target: Target, given: str | None, channels: int, side_by_side: bool) -> str:
    """Returns the format to write: the user's, else one that can hold the images."""
    viewable = side_by_side or channels <= 4
    if given is None and target.kind != "file":
        return "png" if viewable else "npy"
    if target.format == "npy" and side_by_side:
        raise GancliError("--side-by-side makes a picture, which a .npy file cannot hold", "leave one of them out")
    if target.format != "npy" and not viewable:
        text = f"the images have {channels} channels, which no {target.format} file can hold"
        raise GancliError(text, "--format npy, or --side-by-side to see the first three")
    return target.format


def _read(path: Path) -> bytes:
    from gancli.data.formats import unread_kind
    from gancli.data.source import BadImage
    from gancli.generation.inputs import read_whole

    if (kind := unread_kind(path.name)) is not None:
        raise BadImage(f"files of this kind ({kind[0]}) are not read: {kind[1]}")
    try:
        if path.suffix.lower() == ".npy":
            return path.read_bytes()
        with path.open("rb") as file:
            return read_whole(file)
    except (OSError, ValueError) as error:  # ValueError: not a valid path
        raise BadImage(getattr(error, "strerror", None) or str(error)) from error


def _write(file: Path, content: bytes) -> None:
    from gancli.data.source import BadImage

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, content)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise RunError(f"{file} cannot be written: something else has that name", "choose another -o") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise BadImage(f"the name {file.name} is too long for a file") from error
        raise


def _report(plan: Plan, notes: Sequence[str], failures: Sequence[str]) -> None:
    """Says which images were not translated and why."""

    def counted(names: Sequence[object], what: str) -> str:
        return f"{len(names)} {what}{'s' if len(names) > 1 else ''} ({some(map(str, names), NAMED)})"

    if plan.left_out:
        console.note(f"left out {counted(plan.left_out, 'image')} that earlier runs made of the others")
    if plan.kept:
        console.note(f"skipped {counted(plan.kept, 'existing file')}; --overwrite replaces them")
    for text in notes:
        console.note(text)
    for failure in failures:
        console.warn(failure)
