"""Regenerates tests/golden/*.json from our networks: ``python tools/golden.py`` (after a deliberate change only).

Weights, images and latents come from formulas, not from random numbers, so that the same values can be made anywhere:
the official networks, loaded with them in a scratch folder, gave the same numbers to 1e-6 (see docs/verification.md).
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.parametrize import is_parametrized

from gancli.architectures.base import Batch, Translator
from gancli.architectures.cyclegan import CycleGAN
from gancli.architectures.dcgan import DCGAN
from gancli.architectures.pix2pix import Pix2Pix
from gancli.architectures.ugatit import UGATIT
from gancli.schema import ModelConfig, TrainConfig
from gancli.training.update import Update, make_players, network_names

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"


def wave(*shape: int, phase: float) -> Tensor:
    """Numbers in (-1, 1) without a pattern that a convolution could cancel."""
    count = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return torch.sin(count * 12.9898 + phase * 78.233).mul(43758.5453).frac().float().reshape(shape)


def fill(model: torch.nn.Module) -> None:
    """Gives every parameter a value from a formula over its place and shape; buffers keep their initial ones."""
    with torch.no_grad():
        for index, parameter in enumerate(model.parameters()):
            values = wave(*parameter.shape, phase=index + 1)
            parameter.copy_(values * 0.1 if parameter.ndim > 1 else 1 + values * 0.1)


def summary(tensor: Tensor) -> dict[str, object]:
    flat = tensor.detach().double().flatten()
    return {
        "shape": list(tensor.shape),
        "mean": flat.mean().item(),
        "std": flat.std().item(),
        "first": flat[:4].tolist(),
        "last": flat[-4:].tolist(),
    }


def dcgan(channels_last: bool = False) -> dict[str, object]:
    """One forward pass in evaluation mode and two training steps of a narrow 64 px DCGAN."""
    model = DCGAN(DCGAN.Config(generator_width=8, discriminator_width=8, latent_dim=16))
    fill(model)
    if channels_last:
        model.to(memory_format=torch.channels_last)
    z, images = wave(4, 16, phase=100) * 2, wave(4, 3, 64, 64, phase=101)
    values: dict[str, object] = {}
    with torch.no_grad():
        model.eval()
        values["generator, eval"] = summary(model.decode(z))
        values["discriminator, eval"] = summary(model.discriminator(images))
        model.train()
    config = TrainConfig(steps=2, batch=4)
    update = Update(make_players(model, config, torch.device("cpu")), config, torch.device("cpu"))
    for step in range(2):
        batch = Batch({"image": images})
        update.begin(step, 4 * step, 0.0)
        update.forward("G", lambda part: part.stash.update(fake=model.generator(z)), batch)
        update("D", model.d_loss, batch)
        update("G", model.g_loss, batch)
        values[f"losses, step {step + 1}"] = update.meter.read()
        update.meter.clear()
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and ("layers.3" in name or "layers.4" in name):
            values[f"{name} after 2 steps"] = summary(tensor)
    return values


def translator(model: Translator, config: ModelConfig) -> dict[str, object]:
    """What a translator's losses and weights are in two training steps, in double precision and without dropout.

    In single precision the biases before an instance norm, which change nothing, would go as rounding errors go.
    """
    fill(model)
    model.double().train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    train = TrainConfig(steps=2, batch=1)
    update = Update(make_players(model, train, torch.device("cpu")), train, torch.device("cpu"))
    values: dict[str, object] = {}
    for step in range(2):
        images = {
            domain: wave(1, *shape, phase=100 + 10 * step + index).double()
            for index, (domain, shape) in enumerate(type(model).input_shapes(config).items())
        }
        update.begin(step, step, 0.0)
        model.training_step(iter([Batch(images)]), update)
        values[f"losses, step {step + 1}"] = update.meter.read()
        update.meter.clear()
    for network in network_names(model):
        weights = torch.cat([parameter.flatten() for parameter in model.get_submodule(network).parameters()])
        values[f"{network} after 2 steps"] = summary(weights)
    return values


def pix2pix() -> dict[str, object]:
    """pix2pix with a narrow U-Net for 32 px."""
    config = Pix2Pix.Config(resolution=32, generator_width=4, discriminator_width=4, receptive_field=16)
    return translator(Pix2Pix(config), config)


def cyclegan() -> dict[str, object]:
    """CycleGAN with narrow ResNets of 2 blocks."""
    config = CycleGAN.Config(resolution=32, generator_width=4, discriminator_width=4, blocks=2, pool_size=2)
    return translator(CycleGAN(config), config)


def ugatit() -> dict[str, object]:
    """U-GAT-IT, full and light, with 2 residual blocks and discriminators of 3 and 5 layers; then what it looks at."""
    values: dict[str, object] = {}
    for version in ("full", "light"):
        config = UGATIT.Config(
            resolution=32,
            light=version == "light",
            generator_width=4,
            discriminator_width=4,
            residual_blocks=2,
            local_layers=3,
            global_layers=5,
        )
        model = UGATIT(config)
        fill(model)
        settle(model)
        values |= {f"{version}: {name}": value for name, value in translator(model, config).items()}
        with torch.no_grad():
            image, attention = model.translate_with_attention(wave(1, 3, 32, 32, phase=200).double(), "B")
        values[f"{version}: translation"], values[f"{version}: attention"] = summary(image), summary(attention)
    return values


def settle(model: torch.nn.Module) -> None:
    """Takes all spectral norms to where power iterations lead, so that it does not matter how many there were."""
    for module in model.modules():
        if is_parametrized(module, "weight"):
            norm, weight = module.parametrizations.weight[0], module.parametrizations.weight.original
            left, _, right = torch.linalg.svd(weight.detach().flatten(1), full_matrices=False)
            norm._u.copy_(left[:, 0])
            norm._v.copy_(right[0])


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for network in (dcgan, pix2pix, cyclegan, ugatit):
        path = GOLDEN / f"{network.__name__}.json"
        path.write_text(json.dumps(network(), indent=1) + "\n")
        print(path)
