"""GAN: two networks that play a minimax game; the first generative adversarial networks.

Goodfellow et al. 2014, "Generative Adversarial Networks" (arXiv 1406.2661): multilayer perceptrons for small images, in
two forms.

``networks: maxout`` are those of the paper's MNIST experiment, with the sizes of the authors' code
(goodfeli/adversarial, mnist.yaml). Where this file differs from it:

- D judges each fake once for its own loss and once for G's, with dropout masks of their own (there: one pass);
- G's last bias starts at 0 (there: where G shows the mean of the training images).

``networks: plain`` are those that everyone trains today (eriklindernoren/PyTorch-GAN, gan.py), in which G has batch
norm and D neither dropout nor maxout.

In both, G moves first and D then judges the same fakes, so that each moves against the other as it was before; and D's
loss is half of the sum in the paper.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import prod
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from gancli.architectures.base import Batch, LatentModel, Loss, Update
from gancli.nn.losses import make_objective
from gancli.schema import AidsConfig, ImageModelConfig, Width, Widths


class Generator(nn.Module):
    """z [N, Z] -> image [N, *shape] in [-1, 1]."""

    def __init__(self, latent_dim: int, widths: Widths, shape: tuple[int, ...], norm_eps: float = 1e-5) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Linear(latent_dim, widths[0]), nn.LeakyReLU(0.2, inplace=True)]
        for narrow, wide in pairwise(widths):
            layers += [nn.Linear(narrow, wide), nn.BatchNorm1d(wide, eps=norm_eps), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], prod(shape)), nn.Tanh(), nn.Unflatten(1, shape))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class Discriminator(nn.Module):
    """Image [N, *shape] -> logit [N] that it is real."""

    def __init__(self, widths: Widths, shape: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise((prod(shape), *widths)):
            layers += [nn.Linear(before, after), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image).flatten()


class PublishedGenerator(nn.Module):
    """z [N, Z] -> image [N, *shape] in [-1, 1]; rectifiers and a sigmoid, no norm, no dropout (section 5)."""

    def __init__(self, latent_dim: int, widths: Widths, shape: tuple[int, ...]) -> None:
        super().__init__()
        last = nn.Sequential(nn.Linear(widths[-1], prod(shape)), nn.Sigmoid(), nn.Unflatten(1, shape))
        self.layers = nn.Sequential(*rectified(latent_dim, *widths), *last)
        uniform_init(self, 0.05)

    def forward(self, z: Tensor) -> Tensor:
        return 2 * self.layers(z) - 1  # the paper's images are in [0, 1]


def rectified(*sizes: int) -> list[nn.Module]:
    """Returns a linear layer from each of some sizes to the next, each with a rectifier after it."""
    return [layer for sides in pairwise(sizes) for layer in (nn.Linear(*sides), nn.ReLU(inplace=True))]


class Maxout(nn.Module):
    """[N, F] -> [N, units]: the largest of ``pieces`` linear maps for each unit (Goodfellow et al. 2013)."""

    def __init__(self, features: int, units: int, pieces: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, units * pieces)
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).unflatten(1, (-1, self.pieces)).amax(dim=2)


class MaxoutDiscriminator(nn.Module):
    """Image [N, *shape] in [-1, 1] -> logit [N] that it is real; dropout of 0.2 of the pixels, 0.5 of the units."""

    def __init__(self, widths: Widths, shape: tuple[int, ...], pieces: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten(), nn.Dropout(0.2)]
        for before, after in pairwise((prod(shape), *widths)):
            layers += [Maxout(before, after, pieces), nn.Dropout(0.5)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))
        uniform_init(self, 0.005)

    def forward(self, image: Tensor) -> Tensor:
        return self.layers((image + 1) / 2).flatten()


def uniform_init(network: nn.Module, largest: float) -> None:
    """Draws the weights of linear layers from U(-largest, largest); biases become 0."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.uniform_(module.weight, -largest, largest)
            nn.init.zeros_(module.bias)


class GAN(LatentModel):
    """The game of the paper: min over G, max over D of E[log D(x)] + E[log(1 - D(G(z)))] (equation 1)."""

    title = "Goodfellow et al. 2014, Generative Adversarial Networks, arXiv 1406.2661"
    players = {"D": ("discriminator",), "G": ("generator",)}
    averaged = ("generator",)
    replays = True

    class Config(ImageModelConfig):
        resolution: int = Field(28, ge=4, le=256, description="height and width of an image in pixels")
        channels: Literal[1, 3] = Field(1, description="1 for grey, 3 for RGB")
        networks: Literal["plain", "maxout"] = Field("plain", description="as trained today, or as published in 2014")
        objective: Literal["vanilla", "saturating"] = Field(
            "vanilla", description="G maximises log D(G(z)) (vanilla) or minimises log(1 - D(G(z))) (saturating)"
        )
        latent_dim: Width = Field(100, description="Z, components of the latent vector")
        latent: Literal["normal", "uniform"] = Field("normal", description="distribution of z; both have variance 1")
        generator_widths: Widths = Field((128, 256, 512, 1024), description="units of G's hidden layers")
        discriminator_widths: Widths = Field((512, 256), description="units of D's hidden layers")
        pieces: int = Field(5, ge=2, le=1024, description="maxout: linear maps of which a unit takes the largest")
        norm_eps: float = Field(0.8, gt=0, description="plain: epsilon of G's batch norm; 0.8 in PyTorch-GAN")

    def __init__(self, config: Config, aids: AidsConfig | None = None) -> None:
        super().__init__(config, aids)
        self.objective = make_objective(config.objective, self.aids)
        self.latent_range = (-(3**0.5), 3**0.5) if config.latent == "uniform" else None
        shape = (config.channels, config.resolution, config.resolution)
        if config.networks == "plain":
            self.generator: nn.Module = Generator(config.latent_dim, config.generator_widths, shape, config.norm_eps)
            self.discriminator: nn.Module = Discriminator(config.discriminator_widths, shape)
        else:
            self.generator = PublishedGenerator(config.latent_dim, config.generator_widths, shape)
            self.discriminator = MaxoutDiscriminator(config.discriminator_widths, shape, config.pieces)

    def training_step(self, data: Iterator[Batch], update: Update) -> None:
        batch = next(data)
        update("G", self.g_loss, batch)
        update("D", self.d_loss, batch)  # on the same fakes

    def g_loss(self, batch: Batch) -> Loss:
        batch.stash["fake"] = fake = self.generator(self.latents(len(batch), device=batch.image.device))
        return Loss(self.objective.g(self.discriminator(fake)))

    def d_loss(self, batch: Batch) -> Loss:
        real_logits = self.discriminator(batch.image)
        (fake,) = self.replayed(batch.stash["fake"])
        fake_logits = self.discriminator(fake)
        return Loss(
            self.objective.d(real_logits, fake_logits) / 2,
            {"D(x)": real_logits.sigmoid().mean(), "D(G(z))": fake_logits.sigmoid().mean()},
        )

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.generator(z)
