"""Weights, images and random draws from formulas, and a few training steps of gancli that use them.

``tools/official.py`` gives the same inputs to the official code and writes its results to ``tests/golden``; ``pytest
tests/architectures`` compares gancli's numbers with them. Nothing is random, so the numbers are the same for everyone.

Everything is in double precision. In single precision, some gradients are only rounding errors (for instance those of a
bias before an instance norm), and Adam turns a gradient of any size into a whole step.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn.utils.parametrize import is_parametrized

from gancli.architectures.base import Architecture, Batch
from gancli.architectures.cyclegan import CycleGAN
from gancli.architectures.dcgan import DCGAN
from gancli.architectures.pix2pix import Pix2Pix
from gancli.architectures.progan import ProGAN
from gancli.architectures.stylegan import StyleGAN
from gancli.architectures.ugatit import UGATIT
from gancli.schema import TrainConfig
from gancli.training.update import Update, make_players, network_names

Numbers = dict[str, Tensor]
"""Losses (0-d), outputs, and how far the weights of each network have moved (1-d), by name."""


# ---- formulas ----------------------------------------------------------------------------------------------


def wave(*shape: int, phase: float) -> Tensor:
    """Returns noise, uniform in [-1, 1), the same in both precisions."""
    count = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    noise = torch.sin(count * 12.9898 + phase * 78.233).mul(43758.5453).frac().abs()
    return (2 * noise - 1).float().double().reshape(shape)


def fill(model: torch.nn.Module, scale: float = 0.1) -> None:
    """Gives every parameter values from a formula over its name and shape, and makes the model double."""
    model.double().train()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = wave(*parameter.shape, phase=zlib.crc32(name.encode()) % 1000)
            parameter.copy_(values * scale if parameter.ndim > 1 else 1 + values * 0.1)


def settle(model: torch.nn.Module) -> None:
    """Sets all spectral norms to their converged state, so that the number of power iterations does not matter."""
    for module in model.modules():
        if is_parametrized(module, "weight"):
            norm, weight = module.parametrizations.weight[0], module.parametrizations.weight.original
            left, _, right = torch.linalg.svd(weight.detach().flatten(1), full_matrices=False)
            norm._u.copy_(left[:, 0])
            norm._v.copy_(right[0])


class Draws:
    """Replaces random numbers: the n-th draw of a shape in a step is always the same.

    Dimensions of 1 do not count, so that a latent [N, Z, 1, 1] equals one of [N, Z].
    """

    def __init__(self) -> None:
        self.step = 0
        self.counts: Counter[tuple[Any, ...]] = Counter()

    def begin(self, step: int) -> None:
        """Starts the draws of a step, counted from 0."""
        self.step = step
        self.counts.clear()

    def normal(self, shape: Sequence[int], nth: int = 1) -> Tensor:
        """Returns the n-th normal draw of a shape, of variance 1."""
        return wave(*shape, phase=300 + 20 * self.step + nth) * 3**0.5

    def uniform(self, shape: Sequence[int], nth: int = 1) -> Tensor:
        """Returns the n-th uniform draw of a shape, in (0, 1)."""
        return (wave(*shape, phase=500 + 20 * self.step + nth) + 1) / 2

    def whole(self, low: int, high: int, shape: Sequence[int], nth: int = 1) -> Tensor:
        """Returns the n-th draw of whole numbers of a shape, in [low, high)."""
        share = (wave(*shape, phase=700 + 20 * self.step + nth) + 1) / 2
        return (low + share * (high - low)).long()

    def _nth(self, kind: str, shape: Sequence[int]) -> int:
        key = (kind, *(size for size in shape if size != 1))
        self.counts[key] += 1
        return self.counts[key]

    @contextmanager
    def in_place_of_torch(self) -> Iterator[Draws]:
        """Makes torch.randn, rand, randint and dropout use these draws."""

        def sizes(shape: tuple[Any, ...]) -> tuple[int, ...]:
            return tuple(shape[0]) if shape and not isinstance(shape[0], int) else shape

        def randn(*shape: Any, **_: object) -> Tensor:
            return self.normal(sizes(shape), self._nth("normal", sizes(shape)))

        def rand(*shape: Any, **_: object) -> Tensor:
            return self.uniform(sizes(shape), self._nth("uniform", sizes(shape)))

        def randint(*arguments: Any, **_: object) -> Tensor:
            low, high, shape = arguments if len(arguments) == 3 else (0, *arguments)
            return self.whole(low, high, shape, self._nth("whole", shape))

        def dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
            if not training or not p:
                return x
            kept = self.uniform(x.shape, self._nth("dropout", x.shape)) >= p
            return x * kept / (1 - p)

        with (
            mock.patch.multiple(torch, randn=randn, rand=rand, randint=randint),
            mock.patch.object(torch.nn.functional, "dropout", dropout),
        ):
            yield self


def summary(tensor: Tensor) -> Any:
    """Returns a tensor's summary for JSON: a single number itself, otherwise some statistics and elements."""
    flat = tensor.detach().flatten()
    if tensor.ndim == 0:
        return tensor.item()
    return {
        "shape": list(tensor.shape),
        "largest": flat.abs().max().item(),
        "mean": flat.mean().item(),
        "std": flat.std().item(),
        "first": flat[:4].tolist(),
        "last": flat[-4:].tolist(),
    }


# ---- gancli's side -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Game:
    """A narrow model and everything needed to play with it. Playing changes its weights.

    Attributes:
        model: ours, in double precision.
        shapes: [C, H, W] of the images by domain.
        outputs: outputs of the networks before the first step, by name.
        labels: weights of classes [N, K], if there are classes.
        watched: buffers that are compared after every step.
        batch: images per step.
        steps: training steps.
        tolerance: largest deviation of the weights from the official ones after a step, relative to their largest move.
        loss_tolerance: largest deviation of a loss; gancli logs losses in single precision.
        official: further arguments for the adapter of the official code.
    """

    model: Any
    shapes: dict[str, tuple[int, int, int]]
    outputs: Callable[[Game], Numbers]
    labels: Tensor | None = None
    watched: tuple[str, ...] = ()
    batch: int = 1
    steps: int = 2
    tolerance: float = 1e-9
    loss_tolerance: float = 1e-7
    official: Mapping[str, Any] = field(default_factory=dict)

    def tolerance_of(self, name: str, official: Tensor) -> float:
        """Returns the largest allowed deviation from official numbers, relative to their largest element."""
        if not name.startswith("step"):
            return 1e-9  # an output
        return self.tolerance if official.ndim else self.loss_tolerance

    def images(self, step: int) -> dict[str, Tensor]:
        """Returns the real images of a step, counted from 0, at the current resolution of the networks."""
        side = self.model.resolution
        return {
            domain: wave(self.batch, *shape, phase=100 + 10 * step + index)[:, :, :side, :side]
            for index, (domain, shape) in enumerate(self.shapes.items())
        }


def parameters(model: torch.nn.Module, network: str) -> Tensor:
    """Returns all parameters of a network as one vector, in the order of their names."""
    named = sorted(model.get_submodule(network).named_parameters())
    return torch.cat([parameter.detach().flatten() for _, parameter in named])


def play(game: Game, steps: int) -> Numbers:
    """Returns gancli's numbers; only this function uses gancli's trainer."""
    model: Architecture = game.model
    with torch.no_grad(), Draws().in_place_of_torch():
        numbers = dict(game.outputs(game))
    device = torch.device("cpu")
    config = TrainConfig(steps=steps, batch=game.batch)
    update = Update(make_players(model, config, device), config, device)
    before = {network: parameters(model, network) for network in network_names(model)}
    with Draws().in_place_of_torch() as draws:
        for step in range(steps):
            draws.begin(step)
            update.begin(step, step * game.batch, 0.0, model.resolution)
            model.training_step(iter([Batch(game.images(step), game.labels)]), update)
            for loss, value in update.meter.read().items():
                numbers[f"step {step + 1}: {loss}"] = torch.tensor(value, dtype=torch.float64)
            update.meter.clear()
            for network, weights in before.items():
                numbers[f"step {step + 1}: {network} moved"] = parameters(model, network) - weights
            for buffer in game.watched:
                numbers[f"step {step + 1}: {buffer}"] = model.get_buffer(buffer).clone()
    return numbers


# ---- the games ---------------------------------------------------------------------------------------------


def dcgan() -> dict[str, Game]:
    """A narrow DCGAN of 64 px, the only size that the official script supports."""
    model = DCGAN(DCGAN.Config(generator_width=8, discriminator_width=8, latent_dim=16))
    fill(model)

    def outputs(game: Game) -> Numbers:
        model.eval()
        images, scores = model.generator(LATENTS), model.discriminator(game.images(0)["image"]).sigmoid()
        model.train()
        return {"G(z), evaluation mode": images, "D(x), evaluation mode": scores}

    return {"64 px": Game(model, {"image": (3, 64, 64)}, outputs, batch=4)}


LATENTS = wave(4, 16, phase=99) * 2
"""Latents that the models decode."""
BEFORE_NORM = 1e-4
"""Tolerance with biases before an instance norm: their gradients are rounding errors, so Adam moves them a little."""


def cyclegan() -> dict[str, Game]:
    """CycleGAN with narrow ResNets of 6 blocks; both pools are full after two steps."""
    config = CycleGAN.Config(resolution=32, generator_width=4, discriminator_width=4, blocks=6, pool_size=2)
    model = CycleGAN(config)
    fill(model)

    def outputs(game: Game) -> Numbers:
        return {"translation": model.generator_ab(game.images(0)["A"])}

    return {"ResNet": Game(model, dict.fromkeys("AB", (3, 32, 32)), outputs, steps=5, tolerance=BEFORE_NORM)}


def pix2pix() -> dict[str, Game]:
    """pix2pix as published with a narrow U-Net, and with the alternatives: ResNet, instance norm, BtoA, lsgan."""
    unet = Pix2Pix.Config(resolution=128, generator_width=4, discriminator_width=4)
    resnet = Pix2Pix.Config(
        resolution=32,
        channels=3,
        channels_b=1,
        direction="BtoA",
        generator="resnet",
        blocks=6,
        norm="instance",
        objective="lsgan",
        dropout=False,
        generator_width=4,
        discriminator_width=4,
    )

    def outputs(game: Game) -> Numbers:
        return {"translation": game.model.generator(game.images(0)[game.model.way.source])}

    games = {}
    for name, config in {"U-Net": unet, "ResNet, BtoA": resnet}.items():
        model = Pix2Pix(config)
        fill(model)
        shapes = {domain: (config.channels_of(domain), config.resolution, config.resolution) for domain in ("A", "B")}
        tolerance = BEFORE_NORM if config.norm == "instance" else 1e-9
        games[name] = Game(model, shapes, outputs, tolerance=tolerance)
    return games


def ugatit() -> dict[str, Game]:
    """Narrow U-GAT-IT, full and light, for the smallest images that a discriminator of 7 layers accepts."""

    def outputs(game: Game) -> Numbers:
        translation, _, attention = game.model.generator_ab(game.images(0)["A"])
        return {"translation": translation, "attention": attention}

    def game(light: bool, **settings: Any) -> Game:
        model = UGATIT(
            UGATIT.Config(resolution=96, light=light, residual_blocks=2, generator_width=4, discriminator_width=4)
        )
        fill(model)
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if key.endswith("rho"):  # close enough to 1 for a step to exceed it, so that clipping is tested
                    parameter.copy_(1 - 1e-4 * (parameter - 1).abs())
        settle(model)
        return Game(model, dict.fromkeys("AB", (3, 96, 96)), outputs, **settings)

    return {
        "full": game(False, tolerance=1e-6, official={"order": "new"}),
        "light": game(True, tolerance=1e-6, official={"order": "new"}),
        # gancli's are half a power iteration ahead. Adam amplifies the difference where D's gradients are small.
        "full, power iterations as in 2019": game(False, tolerance=0.1, loss_tolerance=2e-6),
    }


STAGES = {
    "4 px": 300_000,
    "8 px, alpha 0.3": 780_000,
    "8 px": 1_500_000,
    "16 px, alpha 0.6": 2_160_000,
    "16 px": 2_500_000,
}
"""Real images shown before a stage of growth, at the published pace from 4 px on."""


def growing(model: Any, stage: str, classes: int, **settings: Any) -> Game:
    """A game of ProGAN or StyleGAN at a stage of growth."""
    fill(model, 1.7)
    for name, buffer in model.named_buffers():
        buffer.copy_(wave(*buffer.shape, phase=zlib.crc32(name.encode()) % 1000))
    model.stage = trained = model.stage_at(STAGES[stage])
    labels = torch.eye(3, dtype=torch.float64)[[0, 1, 2, 0]] if classes else None
    z = LATENTS[:, : model.config.latent_dim]

    def outputs(game: Game) -> Numbers:
        numbers = {}
        for name, images_shown in STAGES.items():
            model.stage = here = model.stage_at(images_shown)
            image = game.images(0)["image"]
            if isinstance(model, StyleGAN):
                ws = model.truncate(model.map(z, labels), 0.7, 3)
                numbers[f"G, {name}"] = model.synthesis(ws, model.synthesis.constant_noise(), here)
                numbers[f"D, {name}"] = model.judge(image, labels)[:, None]
            else:
                numbers[f"G, {name}"] = model.generator(z, labels, here)
                numbers[f"D, {name}"] = model.discriminator(image, here)
        model.stage = trained
        return numbers

    return Game(model, {"image": (3, 16, 16)}, outputs, labels=labels, batch=4, **settings)


def progan() -> dict[str, Game]:
    """A narrow ProGAN of 16 px while it grows."""

    def game(stage: str, classes: int, **settings: Any) -> Game:
        config = ProGAN.Config(resolution=16, latent_dim=12, classes=classes, width=64, max_width=16)
        return growing(ProGAN(config), stage, classes, **settings)

    return variants(game)


def stylegan() -> dict[str, Game]:
    """A narrow StyleGAN of 16 px while it grows."""

    def game(stage: str, classes: int, **settings: Any) -> Game:
        config = StyleGAN.Config(
            resolution=16,
            latent_dim=12,
            style_dim=20,
            mapping_layers=3,
            mapping_lr=0.5,
            classes=classes,
            width=64,
            max_width=16,
            growth={"initial_resolution": 4},
        )
        return growing(StyleGAN(config), stage, classes, watched=("mapping.mean",), **settings)

    return variants(game)


def variants(game: Callable[..., Game]) -> dict[str, Game]:
    """Games with classes and without, at two stages; and one with TensorFlow's Adam.

    TensorFlow's Adam adds epsilon before the bias correction, torch's after it. In the other games, the official
    optimizer gets an epsilon that has the same effect as torch's.
    """
    return {
        # Adam turns a gradient close to epsilon into a part of a step, so rounding, which differs between CPUs, shows.
        "3 classes, 16 px, alpha 0.6": game("16 px, alpha 0.6", 3, tolerance=1e-8, official={"epsilon": "torch"}),
        "no classes, 8 px, alpha 0.3": game("8 px, alpha 0.3", 0, tolerance=1e-8, official={"epsilon": "torch"}),
        "3 classes, 16 px, TensorFlow's Adam": game(
            # A weight whose gradient is close to epsilon moves by a different fraction of a step.
            "16 px, alpha 0.6",
            3,
            tolerance=1,
            loss_tolerance=1e-5,
            official={"epsilon": "tensorflow"},
        ),
    }


GAMES: dict[str, Callable[[], dict[str, Game]]] = {
    "cyclegan": cyclegan,
    "dcgan": dcgan,
    "pix2pix": pix2pix,
    "progan": progan,
    "stylegan": stylegan,
    "ugatit": ugatit,
}
"""Games by name, for each architecture."""
