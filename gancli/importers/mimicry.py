"""WGAN-GP and SNGAN of kwotsin/mimicry: ``netG_100000_steps.pth``, the generator with its optimizer and step.

The generators of both are the same residual networks. Critics are not read: there, a block's first ReLU works in place,
so that the shortcut passes on relu(x), while ours passes on x.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn

from gancli.architectures.wgan_gp import WGANGP, ResNetGenerator
from gancli.console import note, warn
from gancli.importers.base import Checkpoints, Counterpart, Imported, StateDict
from gancli.importers.reading import agreed, by_network, weight
from gancli.schema import ModelConfig

checkpoints = Checkpoints(
    format="mimicry",
    kinds={"wgan-gp": "a WGAN-GP or SNGAN generator of mimicry"},
    file=r"netG_(?P<epoch>\d+)_steps\.pth",
    example="netG_100000_steps.pth",
)
HALVINGS = {32: (0, 0, 0, 0), 48: (0, 1, 2, 3), 64: (0, 1, 2, 3, 4), 128: (0, 0, 1, 2, 3, 4)}
"""How often the official generators have halved their width, by resolution."""
BLOCK = {"layers.0": "b1", "layers.3": "c1", "layers.4": "b2", "layers.6": "c2", "shortcut.1": "c_sc"}
"""The official names of the layers of a residual block."""


def read(architecture: str, found: Sequence[StateDict], model: ModelConfig, chosen: Container[str]) -> Imported:
    """Finds the generator, and its sizes from its tensors.

    With k blocks, ``l1`` is linear, ``block2`` to ``block(k+1)`` double the size, and ``b(k+2)`` and ``c(k+2)`` follow.
    """
    kind = checkpoints.kinds[architecture]
    networks = by_network(found, lambda state: "generator" if "l1.weight" in state.tensors else None, kind)
    state = networks["generator"]
    blocks = max((int(match[1]) - 1 for key in state.tensors if (match := re.match(r"block(\d\d?)\.", key))), default=0)
    convolutions = [weight(state, f"block{block + 2}.c1.weight", 4, kind) for block in range(blocks)]
    last = weight(state, f"c{blocks + 2}.weight", 4, kind)
    flat, latent_dim = weight(state, "l1.weight", 2, kind).shape
    widths = [convolution.shape[1] for convolution in [*convolutions, last]]
    sizes = {
        "networks": "resnet",
        "latent_dim": latent_dim,
        "generator_widths": widths,
        "channels": len(last),
        "resolution": isqrt(flat // widths[0]) * 2**blocks,
        "critic_norm": False,
        "upsampling": "bilinear",
    }
    if "upsampling" not in chosen:
        note("no tensor tells how the network enlarges images; assuming bilinear, or --set model.upsampling=nearest")
    return Imported(agreed([(state, sizes)]), networks)


def counterparts(network: nn.Module) -> dict[str, Counterpart]:
    if not isinstance(network, ResNetGenerator):
        return {}
    end = len(network.layers) - 4  # the norm, a ReLU, the last convolution, tanh
    outside = {0: "l1", end: f"b{end}", end + 2: f"c{end}"}
    found = {}
    for key in network.state_dict():
        path, _, parameter = key.rpartition(".")
        number, _, layer = path.removeprefix("layers.").partition(".")
        found[key] = Counterpart(f"{f'block{number}.{BLOCK[layer]}' if layer else outside[int(number)]}.{parameter}")
    return found


def files(model: nn.Module, networks: Mapping[str, Mapping[str, Tensor]], title: str, step: int) -> dict[str, Any]:
    assert isinstance(model, WGANGP)
    config, state = model.config, dict(networks["generator"])
    official = tuple(config.generator_widths[0] >> halvings for halvings in HALVINGS.get(config.resolution, ()))
    if config.generator_widths != official or config.channels != 3:
        warn("the official code has other widths, resolutions or channels: change that code to load this file")
    if config.upsampling != "bilinear":
        warn("the official code enlarges images by bilinear interpolation, the model does not: images differ")
    for key in [key for key in state if key.endswith("c2.bias")]:  # next to a norm, ours may lack the first bias
        first = key.replace("c2", "c1")
        state.setdefault(first, torch.zeros(len(state[first.replace("bias", "weight")])))
    saved = {"model_state_dict": state, "optimizer_state_dict": None, "global_step": step}
    return {f"netG_{step}_steps.pth": saved}
