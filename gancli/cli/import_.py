"""``gancli import``: turns a checkpoint of an official implementation into a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option, echo

from gancli.cli import options
from gancli.errors import GancliError
from gancli.files import replace_file
from gancli.home import home
from gancli.importers import find_files, import_checkpoint, importers, title
from gancli.modelfile import SUFFIX


def import_(
    architecture: Annotated[
        str,
        Argument(
            metavar="ARCH",
            help="Architecture of the checkpoint: cdcgan, cgan, cyclegan, dcgan, gan, pix2pix, stylegan, ugatit, wgan"
            " or wgan-gp.",
            autocompletion=options.complete_importer,
        ),
    ],
    files: Annotated[
        list[Path], Argument(metavar="FILE", help="The checkpoint, or a folder of checkpoints: the newest is used.")
    ],
    name: Annotated[
        str | None,
        Option(metavar="NAME", help="Name of the model.  [default: the file's, or the folder's if that says more]"),
    ] = None,
    output: Annotated[
        Path | None,
        Option("-o", "--output", metavar="FILE", help="Model file to write, instead of one in $GANCLI_HOME/models."),
    ] = None,
    domains: Annotated[
        str | None,
        Option(
            metavar="A,B", help="Names of the domains, such as horse,zebra.  [default: from a name like horse2zebra]"
        ),
    ] = None,
    resolution: Annotated[
        int | None, Option(metavar="N", help="Height and width of images in pixels, if the file does not say it.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        Option("--set", metavar="KEY=VALUE", help="A setting that the file does not tell: model.upsampling=nearest."),
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace a model of this name.")] = False,
) -> None:
    """Turn a checkpoint of an official implementation into a model file, and print its path.

    dcgan reads the generators that pytorch/examples and the PyTorch DCGAN tutorial save: netG.pth.

    cyclegan and pix2pix read what junyanz/pytorch-CycleGAN-and-pix2pix saves, one file per network, together or alone:
    latest_net_G.pth, latest_net_G_A.pth, latest_net_D_A.pth. A CycleGAN's G without a letter translates A to B. With
    the discriminators, training can continue: gancli train --init-from.

    stylegan reads the generators that rosinality/style-based-gan-pytorch saves, such as train_step-7.model: the average
    g_running, or a state dict of it alone. The model has the resolution that it was trained for, or a smaller one:
    --resolution. The mean of w is computed. The discriminator is a different network and is not imported.

    ugatit reads what znxlwm/UGATIT-pytorch saves, all networks in one file: selfie2anime_params_0100000.pt.

    gan and cgan read the networks of eriklindernoren/PyTorch-GAN, which users save themselves: generator.pth. No tensor
    tells the epsilon of batch norm, which is 0.8 there; for a corrected gan, --set model.norm_eps=1e-5.

    cgan and cdcgan read what znxlwm/pytorch-MNIST-CelebA-cGAN-cDCGAN saves: generator_param.pkl,
    CelebA_cDCGAN_generator_param.pkl. No tensor tells the activation of a cdcgan; it becomes leaky for 64 px in colour,
    as in the CelebA script, and otherwise relu, unless --set model.activation says more.

    wgan reads what martinarjovsky/WassersteinGAN saves, from all its versions: netG_epoch_24.pth, netD_epoch_24.pth. A
    generator_config.json in the same folder must agree. The official code draws with the statistics of each batch,
    gancli with the running ones.

    wgan-gp reads the WGAN-GP and SNGAN generators of kwotsin/mimicry: netG_100000_steps.pth. They enlarge images
    bilinearly; for other networks with these layers, --set model.upsampling=nearest.

    A state dict is found under any key and prefix (netG., module., Lightning's state_dict), beside whatever else a
    trainer keeps. All sizes come from the tensors. No code in a file is run. Other packages may add importers.
    """
    from gancli.training.rundir import check_name

    importers(architecture)  # raises if there is none
    if name is not None and output is not None:
        raise GancliError("--name and -o both say where the model goes", "give one of them")
    paths = [path for file in files for path in find_files(architecture, file)]
    path = output or home() / "models" / f"{check_name(name or title(max(paths, key=lambda path: path.name)))}{SUFFIX}"
    if path.suffix != SUFFIX:
        raise GancliError(f"a model file ends in {SUFFIX}, but {path} does not", f"-o {path.with_suffix(SUFFIX)}")
    if path.exists() and not overwrite:
        raise GancliError(f"{path} already exists", "choose another --name, or add --overwrite")
    names = [name.strip() for name in domains.split(",")] if domains is not None else None
    flags = {"data.domains": (names, "--domains"), "model.resolution": (resolution, "--resolution")}
    content = import_checkpoint(architecture, paths, sets=set_ or (), flags=flags)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content)
    echo(path)
