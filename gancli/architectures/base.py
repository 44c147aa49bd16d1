"""What every architecture is: a game between players that own networks.

A file of this package reads like its paper: the networks, each player's loss, and the order of play. What all papers
share (precision, accumulation, distribution, schedules, averaging, checkpoints) lives in ``gancli.training`` and is
reached through one object, the ``Update``. Architectures never see the command line, files or ``torch.optim``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancli.nn.progressive import GrowingConfig, Stage
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
        classes: how many classes there must be, where the networks are made for a number of them.
    """

    domains: int = 1
    paired: bool = False
    labels: bool = False
    classes: int | None = None


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
    uses_targets: ClassVar[bool] = True
    """Whether the losses of D compare with targets, which ``aids.label_smoothing`` and ``label_flip`` change."""

    def __init__(self, config: ModelConfig, aids: AidsConfig | None = None) -> None:
        """Builds the networks with freshly drawn weights.

        Args:
            config: an instance of this class's ``Config``.
            aids: label smoothing and flipping, applied by the losses; none by default.
        """
        super().__init__()
        self.aids = aids if aids is not None else AidsConfig()
        self.stage = Stage(config.resolution)
        """How far the networks have grown; the trainer sets it before every step, to ``stage_at``."""

    @abstractmethod
    def optimizers(self) -> dict[str, Optim]:
        """Returns what each player moves, by player; by convention ``"D"`` and ``"G"``."""

    @abstractmethod
    def training_step(self, data: Iterator[Batch], update: Update) -> None:
        """Plays one round: draws as many batches as the paper does and moves the players in the paper's order."""

    @classmethod
    def input_shapes(cls, config: Any) -> dict[str, tuple[int, int, int]]:
        """Returns (C, H, W) of the real images that ``config`` takes, by domain; of grown networks, if they grow."""
        return {"image": (config.channels, config.resolution, config.resolution)}

    @classmethod
    def data_needs(cls, config: Any) -> DataNeeds:
        """Returns which data a model of this configuration can be trained on; ``needs`` where all need the same."""
        return cls.needs

    def stage_at(self, images_shown: int) -> Stage:
        """Returns how far the networks have grown after some real images; a pure function, constant if they do not.

        Batches hold images of this stage's resolution. Wherever its ``phase`` changes, optimizers start afresh.
        """
        return self.stage


class LatentModel(Architecture):
    """An architecture that makes images from latent vectors."""

    @abstractmethod
    def latents(self, n: int, generator: torch.Generator) -> Tensor:
        """Returns latents, float [n, *latent shape] on the CPU, drawn from ``generator`` alone."""

    @abstractmethod
    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Returns images, float [N, C, H, W] in [-1, 1].

        Networks that have not grown to the full resolution yet make smaller images, whose pixels are repeated.

        Args:
            z: latents [N, *latent shape].
            labels: where there are ``classes``: int64 [N] indices of classes, or float [N, classes] weights that sum
                to 1, for what lies between classes. Else None.
        """

    @property
    def classes(self) -> int:
        """The number of classes that ``decode`` takes labels for; 0 where it takes none."""
        return 0

    def class_weights(self, labels: Tensor | None) -> Tensor | None:
        """Returns labels as weights of classes, float [N, K]; None where there are no classes.

        Args:
            labels: int64 [N] indices of classes, or float [N, K] weights already.
        """
        if not self.classes or labels is None:
            return None
        return labels if labels.is_floating_point() else F.one_hot(labels, self.classes).float()

    def resample(self, z: Tensor, truncation: float, generator: torch.Generator) -> Tensor:
        """Returns latents with less variety and more fidelity, on the CPU, drawn from ``generator`` alone.

        As it is here, for normal latents: every component with |z_i| > ``truncation`` > 0 is drawn again until none is
        left (Brock et al. 2018, section 3.1). What that ends in is a truncated normal, from which it is drawn at once,
        through the inverse of its distribution: a small threshold takes no longer. A model with other latents overrides
        it.
        """
        share = math.erf(truncation / math.sqrt(2))  # of a normal that lies within
        uniform = 2 * torch.rand(z.shape, generator=generator, dtype=torch.float64) - 1
        redrawn = (math.sqrt(2) * torch.erfinv(share * uniform)).to(z.dtype).clamp(-truncation, truncation)
        return torch.where(z.abs() > truncation, redrawn, z)


class GrowingModel(LatentModel):
    """A latent model of normal latents whose networks grow, with classes or without: ProGAN and StyleGAN."""

    config: GrowingConfig

    @classmethod
    def data_needs(cls, config: GrowingConfig) -> DataNeeds:
        return replace(cls.needs, labels=True, classes=config.classes) if config.classes else cls.needs

    def stage_at(self, images_shown: int) -> Stage:
        return self.config.growth.stage(self.config.resolution, images_shown)

    @property
    def classes(self) -> int:
        return self.config.classes

    def latents(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, self.config.latent_dim, generator=generator)


Noise = Literal["const", "none"] | Sequence[Tensor]
"""Noise of a synthesis network: always the same, none, or the given one, for each layer [N or 1, 1, h, w]."""


class StyleModel(LatentModel):
    """A latent model that maps latents to styles w first, from which each layer of a synthesis network takes its own.

    Karras et al. 2018 (arXiv 1812.04948). A w is float [W]; one w per layer is [L, W].
    """

    @property
    @abstractmethod
    def layers(self) -> int:
        """L, the layers of the fully grown synthesis network that take a style; two for each resolution from 4 px."""

    @property
    @abstractmethod
    def mean_w(self) -> Tensor:
        """The mean of w, float [W]; truncation pulls towards it."""

    @abstractmethod
    def map(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Returns w, float [N, W], of latents [N, Z] and labels as in ``decode``."""

    @abstractmethod
    def synthesize(self, ws: Tensor, noise: Noise = "const") -> Tensor:
        """Returns images, float [N, C, H, W] in [-1, 1], of one w per layer, float [N, L, W]."""

    @abstractmethod
    def draw_noise(self, n: int, generator: torch.Generator) -> list[Tensor]:
        """Returns noise for ``synthesize``, [n, 1, h, w] for each layer, on the CPU, drawn from ``generator`` alone."""

    def truncate(self, w: Tensor, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """Returns one w per layer, [N, L, W]: mean + psi (w - mean) (section B, the truncation trick).

        Args:
            w: styles [N, W], or of each layer [N, L, W].
            psi: 1 leaves them as they are, 0 gives the mean, -1 the opposite of each, its "anti-image".
            cutoff: the first layers that are truncated; all where not given.
        """
        ws = w if w.ndim == 3 else w[:, None].expand(-1, self.layers, -1)
        if psi == 1:
            return ws
        strength = torch.ones(self.layers, 1, device=w.device, dtype=w.dtype)
        strength[:cutoff] = psi
        return self.mean_w + strength * (ws - self.mean_w)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.synthesize(self.truncate(self.map(z, labels)))


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
