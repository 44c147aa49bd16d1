"""R3GAN: how much its penalties weigh while a run goes on, and who gets which batch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gancli.architectures.base import Batch
from gancli.architectures.r3gan import R3GAN
from gancli.testing import random_batches

SMALL = {"resolution": 8, "widths": (16, 8), "blocks": 1, "latent_dim": 8}


@pytest.mark.parametrize(
    ("gamma", "images", "value"),
    [
        (3.0, 0, 3.0),
        (3.0, 10**6, 3.0),
        ({"start": 2.0, "end": 1.0, "kimg": 10, "shape": "cosine"}, 0, 2.0),
        ({"start": 2.0, "end": 1.0, "kimg": 10, "shape": "cosine"}, 2500, 1.853553),  # (1 - cos(pi / 4)) / 2 of the way
        ({"start": 2.0, "end": 1.0, "kimg": 10, "shape": "cosine"}, 5000, 1.5),
        ({"start": 2.0, "end": 1.0, "kimg": 10, "shape": "cosine"}, 10_000, 1.0),
        ({"start": 2.0, "end": 1.0, "kimg": 10, "shape": "cosine"}, 10**6, 1.0),
    ],
)
def test_both_penalties_weigh_half_of_the_present_gamma(gamma: Any, images: int, value: float) -> None:
    torch.manual_seed(0)
    config = R3GAN.Config(**SMALL, gamma=gamma)
    model = R3GAN(config)
    for layer in model.modules():  # the residual branches begin as 0
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight, std=0.3)
    moves: list[tuple[str, Batch]] = []

    class Recorder(SimpleNamespace):
        def __call__(self, player: str, loss_function: Any, batch: Batch) -> None:
            moves.append((player, batch))
            if player == "D":
                torch.manual_seed(1)
                loss = loss_function(batch)
                torch.manual_seed(1)
                fake = model.generator(model.latents(len(batch)))
                adversarial = (1 + (model.discriminator(fake) - model.discriminator(batch.image)).exp()).log().mean()
                r1, r2 = loss.parts["R1"], loss.parts["R2"]
                assert min(r1, r2) > 0.1
                assert loss.total.item() == pytest.approx((adversarial + value / 2 * (r1 + r2)).item(), rel=1e-4)

    model.training_step(random_batches(model.inputs(config)), Recorder(step=0, images_shown=images))
    (first, shown_to_d), (second, shown_to_g) = moves
    assert (first, second) == ("D", "G")
    assert shown_to_d is not shown_to_g
