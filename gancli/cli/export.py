"""``gancli export``: a model file becomes a checkpoint that the official code loads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gancli.cli.options import complete_model

if TYPE_CHECKING:
    from gancli.architectures.base import Architecture
    from gancli.modelfile import ModelInfo


def export(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="Name, run directory or model file.", autocompletion=complete_model),
    ],
    output: Annotated[
        str,
        typer.Option("-o", "--output", metavar="OUT", help="File (.pth .pt .model), or directory for all networks."),
    ],
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="F",
            help="junyanz, pytorch-examples, rosinality or znxlwm.  [default: what there is for the architecture]",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="DOMAIN", help="Of two generators, write the one that translates into this."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Write a model as a checkpoint that the official implementation loads, and print the paths written.

    junyanz (cyclegan, pix2pix): a file is one generator, a directory gets a file per network by the official names,
    latest_net_G_A.pth and so on. pytorch-examples (dcgan): the same, netG.pth and netD.pth. rosinality (stylegan): one
    file holds the generator as g_running, which is enough for images; the discriminator there is another. znxlwm
    (ugatit): one file holds all networks.
    """
    import io

    from gancli.errors import GancliError
    from gancli.importers import importer
    from gancli.modelfile import find_model, read_info, title

    path = find_model(model)
    info = read_info(path)
    known = importer(info.architecture).checkpoints
    if format_ not in (None, known.format):
        raise GancliError(f"--format {format_}: {model} is a {info.architecture}, which is written as {known.format}")
    out = Path(output)
    to_directory = out.is_dir() or output.endswith("/") or not out.suffix
    if not to_directory and out.suffix not in known.suffixes:
        ends = " or ".join(known.suffixes)
        raise GancliError(
            f"-o {output}: a checkpoint of {known.format} ends in {ends}", f"-o {out.with_suffix(known.suffixes[0])}"
        )
    if to_directory and out.exists() and not out.is_dir():
        raise GancliError(f"-o {output}: there is a file of this name, so it cannot be a directory")
    if to is not None and (to_directory or known.together):
        raise GancliError(f"--to {to}: all networks are written, for either direction", "leave --to out")

    import torch

    from gancli.files import replace_file
    from gancli.importers import export_checkpoint
    from gancli.modelfile import load_model

    loaded, _ = load_model(path, torch.device("cpu"))
    networks = info.networks if to_directory or known.together else [_generator(loaded, info, to)]
    contents = export_checkpoint(loaded, info.architecture, networks, title(path), info.step)
    files = {out / name if to_directory else out: content for name, content in contents.items()}
    existing = [str(file) for file in files if file.exists()]
    if existing and not overwrite:
        raise GancliError(f"{existing[0]} exists already", "choose another place, or add --overwrite")
    for file, content in files.items():
        buffer = io.BytesIO()
        torch.save(content, buffer)
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, buffer.getvalue())
        typer.echo(file)


def _generator(model: Architecture, info: ModelInfo, to: str | None) -> str:
    """Returns the network that translates into a domain, by the user's name of it; the only generator without one."""
    from gancli.architectures.base import Translator, TwoWayTranslator
    from gancli.errors import GancliError, nearest

    generators = [name for name in model.averaged if name in info.networks]
    if not isinstance(model, Translator):
        if to is not None:
            raise GancliError(f"--to {to}: a {info.architecture} does not translate", "leave --to out")
        return generators[0]
    into = {info.domains[model.domains.index(domain)]: domain for domain in model.targets()}
    if to is not None and to not in into:
        raise GancliError(f"--to {to}: the model translates into {' and '.join(into)}", nearest(to, into))
    if to is None and len(generators) > 1:
        raise GancliError(
            f"the model translates into {' and '.join(into)}, and a file holds one generator",
            f"--to {next(reversed(into))}, or -o DIR/ for all networks",
        )
    if len(generators) == 1:
        return generators[0]
    assert isinstance(model, TwoWayTranslator)  # no other has two
    return model.generators[into[str(to)]]
