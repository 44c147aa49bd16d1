"""The image pool's chances, and normalisations against their formulas."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gancli.nn.norm import InstanceNorm, noise_on
from gancli.nn.pool import ImagePool


def labelled(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float32)[:, None, None, None].expand(-1, 1, 2, 2).clone()


def read(images: torch.Tensor) -> list[int]:
    assert (images == images[:, :, :1, :1]).all()
    return [int(value) for value in images[:, 0, 0, 0]]


def test_a_pool_gives_back_what_it_gets_until_it_is_full() -> None:
    pool = ImagePool(4, (1, 2, 2))
    assert read(pool(labelled(1, 2, 3))) == [1, 2, 3]
    assert read(pool(labelled(4))) == [4]
    assert read(pool.images) == [1, 2, 3, 4]
    assert int(pool.held) == 4


def test_half_of_the_draws_come_from_the_history_and_each_once() -> None:
    torch.manual_seed(0)
    pool = ImagePool(50, (1, 2, 2))
    given = list(range(1, 2051))
    drawn = [read(pool(labelled(number)))[0] for number in given]
    assert drawn[:50] == given[:50]
    late = [(number, found) for number, found in zip(given, drawn, strict=True) if number > 50]
    old = [found for number, found in late if found != number]
    assert 0.46 < len(old) / len(late) < 0.54
    assert all(found < number for number, found in late if found != number)
    # What was given out from the history is gone, so that nothing is given out of it twice.
    assert len(set(old)) == len(old)
    # An image that was swapped in stays 50 swaps on average, that is 100 draws.
    ages = [number - found for number, found in late if found != number and number > 500]
    assert 75 < sum(ages) / len(ages) < 130


def test_an_empty_pool_and_one_without_gradients() -> None:
    image = labelled(1).requires_grad_()
    assert torch.equal(ImagePool(0, (1, 2, 2))(image), image)
    assert not ImagePool(0, (1, 2, 2))(image).requires_grad
    assert not ImagePool(2, (1, 2, 2))(image).requires_grad


def test_a_pool_goes_on_from_its_state() -> None:
    torch.manual_seed(0)
    first = ImagePool(3, (1, 2, 2))
    for number in range(10):
        first(labelled(number))
    second = ImagePool(3, (1, 2, 2))
    second.load_state_dict(first.state_dict())
    following = []
    for pool in (first, second):
        torch.manual_seed(1)
        following.append([read(pool(labelled(number)))[0] for number in range(10, 30)])
    assert following[0] == following[1]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("batch", [1, 2])
def test_instance_norm_and_its_gradient_in_every_layout(batch: int, memory_format: torch.memory_format) -> None:
    """torch 2.13 to 2.15 return a wrong gradient from F.instance_norm for one image in channels_last."""
    torch.manual_seed(0)
    x = torch.randn(batch, 8, 12, 12).to(memory_format=memory_format).requires_grad_()
    incoming = torch.randn(batch, 8, 12, 12).to(memory_format=memory_format)
    made = InstanceNorm(8)(x)
    made.backward(incoming)
    exact = x.detach().double().requires_grad_()
    variance, mean = torch.var_mean(exact, (2, 3), correction=0, keepdim=True)
    expected = (exact - mean) / (variance + 1e-5).sqrt()
    expected.backward(incoming.double())
    assert torch.allclose(made.double(), expected, atol=1e-5)
    assert (x.grad - exact.grad).norm() / exact.grad.norm() < 1e-5
    assert not list(InstanceNorm(8).state_dict())


def test_noise_is_on_within_and_off_after_an_error() -> None:
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5)).eval()
    x = torch.rand(1, 1, 8, 8) * 4 + 3

    def fail() -> None:
        with noise_on(network):
            assert (network(x) == 0).float().mean() > 0.2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not network[1].training
    assert network[0].track_running_stats
    assert int(network[0].num_batches_tracked) == 0
    assert torch.allclose(network(x), x, atol=1e-4)  # the untouched running statistics: mean 0, variance 1
