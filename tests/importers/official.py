"""What official networks compute from weights that a formula gives: writes official.json, which the tests read.

    python tests/importers/official.py JUNYANZ INTERPOLATING ZNXLWM

JUNYANZ is models/networks.py of junyanz/pytorch-CycleGAN-and-pix2pix, INTERPOLATING one of its versions of 2018 whose
ResnetGenerator interpolates (or a copy with that change), ZNXLWM is networks.py of znxlwm/UGATIT-pytorch. No part of
them is kept but the names and shapes of their tensors and some numbers that they computed.
"""

from __future__ import annotations

import importlib.util
import json
import math
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

GOLDEN = Path(__file__).with_name("official.json")
KEPT = 24
"""Numbers of an output that are kept, spread evenly over it."""


def values(key: str, shape: Sequence[int]) -> Tensor:
    """Returns the tensor of a key: the same everywhere, and different for every key."""
    if key.endswith("num_batches_tracked"):
        return torch.tensor(7)
    count = math.prod(shape)
    wave = torch.sin(12.9898 * torch.arange(count, dtype=torch.float64) + zlib.crc32(key.encode()) % 1000)
    wave = 2 * (43758.5453 * wave).frac().abs() - 1  # noise, uniform in [-1, 1]
    if key.endswith(("weight_u", "weight_v")):
        tensor = (wave + 1.5) / math.sqrt(2.75 * count)
    elif key.endswith((".running_var", ".rho", ".gamma")) or (len(shape) == 1 and key.endswith(".weight")):
        tensor = 0.55 + 0.45 * wave
    elif key.endswith("weight_orig"):  # u W v is what it is divided by, and must not be near 0
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


def _record(network: nn.Module, channels: int, size: int) -> dict[str, Any]:
    shapes = {key: list(tensor.shape) for key, tensor in network.state_dict().items()}
    network.load_state_dict(state_dict(shapes))
    with torch.no_grad():
        output = network.eval()(image(channels, size))
    outputs = list(output[:2]) if isinstance(output, tuple) else [output]
    assert all(part.isfinite().all() for part in outputs)
    assert outputs[0].std() > 0.01
    return {"input": [channels, size], "shapes": shapes, "outputs": [excerpt(part) for part in outputs]}


def _module(path: str) -> Any:
    spec = importlib.util.spec_from_file_location("official_networks", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(junyanz: str, interpolating: str, znxlwm: str) -> None:
    new, old, ugatit = _module(junyanz), _module(interpolating), _module(znxlwm)
    networks: dict[str, tuple[nn.Module, int, int]] = {}
    for name in ("instance", "batch"):
        norm = new.get_norm_layer(name)
        networks |= {
            f"resnet-{name}": (new.ResnetGenerator(3, 2, 3, norm, False, 2), 3, 16),
            f"resnet-back-{name}": (new.ResnetGenerator(2, 3, 3, norm, False, 2), 2, 16),
            f"resnet-dropout-{name}": (new.ResnetGenerator(3, 3, 2, norm, True, 1), 3, 16),
            f"resnet-bilinear-{name}": (old.ResnetGenerator(3, 3, 2, norm, False, 1), 3, 16),
            f"unet-{name}": (new.UnetGenerator(2, 3, 6, 2, norm, True), 2, 64),
            f"patchgan-{name}": (new.NLayerDiscriminator(5, 2, 3, norm), 5, 32),
            f"patchgan-a-{name}": (new.NLayerDiscriminator(3, 3, 3, norm), 3, 32),
            f"patchgan-b-{name}": (new.NLayerDiscriminator(2, 3, 3, norm), 2, 32),
            f"patchgan-286-{name}": (new.NLayerDiscriminator(3, 2, 5, norm), 3, 128),
            f"pixelgan-{name}": (new.PixelDiscriminator(3, 3, norm), 3, 16),
        }
    networks |= {
        "ugatit-full": (ugatit.ResnetGenerator(3, 3, 2, 2, 96, False), 3, 96),
        "ugatit-light": (ugatit.ResnetGenerator(3, 3, 3, 1, 96, True), 3, 96),
        "ugatit-global": (ugatit.Discriminator(3, 2, 7), 3, 128),
        "ugatit-local": (ugatit.Discriminator(3, 2, 5), 3, 96),
    }
    records = {name: _record(*made) for name, made in networks.items()}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(record)}" for name, record in records.items())
    GOLDEN.write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
