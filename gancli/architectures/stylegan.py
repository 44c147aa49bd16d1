"""StyleGAN: a latent becomes a style, and every layer of the generator takes its own.

Karras, Laine & Aila 2018, "A Style-Based Generator Architecture for Generative Adversarial Networks" (arXiv
1812.04948), with the sizes, losses and order of play of the authors' code (NVlabs/stylegan), configuration F of table
1. Upsampling and downsampling are fused with their convolutions at every size (theirs: from 128 px on; the results are
the same). Otherwise it differs from their code as ProGAN does (see ``progan``), and the mean of w in the moving average
is averaged like the weights; theirs is copied from the generator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from gancli.architectures.base import Batch, Loss, Noise, Optim, StyleModel, Update
from gancli.architectures.progan import (
    Discriminator,
    DownBlock,
    EqualizedConv2d,
    EqualizedLinear,
    GrowingConfig,
    GrowingModel,
    GrowthConfig,
    UpConv2d,
    fade_reals,
    pixel_norm,
    to_resolution,
    upsample,
    widths_by_depth,
)
from gancli.nn.losses import make_objective, squared_gradient_norms
from gancli.nn.stage import Stage
from gancli.schema import AidsConfig, Depth, Flag, Turns, Width


class _Blur(torch.autograd.Function):
    """Its kernel is symmetric and pixels outside are 0, so it is its own transpose and its own gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        channels = x.shape[1]
        # Made where it is used: a copy from the CPU would wait for the device.
        side = 2 - torch.arange(-1, 2, dtype=x.dtype, device=x.device).abs()  # [1, 2, 1]
        return F.conv2d(x, (torch.outer(side, side) / 16).expand(channels, 1, 3, 3), padding=1, groups=channels)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return _Blur.apply(gradients[0])


def blur(x: Tensor) -> Tensor:
    """Filters each channel with [1, 2, 1] x [1, 2, 1] / 16, zeros outside: [N, C, H, W] -> the same shape."""
    return _Blur.apply(x)


class Mapping(nn.Module):
    """f: latents [N, Z] and weights of classes [N, K] -> styles w [N, W] (figure 1b, left).

    Classes are embedded as vectors [Z] beside the latent. ``mean`` [W] follows the mean of w while it is trained.
    """

    mean: Tensor

    def __init__(self, latent_dim: int, style_dim: int, classes: int, layers: int, lr_mul: float) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(classes, latent_dim)) if classes else None
        sizes = [latent_dim * (2 if classes else 1), *[style_dim] * layers]
        self.layers = nn.ModuleList(EqualizedLinear(i, o, lr_mul=lr_mul) for i, o in pairwise(sizes))
        self.register_buffer("mean", torch.zeros(style_dim))

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        x = z if labels is None or self.embedding is None else torch.cat([z, labels @ self.embedding], dim=1)
        x = pixel_norm(x)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
        return x


class Epilogue(nn.Module):
    """What follows a convolution: noise, leaky ReLU, and AdaIN (equation 1): [N, C, H, W] -> the same shape."""

    def __init__(self, channels: int, style_dim: int, eps: float) -> None:
        super().__init__()
        self.noise_strength = nn.Parameter(torch.zeros(channels))
        self.style = EqualizedLinear(style_dim, 2 * channels, gain=1)
        self.eps = eps

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        if noise is not None:
            x = x + self.noise_strength.view(1, -1, 1, 1) * noise
        x = F.leaky_relu(x, 0.2)
        x = F.group_norm(x, x.shape[1], eps=self.eps)  # a group per channel is instance normalisation
        scale, shift = self.style(w)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(shift, x, scale + 1)


class Constant(nn.Module):
    """The learned input: styles [N, W] -> features [N, C, 4, 4]."""

    def __init__(self, channels: int, style_dim: int, eps: float) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.ones(1, channels, 4, 4))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.epilogue = Epilogue(channels, style_dim, eps)

    def forward(self, w: Tensor, noise: Tensor | None) -> Tensor:
        x = self.constant + self.bias.view(1, -1, 1, 1)
        return self.epilogue(x.expand(len(w), -1, -1, -1), w, noise)


class StyledConv(nn.Module):
    """Features [N, I, H, W] and styles [N, W] -> features [N, O, H, W]."""

    def __init__(self, inputs: int, outputs: int, style_dim: int, eps: float) -> None:
        super().__init__()
        self.conv = EqualizedConv2d(inputs, outputs)
        self.epilogue = Epilogue(outputs, style_dim, eps)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        return self.epilogue(self.conv(x), w, noise)


class StyledUpConv(nn.Module):
    """Features [N, I, H, W] and styles [N, W] -> features [N, O, 2H, 2W].

    The place of the bias matters at the border only: the blur takes pixels outside as 0.
    """

    def __init__(self, inputs: int, outputs: int, style_dim: int, eps: float, bias_before_blur: bool) -> None:
        super().__init__()
        self.conv = UpConv2d(inputs, outputs, bias=False)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.epilogue = Epilogue(outputs, style_dim, eps)
        self.bias_before_blur = bias_before_blur

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        x, bias = self.conv(x), self.bias.view(1, -1, 1, 1)
        x = blur(x + bias) if self.bias_before_blur else blur(x) + bias
        return self.epilogue(x, w, noise)


class Synthesis(nn.Module):
    """g: styles, one per layer, [N, L, W] -> images [N, C, R, R], R the resolution of the stage (figure 1b, right)."""

    def __init__(self, style_dim: int, widths: list[int], channels: int, eps: float, bias_before_blur: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Constant(widths[0], style_dim, eps)])  # two for each resolution
        self.layers.append(StyledConv(widths[0], widths[0], style_dim, eps))
        for wide, narrow in pairwise(widths):
            self.layers.append(StyledUpConv(wide, narrow, style_dim, eps, bias_before_blur))
            self.layers.append(StyledConv(narrow, narrow, style_dim, eps))
        self.to_rgb = nn.ModuleList(EqualizedConv2d(width, channels, kernel=1, gain=1) for width in widths)
        for layer, size in enumerate(self.noise_sizes()):
            self.register_buffer(f"noise_{layer}", torch.randn(1, 1, size, size))

    def noise_sizes(self) -> list[int]:
        """Returns the height and width of each layer."""
        return [4 * 2 ** (layer // 2) for layer in range(len(self.layers))]

    def constant_noise(self) -> list[Tensor]:
        """Returns the noise that was drawn once, when the network was built, [1, 1, h, w] for each layer."""
        return [self.get_buffer(f"noise_{layer}") for layer in range(len(self.layers))]

    def forward(self, ws: Tensor, noise: Sequence[Tensor | None], stage: Stage) -> Tensor:
        newest = stage.depth - 1
        x = self.layers[0](ws[:, 0], noise[0])
        x = self.layers[1](x, ws[:, 1], noise[1])
        smaller = x
        for layer in range(2, 2 * stage.depth, 2):
            smaller = x
            x = self.layers[layer](x, ws[:, layer], noise[layer])
            x = self.layers[layer + 1](x, ws[:, layer + 1], noise[layer + 1])
        image = self.to_rgb[newest](x)
        if stage.fade < 1:
            image = torch.lerp(upsample(self.to_rgb[newest - 1](smaller)), image, stage.fade)
        return image


class BlurredDownBlock(DownBlock):
    """Features [N, I, H, W] -> [N, O, H/2, W/2], with a filter before downsampling (section 3, B in table 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.down(blur(F.leaky_relu(self.conv(x), 0.2))), 0.2)


class StyleGAN(GrowingModel, StyleModel):
    """The game of StyleGAN: the non-saturating logistic loss, with R1 on the reals."""

    title = (
        "Karras, Laine & Aila 2018, A Style-Based Generator Architecture for Generative Adversarial Networks, "
        "arXiv 1812.04948"
    )
    players = {"D": ("discriminator",), "G": ("mapping", "synthesis")}
    averaged = ("mapping", "synthesis")
    second_order = ("discriminator",)

    class Config(GrowingConfig):
        style_dim: Width = Field(512, description="W, components of a style, and units of the mapping network")
        mapping_layers: Depth = Field(8, ge=1, description="layers of the mapping network")
        mapping_lr: float = Field(0.01, gt=0, description="factor on the learning rate of the mapping network")
        norm_eps: float = Field(1e-8, gt=0, description="added to the variance in AdaIN")
        bias_before_blur: Flag = Field(False, description="G: add a bias before the blur, as rosinality's code does")
        growth: GrowthConfig = Field(GrowthConfig(initial_resolution=8), description="when the networks grow")
        r1_gamma: float = Field(10.0, ge=0, description="gamma; half of it weighs the squared gradients of R1")
        r1_every: Turns = Field(1, description="lazy R1: steps from one R1 to the next, which weighs as much more")
        mixing: float = Field(0.9, ge=0, le=1, description="probability that a batch mixes the styles of two latents")
        mean_decay: float = Field(0.995, ge=0, lt=1, description="weight of the old mean of w at each batch")

    config: Config

    def __init__(self, config: Config, aids: AidsConfig | None = None) -> None:
        super().__init__(config, aids)
        c = config
        self.objective = make_objective("logistic", self.aids)
        widths = widths_by_depth(c.resolution, c.width, c.max_width)
        self.mapping = Mapping(c.latent_dim, c.style_dim, c.classes, c.mapping_layers, c.mapping_lr)
        self.synthesis = Synthesis(c.style_dim, widths[1:], c.channels, c.norm_eps, c.bias_before_blur)
        # With classes D has a score for each, and the label picks one (Mescheder et al. 2018).
        self.discriminator = Discriminator(max(1, c.classes), widths, c.channels, c.stddev_group, BlurredDownBlock)

    def optimizers(self) -> dict[str, Optim]:
        found = super().optimizers()
        every, rule = self.config.r1_every, found["D"].rule
        if every > 1 and rule.kind == "adam":
            found["D"] = Optim(found["D"].nets, rule.lazy(every))
        return found

    def training_step(self, data: Iterator[Batch], update: Update) -> None:
        batch = next(data)
        update("D", self.d_loss, batch)
        if self.config.r1_every > 1 and update.step % self.config.r1_every == 0:
            update("D", self.r1_loss, batch, record="R1 loss")
        update("G", self.g_loss, batch)

    def draw_fakes(self, batch: Batch) -> Tensor:
        n, device = len(batch), batch.image.device
        z, other = torch.randn(2, n, self.config.latent_dim, device=device)
        labels = self.class_weights(batch.labels)
        w = self.mapping(z, labels)
        with torch.no_grad():
            self.mapping.mean.lerp_(w.mean(dim=0, dtype=self.mapping.mean.dtype), 1 - self.config.mean_decay)
        # Mixing regularisation (section 3.1): layers from a random one on take the style of another latent.
        layers = 2 * self.stage.depth
        mixes = torch.rand((), device=device) < self.config.mixing
        cutoff = torch.where(mixes, torch.randint(1, layers, (), device=device), layers)
        first = torch.arange(layers, device=device)[:, None] < cutoff
        ws = torch.where(first, w[:, None], self.mapping(other, labels)[:, None])
        noise = [torch.randn(n, 1, size, size, device=device) for size in self.synthesis.noise_sizes()[:layers]]
        return self.synthesis(ws, noise, self.stage)

    def judge(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Returns scores [N]."""
        outputs, weights = self.discriminator(images, self.stage), self.class_weights(labels)
        return outputs[:, 0] if weights is None else (outputs * weights).sum(dim=1)

    def r1(self, scores: Tensor, real: Tensor) -> Tensor:
        """Returns R1 of reals [N, C, r, r] and their scores [N], a 0-d mean.

        As in the authors' code, gradients are by pixels of the full size R, to which small images are repeated: their
        squared norm is (r/R)^2 of that by the small image's own pixels.
        """
        return (self.stage.resolution / self.config.resolution) ** 2 * squared_gradient_norms(scores, real).mean()

    def d_loss(self, batch: Batch) -> Loss:
        with_r1 = self.config.r1_every == 1 and self.config.r1_gamma > 0
        real = fade_reals(batch.image, self.stage).detach().requires_grad_(with_r1)
        real_scores = self.judge(real, batch.labels)
        fake_scores = self.judge(self.draw_fakes(batch), batch.labels)
        total = self.objective.d(real_scores, fake_scores)
        parts = {"D(x)": real_scores.mean(), "D(G(z))": fake_scores.mean()}
        if with_r1:
            parts["R1"] = self.r1(real_scores, real)
            total = total + self.config.r1_gamma / 2 * parts["R1"]
        return Loss(total, parts)

    def r1_loss(self, batch: Batch) -> Loss:
        real = fade_reals(batch.image, self.stage).detach().requires_grad_()
        penalty = self.r1(self.judge(real, batch.labels), real)
        return Loss(self.config.r1_gamma / 2 * self.config.r1_every * penalty, {"R1": penalty})

    def g_loss(self, batch: Batch) -> Loss:
        return Loss(self.objective.g(self.judge(self.draw_fakes(batch), batch.labels)))

    @property
    def layers(self) -> int:
        return len(self.synthesis.layers)

    @property
    def mean_w(self) -> Tensor:
        return self.mapping.mean

    def map(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.mapping(z, self.class_weights(labels))

    def synthesize(self, ws: Tensor, noise: Noise = "const") -> Tensor:
        given: Sequence[Tensor | None]
        match noise:
            case "const":
                given = self.synthesis.constant_noise()
            case "none":
                given = [None] * self.layers
            case _:
                given = noise
        image = self.synthesis(ws, given, self.stage)
        return to_resolution(image, self.config.resolution).clamp(-1, 1)

    def draw_noise(self, n: int, generator: torch.Generator) -> list[Tensor]:
        return [torch.randn(n, 1, size, size, generator=generator) for size in self.synthesis.noise_sizes()]
