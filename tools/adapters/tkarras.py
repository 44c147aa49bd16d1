"""ProGAN of tkarras/progressive_growing_of_gans; see ``growing.py``."""

from __future__ import annotations

from pathlib import Path

from golden import Draws, Game, Numbers
from torch import Tensor

from adapters import growing
from adapters.growing import Name, convolution, dense, version

__all__ = ["FILES", "REPOSITORY", "play", "version"]

REPOSITORY = "tkarras/progressive_growing_of_gans"
FILES = ("loss.py", "misc.py", "networks.py", "tfutil.py", "train.py")
SCORES = {
    "D(x)": "Loss/real_scores",
    "D(G(z))": "Loss/fake_scores",
    "D class": "Loss/label_penalty_reals Loss/label_penalty_fakes",
}


def play(checkout: Path, game: Game, steps: int, *, python: str, epsilon: str) -> Numbers:
    config = game.model.config
    latents, mixing = (game.batch, config.latent_dim), (game.batch, 1, 1, 1)

    def draws_of(draws: Draws, player: str) -> dict[str, Tensor]:
        if player == "G":
            return {"normal/0": draws.normal(latents, 2)}
        return {"normal/0": draws.normal(latents, 1), "uniform/0": draws.uniform(mixing, 1)}

    common = {
        "num_channels": config.channels,
        "resolution": config.resolution,
        "label_size": config.classes,
        "fmap_base": config.width,
        "fmap_max": config.max_width,
    }
    spec = {
        "architecture": "progan",
        "losses": "loss",
        "G": {
            "network": {"func": "networks.G_paper", "latent_size": config.latent_dim, **common},
            "loss": "G_wgan_acgan",
        },
        "D": {
            "network": {"func": "networks.D_paper", "mbstd_group_size": config.stddev_group, **common},
            "loss": "D_wgangp_acgan",
        },
        "sampling": {},
    }
    depth = len(game.model.generator.blocks)
    return growing.play(
        checkout,
        game,
        steps,
        python=python,
        epsilon=epsilon,
        names=generator_names(depth) | growing.discriminator_names(depth),
        spec=spec,
        draws_of=draws_of,
        scores=SCORES if config.classes else {key: SCORES[key] for key in ("D(x)", "D(G(z))")},
    )


def generator_names(depth: int) -> dict[str, Name]:
    """Returns the variable for each parameter of G."""
    names = {
        "blocks.0.dense.weight": dense("G", "4x4/Dense/weight"),
        "blocks.0.bias": Name("G", "4x4/Dense/bias"),
    }
    for block in range(depth):
        at = f"{4 * 2**block}x{4 * 2**block}"
        layers = {f"to_rgb.{block}": f"ToRGB_lod{depth - 1 - block}"}
        layers[f"blocks.{block}.conv"] = f"{at}/Conv1" if block else f"{at}/Conv"
        if block:  # the kernel of a transposed convolution, [h, w, O, I], which lays it down mirrored
            names[f"blocks.{block}.up.weight"] = Name(
                "G",
                f"{at}/Conv0_up/weight",
                lambda w: w.permute(2, 3, 0, 1).flip(2, 3),
                lambda w: w.flip(2, 3).permute(2, 3, 0, 1),
            )
            names[f"blocks.{block}.up.bias"] = Name("G", f"{at}/Conv0_up/bias")
        names |= {f"{ours}.weight": convolution("G", f"{theirs}/weight") for ours, theirs in layers.items()}
        names |= {f"{ours}.bias": Name("G", f"{theirs}/bias") for ours, theirs in layers.items()}
    return {f"generator.{key}": name for key, name in names.items()}
