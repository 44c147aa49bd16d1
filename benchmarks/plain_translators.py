"""pix2pix, CycleGAN and U-GAT-IT light as their authors train them, in plain PyTorch: gancli is compared with them.

Networks, losses, order of play and optimizers are those of junyanz/pytorch-CycleGAN-and-pix2pix and
znxlwm/UGATIT-pytorch with their default options, including their redundant work. This file uses nothing from gancli.

Each function builds networks of the given width and plays a step at every ``next``, with a pair of images [N, 3, H, W]
of the domains A and B that is ready in memory.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import spectral_norm  # the older of torch's two, which the official code uses

Pairs = Iterable[tuple[Tensor, Tensor]]
Norm = Callable[[int], nn.Module]


# pix2pix and CycleGAN ------------------------------------------------------------------------------------------------


class Beside(nn.Module):
    """x -> x and F(x), concatenated."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.layers(x)], 1)


class Residual(nn.Module):
    """x -> x + F(x)."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def u_net(halvings: int, width: int) -> nn.Module:
    """Returns the generator of pix2pix, built from the bottleneck outwards."""

    def down(channels: int, wider: int) -> list[nn.Module]:
        return [nn.LeakyReLU(0.2, True), nn.Conv2d(channels, wider, 4, 2, 1, bias=False)]

    def up(channels: int, narrower: int) -> list[nn.Module]:
        deconvolution = nn.ConvTranspose2d(channels, narrower, 4, 2, 1, bias=False)
        return [nn.ReLU(True), deconvolution, nn.BatchNorm2d(narrower)]

    widest = 8 * width
    block = Beside(*down(widest, widest), *up(widest, widest))
    for _ in range(halvings - 5):
        way_down = [*down(widest, widest), nn.BatchNorm2d(widest)]
        block = Beside(*way_down, block, *up(2 * widest, widest), nn.Dropout(0.5))
    for outer, inner in ((4 * width, 8 * width), (2 * width, 4 * width), (width, 2 * width)):
        block = Beside(*down(outer, inner), nn.BatchNorm2d(inner), block, *up(2 * inner, outer))
    return nn.Sequential(
        nn.Conv2d(3, width, 4, 2, 1, bias=False),
        block,
        nn.ReLU(True),
        nn.ConvTranspose2d(2 * width, 3, 4, 2, 1),
        nn.Tanh(),
    )


def resnet(blocks: int, width: int) -> nn.Module:
    """Returns a generator of CycleGAN."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), nn.InstanceNorm2d(width), nn.ReLU(True)]
    for channels in (width, 2 * width):
        convolution = nn.Conv2d(channels, 2 * channels, 3, 2, 1)
        layers += [convolution, nn.InstanceNorm2d(2 * channels), nn.ReLU(True)]
    inner = 4 * width
    for _ in range(blocks):
        first = [nn.ReflectionPad2d(1), nn.Conv2d(inner, inner, 3), nn.InstanceNorm2d(inner), nn.ReLU(True)]
        second = [nn.ReflectionPad2d(1), nn.Conv2d(inner, inner, 3), nn.InstanceNorm2d(inner)]
        layers.append(Residual(*first, *second))
    for channels in (4 * width, 2 * width):
        deconvolution = nn.ConvTranspose2d(channels, channels // 2, 3, 2, 1, output_padding=1)
        layers += [deconvolution, nn.InstanceNorm2d(channels // 2), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())


def patch_gan(channels: int, width: int, norm: Norm) -> nn.Module:
    """Returns a discriminator that judges patches of 70 px."""
    bias = norm is nn.InstanceNorm2d
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    for stride, present in ((2, width), (2, 2 * width), (1, 4 * width)):
        convolution = nn.Conv2d(present, 2 * present, 4, stride, 1, bias=bias)
        layers += [convolution, norm(2 * present), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))


def initialised(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
    return network


class Adversarial:
    """A loss with labels that are all 1 or all 0."""

    def __init__(self, loss: nn.Module) -> None:
        self.loss = loss
        self.labels = {True: torch.tensor(1.0), False: torch.tensor(0.0)}

    def __call__(self, prediction: Tensor, real: bool) -> Tensor:
        return self.loss(prediction, self.labels[real].expand_as(prediction))


class Pool:
    """The last 50 generated images; half of the time, an old one is returned."""

    def __init__(self) -> None:
        self.kept: list[Tensor] = []

    def __call__(self, images: Tensor) -> Tensor:
        given = []
        for image in images.detach().split(1):
            if len(self.kept) < 50:
                self.kept.append(image)
                given.append(image)
            elif random.random() > 0.5:
                place = random.randrange(50)
                given.append(self.kept[place].clone())
                self.kept[place] = image
            else:
                given.append(image)
        return torch.cat(given)


def adam(*networks: nn.Module, lr: float = 2e-4, weight_decay: float = 0.0) -> torch.optim.Adam:
    parameters = itertools.chain.from_iterable(network.parameters() for network in networks)
    return torch.optim.Adam(parameters, lr=lr, betas=(0.5, 0.999), weight_decay=weight_decay)


def pix2pix(pairs: Pairs, width: int, halvings: int) -> Iterator[None]:
    generator = initialised(u_net(halvings, width))
    discriminator = initialised(patch_gan(6, width, nn.BatchNorm2d))
    adversarial, l1 = Adversarial(nn.BCEWithLogitsLoss()), nn.L1Loss()
    optimizer_g, optimizer_d = adam(generator), adam(discriminator)
    for a, b in pairs:
        fake = generator(a)

        discriminator.requires_grad_(True)
        optimizer_d.zero_grad()
        loss_fake = adversarial(discriminator(torch.cat([a, fake], 1).detach()), False)
        loss_real = adversarial(discriminator(torch.cat([a, b], 1)), True)
        ((loss_fake + loss_real) * 0.5).backward()
        optimizer_d.step()

        discriminator.requires_grad_(False)
        optimizer_g.zero_grad()
        loss = adversarial(discriminator(torch.cat([a, fake], 1)), True) + l1(fake, b) * 100
        loss.backward()
        optimizer_g.step()
        yield


def cyclegan(pairs: Pairs, width: int, blocks: int) -> Iterator[None]:
    generator_ab, generator_ba = (initialised(resnet(blocks, width)) for _ in "AB")
    discriminator_b, discriminator_a = (initialised(patch_gan(3, width, nn.InstanceNorm2d)) for _ in "BA")
    pool_a, pool_b = Pool(), Pool()
    adversarial, l1 = Adversarial(nn.MSELoss()), nn.L1Loss()
    optimizer_g = adam(generator_ab, generator_ba)
    optimizer_d = adam(discriminator_b, discriminator_a)
    for a, b in pairs:
        fake_b = generator_ab(a)
        cycled_a = generator_ba(fake_b)
        fake_a = generator_ba(b)
        cycled_b = generator_ab(fake_a)

        for discriminator in (discriminator_a, discriminator_b):
            discriminator.requires_grad_(False)
        optimizer_g.zero_grad()
        identity = l1(generator_ab(b), b) * 10 * 0.5 + l1(generator_ba(a), a) * 10 * 0.5
        fooling = adversarial(discriminator_b(fake_b), True) + adversarial(discriminator_a(fake_a), True)
        cycle = l1(cycled_a, a) * 10 + l1(cycled_b, b) * 10
        (fooling + cycle + identity).backward()
        optimizer_g.step()

        for discriminator in (discriminator_a, discriminator_b):
            discriminator.requires_grad_(True)
        optimizer_d.zero_grad()
        for discriminator, real, fake in (
            (discriminator_b, b, pool_b(fake_b)),
            (discriminator_a, a, pool_a(fake_a)),
        ):
            loss_real = adversarial(discriminator(real), True)
            loss_fake = adversarial(discriminator(fake), False)
            ((loss_real + loss_fake) * 0.5).backward()
        optimizer_d.step()
        yield


# U-GAT-IT light ------------------------------------------------------------------------------------------------------


def mixed_norm(x: Tensor, rho: Tensor) -> Tensor:
    """rho times the instance norm and 1 - rho times the layer norm, both with unbiased variances."""
    normed = []
    for dims in ([2, 3], [1, 2, 3]):
        mean, variance = x.mean(dims, keepdim=True), x.var(dims, keepdim=True)
        normed.append((x - mean) / torch.sqrt(variance + 1e-5))
    rho = rho.expand(len(x), -1, -1, -1)
    return rho * normed[0] + (1 - rho) * normed[1]


class AdaLIN(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.full((1, channels, 1, 1), 0.9))

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return mixed_norm(x, self.rho) * gamma[:, :, None, None] + beta[:, :, None, None]


class LIN(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        gamma, beta = (tensor.expand(len(x), -1, -1, -1) for tensor in (self.gamma, self.beta))
        return mixed_norm(x, self.rho) * gamma + beta


class AdaptiveResidual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pad1, self.conv1 = nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=False)
        self.norm1, self.relu = AdaLIN(channels), nn.ReLU(True)
        self.pad2, self.conv2 = nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=False)
        self.norm2 = AdaLIN(channels)

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        inner = self.relu(self.norm1(self.conv1(self.pad1(x)), gamma, beta))
        return self.norm2(self.conv2(self.pad2(inner)), gamma, beta) + x


class ClassActivation(nn.Module):
    """Features -> weighted features, logits, heat map."""

    def __init__(self, channels: int, activation: nn.Module, wrap: Callable[[nn.Module], nn.Module]) -> None:
        super().__init__()
        self.average = wrap(nn.Linear(channels, 1, bias=False))
        self.maximum = wrap(nn.Linear(channels, 1, bias=False))
        self.merge, self.activation = nn.Conv2d(2 * channels, channels, 1), activation

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, weighted = [], []
        for pool, linear in (
            (nn.functional.adaptive_avg_pool2d, self.average),
            (nn.functional.adaptive_max_pool2d, self.maximum),
        ):
            logits.append(linear(pool(x, 1).view(len(x), -1)))
            weighted.append(x * next(linear.parameters())[:, :, None, None])
        x = self.activation(self.merge(torch.cat(weighted, 1)))
        return x, torch.cat(logits, 1), x.sum(1, keepdim=True)


class LightGenerator(nn.Module):
    def __init__(self, width: int, blocks: int = 4) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7, bias=False)]
        layers += [nn.InstanceNorm2d(width), nn.ReLU(True)]
        for channels in (width, 2 * width):
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, 2 * channels, 3, 2, bias=False)]
            layers += [nn.InstanceNorm2d(2 * channels), nn.ReLU(True)]
        inner = 4 * width
        for _ in range(blocks):
            first = [nn.ReflectionPad2d(1), nn.Conv2d(inner, inner, 3, bias=False), nn.InstanceNorm2d(inner)]
            second = [nn.ReflectionPad2d(1), nn.Conv2d(inner, inner, 3, bias=False), nn.InstanceNorm2d(inner)]
            layers.append(Residual(*first, nn.ReLU(True), *second))
        self.encoder = nn.Sequential(*layers)
        self.attention = ClassActivation(inner, nn.ReLU(True), lambda module: module)
        self.style = nn.Sequential(
            nn.Linear(inner, inner, bias=False), nn.ReLU(True), nn.Linear(inner, inner, bias=False), nn.ReLU(True)
        )
        self.gamma, self.beta = nn.Linear(inner, inner, bias=False), nn.Linear(inner, inner, bias=False)
        self.blocks = nn.ModuleList([AdaptiveResidual(inner) for _ in range(blocks)])
        layers = []
        for channels in (4 * width, 2 * width):
            layers += [nn.Upsample(scale_factor=2), nn.ReflectionPad2d(1)]
            layers += [nn.Conv2d(channels, channels // 2, 3, bias=False), LIN(channels // 2), nn.ReLU(True)]
        self.decoder = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7, bias=False), nn.Tanh())

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, logits, heat_map = self.attention(self.encoder(image))
        style = self.style(nn.functional.adaptive_avg_pool2d(x, 1).view(len(x), -1))
        gamma, beta = self.gamma(style), self.beta(style)
        for block in self.blocks:
            x = block(x, gamma, beta)
        return self.decoder(x), logits, heat_map


class AttentiveDiscriminator(nn.Module):
    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        encoder: list[nn.Module] = []
        channels = 3
        for level in range(layers - 1):
            convolution = nn.Conv2d(channels, width * 2**level, 4, 2 if level < layers - 2 else 1)
            encoder += [nn.ReflectionPad2d(1), spectral_norm(convolution), nn.LeakyReLU(0.2, True)]
            channels = width * 2**level
        self.encoder = nn.Sequential(*encoder)
        self.attention = ClassActivation(channels, nn.LeakyReLU(0.2, True), spectral_norm)
        self.pad, self.judge = nn.ReflectionPad2d(1), spectral_norm(nn.Conv2d(channels, 1, 4, bias=False))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, logits, heat_map = self.attention(self.encoder(image))
        return self.judge(self.pad(x)), logits, heat_map


def clip_rho(module: nn.Module) -> None:
    if hasattr(module, "rho"):
        module.rho.data = module.rho.data.clamp(0, 1)


def ugatit_light(pairs: Pairs, width: int) -> Iterator[None]:
    generator_ab, generator_ba = LightGenerator(width), LightGenerator(width)
    judges_a, judges_b = (nn.ModuleList([AttentiveDiscriminator(width, layers) for layers in (7, 5)]) for _ in "AB")
    optimizer_g = adam(generator_ab, generator_ba, lr=1e-4, weight_decay=1e-4)
    optimizer_d = adam(judges_a, judges_b, lr=1e-4, weight_decay=1e-4)
    l1, squares, entropy = nn.L1Loss(), nn.MSELoss(), nn.BCEWithLogitsLoss()

    def against(loss: nn.Module, prediction: Tensor, label: Literal[0, 1]) -> Tensor:
        return loss(prediction, torch.ones_like(prediction) if label else torch.zeros_like(prediction))

    def judged(judges: Iterable[nn.Module], image: Tensor, label: Literal[0, 1]) -> Tensor:
        losses = []
        for judge in judges:
            patches, logits, _ = judge(image)
            losses += [against(squares, patches, label), against(squares, logits, label)]
        return torch.stack(losses).sum()

    for a, b in pairs:
        optimizer_d.zero_grad()
        fake_b, _, _ = generator_ab(a)
        fake_a, _, _ = generator_ba(b)
        loss_a = judged(judges_a, a, 1) + judged(judges_a, fake_a, 0)
        loss_b = judged(judges_b, b, 1) + judged(judges_b, fake_b, 0)
        loss_d = loss_a + loss_b
        loss_d.backward()  # the fakes are not detached, so gradients also reach the generators
        optimizer_d.step()

        optimizer_g.zero_grad()
        fake_b, logits_fake_b, _ = generator_ab(a)
        fake_a, logits_fake_a, _ = generator_ba(b)
        cycled_a, _, _ = generator_ba(fake_b)
        cycled_b, _, _ = generator_ab(fake_a)
        identity_a, logits_identity_a, _ = generator_ba(a)
        identity_b, logits_identity_b, _ = generator_ab(b)
        adversarial = judged(judges_a, fake_a, 1) + judged(judges_b, fake_b, 1)
        cycle = l1(cycled_a, a) + l1(cycled_b, b)
        identity = l1(identity_a, a) + l1(identity_b, b)
        cam = against(entropy, logits_fake_a, 1) + against(entropy, logits_identity_a, 0)
        cam = cam + against(entropy, logits_fake_b, 1) + against(entropy, logits_identity_b, 0)
        loss_g = adversarial + 10 * cycle + 10 * identity + 1000 * cam
        loss_g.backward()  # the discriminators are not frozen, so they get gradients too
        optimizer_g.step()
        generator_ab.apply(clip_rho)
        generator_ba.apply(clip_rho)
        loss_d.item(), loss_g.item()  # they are printed after every step
        yield
