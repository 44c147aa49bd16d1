"""Regenerates tests/golden/*.json from our networks: ``python tools/golden.py`` (after a deliberate change only).

Weights, images and latents come from formulas, not from random numbers, so that the same values can be made anywhere:
the official networks, loaded with them in a scratch folder, gave the same numbers to 1e-6 (see docs/verification.md).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor
from torch.nn.utils.parametrize import is_parametrized

from gancli.architectures.base import Batch, Translator
from gancli.architectures.cyclegan import CycleGAN
from gancli.architectures.dcgan import DCGAN
from gancli.architectures.pix2pix import Pix2Pix
from gancli.architectures.progan import ProGAN
from gancli.architectures.stylegan import StyleGAN
from gancli.architectures.ugatit import UGATIT
from gancli.nn.progressive import Stage
from gancli.schema import ModelConfig, TrainConfig
from gancli.training.update import Update, make_players, network_names

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"


def wave(*shape: int, phase: float) -> Tensor:
    """Numbers in (-1, 1) without a pattern that a convolution could cancel."""
    count = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return torch.sin(count * 12.9898 + phase * 78.233).mul(43758.5453).frac().float().reshape(shape)


def fill(model: torch.nn.Module, scale: float = 0.1) -> None:
    """Gives every parameter a value from a formula over its place and shape; buffers keep their initial ones."""
    with torch.no_grad():
        for index, parameter in enumerate(model.parameters()):
            values = wave(*parameter.shape, phase=index + 1)
            parameter.copy_(values * scale if parameter.ndim > 1 else 1 + values * 0.1)


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
        update.begin(step, 4 * step, 0.0, model.stage)
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
        update.begin(step, step, 0.0, model.stage)
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


@contextmanager
def drawn_by_formula() -> Iterator[None]:
    """Makes torch draw from ``wave``, each shape counted on its own; a single number is two fifths up its range."""
    counts: Counter[tuple[int, ...]] = Counter()

    def normal(*shape: int, **_: object) -> Tensor:
        counts[shape] += 1
        return wave(*shape, phase=300 + counts[shape]).double() * 1.7

    def uniform(*shape: int, **_: object) -> Tensor:
        return normal(*shape).abs() / 1.7 if len(shape) > 1 else torch.tensor(0.4, dtype=torch.float64)

    def whole(low: int, high: int, *_: object, **__: object) -> Tensor:
        return torch.tensor(low + 2 * (high - low) // 5)

    with mock.patch.multiple(torch, randn=normal, rand=uniform, randint=whole):
        yield


def growing(model: ProGAN | StyleGAN) -> dict[str, object]:
    """Images and D's outputs at every stage, then two training steps while 16 px are faded in, in double precision."""
    fill(model, 1.7)
    for index, (_, buffer) in enumerate(model.named_buffers()):
        buffer.copy_(wave(*buffer.shape, phase=900 + index))
    model.double().train()
    weights = torch.eye(3, dtype=torch.float64)[[0, 1, 2, 0]]
    z = wave(4, 12, phase=100).double() * 2
    values: dict[str, object] = {}
    for stage in (Stage(4), Stage(8, 0.3), Stage(8), Stage(16, 0.6), Stage(16)):
        name, images = f"{stage.resolution} px, alpha {stage.fade:g}", wave(4, 3, 16, 16, phase=101).double()
        with torch.no_grad():
            if isinstance(model, StyleGAN):
                made = model.synthesis(
                    model.truncate(model.map(z, weights), 0.7, 3), model.synthesis.constant_noise(), stage
                )
            else:
                made = model.generator(z, weights, stage)
            values[f"G, {name}"] = summary(made)
            values[f"D, {name}"] = summary(
                model.discriminator(images[:, :, : stage.resolution, : stage.resolution], stage)
            )
    train = TrainConfig(steps=2, batch=4)
    model.stage = Stage(16, 0.6)
    update = Update(make_players(model, train, torch.device("cpu")), train, torch.device("cpu"))
    with drawn_by_formula():
        for step in range(2):
            update.begin(step, 4 * step, 0.0, model.stage)
            batch = Batch({"image": wave(4, 3, 16, 16, phase=110 + step).double()}, weights)
            model.training_step(iter([batch]), update)
            values[f"losses, step {step + 1}"] = update.meter.read()
            update.meter.clear()
    for network in network_names(model):
        moved = torch.cat([parameter.flatten() for parameter in model.get_submodule(network).parameters()])
        values[f"{network} after 2 steps"] = summary(moved)
    if isinstance(model, StyleGAN):
        values["mean w after 2 steps"] = summary(model.mean_w)
    return values


def progan() -> dict[str, object]:
    """A narrow ProGAN of 16 px with 3 classes."""
    return growing(ProGAN(ProGAN.Config(resolution=16, latent_dim=12, classes=3, width=64, max_width=16)))


def stylegan() -> dict[str, object]:
    """A narrow StyleGAN of 16 px with 3 classes."""
    config = StyleGAN.Config(
        resolution=16,
        latent_dim=12,
        style_dim=20,
        mapping_layers=3,
        mapping_lr=0.5,
        classes=3,
        width=64,
        max_width=16,
    )
    return growing(StyleGAN(config))


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
    for network in (dcgan, pix2pix, cyclegan, ugatit, progan, stylegan):
        path = GOLDEN / f"{network.__name__}.json"
        path.write_text(json.dumps(network(), indent=1) + "\n")
        print(path)
