"""What every architecture is: a game between players that own networks.

A file of this package reads like its paper: the networks, each player's loss, and the order of play. What all papers
share (precision, accumulation, distribution, schedules, averaging, checkpoints) lives in ``gancli.training`` and is
reached through one object, the ``Update``. Architectures never see the command line, files or ``torch.optim``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from gancli.schema import AdamConfig, AidsConfig, ModelConfig


@dataclass
class Batch:
    """What one step is played with.

    Attributes:
        images: real images by domain, each float [N, C, H, W] in [-1, 1]. One-domain data is under ``"image"``.
        labels: int64 [N] class indices, float [N, K] attributes in {0, 1}, or None.
        stash: what one loss leaves for the next within the step, for instance a fake that both players judge.
    """

    images: dict[str, Tensor]
    labels: Tensor | None = None
    stash: dict[str, Any] = field(default_factory=dict)
    _parts: list[Batch] = field(default_factory=list, repr=False)

    @property
    def image(self) -> Tensor:
        """The real images of one-domain data, float [N, C, H, W] in [-1, 1]."""
        return self.images["image"]

    def __len__(self) -> int:
        return len(next(iter(self.images.values())))

    def to(self, device: torch.device) -> Batch:
        """Returns the images and labels on a device, with an empty stash."""
        labels = self.labels.to(device) if self.labels is not None else None
        return Batch({name: images.to(device) for name, images in self.images.items()}, labels)

    def split(self, parts: int) -> list[Batch]:
        """Returns ``parts`` equal micro-batches; the same objects at every call, so that stashes live for the step."""
        if parts == 1:
            return [self]
        if not self._parts:
            pieces = {name: tensor.chunk(parts) for name, tensor in self.images.items()}
            labels = self.labels.chunk(parts) if self.labels is not None else [None] * parts
            self._parts = [
                Batch({name: piece[index] for name, piece in pieces.items()}, labels[index]) for index in range(parts)
            ]
        return self._parts


class Loss(NamedTuple):
    """What a loss function returns.

    Attributes:
        total: 0-d tensor that is minimised.
        parts: 0-d tensors by name that are recorded: terms of the total, and scores such as ``D(x)``.
    """

    total: Tensor
    parts: Mapping[str, Tensor] = {}


LossFunction = Callable[[Batch], Loss]


@dataclass(frozen=True)
class Optim:
    """The networks that one player moves, and its Adam settings."""

    nets: tuple[str, ...]
    adam: AdamConfig


class Update(Protocol):
    """The trainer's side of a training step, as an architecture sees it."""

    step: int
    """Training steps finished before this one."""
    images_shown: int
    """Real images drawn before this step, over all ranks."""

    def __call__(self, player: str, loss_function: LossFunction, batch: Batch, *, record: str | None = None) -> None:
        """Moves ``player`` once: its networks are thawed, all others frozen, and its loss goes one step down.

        The loss is recorded under the player's name. A second loss of the same player, such as a penalty every few
        steps, needs a ``record`` name of its own; taking turns looks at the first alone.
        """

    def forward(self, player: str, function: Callable[[Batch], None], batch: Batch) -> None:
        """Runs ``function`` with ``player``'s networks thawed, so that what it stashes carries their graph."""


@dataclass(frozen=True)
class DataNeeds:
    """Which data an architecture can be trained on.

    Attributes:
        domains: how many sets of images.
        paired: whether image i of each domain shows the same thing.
        labels: whether a class per image is needed.
    """

    domains: int = 1
    paired: bool = False
    labels: bool = False


class Architecture(nn.Module, ABC):
    """A paper: networks as submodules, so that ``state_dict()`` is complete, losses, and the order of play.

    Anything that changes during training is a parameter, a buffer, or derived from ``update.step``; random numbers
    come from torch's default generator, which the trainer seeds anew from (seed, rank, step) at every step. So a run
    resumes exactly, without the architecture doing anything for it.
    """

    Config: ClassVar[type[ModelConfig]]
    """The paper's sizes, loss weights and optimizers; the ``model`` section of a configuration."""
    title: ClassVar[str]
    """Authors and year, title, and arXiv number of the paper."""
    needs: ClassVar[DataNeeds] = DataNeeds()
    averaged: ClassVar[tuple[str, ...]]
    """Networks that sampling uses; the moving average, where one is kept, is theirs."""
    discriminators: ClassVar[tuple[str, ...]]
    """Networks that judge images given as their first argument; instance noise is added there."""

    def __init__(self, config: ModelConfig, aids: AidsConfig | None = None) -> None:
        """Builds the networks with freshly drawn weights.

        Args:
            config: an instance of this class's ``Config``.
            aids: label smoothing and flipping, applied by the losses; none by default.
        """
        super().__init__()
        self.aids = aids if aids is not None else AidsConfig()

    @abstractmethod
    def optimizers(self) -> dict[str, Optim]:
        """Returns what each player moves, by player; by convention ``"D"`` and ``"G"``."""

    @abstractmethod
    def training_step(self, data: Iterator[Batch], update: Update) -> None:
        """Plays one round: draws as many batches as the paper does and moves the players in the paper's order."""

    @classmethod
    def input_shapes(cls, config: Any) -> dict[str, tuple[int, int, int]]:
        """Returns (C, H, W) of the real images that ``config`` takes, by domain."""
        return {"image": (config.channels, config.resolution, config.resolution)}


class LatentModel(Architecture):
    """An architecture that makes images from latent vectors."""

    @abstractmethod
    def latents(self, n: int, generator: torch.Generator) -> Tensor:
        """Returns latents, float [n, *latent shape] on the CPU, drawn from ``generator`` alone."""

    @abstractmethod
    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Returns images, float [N, C, H, W] in [-1, 1].

        Args:
            z: latents [N, *latent shape].
            labels: int64 [N] class indices where the architecture needs labels, else None.
        """

    def resample(self, z: Tensor, truncation: float, generator: torch.Generator) -> Tensor:
        """Returns latents with less variety and more fidelity, on the CPU, drawn from ``generator`` alone.

        As it is here, for normal latents: every component with |z_i| > ``truncation`` > 0 is drawn again until none is
        left (Brock et al. 2018, section 3.1). A model with other latents overrides it; one that truncates elsewhere,
        such as in a w space, returns ``z``.
        """
        z = z.clone()
        while (outside := z.abs() > truncation).any():
            z[outside] = torch.randn(int(outside.sum()), generator=generator)
        return z


class Translator(Architecture):
    """An architecture that turns images of one domain into images of another.

    The networks and losses call the two domains ``"A"`` and ``"B"``, as the official implementations do; what a user
    calls them (``"horse"``, ``"zebra"``) stands in the model file, in the same order.
    """

    domains: ClassVar[tuple[str, ...]] = ("A", "B")
    needs = DataNeeds(domains=2)
    noisy: ClassVar[bool] = False
    """Whether ``translate`` draws noise from torch's default generator; then a seed belongs to each translation."""

    @classmethod
    def input_shapes(cls, config: Any) -> dict[str, tuple[int, int, int]]:
        return dict.fromkeys(cls.domains, (config.channels, config.resolution, config.resolution))

    @property
    @abstractmethod
    def multiple(self) -> int:
        """Height and width of an image for ``translate`` are multiples of this; others are padded and cropped back."""

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """The only (height, width) that ``translate`` takes; other images are resized and back. None: any multiple."""
        return None

    @abstractmethod
    def targets(self) -> tuple[str, ...]:
        """Returns the domains that it can translate into with the networks that it holds."""

    @abstractmethod
    def translate(self, image: Tensor, to: str) -> Tensor:
        """Returns images of domain ``to``, float [N, C', H, W] in [-1, 1].

        Args:
            image: images of the other domain, float [N, C, H, W] in [-1, 1]; see ``multiple`` and ``fixed_size``.
            to: one of ``targets()``.
        """

    @abstractmethod
    def preview(self, batch: Batch) -> list[dict[str, Tensor]]:
        """Returns what is worth watching of some fixed images: groups of columns of a sample grid, by their titles.

        In a group every tensor is [M, C, H, W] in [-1, 1] with the same M and a C of its own: row i is image i of each.
        """

    def paired_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Returns 0-d losses against the truth of paired images, by name; empty where there are no pairs."""
        return {}


class TwoWayTranslator(Translator):
    """A translator with a network for either direction."""

    generators: ClassVar[dict[str, str]] = {"A": "generator_ba", "B": "generator_ab"}
    """By domain, the network that translates into it."""

    def targets(self) -> tuple[str, ...]:
        return tuple(domain for domain, network in self.generators.items() if hasattr(self, network))

    def preview(self, batch: Batch) -> list[dict[str, Tensor]]:
        groups = []
        for domain, other in (("A", "B"), ("B", "A")):
            image = batch.images[domain]
            translation = self.translate(image, other)
            group = {"input": image, "translation": translation, "reconstruction": self.translate(translation, domain)}
            if image.shape == batch.images[other].shape:
                group["identity"] = self.translate(image, domain)
            groups.append(group)
        return groups


class AttentiveTranslator(Translator):
    """A translator that says where in an image it looks."""

    @abstractmethod
    def translate_with_attention(self, image: Tensor, to: str) -> tuple[Tensor, Tensor]:
        """Returns what ``translate`` returns, and the attention as float [N, 1, h, w] >= 0, of any scale and size."""
