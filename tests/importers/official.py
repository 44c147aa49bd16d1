r"""What official networks compute from weights that a formula gives: writes official.json and official_stylegan.json.

    python tests/importers/official.py JUNYANZ INTERPOLATING ZNXLWM ROSINALITY

JUNYANZ is models/networks.py of junyanz/pytorch-CycleGAN-and-pix2pix, INTERPOLATING one of its versions of 2018 whose
ResnetGenerator interpolates (or a copy with that change), ZNXLWM is networks.py of znxlwm/UGATIT-pytorch, and
ROSINALITY model.py of rosinality/style-based-gan-pytorch with a sixteenth of its channels, which it writes as numbers:

    perl -pe 's{\b(16|32|64|128|256|512)\b}{$1 / 16}ge' model.py

No part of them is kept but the names and shapes of their tensors and some numbers that they computed.
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
STYLEGAN = Path(__file__).with_name("official_stylegan.json")
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


def stylegan_state(shapes: Mapping[str, Sequence[int]], resolution: int = 1024) -> dict[str, Tensor]:
    """Returns a generator of rosinality's; noise beyond a resolution has no weight, as before training."""
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
            elif "to_rgb" in key:  # so that images lie about in [-1, 1]
                state[key] *= 0.1
    return state


def latents(name: str, size: int) -> Tensor:
    """Returns two latents [2, Z]."""
    return values(name, (2, size)) / 0.3 * math.sqrt(3)


def stylegan_noise(resolution: int) -> list[Tensor]:
    """Returns noise [1, 1, h, w] from 4 px up to a resolution."""
    sizes = [4 * 2**block for block in range(int(math.log2(resolution)) - 1)]
    return [values(f"noise {size}", (1, 1, size, size)) / 0.3 for size in sizes]


def record_stylegan(path: str) -> None:
    """Writes what a generator of rosinality's makes at each resolution, truncated, mixed, and with noise."""
    generator = _module(path).StyledGenerator(32)
    shapes = {key: list(tensor.shape) for key, tensor in generator.state_dict().items()}
    generator.load_state_dict(stylegan_state(shapes))
    generator.eval()
    z, other = latents("a latent", 32), latents("another latent", 32)
    mean = values("a mean", (1, 32))
    record: dict[str, Any] = {"shapes": shapes, "images": {}}
    with torch.no_grad():
        for step in range(1, 9):
            resolution = 4 * 2**step
            noise = stylegan_noise(resolution)
            silent = [torch.zeros_like(tensor) for tensor in noise]
            images = {
                "plain": generator(z, silent, step=step, alpha=1),
                "truncated": generator(z, silent, step=step, alpha=1, mean_style=mean, style_weight=0.7),
                "mixed": generator([z, other], silent, step=step, alpha=1, mixing_range=(0, 1)),
                "noisy": generator(z, noise, step=step, alpha=1),
            }
            record["images"][resolution] = {name: excerpt(image) for name, image in images.items()}
    STYLEGAN.write_text(json.dumps(record) + "\n")


def main(junyanz: str, interpolating: str, znxlwm: str, rosinality: str) -> None:
    record_stylegan(rosinality)
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
