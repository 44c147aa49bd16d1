"""The chances of both pools."""

from __future__ import annotations

import torch

from gancli.nn.pool import ImagePool, Replay


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


def test_a_replay_exchanges_its_share_and_keeps_what_belongs_together() -> None:
    torch.manual_seed(0)
    replay, ages = Replay(50, 0.3, 4 + 1), []
    for first in range(0, 4000, 10):
        numbers = torch.arange(first, first + 10, dtype=torch.float32)
        images, beside = replay(labelled(*range(first, first + 10)).requires_grad_(), numbers[:, None])
        assert images.shape == (10, 1, 2, 2)
        assert read(images) == beside[:, 0].tolist()
        assert len(set(read(images))) == 10
        assert not images.requires_grad
        ages += [int(number) - found for number, found in zip(numbers, read(images), strict=True)]
    assert set(ages[:50]) == {0}
    older = [age for age in ages[50:] if age]
    assert min(older) > 0 - 10  # an item may take the place of a later one of the same batch
    assert 0.27 < len(older) / len(ages[50:]) < 0.33
    assert 120 < sum(older) / len(older) < 210  # 50 places, of which 3 change with every 10 items


def test_a_replay_goes_on_from_its_state_() -> None:
    first, second = Replay(12, 0.5, 4), Replay(12, 0.5, 4)
    for number in range(4):
        first(labelled(*range(5 * number, 5 * number + 5)))
    second.load_state_dict(first.state_dict())
    following = []
    for pool in (first, second):
        torch.manual_seed(1)
        following.append(read(pool(labelled(20, 21, 22))[0]))
    assert following[0] == following[1]
