"""Small models: the settings of a DCGAN that trains in a moment, and model files of untrained networks."""

from __future__ import annotations

from pathlib import Path

import torch

from gancli import config
from gancli.architectures.base import LatentModel
from gancli.modelfile import describe, load_model, to_bytes
from gancli.registry import load_architecture

SMALL = [
    *("--set", "model.generator_width=4", "--set", "model.discriminator_width=4", "--set", "model.latent_dim=8"),
    *("--set", "train.samples=4", "--batch", "8"),
]

SIZES = {
    "dcgan": ["model.resolution=32", "model.generator_width=4", "model.latent_dim=8"],
    "progan": ["model.resolution=16", "model.latent_dim=8", "model.width=64", "model.max_width=8"],
    "stylegan": [
        *("model.resolution=16", "model.latent_dim=8", "model.style_dim=12", "model.mapping_layers=2"),
        *("model.width=64", "model.max_width=8"),
    ],
}


def save_model(path: Path, architecture: str, *sets: str, classes: tuple[str, ...] = ()) -> LatentModel:
    """Writes a model file of a small network, made up so that all that it takes matters, and returns the model."""
    wanted = [*SIZES[architecture], *sets, *([f"model.classes={len(classes)}"] if classes else [])]
    resolved = config.resolve(f"{architecture}-shapes", sets=wanted)
    kind = load_architecture(architecture)
    torch.manual_seed(0)
    model = kind(resolved.model)
    assert isinstance(model, LatentModel)
    with torch.no_grad():
        for value in (*model.parameters(), *model.buffers()):
            if value.is_floating_point() and not value.any():  # noise, biases, the mean of w
                value.normal_(std=0.3)
            elif architecture == "dcgan" and value.ndim == 4:  # weights so small that its images would be grey
                value.mul_(10)
        for seed in range(20):  # batch normalisation needs to have seen something
            labels = torch.arange(32) % len(classes) if classes else None
            model.train().decode(model.latents(32, torch.Generator().manual_seed(seed)), labels)
    networks = list(model.averaged)
    state = {name: value for name, value in model.state_dict().items() if name.partition(".")[0] in networks}
    info = describe(
        architecture,
        resolved,
        networks=networks,
        inputs=kind.inputs(resolved.model),
        classes=classes,
        origin="made up",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_bytes(info, state))
    loaded, _ = load_model(path, torch.device("cpu"))
    assert isinstance(loaded, LatentModel)
    return loaded
