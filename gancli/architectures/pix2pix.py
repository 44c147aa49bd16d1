"""pix2pix: one image from another, learnt from pairs.

Isola, Zhu, Zhou & Efros 2017, "Image-to-Image Translation with Conditional Adversarial Networks" (arXiv 1611.07004),
with the sizes and the order of play of the authors' code, junyanz/pytorch-CycleGAN-and-pix2pix. x is the input image, y
the true output. Where the code differs from the paper:

- the learning rate falls linearly to 0 over the second half of the run (the paper keeps it, as its Lua code does);
- dropout begins one level behind the innermost one of the decoder (the paper has it in the innermost three);
- the bottleneck of the U-Net is not normalised, since with one image at a time a batch norm would make it 0 (the
  paper's errata say so, too).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from gancli.architectures.base import Batch, DataNeeds, Loss, Optim, Translator, Update
from gancli.nn.image_to_image import GeneratorName, ImageToImageConfig
from gancli.nn.init import normal_init
from gancli.nn.losses import OBJECTIVES, ObjectiveName
from gancli.nn.norm import NormName, noise_on
from gancli.schema import AdamConfig, AidsConfig, Flag, Section


class Pix2Pix(Translator):
    """The game of pix2pix: a conditional GAN with an L1 loss beside it (section 3.1)."""

    title = (
        "Isola, Zhu, Zhou & Efros 2017, Image-to-Image Translation with Conditional Adversarial Networks, "
        "arXiv 1611.07004"
    )
    needs = DataNeeds(domains=2, paired=True)
    averaged = ("generator",)
    discriminators = ("discriminator",)
    noisy = True

    class Config(ImageToImageConfig):
        class Optimizers(Section):
            D: AdamConfig = AdamConfig()
            G: AdamConfig = AdamConfig()

        direction: Literal["AtoB", "BtoA"] = Field("AtoB", description="from which domain to which")
        generator: GeneratorName = Field("unet", description="kind of generator")
        dropout: Flag = Field(True, description="drop half of the values in the middle of G: its noise")
        norm: NormName = Field("batch", description="normalisation in all networks")
        objective: ObjectiveName = Field("vanilla", description="adversarial loss: cross-entropy or least squares")
        l1_weight: float = Field(100.0, ge=0, description="lambda, weight of the L1 loss")
        optimizers: Optimizers = Field(Optimizers(), description="Adam of each player")

    def __init__(self, config: Config, aids: AidsConfig | None = None) -> None:
        super().__init__(config, aids)
        self.config = config
        self.source, self.target = ("A", "B") if config.direction == "AtoB" else ("B", "A")
        self.objective = OBJECTIVES[config.objective]
        self.generator = config.build_generator(self.source, self.target)
        self.discriminator = config.build_discriminator(config.channels_of("A") + config.channels_of("B"))
        normal_init(self)

    @classmethod
    def input_shapes(cls, config: Config) -> dict[str, tuple[int, int, int]]:
        return config.shapes()

    def optimizers(self) -> dict[str, Optim]:
        return {
            "D": Optim(("discriminator",), self.config.optimizers.D),
            "G": Optim(("generator",), self.config.optimizers.G),
        }

    def training_step(self, data: Iterator[Batch], update: Update) -> None:
        batch = next(data)
        update.forward("G", self.translate_inputs, batch)  # once: both players judge the same fakes
        update("D", self.d_loss, batch)
        update("G", self.g_loss, batch)

    def translate_inputs(self, batch: Batch) -> None:
        batch.stash["fake"] = self.generator(batch.images[self.source])

    def d_loss(self, batch: Batch) -> Loss:
        # D sees the input beside each output (section 3.1, equation 1).
        x, y = batch.images[self.source], batch.images[self.target]
        fake_logits = self.discriminator(torch.cat([x, batch.stash["fake"].detach()], 1))
        real_logits = self.discriminator(torch.cat([x, y], 1))
        # Halved, so that D learns at half the speed of G (section 3.3).
        return Loss(0.5 * self.objective.discriminator_loss(real_logits, fake_logits, self.aids))

    def g_loss(self, batch: Batch) -> Loss:
        x, y, fake = batch.images[self.source], batch.images[self.target], batch.stash["fake"]
        adversarial = self.objective.generator_loss(self.discriminator(torch.cat([x, fake], 1)))
        l1 = self.config.l1_weight * F.l1_loss(fake, y)  # equation 3
        return Loss(adversarial + l1, {"adv": adversarial, "L1": l1})  # equation 4

    @property
    def multiple(self) -> int:
        return self.config.multiple

    def targets(self) -> tuple[str, ...]:
        return (self.target,)

    def translate(self, image: Tensor, to: str) -> Tensor:
        # As in training, with dropout and with the statistics of the image itself (section 3.3).
        with noise_on(self.generator):
            return self.generator(image)

    def preview(self, batch: Batch) -> list[dict[str, Tensor]]:
        x, y = batch.images[self.source], batch.images[self.target]
        return [{"input": x, "translation": self._one_by_one(x), "truth": y}]

    def paired_loss(self, batch: Batch) -> dict[str, Tensor]:
        fake = self._one_by_one(batch.images[self.source])
        return {"test_L1": F.l1_loss(fake, batch.images[self.target])}

    def _one_by_one(self, x: Tensor) -> Tensor:
        return torch.cat([self.translate(image, self.target) for image in x.split(1)])
