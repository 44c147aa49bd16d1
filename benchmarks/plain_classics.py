"""The classics in plain PyTorch, as the usual scripts train them: gancli is compared with them.

Networks, losses and order of play are those of the scripts that are named below, with the sizes of gancli's ``-mnist``
presets, and with the redundant work of the scripts (for instance gradients of D's weights in G's step). Where the
official code is for TensorFlow, the loop is written without such work. This file uses nothing from gancli.

Each function plays a step at every ``next`` and yields its losses as numbers, as the scripts print them. ``data`` are
images [N, 1, R, R] in [-1, 1] and labels int64 [N] that are ready in memory; points [N, 2] for the toy.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Losses = Iterator[tuple[float, float]]


def shuffled(data: tuple[Tensor, Tensor], batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields whole batches of images and labels, endlessly, in a new order in every epoch."""
    images, labels = data
    while True:
        for chosen in torch.randperm(len(images)).split(batch):
            if len(chosen) == batch:
                yield images[chosen], labels[chosen]


def adam(network: nn.Module, lr: float = 2e-4, beta1: float = 0.5, beta2: float = 0.999) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=lr, betas=(beta1, beta2))


def leaky() -> nn.Module:
    return nn.LeakyReLU(0.2, inplace=True)


def gan_toy(data: tuple[Tensor, Tensor]) -> Losses:
    """The course listing: a hidden layer of 100 units, z of 8 numbers, ten points, the saturating loss."""
    generator = nn.Sequential(nn.Linear(8, 100), nn.ReLU(), nn.Linear(100, 2))
    discriminator = nn.Sequential(nn.Linear(2, 100), nn.ReLU(), nn.Linear(100, 1), nn.Sigmoid())
    optimizer_d, optimizer_g = adam(discriminator, 1e-3, 0.9), adam(generator, 1e-3, 0.9)
    for real, _ in shuffled(data, 10):
        fake = generator(torch.randn(10, 8))
        loss_d = -torch.mean(torch.log(discriminator(real)) + torch.log(1 - discriminator(fake.detach())))
        optimizer_d.zero_grad()
        loss_d.backward()
        optimizer_d.step()
        loss_g = torch.mean(torch.log(1 - discriminator(generator(torch.randn(10, 8)))))
        optimizer_g.zero_grad()
        loss_g.backward()
        optimizer_g.step()
        yield loss_d.item(), loss_g.item()


def gan(data: tuple[Tensor, Tensor]) -> Losses:
    """eriklindernoren/PyTorch-GAN, gan.py."""
    layers = [nn.Linear(100, 128), leaky()]
    for narrow, wide in pairwise((128, 256, 512, 1024)):
        layers += [nn.Linear(narrow, wide), nn.BatchNorm1d(wide, 0.8), leaky()]
    generator = nn.Sequential(*layers, nn.Linear(1024, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)))
    hidden = [nn.Linear(784, 512), leaky(), nn.Linear(512, 256), leaky()]
    discriminator = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(256, 1), nn.Sigmoid())
    criterion, optimizer_g, optimizer_d = nn.BCELoss(), adam(generator), adam(discriminator)
    for real, _ in shuffled(data, 64):
        ones, zeros = torch.ones(64, 1), torch.zeros(64, 1)
        optimizer_g.zero_grad()
        fake = generator(torch.randn(64, 100))
        loss_g = criterion(discriminator(fake), ones)
        loss_g.backward()
        optimizer_g.step()
        optimizer_d.zero_grad()
        loss_d = (criterion(discriminator(real), ones) + criterion(discriminator(fake.detach()), zeros)) / 2
        loss_d.backward()
        optimizer_d.step()
        yield loss_d.item(), loss_g.item()


class Conditional(nn.Module):
    """Layers for the first input, for the class, and for both outputs side by side."""

    def __init__(self, first: nn.Module, classes: nn.Module, both: nn.Module) -> None:
        super().__init__()
        self.first, self.classes, self.both = first, classes, both

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.both(torch.cat([self.first(x), self.classes(y)], 1))


def conditional(
    data: tuple[Tensor, Tensor],
    generator: nn.Module,
    discriminator: nn.Module,
    draw: Callable[[], Tensor],
    for_g: Tensor,
    for_d: Tensor,
) -> Losses:
    """The loop of znxlwm/pytorch-MNIST-CelebA-cGAN-cDCGAN; row k of ``for_g`` and ``for_d`` is what they see of k."""
    for network in (generator, discriminator):
        for module in network.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(module.weight, 0.0, 0.02)
                nn.init.zeros_(module.bias)
    criterion, optimizer_g, optimizer_d = nn.BCELoss(), adam(generator), adam(discriminator)
    ones, zeros = torch.ones(128), torch.zeros(128)
    for real, labels in shuffled(data, 128):
        discriminator.zero_grad()
        loss_real = criterion(discriminator(real, for_d[labels]).flatten(), ones)
        drawn = torch.randint(10, (128,))
        fake = generator(draw(), for_g[drawn])
        loss_d = loss_real + criterion(discriminator(fake, for_d[drawn]).flatten(), zeros)
        loss_d.backward()
        optimizer_d.step()
        generator.zero_grad()
        drawn = torch.randint(10, (128,))
        fake = generator(draw(), for_g[drawn])
        loss_g = criterion(discriminator(fake, for_d[drawn]).flatten(), ones)
        loss_g.backward()
        optimizer_g.step()
        yield loss_d.item(), loss_g.item()


def cgan(data: tuple[Tensor, Tensor]) -> Losses:
    """znxlwm, pytorch_MNIST_cGAN.py."""

    def layer(before: int, after: int, activation: nn.Module, norm: bool = True) -> list[nn.Module]:
        return [nn.Linear(before, after), *([nn.BatchNorm1d(after)] if norm else []), activation]

    generator = Conditional(
        nn.Sequential(*layer(100, 256, nn.ReLU())),
        nn.Sequential(*layer(10, 256, nn.ReLU())),
        nn.Sequential(
            *layer(512, 512, nn.ReLU()),
            *layer(512, 1024, nn.ReLU()),
            *layer(1024, 784, nn.Tanh(), norm=False),
        ),
    )
    discriminator = Conditional(
        nn.Sequential(*layer(784, 1024, nn.LeakyReLU(0.2), norm=False)),
        nn.Sequential(*layer(10, 1024, nn.LeakyReLU(0.2), norm=False)),
        nn.Sequential(
            *layer(2048, 512, nn.LeakyReLU(0.2)),
            *layer(512, 256, nn.LeakyReLU(0.2)),
            *layer(256, 1, nn.Sigmoid(), norm=False),
        ),
    )
    flat = (data[0].flatten(1), data[1])
    return conditional(flat, generator, discriminator, lambda: torch.rand(128, 100), torch.eye(10), torch.eye(10))


def cdcgan(data: tuple[Tensor, Tensor]) -> Losses:
    """znxlwm, pytorch_MNIST_cDCGAN.py."""

    def up(before: int, after: int, stride: int = 2) -> list[nn.Module]:
        return [nn.ConvTranspose2d(before, after, 4, stride, stride - 1), nn.BatchNorm2d(after), nn.ReLU()]

    def down(before: int, after: int) -> list[nn.Module]:
        return [nn.Conv2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]

    last = [nn.ConvTranspose2d(128, 1, 4, 2, 1), nn.Tanh()]
    generator = Conditional(
        nn.Sequential(*up(100, 256, 1)),
        nn.Sequential(*up(10, 256, 1)),
        nn.Sequential(*up(512, 256), *up(256, 128), *last),
    )
    first, classes = (nn.Sequential(nn.Conv2d(planes, 64, 4, 2, 1), nn.LeakyReLU(0.2)) for planes in (1, 10))
    judgement = [nn.Conv2d(512, 1, 4, 1, 0), nn.Sigmoid()]
    discriminator = Conditional(first, classes, nn.Sequential(*down(128, 256), *down(256, 512), *judgement))
    onehot = torch.eye(10)[:, :, None, None]
    fill = onehot.expand(10, 10, 32, 32).contiguous()
    return conditional(data, generator, discriminator, lambda: torch.randn(128, 100, 1, 1), onehot, fill)


def lsgan(data: tuple[Tensor, Tensor]) -> Losses:
    """The networks of xudonmao/LSGAN; both players judge the same fakes."""

    def up(before: int, after: int, stride: int) -> list[nn.Module]:
        layer = nn.ConvTranspose2d(before, after, 3, stride, 1, output_padding=stride - 1)
        return [layer, nn.BatchNorm2d(after), nn.ReLU(True)]

    generator = nn.Sequential(
        nn.Linear(128, 64 * 2 * 2),
        nn.Unflatten(1, (64, 2, 2)),
        nn.BatchNorm2d(64),
        nn.ReLU(True),
        *up(64, 64, 2),
        *up(64, 64, 1),
        *up(64, 64, 2),
        *up(64, 64, 1),
        *up(64, 32, 2),
        *up(32, 16, 2),
        nn.ConvTranspose2d(16, 1, 3, 1, 1),
        nn.Tanh(),
    )
    layers = [nn.Conv2d(1, 16, 5, 2, 2), leaky()]
    for narrow, wide in pairwise((16, 32, 64, 128)):
        layers += [nn.Conv2d(narrow, wide, 5, 2, 2), nn.BatchNorm2d(wide), leaky()]
    discriminator = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 2 * 2, 1))
    criterion, optimizer_g, optimizer_d = nn.MSELoss(), adam(generator), adam(discriminator)
    for real, _ in shuffled(data, 64):
        ones, zeros = torch.ones(64, 1), torch.zeros(64, 1)
        optimizer_d.zero_grad()
        fake = generator(torch.rand(64, 128) * 2 - 1)
        loss_d = (criterion(discriminator(real), ones) + criterion(discriminator(fake.detach()), zeros)) / 2
        loss_d.backward()
        optimizer_d.step()
        optimizer_g.zero_grad()
        loss_g = criterion(discriminator(fake), ones) / 2
        loss_g.backward()
        optimizer_g.step()
        yield loss_d.item(), loss_g.item()


def wgan(data: tuple[Tensor, Tensor]) -> Losses:
    """martinarjovsky/WassersteinGAN, main.py, after the critic's first long turns."""
    layers = [nn.ConvTranspose2d(100, 128, 4, 1, 0, bias=False), nn.BatchNorm2d(128), nn.ReLU(True)]
    for wide, narrow in pairwise((128, 64, 32)):
        layers += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU(True)]
    generator = nn.Sequential(*layers, nn.ConvTranspose2d(32, 1, 4, 2, 1, bias=False), nn.Tanh())
    layers = [nn.Conv2d(1, 32, 4, 2, 1, bias=False), leaky()]
    for narrow, wide in pairwise((32, 64, 128)):
        layers += [nn.Conv2d(narrow, wide, 4, 2, 1, bias=False), nn.BatchNorm2d(wide), leaky()]
    critic = nn.Sequential(*layers, nn.Conv2d(128, 1, 4, 1, 0, bias=False))
    optimizer_d = torch.optim.RMSprop(critic.parameters(), lr=5e-5)
    optimizer_g = torch.optim.RMSprop(generator.parameters(), lr=5e-5)
    batches = shuffled(data, 64)
    while True:
        critic.requires_grad_(True)
        for _ in range(5):
            for weight in critic.parameters():
                weight.data.clamp_(-0.01, 0.01)
            real, _ = next(batches)
            critic.zero_grad()
            score_real = critic(real).mean()
            score_real.backward()
            with torch.no_grad():
                fake = generator(torch.randn(64, 100, 1, 1))
            score_fake = critic(fake).mean()
            (-score_fake).backward()
            optimizer_d.step()
        critic.requires_grad_(False)
        generator.zero_grad()
        loss_g = critic(generator(torch.randn(64, 100, 1, 1))).mean()
        loss_g.backward()
        optimizer_g.step()
        yield (score_real - score_fake).item(), loss_g.item()


def wgan_gp(data: tuple[Tensor, Tensor]) -> Losses:
    """The networks of igul222/improved_wgan_training, gan_mnist.py, in a loop like that of caogang/wgan-gp."""

    def up(before: int, after: int) -> nn.Module:
        return nn.ConvTranspose2d(before, after, 5, 2, 2, output_padding=1)

    first = [nn.Linear(128, 128 * 4 * 4), nn.ReLU(True), nn.Unflatten(1, (128, 4, 4))]
    generator = nn.Sequential(*first, up(128, 64), nn.ReLU(True), up(64, 32), nn.ReLU(True), up(32, 1), nn.Tanh())
    layers: list[nn.Module] = []
    for narrow, wide in pairwise((1, 32, 64, 128)):
        layers += [nn.Conv2d(narrow, wide, 5, 2, 2), leaky()]
    critic = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 4 * 4, 1))
    optimizer_d, optimizer_g = adam(critic, 1e-4, 0.5, 0.9), adam(generator, 1e-4, 0.5, 0.9)
    batches = shuffled(data, 50)
    while True:
        critic.requires_grad_(True)
        for _ in range(5):
            real, _ = next(batches)
            critic.zero_grad()
            with torch.no_grad():
                fake = generator(torch.randn(50, 128))
            share = torch.rand(50, 1, 1, 1)
            between = (share * real + (1 - share) * fake).requires_grad_()
            scores = critic(between)
            (slopes,) = torch.autograd.grad(scores, between, torch.ones_like(scores), create_graph=True)
            penalty = 10 * ((slopes.flatten(1).norm(2, dim=1) - 1) ** 2).mean()
            loss_d = critic(fake).mean() - critic(real).mean() + penalty
            loss_d.backward()
            optimizer_d.step()
        critic.requires_grad_(False)
        generator.zero_grad()
        loss_g = -critic(generator(torch.randn(50, 128))).mean()
        loss_g.backward()
        optimizer_g.step()
        yield loss_d.item(), loss_g.item()


class Residual(nn.Module):
    """x + F(x), with R3GAN's biases as parameters of their own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        wide = 2 * width
        self.first = nn.Conv2d(width, wide, 1, bias=False)
        self.second = nn.Conv2d(wide, wide, 3, padding=1, groups=wide // 16, bias=False)
        self.third = nn.Conv2d(wide, width, 1, bias=False)
        self.bias1, self.bias2 = (nn.Parameter(torch.zeros(1, wide, 1, 1)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.first(x) + self.bias1, 0.2)
        return x + self.third(F.leaky_relu(self.second(y) + self.bias2, 0.2))


class Resampled(nn.Module):
    """Twice or half of the size, each channel by itself with the filter [1, 3, 3, 1]."""

    def __init__(self, up: bool) -> None:
        super().__init__()
        filter = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("kernel", (filter[:, None] * filter)[None, None] * (4 if up else 1))
        self.resample = F.conv_transpose2d if up else F.conv2d

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        y = self.resample(x.reshape(n * channels, 1, height, width), self.kernel, stride=2, padding=1)
        return y.view(n, channels, y.shape[2], y.shape[3])


class Basis(nn.Module):
    """z [N, Z] -> [N, C, 4, 4]."""

    def __init__(self, latent_dim: int, channels: int) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.randn(channels, 4, 4))
        self.linear = nn.Linear(latent_dim, channels, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        return self.basis * self.linear(z)[:, :, None, None]


def r3gan(data: tuple[Tensor, Tensor]) -> Losses:
    """brownvc/R3GAN with the operators that run without CUDA, without augmentation, and with the average of G."""
    widths = (64, 64, 32, 16)
    up: list[nn.Module] = [Basis(64, 64), Residual(64)]
    down: list[nn.Module] = []
    for before, after in pairwise(widths):
        change = before != after
        up += [*([nn.Conv2d(before, after, 1, bias=False)] if change else []), Resampled(True), Residual(after)]
        back = [nn.Conv2d(after, before, 1, bias=False)] if change else []
        down = [Residual(after), Resampled(False), *back, *down]
    generator = nn.Sequential(*up, nn.Conv2d(16, 1, 1, bias=False))
    basis = nn.Conv2d(64, 64, 4, groups=64, bias=False)
    judgement = [Residual(64), basis, nn.Flatten(), nn.Linear(64, 1, bias=False)]
    discriminator = nn.Sequential(nn.Conv2d(1, 16, 1, bias=False), *down, *judgement)
    average = copy.deepcopy(generator).requires_grad_(False)
    optimizer_d, optimizer_g = adam(discriminator, 2e-4, 0.0, 0.9), adam(generator, 2e-4, 0.0, 0.9)
    batches = shuffled(data, 64)

    def slope(scores: Tensor, images: Tensor) -> Tensor:
        (slopes,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
        return slopes.square().sum([1, 2, 3])

    for step in itertools.count():
        gamma = 0.1 + 0.45 * (1 + math.cos(math.pi * min(1.0, step * 128 / 600_000)))
        optimizer_d.zero_grad()
        discriminator.requires_grad_(True)
        generator.requires_grad_(False)
        real = next(batches)[0].requires_grad_()
        fake = generator(torch.randn(64, 64)).requires_grad_()
        score_real, score_fake = discriminator(real).flatten(), discriminator(fake).flatten()
        penalty = gamma / 2 * (slope(score_real, real) + slope(score_fake, fake))
        loss_d = (F.softplus(score_fake - score_real) + penalty).mean()
        loss_d.backward()
        optimizer_d.step()
        optimizer_g.zero_grad()
        discriminator.requires_grad_(False)
        generator.requires_grad_(True)
        score_fake = discriminator(generator(torch.randn(64, 64))).flatten()
        loss_g = F.softplus(discriminator(next(batches)[0]).flatten() - score_fake).mean()
        loss_g.backward()
        optimizer_g.step()
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), generator.parameters(), strict=True):
                slow.copy_(fast.lerp(slow, 0.5 ** (128 / 5000)))
        yield loss_d.item(), loss_g.item()


LOOPS: dict[str, Callable[[tuple[Tensor, Tensor]], Losses]] = {
    "gan-toy": gan_toy,
    "gan-mnist": gan,
    "cgan-mnist": cgan,
    "cdcgan-mnist": cdcgan,
    "lsgan-mnist": lsgan,
    "wgan-mnist": wgan,
    "wgan-gp-mnist": wgan_gp,
    "r3gan-mnist": r3gan,
}
"""By gancli's preset of the same sizes."""
