"""CycleGAN's cycles, identity loss and pools."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from gancli.architectures.base import Batch, Way
from gancli.architectures.cyclegan import CycleGAN
from gancli.schema import TrainConfig
from gancli.training.update import Update, make_players

CPU = torch.device("cpu")
SMALL = {"resolution": 32, "generator_width": 2, "discriminator_width": 2, "blocks": 1, "receptive_field": 16}


def test_published_parameter_counts() -> None:
    # Counted on the official networks, resnet_9blocks and resnet_6blocks and the 70 px PatchGAN on three channels.
    model = CycleGAN(CycleGAN.Config())
    assert sum(p.numel() for p in model.generator_ab.parameters()) == 11_378_179
    assert sum(p.numel() for p in model.discriminator_a.parameters()) == 2_764_737
    six = CycleGAN(CycleGAN.Config(resolution=128, blocks=6))
    assert sum(p.numel() for p in six.generator_ba.parameters()) == 7_837_699


def step(model: CycleGAN, a: float = 0.5, b: float = -0.5) -> dict[str, float]:
    train = TrainConfig(steps=1, batch=1)
    update = Update(make_players(model, train, CPU), train, CPU)
    images = {"A": torch.full((1, 3, 32, 32), a), "B": torch.full((1, 3, 32, 32), b)}
    model.training_step(iter([Batch(images)]), update)
    return update.meter.read()


class Constant(torch.nn.Module):
    """Answers every image with one number."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = torch.nn.Parameter(torch.tensor(value))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.value.expand_as(image[:, :1])


class Filled(torch.nn.Module):
    """Answers every image with an image of one value."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = torch.nn.Parameter(torch.tensor(value))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.value.expand_as(image)


def test_every_loss_is_weighted_as_published() -> None:
    """With constant networks each term can be computed in the head."""
    model = CycleGAN(CycleGAN.Config(**SMALL, cycle_weight_a=10, cycle_weight_b=20, identity_weight=0.5))
    for name, value in (("generator_ab", 0.1), ("generator_ba", 0.3)):
        setattr(model, name, Filled(value))
    model.discriminator_a, model.discriminator_b = Constant(0.25), Constant(0.75)
    losses = step(model, a=0.5, b=-0.5)
    assert losses["adv_a"] == pytest.approx((0.25 - 1) ** 2)
    assert losses["adv_b"] == pytest.approx((0.75 - 1) ** 2)
    assert losses["cycle_a"] == pytest.approx(10 * abs(0.3 - 0.5))
    assert losses["cycle_b"] == pytest.approx(20 * abs(0.1 + 0.5))
    assert losses["identity_a"] == pytest.approx(0.5 * 10 * abs(0.3 - 0.5))
    assert losses["identity_b"] == pytest.approx(0.5 * 20 * abs(0.1 + 0.5))
    assert losses["D_a"] == pytest.approx(0.5 * ((0.25 - 1) ** 2 + 0.25**2))
    assert losses["D_b"] == pytest.approx(0.5 * ((0.75 - 1) ** 2 + 0.75**2))
    assert losses["D"] == pytest.approx(losses["D_a"] + losses["D_b"])
    assert losses["G"] == pytest.approx(sum(value for name, value in losses.items() if "_" in name and name[0] != "D"))


def test_without_identity_loss_it_is_not_computed() -> None:
    model = CycleGAN(CycleGAN.Config(**SMALL, identity_weight=0))
    calls: list[int] = []
    model.generator_ab.register_forward_hook(lambda *_: calls.append(1))
    losses = step(model)
    assert len(calls) == 2
    assert "identity_a" not in losses


def test_discriminators_learn_from_the_pool() -> None:
    torch.manual_seed(0)
    model = CycleGAN(CycleGAN.Config(**SMALL, pool_size=3))
    for _ in range(2):
        step(model)
    assert (int(model.pool_a.held), int(model.pool_b.held)) == (2, 2)
    for _ in range(8):
        step(model)
    assert int(model.pool_a.held) == 3
    fake = model.pool_a.images
    assert fake.shape == (3, 3, 32, 32)
    assert fake.abs().sum((1, 2, 3)).min() > 0


def test_directions_follow_the_networks_that_are_there() -> None:
    model = CycleGAN(CycleGAN.Config(**SMALL)).eval()
    image = torch.rand(1, 3, 32, 32)
    assert model.ways() == (Way("B", "A"), Way("A", "B"))
    assert torch.equal(model.translate(image, Way("A", "B")), model.generator_ab(image))
    assert torch.equal(model.translate(image, Way("B", "A")), model.generator_ba(image))
    del model.generator_ba
    assert model.ways() == (Way("A", "B"),)


def test_a_generator_may_be_a_u_net() -> None:
    config = CycleGAN.Config(**{**SMALL, "resolution": 64}, generator="unet")
    model = CycleGAN(config)
    assert model.multiple == 64
    losses = {name: value for name, value in step_at(model, 64).items() if name.startswith("cycle")}
    assert all(value > 0 for value in losses.values())


def step_at(model: CycleGAN, size: int) -> dict[str, float]:
    train = TrainConfig(steps=1, batch=2, accumulate=2)
    update = Update(make_players(model, train, CPU), train, CPU)
    batch = Batch({"A": torch.rand(2, 3, size, size), "B": torch.rand(2, 3, size, size)})
    model.training_step(iter([batch]), update)
    return update.meter.read()


def test_channels_of_both_sides() -> None:
    with pytest.raises(ValidationError, match="identity_weight"):
        CycleGAN.Config(**SMALL, channels=1, channels_b=3)
    config = CycleGAN.Config(**SMALL, channels=1, channels_b=3, identity_weight=0)
    model = CycleGAN(config)
    assert model.translate(torch.zeros(1, 1, 32, 32), Way("A", "B")).shape == (1, 3, 32, 32)
    assert model.pool_a.images.shape[1] == 1
    rows_a, rows_b = model.preview(Batch({"A": torch.zeros(2, 1, 32, 32), "B": torch.zeros(2, 3, 32, 32)}))
    assert [images.shape[1] for images in rows_a.values()] == [1, 3, 1]
    assert [images.shape[1] for images in rows_b.values()] == [3, 1, 3]
