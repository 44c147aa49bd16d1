"""``gancli import``: a checkpoint of an official implementation becomes a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gancli.cli.options import complete_importer


def import_(
    architecture: Annotated[
        str,
        typer.Argument(
            metavar="ARCH",
            help="Architecture of the checkpoint: cyclegan, dcgan, pix2pix, stylegan or ugatit.",
            autocompletion=complete_importer,
        ),
    ],
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="The checkpoint, or a folder that holds it: its newest is taken."),
    ],
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="Name of the model.  [default: the file's, or the folder's where that says more]",
        ),
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
    domains: Annotated[
        str | None,
        typer.Option(
            "--domains",
            metavar="A,B",
            help="What its domains are called, such as horse,zebra.  [default: from a name like horse2zebra]",
        ),
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option("--resolution", metavar="N", help="Of the images, in pixels, where the file does not say it."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="What the file does not tell: model.upsampling=nearest."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model of this name.")] = False,
) -> None:
    """Make a model file of a checkpoint of an official implementation, and print its path.

    dcgan reads the generators that pytorch/examples and the PyTorch DCGAN tutorial save: netG.pth.

    cyclegan and pix2pix read what junyanz/pytorch-CycleGAN-and-pix2pix saves, a file per network, together or alone:
    latest_net_G.pth, latest_net_G_A.pth, latest_net_D_A.pth. A CycleGAN's G without a letter translates A to B. With
    the discriminators, training can go on: gancli train --init-from.

    stylegan reads the generators that rosinality/style-based-gan-pytorch saves, train_step-7.model and the like: the
    average g_running, or a state dict of it alone. It is taken at the resolution that it was trained for, or at a
    smaller one: --resolution. The mean of w is computed. The discriminator there is another, and stays behind.

    ugatit reads what znxlwm/UGATIT-pytorch saves, all networks in one file: selfie2anime_params_0100000.pt.

    All sizes come from the tensors. No code in a file is run.
    """
    from gancli.errors import GancliError
    from gancli.home import home
    from gancli.importers import find_files, importer_names, title
    from gancli.modelfile import SUFFIX
    from gancli.training.rundir import check_name

    if architecture not in importer_names():
        raise GancliError(
            f"there is no importer for {architecture!r}", f"there is one for: {', '.join(importer_names())}"
        )
    if name is not None and output is not None:
        raise GancliError("--name and -o both say where the model goes", "give one of them")
    paths = [path for file in files for path in find_files(architecture, file)]
    path = output or home() / "models" / f"{check_name(name or title(paths[0]))}{SUFFIX}"
    if path.suffix != SUFFIX:
        raise GancliError(f"a model file ends in {SUFFIX}, but {path} does not", f"-o {path.with_suffix(SUFFIX)}")
    if path.exists() and not overwrite:
        raise GancliError(f"{path} exists already", "choose another --name, or add --overwrite")

    from gancli.files import replace_file
    from gancli.importers import import_checkpoint

    names = [name.strip() for name in domains.split(",")] if domains is not None else None
    flags = {"data.domains": (names, "--domains"), "model.resolution": (resolution, "--resolution")}
    content = import_checkpoint(architecture, paths, sets=set_ or (), flags=flags)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content)
    typer.echo(path)
