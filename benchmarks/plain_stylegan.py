"""StyleGAN as rosinality/style-based-gan-pytorch trains it, in plain PyTorch: gancli is compared with it.

Networks, losses, order of play and optimizers are those in its README for faces (--mixing --loss r1), at one resolution
and without fading. Its networks also have unused layers for larger images, which are left out here. This file uses
nothing from gancli.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from copy import deepcopy
from math import log2, sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FUSED = 128
"""From this resolution up, upsampling and downsampling are fused with their convolutions."""


class Equalized:
    """A hook that scales a module's weight by He's constant at every call."""

    def __init__(self, module: nn.Module) -> None:
        weight = module.weight
        del module._parameters["weight"]
        module.register_parameter("weight_orig", nn.Parameter(weight.data))
        self.scale = sqrt(2 / weight[0].numel())
        module.register_forward_pre_hook(self)

    def __call__(self, module: nn.Module, inputs: Any) -> None:
        module.weight = module.weight_orig * self.scale


def equalized(module: nn.Module) -> nn.Module:
    module.weight.data.normal_()
    module.bias.data.zero_()
    Equalized(module)
    return module


def conv(inputs: int, outputs: int, kernel: int = 3, padding: int = 1) -> nn.Module:
    return equalized(nn.Conv2d(inputs, outputs, kernel, padding=padding))


class Fused(nn.Module):
    """A convolution that doubles or halves the image size; its kernel is averaged over four shifted copies."""

    def __init__(self, first: int, second: int, inputs: int, *, up: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(first, second, 3, 3))
        self.bias = nn.Parameter(torch.zeros(second if up else first))
        self.scale, self.up = sqrt(2 / (inputs * 9)), up

    def forward(self, x: Tensor) -> Tensor:
        weight = F.pad(self.weight * self.scale, [1, 1, 1, 1])
        weight = (weight[..., 1:, 1:] + weight[..., :-1, 1:] + weight[..., 1:, :-1] + weight[..., :-1, :-1]) / 4
        convolve = F.conv_transpose2d if self.up else F.conv2d
        return convolve(x, weight, self.bias, stride=2, padding=1)


class Filter(torch.autograd.Function):
    """A depthwise convolution that can be differentiated twice."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, flipped: Tensor) -> Tensor:
        ctx.save_for_backward(kernel, flipped)
        return F.conv2d(x, kernel, padding=1, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        kernel, flipped = ctx.saved_tensors
        return Filter.apply(gradients[0], flipped, kernel), None, None


class Blur(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0]) / 4
        kernel = torch.outer(line, line).repeat(channels, 1, 1, 1)
        self.register_buffer("kernel", kernel)
        self.register_buffer("flipped", kernel.flip(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return Filter.apply(x, self.kernel, self.flipped)


class PixelNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / torch.sqrt(torch.mean(x**2, dim=1, keepdim=True) + 1e-8)


class Noise(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight_orig = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.scale = sqrt(2 / channels)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return x + self.weight_orig * self.scale * noise


class AdaIN(nn.Module):
    def __init__(self, channels: int, style_dim: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels)
        self.style = equalized(nn.Linear(style_dim, 2 * channels))
        self.style.bias.data[:channels] = 1

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.style(style)[:, :, None, None].chunk(2, 1)
        return scale * self.norm(x) + shift


class StyledBlock(nn.Module):
    """Two layers at one resolution; the first of 4 px is a constant."""

    def __init__(self, inputs: int, outputs: int, size: int, style_dim: int) -> None:
        super().__init__()
        if size == 4:
            self.constant = nn.Parameter(torch.randn(1, outputs, 4, 4))
        elif size < FUSED:
            self.up = nn.Sequential(nn.Upsample(scale_factor=2), conv(inputs, outputs), Blur(outputs))
        else:
            self.up = nn.Sequential(Fused(inputs, outputs, inputs, up=True), Blur(outputs))
        self.noise1, self.adain1 = Noise(outputs), AdaIN(outputs, style_dim)
        self.conv = conv(outputs, outputs)
        self.noise2, self.adain2 = Noise(outputs), AdaIN(outputs, style_dim)
        self.activation = nn.LeakyReLU(0.2)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        x = self.up(x) if hasattr(self, "up") else self.constant.repeat(len(style), 1, 1, 1)
        x = self.adain1(self.activation(self.noise1(x, noise)), style)
        return self.adain2(self.activation(self.noise2(self.conv(x), noise)), style)


class Generator(nn.Module):
    def __init__(self, sizes: list[int], widths: list[int], code: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [PixelNorm()]
        for _ in range(8):
            layers += [equalized(nn.Linear(code, code)), nn.LeakyReLU(0.2)]
        self.mapping = nn.Sequential(*layers)
        before = [widths[0], *widths]
        self.blocks = nn.ModuleList(map(StyledBlock, before, widths, sizes, [code] * len(sizes)))
        self.to_rgb = conv(widths[-1], 3, 1, 0)
        self.sizes = sizes

    def forward(self, codes: list[Tensor]) -> Tensor:
        styles = [self.mapping(code) for code in codes]
        noise = [torch.randn(len(codes[0]), 1, size, size) for size in self.sizes]
        last = random.randrange(len(self.blocks) - 1) if len(styles) > 1 else len(self.blocks)
        x = noise[0]
        for index, block in enumerate(self.blocks):
            x = block(x, styles[int(index > last)], noise[index])
        return self.to_rgb(x)


class Down(nn.Module):
    """A block of the discriminator."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        if size < FUSED:
            down = [conv(outputs, outputs), nn.AvgPool2d(2)]
        else:
            down = [Fused(outputs, outputs, outputs, up=False)]
        first = [conv(inputs, outputs), nn.LeakyReLU(0.2), Blur(outputs)]
        self.layers = nn.Sequential(*first, *down, nn.LeakyReLU(0.2))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Discriminator(nn.Module):
    def __init__(self, sizes: list[int], widths: list[int]) -> None:
        super().__init__()
        downwards = [Down(widths[i], widths[i - 1], sizes[i]) for i in range(len(sizes) - 1, 0, -1)]
        self.down = nn.Sequential(conv(3, widths[-1], 1, 0), nn.LeakyReLU(0.2), *downwards)
        widest = widths[0]
        last = [conv(widest + 1, widest), nn.LeakyReLU(0.2), conv(widest, widest, 4, 0), nn.LeakyReLU(0.2)]
        self.last = nn.Sequential(*last, nn.Flatten(), equalized(nn.Linear(widest, 1)))

    def forward(self, image: Tensor) -> Tensor:
        x = self.down(image)
        deviation = torch.sqrt(x.var(0, unbiased=False) + 1e-8).mean()
        return self.last(torch.cat([x, deviation.expand(len(x), 1, 4, 4)], 1))


def thaw(network: nn.Module, flag: bool) -> None:
    for parameter in network.parameters():
        parameter.requires_grad = flag


def stylegan(batches: Iterable[Tensor], resolution: int, widest: int = 512) -> Iterator[None]:
    """Builds the networks and plays a step at every ``next``, with images [N, 3, R, R] that are ready in memory.

    Args:
        batches: the images.
        resolution: R.
        widest: channels up to 32 px, and components of latents and styles; the official value is 512.
    """
    sizes = [4 * 2**depth for depth in range(int(log2(resolution)) - 1)]
    widths = [min(widest, 32 * widest // size) for size in sizes]
    generator, discriminator = Generator(sizes, widths, widest), Discriminator(sizes, widths)
    average = deepcopy(generator)
    slow = {"params": generator.mapping.parameters(), "lr": 1e-5}
    fast = [*generator.blocks.parameters(), *generator.to_rgb.parameters()]
    optimizer_g = torch.optim.Adam([{"params": fast}, slow], lr=1e-3, betas=(0.0, 0.99))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.0, 0.99))
    thaw(generator, False)

    for step, real in enumerate(batches):
        discriminator.zero_grad()
        real.requires_grad = True
        scores = discriminator(real)
        loss_real = F.softplus(-scores).mean()
        loss_real.backward(retain_graph=True)
        (gradient,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
        penalty = 10 / 2 * (gradient.view(len(real), -1).norm(2, dim=1) ** 2).mean()
        penalty.backward()
        if random.random() < 0.9:
            first, second = ([torch.randn(len(real), widest), torch.randn(len(real), widest)] for _ in "DG")
        else:
            first, second = ([torch.randn(len(real), widest)] for _ in "DG")
        loss_fake = F.softplus(discriminator(generator(first))).mean()
        loss_fake.backward()
        optimizer_d.step()

        generator.zero_grad()
        thaw(generator, True)
        thaw(discriminator, False)
        loss_g = F.softplus(-discriminator(generator(second))).mean()
        loss_g.backward()
        optimizer_g.step()
        for old, new in zip(average.parameters(), generator.parameters(), strict=True):
            old.data.mul_(0.999).add_(new.data, alpha=0.001)
        thaw(generator, False)
        thaw(discriminator, True)
        if step % 10 == 0:
            (loss_real + loss_fake).item(), penalty.item(), loss_g.item()  # they are printed
        yield
