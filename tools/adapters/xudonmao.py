"""LSGAN of xudonmao/LSGAN: ``train_lsun.py`` with the networks of ``vgg.py``, a sixteenth as wide."""

from __future__ import annotations

from pathlib import Path

from games import LATENTS
from golden import Draws, Game, Numbers

from adapters import scripts
from adapters.growing import EPSILON, Name, convolution, dense, version
from adapters.scripts import Turn, transposed

__all__ = ["FILES", "REPOSITORY", "play", "version"]

REPOSITORY = "xudonmao/LSGAN"
FILES = ("ops.py", "train_lsun.py", "utils.py", "vgg.py")


def play(checkout: Path, game: Game, steps: int, *, python: str) -> Numbers:
    config, draws, turns = game.model.config, Draws(), []
    for step in range(steps):
        draws.begin(step)
        z = 2 * draws.uniform((game.batch, config.latent_dim)) - 1
        images = game.images(step)["image"].permute(0, 2, 3, 1)
        turns += [Turn("D", step, {"given": z, "images": images}), Turn("G", step, {"given": z})]
    flags = {
        "batch_size": game.batch,
        "z_dim": config.latent_dim,
        "output_size": config.resolution,
        "max_steps": steps + 1,
    }
    found, numbers = scripts.play(
        checkout,
        game,
        python,
        names=names(),
        turns=turns,
        inputs={"latents": LATENTS, "images": LATENTS},
        script="train_lsun.py",
        arguments=[f"--{flag}={value}" for flag, value in flags.items()],
        changes={"vgg.py": [[rf"\b{width}\b", str(width // 16)] for width in (64, 128, 256)]},
        outputs={"G": "vgg.sampler(latents)"},
        shape=[game.batch, config.resolution, config.resolution, config.channels],
        epsilon=EPSILON * game.batch,  # the official losses are sums over the batch
    )
    numbers = {"G(z)": found["G"].permute(0, 3, 1, 2), **numbers}
    for step in range(steps):
        for player in "DG":
            cost = scripts.mean(found, turns, player, step, "cost")
            numbers[f"step {step + 1}: {player}"] = cost / game.batch
    return numbers


def names() -> dict[str, Name]:
    """Returns the variable for each parameter, and for G's moving means."""
    found = {
        "generator.layers.0.weight": dense("G", "generator/g_h0_lin/Matrix"),
        "generator.layers.0.bias": Name("G", "generator/g_h0_lin/bias"),
        "discriminator.score.weight": dense("D", "discriminator/d_h4_logits/Matrix"),
        "discriminator.score.bias": Name("D", "discriminator/d_h4_logits/bias"),
    }
    norms = {"generator.layers.3": "generator/g_bn0"}
    for index, layer in enumerate(("1_1", "1_2", "2_1", "2_2", "3_1", "4_1", "5")):
        ours, theirs = f"generator.layers.{5 + 3 * index}", f"generator/g_h{layer}"
        found |= {f"{ours}.weight": transposed("G", f"{theirs}/w"), f"{ours}.bias": Name("G", f"{theirs}/biases")}
        if layer != "5":
            norms[f"generator.layers.{6 + 3 * index}"] = f"generator/g_bn{layer}"
    for index, place in enumerate((0, 2, 5, 8)):
        ours, theirs = f"discriminator.layers.{place}", f"discriminator/d_h{index}_conv"
        found |= {f"{ours}.weight": convolution("D", f"{theirs}/w"), f"{ours}.bias": Name("D", f"{theirs}/biases")}
        if index:
            norms[f"discriminator.layers.{place + 1}"] = f"discriminator/d_bn{index}"
    for ours, theirs in norms.items():
        found |= {f"{ours}.weight": Name("", f"{theirs}/gamma"), f"{ours}.bias": Name("", f"{theirs}/beta")}
        found[f"{ours}.running_mean"] = Name("", f"{theirs}/moving_mean")
    return found
