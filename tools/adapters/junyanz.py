"""CycleGAN and pix2pix of junyanz/pytorch-CycleGAN-and-pix2pix, of 2019 to 2025: the two models of its ``models``.

The options are those that ``train.py`` would parse. Its loop is one of ``set_input`` and ``optimize_parameters``.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from checkpoints import GOLDEN, record
from golden import Draws, Game, Numbers
from torch import Tensor

from adapters import Translation, driving
from gancli.architectures.cyclegan import CycleGAN
from gancli.importers.junyanz import NETWORKS

REPOSITORY = "junyanz/pytorch-CycleGAN-and-pix2pix"
FILES = (
    "models/__init__.py",
    "models/base_model.py",
    "models/cycle_gan_model.py",
    "models/networks.py",
    "models/pix2pix_model.py",
    "options/base_options.py",
    "options/train_options.py",
    "util/image_pool.py",
)
RECORDED = GOLDEN
MODELS = {"cyclegan": "cycle_gan", "pix2pix": "pix2pix"}
LOSSES = {
    "cyclegan": {
        "G": "G",
        "adv_b": "G_A",
        "adv_a": "G_B",
        "cycle_a": "cycle_A",
        "cycle_b": "cycle_B",
        "identity_b": "idt_A",
        "identity_a": "idt_B",
        "D_b": "D_A",
        "D_a": "D_B",
    },
    "pix2pix": {"D": "D", "G": "G", "adv": "G_GAN", "L1": "G_L1"},
}
"""The official attribute, after ``loss_``, by our name of the loss."""


def play(checkout: Path, game: Game, steps: int) -> Numbers:
    architecture = "cyclegan" if isinstance(game.model, CycleGAN) else "pix2pix"
    numbers: Numbers = {}
    with driving(checkout, _options(checkout, architecture, game.model)), Draws().in_place_of_torch() as draws:
        options = importlib.import_module("options.train_options").TrainOptions().parse()
        options.device = torch.device("cpu")  # since 2025 train.py sets it
        model = importlib.import_module("models").create_model(options)
        model.setup(options)
        weights = Translation(architecture, game.model)
        networks = {ours: getattr(model, f"net{theirs}") for theirs, ours in NETWORKS[architecture].items()}
        for ours, network in networks.items():
            network.load_state_dict(weights.theirs(ours))
        if architecture == "cyclegan":
            _draw_alike(model.fake_A_pool, draws, 1)
            _draw_alike(model.fake_B_pool, draws, 2)

        def load(step: int) -> None:
            draws.begin(step)
            model.set_input({**game.images(step), "A_paths": [], "B_paths": []})

        load(0)
        model.test()
        numbers["translation"] = model.fake_B
        for step in range(steps):
            load(step)
            model.optimize_parameters()
            for ours, theirs in LOSSES[architecture].items():
                numbers[f"step {step + 1}: {ours}"] = getattr(model, f"loss_{theirs}").detach()
            for ours, network in networks.items():
                numbers[f"step {step + 1}: {ours} moved"] = weights.moved(ours, network.state_dict())
    return numbers


def _options(checkout: Path, architecture: str, model: Any) -> list[str]:
    """Returns the command line of train.py for one of our models."""
    config = model.config
    source, target = ("A", "B") if getattr(config, "direction", "AtoB") == "AtoB" else ("B", "A")
    generator = f"unet_{config.resolution}" if config.generator == "unet" else f"resnet_{config.blocks}blocks"
    line = (
        f"--dataroot . --name golden --model {MODELS[architecture]} --direction {source}to{target} "
        f"--input_nc {config.channels_of(source)} --output_nc {config.channels_of(target)} --netG {generator} "
        f"--ngf {config.generator_width} --ndf {config.discriminator_width} --norm {config.norm} "
        f"--gan_mode {config.objective} --pool_size {getattr(config, 'pool_size', 0)}"
    )
    if not config.dropout:
        line += " --no_dropout"
    if "--gpu_ids" in (checkout / "options/base_options.py").read_text(encoding="utf-8"):  # until 2025
        line += " --gpu_ids -1"
    return line.split()


def _draw_alike(pool: Any, draws: Draws, nth: int) -> None:
    """Lets an official pool swap images as our ``nth`` pool of a step does: theirs above a half, ours below."""
    module, query = importlib.import_module("util.image_pool"), pool.query

    def uniform(low: float, high: float) -> float:
        return 1 - draws.uniform((1,), nth).item()

    def randint(first: int, last: int) -> int:
        return int(draws.whole(first, last + 1, (1,), nth))

    def queried(images: Tensor) -> Tensor:
        with mock.patch.object(module, "random", SimpleNamespace(uniform=uniform, randint=randint)):
            return query(images)

    pool.query = queried


def networks(checkout: Path) -> dict[str, Any]:
    """Returns what the networks compute; of a copy whose ResNet interpolates, what that does."""
    with driving(checkout, kind=torch.float32):
        module = importlib.import_module("models.networks")
    found: dict[str, Any] = {}
    for name in ("instance", "batch"):
        norm = module.get_norm_layer(name)
        if "nn.Upsample(" in (checkout / "models/networks.py").read_text(encoding="utf-8"):
            found[f"resnet-bilinear-{name}"] = record(module.ResnetGenerator(3, 3, 2, norm, False, 1), 3, 16)
            continue
        made = {
            "resnet": (module.ResnetGenerator(3, 2, 3, norm, False, 2), 3, 16),
            "resnet-back": (module.ResnetGenerator(2, 3, 3, norm, False, 2), 2, 16),
            "resnet-dropout": (module.ResnetGenerator(3, 3, 2, norm, True, 1), 3, 16),
            "unet": (module.UnetGenerator(2, 3, 6, 2, norm, True), 2, 64),
            "patchgan": (module.NLayerDiscriminator(5, 2, 3, norm), 5, 32),
            "patchgan-a": (module.NLayerDiscriminator(3, 3, 3, norm), 3, 32),
            "patchgan-b": (module.NLayerDiscriminator(2, 3, 3, norm), 2, 32),
            "patchgan-286": (module.NLayerDiscriminator(3, 2, 5, norm), 3, 128),
            "pixelgan": (module.PixelDiscriminator(3, 3, norm), 3, 16),
        }
        found |= {f"{title}-{name}": record(*network) for title, network in made.items()}
    return found
