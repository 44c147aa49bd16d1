"""check_architecture is silent about what is right and outspoken about the rest; every preset builds and steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from gancli import config as configuration
from gancli import registry
from gancli.architectures.base import Batch, Loss, Translator, Way
from gancli.architectures.base import Update as UpdateOfArchitectures
from gancli.architectures.cyclegan import CycleGAN
from gancli.architectures.dcgan import DCGAN
from gancli.architectures.gan_toy import GANToy
from gancli.testing import IncompleteArchitecture, check_architecture, random_batches
from gancli.training.update import Update, make_players

CPU = torch.device("cpu")
SMALL_MODELS = {
    "cdcgan": {"resolution": 16, "generator_width": 4, "discriminator_width": 4, "latent_dim": 8},
    "cgan": {"resolution": 8, "generator_width": 8, "discriminator_width": 16, "latent_dim": 8},
    "cyclegan": {
        "resolution": 32,
        "generator_width": 4,
        "discriminator_width": 4,
        "blocks": 1,
        "pool_size": 2,
    },
    "dcgan": {"resolution": 32, "generator_width": 4, "discriminator_width": 4, "latent_dim": 8},
    "gan": {"resolution": 8, "generator_widths": [8, 16], "discriminator_widths": [16, 8], "latent_dim": 8},
    "gan-toy": {"width": 8, "latent_dim": 2},
    "lsgan": {"resolution": 16, "width": 4, "latent_dim": 8},
    "pix2pix": {"resolution": 32, "generator_width": 4, "discriminator_width": 4},
    "progan": {"resolution": 8, "width": 16, "latent_dim": 8, "classes": 3},
    "r3gan": {"resolution": 8, "widths": [16, 8], "blocks": 1, "latent_dim": 8},
    "stylegan": {"resolution": 8, "width": 16, "latent_dim": 8, "style_dim": 8, "mapping_layers": 2},
    "ugatit": {
        "resolution": 32,
        "generator_width": 2,
        "discriminator_width": 2,
        "residual_blocks": 1,
        "local_layers": 3,
        "global_layers": 5,
    },
    "wgan": {
        "resolution": 32,
        "generator_width": 4,
        "critic_width": 4,
        "latent_dim": 8,
        "critic_steps": 2,
        "warm_critic_steps": 2,
    },
    "wgan-gp": {"resolution": 8, "generator_widths": [8, 4], "critic_widths": [4, 8], "latent_dim": 8},
}
VARIANTS = [
    ("gan", {"networks": "maxout", "latent": "uniform", "discriminator_widths": [8, 8]}),
    ("cgan", {"networks": "maxout"}),
    ("cgan", {"networks": "embedding", "objective": "lsgan"}),
    ("cdcgan", {"activation": "leaky"}),
    *(("gan-toy", {"objective": name}) for name in ("vanilla", "lsgan", "wgan", "hinge", "logistic", "relativistic")),
    *(("gan-toy", {"objective": "wgan", "penalty": name}) for name in ("clip", "gradient", "r1", "r1r2")),
    ("r3gan", {"classes": None}),
    ("wgan", {"extra_layers": 1, "generator_norm": False}),
    ("wgan", {"generator": "mlp", "critic": "mlp", "clip": 1}),
    ("wgan-gp", {"networks": "dcgan", "resolution": 28, "generator_widths": [8, 4, 4]}),
    ("wgan-gp", {"critic_norm": False, "upsampling": "bilinear"}),
]
"""Networks and losses that a key chooses."""
SMALL = DCGAN.Config(**SMALL_MODELS["dcgan"])
PRESETS = 35


def test_presets_are_counted() -> None:
    assert len(registry.preset_paths()) == PRESETS


@pytest.mark.parametrize("name", registry.preset_paths())
def test_every_preset_builds_and_steps(name: str) -> None:
    architecture = configuration.resolve(name).architecture
    translates = issubclass(registry.load_architecture(architecture), Translator)
    # A tenth of a second each; nothing in the translators' networks but their size depends on resolution and widths.
    smaller = ["train.batch=4"]
    if translates:
        smaller = ["model.resolution=64", "train.batch=1", "train.accumulate=1"]
        smaller += ["model.generator_width=16", "model.discriminator_width=16"]
    if architecture in ("progan", "stylegan"):
        # At 4 px every layer is in use.
        smaller += ["model.resolution=4", "model.growth.initial_resolution=4", "model.width=32"]
    smaller += {
        "cdcgan": ["model.classes=3"],
        "cgan": ["model.classes=3"],
        "r3gan": ["model.resolution=8", "model.widths=[32, 16]", "model.classes=3"],
        "wgan": ["model.warm_critic_steps=2"],
        "wgan-gp": ["model.generator_widths=[16, 8]", "model.critic_widths=[8, 16]"],
    }.get(architecture, [])
    if architecture == "ugatit":
        smaller.append("model.global_layers=6")  # 7 take 96 px
    config = configuration.resolve(name, sets=smaller)
    torch.manual_seed(0)
    model = registry.load_architecture(config.architecture)(config.model, config.train.aids)
    before = {key: value.clone() for key, value in model.named_parameters()}
    update = Update(make_players(model, config.train, CPU), config.train, CPU)
    for _ in range(2 if architecture == "r3gan" else 1):  # its residual branches begin as 0 and let no gradient pass
        model.training_step(random_batches(model.inputs(config.model), config.train.batch), update)
    unmoved = {key for key, value in model.named_parameters() if torch.equal(value, before[key])}
    if architecture == "wgan-gp":  # a constant added to all scores changes no difference between reals and fakes
        unmoved = {key for key in unmoved if not (key.startswith("critic.") and key.endswith(".bias"))}
    if name == "gan-toy-grid":  # the same
        unmoved -= {"discriminator.6.bias"}
    assert unmoved == set()


@pytest.mark.parametrize("name", registry.architecture_names())
def test_every_architecture_keeps_the_contract(name: str) -> None:
    architecture = registry.load_architecture(name)
    small = configuration.validate_model(name, SMALL_MODELS[name])
    check_architecture(architecture, small)


@pytest.mark.parametrize(("name", "keys"), VARIANTS)
def test_every_variant_keeps_the_contract(name: str, keys: dict[str, Any]) -> None:
    check_architecture(registry.load_architecture(name), configuration.validate_model(name, SMALL_MODELS[name] | keys))


def complaint(architecture: type[DCGAN]) -> str:
    with pytest.raises(IncompleteArchitecture) as caught:
        check_architecture(architecture, SMALL)
    return str(caught.value)


def test_a_player_that_never_moves() -> None:
    class Lazy(DCGAN):
        def training_step(self, data: Iterator[Batch], update: UpdateOfArchitectures) -> None:
            batch = next(data)
            update.forward("G", self.draw_fakes, batch)
            update("D", self.d_loss, batch)

    assert "never moves G" in complaint(Lazy)


def test_a_loss_that_does_not_reach_its_player() -> None:
    class Detached(DCGAN):
        def g_loss(self, batch: Batch) -> Loss:
            batch.stash["fake"] = batch.stash["fake"].detach().requires_grad_()
            return super().g_loss(batch)

    assert "a step of G changes none of its weights" in complaint(Detached)


def test_state_outside_of_parameters_and_buffers() -> None:
    class Counting(DCGAN):
        count = 0

        def g_loss(self, batch: Batch) -> Loss:
            type(self).count += 1
            loss = super().g_loss(batch)
            return Loss(loss.total * (1 + self.count), loss.parts)

        def d_loss(self, batch: Batch) -> Loss:
            loss = super().d_loss(batch)
            return Loss(loss.total * (1 + 1e6 * self.count) + self.count, loss.parts)

    assert "a resumed run differs from an uninterrupted one" in complaint(Counting)


def test_images_out_of_range_and_of_the_wrong_shape() -> None:
    class Loud(DCGAN):
        def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
            return super().decode(z) + 2

    class Narrow(DCGAN):
        def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
            return super().decode(z)[..., :7]

    assert "leaves [-1, 1]" in complaint(Loud)
    assert "(3, 3, 32, 7)" in complaint(Narrow)


def test_a_network_that_is_not_there() -> None:
    class Absent(DCGAN):
        averaged = ("generators",)

    assert "averaged: generators is not a network" in complaint(Absent)


def test_a_surface_of_the_wrong_shape() -> None:
    class Nested(GANToy):
        def surface(self, points: Tensor) -> tuple[Tensor, tuple[float, float] | None]:
            return self.discriminator(points), None

    with pytest.raises(IncompleteArchitecture, match=r"surface\(\) gives \(3, 1\) for three points, but \(3,\) is"):
        check_architecture(Nested, GANToy.Config(width=8))


def test_latents_from_elsewhere() -> None:
    class Careless(DCGAN):
        def latents(self, n: int, generator: Any = None, device: Any = "cpu") -> Tensor:
            return torch.randn(n, self.config.latent_dim)

        def resample(self, z: Tensor, truncation: float, generator: torch.Generator) -> Tensor:
            return torch.randn(len(z), 2)

    text = complaint(Careless)
    assert "latents() does not depend on the generator alone" in text
    assert "resample() does not depend on its arguments alone" in text
    assert "resample() makes (3, 2) of latents (3, 8)" in text


def test_a_model_may_truncate_elsewhere() -> None:
    class Elsewhere(DCGAN):
        def resample(self, z: Tensor, truncation: float, generator: torch.Generator) -> Tensor:
            return z

    check_architecture(Elsewhere, SMALL)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_score_that_is_not_finite(value: float) -> None:
    class Infinite(DCGAN):
        def g_loss(self, batch: Batch) -> Loss:
            return Loss(super().g_loss(batch).total, {"score": torch.tensor(value)})

    assert "the loss score is not finite" in complaint(Infinite)


@pytest.mark.parametrize("name", ["step", "images", "epoch", "images_per_s", "eta_s", "memory_mib", "lr_D"])
def test_a_part_with_the_name_of_a_column(name: str) -> None:
    class Clashing(DCGAN):
        def g_loss(self, batch: Batch) -> Loss:
            return Loss(super().g_loss(batch).total, {name: torch.tensor(1.0)})

    assert f"is called {name}, but that is a column of the log" in complaint(Clashing)


def test_translators_that_break_their_contract() -> None:
    small = CycleGAN.Config(**SMALL_MODELS["cyclegan"])

    class Loud(CycleGAN):
        def translate(self, image: Tensor, way: Way, **given: Tensor | None) -> Tensor:
            return super().translate(image, way) + 2

    class Narrow(CycleGAN):
        def translate(self, image: Tensor, way: Way, **given: Tensor | None) -> Tensor:
            return super().translate(image, way)[..., :7]

    class Sociable(CycleGAN):
        def translate(self, image: Tensor, way: Way, **given: Tensor | None) -> Tensor:
            return super().translate(image, way) * image.mean().tanh()

    class Uneven(CycleGAN):
        def preview(self, watched: Batch) -> list[Mapping[str, Tensor]]:
            return [{"input": watched.images["A"], "translation": watched.images["A"][:1]}]

    for architecture, words in (
        (Loud, "translate() from A to B leaves [-1, 1]"),
        (Narrow, "translate() from B to A gives (3, 3, 32, 7), but (3, 3, 32, 32) is expected"),
        (Sociable, "depends on its neighbours"),
        (Uneven, "columns of preview() are not equally long"),
    ):
        with pytest.raises(IncompleteArchitecture) as caught:
            check_architecture(architecture, small)
        assert words in str(caught.value)
