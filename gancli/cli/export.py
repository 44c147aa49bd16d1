"""``gancli export``: a model file becomes a checkpoint that the official code loads."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from gancli.cli import options
from gancli.console import result
from gancli.errors import GancliError
from gancli.files import replace_file
from gancli.generation.ways import names_of, way_towards
from gancli.importers import export_checkpoint, exporter
from gancli.modelfile import find_model, load_model, title

if TYPE_CHECKING:
    from gancli.architectures.base import Architecture
    from gancli.modelfile import ModelInfo


def export(
    model: options.Model,
    output: Annotated[
        str, Option("-o", "--output", metavar="OUT", help="File (.pth .pt .pkl .model), or directory for all networks.")
    ],
    format_: Annotated[
        str | None,
        Option(
            "--format",
            metavar="F",
            help="junyanz, martinarjovsky, mimicry, pytorch-examples, pytorch-gan, rosinality or znxlwm.  [default: the"
            " one for the architecture]",
        ),
    ] = None,
    to: options.To = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Write a model as a checkpoint that the official implementation loads, and print the paths written.

    junyanz (cyclegan, pix2pix): a file gets one generator, the one that --to names if there are two; a directory gets a
    file per network with its official name, latest_net_G_A.pth and so on. pytorch-examples (dcgan): the same, with
    netG.pth and netD.pth. rosinality (stylegan): one file holds the generator as g_running, which is enough to make
    images; the official discriminator is a different network. znxlwm: one file holds all networks of a ugatit, but a
    cgan or cdcgan has a file per network. pytorch-gan (gan, cgan) and martinarjovsky (wgan): a file per network, too; a
    directory also gets the generator_config.json that generate.py of WGAN reads. mimicry (wgan-gp with residual
    networks): the generator alone.
    """
    import torch

    path = find_model(model)
    loaded, info = load_model(path, torch.device("cpu"))
    known = exporter(loaded, info.architecture).checkpoints
    if format_ not in (None, known.format):
        raise GancliError(f"--format {format_}: {model} is a {info.architecture}; its format is {known.format}")
    out = Path(output)
    to_directory = out.is_dir() or output.endswith("/") or not out.suffix
    if not to_directory and out.suffix not in known.suffixes:
        text = f"-o {output}: a {known.format} checkpoint ends in {' or '.join(known.suffixes)}"
        raise GancliError(text, f"-o {out.with_suffix(known.suffixes[0])}")
    if to_directory and out.exists() and not out.is_dir():
        raise GancliError(f"-o {output}: a file of this name is in the way of the directory")
    if to is not None and (to_directory or known.together):
        raise GancliError(f"--to {to} has no effect, since all networks are written", "leave --to out")
    if not to_directory:
        _check_free([out], overwrite)

    networks = info.networks if to_directory or known.together else [_generator(loaded, info, model, to)]
    contents = export_checkpoint(loaded, info.architecture, networks, title(path), info.step)
    files = {
        out / name if to_directory else out: content
        for name, content in contents.items()
        if to_directory or not isinstance(content, bytes)
    }
    _check_free(files, overwrite)
    for file, content in files.items():
        buffer = io.BytesIO(content if isinstance(content, bytes) else b"")
        if not isinstance(content, bytes):
            torch.save(content, buffer)
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, buffer.getvalue())
        result(file)


def _check_free(files: Iterable[Path], overwrite: bool) -> None:
    for file in files:
        if file.exists() and not overwrite:
            raise GancliError(f"{file} already exists", "choose another -o, or add --overwrite")


def _generator(model: Architecture, info: ModelInfo, name: str, to: str | None) -> str:
    """Returns the network to write: the only generator, or of two the one that goes the way of ``--to``."""
    from gancli.architectures.base import Translator, TwoWayTranslator

    generators = [network for network in model.averaged if network in info.networks]
    if not isinstance(model, Translator):
        if to is not None:
            raise GancliError(f"--to {to}: {name} is a {info.architecture}, not a translator", "leave --to out")
        return generators[0]
    way = way_towards(model, info, name, to)
    if len(generators) == 1:
        return generators[0]
    if to is None:
        targets = [names_of(model, info)[each.target] for each in model.ways()]
        text = f"{name} translates into {' and '.join(targets)}, but a file holds one generator"
        raise GancliError(text, f"--to {targets[-1]}, or -o DIR/ for all networks")
    assert isinstance(model, TwoWayTranslator)  # no other has two
    return model.generators[way]
