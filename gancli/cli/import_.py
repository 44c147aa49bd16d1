"""``gancli import``: a checkpoint of an official implementation becomes a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gancli.cli.options import complete_importer


def import_(
    architecture: Annotated[
        str,
        typer.Argument(metavar="ARCH", help="Architecture of the checkpoint: dcgan.", autocompletion=complete_importer),
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The checkpoint, such as netG.pth.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the model.  [default: the file's, without .pth]")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Model file to write, instead of one in $GANCLI_HOME/models.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model of this name.")] = False,
) -> None:
    """Make a model file of a checkpoint of an official implementation, and print its path.

    dcgan reads the generators that pytorch/examples and the PyTorch DCGAN tutorial save: a state dict, bare or under a
    key, with or without `module.`. No code in the file is run.
    """
    from gancli.errors import GancliError
    from gancli.importers import importer_names
    from gancli.modelfile import SUFFIX
    from gancli.paths import home
    from gancli.training.rundir import check_name

    if architecture not in importer_names():
        raise GancliError(
            f"there is no importer for {architecture!r}", f"there is one for: {', '.join(importer_names())}"
        )
    if name is not None and output is not None:
        raise GancliError("--name and -o both say where the model goes", "give one of them")
    path = output or home() / "models" / f"{check_name(name or file.stem)}{SUFFIX}"
    if path.suffix != SUFFIX:
        raise GancliError(f"a model file ends in {SUFFIX}, but {path} does not", f"-o {path.with_suffix(SUFFIX)}")
    if path.exists() and not overwrite:
        raise GancliError(f"{path} exists already", "choose another --name, or add --overwrite")

    from gancli.files import replace_file
    from gancli.importers import import_checkpoint

    content = import_checkpoint(architecture, file)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content)
    typer.echo(path)
