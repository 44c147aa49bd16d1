"""Adversarial losses side by side: siblings of one shape, so that the papers' objectives can be compared line by line.

Scores are D's outputs before any sigmoid, of any shape; every loss is a 0-d mean over all of them. The discriminator or
critic minimises ``d``, the generator ``g``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from gancli.errors import GancliError
from gancli.schema import AidsConfig

NO_AIDS = AidsConfig()


class Objective(Protocol):
    """An adversarial objective: one loss for each side of the game."""

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        """Returns the loss of D for its scores of reals and fakes."""

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """Returns the loss of G for D's scores of its fakes; relativistic losses need those of reals as well."""


@dataclass(frozen=True)
class Vanilla:
    """Binary cross-entropy, with the non-saturating loss of G (Goodfellow et al. 2014, equation 1 and section 3)."""

    aids: AidsConfig = NO_AIDS

    def d(self, real: Tensor, fake: Tensor) -> Tensor:  # -log D(x) - log(1 - D(G(z)))
        real_loss = F.binary_cross_entropy_with_logits(real, targets(real, 1.0, 0.0, self.aids))
        return real_loss + F.binary_cross_entropy_with_logits(fake, targets(fake, 0.0, 1.0, self.aids))

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:  # -log D(G(z))
        return F.binary_cross_entropy_with_logits(fake, torch.ones_like(fake))


@dataclass(frozen=True)
class Saturating(Vanilla):
    """The min-max game itself: G minimises what D maximises (Goodfellow et al. 2014, equation 1)."""

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:  # log(1 - D(G(z)))
        return -F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))


@dataclass(frozen=True)
class LeastSquares:
    """Least squares (Mao et al. 2017, equation 2, without the halves): a for fakes, b for reals, c is G's wish."""

    aids: AidsConfig = NO_AIDS
    a: float = 0.0
    b: float = 1.0
    c: float = 1.0

    def d(self, real: Tensor, fake: Tensor) -> Tensor:  # (D(x) - b)^2 + (D(G(z)) - a)^2
        real_loss = F.mse_loss(real, targets(real, self.b, self.a, self.aids))
        return real_loss + F.mse_loss(fake, targets(fake, self.a, self.b, self.aids))

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:  # (D(G(z)) - c)^2
        return F.mse_loss(fake, torch.full_like(fake, self.c))


@dataclass(frozen=True)
class Wasserstein:
    """The critic's estimate of the Wasserstein distance, negated (Arjovsky et al. 2017, equations 2 and 3)."""

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()


@dataclass(frozen=True)
class Hinge:
    """The hinge loss (Lim & Ye 2017; Miyato et al. 2018, equations 16 and 17)."""

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()


@dataclass(frozen=True)
class Logistic:
    """Vanilla without targets, written with softplus as in the code of StyleGAN (Karras et al. 2018)."""

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(-real).mean() + F.softplus(fake).mean()

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return F.softplus(-fake).mean()


@dataclass(frozen=True)
class Relativistic:
    """Relativistic pairing: D compares each real with a fake (Jolicoeur-Martineau 2018; Huang et al. 2024, eq. 2)."""

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(fake - real).mean()

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        if real is None:
            raise TypeError("the relativistic loss of G needs D's scores of reals")
        return F.softplus(real - fake).mean()


ObjectiveName = Literal["vanilla", "saturating", "lsgan", "wgan", "hinge", "logistic", "relativistic"]
WITH_TARGETS: dict[str, Callable[[AidsConfig], Objective]] = {
    "vanilla": Vanilla,
    "saturating": Saturating,
    "lsgan": LeastSquares,
}
WITHOUT_TARGETS: dict[str, Callable[[], Objective]] = {
    "wgan": Wasserstein,
    "hinge": Hinge,
    "logistic": Logistic,
    "relativistic": Relativistic,
}


def make_objective(name: ObjectiveName, aids: AidsConfig) -> Objective:
    """Returns an objective by name.

    Raises:
        GancliError: ``aids`` change the targets of D, but this objective has none.
    """
    if name in WITH_TARGETS:
        return WITH_TARGETS[name](aids)
    for aid in ("label_smoothing", "label_flip"):
        if getattr(aids, aid):
            raise GancliError(
                f"train.aids.{aid} changes the targets of D's loss, but the {name} loss has none",
                f"--set train.aids.{aid}=0",
            )
    return WITHOUT_TARGETS[name]()


def targets(scores: Tensor, wanted: float, other: float, aids: AidsConfig) -> Tensor:
    """Returns what D should answer, in the shape of ``scores``: the ``wanted`` value, changed by the aids.

    One-sided smoothing (Salimans et al. 2016, section 3.4) moves the higher target, that of reals, towards the lower
    one and leaves the lower as it is: a positive target for fakes would reward D for believing wherever G already puts
    mass. A flip swaps single targets for the unsmoothed ``other``.
    """
    smoothing = aids.label_smoothing * (wanted - other) if wanted > other else 0.0
    target = torch.full_like(scores, wanted - smoothing)
    if aids.label_flip:
        target = torch.where(torch.rand_like(scores) < aids.label_flip, other, target)
    return target


def squared_gradient_norms(scores: Tensor, images: Tensor) -> Tensor:
    """Returns |dD(x)/dx|^2 of every sample, [N], over all its values; it can be differentiated once more.

    Args:
        scores: [N], where score i depends on image i (and, through statistics of the batch, on others).
        images: [N, ...], from which the scores were computed while ``requires_grad`` was set.
    """
    (gradients,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return gradients.square().sum(dim=tuple(range(1, images.ndim)))


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, target: float = 1.0) -> Tensor:
    """(|dD(x')/dx'| - target)^2 / target^2 between reals and fakes (Gulrajani et al. 2017, equation 3), a 0-d mean.

    Each x' lies at a random place on the line from a real to a fake.
    """
    t = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device, dtype=real.dtype)
    between = torch.lerp(real, fake.to(real.dtype), t).detach().requires_grad_()
    norms = squared_gradient_norms(critic(between), between).sqrt()
    return ((norms - target) / target).square().mean()
