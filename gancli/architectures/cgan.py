"""cGAN: both networks are told the class, so that G draws what is asked for.

Mirza & Osindero 2014, "Conditional Generative Adversarial Nets" (arXiv 1411.1784). The authors published no code, so
there are three forms of the networks:

- ``branches``, as everyone trains it (znxlwm/pytorch-MNIST-CelebA-cGAN-cDCGAN): a layer of its own for z, for the image
  and for the one-hot class, whose outputs are put side by side;
- ``maxout``, those of the paper (section 4.1), with maxout in D and dropout;
- ``embedding``, those of eriklindernoren/PyTorch-GAN (cgan.py): an embedding of the class beside z, and beside the
  pixels; there with ``objective: lsgan``, and G moves first, on the fakes that D then judges.

D judges reals with their classes; fakes have classes drawn uniformly. G then draws new latents and classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from gancli.architectures import gan
from gancli.architectures.base import Batch, LatentModel, Loss, Update
from gancli.architectures.gan import Maxout
from gancli.nn.losses import make_objective
from gancli.schema import AidsConfig, Classes, ImageModelConfig, Width


class Generator(nn.Module):
    """z [N, Z] and weights of classes y [N, K] -> image [N, *shape] in [-1, 1]; a branch of 256 units for either."""

    def __init__(self, latent_dim: int, classes: int, shape: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.z = nn.Sequential(nn.Linear(latent_dim, width), nn.BatchNorm1d(width), nn.ReLU(inplace=True))
        self.y = nn.Sequential(nn.Linear(classes, width), nn.BatchNorm1d(width), nn.ReLU(inplace=True))
        layers: list[nn.Module] = []
        for before, after in ((2 * width, 2 * width), (2 * width, 4 * width)):
            layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Linear(4 * width, prod(shape)), nn.Tanh(), nn.Unflatten(1, shape))
        normal_weights(self)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.layers(torch.cat([self.z(z), self.y(y)], dim=1))


class Discriminator(nn.Module):
    """Image [N, *shape] and weights of classes y [N, K] -> logit [N]; 1024 units for either, without norm."""

    def __init__(self, classes: int, shape: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), width), nn.LeakyReLU(0.2, inplace=True))
        self.y = nn.Sequential(nn.Linear(classes, width), nn.LeakyReLU(0.2, inplace=True))
        layers: list[nn.Module] = []
        for before, after in ((2 * width, width // 2), (width // 2, width // 4)):
            layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Linear(width // 4, 1))
        normal_weights(self)

    def forward(self, image: Tensor, y: Tensor) -> Tensor:
        return self.layers(torch.cat([self.image(image), self.y(y)], dim=1)).flatten()


def normal_weights(network: nn.Module) -> None:
    """Draws the weights of linear layers and convolutions from N(0, 0.02); biases become 0, norms stay at 1 and 0."""
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, 0.02)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # all have one


class PublishedGenerator(nn.Module):
    """z [N, Z] to 200 and y [N, K] to 1000 units, 1200 units for both -> image [N, *shape] in [-1, 1] (section 4.1)."""

    def __init__(self, latent_dim: int, classes: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.z = nn.Sequential(nn.Linear(latent_dim, 200), nn.ReLU(inplace=True), nn.Dropout(0.5))
        self.y = nn.Sequential(nn.Linear(classes, 1000), nn.ReLU(inplace=True), nn.Dropout(0.5))
        joint = (nn.Linear(1200, 1200), nn.ReLU(inplace=True), nn.Dropout(0.5))
        self.layers = nn.Sequential(*joint, nn.Linear(1200, prod(shape)), nn.Sigmoid(), nn.Unflatten(1, shape))

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return 2 * self.layers(torch.cat([self.z(z), self.y(y)], dim=1)) - 1  # the paper's images are in [0, 1]


class MaxoutDiscriminator(nn.Module):
    """Image and y to maxout layers of 240 x 5 and 50 x 5, 240 x 4 for both -> logit [N] (section 4.1)."""

    def __init__(self, classes: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Flatten(), Maxout(prod(shape), 240, 5), nn.Dropout(0.5))
        self.y = nn.Sequential(Maxout(classes, 50, 5), nn.Dropout(0.5))
        self.layers = nn.Sequential(Maxout(290, 240, 4), nn.Dropout(0.5), nn.Linear(240, 1))

    def forward(self, image: Tensor, y: Tensor) -> Tensor:
        return self.layers(torch.cat([self.image((image + 1) / 2), self.y(y)], dim=1)).flatten()


class EmbeddingGenerator(nn.Module):
    """The class embedding [N, K], then z [N, Z] -> GAN's plain generator."""

    def __init__(self, latent_dim: int, classes: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, classes)
        self.generator = gan.Generator(classes + latent_dim, (128, 256, 512, 1024), shape, norm_eps=0.8)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.generator(torch.cat([y @ self.embedding.weight, z], dim=1))


class EmbeddingDiscriminator(nn.Module):
    """The pixels of an image, then the class embedding [N, K] -> score [N]; dropout of 0.4 in two layers."""

    def __init__(self, classes: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, classes)
        layers: list[nn.Module] = [nn.Linear(prod(shape) + classes, 512), nn.LeakyReLU(0.2, inplace=True)]
        for _ in range(2):
            layers += [nn.Linear(512, 512), nn.Dropout(0.4), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Linear(512, 1))

    def forward(self, image: Tensor, y: Tensor) -> Tensor:
        return self.layers(torch.cat([image.flatten(1), y @ self.embedding.weight], dim=1)).flatten()


class ConditionalConfig(ImageModelConfig):
    """What all conditional GANs of this kind share."""

    resolution: int = Field(28, ge=4, le=256, description="height and width of an image in pixels")
    channels: Literal[1, 3] = Field(1, description="1 for grey, 3 for RGB")
    classes: Classes | None = Field(None, ge=1, description="number of classes; null: as many as the data have")
    objective: Literal["vanilla", "saturating", "lsgan"] = Field("vanilla", description="adversarial loss")
    latent_dim: Width = Field(100, description="Z, components of the latent vector")


class CGAN(LatentModel):
    """The game of cGAN: min over G, max over D of E[log D(x|y)] + E[log(1 - D(G(z|y)|y))] (equation 2)."""

    title = "Mirza & Osindero 2014, Conditional Generative Adversarial Nets, arXiv 1411.1784"
    players = {"D": ("discriminator",), "G": ("generator",)}
    averaged = ("generator",)
    replays = True

    class Config(ConditionalConfig):
        networks: Literal["branches", "maxout", "embedding"] = Field(
            "branches", description="as trained today, as published in 2014, or PyTorch-GAN's"
        )
        generator_width: Width = Field(256, description="branches: units of G's first layers")
        discriminator_width: int = Field(1024, ge=4, le=2**16, description="branches: units of D's first layers")

    def __init__(self, config: ConditionalConfig, aids: AidsConfig | None = None) -> None:
        super().__init__(config, aids)
        self.objective = make_objective(config.objective, self.aids)
        self.generator, self.discriminator = self.build()

    def build(self) -> tuple[nn.Module, nn.Module]:
        """Returns G and D, and says between which values their latents lie."""
        config, shape = self.config, (self.config.channels, self.config.resolution, self.config.resolution)
        self.latent_range = None if config.networks == "embedding" else (0.0, 1.0)
        match config.networks:
            case "branches":
                return (
                    Generator(config.latent_dim, self.classes, shape, config.generator_width),
                    Discriminator(self.classes, shape, config.discriminator_width),
                )
            case "maxout":
                return (
                    PublishedGenerator(config.latent_dim, self.classes, shape),
                    MaxoutDiscriminator(self.classes, shape),
                )
            case _:
                return (
                    EmbeddingGenerator(config.latent_dim, self.classes, shape),
                    EmbeddingDiscriminator(self.classes, shape),
                )

    def training_step(self, data: Iterator[Batch], update: Update) -> None:
        batch = next(data)
        update("D", self.d_loss, batch)
        update("G", self.g_loss, batch)

    def draw_fakes(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns fakes of classes drawn uniformly, and these classes as weights [N, K]."""
        z = self.latents(len(batch), device=batch.image.device)
        y = F.one_hot(torch.randint(self.classes, (len(batch),), device=z.device), self.classes).to(z.dtype)
        return self.generator(z, y), y

    def d_loss(self, batch: Batch) -> Loss:
        real_logits = self.discriminator(batch.image, self.class_weights(batch.labels))
        fake_logits = self.discriminator(*self.replayed(*self.draw_fakes(batch)))
        return Loss(
            self.objective.d(real_logits, fake_logits),
            {"D(x)": real_logits.sigmoid().mean(), "D(G(z))": fake_logits.sigmoid().mean()},
        )

    def g_loss(self, batch: Batch) -> Loss:
        return Loss(self.objective.g(self.discriminator(*self.draw_fakes(batch))))

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.generator(z, self.class_weights(labels))
