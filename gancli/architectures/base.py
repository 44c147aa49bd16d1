"""What every architecture is: a game between players that own networks.

A file of this package reads like its paper: the networks, each player's loss, and the order of play. What all papers
share (precision, accumulation, distribution, schedules, averaging, checkpoints) lives in ``gancli.training`` and is
reached through one object, the ``Update``. Architectures never see the command line, files or ``torch.optim``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancli.domains import Domain, Inputs
from gancli.errors import GancliError
from gancli.nn.batch import Batch as Batch
from gancli.nn.norm import batch_norms, measuring, spectral_norms
from gancli.nn.pool import Replay
from gancli.nn.stage import Stage
from gancli.schema import AidsConfig, ModelConfig, OptimizerConfig


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
    """The networks that one player moves, and the optimizer that moves them."""

    nets: tuple[str, ...]
    rule: OptimizerConfig


class Update(Protocol):
    """The trainer's side of a training step, as an architecture sees it."""

    step: int
    """Training steps finished before this one."""
    images_shown: int
    """Real images drawn before this step, over all ranks."""

    def __call__(self, player: str, loss_function: LossFunction, batch: Batch, *, record: str | None = None) -> None:
        """Moves ``player`` once: thaws its networks, freezes all others, and takes one optimizer step on its loss.

        The loss is recorded under the player's name. A second loss of the same player, such as a penalty every few
        steps, needs a ``record`` name of its own; only the first one counts for taking turns.
        """

    def forward(self, player: str, function: Callable[[Batch], None], batch: Batch) -> None:
        """Runs ``function`` with ``player``'s networks thawed, so that what it stashes carries their graph."""


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
    players: ClassVar[Mapping[str, tuple[str, ...]]]
    """Who moves which networks. By convention the networks of ``"D"`` judge what their first argument holds; instance
    noise is added there."""
    averaged: ClassVar[tuple[str, ...]]
    """Networks that sampling uses; the moving average, if one is kept, is theirs."""
    private: tuple[str, ...] = ()
    """Submodules that each process keeps for itself, such as pools of images. All other buffers are averaged over the
    processes after every step."""
    replays: ClassVar[bool | str] = "its losses use the present fakes only"
    """True if D's loss passes its fakes through ``replayed``; else why ``train.aids.replay`` does not fit."""
    watches_data: ClassVar[bool] = True
    """Whether ``preview`` looks at real data; if not, it gets an empty batch of the right length."""
    second_order: ClassVar[tuple[str, ...]] = ()
    """Networks whose gradients are differentiated again, by a penalty; torch.compile cannot do that, so they stay as
    they are."""

    def __init__(self, config: ModelConfig, aids: AidsConfig | None = None) -> None:
        """Builds the networks with freshly drawn weights.

        Args:
            config: an instance of this class's ``Config``.
            aids: smoothing, flipping and replay, applied by the losses; none by default.

        Raises:
            GancliError: an aid does not fit these losses.
        """
        super().__init__()
        self.config: Any = config
        self.aids = aids if aids is not None else AidsConfig()
        self.stage: Stage | None = None
        """How far the networks have grown; the trainer sets it before every step. None: they do not grow."""
        if self.aids.replay:
            if self.replays is not True:
                raise GancliError(
                    f"train.aids.replay does not fit {type(self).__name__}: {self.replays}",
                    "--set train.aids.replay=0",
                )
            inputs = self.inputs(config)
            features = sum(math.prod(domain.shape) for domain in inputs.domains.values()) + (inputs.classes or 0)
            self.replay = Replay(self.aids.replay_size, self.aids.replay, features)
            self.private = (*self.private, "replay")

    @classmethod
    @abstractmethod
    def inputs(cls, config: Any) -> Inputs:
        """Returns the data that a model of this configuration is trained on; of grown networks, if they grow."""

    def optimizers(self) -> dict[str, Optim]:
        """Returns what moves each player's networks; by default the configuration's ``optimizers`` say it."""
        rules = self.config.optimizers
        return {player: Optim(networks, getattr(rules, player)) for player, networks in self.players.items()}

    @property
    def draws(self) -> float:
        """Batches that one training step draws, on average: lengths and progress are estimated from it."""
        return 1

    warm_up: tuple[int, int] = (0, 1)
    """How many steps a run begins with in which more batches are drawn, and how many batches in each of them."""

    @abstractmethod
    def training_step(self, data: Iterator[Batch], update: Update) -> None:
        """Plays one round: draws as many batches as the paper does and moves the players in the paper's order."""

    def stage_at(self, images_shown: int) -> Stage | None:
        """Returns how far the networks have grown after some real images, a pure function; None if they do not grow.

        Batches hold images of this stage's resolution. Whenever its ``phase`` changes, optimizers start afresh.
        """
        return None

    @property
    def resolution(self) -> int:
        """Height in pixels of the data at the present stage, which tables by resolution are read at; 0 for points."""
        if self.stage is not None:
            return self.stage.resolution
        domains = self.inputs(self.config).domains.values()
        return max((domain.shape[-2] for domain in domains if domain.kind != "points"), default=0)

    def settle(self) -> None:
        """Updates what depends on the weights of the ``averaged`` networks, which hold averages while this runs.

        Their spectral norms are measured again, since averaged vectors of the power iteration do not belong to averaged
        weights. The changes depend on the weights alone and are undone afterwards, so a resumed run stays exact.
        """
        for name in self.averaged:
            for norm, weight in spectral_norms(self.get_submodule(name)):
                norm.settle(weight)

    def replayed(self, fake: Tensor, *beside: Tensor | None) -> tuple[Any, ...]:
        """Returns the fakes that D judges, without gradients; ``train.aids.replay`` puts older ones among them.

        Args:
            fake: [N, ...], as shaped in ``inputs``.
            beside: what D sees with each, float [N, ...]: weights of classes, or data of another domain. It is
                returned, too, and belongs to the returned fakes; None stays None.
        """
        if not self.aids.replay:
            return (fake.detach(), *(None if each is None else each.detach() for each in beside))
        older = iter(self.replay(fake, *(each for each in beside if each is not None)))
        return (next(older), *(None if each is None else next(older) for each in beside))

    @abstractmethod
    def preview(self, watched: Batch) -> list[Mapping[str, Tensor]]:
        """Returns what is worth watching: groups of columns of the sample grid, by their titles.

        In a group every tensor is [M, C, H, W] in [-1, 1] with a C of its own, or a mask, int64 [M, H, W]; row i of the
        grid shows image i of each. A group with one column becomes a grid of its own. Points [M, D] are plotted.
        ``watched`` is some real data, the same at every call; no more items than a training step draws.
        """

    def surface(self, points: Tensor) -> tuple[Tensor, tuple[float, float] | None] | None:
        """Returns what D says of points [N, 2] as [N], and its range, for a map below plots of samples; None: no map.

        Values beyond the range look like its ends: (0, 1) for probabilities. None: it is that of the map's values.
        """
        return None

    def paired_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Returns 0-d losses against the truth of paired data, by name; empty if there are no pairs."""
        return {}


class LatentModel(Architecture):
    """An architecture that makes images from latent vectors."""

    watches_data = False
    latent_range: tuple[float, float] | None = None
    """Between which values latents are uniform; None: they are normal."""
    bounded: bool = True
    """Whether images cannot leave [-1, 1]; a linear last layer is meant to stay there, but may not."""

    def latents(self, n: int, generator: torch.Generator | None = None, device: torch.device | str = "cpu") -> Tensor:
        """Returns latents, float [n, Z], drawn from ``generator`` alone; in training there is none, but torch's own."""
        size = (n, self.config.latent_dim)
        if self.latent_range is None:
            return torch.randn(size, generator=generator, device=device)
        low, high = self.latent_range
        return low + (high - low) * torch.rand(size, generator=generator, device=device)

    @torch.no_grad()
    def settle(self) -> None:
        """Also measures the statistics of batch norms again: averaged ones do not fit averaged weights."""
        super().settle()
        networks = [self.get_submodule(name) for name in self.averaged]
        if not any(map(batch_norms, networks)):
            return
        generator, device = torch.Generator().manual_seed(0), next(self.parameters()).device
        with measuring(networks):
            for first in range(0, 1024, 64):
                labels = self.labels_in_turn(range(first, first + 64), device)
                self.decode(self.latents(64, generator).to(device), labels)

    @abstractmethod
    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Returns images, float [N, C, H, W] in [-1, 1].

        Networks that have not grown to the full resolution yet make smaller images, whose pixels are repeated.

        Args:
            z: latents [N, *latent shape].
            labels: None without ``classes``; else int64 [N] indices of classes, or float [N, classes] weights that sum
                to 1, for what lies between classes.
        """

    @classmethod
    def inputs(cls, config: Any) -> Inputs:
        classes = getattr(config, "classes", 0)
        shape = (config.channels, config.resolution, config.resolution)
        return Inputs({"image": Domain(shape)}, labels="none" if classes == 0 else "class", classes=classes or None)

    @property
    def classes(self) -> int:
        """The number of classes that ``decode`` takes labels for: the configuration's ``classes``; 0 if it has none."""
        return getattr(self.config, "classes", 0) or 0

    def class_weights(self, labels: Tensor | None) -> Tensor | None:
        """Returns labels (int64 [N] indices, or float [N, K] weights already) as weights; None without classes."""
        if not self.classes or labels is None:
            return None
        return labels if labels.is_floating_point() else F.one_hot(labels, self.classes).float()

    def resample(self, z: Tensor, truncation: float, generator: torch.Generator) -> Tensor:
        """Returns latents with less variety and more fidelity, on the CPU, drawn from ``generator`` alone.

        Every component with |z_i| > ``truncation`` > 0 is drawn again until none is left (Brock et al. 2018, section
        3.1). The result is a truncated distribution, so the new value is drawn from that at once, through the inverse
        of the distribution.
        """
        uniform = torch.rand(z.shape, generator=generator, dtype=torch.float64)
        if self.latent_range is None:
            share = math.erf(truncation / math.sqrt(2))  # of a normal that lies within
            redrawn = math.sqrt(2) * torch.erfinv(share * (2 * uniform - 1))
        else:
            low, high = max(self.latent_range[0], -truncation), min(self.latent_range[1], truncation)
            redrawn = low + (high - low) * uniform
        return torch.where(z.abs() > truncation, redrawn.to(z.dtype).clamp(-truncation, truncation), z)

    def latents_of_seeds(self, seeds: Iterable[int], truncation: float | None = None) -> Tensor:
        """Returns one latent per seed, [len(seeds), *latent shape], on the CPU.

        Each seed has a random generator of its own, so it gives the same latent in every batch and on every device.
        """
        latents = []
        for seed in seeds:
            generator = torch.Generator().manual_seed(seed)
            z = self.latents(1, generator)
            latents.append(z if truncation is None else self.resample(z, truncation, generator))
        return torch.cat(latents)

    def labels_in_turn(self, seeds: Iterable[int], device: torch.device | str = "cpu") -> Tensor | None:
        """Returns the default classes of seeds, i mod classes for seed i, as weights [N, K]; None without classes."""
        return self.class_weights(torch.tensor([seed % max(1, self.classes) for seed in seeds], device=device))

    def preview(self, watched: Batch) -> list[Mapping[str, Tensor]]:
        """Returns the images of fixed seeds, as many as ``watched`` holds; with classes, a row of the grid for each."""
        seeds = range(watched.first, watched.first + len(watched))
        device = next(self.parameters()).device
        labels = self.labels_in_turn(seeds, device)
        images = self.decode(self.latents_of_seeds(seeds).to(device), labels)
        if labels is None:
            return [{"sample": images}]
        columns = torch.tensor([seed // self.classes for seed in seeds])
        return [{f"sample {column}": images[columns == column] for column in columns.unique().tolist()}]


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
            cutoff: the first layers that are truncated; all if None.
        """
        ws = w if w.ndim == 3 else w[:, None].expand(-1, self.layers, -1)
        if psi == 1:
            return ws
        strength = torch.ones(self.layers, 1, device=w.device, dtype=w.dtype)
        strength[:cutoff] = psi
        return self.mean_w + strength * (ws - self.mean_w)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.synthesize(self.truncate(self.map(z, labels)))


class Way(NamedTuple):
    """A direction of translation, by the architecture's names of its domains."""

    source: str
    target: str


class Translator(Architecture):
    """An architecture that turns data of one domain into images of another.

    The networks and losses call two domains ``"A"`` and ``"B"``, as the official implementations do; the user's names
    for them (``"horse"``, ``"zebra"``) are in the model file, in the same order.
    """

    noisy: ClassVar[bool] = False
    """Whether ``translate`` draws noise from torch's default generator; a seed then belongs to each translation."""

    @classmethod
    def inputs(cls, config: Any) -> Inputs:
        domain = Domain((config.channels, config.resolution, config.resolution))
        return Inputs({"A": domain, "B": domain})

    @property
    @abstractmethod
    def multiple(self) -> int:
        """Height and width of an image for ``translate`` are multiples of this; others are padded and cropped back."""

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """The only (height, width) that ``translate`` takes; other images are resized and back. None: any multiple."""
        return None

    @abstractmethod
    def ways(self) -> tuple[Way, ...]:
        """Returns the ways that the networks in this model can translate; the last one is the default."""

    @abstractmethod
    def translate(
        self, image: Tensor, way: Way, *, labels: Tensor | None = None, style: Tensor | None = None
    ) -> Tensor:
        """Returns images of ``way.target``, float [N, C', H, W] in [-1, 1].

        Args:
            image: data of ``way.source``: images float [N, C, H, W] in [-1, 1] or masks int64 [N, H, W]; see
                ``multiple`` and ``fixed_size``.
            way: one of ``ways()``.
            labels: what the result should show, if the inputs declare labels: classes int64 [N], or attributes float
                [N, K]. Else None.
            style: for a ``StyledTranslator``, [N, *S]; None draws nothing and takes the model's default. Else None.
        """


class StyledTranslator(Translator):
    """A translator with many results for one image, one for each style."""

    @abstractmethod
    def draw_styles(self, n: int, way: Way, generator: torch.Generator) -> Tensor:
        """Returns styles of the target domain, float [n, *S] on the CPU, drawn from ``generator`` alone."""

    @abstractmethod
    def read_style(self, images: Tensor, way: Way) -> Tensor:
        """Returns the one style [*S] that K reference images of the target domain, [K, C, H, W], have in common."""


class TwoWayTranslator(Translator):
    """A translator with a network for either direction."""

    generators: ClassVar[Mapping[Way, str]] = {Way("B", "A"): "generator_ba", Way("A", "B"): "generator_ab"}
    """The network for each way."""

    def ways(self) -> tuple[Way, ...]:
        return tuple(way for way, network in self.generators.items() if hasattr(self, network))

    def preview(self, watched: Batch) -> list[Mapping[str, Tensor]]:
        groups: list[Mapping[str, Tensor]] = []
        for there in (Way("A", "B"), Way("B", "A")):
            image, back = watched.images[there.source], Way(there.target, there.source)
            translation = self.translate(image, there)
            group = {"input": image, "translation": translation, "reconstruction": self.translate(translation, back)}
            if image.shape == watched.images[there.target].shape:
                group["identity"] = self.translate(image, back)
            groups.append(group)
        return groups


class AttentiveTranslator(Translator):
    """A translator that shows which parts of an image it attends to."""

    @abstractmethod
    def translate_with_attention(self, image: Tensor, way: Way) -> tuple[Tensor, Tensor]:
        """Returns what ``translate`` returns, and the attention as float [N, 1, h, w] >= 0, of any scale and size."""
