"""Growing networks: layers against plain operations, the schedule against the official formula, fades at their ends."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction
from math import log2, sqrt
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancli.architectures.progan import (
    Discriminator,
    DownBlock,
    DownConv2d,
    EqualizedConv2d,
    EqualizedLinear,
    GrowthConfig,
    UpConv2d,
    downsample,
    fade_reals,
    minibatch_stddev,
    pixel_norm,
    to_resolution,
    upsample,
    widths_by_depth,
)
from gancli.architectures.stylegan import BlurredDownBlock, blur
from gancli.nn.losses import gradient_penalty, squared_gradient_norms
from gancli.nn.stage import Stage


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


# ---- when and how far --------------------------------------------------------------------------------------


def official_lod(images: int, resolution: int, initial: int, stable: int, fade: int) -> Fraction:
    """The level of detail of ``TrainingSchedule``, counted in whole images: doublings still to come."""
    phase = images // (stable + fade)
    within = images - phase * (stable + fade)
    lod = Fraction(int(log2(resolution)) - int(log2(initial)) - phase)
    if fade > 0:
        lod -= Fraction(max(within - stable, 0), fade)
    return max(lod, Fraction(0))


@pytest.mark.parametrize(("stable_kimg", "fade_kimg"), [(600, 600), (0.05, 0.03), (0, 0.04), (0.02, 0), (0.001, 0.001)])
@pytest.mark.parametrize(("initial", "resolution"), [(4, 64), (8, 32), (16, 16)])
def test_stages_follow_the_official_schedule(
    initial: int, resolution: int, stable_kimg: float, fade_kimg: float
) -> None:
    growth = GrowthConfig(initial_resolution=initial, stable_kimg=stable_kimg, fade_kimg=fade_kimg)
    stable, fade = round(stable_kimg * 1000), round(fade_kimg * 1000)
    borders = {k * (stable + fade) + part for k in range(7) for part in (0, stable)}
    counts = {max(0, border + near) for border in borders for near in (-1, 0, 1)}
    counts |= {k * (stable + fade) // 13 for k in range(80)}
    for images in sorted(counts):
        lod = official_lod(images, resolution, initial, stable, fade)
        whole = lod.numerator // lod.denominator
        found = growth.stage(resolution, images)
        assert found.resolution == resolution // 2**whole, images
        assert found.fade == pytest.approx(1 - float(lod - whole), abs=1e-12), images
        assert 0 < found.fade <= 1
        # Adam starts afresh wherever the official code's rounded levels change.
        assert (found.fade < 1) == (lod != whole)


def test_without_any_length_networks_are_grown_from_the_beginning() -> None:
    growth = GrowthConfig(initial_resolution=4, stable_kimg=0, fade_kimg=0)
    assert growth.stage(64, 0) == growth.stage(64, 10**9) == Stage(64)


def test_depth_and_phase() -> None:
    assert [Stage(4 * 2**k).depth for k in range(9)] == list(range(1, 10))
    assert Stage(8, 0.1).phase == Stage(8, 0.9).phase != Stage(8).phase != Stage(16, 0.1).phase


def test_published_widths() -> None:
    assert widths_by_depth(1024, 8192, 512) == [512, 512, 512, 512, 512, 256, 128, 64, 32, 16]
    assert widths_by_depth(4, 4, 64) == [4, 2]
    assert widths_by_depth(64, 4, 64)[-1] == 1


# ---- layers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [EqualizedLinear, EqualizedConv2d, UpConv2d, DownConv2d])
def test_weights_are_drawn_with_variance_one_and_scaled_when_used(layer: type) -> None:
    built = layer(64, 64)
    assert built.weight.std().item() == pytest.approx(1, rel=0.03)
    fan_in = built.weight[0].numel()
    assert built.scale == pytest.approx(sqrt(2 / fan_in))
    assert not built.bias.any()


def test_the_factor_on_the_learning_rate_changes_steps_but_not_the_function() -> None:
    x = drawn(5, 32)
    moved = []
    for lr_mul in (1.0, 0.01):
        torch.manual_seed(1)
        layer = EqualizedLinear(32, 16, lr_mul=lr_mul).double()
        before = layer(x)
        if lr_mul == 1:
            expected = before
        torch.testing.assert_close(before, expected, rtol=1e-6, atol=1e-6)  # weights were drawn in single precision
        adam = torch.optim.Adam(layer.parameters(), lr=1e-3, betas=(0.0, 0.99))
        before.square().sum().backward()
        adam.step()
        moved.append(layer(x) - before)
    torch.testing.assert_close(moved[1], moved[0] * 0.01, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("bias", [True, False])
def test_fused_layers_equal_their_two_operations(bias: bool) -> None:
    x = drawn(2, 3, 6, 4)
    for layer, plain in (
        (UpConv2d(3, 5, bias=bias), lambda x, w, b: F.conv2d(upsample(x), w, b, padding=1)),
        (DownConv2d(3, 5, bias=bias), lambda x, w, b: downsample(F.conv2d(x, w, b, padding=1))),
    ):
        layer.double()
        if layer.bias is not None:
            nn.init.normal_(layer.bias)
        given = x.clone().requires_grad_()
        fused, separate = layer(given), plain(given, layer.weight * layer.scale, layer.bias)
        torch.testing.assert_close(fused, separate)
        inputs = [given, *layer.parameters()]
        direction = torch.randn_like(fused)
        for one, other in zip(
            torch.autograd.grad(fused, inputs, direction), torch.autograd.grad(separate, inputs, direction), strict=True
        ):
            torch.testing.assert_close(one, other)


def test_gradients_of_gradients_of_all_layers() -> None:
    x = drawn(2, 2, 4, 4).requires_grad_()
    layers = [blur, pixel_norm, UpConv2d(2, 2).double(), DownConv2d(2, 2).double(), EqualizedConv2d(2, 2).double()]
    for layer in [*layers, lambda x: minibatch_stddev(x, 2)]:
        assert torch.autograd.gradcheck(layer, x)
        assert torch.autograd.gradgradcheck(layer, x)


def test_blur_filters_with_zeros_outside() -> None:
    x = drawn(2, 3, 5, 7)
    padded = F.pad(x, (1, 1, 1, 1))
    expected = torch.zeros_like(x)
    for (row, weight), (column, other) in itertools.product(enumerate((1, 2, 1)), enumerate((1, 2, 1))):
        expected += weight * other / 16 * padded[:, :, row : row + 5, column : column + 7]
    torch.testing.assert_close(blur(x), expected)


def test_pixel_norm_divides_by_the_root_mean_square() -> None:
    x = drawn(2, 8, 3, 3) * 7
    normed = pixel_norm(x)
    torch.testing.assert_close(normed.square().mean(dim=1), torch.ones(2, 3, 3, dtype=torch.float64))
    torch.testing.assert_close(normed * x.norm(dim=1, keepdim=True) / sqrt(8), x)
    assert not pixel_norm(torch.zeros(1, 4)).any()


@pytest.mark.parametrize(("n", "group", "used"), [(8, 4, 4), (4, 4, 4), (3, 4, 3), (6, 4, 3), (7, 4, 1), (1, 4, 1)])
def test_minibatch_stddev_equals_a_loop_over_groups(n: int, group: int, used: int) -> None:
    x = drawn(n, 3, 2, 2)
    found = minibatch_stddev(x, group)
    assert found.shape == (n, 4, 2, 2)
    assert torch.equal(found[:, :3], x)
    groups = n // used
    for first in range(groups):
        members = [first + groups * k for k in range(used)]
        deviations = [
            torch.sqrt(((x[members, c, i, j] - x[members, c, i, j].mean()) ** 2).mean() + 1e-8)
            for c, i, j in itertools.product(range(3), range(2), range(2))
        ]
        expected = torch.stack(deviations).mean().expand(used, 2, 2)
        torch.testing.assert_close(found[members, 3], expected)


def test_minibatch_stddev_is_counted_precisely_in_half_precision() -> None:
    x = (100 + torch.randn(4, 2, 2, 2)).bfloat16()
    expected = (x.float().var(dim=0, correction=0) + 1e-8).sqrt().mean().bfloat16()
    found = minibatch_stddev(x)[:, -1]
    assert found.dtype == torch.bfloat16
    assert (found == expected).all()


@pytest.mark.parametrize("down", [DownBlock, BlurredDownBlock])
@pytest.mark.parametrize("resolution", [4, 8, 32])
def test_every_layer_of_the_discriminator_keeps_the_scale_of_activations(
    resolution: int, down: type[DownBlock]
) -> None:
    critic = Discriminator(32, widths_by_depth(resolution, 1024, 64), 16, 4, down)
    gains: dict[str, float] = {}

    def measure(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            gains[name] = (output.square().mean() / inputs[0].square().mean()).sqrt().item()

        return hook

    for name, layer in critic.named_modules():
        if isinstance(layer, EqualizedLinear | EqualizedConv2d):
            layer.register_forward_hook(measure(name))
    # As smooth as images are.
    images = F.interpolate(torch.randn(32, 16, 4, 4), size=resolution, mode="bilinear")
    with torch.no_grad():
        critic(images, Stage(resolution))
    assert len(gains) == 4 + 2 * (Stage(resolution).depth - 1)  # fromRGB of one resolution only
    for name, gain in gains.items():
        if name.endswith("down"):
            # Averaging takes away what neighbours do not share.
            assert 0.6 < gain < sqrt(2), name
        elif name.endswith("output"):
            assert gain == pytest.approx(1, rel=0.3), name
        elif name.endswith("conv"):
            size = 3 * 4 * 2 ** int(name.split(".")[1])  # a kernel of 3 pixels reaches over the border at two places
            assert gain == pytest.approx(sqrt(2) * (size - 2) / size, rel=0.2), name
        else:
            assert gain == pytest.approx(sqrt(2), rel=0.2), name


# ---- penalties ---------------------------------------------------------------------------------------------


def critic_of(group: int) -> tuple[Discriminator, Stage]:
    stage = Stage(8, 0.7)
    return Discriminator(1, widths_by_depth(8, 16, 8), 2, group, BlurredDownBlock).double(), stage


def test_squared_gradient_norms_equal_a_loop_over_samples() -> None:
    critic, stage = critic_of(group=1)  # so that samples do not depend on each other
    images = drawn(3, 2, 8, 8)
    found = squared_gradient_norms(critic(given := images.clone().requires_grad_(), stage)[:, 0], given)
    for index in range(3):
        one = images[index : index + 1].clone().requires_grad_()
        critic(one, stage).sum().backward()
        assert one.grad is not None
        assert found[index].item() == pytest.approx(one.grad.square().sum().item(), rel=1e-9)


def test_r1_and_its_derivative_equal_finite_differences() -> None:
    critic, stage = critic_of(group=2)
    images, step = drawn(4, 2, 8, 8), 1e-5
    given = images.clone().requires_grad_()
    scores = critic(given, stage)[:, 0]
    (gradient,) = torch.autograd.grad(scores.sum(), given, retain_graph=True)
    penalty = squared_gradient_norms(scores, given).sum()
    with torch.no_grad():
        # Along the gradient, the slope of the sum of scores is the squared norm.
        up, down = (critic(images + sign * step * gradient, stage).sum() for sign in (1, -1))
        assert penalty.item() == pytest.approx(((up - down) / (2 * step)).item(), rel=1e-6)

    penalty.backward()
    weight = critic.blocks[1].down.weight
    assert weight.grad is not None
    nearby = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[0, 1, 2, 0] += sign * step
        given = images.clone().requires_grad_()
        nearby.append(squared_gradient_norms(critic(given, stage)[:, 0], given).sum().item())
        with torch.no_grad():
            weight[0, 1, 2, 0] -= sign * step
    assert weight.grad[0, 1, 2, 0].item() == pytest.approx((nearby[0] - nearby[1]) / (2 * step), rel=1e-6)


@pytest.mark.parametrize("target", [1.0, 4.0])
def test_gradient_penalty_equals_a_loop_over_samples(target: float) -> None:
    critic, stage = critic_of(group=1)
    real, fake = drawn(3, 2, 8, 8), drawn(3, 2, 8, 8)
    places = torch.tensor([0.0, 0.3, 0.9], dtype=torch.float64).view(3, 1, 1, 1)
    with mock.patch("torch.rand", return_value=places):
        found = gradient_penalty(lambda images: critic(images, stage)[:, 0], real, fake, target)
    expected = 0.0
    for index, place in enumerate((0.0, 0.3, 0.9)):
        between = (fake[index] * place + real[index] * (1 - place))[None].requires_grad_()
        (gradient,) = torch.autograd.grad(critic(between, stage).sum(), between)
        expected += (gradient.norm().item() - target) ** 2 / target**2 / 3
    assert found.item() == pytest.approx(expected, rel=1e-9)


# ---- fades and images --------------------------------------------------------------------------------------


@pytest.mark.parametrize("down", [DownBlock, BlurredDownBlock])
def test_fades_of_the_discriminator_begin_and_end_at_its_stages(down: type[DownBlock]) -> None:
    critic = Discriminator(2, widths_by_depth(16, 32, 16), 3, 4, down).double()
    image = drawn(4, 3, 16, 16)
    torch.testing.assert_close(critic(image, Stage(16, 0.0)), critic(downsample(image), Stage(8)))
    torch.testing.assert_close(critic(image, Stage(16, 1 - 1e-12)), critic(image, Stage(16)))
    middle = critic(image, Stage(16, 0.5))
    assert not torch.allclose(middle, critic(image, Stage(16)))
    assert not torch.allclose(middle, critic(image, Stage(16, 0.0)))


def test_reals_are_faded_by_the_official_formula() -> None:
    images = drawn(2, 3, 8, 8)
    for lod in (0.0, 0.25, 0.9):
        # process_reals: blocks of 2 x 2 pixels take their mean, and that is blended in by the fraction of the level
        blocks = images.reshape(2, 3, 4, 2, 4, 2).mean(dim=(3, 5), keepdim=True)
        blurred = blocks.expand(-1, -1, -1, 2, -1, 2).reshape(2, 3, 8, 8)
        expected = images + (blurred - images) * lod
        torch.testing.assert_close(fade_reals(images, Stage(8, 1 - lod)), expected)
    assert fade_reals(images, Stage(8)) is images


def test_small_images_are_shown_with_repeated_pixels() -> None:
    image = drawn(1, 1, 4, 4)
    shown = to_resolution(image, 16)
    assert shown.shape == (1, 1, 16, 16)
    assert all(torch.equal(shown[:, :, i::4, j::4], image) for i in range(4) for j in range(4))
    assert to_resolution(image, 4) is image
