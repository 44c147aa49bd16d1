"""WGAN: how often the critic moves, and between which bounds."""

from __future__ import annotations

from collections import Counter
from itertools import repeat
from types import SimpleNamespace

import pytest
import torch

from gancli.architectures.base import Batch
from gancli.architectures.wgan import WGAN


@pytest.mark.parametrize(("step", "moves"), [(0, 7), (24, 7), (25, 3), (499, 3), (500, 7), (501, 3), (1000, 7)])
def test_the_critic_is_refreshed_every_500_steps(step: int, moves: int) -> None:
    model = WGAN(
        WGAN.Config(
            resolution=32,
            generator_width=2,
            critic_width=2,
            latent_dim=4,
            critic_steps=3,
            warm_critic_steps=7,
            clip=0.005,
        )
    )
    counts: Counter[str] = Counter()

    class Recorder(SimpleNamespace):
        def __call__(self, player: str, *_: object) -> None:
            assert max(weight.abs().max() for weight in model.critic.parameters()) <= 0.005
            counts[player] += 1

    model.training_step(repeat(Batch({"image": torch.zeros(2, 3, 32, 32)})), Recorder(step=step))
    assert counts == {"D": moves, "G": 1}
