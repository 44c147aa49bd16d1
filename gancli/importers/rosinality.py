"""StyleGAN of rosinality/style-based-gan-pytorch: ``train_step-7.model``, in it the averaged generator ``g_running``.

Its mapping and synthesis network are one state dict with blocks for 4 to 1024 px, however far it was trained. They
compute what ours do from other numbers:

- every weight is multiplied by sqrt(2 / inputs) when it is used, even the noise's; ours by sqrt(1 / inputs) if no ReLU
  follows, and the noise's not at all;
- the mapping network's low learning rate is set in its optimizer; ours scales the weights;
- the bias of AdaIN's scale begins at 1; ours at 0, and 1 is added;
- from 128 px on, layers upsample by a transposed convolution that averages over 2 x 2 pixels; ours adds them up;
- the learned constant has no bias; ours has one.

Its discriminator has one convolution less at 4 px than ours, and is not read.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn

from gancli.architectures import stylegan
from gancli.architectures.progan import EqualizedLinear, widths_by_depth
from gancli.console import note, warn
from gancli.errors import GancliError
from gancli.importers.base import Checkpoints, Counterpart, Imported, StateDict
from gancli.importers.reading import agreed, refusal, to_theirs

checkpoints = Checkpoints(
    format="rosinality",
    kinds={"stylegan": "a StyleGAN generator of style-based-gan-pytorch"},
    # Two kinds of number: of resolutions, and of the iterations at which the average is saved alone.
    file=r"(?:train_step-)?(?P<epoch>\d+)\.model",
    example="train_step-7.model, 130000.model",
    together=True,
    suffixes=(".model", ".pth", ".pt"),
)
AVERAGE = "g_running"
BLOCKS = 9
FUSED = 5
"""The first block whose layer that upsamples is a transposed convolution: 128 px."""
EPS = 1e-5
SIZES = {"width": 8192, "max_width": 512, "latent_dim": 512, "style_dim": 512, "mapping_layers": 8, "channels": 3}
"""Of the official networks."""

FIRST_INPUT = "generator.progression.0.conv1.input"
FIRST = {"style.1.linear.weight_orig": 2, FIRST_INPUT: 4, "generator.to_rgb.0.conv.bias": 1}
"""Tensors that every generator has, and their dimensions."""
BATCHES, BATCH = 16, 1024
"""Of latents whose styles are averaged."""


def read(architecture: str, found: Sequence[StateDict], model: Any, chosen: Container[str]) -> Imported:
    """Finds the generator, and its sizes from its tensors.

    The weights of a block's noise are 0 until it is trained, so the last block with others gives the resolution.

    Raises:
        GancliError: there is no generator, or several, or nothing tells how far it was trained.
    """
    if model.classes:
        raise GancliError(f"model.classes is {model.classes}, but the official code has no classes", "leave it out")
    state = _generator(architecture, found)
    tensors = state.tensors
    noise = [
        (int(match[1]), tensor)
        for key, tensor in tensors.items()
        if (match := re.fullmatch(r"generator\.progression\.(\d)\.noise[12]\.weight_orig", key))
    ]
    trained = max((4 * 2**block for block, tensor in noise if tensor.any()), default=None)
    if "resolution" in chosen:
        resolution = model.resolution
        if trained is not None and resolution > trained:
            warn(f"{state.path} was trained up to {trained} px: larger images, of {resolution} px, will be noise")
    elif trained is not None:
        resolution = trained
        note(f"{state.path} was trained up to {trained} px and makes images of that size; --resolution changes it")
    else:
        raise GancliError(
            f"nothing tells how far {state.path} was trained: all weights of its noise are 0", "--resolution 256"
        )
    sizes = {
        "resolution": resolution,
        "growth.initial_resolution": resolution,
        "channels": len(tensors["generator.to_rgb.0.conv.bias"]),
        "latent_dim": tensors["style.1.linear.weight_orig"].shape[1],
        "style_dim": tensors["style.1.linear.weight_orig"].shape[0],
        "mapping_layers": sum(key.startswith("style.") and key.endswith(".weight_orig") for key in tensors),
        # A layer of one channel does not tell the width: it cannot have fewer.
        "width": max((tensor.numel() * 2 ** (block + 1) for block, tensor in noise if tensor.numel() > 1), default=1),
        "max_width": tensors[FIRST_INPUT].shape[1],
        "norm_eps": EPS,
        "bias_before_blur": True,
    }
    parts: dict[str, dict[str, Tensor]] = {"mapping": {}, "synthesis": {}}
    for key, tensor in tensors.items():
        block = re.match(r"generator\.(?:progression|to_rgb)\.(\d+)\.", key)
        beyond = block is not None and 4 * 2 ** int(block[1]) > resolution
        if not beyond and not re.search(r"\.conv1\.[12]\.weight(?:_flip)?$", key):  # kernels of blurs are all equal
            parts["mapping" if key.startswith("style.") else "synthesis"][key] = tensor
    networks = {name: replace(state, tensors=part) for name, part in parts.items()}
    return Imported(agreed([(state, sizes)]), networks, _rest)


def _generator(architecture: str, found: Sequence[StateDict]) -> StateDict:
    """Returns the averaged generator, else the one in training."""

    def problems(state: StateDict) -> list[str]:
        dimensions = {key: tensor.ndim for key, tensor in state.tensors.items()}
        return [f"{key}: missing, or not of {n} dimensions" for key, n in FIRST.items() if dimensions.get(key) != n]

    def ours(key: str) -> bool:
        return key.startswith(("style.", "generator."))

    generators = [state for state in found if not problems(state)]
    if not generators:
        nearest = max(found, key=lambda state: sum(map(ours, state.tensors)))
        strange = [f"{key}: unexpected" for key in nearest.tensors if not ours(key)]
        raise refusal(nearest, checkpoints.kinds[architecture], problems(nearest) + strange)
    if generators[0].path != generators[-1].path:
        raise GancliError(f"{generators[0].path} and {generators[-1].path} hold a generator each", "give one of them")
    averages = [state for state in generators if state.key.rpartition(".")[2] == AVERAGE]
    if not averages and generators[0].key:
        note(f"{generators[0].path} holds no average of the generator ({AVERAGE}); using {generators[0].key}")
    return (averages or generators)[0]


def _rest(model: nn.Module) -> dict[str, Tensor]:
    """Returns what the official code does not keep: the mean of w, constant noise, and the bias of the first layer."""
    assert isinstance(model, stylegan.StyleGAN)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        means = [model.map(model.latents(BATCH, generator)).mean(dim=0, dtype=torch.float64) for _ in range(BATCHES)]
    noise = model.draw_noise(1, generator)
    return {
        "mapping.mean": torch.stack(means).mean(dim=0).float(),
        "synthesis.layers.0.bias": torch.zeros(model.config.max_width),
        **{f"synthesis.noise_{layer}": tensor for layer, tensor in enumerate(noise)},
    }


def counterparts(network: nn.Module) -> dict[str, Counterpart]:
    found: dict[str, Counterpart] = {}
    if isinstance(network, stylegan.Mapping):
        for index, linear in enumerate(network.layers):
            assert isinstance(linear, EqualizedLinear)
            official = f"style.{2 * index + 1}.linear"  # after a pixel norm, with a leaky ReLU after each
            found[f"layers.{index}.weight"] = _times(1 / linear.lr_mul, f"{official}.weight_orig")
            found[f"layers.{index}.bias"] = _times(1 / linear.lr_mul, f"{official}.bias")
    elif isinstance(network, stylegan.Synthesis):
        for block in range(len(network.to_rgb)):
            theirs = f"generator.progression.{block}"
            found |= _first_convolution(f"layers.{2 * block}", theirs, block)
            found[f"layers.{2 * block + 1}.conv.weight"] = Counterpart(f"{theirs}.conv2.conv.weight_orig")
            found[f"layers.{2 * block + 1}.conv.bias"] = Counterpart(f"{theirs}.conv2.conv.bias")
            for number in (1, 2):
                epilogue = f"layers.{2 * block + number - 1}.epilogue"
                channels = len(network.get_parameter(f"{epilogue}.noise_strength"))
                found |= _epilogue(epilogue, f"{theirs}.noise{number}", f"{theirs}.adain{number}", channels)
            found[f"to_rgb.{block}.weight"] = _times(sqrt(2), f"generator.to_rgb.{block}.conv.weight_orig")
            found[f"to_rgb.{block}.bias"] = Counterpart(f"generator.to_rgb.{block}.conv.bias")
    return found


def _times(factor: float, key: str) -> Counterpart:
    """Returns the counterpart of a tensor that is ``factor`` times the official one."""
    return Counterpart(key, lambda theirs: theirs * factor, lambda ours: ours / factor)


def _first_convolution(ours: str, theirs: str, block: int) -> dict[str, Counterpart]:
    """Returns the counterparts of the first layer of a block, but for its epilogue."""
    if block == 0:
        return {f"{ours}.constant": Counterpart(FIRST_INPUT)}  # for its bias, see ``files``
    layer = f"{theirs}.conv1.1.conv" if block < FUSED else f"{theirs}.conv1.0"
    weight = Counterpart(f"{layer}.weight_orig")
    if block >= FUSED:
        weight = Counterpart(
            f"{layer}.weight",
            # A transposed convolution lays a kernel down mirrored.
            lambda weight: weight.transpose(0, 1).flip(2, 3) / 4,
            lambda weight: weight.transpose(0, 1).flip(2, 3) * 4,
        )
    return {f"{ours}.conv.weight": weight, f"{ours}.bias": Counterpart(f"{layer}.bias")}


def _epilogue(ours: str, noise: str, adain: str, channels: int) -> dict[str, Counterpart]:
    """Returns the counterparts of what follows a convolution."""
    factor = sqrt(2 / channels)
    of_scales = torch.cat([torch.ones(channels), torch.zeros(channels)])
    return {
        f"{ours}.noise_strength": Counterpart(
            f"{noise}.weight_orig",
            lambda weight: weight.flatten() * factor,
            lambda strength: strength[None, :, None, None] / factor,
        ),
        f"{ours}.style.weight": _times(sqrt(2), f"{adain}.style.linear.weight_orig"),
        f"{ours}.style.bias": Counterpart(
            f"{adain}.style.linear.bias", lambda bias: bias - of_scales, lambda bias: bias + of_scales
        ),
    }


def files(model: nn.Module, networks: Mapping[str, Mapping[str, Tensor]], title: str, step: int) -> dict[str, Any]:
    assert isinstance(model, stylegan.StyleGAN)
    config = model.config
    if config.classes:
        raise GancliError(f"the model has {config.classes} classes, and the official code has none")
    if others := [key for key, value in SIZES.items() if getattr(config, key) != value]:
        official = ", ".join(f"{key} {SIZES[key]}" for key in others)
        own = ", ".join(str(getattr(config, key)) for key in others)
        warn(f"the official code has {official}, the model {own}: change that code to load this file")
    if config.norm_eps != EPS:
        warn(f"the official code adds {EPS} to the variance in AdaIN, the model {config.norm_eps}: images differ a bit")
    if not config.bias_before_blur:
        warn("the official code adds a bias before the blur, the model after it: images differ at their borders")

    # Blocks that the model does not have are written as they are before training.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(0)
        widths = widths_by_depth(4 * 2 ** (BLOCKS - 1), config.width, config.max_width)[1:]
        synthesis = stylegan.Synthesis(config.style_dim, widths, config.channels, EPS, bias_before_blur=True)
    state = {**to_theirs(synthesis, counterparts(synthesis)), **networks["mapping"], **networks["synthesis"]}
    # The constant and its bias, which is 0 if the model was imported.
    state[FIRST_INPUT] = state[FIRST_INPUT] + model.get_parameter("synthesis.layers.0.bias")[:, None, None]
    line = torch.tensor([1.0, 2.0, 1.0]) / 4
    for block, width in enumerate(widths[1:], 1):
        blur = f"generator.progression.{block}.conv1.{1 if block >= FUSED else 2}"
        state[f"{blur}.weight"] = state[f"{blur}.weight_flip"] = torch.outer(line, line).repeat(width, 1, 1, 1)
    # Saved at the end of a resolution, with the number of blocks in use.
    return {f"train_step-{model.stage.depth}.model": {AVERAGE: state}}
