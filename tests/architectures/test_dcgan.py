"""DCGAN: the sizes it is published for, how its weights are drawn, and what its losses are made of."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from gancli.architectures.base import Batch
from gancli.architectures.dcgan import DCGAN
from gancli.schema import AidsConfig


@pytest.mark.parametrize(("resolution", "channels"), [(32, 1), (32, 3), (64, 3), (128, 1), (256, 3)])
def test_every_resolution_and_channel_count(resolution: int, channels: int) -> None:
    model = DCGAN(
        DCGAN.Config(resolution=resolution, channels=channels, generator_width=2, discriminator_width=2, latent_dim=5)
    ).eval()
    images = model.decode(model.latents(2, torch.Generator().manual_seed(0)))
    assert images.shape == (2, channels, resolution, resolution)
    assert model.discriminator(images).shape == (2,)
    # Radford et al.: every doubling of the resolution adds one stride-2 block; 64 px has five convolutions.
    count = sum(isinstance(layer, torch.nn.ConvTranspose2d) for layer in model.generator.layers)
    assert count == {32: 4, 64: 5, 128: 6, 256: 7}[resolution]


def test_published_parameter_counts() -> None:
    # Counted on the networks of pytorch/examples with nz 100, ngf = ndf = 64, nc 3.
    model = DCGAN(DCGAN.Config())
    assert sum(p.numel() for p in model.generator.parameters()) == 3_576_704
    assert sum(p.numel() for p in model.discriminator.parameters()) == 2_765_568


@pytest.mark.parametrize("resolution", [16, 48, 100, 512])
def test_other_resolutions_are_refused(resolution: int) -> None:
    with pytest.raises(ValidationError):
        DCGAN.Config(resolution=resolution)


def test_weights_are_drawn_as_published() -> None:
    torch.manual_seed(0)
    model = DCGAN(DCGAN.Config())
    for module in model.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)) and module.weight.numel() > 10_000:
            assert abs(module.weight.mean().item()) < 1e-3
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.03)
            assert module.bias is None
        if isinstance(module, torch.nn.BatchNorm2d) and module.num_features >= 256:
            assert module.weight.mean().item() == pytest.approx(1, abs=0.005)
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.2)
            assert not module.bias.any()


def test_reals_and_fakes_have_their_own_batch_statistics() -> None:
    torch.manual_seed(0)
    model = DCGAN(DCGAN.Config(resolution=32, generator_width=4, discriminator_width=4)).train()
    batch = Batch({"image": torch.rand(8, 3, 32, 32)}, stash={"fake": -torch.rand(8, 3, 32, 32)})
    before = model.discriminator.layers[3].num_batches_tracked.item()
    model.d_loss(batch)
    assert model.discriminator.layers[3].num_batches_tracked.item() == before + 2


def test_label_smoothing_moves_the_target_of_reals_only() -> None:
    torch.manual_seed(0)
    config = DCGAN.Config(resolution=32, generator_width=4, discriminator_width=4)
    plain = DCGAN(config).eval()
    smooth = DCGAN(config, AidsConfig(label_smoothing=0.1)).eval()
    smooth.load_state_dict(plain.state_dict())
    batch = Batch({"image": torch.rand(8, 3, 32, 32)}, stash={"fake": -torch.rand(8, 3, 32, 32)})
    real_logits = plain.discriminator(batch.image)
    # BCE(l, 0.9) - BCE(l, 1) = 0.1 l
    difference = smooth.d_loss(batch).total - plain.d_loss(batch).total
    assert difference.item() == pytest.approx(0.1 * real_logits.mean().item(), abs=1e-6)
    assert torch.equal(smooth.g_loss(batch).total, plain.g_loss(batch).total)
