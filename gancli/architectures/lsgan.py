"""LSGAN: least squares instead of cross-entropy, so that fakes on the right side of the border still get a gradient.

Mao et al. 2016, "Least Squares Generative Adversarial Networks" (arXiv 1611.04076), with the networks of the authors'
code (xudonmao/LSGAN, vgg.py; paper, figure 1). There the losses are sums over the batch of 64, divided by 2; here they
are means divided by 2 (equation 2). Adam makes no difference between the two, apart from its epsilon.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from pydantic import Field, field_validator
from torch import Tensor, nn

from gancli.architectures.base import Batch, LatentModel, Loss, Update
from gancli.nn.losses import LeastSquares
from gancli.nn.same import SameConv2d, SameConvTranspose2d
from gancli.schema import AdamConfig, AidsConfig, ImageModelConfig, Optimizers, Width

MOMENTUM = 1 - 0.9**2
"""The authors' G makes the same fakes for each player, and its averages take a tenth of the statistics each time."""


class Generator(nn.Module):
    """z [N, Z] -> image [N, C, R, R] in [-1, 1]; 3x3 transposed convolutions, two at each of the first two sizes."""

    def __init__(self, latent_dim: int, width: int, channels: int, resolution: int) -> None:
        super().__init__()
        side = resolution // 16
        layers: list[nn.Module] = [
            nn.Linear(latent_dim, 4 * width * side * side),  # the authors' order: rows, columns, channels
            nn.Unflatten(1, (side, side, 4 * width)),
            ChannelsFirst(),
            nn.BatchNorm2d(4 * width, momentum=MOMENTUM),
            nn.ReLU(inplace=True),
        ]
        widths = [4 * width, 4 * width, 4 * width, 4 * width, 4 * width, 2 * width, width]
        for (before, after), stride in zip(pairwise(widths), (2, 1, 2, 1, 2, 2), strict=True):
            norm = nn.BatchNorm2d(after, momentum=MOMENTUM)
            layers += [SameConvTranspose2d(before, after, 3, stride), norm, nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, SameConvTranspose2d(width, channels, 3), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class ChannelsFirst(nn.Module):
    """[N, H, W, C] -> [N, C, H, W]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2)


class Discriminator(nn.Module):
    """Image [N, C, R, R] -> score [N]; four 5x5 convolutions of stride 2, no norm after the first."""

    def __init__(self, width: int, channels: int, resolution: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [SameConv2d(channels, width, 5, 2), nn.LeakyReLU(0.2, inplace=True)]
        for narrow in (width, 2 * width, 4 * width):
            layers += [
                SameConv2d(narrow, 2 * narrow, 5, 2),
                nn.BatchNorm2d(2 * narrow),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.layers = nn.Sequential(*layers)
        self.score = nn.Linear(8 * width * (resolution // 16) ** 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.score(self.layers(image).permute(0, 2, 3, 1).flatten(1)).flatten()


class LSGAN(LatentModel):
    """The game of least squares: D wants b for reals and a for fakes, G wants c for its fakes (equation 2)."""

    title = "Mao et al. 2016, Least Squares Generative Adversarial Networks, arXiv 1611.04076"
    players = {"D": ("discriminator",), "G": ("generator",)}
    averaged = ("generator",)
    replays = True
    latent_range = (-1.0, 1.0)

    class Config(ImageModelConfig):
        resolution: int = Field(112, ge=16, le=256, description="height and width in pixels, a multiple of 16")
        latent_dim: Width = Field(1024, description="Z, components of the latent vector")
        width: Width = Field(64, description="channels before G's last layer and after D's first")
        a: float = Field(0.0, description="the score that D wants for fakes")
        b: float = Field(1.0, description="the score that D wants for reals")
        c: float = Field(1.0, description="the score that G wants for fakes")
        optimizers: Optimizers = Field(
            Optimizers(D=AdamConfig(lr=1e-3), G=AdamConfig(lr=1e-3)), description="optimizer of each player"
        )

        @field_validator("resolution")
        @classmethod
        def _multiple_of_16(cls, value: int) -> int:
            if value % 16:
                raise ValueError(f"must be a multiple of 16, such as {value // 16 * 16}")
            return value

    def __init__(self, config: Config, aids: AidsConfig | None = None) -> None:
        super().__init__(config, aids)
        self.objective = LeastSquares(self.aids, config.a, config.b, config.c)
        self.generator = Generator(config.latent_dim, config.width, config.channels, config.resolution)
        self.discriminator = Discriminator(config.width, config.channels, config.resolution)
        self.init()

    def init(self) -> None:
        """Draws all weights from N(0, 0.02), those of D's convolutions within two standard deviations."""
        for module in self.modules():
            if isinstance(module, SameConv2d):
                nn.init.trunc_normal_(module.weight, std=0.02, a=-0.04, b=0.04)
            elif isinstance(module, (nn.Linear, nn.ConvTranspose2d)):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def training_step(self, data: Iterator[Batch], update: Update) -> None:
        batch = next(data)
        update.forward("G", self.draw_fakes, batch)  # once: both players judge the same fakes
        update("D", self.d_loss, batch)
        update("G", self.g_loss, batch)

    def draw_fakes(self, batch: Batch) -> None:
        batch.stash["fake"] = self.generator(self.latents(len(batch), device=batch.image.device))

    def d_loss(self, batch: Batch) -> Loss:
        real_scores = self.discriminator(batch.image)
        (fake,) = self.replayed(batch.stash["fake"])
        fake_scores = self.discriminator(fake)
        return Loss(
            self.objective.d(real_scores, fake_scores) / 2,
            {"D(x)": real_scores.mean(), "D(G(z))": fake_scores.mean()},
        )

    def g_loss(self, batch: Batch) -> Loss:
        return Loss(self.objective.g(self.discriminator(batch.stash["fake"])) / 2)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.generator(z)
