"""What the 2-D toy's discriminator is shown to say, by objective, and that instance noise does not blur it."""

from __future__ import annotations

import pytest
import torch

from gancli.architectures.gan_toy import GANToy
from gancli.training.trainer import Trainer


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
