"""Normalisations against their formulas and torch's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from gancli.nn.init import without_weights
from gancli.nn.norm import InstanceNorm, spectral_norm, spectral_norms


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


@pytest.mark.parametrize("make", [lambda: nn.Conv2d(3, 8, 3), lambda: nn.Linear(6, 4)])
def test_spectral_norm_does_what_torch_does_from_the_same_state(make: Callable[[], nn.Conv2d | nn.Linear]) -> None:
    layers = []
    for normalise in (spectral_norm, parametrizations.spectral_norm):
        torch.manual_seed(0)
        layers.append(normalise(make()))
    ours, theirs = layers
    theirs.load_state_dict(ours.state_dict())  # torch tries a new one out, which is an iteration more
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    x = torch.randn(2, 3, 5, 5) if isinstance(ours, nn.Conv2d) else torch.randn(2, 6)
    for training in (True, True, False):
        ours.train(training), theirs.train(training)
        assert torch.equal(ours(x), theirs(x))
        assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())
    gradients = []
    for layer in layers:
        layer(x).square().sum().backward()
        gradients.append(layer.parametrizations.weight.original.grad)
    assert torch.equal(*gradients)


def test_settling_follows_a_weight_that_was_replaced() -> None:
    torch.manual_seed(0)
    layer = spectral_norm(nn.Linear(32, 32)).eval()
    with torch.no_grad():
        layer.parametrizations.weight.original.copy_(torch.randn(32, 32))
        before = torch.linalg.matrix_norm(layer.weight, 2).item()
        ((norm, weight),) = spectral_norms(nn.Sequential(layer))
        norm.settle(weight)
        after = torch.linalg.matrix_norm(layer.weight, 2).item()
    assert abs(before - 1) > 0.05
    assert abs(after - 1) < 0.05


def test_a_spectral_norm_without_numbers_takes_the_state_of_another() -> None:
    layer = spectral_norm(nn.Linear(6, 4)).eval()
    with without_weights():
        empty = spectral_norm(nn.Linear(6, 4)).eval()
    assert all(value.is_meta for value in empty.state_dict().values())
    empty.load_state_dict(layer.state_dict(), assign=True)
    x = torch.randn(2, 6)
    assert torch.equal(empty(x), layer(x))
