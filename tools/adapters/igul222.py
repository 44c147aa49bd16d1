"""WGAN-GP of igul222/improved_wgan_training: the scripts for CIFAR-10 and for 64 px, with narrower networks.

There, G moves first in each iteration but not in iteration 0; gancli's steps end with G. So a step of ours is the
critic's part of one iteration, and G's of the next.

``gan_cifar_resnet.py`` is run without classes, decay, and noise added to the reals. It splits batches in two, also with
one GPU: here G makes the critic's fakes in one batch, and both halves of its own batch, twice as large, are the same.
"""

from __future__ import annotations

from pathlib import Path

import torch
from golden import Draws, Game, Numbers, wave
from torch import nn

from adapters import scripts
from adapters.growing import EPSILON, Name, convolution, dense, version
from adapters.scripts import Turn, transposed
from gancli.architectures.wgan_gp import ResidualBlock

__all__ = ["FILES", "REPOSITORY", "play", "version"]

REPOSITORY = "igul222/improved_wgan_training"
FILES = (
    "gan_64x64.py",
    "gan_cifar.py",
    "gan_cifar_resnet.py",
    "tflib/__init__.py",
    "tflib/ops/batchnorm.py",
    "tflib/ops/conv2d.py",
    "tflib/ops/deconv2d.py",
    "tflib/ops/layernorm.py",
    "tflib/ops/linear.py",
)


def play(checkout: Path, game: Game, steps: int, *, python: str, script: str) -> Numbers:
    config, resnet = game.model.config, script == "gan_cifar_resnet.py"
    width = min(config.generator_widths)
    constants = {"DATA_DIR": "'.'", "BATCH_SIZE": game.batch, "ITERS": steps + 1}
    changes = []
    if resnet:
        constants |= {"N_GPUS": 1, "DIM_G": width, "DIM_D": width, "N_CRITIC": config.critic_steps}
        constants |= {"CONDITIONAL": False, "DECAY": False}
        made = r"tf.split(Generator(BATCH_SIZE, all_real_labels), len(DEVICES))[i]"
        changes.append([r"Generator\(BATCH_SIZE//len\(DEVICES\), labels_splits\[i\]\)", made])
    else:
        constants |= {"DIM": width, "CRITIC_ITERS": config.critic_steps}
    changes += [[rf"^{name} = .*$", f"{name} = {value}"] for name, value in constants.items()]
    levels = 256 if resnet else 255

    draws, turns, reals = Draws(), [], {}
    latents, flat = (game.batch, config.latent_dim), (game.batch, -1)
    for step in range(steps):
        draws.begin(step)
        for nth in range(config.critic_steps):
            images = (game.images(step, nth)["image"] + 1) / 2 * levels
            reals[f"reals/{len(turns)}"] = images = images if config.resolution == 64 else images.reshape(flat)
            z, places = draws.normal(latents, nth + 1), draws.uniform((game.batch, 1), nth + 1)
            feeds = {"/normal/0": z, "/uniform/0": places}
            if resnet:
                feeds |= {"/normal/1": z, "/uniform/0": torch.zeros_like(images), "/uniform/1": places}
            turns.append(Turn("D", step, feeds))
        z = draws.normal(latents, config.critic_steps + 1)
        fake = ("/normal/2", "/normal/3", "/uniform/2", "/uniform/3") if resnet else ("/normal/0",)
        turns.append(Turn("G", step, {name: z if "normal" in name else z[:, 0] * 0 for name in fake}))

    unused = ", None" if resnet else ""
    found, numbers = scripts.play(
        checkout,
        game,
        python,
        names=names(game.model, script),
        turns=turns,
        inputs={
            "latents": wave(*latents, phase=99) * 2,
            "images": game.images(0)["image"].reshape(flat),
            **reals,
        },
        wanted={"D": ["disc_cost", "gradient_penalty"], "G": ["gen_cost"]},
        script=script,
        arguments=[],
        changes={script: changes},
        outputs={
            "G": f"Generator({game.batch}{unused}, noise=latents)",
            "D": f"Discriminator(images{unused})" + ("[0]" if resnet else ""),
        },
        epsilon=EPSILON,
    )
    numbers = {"G(z)": found["G"].reshape(game.images(0)["image"].shape), "D(x)": found["D"], **numbers}
    for step in range(steps):
        cost = scripts.mean(found, turns, "D", step, "disc_cost")
        penalty = scripts.mean(found, turns, "D", step, "gradient_penalty") / (10 if resnet else 1)
        numbers[f"step {step + 1}: D"] = cost
        numbers[f"step {step + 1}: penalty"] = penalty
        numbers[f"step {step + 1}: G"] = scripts.mean(found, turns, "G", step, "gen_cost")
    return numbers


def names(model: nn.Module, script: str) -> dict[str, Name]:
    """Returns the variable for each parameter."""
    layers: dict[str, str] = {}
    if script == "gan_cifar.py":
        layers |= {"generator.first.0": "Generator.Input", "generator.first.1": "Generator.BN1"}
        layers |= {f"generator.blocks.{index}.0": f"Generator.{(2, 3, 5)[index]}" for index in range(3)}
        layers |= {f"generator.blocks.{index}.1": f"Generator.BN{index + 2}" for index in range(2)}
        layers |= {f"critic.layers.{2 * index}": f"Discriminator.{index + 1}" for index in range(3)}
        layers["critic.layers.7"] = "Discriminator.Output"
    else:
        prefix, norm = ("Res", "BN") if script == "gan_64x64.py" else ("", "N")
        for network, player in (("generator", "Generator"), ("critic", "Discriminator")):
            blocks = [name for name, module in model.named_modules() if isinstance(module, ResidualBlock)]
            first = 2 if player == "Discriminator" and not prefix else 1
            for index, block in enumerate((name for name in blocks if name.startswith(network)), first):
                inside, theirs = model.get_submodule(f"{block}.layers"), f"{player}.{prefix}{index}"
                for kind, called in ((nn.Conv2d, "Conv"), ((nn.BatchNorm2d, nn.GroupNorm), norm)):
                    at = [key for key, module in inside.named_children() if isinstance(module, kind)]
                    layers |= {f"{block}.layers.{key}": f"{theirs}.{called}{nth}" for nth, key in enumerate(at, 1)}
                layers |= {
                    f"{block}.shortcut.{key}": f"{theirs}.Shortcut"
                    for key, module in model.get_submodule(f"{block}.shortcut").named_children()
                    if isinstance(module, nn.Conv2d)
                }
        last = len(model.get_submodule("generator.layers")) - 4
        layers |= {"generator.layers.0": "Generator.Input", f"generator.layers.{last}": "Generator.OutputN"}
        layers[f"generator.layers.{last + 2}"] = "Generator.Output"
        if prefix:
            layers |= {"critic.layers.0": "Discriminator.Input", "critic.layers.6": "Discriminator.Output"}
        else:
            layers |= {f"critic.blocks.0.layers.{2 * nth}": f"Discriminator.1.Conv{nth + 1}" for nth in range(2)}
            layers |= {"critic.blocks.0.shortcut.1": "Discriminator.1.Shortcut", "critic.score": "Discriminator.Output"}
    return {
        f"{ours}.{key}": name
        for ours, theirs in layers.items()
        for key, name in variables_of(model.get_submodule(ours), theirs).items()
    }


def variables_of(layer: nn.Module, theirs: str) -> dict[str, Name]:
    """Returns the variables for the parameters of a layer."""
    if isinstance(layer, nn.Linear):
        return {"weight": dense("", f"{theirs}.W"), "bias": Name("", f"{theirs}.b")}
    if isinstance(layer, nn.BatchNorm1d):  # there [1, F]
        return {
            ours: Name("", f"{theirs}.{name}", torch.flatten, lambda tensor: tensor[None])
            for ours, name in (("weight", "scale"), ("bias", "offset"))
        }
    if isinstance(layer, (nn.BatchNorm2d, nn.GroupNorm)):
        return {"weight": Name("", f"{theirs}.scale"), "bias": Name("", f"{theirs}.offset")}
    kernel = transposed if isinstance(layer, nn.ConvTranspose2d) else convolution
    found = {"weight": kernel("", f"{theirs}.Filters")}
    return found if layer.bias is None else found | {"bias": Name("", f"{theirs}.Biases")}
