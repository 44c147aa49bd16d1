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
