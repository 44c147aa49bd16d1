"""Metrics on real data, and their cost: ``python benchmarks/evaluation.py --data ../shared/data``.

Digits, in the features of a LeNet-5: the Fréchet distance between test and training images must be far below that of a
DCGAN's samples, which must be far below that of noise, and three checkpoints of one run must be in the right order.
Pictures, in the features of MobileNetV2: one half of some paintings must be closer to the other half than to
photographs. Cost: the images per second that a network processes, by batch size, and where an evaluation spends its
time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from mnist_frechet import lenet
from torch import Tensor, nn
from torch.nn import functional as F

from gancli.data.opening import open_source
from gancli.metrics.catalogue import chosen_metrics
from gancli.metrics.comparison import Comparison, of_files, of_model
from gancli.metrics.evaluation import Evaluation, Request
from gancli.metrics.features import load_extractor
from gancli.metrics.images import ImageSet, Part
from gancli.metrics.trust import trust
from gancli.modelfile import load_model
from gancli.schema import DataConfig

CPU = torch.device("cpu")
DIGITS = 10_000
STEPS = (100, 300, 900)


class Digits(nn.Module):
    """uint8 [N, 3, H, W] -> the 84 features of a LeNet-5 and its logits; it was trained on 32 px, grey, in [0, 1]."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        _, classifier = lenet(weights)
        self.features, self.last = classifier[:-1], classifier[-1]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        grey = images[:, :1].float() / 255
        features = self.features(F.interpolate(grey, (32, 32), mode="bilinear"))
        return features, self.last(features)


class Noise:
    """Images of uniform noise."""

    name = "uniform noise"

    def __len__(self) -> int:
        return DIGITS

    def parts(self, size: int) -> Iterator[Part]:
        generator = np.random.default_rng(0)
        for first in range(0, DIGITS, size):
            count = min(size, DIGITS - first)
            yield Part(np.arange(first, first + count), generator.integers(0, 256, (count, 32, 32, 1), np.uint8))


def silent(description: str, total: int) -> Any:
    return nullcontext(SimpleNamespace(advance=lambda n=1: None))


def measure(metrics: str, made: ImageSet, real: Any, features: str, weights: Path | None = None) -> dict[str, float]:
    request = Request(chosen_metrics(metrics, "--metrics"), CPU, features, weights)
    report = Evaluation(request, Comparison(made, real), silent).run()
    return {name: value for values in report.metrics.values() for name, value in values.items()}


def digits(data: Path, scratch: Path) -> None:
    torch.jit.save(torch.jit.trace(Digits(data / "features/mnist_lenet5_csinva.pth"), _some_images(2, 32)), "lenet.pt")
    trust(["lenet.pt"])
    folder = str(data / "mnist")
    train = ["train", "dcgan-mnist", "--data", folder, "--steps", str(STEPS[-1]), "--name", "digits"]
    train += ["--set", "train.checkpoint_every=100", "--set", "train.keep=9"]
    subprocess.run([sys.executable, "-m", "gancli", *train], check=True, stdout=subprocess.DEVNULL)
    test = open_source(folder, "test")
    sampled = []
    for step in STEPS:
        model, _ = load_model(scratch / f"runs/digits/checkpoints/{step}/model.safetensors", CPU)
        name = f"dcgan-mnist after {step} steps"
        sampled.append(of_model(name, model, test, DataConfig(), CPU, n=DIGITS, seed=0))
    # The training images, prepared in the same way.
    learnt = of_model("", model, open_source(folder), DataConfig(), CPU, n=DIGITS, seed=0).real
    sides = {"training images": learnt, **{each.made.name: each.made for each in sampled}, "uniform noise": Noise()}
    print(
        f"{'digits against 10,000 test images':38} {'fid':>8} {'kid x100':>9} {'precision':>10} {'recall':>7}",
        flush=True,
    )
    for name, images in sides.items():
        found = measure("fid,kid,prc", images, sampled[0].real, "lenet.pt")
        print(
            f"{name:38} {found['fid']:8.2f} {found['kid_x100']:9.2f} {found['precision']:10.3f} {found['recall']:7.3f}",
            flush=True,
        )


def pictures(data: Path) -> None:
    weights = data / "features/mobilenet_v2_features_imagenet.pth"

    def folder(name: str) -> Any:
        return of_files(str(data / name), None, None, None, 0, paired=False).made

    monet, photos = folder("monet2photo/trainA"), folder("monet2photo/trainB")
    halves = [monet.only(monet.chosen[first::2]) for first in (0, 1)]
    pairs = {
        "Monet, one half against the other": (halves[0], halves[1]),
        "Monet against photographs": (halves[0], photos.some(50, 0)),
        "facades: labels against photographs": (folder("facades/label"), folder("facades/photo")),
    }
    print(f"\n{'50 pictures against 50':38} {'fid':>8} {'kid x100':>9} {'swd':>9}")
    for name, (made, real) in pairs.items():
        found = measure("fid,kid,swd", made, real, "torchvision:mobilenet_v2", weights)
        print(f"{name:38} {found['fid']:8.2f} {found['kid_x100']:9.2f} {found['swd']:9.1f}", flush=True)


def _some_images(count: int, side: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8)


@torch.inference_mode()
def _images_per_second(network: Any, batch: int) -> float:
    images = _some_images(batch, 256)
    network(images)
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < 5:
        network(images)
        count += batch
    return count / (time.perf_counter() - begun)


def cost(data: Path) -> None:
    extractor = load_extractor("torchvision:mobilenet_v2", CPU, data / "features/mobilenet_v2_features_imagenet.pth")
    print("\nimages/s through MobileNetV2 at 224 px, images of 256 px")
    for batch in (1, 4, 16, 64):
        print(f"batch {batch:3}: {_images_per_second(extractor.network, batch):6.1f}", flush=True)
    print(f"as evaluate does it: {_images_per_second(extractor, 64):6.1f}", flush=True)
    images = _some_images(16, 256)
    begun = time.perf_counter()
    for _ in range(10):
        F.interpolate(images.float(), (224, 224), mode="bilinear", antialias=True)
    resized = time.perf_counter() - begun
    begun = time.perf_counter()
    for _ in range(10):
        extractor(images)
    print(f"of that resizing: {resized / (time.perf_counter() - begun):.0%}")
    horses = of_files(str(data / "horses"), None, None, None, 0, paired=False).made
    begun = time.perf_counter()
    count = sum(len(part) for part in horses.parts(16))
    print(f"decoding PNG files of 256 px: {count / (time.perf_counter() - begun):.0f} images/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with mnist/, monet2photo/, features/, ...")
    parser.add_argument("--only", choices=("digits", "pictures", "cost"))
    arguments = parser.parse_args()
    data = arguments.data.resolve()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        os.environ["GANCLI_HOME"] = str(Path(scratch) / "home")
        if arguments.only in (None, "digits"):
            digits(data, Path(scratch))
        if arguments.only in (None, "pictures"):
            pictures(data)
        if arguments.only in (None, "cost"):
            cost(data)


if __name__ == "__main__":
    main()
