"""U-GAT-IT of znxlwm/UGATIT-pytorch: ``selfie2anime_params_0100000.pt``, a dict of the state dicts of all networks.

Its spectral norms are those of ``torch.nn.utils.spectral_norm``, whose ``weight_orig`` is our
``parametrizations.weight.original``. The weights of its layer norms are [1, C, 1, 1], ours [C].
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from math import isqrt
from typing import Any

from torch import Tensor, nn

from gancli.architectures.ugatit import Generator
from gancli.console import warn
from gancli.errors import GancliError
from gancli.importers.base import Checkpoints, Counterpart, Imported, StateDict
from gancli.importers.reading import agreed, refusal
from gancli.schema import ModelConfig

checkpoints = Checkpoints(
    format="znxlwm",
    kinds={"ugatit": "a checkpoint of UGATIT-pytorch"},
    file=r".+_params_(?P<epoch>latest|\d+)\.pt",
    example="selfie2anime_params_0100000.pt",
    together=True,
)
NETWORKS = {
    "genA2B": "generator_ab",
    "genB2A": "generator_ba",
    "disGA": "discriminator_global_a",
    "disGB": "discriminator_global_b",
    "disLA": "discriminator_local_a",
    "disLB": "discriminator_local_b",
}
"""Our network by the official name."""

RENAMED = (
    (r"^encoder\.(\d+)\.conv1\.", r"DownBlock.\1.conv_block.1."),
    (r"^encoder\.(\d+)\.conv2\.", r"DownBlock.\1.conv_block.5."),
    (r"^attention\.average\.", "gap_fc."),
    (r"^attention\.maximum\.", "gmp_fc."),
    (r"^attention\.merge\.0\.", "conv1x1."),
    # Before the first of two linear layers, the features are averaged and flattened, there by functions.
    (r"^style\.[12]\.", "FC.0."),
    (r"^style\.[34]\.", "FC.2."),
    (r"^decoder\.", "UpBlock2."),
    (r"^judge\.1\.", "conv."),
    (r"parametrizations\.weight\.original$", "weight_orig"),
    (r"parametrizations\.weight\.0\._([uv])$", r"weight_\1"),
)
"""Parts of our keys, and the official ones."""


def read(architecture: str, found: Sequence[StateDict], model: ModelConfig, chosen: Container[str]) -> Imported:
    """Finds the networks by their keys in the file, and the sizes from their tensors."""
    networks: dict[str, StateDict] = {}
    for state in found:
        official = state.key.rpartition(".")[2] or state.path.stem
        name = NETWORKS.get(official)
        if name in networks:
            raise GancliError(f"{networks[name]} and {state} are both the network {official}", "give one of them")
        if name is not None:
            networks[name] = state
    if not any(name.startswith("generator") for name in networks):
        keys = ", ".join(dict.fromkeys(state.key or "tensors without a key" for state in found))
        raise GancliError(
            f"{found[0].path} is not {checkpoints.kinds[architecture]}: it has neither genA2B nor genB2A, but {keys}",
            "see `gancli import --help` for what can be imported",
        )
    measured = [
        (state, _generator_sizes(state) if name.startswith("generator") else _discriminator_sizes(name, state))
        for name, state in networks.items()
    ]
    return Imported(agreed(measured), networks)


def _generator_sizes(state: StateDict) -> dict[str, Any]:
    """Returns the keys of the model section that a generator fixes; no tensor of the light version tells the size."""
    width, channels = _first_sizes(state, "DownBlock.1.weight")
    features, columns = _first_sizes(state, "FC.0.weight")
    sizes = {
        "channels": channels,
        "generator_width": width,
        "residual_blocks": len({key.partition(".")[0] for key in state.tensors if key.startswith("UpBlock1_")}),
        "light": columns == features,
    }
    if columns != features:  # it sees all of [4 width, H/4, W/4]
        sizes["resolution"] = 4 * isqrt(columns // features)
    return sizes


def _discriminator_sizes(name: str, state: StateDict) -> dict[str, Any]:
    """Returns the keys of the model section that a discriminator fixes."""
    width, channels = _first_sizes(state, "model.1.weight_orig")
    chain = [key for key in state.tensors if re.fullmatch(r"model\.\d+\.weight_orig", key)]
    layers = "global_layers" if "global" in name else "local_layers"
    return {"channels": channels, "discriminator_width": width, layers: len(chain) + 1}


def _first_sizes(state: StateDict, key: str) -> tuple[int, int]:
    """Returns the numbers of outputs and inputs of a layer."""
    tensor = state.tensors.get(key)
    if tensor is None or tensor.ndim < 2 or tensor.numel() == 0:
        problems = [f"{key}: missing, or no weight of a layer", *(f"{other}: unexpected" for other in state.tensors)]
        raise refusal(state, checkpoints.kinds["ugatit"], problems)
    return tensor.shape[0], tensor.shape[1]


def counterparts(network: nn.Module) -> dict[str, Counterpart]:
    encoder = "DownBlock." if isinstance(network, Generator) else "model."
    found = {}
    for key in network.state_dict():
        official = re.sub(r"^blocks\.(\d+)\.", lambda match: f"UpBlock1_{int(match[1]) + 1}.", key)
        for ours, theirs in (*RENAMED, (r"^encoder\.", encoder)):
            official = re.sub(ours, theirs, official)
        found[key] = Counterpart(official)
        if key.endswith((".rho", ".gamma", ".beta")):  # weights of layer norms
            found[key] = Counterpart(official, Tensor.flatten, lambda weight: weight[None, :, None, None])
    return found


def files(model: nn.Module, networks: Mapping[str, Mapping[str, Tensor]], title: str, step: int) -> dict[str, Any]:
    if missing := [official for official, ours in NETWORKS.items() if ours not in networks]:
        warn(f"the model holds no {' and no '.join(missing)}, which the official code also loads")
    states = {official: networks[ours] for official, ours in NETWORKS.items() if ours in networks}
    return {f"{title}_params_{step:07d}.pt": states}
