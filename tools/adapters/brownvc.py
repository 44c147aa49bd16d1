"""R3GAN of brownvc/R3GAN: its networks and ``AdversarialTraining``, in the order of ``training/training_loop.py``.

That loop needs a GPU, so the few lines of it that a step consists of are repeated here, with constant rates. Its
operators of NVIDIA have a slow form for the CPU. Stages compute in double precision.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from games import LATENTS
from golden import Draws, Game, Numbers
from torch.torch_version import TorchVersion

from adapters import InOrder, driving, stand_ins

REPOSITORY = "brownvc/R3GAN"
FILES = (
    "R3GAN/FusedOperators.py",
    "R3GAN/Networks.py",
    "R3GAN/Resamplers.py",
    "R3GAN/Trainer.py",
    "torch_utils/ops/bias_act.py",
    "torch_utils/ops/upfirdn2d.py",
    "training/training_loop.py",
)


def play(checkout: Path, game: Game, steps: int) -> Numbers:
    config, numbers, labels = game.model.config, Numbers(), game.labels
    versions = SimpleNamespace(parse_version=TorchVersion)
    with driving(checkout), stand_ins(requests=SimpleNamespace(), pkg_resources=versions):
        networks = importlib.import_module("R3GAN.Networks")
        trainer = importlib.import_module("R3GAN.Trainer")
        cardinalities = [config.expansion * width // config.group for width in config.widths]
        sizes = {"BlocksPerStage": [config.blocks] * len(config.widths), "ExpansionFactor": config.expansion}
        classes: dict[str, dict[str, int]] = {"G": {}, "D": {}}
        if config.classes:
            classes["G"] = {"ConditionDimension": config.classes, "ConditionEmbeddingDimension": config.latent_dim}
            classes["D"] = {"ConditionDimension": config.classes, "ConditionEmbeddingDimension": config.widths[0]}
        modules = {
            "generator": networks.Generator(
                config.latent_dim, list(config.widths), cardinalities, **sizes, **classes["G"]
            ),
            "discriminator": networks.Discriminator(config.widths[::-1], cardinalities[::-1], **sizes, **classes["D"]),
        }
        for module in modules.values():
            for stage in module.MainLayers:
                stage.DataType = torch.float64
            for name, kernel in module.named_buffers():  # of sixty-fourths, so nothing is lost
                module.get_submodule(name.rpartition(".")[0]).Kernel = kernel.float()
        pairs = {
            name: InOrder(game.model.get_submodule(name), module, in_order(module)) for name, module in modules.items()
        }
        generator, discriminator = modules["generator"], modules["discriminator"]
        training = trainer.AdversarialTraining(generator, discriminator)
        with torch.no_grad():
            numbers["G(z)"] = generator(LATENTS, labels)
            numbers["D(x)"] = discriminator(game.images(0)["image"], labels)
        rules = {"betas": (0.0, 0.99), "eps": 1e-8, "lr": 2e-4}
        optimizers = {name: torch.optim.Adam(module.parameters(), **rules) for name, module in modules.items()}
        draws = Draws()
        for step in range(steps):
            draws.begin(step)
            latents = [draws.normal((game.batch, config.latent_dim), nth) for nth in (1, 2)]
            for module in modules.values():
                module.requires_grad_(False)

            optimizers["discriminator"].zero_grad(set_to_none=True)
            discriminator.requires_grad_(True)
            found = training.AccumulateDiscriminatorGradients(
                latents[0], game.images(step, 0)["image"], labels, config.gamma
            )
            discriminator.requires_grad_(False)
            optimizers["discriminator"].step()
            loss, difference, r1, r2 = (value.mean() for value in found)
            numbers[f"step {step + 1}: D"] = loss + config.gamma / 2 * (r1 + r2)
            numbers |= {f"step {step + 1}: R1": r1, f"step {step + 1}: R2": r2}
            numbers[f"step {step + 1}: D(x) - D(G(z))"] = difference

            optimizers["generator"].zero_grad(set_to_none=True)
            generator.requires_grad_(True)
            loss, _ = training.AccumulateGeneratorGradients(latents[1], game.images(step, 1)["image"], labels)
            optimizers["generator"].step()
            numbers[f"step {step + 1}: G"] = loss.mean()
            numbers |= {f"step {step + 1}: {name} moved": pair.moved() for name, pair in pairs.items()}
    return numbers


def in_order(network: Any) -> list[str]:
    """Returns the names of parameters in the order of use, but an embedding of classes is last (D) or first (G)."""
    places = {"LinearLayer1": 0, "NonLinearity1": 1, "LinearLayer2": 2, "NonLinearity2": 3, "LinearLayer3": 4}
    names = [name for name, _ in network.named_parameters()]

    def place(name: str) -> tuple[int, int]:
        found = re.fullmatch(r"(MainLayers\.\d+\.Layers\.\d+\.)(\w+\d)\..*", name)
        if not found or found[2] not in places:
            return names.index(name), 0
        return next(index for index, other in enumerate(names) if other.startswith(found[1])), places[found[2]]

    names_in_order = sorted(names, key=place)
    if hasattr(network, "AggregationLayer"):
        names_in_order.sort(key=lambda name: not name.startswith("EmbeddingLayer"))
    return names_in_order
