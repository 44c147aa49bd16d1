"""The 2-D toy of the courses: a GAN of points in the plane, small enough to watch every sample and all of D.

The networks and the saturating loss are those of the usual course listing on Goodfellow et al. 2014
(arXiv 1406.2661). Every objective of ``nn/losses.py`` and every penalty of the papers in this package can take their
place, so that they can be compared where the answer is known: on a ring or a grid of Gaussians, as in Gulrajani et al.
2017 (arXiv 1704.00028, section 4) and in Mao et al. 2016 (arXiv 1611.04076, section 4).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from gancli.architectures.base import Batch, LatentModel, Loss, Update
from gancli.architectures.gan import rectified
from gancli.architectures.wgan import clip_weights
from gancli.domains import Domain, Inputs
from gancli.nn.losses import ObjectiveName, gradient_penalty, make_objective, squared_gradient_norms
from gancli.schema import AidsConfig, Depth, ModelConfig, Turns, Width


class GANToy(LatentModel):
    """G maps z [N, Z] to points [N, 2], D maps points to scores [N, 1]; any objective, any penalty."""

    title = "Goodfellow et al. 2014, Generative Adversarial Networks, arXiv 1406.2661, in two dimensions"
    players = {"D": ("discriminator",), "G": ("generator",)}
    averaged = ("generator",)
    replays = True
    second_order = ("discriminator",)

    class Config(ModelConfig):
        latent_dim: Width = Field(8, description="Z, components of the latent vector")
        width: Width = Field(100, description="units of each hidden layer")
        depth: Depth = Field(1, ge=1, description="hidden layers of each network")
        objective: ObjectiveName = Field("saturating", description="adversarial loss")
        penalty: Literal["none", "clip", "gradient", "r1", "r1r2"] = Field(
            "none",
            description="clip: WGAN's clipped weights; gradient: WGAN-GP's; r1, r1r2: slope at reals, and at fakes",
        )
        penalty_weight: float = Field(0.1, gt=0, description="lambda of gradient, half of gamma of r1 and r1r2")
        clip: float = Field(0.01, gt=0, description="clip: the largest weight of D")
        critic_steps: Turns = Field(1, description="steps of D for each step of G")

    def __init__(self, config: Config, aids: AidsConfig | None = None) -> None:
        super().__init__(config, aids)
        self.objective = make_objective(config.objective, self.aids)
        hidden = (config.width,) * config.depth
        self.generator = nn.Sequential(*rectified(config.latent_dim, *hidden), nn.Linear(config.width, 2))
        self.discriminator = nn.Sequential(*rectified(2, *hidden), nn.Linear(config.width, 1))

    @classmethod
    def inputs(cls, config: Config) -> Inputs:
        return Inputs({"points": Domain((2,), "points")})

    @property
    def draws(self) -> int:
        return self.config.critic_steps

    def training_step(self, data: Iterator[Batch], update: Update) -> None:
        for _ in range(self.config.critic_steps):
            batch = next(data)
            update("D", self.d_loss, batch)
            if self.config.penalty == "clip":
                clip_weights(self.discriminator, self.config.clip)
        update("G", self.g_loss, batch)

    def d_loss(self, batch: Batch) -> Loss:
        sloped = self.config.penalty in ("r1", "r1r2")
        real = batch.images["points"].detach().requires_grad_(sloped)
        fake = self.replayed(self.generator(self.latents(len(batch), device=real.device)))[0].requires_grad_(sloped)
        real_scores, fake_scores = self.discriminator(real), self.discriminator(fake)
        total = self.objective.d(real_scores, fake_scores)
        parts = {"D(x)": real_scores.mean(), "D(G(z))": fake_scores.mean()}
        match self.config.penalty:
            case "gradient":
                parts["penalty"] = gradient_penalty(self.discriminator, real, fake)
            case "r1":
                parts["penalty"] = squared_gradient_norms(real_scores, real).mean()
            case "r1r2":
                squared = (squared_gradient_norms(real_scores, real), squared_gradient_norms(fake_scores, fake))
                parts["penalty"] = squared[0].mean() + squared[1].mean()
        if "penalty" in parts:
            total = total + self.config.penalty_weight * parts["penalty"]
        return Loss(total, parts)

    def g_loss(self, batch: Batch) -> Loss:
        real = batch.images["points"]
        fake_scores = self.discriminator(self.generator(self.latents(len(batch), device=real.device)))
        real_scores = self.discriminator(real) if self.config.objective == "relativistic" else None
        return Loss(self.objective.g(fake_scores, real_scores))

    def surface(self, points: Tensor) -> tuple[Tensor, tuple[float, float] | None]:
        scores = self.discriminator(points).flatten()
        match self.config.objective:
            case "vanilla" | "saturating" | "logistic":
                return scores.sigmoid(), (0, 1)
            case "lsgan":  # between its targets; the best D is p / (p + q) as well
                return scores, (0, 1)
            case "hinge":  # between its margins
                return scores, (-1, 1)
        return scores, None

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.generator(z)
