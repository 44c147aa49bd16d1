"""U-GAT-IT: unpaired translation with attention to what tells two domains apart.

Kim, Kim, Kang & Lee 2019, "U-GAT-IT: Unsupervised Generative Attentional Networks with Adaptive Layer-Instance
Normalization for Image-to-Image Translation" (arXiv 1907.10830), with the sizes and the order of play of the authors'
PyTorch code, znxlwm/UGATIT-pytorch. The names here say what a network does:

    here                                paper                 official code
    generator_ab, generator_ba          G_s->t, G_t->s        genA2B, genB2A
    discriminator_global_a, ..._b       D_s, D_t (286 px)     disGA, disGB
    discriminator_local_a, ..._b        D_s, D_t (70 px)      disLA, disLB
    LIN                                 LIN                   ILN

Where the code differs from the paper:

- rho of the residual blocks begins at 0.9 (paper 1), and all variances of AdaLIN and LIN are unbiased;
- weights are drawn as torch draws them by default (paper N(0, 0.02));
- the CAM of a discriminator weighs the features with its weights as they are, although its logits come from the
  spectrally normalised ones; the 1x1 convolution after it is not normalised at all;
- the light version, which is not in the paper, averages the features over the image before the layers that compute
  gamma and beta. In the full version these layers see every pixel, so it takes only one image size.

Where this file differs from the code:

- the generators translate once for both players; the code translates again for G, and computes gradients of D's loss in
  G that it then discards;
- torch's present spectral norm is half a power iteration ahead of the code's, which changes nothing once the iterations
  have settled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import log2, sqrt

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from gancli.architectures.base import AttentiveTranslator, Batch, Loss, TwoWayTranslator, Update, Way
from gancli.nn.losses import make_objective
from gancli.nn.norm import InstanceNorm, spectral_norm
from gancli.schema import AdamConfig, AidsConfig, Depth, Flag, ImageModelConfig, Optimizers, Width


def unbiased_group_norm(x: Tensor, groups: int, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``F.group_norm`` with unbiased variances, [N, C, H, W] -> [N, C, H, W].

    With k = (n - 1) / n for n values in a group, (x - mean) / sqrt(var / k + eps) is sqrt(k) (x - mean) / sqrt(var + k
    eps): the biased norm with another epsilon and another weight.
    """
    n = x[0].numel() // groups
    k = (n - 1) / n
    return F.group_norm(x, groups, weight * sqrt(k), bias, eps=1e-5 * k)


class AdaLIN(nn.Module):
    """gamma (rho IN(x) + (1 - rho) LN(x)) + beta, gamma and beta [N, C] (equation 1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.full((channels,), 0.9))

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        # Two fused norms take a quarter of the time of equation 1 written out (a test compares both).
        normalised = unbiased_group_norm(x, x.shape[1], self.rho) + unbiased_group_norm(x, 1, 1 - self.rho)
        return torch.addcmul(beta[:, :, None, None], normalised, gamma[:, :, None, None])


class LIN(nn.Module):
    """AdaLIN with learned gamma and beta: [N, C, H, W] -> the same shape (equation 1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.zeros(channels))
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        layer_normalised = unbiased_group_norm(x, 1, self.gamma * (1 - self.rho))
        return unbiased_group_norm(x, x.shape[1], self.gamma * self.rho, self.beta) + layer_normalised


class ResidualBlock(nn.Module):
    """x + F(x) with two 3x3 convolutions without biases; ``modulation`` goes to the norms."""

    def __init__(self, channels: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.pad = nn.ReflectionPad2d(1)
        self.conv1 = nn.Conv2d(channels, channels, 3, bias=False)
        self.norm1 = norm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, bias=False)
        self.norm2 = norm(channels)

    def forward(self, x: Tensor, *modulation: Tensor) -> Tensor:
        inner = F.relu(self.norm1(self.conv1(self.pad(x)), *modulation), inplace=True)
        return x + self.norm2(self.conv2(self.pad(inner)), *modulation)


class Attention(nn.Module):
    """Class activation map: features [N, C, h, w] -> attended features [N, C, h, w] and logits [N, 2].

    Two linear classifiers tell the domains apart, one from the average and one from the maximum of each feature. Their
    weights then scale the features (section 2.1.1).
    """

    def __init__(self, channels: int, classifier: Callable[[nn.Linear], nn.Module], activation: nn.Module) -> None:
        super().__init__()
        self.average = classifier(nn.Linear(channels, 1, bias=False))
        self.maximum = classifier(nn.Linear(channels, 1, bias=False))
        self.merge = nn.Sequential(nn.Conv2d(2 * channels, channels, 1), activation)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        average, maximum = F.adaptive_avg_pool2d(x, 1).flatten(1), F.adaptive_max_pool2d(x, 1).flatten(1)
        logits = torch.cat([self.average(average), self.maximum(maximum)], 1)
        # The parameters themselves: under spectral norm, `weight` would be the normalised one.
        weighted = [x * next(linear.parameters())[:, :, None, None] for linear in (self.average, self.maximum)]
        return self.merge(torch.cat(weighted, 1)), logits


def cam_loss(source_logits: Tensor, target_logits: Tensor) -> Tensor:
    """Binary cross-entropy of a generator's CAM, which answers 1 for its source domain and 0 for its target."""
    source_loss = F.binary_cross_entropy_with_logits(source_logits, torch.ones_like(source_logits))
    return source_loss + F.binary_cross_entropy_with_logits(target_logits, torch.zeros_like(target_logits))


class Generator(nn.Module):
    """Image [N, C, H, W] -> image in [-1, 1], logits [N, 2] that it is of the source domain, heat map [N, 1, H/4, W/4].

    H and W are multiples of 4; of the full version, ``resolution``.
    """

    MULTIPLE = 4

    def __init__(self, channels: int, width: int, blocks: int, resolution: int, light: bool) -> None:
        super().__init__()
        features = 4 * width
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(channels, width, 7, bias=False),
            InstanceNorm(width),
            nn.ReLU(inplace=True),
        ]
        for narrow in (width, 2 * width):  # [N, 64, H, W] -> [N, 256, H/4, W/4]
            layers += [
                nn.ReflectionPad2d(1),
                nn.Conv2d(narrow, 2 * narrow, 3, stride=2, bias=False),
                InstanceNorm(2 * narrow),
                nn.ReLU(inplace=True),
            ]
        layers += [ResidualBlock(features, InstanceNorm) for _ in range(blocks)]
        self.encoder = nn.Sequential(*layers)
        self.attention = Attention(features, nn.Identity(), nn.ReLU(inplace=True))
        self.style = nn.Sequential(
            *([nn.AdaptiveAvgPool2d(1)] if light else []),
            nn.Flatten(),
            nn.Linear(features if light else features * (resolution // self.MULTIPLE) ** 2, features, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(features, features, bias=False),
            nn.ReLU(inplace=True),
        )
        self.gamma = nn.Linear(features, features, bias=False)
        self.beta = nn.Linear(features, features, bias=False)
        self.blocks = nn.ModuleList([ResidualBlock(features, AdaLIN) for _ in range(blocks)])
        layers = []
        for wide in (features, features // 2):  # [N, 256, H/4, W/4] -> [N, 64, H, W]
            layers += [
                nn.Upsample(scale_factor=2),
                nn.ReflectionPad2d(1),
                nn.Conv2d(wide, wide // 2, 3, bias=False),
                LIN(wide // 2),
                nn.ReLU(inplace=True),
            ]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7, bias=False), nn.Tanh()]
        self.decoder = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, logits = self.attention(self.encoder(image))
        heat_map = x.sum(1, keepdim=True)
        style = self.style(x)
        gamma, beta = self.gamma(style), self.beta(style)
        for block in self.blocks:
            x = block(x, gamma, beta)
        return self.decoder(x), logits, heat_map


class Discriminator(nn.Module):
    """Image [N, C, H, W] -> logits [N, 1, h, w] of its patches, and of the CAM [N, 2], that it is real (section 2.1.2).

    With 5 layers a patch has 70 px, with 7 layers 286 px.
    """

    def __init__(self, channels: int, width: int, layers: int) -> None:
        super().__init__()
        encoder: list[nn.Module] = []
        features = channels
        for level in range(layers - 1):  # [N, 64, H/2, W/2] and so on, to [N, 512, H/8 - 1, W/8 - 1] with 5 layers
            wider = width * 2**level
            encoder += [
                nn.ReflectionPad2d(1),
                spectral_norm(nn.Conv2d(features, wider, 4, stride=2 if level < layers - 2 else 1)),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            features = wider
        self.encoder = nn.Sequential(*encoder)
        self.attention = Attention(features, spectral_norm, nn.LeakyReLU(0.2, inplace=True))
        self.judge = nn.Sequential(nn.ReflectionPad2d(1), spectral_norm(nn.Conv2d(features, 1, 4, bias=False)))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x, logits = self.attention(self.encoder(image))
        return self.judge(x), logits


class UGATIT(TwoWayTranslator, AttentiveTranslator):
    """The game of U-GAT-IT: two generators that undo each other, two discriminators for each domain."""

    title = (
        "Kim, Kim, Kang & Lee 2019, U-GAT-IT: Unsupervised Generative Attentional Networks with Adaptive "
        "Layer-Instance Normalization for Image-to-Image Translation, arXiv 1907.10830"
    )
    players = {
        "D": ("discriminator_global_a", "discriminator_local_a", "discriminator_global_b", "discriminator_local_b"),
        "G": ("generator_ab", "generator_ba"),
    }
    averaged = ("generator_ab", "generator_ba")
    replays = True

    class Config(ImageModelConfig):
        resolution: int = Field(256, ge=8, le=2048, description="height and width of an image in pixels")
        light: Flag = Field(
            False, description="gamma and beta from the features' averages: a fraction of the weights, and any size"
        )
        generator_width: Width = Field(64, description="ch, channels after a generator's first convolution")
        residual_blocks: Depth = Field(4, ge=1, description="n_res, residual blocks before and after the attention")
        discriminator_width: Width = Field(64, description="ch, channels after a discriminator's first convolution")
        local_layers: int = Field(5, ge=3, le=8, description="layers of a local discriminator; 5: patches of 70 px")
        global_layers: int = Field(7, ge=3, le=8, description="layers of a global discriminator; 7: patches of 286 px")
        adversarial_weight: float = Field(1.0, ge=0, description="lambda_1, weight of the adversarial losses")
        cycle_weight: float = Field(10.0, ge=0, description="lambda_2, weight of cycles A -> B -> A and B -> A -> B")
        identity_weight: float = Field(10.0, ge=0, description="lambda_3, weight of the identity losses")
        cam_weight: float = Field(1000.0, ge=0, description="lambda_4, weight of the generators' CAM losses")
        optimizers: Optimizers = Field(
            Optimizers(D=AdamConfig(lr=1e-4, weight_decay=1e-4), G=AdamConfig(lr=1e-4, weight_decay=1e-4)),
            description="optimizer of each player",
        )

        @model_validator(mode="after")
        def _fits_together(self) -> UGATIT.Config:
            if self.resolution % Generator.MULTIPLE:
                raise ValueError(f"resolution {self.resolution} must be a multiple of {Generator.MULTIPLE}")
            # After all strided layers at least 3 px must be left: 2 in the last feature map, for its reflected border.
            layers = max(self.local_layers, self.global_layers)
            least = 3 * 2 ** (layers - 2)
            if self.resolution < least:
                raise ValueError(
                    f"resolution {self.resolution} is too small for a discriminator of {layers} layers, which needs "
                    f"{least} or more; with {self.resolution}, local_layers and global_layers are at most "
                    f"{int(log2(self.resolution / 3)) + 2}"
                )
            return self

    def __init__(self, config: Config, aids: AidsConfig | None = None) -> None:
        super().__init__(config, aids)
        self.objective = make_objective("lsgan", self.aids)
        generator = (config.channels, config.generator_width, config.residual_blocks, config.resolution, config.light)
        self.generator_ab = Generator(*generator)
        self.generator_ba = Generator(*generator)
        discriminator = (config.channels, config.discriminator_width)
        self.discriminator_global_a = Discriminator(*discriminator, config.global_layers)
        self.discriminator_local_a = Discriminator(*discriminator, config.local_layers)
        self.discriminator_global_b = Discriminator(*discriminator, config.global_layers)
        self.discriminator_local_b = Discriminator(*discriminator, config.local_layers)

    def training_step(self, data: Iterator[Batch], update: Update) -> None:
        batch = next(data)
        update.forward("G", self.translate_batch, batch)  # once: both players judge the same fakes
        update("D", self.d_loss, batch)
        update("G", self.g_loss, batch)
        self.clip_rho()

    def translate_batch(self, batch: Batch) -> None:
        stash = batch.stash
        stash["fake_b"], stash["cam_of_a"], _ = self.generator_ab(batch.images["A"])
        stash["fake_a"], stash["cam_of_b"], _ = self.generator_ba(batch.images["B"])

    def d_loss(self, batch: Batch) -> Loss:
        a, b = batch.images["A"], batch.images["B"]
        fake_a, fake_b = self.replayed(batch.stash["fake_a"], batch.stash["fake_b"])
        parts = {
            "D_a": self._judge(self.discriminator_global_a, a, fake_a)
            + self._judge(self.discriminator_local_a, a, fake_a),
            "D_b": self._judge(self.discriminator_global_b, b, fake_b)
            + self._judge(self.discriminator_local_b, b, fake_b),
        }
        return Loss(parts["D_a"] + parts["D_b"], parts)

    def _judge(self, discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        # Reals and fakes pass D separately: each pass takes its spectral norms one power iteration further.
        real_logits, real_cam = discriminator(real)
        fake_logits, fake_cam = discriminator(fake)
        patches = self.objective.d(real_logits, fake_logits)
        return self.config.adversarial_weight * (patches + self.objective.d(real_cam, fake_cam))

    def g_loss(self, batch: Batch) -> Loss:
        config, stash = self.config, batch.stash
        a, b, fake_a, fake_b = batch.images["A"], batch.images["B"], stash["fake_a"], stash["fake_b"]
        identity_a, identity_cam_a, _ = self.generator_ba(a)
        identity_b, identity_cam_b, _ = self.generator_ab(b)
        parts = {  # section 2.2
            "adv_b": self._convince(self.discriminator_global_b, fake_b)
            + self._convince(self.discriminator_local_b, fake_b),
            "adv_a": self._convince(self.discriminator_global_a, fake_a)
            + self._convince(self.discriminator_local_a, fake_a),
            "cycle_a": config.cycle_weight * F.l1_loss(self.generator_ba(fake_b)[0], a),
            "cycle_b": config.cycle_weight * F.l1_loss(self.generator_ab(fake_a)[0], b),
            "identity_a": config.identity_weight * F.l1_loss(identity_a, a),
            "identity_b": config.identity_weight * F.l1_loss(identity_b, b),
            "cam_b": config.cam_weight * cam_loss(stash["cam_of_a"], identity_cam_b),
            "cam_a": config.cam_weight * cam_loss(stash["cam_of_b"], identity_cam_a),
        }
        return Loss(sum(parts.values(), start=a.new_zeros(())), parts)

    def _convince(self, discriminator: nn.Module, fake: Tensor) -> Tensor:
        logits, cam = discriminator(fake)
        return self.config.adversarial_weight * (self.objective.g(logits) + self.objective.g(cam))

    @torch.no_grad()
    def clip_rho(self) -> None:
        for module in self.modules():
            if isinstance(module, (AdaLIN, LIN)):
                module.rho.clamp_(0, 1)

    @property
    def multiple(self) -> int:
        return Generator.MULTIPLE

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        return None if self.config.light else (self.config.resolution, self.config.resolution)

    def translate(
        self, image: Tensor, way: Way, *, labels: Tensor | None = None, style: Tensor | None = None
    ) -> Tensor:
        return self.translate_with_attention(image, way)[0]

    def translate_with_attention(self, image: Tensor, way: Way) -> tuple[Tensor, Tensor]:
        translation, _, heat_map = self.get_submodule(self.generators[way])(image)
        return translation, heat_map
