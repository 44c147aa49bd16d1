"""Checkpoints of official implementations become model files, and back. Importable without torch.

Each implementation has a module of its own, an ``Importer`` (see ``gancli.importers.base``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancli import registry
from gancli.errors import GancliError

if TYPE_CHECKING:
    from torch import nn

    from gancli.architectures.base import Architecture
    from gancli.importers.base import Importer
    from gancli.schema import RunConfig

GROUP = "gancli.importers"


def _junyanz() -> Importer:
    from gancli.importers import junyanz

    return junyanz


def _pytorch_examples() -> Importer:
    from gancli.importers import pytorch_examples

    return pytorch_examples


def _rosinality() -> Importer:
    from gancli.importers import rosinality

    return rosinality


def _znxlwm() -> Importer:
    from gancli.importers import znxlwm

    return znxlwm


BUILT_IN: Mapping[str, Callable[[], Importer]] = {
    "cyclegan": _junyanz,
    "dcgan": _pytorch_examples,
    "pix2pix": _junyanz,
    "stylegan": _rosinality,
    "ugatit": _znxlwm,
}
"""By architecture; called, each imports its key map, and with it torch."""


def importer_names() -> list[str]:
    """Returns the architectures whose official checkpoints can be imported."""
    return sorted(BUILT_IN.keys() | registry.plugins(GROUP).keys())


def importer(architecture: str) -> Importer:
    """Returns the importer for an architecture; a built-in one comes before that of another package.

    Raises:
        GancliError: there is none, or its package cannot be imported.
    """
    if architecture in BUILT_IN:
        return BUILT_IN[architecture]()
    if architecture not in importer_names():
        raise GancliError(
            f"there is no importer for {architecture!r}", f"there is one for each of: {', '.join(importer_names())}"
        )
    loaded: Importer = registry.load_plugin(registry.plugins(GROUP)[architecture], "importer")
    return loaded


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
    known = importer(architecture).checkpoints
    by_epoch: dict[float, list[Path]] = {}
    for file in inside:
        if match := re.fullmatch(known.file, file.name):
            number = match.groupdict().get("epoch")
            epoch = float("inf") if number in (None, "latest") else int(number)
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
    from gancli import config, modelfile
    from gancli.importers.reading import fit, read_state_dicts
    from gancli.nn.init import without_weights

    module = importer(architecture)
    known = module.checkpoints
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
    with without_weights():
        model = kind(resolved.model)
    networks = {name: network for name, network in model.named_children() if name in imported.networks}
    tensors = {
        f"{name}.{key}": tensor
        for name, network in networks.items()
        for key, tensor in fit(
            imported.networks[name], network, module.counterparts(network), known.kinds[architecture]
        ).items()
    }
    model.load_state_dict(tensors, strict=False, assign=True)
    tensors |= imported.rest(model)

    inputs = kind.inputs(resolved.model)
    names = _domain_names(model, resolved, list(inputs.domains), title(paths[0]))
    info = modelfile.describe(
        architecture,
        resolved,
        networks=list(networks),
        inputs=replace(inputs, domains=dict(zip(names, inputs.domains.values(), strict=True))),
        origin=", ".join(path.name for path in paths),
    )
    return modelfile.to_bytes(info, tensors)


def _domain_names(model: Architecture, config: RunConfig, own: list[str], title: str) -> Sequence[str]:
    """Returns what the user calls the domains, in the architecture's order.

    If nobody says it, the title of the checkpoint does: ``horse2zebra`` is the way that the model goes by default.
    """
    from gancli.architectures.base import Translator
    from gancli.data.files import domain_names

    chosen = config.data.domains
    if chosen is not None and len(chosen) != len(own):
        count = "one" if len(own) == 1 else len(own)
        hint = "leave --domains out" if len(own) == 1 else f"--domains {','.join(own)}"
        raise GancliError(f"--domains names {len(chosen)} domains, but a {config.architecture} has {count}", hint)
    if chosen is not None or len(own) != 2:
        return chosen or own
    titled = domain_names([title])
    if titled == ("A", "B") or not isinstance(model, Translator):
        return titled
    by_own = dict(zip(model.ways()[-1], titled, strict=True))
    return [by_own[name] for name in own]


def export_checkpoint(
    model: nn.Module, architecture: str, networks: Sequence[str], title: str, step: int
) -> dict[str, Any]:
    """Returns what the official code would save of a model, by the name that it would give the file.

    Args:
        model: holds the networks.
        architecture: one of ``importer_names()``.
        networks: names of those to export.
        title: what the model is called.
        step: training steps that it has had.

    Raises:
        GancliError: the official code has no such model.
    """
    from gancli.importers.reading import to_theirs

    module = importer(architecture)
    states = {
        name: to_theirs(network, module.counterparts(network))
        for name, network in model.named_children()
        if name in networks
    }
    return module.files(model, states, title, step)
