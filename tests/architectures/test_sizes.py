"""Sizes that networks cannot have are refused with a reason, and those at the border work."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from gancli.registry import load_architecture

GP = {"networks": "resnet", "latent_dim": 3}
POOLED = {**GP, "critic_norm": False}
DCGAN = {**GP, "networks": "dcgan"}


@pytest.mark.parametrize(
    ("name", "sizes", "said"),
    [
        ("lsgan", {"resolution": 40}, "must be a multiple of 16, such as 32"),
        ("lsgan", {"resolution": 17}, "must be a multiple of 16, such as 16"),
        ("lsgan", {"resolution": 8}, "greater than or equal to 16"),
        ("lsgan", {"resolution": 272}, "less than or equal to 256"),
        # A critic with norm, and G: one halving less than numbers. The last size is at least 2 px.
        (
            "wgan-gp",
            {**GP, "resolution": 8, "critic_widths": [2] * 2},
            "generator_widths: 5 numbers halve 8 px",
        ),
        (
            "wgan-gp",
            {**GP, "resolution": 8, "generator_widths": [2] * 3, "critic_widths": [2] * 4},
            "critic_widths: 4 numbers halve 8 px to less than 2",
        ),
        (
            "wgan-gp",
            {**GP, "resolution": 12, "generator_widths": [2] * 4, "critic_widths": [2] * 2},
            "generator_widths: 4 numbers halve 12 px to less than 2",
        ),
        (
            "wgan-gp",
            {**GP, "resolution": 20, "generator_widths": [2] * 4, "critic_widths": [2] * 2},
            "generator_widths: 20 px cannot be halved 3 times",
        ),
        (
            "wgan-gp",
            {**GP, "resolution": 20, "generator_widths": [2] * 2, "critic_widths": [2] * 4},
            "critic_widths: 20 px cannot be halved 3 times",
        ),
        (
            "wgan-gp",
            {**POOLED, "resolution": 20, "generator_widths": [2] * 4, "critic_widths": [2] * 4},
            "generator_widths: 20 px cannot be halved 3 times",
        ),
        (
            "wgan-gp",
            {**DCGAN, "resolution": 8, "generator_widths": [2] * 3, "critic_widths": [2] * 2},
            "generator_widths: 3 numbers halve 8 px to less than 2",
        ),
        (
            "wgan-gp",
            {**DCGAN, "resolution": 8, "generator_widths": [2] * 2, "critic_widths": [2] * 3},
            "critic_widths: 3 numbers halve 8 px to less than 2",
        ),
        ("r3gan", {"resolution": 16, "widths": [8, 8]}, "2 widths are for a resolution of 8, not 16"),
        ("r3gan", {"resolution": 8, "widths": [8, 8, 8]}, "3 widths are for a resolution of 16, not 8"),
        ("r3gan", {"resolution": 24, "widths": [16] * 3}, "3 widths are for a resolution of 16, not 24"),
        ("r3gan", {"resolution": 8, "widths": [16, 4]}, "group 16 must divide each width times 2"),
        ("r3gan", {"resolution": 8, "widths": [16, 8], "expansion": 1}, "group 16 must divide each width times 1"),
        ("r3gan", {"resolution": 1024, "widths": [16] * 9}, "less than or equal to 512"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(name: str, sizes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        load_architecture(name).Config(**sizes)
    (error,) = caught.value.errors()
    assert said in error["msg"]


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("lsgan", {"resolution": 16, "width": 2, "latent_dim": 3}),
        ("lsgan", {"resolution": 48, "width": 2, "latent_dim": 3}),
        ("wgan-gp", {**GP, "resolution": 8, "generator_widths": [2] * 3, "critic_widths": [2] * 3}),
        ("wgan-gp", {**GP, "resolution": 20, "generator_widths": [2] * 3, "critic_widths": [2] * 3}),
        ("wgan-gp", {**POOLED, "resolution": 20, "generator_widths": [2] * 3, "critic_widths": [2] * 4}),
        ("wgan-gp", {**DCGAN, "resolution": 8, "generator_widths": [2] * 2, "critic_widths": [2] * 2}),
        ("wgan-gp", {**DCGAN, "resolution": 13, "generator_widths": [2] * 2, "critic_widths": [2] * 2}),
        ("r3gan", {"resolution": 4, "widths": [8], "latent_dim": 3}),
        ("r3gan", {"resolution": 16, "widths": [12, 6, 4], "group": 4, "latent_dim": 3}),
        ("r3gan", {"resolution": 8, "widths": [4, 2], "group": 2, "expansion": 1, "latent_dim": 3}),
    ],
)
@torch.no_grad()
def test_sizes_at_the_border_work(name: str, sizes: dict[str, Any]) -> None:
    kind = load_architecture(name)
    model = kind(kind.Config(**sizes))
    images = model.decode(model.latents(2))
    assert images.shape == (2, 3, sizes["resolution"], sizes["resolution"])
    assert model.get_submodule(model.players["D"][0])(images).shape == (2,)
