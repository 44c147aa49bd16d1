"""The 2-D toy: its losses and moves by formulas, and what its discriminator is shown to say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from gancli.architectures.base import Batch
from gancli.architectures.gan_toy import GANToy
from gancli.testing import random_batches
from gancli.training.trainer import Trainer

# The papers' losses of D and of G, from D's scores of reals r and of fakes f; p is the probability that they are real.
FORMULAS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "vanilla": (lambda r, f: -p(r).log() - (1 - p(f)).log(), lambda r, f: -p(f).log()),
    "saturating": (lambda r, f: -p(r).log() - (1 - p(f)).log(), lambda r, f: (1 - p(f)).log()),
    "logistic": (lambda r, f: (1 + (-r).exp()).log() + (1 + f.exp()).log(), lambda r, f: (1 + (-f).exp()).log()),
    "lsgan": (lambda r, f: (r - 1) ** 2 + f**2, lambda r, f: (f - 1) ** 2),
    "wgan": (lambda r, f: f - r, lambda r, f: -f),
    "hinge": (lambda r, f: (1 - r).clamp(min=0) + (1 + f).clamp(min=0), lambda r, f: -f),
    "relativistic": (lambda r, f: (1 + (f - r).exp()).log(), lambda r, f: (1 + (r - f).exp()).log()),
}


def p(scores: Tensor) -> Tensor:
    return 1 / (1 + (-scores).exp())


def toy(**given: Any) -> tuple[GANToy, Batch, Tensor]:
    """A toy with larger weights than it begins with, some reals, and the latents that a seed of 1 gives its fakes."""
    torch.manual_seed(0)
    model = GANToy(GANToy.Config(latent_dim=3, width=16, **given))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(2)
    points = torch.randn(32, 2)
    torch.manual_seed(1)
    return model, Batch({"points": points}), torch.randn(32, 3)


def slopes(model: GANToy, points: Tensor) -> Tensor:
    """|dD/dx| of a discriminator with one hidden layer, by the chain rule."""
    hidden, _, last = model.discriminator
    active = (points @ hidden.weight.T + hidden.bias > 0).float()
    return ((active * last.weight) @ hidden.weight).norm(dim=1)


@pytest.mark.parametrize("objective", FORMULAS)
def test_the_losses_are_those_of_the_papers(objective: str) -> None:
    model, batch, z = toy(objective=objective)
    real, fake = model.discriminator(batch.images["points"]), model.discriminator(model.generator(z))
    of_d, of_g = FORMULAS[objective]
    for loss_function, expected in ((model.d_loss, of_d), (model.g_loss, of_g)):
        torch.manual_seed(1)
        loss = loss_function(batch)
        assert loss.total.item() == pytest.approx(expected(real, fake).mean().item(), rel=1e-4)
        assert loss.parts.keys() == ({"D(x)", "D(G(z))"} if loss_function == model.d_loss else set())


@pytest.mark.parametrize("penalty", ["none", "clip", "gradient", "r1", "r1r2"])
@pytest.mark.parametrize("weight", [0.1, 3.0])
def test_a_penalty_is_weighed_and_added_to_the_loss_of_d_alone(penalty: str, weight: float) -> None:
    model, batch, z = toy(objective="wgan", penalty=penalty, penalty_weight=weight)
    t = torch.rand(32, 1)  # where gradient's points lie
    real, fake = batch.images["points"], model.generator(z).detach()
    expected = {
        "gradient": ((slopes(model, real + t * (fake - real)) - 1) ** 2).mean(),
        "r1": (slopes(model, real) ** 2).mean(),
        "r1r2": (slopes(model, real) ** 2).mean() + (slopes(model, fake) ** 2).mean(),
    }.get(penalty)
    adversarial = (model.discriminator(fake) - model.discriminator(real)).mean()
    torch.manual_seed(1)
    loss = model.d_loss(batch)
    if expected is None:
        assert "penalty" not in loss.parts
        assert loss.total.item() == pytest.approx(adversarial.item(), rel=1e-4)
    else:
        assert expected > 0.01
        assert loss.parts["penalty"].item() == pytest.approx(expected.item(), rel=1e-4)
        assert loss.total.item() == pytest.approx((adversarial + weight * expected).item(), rel=1e-4)
    torch.manual_seed(1)
    assert model.g_loss(batch).total.item() == pytest.approx(-model.discriminator(fake).mean().item(), rel=1e-4)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("penalty", ["none", "clip", "gradient", "r1", "r1r2"])
def test_d_moves_on_batches_of_its_own_and_only_clip_bounds_its_weights(penalty: str, steps: int) -> None:
    model, _, _ = toy(penalty=penalty, critic_steps=steps, clip=0.05)
    moves: list[tuple[str, Batch, float]] = []

    def update(player: str, loss_function: Any, batch: Batch) -> None:
        assert loss_function == {"D": model.d_loss, "G": model.g_loss}[player]
        largest = max(weight.abs().max().item() for weight in model.discriminator.parameters())
        moves.append((player, batch, largest))
        if player == "D":
            for weight in model.discriminator.parameters():
                torch.nn.init.constant_(weight, 1)

    model.training_step(random_batches(model.inputs(model.config)), update)  # type: ignore[arg-type]
    assert [player for player, _, _ in moves] == ["D"] * steps + ["G"]
    assert model.draws == steps
    assert len({id(batch) for _, batch, _ in moves[:-1]}) == steps
    assert moves[-1][1] is moves[-2][1]
    assert [largest for _, _, largest in moves[1:]] == pytest.approx([0.05 if penalty == "clip" else 1.0] * steps)


@pytest.mark.parametrize(
    ("objective", "scale"),
    [
        ("vanilla", (0, 1)),
        ("saturating", (0, 1)),
        ("logistic", (0, 1)),
        ("lsgan", (0, 1)),
        ("hinge", (-1, 1)),
        ("wgan", None),
        ("relativistic", None),
    ],
)
@torch.no_grad()
def test_the_surface_is_a_probability_where_the_objective_has_one(
    objective: str, scale: tuple[float, float] | None
) -> None:
    model = GANToy(GANToy.Config(objective=objective))  # type: ignore[arg-type]
    points = torch.randn(7, 2)
    values, found = model.surface(points)
    scores = model.discriminator(points)[:, 0]
    assert found == scale
    torch.testing.assert_close(
        values, scores.sigmoid() if objective in ("vanilla", "saturating", "logistic") else scores
    )


def test_instance_noise_is_for_training_only() -> None:
    trainer = object.__new__(Trainer)
    trainer.instance_noise = 0.5
    module, points = torch.nn.Linear(2, 1), torch.zeros(4, 2)
    noisy = trainer._add_instance_noise(module.train(), (points,))
    assert noisy is not None
    assert noisy[0].abs().min() > 0
    assert trainer._add_instance_noise(module.eval(), (points,)) is None
