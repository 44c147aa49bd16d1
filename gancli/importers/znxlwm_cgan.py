"""cGAN and conditional DCGAN of znxlwm/pytorch-MNIST-CelebA-cGAN-cDCGAN: ``MNIST_cGAN_results/generator_param.pkl``.

Such a ``.pkl`` is a state dict. Layers 1_1 (of z, or of the image) and 1_2 (of the class) stand side by side, and the
others follow: ``fc2`` there is ``layers.0`` here. Images of the cGAN are flat.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from gancli.architectures import cdcgan, cgan
from gancli.console import note, warn
from gancli.importers.base import Checkpoints, Counterpart, Imported, StateDict
from gancli.importers.reading import agreed, by_network, image_sizes, weight
from gancli.schema import ModelConfig

checkpoints = Checkpoints(
    format="znxlwm",
    kinds={
        "cgan": "a cGAN of pytorch-MNIST-CelebA-cGAN-cDCGAN",
        "cdcgan": "a conditional DCGAN of pytorch-MNIST-CelebA-cGAN-cDCGAN",
    },
    file=r"(?:.+_)?(?:generator|discriminator)_param\.pkl",
    example="MNIST_cGAN_results/generator_param.pkl, CelebA_cDCGAN_generator_param.pkl",
    suffixes=(".pkl", ".pth", ".pt"),
    key=r"fc1_1\.weight",
)
NAMES = {cgan.Generator: "fc", cgan.Discriminator: "fc", cdcgan.Generator: "deconv", cdcgan.Discriminator: "conv"}
"""What the layers of a network are called."""
BRANCHES = {"z": "1_1", "image": "1_1", "y": "1_2"}
CELEBA = {"channels": 3, "resolution": 64}
OFFICIAL: dict[str, list[dict[str, Any]]] = {
    "fc": [{"channels": 1, "resolution": 28, "classes": 10, "latent_dim": 100, "generator_width": 256}],
    "deconv": [
        {"channels": 1, "resolution": 32, "classes": 10, "latent_dim": 100, "activation": "relu"},
        {**CELEBA, "classes": 2, "latent_dim": 100, "activation": "leaky"},
    ],
}
"""What the official scripts fix."""


def read(architecture: str, found: Sequence[StateDict], model: ModelConfig, chosen: Container[str]) -> Imported:
    """Finds the networks by their keys, and the sizes from their tensors."""
    dense = architecture == "cgan"

    def name_of(state: StateDict) -> str | None:
        starts = {key.partition(".")[0] for key in state.tensors}
        if ("fc1_1_bn" if dense else "deconv1_1") in starts:
            return "generator"
        return "discriminator" if ("fc1_1" if dense else "conv1_1") in starts else None

    networks = by_network(found, name_of, checkpoints.kinds[architecture])
    measure = _dense_sizes if dense else _convolutional_sizes
    sizes = agreed((state, measure(name, state)) for name, state in networks.items())
    if not dense and "activation" not in chosen:
        leaky = all(sizes[key][0] == value for key, value in CELEBA.items())
        script, other = ("CelebA", "relu") if leaky else ("MNIST", "leaky")
        activation = "leaky" if leaky else "relu"
        sizes["activation"] = (activation, str(networks["generator"]))
        note(
            f"no tensor tells G's nonlinearity; assuming {activation}, as in the {script} script, or "
            f"--set model.activation={other}"
        )
    return Imported(sizes, networks, preset="cgan-mnist" if dense else "")


def _dense_sizes(name: str, state: StateDict) -> dict[str, Any]:
    """Returns the keys of cGAN's model section that a network fixes."""
    kind = checkpoints.kinds["cgan"]
    width, inputs = weight(state, "fc1_1.weight", 2, kind).shape
    sizes = {"networks": "branches", "classes": weight(state, "fc1_2.weight", 2, kind).shape[1]}
    if name == "discriminator":
        return {**sizes, "discriminator_width": width, **image_sizes(inputs)}
    pixels = weight(state, "fc4.weight", 2, kind).shape[0]
    return {**sizes, "generator_width": width, "latent_dim": inputs, **image_sizes(pixels)}


def _convolutional_sizes(name: str, state: StateDict) -> dict[str, Any]:
    """Returns the keys of cDCGAN's model section that a network fixes; a weight of G is [inputs, outputs, 4, 4]."""
    kind, layer = checkpoints.kinds["cdcgan"], "deconv" if name == "generator" else "conv"
    numbers = [int(match[1]) for key in state.tensors if (match := re.match(rf"{layer}(\d\d?)\.", key))]
    doublings = max(numbers, default=1) - 1
    first, label = weight(state, f"{layer}1_1.weight", 4, kind), weight(state, f"{layer}1_2.weight", 4, kind)
    sizes = {"resolution": 4 * 2**doublings}
    if name == "discriminator":
        channels, width = first.shape[1], 2 * first.shape[0]
        return {**sizes, "classes": label.shape[1], "channels": channels, "discriminator_width": width}
    width, channels = weight(state, f"deconv{doublings + 1}.weight", 4, kind).shape[:2]
    latent = {"classes": label.shape[0], "latent_dim": first.shape[0]}
    return {**sizes, **latent, "channels": channels, "generator_width": width}


def counterparts(network: nn.Module) -> dict[str, Counterpart]:
    name = NAMES.get(type(network))
    found = {}
    for key in network.state_dict() if name else ():
        branch, place, parameter = key.split(".")
        norm = isinstance(network.get_submodule(f"{branch}.{place}"), (nn.BatchNorm1d, nn.BatchNorm2d))
        # Each layer is followed by a norm and a nonlinearity.
        layer = BRANCHES.get(branch) or int(place) // 3 + 2
        found[key] = Counterpart(f"{name}{layer}{'_bn' if norm else ''}.{parameter}")
    return found


def files(model: nn.Module, networks: Mapping[str, Mapping[str, Tensor]], title: str, step: int) -> dict[str, Any]:
    config: Any = model.config
    scripts = OFFICIAL[NAMES[type(model.generator)]]
    differing = [[key for key, value in script.items() if getattr(config, key) != value] for script in scripts]
    if all(differing):
        keys = min(differing, key=len)
        script = scripts[differing.index(keys)]
        theirs = ", ".join(f"{key} {script[key]}" for key in keys)
        ours = ", ".join(str(getattr(config, key)) for key in keys)
        warn(f"the official code has {theirs}, the model {ours}: change that code to load this file")
    return {f"{title}_{name}_param.pkl": state for name, state in networks.items()}
