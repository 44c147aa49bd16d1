"""CycleGAN: translation between two unpaired sets of images.

Zhu, Park, Isola & Efros 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks" (arXiv
1703.10593), with the sizes and the order of play of the authors' code, junyanz/pytorch-CycleGAN-and-pix2pix. PatchGAN
and U-Net are pix2pix's. The names here say what a network does:

    here                 paper    official code
    generator_ab         G        netG_A
    generator_ba         F        netG_B
    discriminator_a      D_X      netD_B
    discriminator_b      D_Y      netD_A

Where the code differs from the paper: the identity loss is always on (the paper has it for paintings only), and G
learns before D.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from gancli.architectures.base import Batch, Loss, TwoWayTranslator, Update, Way
from gancli.architectures.pix2pix import ImageToImageConfig
from gancli.domains import Inputs
from gancli.nn.init import normal_init
from gancli.nn.losses import ObjectiveName, make_objective
from gancli.nn.pool import ImagePool
from gancli.schema import AidsConfig


class CycleGAN(TwoWayTranslator):
    """The game of CycleGAN: two generators that undo each other, a discriminator for each domain."""

    title = (
        "Zhu, Park, Isola & Efros 2017, Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial "
        "Networks, arXiv 1703.10593"
    )
    players = {"D": ("discriminator_a", "discriminator_b"), "G": ("generator_ab", "generator_ba")}
    averaged = ("generator_ab", "generator_ba")
    private = ("pool_a", "pool_b")
    replays = "it has a pool of its own, whose size is model.pool_size"

    class Config(ImageToImageConfig):
        objective: ObjectiveName = Field("lsgan", description="adversarial loss")
        cycle_weight_a: float = Field(10.0, ge=0, description="lambda_A, weight of the cycle A -> B -> A")
        cycle_weight_b: float = Field(10.0, ge=0, description="lambda_B, weight of the cycle B -> A -> B")
        identity_weight: float = Field(
            0.5, ge=0, description="weight of the identity loss, as a factor on the domain's cycle weight"
        )
        pool_size: int = Field(50, ge=0, le=10**5, description="generated images of each domain that are kept for D")

        @model_validator(mode="after")
        def _identity_is_possible(self) -> CycleGAN.Config:
            if self.identity_weight and self.channels_of("A") != self.channels_of("B"):
                raise ValueError("the identity loss compares images of both domains: set identity_weight to 0")
            return self

    def __init__(self, config: Config, aids: AidsConfig | None = None) -> None:
        super().__init__(config, aids)
        self.objective = make_objective(config.objective, self.aids)
        self.generator_ab = config.build_generator("A", "B")
        self.generator_ba = config.build_generator("B", "A")
        self.discriminator_a = config.build_discriminator(config.channels_of("A"))
        self.discriminator_b = config.build_discriminator(config.channels_of("B"))
        normal_init(self)
        domains = config.inputs().domains
        self.pool_a = ImagePool(config.pool_size, domains["A"].shape)
        self.pool_b = ImagePool(config.pool_size, domains["B"].shape)

    @classmethod
    def inputs(cls, config: Config) -> Inputs:
        return config.inputs()

    def training_step(self, data: Iterator[Batch], update: Update) -> None:
        batch = next(data)
        update("G", self.g_loss, batch)
        update("D", self.d_loss, batch)

    def g_loss(self, batch: Batch) -> Loss:
        config = self.config
        a, b = batch.images["A"], batch.images["B"]
        fake_b, fake_a = self.generator_ab(a), self.generator_ba(b)
        batch.stash.update(fake_a=fake_a.detach(), fake_b=fake_b.detach())
        parts = {
            # Section 3.1, equation 1, with least squares instead of the logarithms (section 4)
            "adv_b": self.objective.g(self.discriminator_b(fake_b)),
            "adv_a": self.objective.g(self.discriminator_a(fake_a)),
            # Section 3.2, equation 2
            "cycle_a": config.cycle_weight_a * F.l1_loss(self.generator_ba(fake_b), a),
            "cycle_b": config.cycle_weight_b * F.l1_loss(self.generator_ab(fake_a), b),
        }
        if config.identity_weight:  # section 5.2: an image that is already in the target domain should not change
            weight_a = config.identity_weight * config.cycle_weight_a
            weight_b = config.identity_weight * config.cycle_weight_b
            parts["identity_a"] = weight_a * F.l1_loss(self.generator_ba(a), a)
            parts["identity_b"] = weight_b * F.l1_loss(self.generator_ab(b), b)
        return Loss(sum(parts.values(), start=a.new_zeros(())), parts)

    def d_loss(self, batch: Batch) -> Loss:
        parts = {
            "D_a": self._judge(self.discriminator_a, batch.images["A"], self.pool_a(batch.stash["fake_a"])),
            "D_b": self._judge(self.discriminator_b, batch.images["B"], self.pool_b(batch.stash["fake_b"])),
        }
        return Loss(parts["D_a"] + parts["D_b"], parts)

    def _judge(self, discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        # Halved, so that D learns at half the speed of G (section 7.1).
        return 0.5 * self.objective.d(discriminator(real), discriminator(fake))

    @property
    def multiple(self) -> int:
        return self.config.multiple

    def translate(
        self, image: Tensor, way: Way, *, labels: Tensor | None = None, style: Tensor | None = None
    ) -> Tensor:
        return self.get_submodule(self.generators[way])(image)
