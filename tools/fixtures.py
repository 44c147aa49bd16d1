"""Makes tests/fixtures/version_<N>/: ``python tools/fixtures.py``, once for each version of the model file's format.

Later versions of gancli must open files of earlier ones, so the fixtures of a version are made once, with the code of
that version. This script refuses to replace them. For each architecture there are

    run/                    a run directory with a checkpoint in the middle of training
    imported.safetensors    a model file as `gancli import` writes it: without discriminators, fully grown
    expected/               pictures, and the last checkpoint and the log of the resumed run

Beside them are the training images and made.json, which has the machine, the version, and the commands that made the
pictures. tests/test_version_1.py reads them.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # sums in one order; before torch is imported

import torch
from PIL import Image, ImageDraw

from gancli import __version__
from gancli.cli.app import run
from gancli.modelfile import FORMAT

TESTS = Path(__file__).parent.parent / "tests"
sys.path.insert(0, str(TESTS))
from machine import machine  # noqa: E402

HERE = TESTS / "fixtures" / f"version_{FORMAT}"
STOPPED, RESUMED = 6, 10  # steps
CLASSES = ("circle", "square", "triangle")
PER_CLASS = 8
SIDE = 32
INPUT = "drawings/circle/3.png"

SETTINGS = {
    # Label smoothing and noise, and an average that starts late.
    "dcgan": [
        *("model.generator_width=2", "model.discriminator_width=2", "model.latent_dim=4"),
        *("model.optimizers.D.lr=0.01", "model.optimizers.G.lr=0.05", "train.average={decay: 0.8, start: 2}"),
        *("train.aids.label_smoothing=0.1", "train.aids.label_flip=0.1", "train.aids.instance_noise=0.3"),
    ],
    # Dropout (a U-Net has it from 64 px), a schedule, and a batch that is split.
    "pix2pix": [
        *("model.resolution=64", "model.generator_width=1", "model.discriminator_width=2", "model.receptive_field=16"),
        *("model.optimizers.G.lr=0.01", "train.accumulate=2", "train.schedule.start=0.2"),
    ],
    # Full pools, and a player that skips every second round. Batch norm, because instance norm cancels the biases
    # before it: only rounding errors would move them, and they differ from machine to machine.
    "cyclegan": [
        *("model.resolution=16", "model.generator_width=2", "model.discriminator_width=2", "model.receptive_field=16"),
        *("model.blocks=1", "model.norm=batch", "model.pool_size=3", "model.optimizers.G.lr=0.01"),
        "train.turns={D: {every: 2}}",
    ],
    # The full version; spectral norms.
    "ugatit": [
        *("model.resolution=16", "model.light=false"),
        *("model.generator_width=2", "model.discriminator_width=2", "model.residual_blocks=1"),
        *("model.optimizers.G.lr=0.01", "train.average={decay: 0.8}", "train.clip_gradients=100"),
    ],
    # Classes; stopped in the middle of a fade, which ends at step 8, where Adam is reset.
    "progan": [
        *("model.resolution=16", "model.latent_dim=4", "model.width=16", "model.max_width=4", "model.classes=3"),
        *(
            "model.growth={initial_resolution: 4, stable_kimg: 0.004, fade_kimg: 0.012}",
            "train.average.half_life_kimg=0.004",
        ),
    ],
    # In the middle of a fade from the stop to the end.
    "stylegan": [
        *("model.resolution=16", "model.latent_dim=4", "model.style_dim=4", "model.mapping_layers=2"),
        *("model.width=16", "model.max_width=4", "model.r1_every=2", "model.mixing=0.5"),
        *(
            "model.growth={initial_resolution: 4, stable_kimg: 0.004, fade_kimg: 0.02}",
            "train.average.half_life_kimg=0.004",
        ),
    ],
}
DATA = {"pix2pix": "shapes:pairs", "cyclegan": "shapes:domains", "ugatit": "shapes:domains"}
DRAWINGS = "drawings"

PICTURES = {
    "dcgan": {
        "sample.png": "sample dcgan/run -n 4",
        "truncate.png": "truncate dcgan/run --seeds 0,1 --levels 1,0.5",
        "imported.png": "sample dcgan/imported.safetensors -n 4",
    },
    "pix2pix": {"translate.png": f"translate pix2pix/run {INPUT} --seed 1"},
    "cyclegan": {
        "to-plain.png": f"translate cyclegan/run {INPUT} --to plain",
        "to-striped.png": f"translate cyclegan/run {INPUT} --to striped",
        "imported.png": f"translate cyclegan/imported.safetensors {INPUT}",
    },
    "ugatit": {
        "to-plain.png": f"translate ugatit/run {INPUT} --to plain --attention",
        "to-striped.png": f"translate ugatit/run {INPUT} --to striped --attention",
    },
    "progan": {
        "sample.png": "sample progan/run --seeds 0,5 --class all",
        "truncate.png": "truncate progan/run --seeds 0,1 --levels 1,0.5 --class square",
    },
    "stylegan": {
        "sample.png": "sample stylegan/run -n 4 --trunc 0.7",
        "random.png": "sample stylegan/run -n 2 --noise random",
        "truncate.png": "truncate stylegan/run --seeds 0,1 --levels 1,0,-1",
        "mixed.png": "style-mix stylegan/run --rows 0,1 --cols 2,3",
        "imported.png": "sample stylegan/imported.safetensors -n 2",
    },
}
"""By architecture and file name: the command that makes it, all but -o and --device."""
OFFICIAL = {
    "dcgan": ("netG.pth", "", ""),
    "cyclegan": ("latest_net_G_A.pth", "--to striped", "--domains plain,striped --resolution 32"),
    "stylegan": ("train_step-4.model", "", ""),
}
"""Checkpoints that are imported: the file's name, and options of export and import."""


def gancli(*words: str | Path) -> None:
    if run([str(word) for word in words]) != 0:
        raise SystemExit(f"failed: gancli {' '.join(map(str, words))}")


def draw(folder: Path) -> None:
    """Draws a few small shapes by class; gancli's built-in shapes are not used because they may change."""
    for kind, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for index in range(PER_CLASS):
            number = kind * PER_CLASS + index
            image = Image.new("RGB", (SIDE, SIDE), (24, 24, 16 + number))
            colour = (70 + 53 * number % 180, 70 + 97 * number % 180, 70 + 29 * number % 180)
            left, top, side = 5 + number % 5, 4 + number % 4, 16 + number % 6
            box = (left, top, left + side, top + side)
            brush = ImageDraw.Draw(image)
            if name == "circle":
                brush.ellipse(box, fill=colour)
            elif name == "square":
                brush.rectangle(box, fill=colour)
            else:
                brush.polygon([(left, top + side), (left + side, top + side), (left + side // 2, top)], fill=colour)
            image.save(folder / name / f"{index}.png")


def make(architecture: str) -> None:
    """Makes the fixtures of one architecture; the working directory is the one of the version."""
    folder = Path(architecture)
    trained, expected = folder / "run", folder / "expected"
    expected.mkdir(parents=True)
    data = DATA.get(architecture, DRAWINGS)
    # The test part of the built-in data is small and decoded quickly.
    sets = [
        *SETTINGS[architecture],
        "train.log_every=2",
        "train.samples=4",
        *(["data.split=test"] * (data != DRAWINGS)),
    ]
    gancli(
        *("train", f"{architecture}-shapes", "--data", data, "--out", trained, "--steps", str(STOPPED)),
        *("--batch", "2", "--device", "cpu", "--precision", "fp32", "--keep", "1", "--seed", "12"),
        *(word for setting in sets for word in ("--set", setting)),
    )
    (trained / ".lock").unlink()
    shutil.rmtree(trained / "samples")
    config = trained / "config.yaml"
    # Relative, because the test resumes from this directory on another machine.
    config.write_text(config.read_text().replace(str(Path.cwd() / DRAWINGS), DRAWINGS))

    with tempfile.TemporaryDirectory() as scratch:
        if architecture in OFFICIAL:
            name, export_options, import_options = OFFICIAL[architecture]
            checkpoint = Path(scratch) / name
            gancli("export", trained, "-o", checkpoint, *export_options.split())
            gancli("import", architecture, checkpoint, "-o", folder / "imported.safetensors", *import_options.split())
        resumed = Path(scratch) / "run"
        shutil.copytree(trained, resumed)
        gancli("resume", resumed, "--steps", str(RESUMED))
        shutil.copytree(resumed / "checkpoints" / str(RESUMED), expected / "checkpoint")
        shutil.copy(resumed / "log.jsonl", expected)
    for name, command in PICTURES[architecture].items():
        gancli(*command.split(), "-o", expected / name, "--device", "cpu")


def main() -> None:
    if HERE.exists():
        raise SystemExit(f"{HERE} exists: what a version wrote is made once, with the code that wrote it")
    torch.set_num_threads(1)
    HERE.mkdir(parents=True)
    os.chdir(HERE)
    draw(Path(DRAWINGS))
    for architecture in SETTINGS:
        make(architecture)
    made = {"gancli": __version__, "threads": torch.get_num_threads(), "machine": machine(), "pictures": PICTURES}
    Path("made.json").write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
