"""CycleGAN and pix2pix of junyanz/pytorch-CycleGAN-and-pix2pix: ``latest_net_G_A.pth``, ``latest_net_G.pth``, ...

Every network has a file of its own, whose name says which it is. The discriminators of its CycleGAN bear the name of
the generator that they judge, ours that of the domain: ``D_A`` judges what ``G_A`` makes, images of B.

Checkpoints of 2017 and 2018 hold running statistics of instance norms, which the official code does not use either.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
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
    "cyclegan": {
        "G_A": "generator_ab",
        "G_B": "generator_ba",
        "D_A": "discriminator_b",
        "D_B": "discriminator_a",
    },
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
    """Finds out which networks the state dicts are, by the names of their files, and the sizes from their tensors.

    Raises:
        GancliError: a state dict is of another kind, or they are not of one model.
    """
    networks = _assigned(architecture, found)
    sizes = agreed((state, _sizes(architecture, name, state, model)) for name, state in networks.items())
    if sizes.get("upsampling", ("", ""))[0] == "bilinear" and model.upsampling == "deconv":
        note("no tensor tells how images are enlarged: bilinear is taken; else --set model.upsampling=nearest")
    if architecture == "cyclegan" and sizes["channels"][0] != sizes["channels_b"][0]:
        sizes["identity_weight"] = (0, sizes["channels"][1])  # images of the two domains cannot be compared
    return Imported(sizes, {name: _without_statistics(state, sizes["norm"][0]) for name, state in networks.items()})


def _assigned(architecture: str, found: Sequence[StateDict]) -> dict[str, StateDict]:
    """Returns the state dicts by the name of our network."""
    known = NETWORKS[architecture]
    recognised = [state for state in found if _probe(state) is not None]
    for path in dict.fromkeys(state.path for state in found):
        if not any(state.path == path for state in recognised):
            strange = max((state for state in found if state.path == path), key=lambda state: len(state.tensors))
            starts = ", ".join(f"{key} with a {h}x{w} kernel" for key, (h, w) in PROBE.values())
            problems = [f"none of these begins it: {starts}", *(f"{key}: unexpected" for key in strange.tensors)]
            raise refusal(strange, checkpoints.kinds[architecture], problems)
    networks: dict[str, StateDict] = {}
    for state in recognised:
        letter = "G" if _probe(state) in ("resnet", "unet") else "D"
        is_called = _official_name(state)
        if is_called is not None and not is_called.startswith(letter):
            words = {"G": "generator", "D": "discriminator"}
            raise GancliError(
                f"{state} holds a {words[letter]}, but is called like a {words[is_called[0]]}",
                f"if it is the right file, call it *_net_{letter}{is_called[1:]}.pth",
            )
        official = is_called or letter
        if architecture == "cyclegan" and official == "G":
            official = "G_A"  # a generator that the official code uses alone is called G, whichever it was
        if official not in known:
            raise GancliError(
                f"which network of {architecture} {state} is, its name does not say: there are {', '.join(known)}",
                f"call it latest_net_{next(reversed(known))}.pth if it is that, or import it as what its name says",
            )
        name = known[official]
        if name in networks:
            raise GancliError(
                f"{networks[name]} and {state} are both taken for {official}, by their names",
                f"give one of them, or name them after what they are: latest_net_{'.pth, latest_net_'.join(known)}.pth",
            )
        networks[name] = state
    if not any(name.startswith("generator") for name in networks):
        raise GancliError(f"{' and '.join(map(str, networks.values()))}: a discriminator alone makes no images")
    return networks


def _official_name(state: StateDict) -> str | None:
    """Returns what the key or the file calls a network: ``G``, ``G_A``, ``D_B``; None if neither says."""
    by_key = re.fullmatch(r"(?:net_?)?([GD](?:_[AB])?)", state.key.rpartition(".")[2])
    match = by_key or re.search(r"(?:^|_)net_?([GD](?:_[AB])?)$", state.path.stem)
    return match[1] if match else None


def _probe(state: StateDict) -> str | None:
    """Returns which network of ``PROBE`` a state dict begins like."""
    for network, (key, kernel) in PROBE.items():
        tensor = state.tensors.get(key)
        if tensor is not None and tensor.shape[2:] == kernel:
            return network
    return None


def _sizes(architecture: str, name: str, state: StateDict, model: ImageToImageConfig) -> dict[str, Any]:
    """Returns the keys of the model section that one network fixes."""
    probe = _probe(state)
    if probe == "resnet":
        inner, outer, sizes = _resnet_sizes(state.tensors)
    elif probe == "unet":
        inner, outer, sizes = _unet_sizes(state.tensors)
    else:
        inner, sizes = _discriminator_sizes(architecture, state)
        # That of pix2pix sees both domains at once, so its generator tells which has how many.
        domain = {"discriminator_a": {"channels": inner}, "discriminator_b": {"channels_b": inner}}
        return sizes | domain.get(name, {})
    backwards = name == "generator_ba" or getattr(model, "direction", "AtoB") == "BtoA"
    a, b = (outer, inner) if backwards else (inner, outer)
    return sizes | {"channels": a, "channels_b": b}


def _resnet_sizes(tensors: Mapping[str, Tensor]) -> tuple[int, int, dict[str, Any]]:
    """Returns the channels of a ResNet generator's input and output, and its keys of the model section.

    It begins with a convolution and two that halve the image, each with a norm and a ReLU behind it, so that its blocks
    lie from ``model.10`` on; the second convolution of a block is its layer 5, or 6 behind a dropout.
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
        # No tensor tells how an image was interpolated. Of the official versions that did so, all did it bilinearly.
        "upsampling": "deconv" if 10 + blocks in layers else "bilinear",
    }
    if blocks:
        sizes["dropout"] = "model.10.conv_block.5.weight" not in tensors
    return inner, outer, sizes


def _unet_sizes(tensors: Mapping[str, Tensor]) -> tuple[int, int, dict[str, Any]]:
    """Returns the channels of a U-Net's input and output, and its keys of the model section.

    Whether it has dropout, no tensor tells.
    """
    width, inner = tensors["model.model.0.weight"].shape[:2]
    last = tensors.get("model.model.3.weight")
    depth = 1
    while any(key.startswith(f"{_level(depth)}.") for key in tensors):
        depth += 1
    sizes = {
        "generator": "unet",
        "generator_width": width,
        "norm": _norm(tensors, f"{_level(1)}.2"),
        "depth": depth,
        "resolution": 2**depth,
    }
    return inner, last.shape[1] if last is not None and last.ndim > 1 else inner, sizes


def _discriminator_sizes(architecture: str, state: StateDict) -> tuple[int, dict[str, Any]]:
    """Returns the channels of a PatchGAN's input, and its keys of the model section."""
    prefix = "net" if "net.0.weight" in state.tensors else "model"
    width, inner = state.tensors[f"{prefix}.0.weight"].shape[:2]
    count = sum(tensor.ndim == 4 for tensor in state.tensors.values())
    fields = {strided + 2: field for field, strided in STRIDED.items()} if prefix == "model" else {3: 1}
    if count not in fields:
        known = f"{min(fields)} to {max(fields)}" if len(fields) > 1 else "3"
        raise refusal(
            state, checkpoints.kinds[architecture], [f"{count} convolutions, but a discriminator of {known} is known"]
        )
    sizes = {
        "discriminator_width": width,
        "receptive_field": fields[count],
        "norm": _norm(state.tensors, f"{prefix}.3"),
    }
    return inner, sizes


def _norm(tensors: Mapping[str, Tensor], layer: str) -> str:
    """Returns which normalisation a layer is: those of instances have no weights."""
    return "batch" if f"{layer}.weight" in tensors else "instance"


def _without_statistics(state: StateDict, norm: str) -> StateDict:
    """Returns a state dict without the running statistics of instance norms."""
    if norm == "batch":
        return state
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    kept = {key: tensor for key, tensor in state.tensors.items() if not key.endswith(statistics)}
    return replace(state, tensors=kept)


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
    interpolation = next((layer.mode for layer in layers if isinstance(layer, nn.Upsample)), None)
    if interpolation is not None:
        warn(
            f"the model upsamples by {interpolation} interpolation; the current official code uses transposed "
            "convolutions, so it loads this file only after a change there"
        )
    return {
        f"latest_net_{official}.pth": networks[ours]
        for known in NETWORKS.values()
        for official, ours in known.items()
        if ours in networks
    }
