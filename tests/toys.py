"""Tiny games for what the contract carries and no paper here needs yet: masks, attributes, styles, settled averages.

They are as small as check_architecture allows; each stands for the papers that its docstring names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from gancli.architectures.base import (
    Batch,
    LatentModel,
    Loss,
    StyledTranslator,
    Translator,
    Update,
    Way,
)
from gancli.architectures.gan_toy import GANToy
from gancli.domains import Domain, Inputs
from gancli.nn.losses import ObjectiveName, make_objective
from gancli.nn.norm import spectral_norm
from gancli.schema import (
    AidsConfig,
    ImageModelConfig,
    Optimizers,
    RMSpropConfig,
    SGDConfig,
)


class Toy2D(GANToy):
    """The 2-D toy of the courses as a WGAN: points, RMSprop and SGD, several critic steps, clipping."""

    class Config(GANToy.Config):
        latent_dim: int = 3
        width: int = 8
        objective: ObjectiveName = "wgan"
        penalty: Literal["clip"] = "clip"
        critic_steps: int = Field(5, ge=1)
        optimizers: Optimizers = Optimizers(D=RMSpropConfig(), G=SGDConfig(momentum=0.5))


class Spectral(LatentModel):
    """A generator with spectral norms whose average is sampled, conditional on as many classes as there are: BigGAN."""

    title = "none"
    players = {"D": ("discriminator",), "G": ("generator",)}
    averaged = ("generator",)

    class Config(ImageModelConfig):
        resolution: int = 4
        channels: int = 1
        classes: int | None = None

    def __init__(self, config: Config, aids: AidsConfig | None = None) -> None:
        super().__init__(config, aids)
        self.objective = make_objective("hinge", self.aids)
        self.generator = nn.Sequential(
            spectral_norm(nn.Linear(4 + self.classes, 16)), nn.ReLU(), spectral_norm(nn.Linear(16, 16)), nn.Tanh()
        )
        self.discriminator = nn.Sequential(nn.Flatten(), spectral_norm(nn.Linear(16, 1 + self.classes)))

    @classmethod
    def inputs(cls, config: Config) -> Inputs:
        return Inputs({"image": Domain((1, 4, 4))}, labels="class", classes=config.classes)

    def training_step(self, data: Iterator[Batch], update: Update) -> None:
        batch = next(data)
        update("D", self.d_loss, batch)
        update("G", self.g_loss, batch)

    def judge(self, images: Tensor, labels: Tensor | None) -> Tensor:
        outputs, weights = self.discriminator(images), self.class_weights(labels)
        return outputs[:, 0] if weights is None else outputs[:, 0] + (outputs[:, 1:] * weights).sum(1)

    def draw_fakes(self, batch: Batch) -> Tensor:
        return self.decode(torch.randn(len(batch), 4), batch.labels)

    def d_loss(self, batch: Batch) -> Loss:
        real, fake = self.judge(batch.image, batch.labels), self.judge(self.draw_fakes(batch), batch.labels)
        return Loss(self.objective.d(real, fake))

    def g_loss(self, batch: Batch) -> Loss:
        return Loss(self.objective.g(self.judge(self.draw_fakes(batch), batch.labels)))

    def latents(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, 4, generator=generator)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        weights = self.class_weights(labels)
        x = z if weights is None else torch.cat([z, weights], dim=1)
        return self.generator(x).unflatten(1, (1, 4, 4))


class Attributes(Translator):
    """One generator for all attributes, and a domain that leads to itself: StarGAN."""

    title = "none"
    players = {"D": ("discriminator",), "G": ("generator",)}
    averaged = ("generator",)
    multiple = 1

    class Config(ImageModelConfig):
        resolution: int = 4
        classes: int | None = None

    def __init__(self, config: Config, aids: AidsConfig | None = None) -> None:
        super().__init__(config, aids)
        self.objective = make_objective("wgan", self.aids)
        self.generator = nn.Conv2d(3 + config.classes, 3, 1)
        self.discriminator = nn.Conv2d(3, 1 + config.classes, 4)

    @classmethod
    def inputs(cls, config: Config) -> Inputs:
        size = config.resolution
        return Inputs({"image": Domain((3, size, size))}, labels="attributes", classes=config.classes)

    def ways(self) -> tuple[Way, ...]:
        return (Way("image", "image"),)

    def translate(
        self, image: Tensor, way: Way, *, labels: Tensor | None = None, style: Tensor | None = None
    ) -> Tensor:
        assert labels is not None
        wanted = labels[:, :, None, None].expand(-1, -1, *image.shape[2:])
        return self.generator(torch.cat([image, wanted], dim=1)).tanh()

    def training_step(self, data: Iterator[Batch], update: Update) -> None:
        batch = next(data)
        update("D", self.d_loss, batch)
        update("G", self.g_loss, batch)

    def _fake(self, batch: Batch) -> Tensor:
        return self.translate(batch.image, self.ways()[0], labels=batch.labels)

    def d_loss(self, batch: Batch) -> Loss:
        real, fake = self.discriminator(batch.image).flatten(1), self.discriminator(self._fake(batch)).flatten(1)
        wrong = F.binary_cross_entropy_with_logits(real[:, 1:], batch.labels)
        return Loss(self.objective.d(real[:, 0], fake[:, 0]) + wrong, {"D attributes": wrong})

    def g_loss(self, batch: Batch) -> Loss:
        fake = self.discriminator(self._fake(batch)).flatten(1)
        return Loss(self.objective.g(fake[:, 0]) + F.binary_cross_entropy_with_logits(fake[:, 1:], batch.labels))

    def preview(self, watched: Batch) -> list[Mapping[str, Tensor]]:
        return [{"input": watched.image, "translation": self._fake(watched)}]


class Layouts(StyledTranslator):
    """From a label map to a photo in the style of another, or of a random one: SPADE; with K references: FUNIT."""

    title = "none"
    players = {"D": ("discriminator",), "G": ("generator", "encoder")}
    averaged = ("generator", "encoder")
    multiple = 1

    class Config(ImageModelConfig):
        resolution: int = 4
        label_classes: int = Field(3, ge=2)

    def __init__(self, config: Config, aids: AidsConfig | None = None) -> None:
        super().__init__(config, aids)
        self.objective = make_objective("hinge", self.aids)
        self.generator = nn.Conv2d(config.label_classes + 2, 3, 1)
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(3 * config.resolution**2, 2))
        self.discriminator = nn.Conv2d(3 + config.label_classes, 1, 1)

    @classmethod
    def inputs(cls, config: Config) -> Inputs:
        size = (config.resolution, config.resolution)
        return Inputs({"label": Domain(size, "mask"), "photo": Domain((3, *size))}, paired=True)

    def one_hot(self, ids: Tensor) -> Tensor:
        return F.one_hot(ids, self.config.label_classes).permute(0, 3, 1, 2).float()

    def ways(self) -> tuple[Way, ...]:
        return (Way("label", "photo"),)

    def translate(
        self, image: Tensor, way: Way, *, labels: Tensor | None = None, style: Tensor | None = None
    ) -> Tensor:
        x = self.one_hot(image)
        style = x.new_zeros(len(x), 2) if style is None else style
        return self.generator(torch.cat([x, style[:, :, None, None].expand(-1, -1, *x.shape[2:])], dim=1)).tanh()

    def draw_styles(self, n: int, way: Way, generator: torch.Generator) -> Tensor:
        return torch.randn(n, 2, generator=generator)

    def read_style(self, images: Tensor, way: Way) -> Tensor:
        return self.encoder(images).mean(dim=0)

    def training_step(self, data: Iterator[Batch], update: Update) -> None:
        batch = next(data)
        update("G", self.g_loss, batch)
        update("D", self.d_loss, batch)

    def _score(self, photo: Tensor, ids: Tensor) -> Tensor:
        return self.discriminator(torch.cat([photo, self.one_hot(ids)], dim=1))

    def g_loss(self, batch: Batch) -> Loss:
        ids, photo = batch.images["label"], batch.images["photo"]
        fake = batch.stash["fake"] = self.translate(ids, self.ways()[0], style=self.encoder(photo))
        return Loss(self.objective.g(self._score(fake, ids)))

    def d_loss(self, batch: Batch) -> Loss:
        ids, photo = batch.images["label"], batch.images["photo"]
        return Loss(self.objective.d(self._score(photo, ids), self._score(batch.stash["fake"].detach(), ids)))

    def preview(self, watched: Batch) -> list[Mapping[str, Tensor]]:
        ids, photo = watched.images["label"], watched.images["photo"]
        way = self.ways()[0]
        drawn = self.draw_styles(len(watched), way, torch.Generator().manual_seed(0)).to(ids.device)
        return [
            {
                "input": ids,
                "its style": self.translate(ids, way, style=self.encoder(photo)),
                "a style": self.translate(ids, way, style=drawn),
                "truth": photo,
            }
        ]

    def paired_loss(self, batch: Batch) -> dict[str, Tensor]:
        fake = self.translate(batch.images["label"], self.ways()[0])
        return {"test_L1": F.l1_loss(fake, batch.images["photo"])}
