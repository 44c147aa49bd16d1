"""Checkpoints of official implementations become model files, and back. Importable without torch.

Each implementation has a module of its own, an ``Importer`` (see ``gancli.importers.base``). An architecture may have
several: their checkpoints are told apart by the names of tensors.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancli import registry
from gancli.errors import GancliError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gancli.architectures.base import Architecture
    from gancli.importers import (
        junyanz,
        martinarjovsky,
        mimicry,
        pytorch_examples,
        pytorch_gan,
        rosinality,
        znxlwm,
        znxlwm_cgan,
    )
    from gancli.importers.base import Imported, Importer, StateDict
    from gancli.schema import RunConfig

    CHECKED: list[Importer] = [
        junyanz,
        martinarjovsky,
        mimicry,
        pytorch_examples,
        pytorch_gan,
        rosinality,
        znxlwm,
        znxlwm_cgan,
    ]

GROUP = "gancli.importers"

BUILT_IN: Mapping[str, Sequence[EntryPoint]] = {
    architecture: [EntryPoint(architecture, f"gancli.importers.{module}", GROUP) for module in modules.split()]
    for architecture, modules in {
        "cdcgan": "znxlwm_cgan",
        "cgan": "znxlwm_cgan pytorch_gan",
        "cyclegan": "junyanz",
        "dcgan": "pytorch_examples",
        "gan": "pytorch_gan",
        "pix2pix": "junyanz",
        "stylegan": "rosinality",
        "ugatit": "znxlwm",
        "wgan": "martinarjovsky",
        "wgan-gp": "mimicry",
    }.items()
}


def importer_names() -> list[str]:
    """Returns the architectures whose official checkpoints can be imported."""
    return sorted(BUILT_IN.keys() | registry.plugins(GROUP).keys())


def importers(architecture: str) -> Sequence[Importer]:
    """Imports the importers for an architecture, and with them torch; built-in ones come before that of a package.

    Raises:
        GancliError: there is none, or its package cannot be imported.
    """
    if architecture not in importer_names():
        raise GancliError(f"there is no importer for {architecture!r}", f"choose one of: {', '.join(importer_names())}")
    if architecture in BUILT_IN:
        return [built_in.load() for built_in in BUILT_IN[architecture]]
    return [registry.load_plugin(registry.plugins(GROUP)[architecture], "importer")]


def exporter(model: nn.Module, architecture: str) -> Importer:
    """Returns the importer that writes the checkpoints of the implementation that has the networks of a model.

    Raises:
        GancliError: no implementation has them.
    """
    if architecture not in importer_names():
        raise GancliError(
            f"no official code has a {architecture}", f"these can be exported: {', '.join(importer_names())}"
        )
    known = importers(architecture)
    for each in known:
        if any(each.counterparts(network) for network in model.children()):
            return each
    formats = " and ".join(each.checkpoints.format for each in known)
    raise GancliError(f"the official code of {formats} has no {architecture} with networks like those of the model")


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
    known = [each.checkpoints for each in importers(architecture)]
    by_epoch: dict[float, list[Path]] = {}
    for file in inside:
        if match := next(filter(None, (re.fullmatch(each.file, file.name) for each in known)), None):
            number = match.groupdict().get("epoch")
            by_epoch.setdefault(float("inf") if number in (None, "latest") else int(number), []).append(file)
    if not by_epoch:
        example = ", ".join(each.example for each in known)
        raise GancliError(f"the folder {path} holds no checkpoint of {architecture}", f"name it like {example}")
    return by_epoch[max(by_epoch)]


def title(path: Path) -> str:
    """Returns what a checkpoint file is about: ``horse2zebra`` for ``horse2zebra_pretrained/latest_net_G.pth``."""
    name = path.stem
    if re.fullmatch(r"(?:latest|(?:iter_)?\d+)_net_[GD](?:_[AB])?|(?:generator|discriminator)_param", name):
        name = path.absolute().parent.name or name
    return re.sub(r"_pretrained$|_params_(?:latest|\d+)$|_(?:generator|discriminator)_param$|_results$", "", name)


def _reader(architecture: str, found: Sequence[StateDict]) -> Importer:
    """Returns the importer whose tensors the state dicts hold.

    Raises:
        GancliError: there are several importers, and none knows the tensors.
    """
    from gancli.importers.reading import beginning, refusal

    known = importers(architecture)
    for each in known:
        if len(known) == 1 or any(re.fullmatch(each.checkpoints.key, key) for state in found for key in state.tensors):
            return each
    kinds = " or ".join(each.checkpoints.kinds[architecture] for each in known)
    raise refusal(found[0], kinds, [beginning(found[0])])


def _recognised(
    architecture: str, found: Sequence[StateDict], model: Any, chosen: Collection[str]
) -> tuple[Importer, Imported]:
    """Returns what an importer finds in state dicts, or in the parts of their names; see ``Importer.read``."""
    from gancli.importers.reading import unwrapped

    refusals = []
    for states in unwrapped(found):
        try:
            module = _reader(architecture, states)
            return module, module.read(architecture, states, model, chosen)
        except GancliError as error:
            refusals.append(error)
    raise refusals[0]


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
        sets: see ``config.resolve``; they win over what the tensors tell.
        flags: see ``config.resolve``; as ``sets``. If neither names the domains, the files' title does.

    Raises:
        GancliError: a file cannot be read, is not of this architecture, or does not fit the others.
    """
    from gancli import config, modelfile
    from gancli.importers.reading import fit, read_state_dicts
    from gancli.nn.init import without_weights

    flags = flags or {}
    example = ", ".join(each.checkpoints.example for each in importers(architecture))
    found = [state for path in paths for state in read_state_dicts(path, example)]
    chosen = {text.partition("=")[0].strip() for text in sets}
    chosen |= {key for key, (value, _) in flags.items() if value is not None}
    wanted = config.resolve(architecture, sets=sets, flags=flags).model
    module, imported = _recognised(architecture, found, wanted, {key.removeprefix("model.") for key in chosen})

    sizes = {f"model.{key}": (value, f"{where}: model.{key}") for key, (value, where) in imported.model.items()}
    told = {key: flag for key, flag in sizes.items() if key not in chosen}
    preset = imported.preset or architecture
    # A preset's own data are not what the checkpoint was trained on.
    resolved = config.resolve(preset, sets=["data.source=null", *sets], flags={**flags, **told})
    kind = registry.load_architecture(architecture)
    with without_weights():
        model = kind(resolved.model)
    networks = {name: network for name, network in model.named_children() if name in imported.networks}
    what = module.checkpoints.kinds[architecture]
    tensors: dict[str, Tensor] = {}
    for name, network in networks.items():
        fitted = fit(imported.networks[name], network, module.counterparts(network), what)
        tensors |= {f"{name}.{key}": tensor for key, tensor in fitted.items()}
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
    """Returns names for the domains, in the architecture's order: chosen ones, or for two those in the title.

    ``horse2zebra`` is the way that the model goes by default.
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
    """Returns what the official code would save of the named ``networks`` of a model, see ``Importer.files``."""
    from gancli.importers.reading import to_theirs

    module = exporter(model, architecture)
    ours = {name: network for name, network in model.named_children() if name in networks}
    states = {name: to_theirs(network, module.counterparts(network)) for name, network in ours.items()}
    return module.files(model, states, title, step)
