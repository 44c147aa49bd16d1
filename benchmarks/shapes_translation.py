"""What has a translator learnt on the built-in shapes? ``python benchmarks/shapes_translation.py MODEL``

The test part of ``shapes:pairs`` and ``shapes:domains`` shows the same shapes in both domains; training uses other
shapes. For each direction of the model, the table has

- PSNR: that of the translation against the truth;
- copying: the PSNR of the unchanged input against the truth;
- stripes: how much of the difference between plain and striped is there (1: all of it, in the right place; 0: none);
- shape, colour: the share of translations in which ``recognise``, an exact classifier that is not trained, finds the
  right shape and colour.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from gancli.architectures.base import Translator
from gancli.data.opening import open_source
from gancli.data.pipeline import fixed_batch
from gancli.data.shapes import RECOGNISED, recognise
from gancli.generation.writers import to_pixels
from gancli.modelfile import find_model, load_model
from gancli.schema import DataConfig


def psnr(found: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Returns the mean over images of 10 log10(255^2 / MSE), in dB."""
    errors = ((found - truth) ** 2).mean(axis=(1, 2, 3))
    return float((10 * np.log10(255**2 / np.maximum(errors, 1e-9))).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--count", type=int, default=252, help="test images; 36 contain each mode once")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model, info = load_model(find_model(arguments.model), torch.device("cpu"))
    assert isinstance(model, Translator)
    location = info.config["data"]["source"]
    # The shapes of both domains are paired, even if the model was trained without pairs.
    inputs = replace(model.inputs(model.config), paired=True)
    batch = fixed_batch(open_source(location, "test"), inputs, DataConfig(), arguments.count)
    pixels = {domain: to_pixels(images).astype(np.float64) for domain, images in batch.images.items()}
    names = dict(zip(inputs.domains, info.domains, strict=True))
    print(f"{info.architecture}, {info.step} steps, {arguments.count} test images of {location}")
    print(f"{'':22} {'PSNR':>6} {'copying':>8} {'stripes':>8} {'shape':>6} {'colour':>7}")
    for way in model.ways():
        with torch.no_grad():
            made = torch.cat([model.translate(image, way) for image in batch.images[way.source].split(1)])
        found, truth, given = to_pixels(made).astype(np.float64), pixels[way.target], pixels[way.source]
        stripes = "-"
        if location == "shapes:domains":
            change = truth - given  # projected onto the true change
            stripes = f"{((found - given) * change).sum() / (change**2).sum():.2f}"
        seen, meant = recognise(to_pixels(made)), recognise(truth.astype(np.uint8))
        sure = seen.confidence >= RECOGNISED
        print(
            f"{names[way.source] + ' -> ' + names[way.target]:22} "
            f"{psnr(found, truth):6.2f} {psnr(given, truth):8.2f} {stripes:>8} "
            f"{(sure & (seen.kind == meant.kind)).mean():6.2f} {(seen.colour == meant.colour).mean():7.2f}"
        )


if __name__ == "__main__":
    main()
