"""pix2pix: the paper's receptive fields, and its noise."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from gancli.architectures.base import Batch, Way
from gancli.architectures.pix2pix import PatchGAN, Pix2Pix, UNetGenerator, noise_on


def test_published_parameter_counts() -> None:
    # Counted on the official networks, unet_256 and the 70 px PatchGAN on six channels.
    model = Pix2Pix(Pix2Pix.Config())
    assert sum(p.numel() for p in model.generator.parameters()) == 54_413_955
    assert sum(p.numel() for p in model.discriminator.parameters()) == 2_768_705


@pytest.mark.parametrize("size", [1, 16, 34, 70, 142, 286])
def test_a_logit_sees_a_patch_of_the_published_size(size: int) -> None:
    """The gradient of one logit reaches exactly as many pixels as the receptive field says."""
    torch.manual_seed(0)
    network = PatchGAN(2, width=2, receptive_field=size, norm="batch").double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()  # its training statistics would tie all pixels together
    image = torch.randn(1, 2, 320, 320, dtype=torch.float64, requires_grad=True)
    logits = network(image)
    middle = logits.shape[2] // 2
    logits[0, 0, middle, middle].backward()
    seen = image.grad.abs().sum((0, 1)).nonzero()
    assert (seen.max(0).values - seen.min(0).values + 1).tolist() == [size, size]


@pytest.mark.parametrize(("resolution", "halvings"), [(32, 5), (128, 7), (256, 8)])
def test_the_bottleneck_is_one_pixel(resolution: int, halvings: int) -> None:
    config = Pix2Pix.Config(resolution=resolution, generator_width=2, discriminator_width=2, receptive_field=16)
    assert config.multiple == resolution == 2**halvings
    generator = Pix2Pix(config).generator
    sizes: list[int] = []
    generator.down[-1].register_forward_hook(lambda module, given, made: sizes.append(made.shape[2]))
    generator(torch.zeros(1, 3, resolution, resolution))
    assert sizes == [1]


def test_dropout_lies_in_three_levels_behind_the_bottleneck() -> None:
    def places(network: nn.Module) -> list[int]:
        return [i for i, up in enumerate(network.up) if any(isinstance(layer, nn.Dropout) for layer in up)]

    assert places(UNetGenerator(3, 3, depth=8, width=2)) == [1, 2, 3]
    assert places(UNetGenerator(3, 3, depth=7, width=2)) == [1, 2]
    assert places(UNetGenerator(3, 3, depth=8, width=2, dropout=False)) == []


def test_direction_and_channels() -> None:
    small = {"resolution": 32, "generator_width": 2, "discriminator_width": 2, "receptive_field": 16}
    config = Pix2Pix.Config(direction="BtoA", channels=1, channels_b=5, **small)
    model = Pix2Pix(config).eval()
    inputs = Pix2Pix.inputs(config)
    assert {name: domain.shape for name, domain in inputs.domains.items()} == {"A": (1, 32, 32), "B": (5, 32, 32)}
    assert inputs.paired
    assert model.ways() == (Way("B", "A"),)
    assert model.translate(torch.zeros(1, 5, 32, 64), Way("B", "A")).shape == (1, 1, 32, 64)
    batch = Batch({"A": torch.rand(2, 1, 32, 32), "B": torch.rand(2, 5, 32, 32)})
    (rows,) = model.preview(batch)
    assert [images.shape[1] for images in rows.values()] == [5, 1, 1]
    assert torch.equal(rows["truth"], batch.images["A"])


def test_translation_is_noisy_and_leaves_the_model_as_it_was() -> None:
    torch.manual_seed(0)
    model = Pix2Pix(Pix2Pix.Config(resolution=64, generator_width=4, discriminator_width=4)).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(model.translate(image, Way("A", "B")))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.allclose(drawn[0], drawn[2], atol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module.training for module in model.modules())
    # Running statistics play no part: an image is normalised with its own.
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.fill_(7.0)
    torch.manual_seed(1)
    assert torch.equal(model.translate(image, Way("A", "B")), drawn[0])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"resolution": 200}, "must be a multiple of 128"),
        ({"resolution": 100, "generator": "resnet", "receptive_field": 286}, None),
        ({"resolution": 64, "generator": "resnet", "receptive_field": 286}, "needs 96"),
        ({"resolution": 66, "generator": "resnet"}, "must be a multiple of 4"),
        ({"direction": "AB"}, "AtoB"),
    ],
)
def test_sizes_that_do_not_fit(values: dict[str, object], words: str | None) -> None:
    if words is None:
        Pix2Pix.Config(**values)
        return
    with pytest.raises(ValidationError, match=words):
        Pix2Pix.Config(**values)


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
