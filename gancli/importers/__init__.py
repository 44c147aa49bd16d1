"""Checkpoints of official implementations: one module each, with its key map, both ways. Importable without torch.

Such a module has

- ``KINDS``: what it reads, in words, by architecture;
- ``read(architecture, found, model, chosen) -> Imported``: which of our networks the state dicts are, and their sizes;
  ``chosen`` are the keys of the section ``model`` that the user has set;
- ``counterparts(network)``: for the tensors of one of our networks, those there; an import reads it backwards. It is
  empty for a network that the official checkpoint has none like;
- ``files(model, networks, title, step)``: what the official code would save of the model, by the name that it would
  give the file; ``networks`` are its networks as counterparts.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gancli.errors import GancliError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Official:
    """An official implementation: the name of its format, and how it calls its checkpoints."""

    format: str
    file: str
    """Pattern of a file's name; its group ``epoch`` is a number, ``latest``, or nothing, which means the same."""
    example: str
    together: bool = False
    """Whether one file holds all networks."""
    suffixes: tuple[str, ...] = (".pth", ".pt")
    """Ends of such files' names."""

    def module(self) -> ModuleType:
        """Imports the key map (and with it torch)."""
        return importlib.import_module(f"gancli.importers.{self.format.replace('-', '_')}")


_JUNYANZ = Official(
    "junyanz", r"(?:iter_)?(?P<epoch>latest|\d+)_net_[GD](?:_[AB])?\.pth", "latest_net_G.pth, latest_net_G_A.pth"
)
OFFICIAL = {
    "cyclegan": _JUNYANZ,
    "dcgan": Official("pytorch-examples", r"netG(?:_epoch_(?P<epoch>\d+))?\.pth", "netG.pth, netG_epoch_24.pth"),
    "pix2pix": _JUNYANZ,
    # Two kinds of number: of resolutions, and of the iterations at which the average is saved alone.
    "stylegan": Official(
        "rosinality",
        r"(?:train_step-)?(?P<epoch>\d+)\.model",
        "train_step-7.model, 130000.model",
        together=True,
        suffixes=(".model", ".pth", ".pt"),
    ),
    "ugatit": Official(
        "znxlwm", r".+_params_(?P<epoch>latest|\d+)\.pt", "selfie2anime_params_0100000.pt", together=True
    ),
}
"""By architecture."""


def importer_names() -> list[str]:
    """Returns the architectures whose official checkpoints can be imported."""
    return sorted(OFFICIAL)


def official(architecture: str) -> Official:
    """Returns the official implementation of an architecture.

    Raises:
        GancliError: none is known.
    """
    if architecture not in OFFICIAL:
        raise GancliError(
            f"no official implementation of {architecture!r} is known", f"known are those of: {', '.join(OFFICIAL)}"
        )
    return OFFICIAL[architecture]


def find_files(architecture: str, path: Path) -> list[Path]:
    """Returns the files that a FILE means: itself, or in a folder those of the newest epoch, ``latest`` first.

    Raises:
        GancliError: a folder holds no checkpoint, or cannot be read.
    """
    try:
        if not path.is_dir():
            return [path]
        inside = sorted(path.iterdir())
    except OSError as error:
        raise GancliError(f"cannot read {path}: {error.strerror}") from error
    known = OFFICIAL[architecture]
    by_epoch: dict[float, list[Path]] = {}
    for file in inside:
        if match := re.fullmatch(known.file, file.name):
            epoch = float("inf") if match["epoch"] in (None, "latest") else int(match["epoch"])
            by_epoch.setdefault(epoch, []).append(file)
    if not by_epoch:
        raise GancliError(
            f"the folder {path} holds no checkpoint of {architecture}", f"it would be called like {known.example}"
        )
    return by_epoch[max(by_epoch)]


def title(path: Path) -> str:
    """Returns what a checkpoint file is about: ``horse2zebra`` for ``horse2zebra_pretrained/latest_net_G.pth``."""
    name = path.stem
    if re.fullmatch(r"(?:latest|(?:iter_)?\d+)_net_[GD](?:_[AB])?", name):
        name = path.absolute().parent.name or name
    return re.sub(r"_pretrained$|_params_(?:latest|\d+)$", "", name)


def import_checkpoint(
    architecture: str,
    paths: Sequence[Path],
    *,
    sets: Sequence[str] = (),
    flags: Mapping[str, tuple[Any, str]] | None = None,
) -> bytes:
    """Returns the content of a model file for the files of a foreign checkpoint.

    Args:
        architecture: one of ``importer_names()``.
        paths: the files; see ``find_files``.
        sets: ``key.of.section=value`` as in --set, for what no tensor tells; it wins over what the tensors tell.
        flags: the same from flags of their own, as ``config.resolve`` takes them. Where neither names the domains, the
            files' title does.

    Raises:
        GancliError: a file cannot be read, is not of this architecture, or does not fit the others.
    """
    import torch

    from gancli import config, modelfile, registry
    from gancli.data.files import domain_names
    from gancli.importers.reading import fit, read_state_dicts

    known = official(architecture)
    module = known.module()
    flags = {key: flag for key, flag in (flags or {}).items() if flag[0] is not None}
    chosen = {text.partition("=")[0].strip() for text in sets} | flags.keys()
    found = [state for path in paths for state in read_state_dicts(path, known.example)]
    wanted = config.resolve(architecture, sets=sets, flags=flags).model
    imported = module.read(
        architecture, found, wanted, {key.removeprefix("model.") for key in chosen if key.startswith("model.")}
    )

    sizes = {
        f"model.{key}": (value, f"{where}: model.{key}")
        for key, (value, where) in imported.model.items()
        if f"model.{key}" not in chosen
    }
    resolved = config.resolve(architecture, sets=sets, flags={**sizes, **flags})
    kind = registry.load_architecture(architecture)
    with torch.device("meta"):  # shapes without memory
        model = kind(resolved.model)
    networks = {name: network for name, network in model.named_children() if name in imported.networks}
    tensors = {
        f"{name}.{key}": tensor
        for name, network in networks.items()
        for key, tensor in fit(
            imported.networks[name], network, module.counterparts(network), module.KINDS[architecture]
        ).items()
    }
    model.load_state_dict(tensors, strict=False, assign=True)
    tensors |= imported.rest(model)

    shapes = kind.input_shapes(resolved.model)
    names: Sequence[str] = list(shapes)
    if len(names) == 2:
        # The title of a checkpoint says what is turned into what, names of domains come in the architecture's order.
        titled = domain_names([title(paths[0])])
        backwards = getattr(resolved.model, "direction", "AtoB") == "BtoA" and titled != ("A", "B")
        names = resolved.data.domains or (titled[::-1] if backwards else titled)
    elif resolved.data.domains is not None:
        raise GancliError(f"data.domains names two domains, but a {architecture} has one", "leave --domains out")
    info = modelfile.describe(
        architecture,
        resolved,
        networks=list(networks),
        shapes=dict(zip(names, shapes.values(), strict=True)),
        origin=", ".join(path.name for path in paths),
    )
    return modelfile.to_bytes(info, tensors)


def export_checkpoint(
    model: nn.Module, architecture: str, networks: Sequence[str], title: str, step: int
) -> dict[str, Any]:
    """Returns what the official code would save of a model, by the name that it would give the file.

    Args:
        model: holds the networks.
        architecture: one of ``importer_names()``.
        networks: names of those to export.
        title: what the model is called.
        step: training steps that it has behind it.

    Raises:
        GancliError: the official code has nothing like it.
    """
    from gancli.importers.reading import to_theirs

    module = official(architecture).module()
    states = {
        name: to_theirs(network, module.counterparts(network))
        for name, network in model.named_children()
        if name in networks
    }
    files: dict[str, Any] = module.files(model, states, title, step)
    return files
