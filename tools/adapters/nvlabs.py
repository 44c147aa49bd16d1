"""StyleGAN of NVlabs/stylegan; see ``growing.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from golden import Draws, Game, Numbers
from torch import Tensor

from adapters import growing
from adapters.growing import Name, convolution, dense, version

__all__ = ["FILES", "REPOSITORY", "play", "version"]

REPOSITORY = "NVlabs/stylegan"
FILES = (
    "dnnlib/tflib/network.py",
    "dnnlib/tflib/optimizer.py",
    "dnnlib/tflib/tfutil.py",
    "training/loss.py",
    "training/misc.py",
    "training/networks_stylegan.py",
    "training/training_loop.py",
)
SCORES = {"D(x)": "Loss/scores/real", "D(G(z))": "Loss/scores/fake", "R1": "Loss/r1_penalty"}


def play(checkout: Path, game: Game, steps: int, *, python: str, epsilon: str) -> Numbers:
    model, config = game.model, game.model.config

    def draws_of(draws: Draws, player: str) -> dict[str, Tensor]:
        turn = 1 if player == "D" else 2
        z, other = draws.normal((2, game.batch, config.latent_dim), turn)
        drawn = {
            "normal/0": z,
            "normal/1": other,
            "uniform/0": draws.uniform((), turn),  # whether styles are mixed
            "uniform/1": draws.whole(1, 2 * model.stage.depth, (), turn),  # and from which layer on
        }
        for layer, size in enumerate(model.synthesis.noise_sizes()):
            nth = 2 * (turn - 1) + layer % 2 + 1
            drawn[f"normal/{layer + 2}"] = draws.normal((game.batch, 1, size, size), nth)
        return drawn

    common = {
        "num_channels": config.channels,
        "resolution": config.resolution,
        "label_size": config.classes,
        "fmap_base": config.width,
        "fmap_max": config.max_width,
    }
    mapping = {
        "latent_size": config.latent_dim,
        "dlatent_size": config.style_dim,
        "mapping_fmaps": config.style_dim,
        "mapping_layers": config.mapping_layers,
        "mapping_lrmul": config.mapping_lr,
    }
    spec = {
        "architecture": "stylegan",
        "losses": "training.loss",
        "G": {
            "network": {"func_name": "training.networks_stylegan.G_style", **mapping, **common},
            "loss": "G_logistic_nonsaturating",
        },
        "D": {
            "network": {
                "func_name": "training.networks_stylegan.D_basic",
                "mbstd_group_size": config.stddev_group,
                **common,
            },
            "loss": "D_logistic_simplegp",
        },
        "sampling": {"truncation_psi": 0.7, "truncation_cutoff": 3, "randomize_noise": False},
    }
    return growing.play(
        checkout,
        game,
        steps,
        python=python,
        epsilon=epsilon,
        names=generator_names(model) | growing.discriminator_names(len(model.synthesis.to_rgb)),
        spec=spec,
        draws_of=draws_of,
        scores=SCORES,
    )


def generator_names(model: Any) -> dict[str, Name]:
    """Returns the variable for each tensor of the mapping and the synthesis network."""
    depth = len(model.synthesis.to_rgb)
    names = {"mapping.mean": Name("G", "dlatent_avg")}
    if model.config.classes:
        names["mapping.embedding"] = Name("G", "G_mapping/LabelConcat/weight")
    for layer in range(model.config.mapping_layers):
        names[f"mapping.layers.{layer}.weight"] = dense("G", f"G_mapping/Dense{layer}/weight")
        names[f"mapping.layers.{layer}.bias"] = Name("G", f"G_mapping/Dense{layer}/bias")
    for layer in range(2 * depth):
        size = 4 * 2 ** (layer // 2)
        last = ("Const", "Conv") if layer < 2 else ("Conv0_up", "Conv1")
        ours, theirs = f"synthesis.layers.{layer}", f"G_synthesis/{size}x{size}/{last[layer % 2]}"
        if layer == 0:
            names[f"{ours}.constant"] = Name("G", f"{theirs}/const")
        else:
            names[f"{ours}.conv.weight"] = convolution("G", f"{theirs}/weight")
        names[f"{ours}.conv.bias" if layer % 2 else f"{ours}.bias"] = Name("G", f"{theirs}/bias")
        names[f"{ours}.epilogue.noise_strength"] = Name("G", f"{theirs}/Noise/weight")
        names[f"{ours}.epilogue.style.weight"] = dense("G", f"{theirs}/StyleMod/weight")
        names[f"{ours}.epilogue.style.bias"] = Name("G", f"{theirs}/StyleMod/bias")
        names[f"synthesis.noise_{layer}"] = Name("G", f"G_synthesis/noise{layer}")
    for block in range(depth):
        names[f"synthesis.to_rgb.{block}.weight"] = convolution("G", f"G_synthesis/ToRGB_lod{depth - 1 - block}/weight")
        names[f"synthesis.to_rgb.{block}.bias"] = Name("G", f"G_synthesis/ToRGB_lod{depth - 1 - block}/bias")
    return names
