"""WGAN of martinarjovsky/WassersteinGAN: ``netG_epoch_24.pth``, ``netD_epoch_24.pth`` and ``generator_config.json``.

Its networks are chains of layers, with three sets of names over the years. Ours are called like the oldest:

- until February 2017 ``main.0.weight``, here ``layers.0.weight``;
- until December 2018 ``main.initial.100-512.convt.weight``, in a critic ``main.initial.conv.3-64.weight``;
- since then ``main.initial:100-512:convt.weight``; names of the other two kinds are translated into these.

The perceptrons of mlp.py always had numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gancli.architectures import wgan
from gancli.console import warn
from gancli.errors import GancliError
from gancli.files import parse_json
from gancli.importers.base import Checkpoints, Counterpart, Imported, StateDict
from gancli.importers.reading import agreed, beginning, by_network, image_sizes, refusal, weight
from gancli.text import to_text

checkpoints = Checkpoints(
    format="martinarjovsky",
    kinds={"wgan": "a network of WassersteinGAN"},
    file=r"net[GD](?:_epoch_(?P<epoch>\d+))?\.pth",
    example="netG_epoch_24.pth",
)
KIND = checkpoints.kinds["wgan"]
FILES = {"generator": "netG.pth", "critic": "netD.pth"}
BESIDE = "generator_config.json"
SIZES = {"imageSize": "resolution", "nz": "latent_dim", "nc": "channels", "ngf": "generator_width"}
"""Our names of the sizes in that file."""


def read(architecture: str, found: Sequence[StateDict], model: Any, chosen: Container[str]) -> Imported:
    """Finds the networks by their tensors, and the sizes from these and from the file beside the generator."""
    renamed = [replace(state, tensors=_renamed(state.tensors)) for state in found]
    networks = by_network(renamed, _network, KIND)
    measured: list[tuple[StateDict | Path, Mapping[str, Any]]] = [
        (state, _sizes(name, state)) for name, state in networks.items()
    ]
    path = networks["generator"].path.with_name(BESIDE)
    if path.is_file():
        measured.append((path, _sizes_beside(path)))
    return Imported(agreed(measured), networks)


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns tensors by today's names."""
    names = _todays_names(tensors)
    found = {}
    for key, tensor in tensors.items():
        layer, _, parameter = key.rpartition(".")
        if match := re.fullmatch(r"main\.([a-z][^.]*)\.([^.]+)\.([^.]+)", layer):
            stage, *parts = match.groups()
            sizes, kind = reversed(parts) if parts[0] == "conv" else parts
            layer = f"main.{stage}:{sizes}:{kind}"
        found[f"{names.get(layer, layer)}.{parameter}"] = tensor
    return found


def _todays_names(tensors: Mapping[str, Tensor], transposed: bool | None = None) -> dict[str, str]:
    """Returns today's names of the layers ``main.N`` in a chain of convolutions; {} for perceptrons and other chains.

    Args:
        tensors: a state dict.
        transposed: whether it is a generator, whose weights are [inputs, outputs, 4, 4]; None if that is to be found.
    """
    weights = {int(match[1]): t for key, t in tensors.items() if (match := re.fullmatch(r"main\.(\d+)\.weight", key))}
    convolutions = [number for number in sorted(weights) if weights[number].ndim == 4]
    if not convolutions:
        return {}
    first, last = convolutions[0], convolutions[-1]
    if transposed is None:
        transposed = not (weights[first].shape[1] <= 3 and weights[last].shape[0] == 1)
    names, stage, width, extra = {}, "initial", 0, 0
    for number in sorted(weights):
        if weights[number].ndim != 4:
            kind = f"{width}:batchnorm"
        elif weights[number].shape[2] == 3:
            stage, extra = f"extra-layers-{extra}", extra + 1
            kind = f"{width}:conv"
        else:
            stage = "initial" if number == first else "final" if number == last else "pyramid"
            sizes = weights[number].shape[:2]
            before, width = sizes if transposed else reversed(sizes)
            kind = f"{before}-{width}:{'convt' if transposed else 'conv'}"
        names[f"main.{number}"] = f"main.{stage}:{kind}"
    return names


def _network(state: StateDict) -> str | None:
    """Returns which of our networks a state dict with today's names is."""
    for key, tensor in state.tensors.items():
        if match := re.match(r"main\.(?:initial|final):.*:(convt?)\.", key):
            return "generator" if match[1] == "convt" else "critic"
        if key == "main.6.weight":
            return "critic" if tensor.shape[:1] == (1,) else "generator"
    return None


def _sizes(name: str, state: StateDict) -> dict[str, Any]:
    """Returns the keys of the model section that a network fixes."""
    if "main.6.weight" in state.tensors:
        width, inputs = weight(state, "main.0.weight", 2, KIND).shape
        sizes = {name: "mlp", f"{name}_width": width}
        if name == "critic":
            return sizes | image_sizes(inputs)
        return sizes | {"latent_dim": inputs} | image_sizes(len(weight(state, "main.6.weight", 2, KIND)))

    def layers(stage: str) -> list[str]:
        return [key for key in state.tensors if re.fullmatch(rf"main\.{stage}:.*:convt?\.weight", key)]

    ends = layers("initial"), layers("final")
    if min(map(len, ends)) == 0:
        raise refusal(state, KIND, ["its first or its last convolution is missing", beginning(state)])
    first, last = (weight(state, keys[0], 4, KIND).shape for keys in ends)
    sizes = {name: "dcgan", "resolution": 8 * 2 ** len(layers("pyramid")), "extra_layers": len(layers(r"extra-.*"))}
    if name == "critic":
        return sizes | {"channels": first[1], "critic_width": first[0]}
    norm = any(key.endswith(":batchnorm.weight") for key in state.tensors)
    own = {"latent_dim": first[0], "channels": last[1], "generator_width": last[0], "generator_norm": norm}
    return sizes | own


def _sizes_beside(path: Path) -> dict[str, Any]:
    """Returns the keys of the model section that a ``generator_config.json`` tells.

    Raises:
        GancliError: it is not a JSON object, or cannot be read.
    """
    try:
        told = parse_json(to_text(path.read_bytes(), str(path)))
        sizes = {ours: told[theirs] for theirs, ours in SIZES.items() if theirs in told}
        without_norm, perceptron = told.get("noBN", False), told.get("mlp_G", False)
    except (GancliError, OSError, ValueError, TypeError, AttributeError) as error:
        raise GancliError(
            f"{path} is not what main.py of WassersteinGAN writes", "remove it: the tensors tell all"
        ) from error
    if perceptron and not without_norm:
        return {"generator": "mlp", **sizes}
    if isinstance(sizes.get("generator_width"), int):
        sizes["generator_width"] = sizes["generator_width"] // 2 * 2  # as the official code rounds it
    return {"generator": "dcgan", "generator_norm": not without_norm, **sizes}


def counterparts(network: nn.Module) -> dict[str, Counterpart]:
    known = (wgan.Generator, wgan.Critic, wgan.MLPGenerator, wgan.MLPCritic)
    if not isinstance(network, known):
        return {}
    offset = isinstance(network, wgan.MLPCritic)  # ours begins with a layer that flattens
    chain = {}
    for key, tensor in network.state_dict().items():
        number, _, parameter = key.removeprefix("layers.").partition(".")
        chain[f"main.{int(number) - offset}.{parameter}"] = (key, tensor)
    names = _todays_names({key: tensor for key, (_, tensor) in chain.items()}, isinstance(network, wgan.Generator))
    # The official critic is low for reals, ours is high.
    negated = next(reversed(chain)).rpartition(".")[0] if isinstance(network, (wgan.Critic, wgan.MLPCritic)) else ""
    found = {}
    for key, (ours, _) in chain.items():
        layer, _, parameter = key.rpartition(".")
        theirs = f"{names.get(layer, layer)}.{parameter}"
        found[ours] = Counterpart(theirs, Tensor.neg, Tensor.neg) if layer == negated else Counterpart(theirs)
    return found


def files(model: nn.Module, networks: Mapping[str, Mapping[str, Tensor]], title: str, step: int) -> dict[str, Any]:
    assert isinstance(model, wgan.WGAN)
    config = model.config
    if config.generator == "dcgan" and config.generator_width % 2:
        warn(f"the official code has even widths only, the model {config.generator_width}: change that code to load it")
    told = {theirs: getattr(config, ours) for theirs, ours in SIZES.items()}
    told |= {
        "n_extra_layers": config.extra_layers,
        "noBN": not config.generator_norm,
        "mlp_G": config.generator == "mlp",
    }
    contents: dict[str, Any] = {FILES[name]: state for name, state in networks.items()}
    return {**contents, BESIDE: json.dumps({**told, "ngpu": 1}).encode()}
