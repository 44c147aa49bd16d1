"""Does gancli train as well as plain PyTorch? ``python benchmarks/mnist_frechet.py --data ../shared/data``

Both train a DCGAN on MNIST at 32 px with the same number of images and several seeds. The result is the Fréchet
distance between 10,000 samples and the 10,000 test images, in the 84 features before the last layer of a LeNet-5.
gancli's side runs the commands that users type. The plain loop samples with batch norm in training mode and in
evaluation mode; the better mean counts.
"""

from __future__ import annotations

import argparse
import gzip
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from plain_dcgan import networks, training
from torch import Tensor, nn
from torchvision.transforms import functional as transforms

from gancli import config as configuration
from gancli.data.opening import open_source
from gancli.metrics.fid import frechet
from gancli.metrics.statistics import Moments, moments

PRESET = "dcgan-mnist"
SAMPLES = 10_000


def lenet(weights: Path) -> tuple[nn.Sequential, nn.Sequential]:
    """Returns the layers up to the 84 features, of [N, 1, 32, 32] in [0, 1], and all layers."""
    pool, relu = nn.MaxPool2d(2), nn.ReLU()
    convolutions = [nn.Conv2d(1, 6, 5), relu, pool, nn.Conv2d(6, 16, 5), relu, pool, nn.Conv2d(16, 120, 5), relu]
    classifier = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(120, 84), relu, nn.Linear(84, 10))
    saved = torch.load(weights, weights_only=True, map_location="cpu")
    classifier.load_state_dict(dict(zip(classifier.state_dict(), saved.values(), strict=True)))
    return classifier[:-1], classifier


def digits(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    """Returns images [N, 1, 32, 32] in [-1, 1], as the course's transforms resize and normalise them, and labels."""
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
        pixels = torch.frombuffer(bytearray(file.read()), dtype=torch.uint8, offset=16).view(-1, 1, 28, 28)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = torch.frombuffer(bytearray(file.read()), dtype=torch.uint8, offset=8)
    return transforms.resize(pixels, [32, 32]).float() / 127.5 - 1, labels


@torch.inference_mode()
def moments_of(features: nn.Module, images: Tensor) -> Moments:
    return moments(torch.cat([features(part / 2 + 0.5) for part in images.split(500)]).numpy())


def gancli_samples(data: str, seed: int, epochs: float, cwd: Path) -> Tensor:
    run = f"seed{seed}"
    train = ["train", PRESET, "--data", data, "--epochs", f"{epochs:g}", "--seed", str(seed), "--name", run]
    for command in (train, ["sample", run, "-n", str(SAMPLES), "-o", f"{run}.npy"]):
        subprocess.run([sys.executable, "-m", "gancli", *command], cwd=cwd, check=True, stdout=subprocess.DEVNULL)
    return torch.from_numpy(np.load(cwd / f"{run}.npy"))


def plain_samples(images: Tensor, seed: int, epochs: float) -> dict[str, Tensor]:
    model, train = (config := configuration.resolve(PRESET)).model, config.train
    assert model.generator_width == model.discriminator_width
    torch.manual_seed(seed)
    generator, discriminator = networks(model.latent_dim, model.generator_width, model.channels, model.resolution)

    def batches() -> Iterator[Tensor]:
        left = round(epochs * len(images))
        while left > 0:
            for indices in torch.randperm(len(images))[:left].split(train.batch):
                yield images[indices]
            left -= len(images)

    for _ in training(generator, discriminator, batches(), model.latent_dim, model.optimizers.D.lr):
        continue
    samples = {}
    with torch.inference_mode():
        for mode in ("train", "eval"):
            generator.train(mode == "train")
            z = torch.randn(SAMPLES, model.latent_dim, 1, 1)
            samples[mode] = torch.cat([generator(part) for part in z.split(train.batch)])
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with mnist/ and features/")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    folder = arguments.data.resolve() / "mnist"
    (images, _), (test, labels) = digits(folder, "train"), digits(folder, "t10k")
    features, classifier = lenet(arguments.data / "features" / "mnist_lenet5_csinva.pth")
    with torch.inference_mode():
        accuracy = float((classifier(test / 2 + 0.5).argmax(1) == labels).float().mean())
    real = moments_of(features, test)
    print(f"{PRESET}, {arguments.epochs:g} epochs of {len(images):,} images, {torch.get_num_threads()} threads")
    print(f"LeNet-5: {accuracy:.2%} of the test images right")
    print(
        f"Fréchet distance to the test images: training images {frechet(moments_of(features, images), real):.2f}, ",
        end="",
    )
    print(f"uniform noise {frechet(moments_of(features, torch.rand_like(test) * 2 - 1), real):.0f}", flush=True)

    with tempfile.TemporaryDirectory() as scratch:
        cwd = Path(scratch)
        os.environ["GANCLI_HOME"] = str(cwd / "home")
        raw = cwd / "home" / "data" / "MNIST" / "raw"  # where torchvision keeps it
        raw.parent.mkdir(parents=True)
        raw.symlink_to(folder)
        by_path, by_name = open_source(str(folder)), open_source("mnist")
        one, other = by_path.domains["image"], by_name.domains["image"]
        same = len(one) == len(other) and all(
            np.array_equal(one.read(index, 1), other.read(index, 1)) for index in range(len(one))
        )
        print(f"`mnist` ({by_name.layout}) and the idx folder hold the same {len(one):,} images: {same}\n")

        print(f"{'seed':>4}  {'--data':12} {'gancli':>8} {'plain, train':>13} {'plain, eval':>12}", flush=True)
        rows = []
        for seed in arguments.seeds:
            data = "mnist" if seed == arguments.seeds[-1] else str(folder)  # so both ways to name the data are used
            with ThreadPoolExecutor(1) as pool:  # waits for the command while the plain loop runs
                ours = pool.submit(gancli_samples, data, seed, arguments.epochs, cwd)
                plain = plain_samples(images, seed, arguments.epochs)
            row = [frechet(moments_of(features, x), real) for x in (ours.result(), plain["train"], plain["eval"])]
            rows.append(row)
            name = "mnist" if data == "mnist" else "idx folder"
            print(f"{seed:4}  {name:12} {row[0]:8.2f} {row[1]:13.2f} {row[2]:12.2f}", flush=True)
        means = [statistics.mean(column) for column in zip(*rows, strict=True)]
        print(f"mean  {'':12} {means[0]:8.2f} {means[1]:13.2f} {means[2]:12.2f}")
    sys.exit(not same or means[0] > min(means[1:]))


if __name__ == "__main__":
    main()
