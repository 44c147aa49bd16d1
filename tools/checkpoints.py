"""Checkpoints of official networks with weights from a formula, and the outputs of those networks for an image.

``python tools/official.py ARCH PATH --networks`` runs the official networks. ``tests/importers`` has the names and
shapes of their tensors and some of their output values, and its tests compare gancli's importers with them.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

GOLDEN = Path(__file__).parents[1] / "tests" / "importers" / "official.json"
"""Networks of junyanz and znxlwm by name."""
LATENT = GOLDEN.with_name("official_latent.json")
"""Networks of the classic latent models by name."""
STYLEGAN = GOLDEN.with_name("official_stylegan.json")
"""The generator of rosinality."""
KEPT = 24
"""How many numbers of an output are kept, spread evenly over it."""


def values(key: str, shape: Sequence[int]) -> Tensor:
    """Returns the tensor of a key: the same on every machine, and different for every key."""
    if key.endswith("num_batches_tracked"):
        return torch.tensor(7)
    count = math.prod(shape)
    wave = torch.sin(12.9898 * torch.arange(count, dtype=torch.float64) + zlib.crc32(key.encode()) % 1000)
    wave = 2 * (43758.5453 * wave).frac().abs() - 1  # noise, uniform in [-1, 1]
    if key.endswith(("weight_u", "weight_v")):
        tensor = (wave + 1.5) / math.sqrt(2.75 * count)
    elif key.endswith((".running_var", ".rho", ".gamma")) or (len(shape) == 1 and key.endswith(".weight")):
        tensor = 0.55 + 0.45 * wave
    elif key.endswith("weight_orig"):  # it is divided by u W v, which must not be near 0
        tensor = wave + 0.5
    elif len(shape) > 1 and key.endswith("weight"):
        tensor = wave * math.sqrt(3 / math.prod(shape[1:]))
    else:
        tensor = 0.3 * wave
    return tensor.float().reshape(list(shape))


def state_dict(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Returns a checkpoint with these keys and shapes."""
    return {key: values(key, shape) for key, shape in shapes.items()}


def image(channels: int, size: int) -> Tensor:
    """Returns an image [1, C, H, W] in [-1, 1]."""
    return values("an image", (1, channels, size, size)) / 0.3


def excerpt(output: Tensor) -> list[float]:
    """Returns the numbers of an output that are kept."""
    flat = output.detach().flatten()
    return [round(float(number), 6) for number in flat[:: max(1, len(flat) // KEPT)][:KEPT]]


def record(network: nn.Module, channels: int, size: int) -> dict[str, Any]:
    """Returns a network's input, its shapes by key, and an excerpt of each output."""
    return {"input": [channels, size], **record_of(network, image(channels, size))}


def record_of(network: nn.Module, *inputs: Tensor) -> dict[str, Any]:
    """Returns a network's shapes by key, and an excerpt of each output for some inputs."""
    shapes = {key: list(tensor.shape) for key, tensor in network.state_dict().items()}
    network.load_state_dict(state_dict(shapes))
    with torch.no_grad():
        output = network.eval()(*inputs)
    outputs = list(output[:2]) if isinstance(output, tuple) else [output]
    assert all(part.isfinite().all() for part in outputs)
    assert outputs[0].numel() <= 2 or outputs[0].std() > 0.01  # one or two scores may be alike
    return {"shapes": shapes, "outputs": [excerpt(part) for part in outputs]}


def stylegan_state(shapes: Mapping[str, Sequence[int]], resolution: int = 1024) -> dict[str, Tensor]:
    """Returns a generator of rosinality; noise above ``resolution`` has weight 0, as before training."""
    state = {}
    for key, shape in shapes.items():
        block = key.split(".")[2]
        if key.endswith(("conv1.2.weight", "conv1.1.weight", "weight_flip")):
            state[key] = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]).expand(shape) / 16
        elif ".noise" in key and 4 * 2 ** int(block) > resolution:
            state[key] = torch.zeros(shape)
        else:
            # N(0, 1) before training, and biases of 0 or 1
            state[key] = values(key.replace("_orig", ""), shape) * (
                math.prod(shape[1:]) ** 0.5 if len(shape) > 1 else 1
            )
            if ".adain" in key and key.endswith("bias"):
                state[key] += (torch.arange(shape[0]) < shape[0] // 2).float()
            elif "to_rgb" in key:  # so that images are roughly in [-1, 1]
                state[key] *= 0.1
    return state


def latents(name: str, size: int) -> Tensor:
    """Returns two latents [2, Z]."""
    return values(name, (2, size)) / 0.3 * math.sqrt(3)


def stylegan_noise(resolution: int) -> list[Tensor]:
    """Returns noise [1, 1, h, w] from 4 px up to a resolution."""
    sizes = [4 * 2**block for block in range(int(math.log2(resolution)) - 1)]
    return [values(f"noise {size}", (1, 1, size, size)) / 0.3 for size in sizes]
