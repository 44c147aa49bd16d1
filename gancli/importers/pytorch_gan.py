"""GAN and cGAN of eriklindernoren/PyTorch-GAN, whose scripts save nothing: a user's own ``generator.pth``.

Its networks are chains ``model.N`` of linear layers; those of the cGAN also have an embedding of the class.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from gancli.architectures import cgan, gan
from gancli.console import note
from gancli.importers.base import Checkpoints, Counterpart, Imported, StateDict
from gancli.importers.reading import agreed, by_network, image_sizes, weight
from gancli.schema import ModelConfig

checkpoints = Checkpoints(
    format="pytorch-gan",
    kinds={"gan": "a network of gan.py in PyTorch-GAN", "cgan": "a network of cgan.py in PyTorch-GAN"},
    file=r"(?:generator|discriminator)(?:_(?P<epoch>\d+))?\.pth",
    example="generator.pth",
    key=r"label_emb(?:edding)?\.weight",
)
EPS = 0.8
"""Meant as a momentum, ``BatchNorm1d(n, 0.8)`` sets epsilon."""


def read(architecture: str, found: Sequence[StateDict], model: ModelConfig, chosen: Container[str]) -> Imported:
    """Finds the networks by their keys, and the sizes from their tensors."""
    kind = checkpoints.kinds[architecture]

    def name_of(state: StateDict) -> str | None:
        if architecture == "cgan":
            embeddings = {"label_emb.weight": "generator", "label_embedding.weight": "discriminator"}
            return next((name for key, name in embeddings.items() if key in state.tensors), None)
        layers = _layers(state)
        if not layers:
            return None
        return "discriminator" if layers[-1].shape[0] == 1 else "generator"

    networks = by_network(found, name_of, kind)
    sizes = agreed((state, _sizes(name, state, kind)) for name, state in networks.items())
    generator = str(networks["generator"])
    if architecture == "cgan":
        sizes |= {"networks": ("embedding", generator), "objective": ("lsgan", generator)}
        return Imported(sizes, networks, preset="cgan-mnist")
    sizes |= {"networks": ("plain", generator), "norm_eps": (EPS, generator)}
    if "norm_eps" not in chosen:
        note(f"no tensor tells batch norm's epsilon; assuming PyTorch-GAN's {EPS}, or --set model.norm_eps=1e-5")
    return Imported(sizes, networks, preset="gan-mnist")


def _layers(state: StateDict) -> list[Tensor]:
    """Returns the weights [outputs, inputs] of the linear layers in their order."""
    numbers = {
        int(number): tensor
        for key, tensor in state.tensors.items()
        if key.startswith("model.") and tensor.ndim == 2 and (number := key.split(".")[1]).isdecimal()
    }
    return [numbers[number] for number in sorted(numbers)]


def _sizes(name: str, state: StateDict, kind: str) -> dict[str, Any]:
    """Returns the keys of the model section that a network fixes."""
    inputs = weight(state, "model.0.weight", 2, kind).shape[1]
    *widths, outputs = [len(layer) for layer in _layers(state)]
    sizes: dict[str, Any] = {}
    if kind == checkpoints.kinds["cgan"]:
        embedding = weight(state, f"{'label_emb' if name == 'generator' else 'label_embedding'}.weight", 2, kind)
        sizes["classes"] = len(embedding)
        inputs = max(0, inputs - embedding.shape[1])
    else:
        sizes[f"{name}_widths"] = widths
    if name == "discriminator":
        return sizes | image_sizes(inputs)
    return sizes | {"latent_dim": inputs} | image_sizes(outputs)


RENAMED = {
    gan.Generator: {"layers.": "model."},
    gan.Discriminator: {"layers.": "model."},
    cgan.EmbeddingGenerator: {"generator.layers.": "model.", "embedding.": "label_emb."},
    cgan.EmbeddingDiscriminator: {"layers.": "model.", "embedding.": "label_embedding."},
}
"""The beginnings of our keys and of the official ones."""


def counterparts(network: nn.Module) -> dict[str, Counterpart]:
    found = {}
    for key in network.state_dict() if type(network) in RENAMED else ():
        ours, theirs = next(pair for pair in RENAMED[type(network)].items() if key.startswith(pair[0]))
        number, _, parameter = key.removeprefix(ours).rpartition(".")
        if isinstance(network, gan.Discriminator):  # ours begins with a layer that flattens
            number = str(int(number) - 1)
        found[key] = Counterpart(f"{theirs}{number}.{parameter}" if number else f"{theirs}{parameter}")
    return found


def files(model: nn.Module, networks: Mapping[str, Mapping[str, Tensor]], title: str, step: int) -> dict[str, Any]:
    return {f"{name}.pth": state for name, state in networks.items()}
