"""CycleGAN and pix2pix of junyanz/pytorch-CycleGAN-and-pix2pix: ``latest_net_G_A.pth``, ``latest_net_G.pth``, ...

Every network has a file of its own, whose name says which it is. The official CycleGAN names a discriminator after the
generator that it judges, ours after the domain: ``D_A`` judges what ``G_A`` makes, images of B.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from torch import Tensor, nn

from gancli.architectures.pix2pix import STRIDED, ImageToImageConfig, PatchGAN, UNetGenerator
from gancli.console import note, warn
from gancli.errors import GancliError
from gancli.importers.base import Checkpoints, Counterpart, Imported, StateDict
from gancli.importers.reading import agreed, refusal

checkpoints = Checkpoints(
    format="junyanz",
    kinds={
        "cyclegan": "a network of CycleGAN in pytorch-CycleGAN-and-pix2pix",
        "pix2pix": "a network of pix2pix in pytorch-CycleGAN-and-pix2pix",
    },
    file=r"(?:iter_)?(?P<epoch>latest|\d+)_net_[GD](?:_[AB])?\.pth",
    example="latest_net_G.pth, latest_net_G_A.pth",
)
NETWORKS = {
    "cyclegan": {"G_A": "generator_ab", "G_B": "generator_ba", "D_A": "discriminator_b", "D_B": "discriminator_a"},
    "pix2pix": {"G": "generator", "D": "discriminator"},
}
"""Our network by the official name."""

PROBE = {
    "resnet": ("model.1.weight", (7, 7)),
    "unet": ("model.model.0.weight", (4, 4)),
    "patchgan": ("model.0.weight", (4, 4)),
    "pixelgan": ("net.0.weight", (1, 1)),
}
"""The convolution with which each network begins, and its kernel."""


def read(architecture: str, found: Sequence[StateDict], model: ImageToImageConfig, chosen: Container[str]) -> Imported:
    """Finds out which networks the state dicts are, by the names of their files, and the sizes from their tensors."""
    networks = _assigned(architecture, found)
    sizes = agreed((state, _sizes(architecture, name, state, model)) for name, state in networks.items())
    if sizes.get("upsampling", ("", ""))[0] == "bilinear" and model.upsampling == "deconv":
        note("no tensor tells how the network enlarges images; assuming bilinear, or --set model.upsampling=nearest")
    if architecture == "cyclegan" and sizes["channels"][0] != sizes["channels_b"][0]:
        sizes["identity_weight"] = (0, sizes["channels"][1])  # images of the two domains cannot be compared
    if sizes["norm"][0] == "instance":
        # Checkpoints of 2017 and 2018 hold running statistics, which the official code does not use either.
        statistics = ("running_mean", "running_var", "num_batches_tracked")
        for name, state in networks.items():
            kept = {key: tensor for key, tensor in state.tensors.items() if not key.endswith(statistics)}
            networks[name] = replace(state, tensors=kept)
    return Imported(sizes, networks)


def _assigned(architecture: str, found: Sequence[StateDict]) -> dict[str, StateDict]:
    """Returns the state dicts by the name of our network."""
    known = NETWORKS[architecture]
    networks: dict[str, StateDict] = {}
    for _, states in groupby(found, lambda state: state.path):
        in_file = list(states)
        recognised = [state for state in in_file if _probe(state) is not None]
        if not recognised:
            strange = max(in_file, key=lambda state: len(state.tensors))
            starts = ", ".join(f"{key} with a {h}x{w} kernel" for key, (h, w) in PROBE.values())
            problems = [f"it begins with none of these: {starts}", *(f"{key}: unexpected" for key in strange.tensors)]
            raise refusal(strange, checkpoints.kinds[architecture], problems)
        for state in recognised:
            official = _official_name(architecture, state)
            if official not in known:
                raise GancliError(
                    f"the name of {state} does not say which network of {architecture} it is: {', '.join(known)}",
                    f"rename it, such as latest_net_{next(reversed(known))}.pth, or import another architecture",
                )
            name = known[official]
            if name in networks:
                names = ", ".join(f"latest_net_{each}.pth" for each in known)
                raise GancliError(
                    f"by their names, {networks[name]} and {state} are both {official}",
                    f"give one of them, or rename them: {names}",
                )
            networks[name] = state
    if not any(name.startswith("generator") for name in networks):
        raise GancliError(f"{' and '.join(map(str, networks.values()))}: a discriminator alone makes no images")
    return networks


def _official_name(architecture: str, state: StateDict) -> str:
    """Returns what the key or the file calls a network, such as ``G_A``; if neither says, ``G``, ``G_A`` or ``D``."""
    letter = "G" if _probe(state) in ("resnet", "unet") else "D"
    by_key = re.fullmatch(r"(?:net_?)?([GD](?:_[AB])?)", state.key.rpartition(".")[2])
    match = by_key or re.search(r"(?:^|_)net_?([GD](?:_[AB])?)$", state.path.stem)
    name = match[1] if match else letter
    if name[0] != letter:
        words = {"G": "generator", "D": "discriminator"}
        raise GancliError(
            f"{state} holds a {words[letter]}, but is called like a {words[name[0]]}",
            f"if it is the right file, call it *_net_{letter}{name[1:]}.pth",
        )
    # The official code calls a generator that it uses alone G, whichever it was.
    return "G_A" if architecture == "cyclegan" and name == "G" else name


def _probe(state: StateDict) -> str | None:
    """Returns which network of ``PROBE`` a state dict begins like."""
    for network, (key, kernel) in PROBE.items():
        if key in state.tensors and state.tensors[key].shape[2:] == kernel:
            return network
    return None


def _sizes(architecture: str, name: str, state: StateDict, model: ImageToImageConfig) -> dict[str, Any]:
    """Returns the keys of the model section that one network fixes."""
    if not name.startswith("generator"):
        inner, sizes = _discriminator_sizes(architecture, state)
        # That of pix2pix sees both domains at once, so its generator tells their channels.
        domain = {"discriminator_a": {"channels": inner}, "discriminator_b": {"channels_b": inner}}
        return sizes | domain.get(name, {})
    inner, outer, sizes = (_resnet_sizes if _probe(state) == "resnet" else _unet_sizes)(state.tensors)
    backwards = name == "generator_ba" or getattr(model, "direction", "AtoB") == "BtoA"
    a, b = (outer, inner) if backwards else (inner, outer)
    return sizes | {"channels": a, "channels_b": b}


def _resnet_sizes(tensors: Mapping[str, Tensor]) -> tuple[int, int, dict[str, Any]]:
    """Returns the channels of a ResNet generator's input and output, and its keys of the model section.

    It begins with a convolution and two that halve the image, each with a norm and a ReLU after it, so its blocks
    start at ``model.10``; the second convolution of a block is its layer 5, or 6 after a dropout.
    """
    width, inner = tensors["model.1.weight"].shape[:2]
    layers = [int(match[1]) for key in tensors if (match := re.fullmatch(r"model\.(\d+)\.weight", key))]
    outer = tensors[f"model.{max(layers)}.weight"].shape[0]
    blocks = len({key.split(".")[1] for key in tensors if re.match(r"model\.\d+\.conv_block\.", key)})
    sizes = {
        "generator": "resnet",
        "generator_width": width,
        "norm": _norm(tensors, "model.2"),
        "blocks": blocks,
        # No tensor tells how images are interpolated; all official versions that interpolate do so bilinearly.
        "upsampling": "deconv" if 10 + blocks in layers else "bilinear",
    }
    if blocks:
        sizes["dropout"] = "model.10.conv_block.5.weight" not in tensors
    return inner, outer, sizes


def _unet_sizes(tensors: Mapping[str, Tensor]) -> tuple[int, int, dict[str, Any]]:
    """Returns the channels of a U-Net's input and output, and its keys of the model section but ``dropout``."""
    width, inner = tensors["model.model.0.weight"].shape[:2]
    last = tensors.get("model.model.3.weight")
    depth = 1
    while any(key.startswith(f"{_level(depth)}.") for key in tensors):
        depth += 1
    sizes = {"generator": "unet", "generator_width": width, "norm": _norm(tensors, f"{_level(1)}.2"), "depth": depth}
    outer = last.shape[1] if last is not None and last.ndim > 1 else inner
    return inner, outer, sizes | {"resolution": 2**depth}


def _discriminator_sizes(architecture: str, state: StateDict) -> tuple[int, dict[str, Any]]:
    """Returns the channels of a PatchGAN's input, and its keys of the model section."""
    prefix = "net" if "net.0.weight" in state.tensors else "model"
    width, inner = state.tensors[f"{prefix}.0.weight"].shape[:2]
    count = sum(tensor.ndim == 4 for tensor in state.tensors.values())
    fields = {strided + 2: field for field, strided in STRIDED.items()} if prefix == "model" else {3: 1}
    if count not in fields:
        known = " or ".join(map(str, fields))
        raise refusal(state, checkpoints.kinds[architecture], [f"it has {count} convolutions instead of {known}"])
    norm = _norm(state.tensors, f"{prefix}.3")
    return inner, {"discriminator_width": width, "receptive_field": fields[count], "norm": norm}


def _norm(tensors: Mapping[str, Tensor], layer: str) -> str:
    """Returns which normalisation a layer is: instance norms have no weights."""
    return "batch" if f"{layer}.weight" in tensors else "instance"


def _level(level: int) -> str:
    """Returns the module of a U-Net level: each but the innermost holds the next, the outermost as its second layer."""
    return "model.model" if level == 0 else ".".join(["model.model.1.model", *["3.model"] * (level - 1)])


def counterparts(network: nn.Module) -> dict[str, Counterpart]:
    if not isinstance(network, UNetGenerator):
        # The same chains of layers by other names; only the 1 px discriminator calls its own otherwise.
        chain = "net." if isinstance(network, PatchGAN) and network.layers[0].kernel_size == (1, 1) else "model."
        return {
            key: Counterpart(re.sub(r"^layers\.", chain, key).replace(".layers.", ".conv_block."))
            for key in network.state_dict()
        }
    depth = len(network.down)
    found = {}
    for key in network.state_dict():
        path, number, *layer, parameter = key.split(".")
        # A level is [LeakyReLU, convolution, norm, next level, ReLU, transposed convolution, norm]. The outermost
        # begins with the convolution and has no norm; the innermost has no norm on the way down, and no next level.
        if path == "down":
            level = int(number)
            place = 0 if level == 0 else int(layer[0])
        else:
            level = depth - 1 - int(number)
            place = int(layer[0]) + (2 if level in (0, depth - 1) else 4)
        found[key] = Counterpart(f"{_level(level)}.{place}.{parameter}")
    return found


def files(model: nn.Module, networks: Mapping[str, Mapping[str, Tensor]], title: str, step: int) -> dict[str, Any]:
    layers = [layer for name in networks for layer in model.get_submodule(name).modules()]
    if mode := next((layer.mode for layer in layers if isinstance(layer, nn.Upsample)), None):
        warn(
            f"the model upsamples by {mode} interpolation; the current official code uses transposed convolutions, so "
            "it loads this file only after a change there"
        )
    names = [pair for known in NETWORKS.values() for pair in known.items()]
    return {f"latest_net_{official}.pth": networks[ours] for official, ours in names if ours in networks}
