"""Adversarial losses: small pure functions of logits, so that the papers' objectives can be compared line by line.

Logits are D's outputs before any sigmoid, of any shape; every loss is a 0-d mean over all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from gancli.schema import AidsConfig


def discriminator_targets(logits: Tensor, real: bool, aids: AidsConfig) -> Tensor:
    """Returns what D should answer, in the shape of ``logits``: 1 for reals and 0 for fakes, changed by the aids.

    One-sided smoothing (Salimans et al. 2016, section 3.4) lowers the target of reals only: a positive target for
    fakes would reward D for believing wherever the generator already puts mass. A flip swaps single targets.
    """
    target = torch.full_like(logits, 1.0 - aids.label_smoothing if real else 0.0)
    if aids.label_flip:
        flipped = torch.rand_like(logits) < aids.label_flip
        target = torch.where(flipped, 0.0 if real else 1.0, target)
    return target


def bce_discriminator_loss(real_logits: Tensor, fake_logits: Tensor, aids: AidsConfig) -> Tensor:
    """Binary cross-entropy of D: -log D(x) - log(1 - D(G(z))) (Goodfellow et al. 2014, equation 1)."""
    return F.binary_cross_entropy_with_logits(
        real_logits, discriminator_targets(real_logits, True, aids)
    ) + F.binary_cross_entropy_with_logits(fake_logits, discriminator_targets(fake_logits, False, aids))


def bce_generator_loss(fake_logits: Tensor) -> Tensor:
    """The non-saturating loss of G: -log D(G(z)) (Goodfellow et al. 2014, section 3)."""
    return F.binary_cross_entropy_with_logits(fake_logits, torch.ones_like(fake_logits))


def lsgan_discriminator_loss(real_logits: Tensor, fake_logits: Tensor, aids: AidsConfig) -> Tensor:
    """Least squares of D: (D(x) - 1)^2 + D(G(z))^2 (Mao et al. 2017, equation 9, without the halves)."""
    return F.mse_loss(real_logits, discriminator_targets(real_logits, True, aids)) + F.mse_loss(
        fake_logits, discriminator_targets(fake_logits, False, aids)
    )


def lsgan_generator_loss(fake_logits: Tensor) -> Tensor:
    """Least squares of G: (D(G(z)) - 1)^2 (Mao et al. 2017, equation 9, without the half)."""
    return F.mse_loss(fake_logits, torch.ones_like(fake_logits))


class Objective(NamedTuple):
    """An adversarial objective: the losses of D, of (real logits, fake logits, aids), and of G, of (fake logits)."""

    discriminator_loss: Callable[[Tensor, Tensor, AidsConfig], Tensor]
    generator_loss: Callable[[Tensor], Tensor]


ObjectiveName = Literal["vanilla", "lsgan"]
OBJECTIVES: dict[ObjectiveName, Objective] = {
    "vanilla": Objective(bce_discriminator_loss, bce_generator_loss),
    "lsgan": Objective(lsgan_discriminator_loss, lsgan_generator_loss),
}


def logistic_discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """softplus(-D(x)) + softplus(D(G(z))): binary cross-entropy without targets, as the code of StyleGAN has it."""
    return F.softplus(-real_scores).mean() + F.softplus(fake_scores).mean()


def logistic_generator_loss(fake_scores: Tensor) -> Tensor:
    """The non-saturating logistic loss of G: softplus(-D(G(z)))."""
    return F.softplus(-fake_scores).mean()


def squared_gradient_norms(scores: Tensor, images: Tensor) -> Tensor:
    """Returns |dD(x)/dx|^2 of every sample, [N], over all its pixels; it can be differentiated once more.

    Args:
        scores: [N], where score i depends on image i (and, through statistics of the batch, on others).
        images: [N, C, H, W], which the scores were computed from while ``requires_grad`` was set.
    """
    (gradients,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return gradients.square().sum(dim=(1, 2, 3))


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, target: float = 1.0) -> Tensor:
    """(|dD(x')/dx'| - target)^2 / target^2 between reals and fakes (Gulrajani et al. 2017, equation 3), a 0-d mean.

    Each x' lies at a random place on the line from a real to a fake.
    """
    t = torch.rand(len(real), 1, 1, 1, device=real.device, dtype=real.dtype)
    between = torch.lerp(real, fake.to(real.dtype), t).detach().requires_grad_()
    norms = squared_gradient_norms(critic(between), between).sqrt()
    return ((norms - target) / target).square().mean()
