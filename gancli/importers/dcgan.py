"""DCGAN generators of pytorch/examples (dcgan/main.py) and the PyTorch DCGAN tutorial: ``netG.pth``.

Their key map is one prefix, because both networks are the same chain of layers: ``main.N`` there is
``generator.layers.N`` here.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor

from gancli.importers.reading import DoesNotFit, Imported

KIND = "a DCGAN generator of pytorch/examples or the PyTorch tutorial"
FOREIGN = "main."
OURS = "generator.layers."


def convert(state: Mapping[str, Tensor]) -> Imported:
    """Finds the generator's sizes from its tensors and renames them.

    Layer 3i is the i-th transposed convolution [in, out, 4, 4], layer 3i + 1 the batch norm behind it; the last
    convolution has none. k convolutions make 4 * 2^(k-1) pixels.

    Raises:
        DoesNotFit: keys or shapes are not those of such a generator.
    """
    count = sum(tensor.ndim == 4 for tensor in state.values())
    first, last = state.get(f"{FOREIGN}0.weight"), state.get(f"{FOREIGN}{3 * (count - 1)}.weight")
    if first is None or last is None or first.ndim != 4 or last.ndim != 4:
        raise DoesNotFit(
            [f"{FOREIGN}0.weight is missing, or is no transposed convolution [Z, C, 4, 4]"]
            + [f"{key}: unexpected" for key in state if not key.startswith(FOREIGN)]
        )
    latent_dim, (width, channels) = first.shape[0], last.shape[:2]
    widths = [latent_dim, *(width * 2**i for i in reversed(range(count - 1))), channels]

    expected: dict[str, tuple[int, ...]] = {}
    for index, (inner, outer) in enumerate(pairwise(widths)):
        expected[f"{FOREIGN}{3 * index}.weight"] = (inner, outer, 4, 4)
        if index < count - 1:
            for name in ("weight", "bias", "running_mean", "running_var"):
                expected[f"{FOREIGN}{3 * index + 1}.{name}"] = (outer,)
            expected[f"{FOREIGN}{3 * index + 1}.num_batches_tracked"] = ()
    # PyTorch before 0.4.1 kept no num_batches_tracked.
    given = {**{key: torch.tensor(0) for key in expected if key.endswith("num_batches_tracked")}, **state}
    problems = [f"{key}: missing" for key in expected if key not in given]
    problems += [f"{key}: unexpected" for key in given if key not in expected]
    problems += [
        f"{key}: {list(given[key].shape)}, but {list(shape)} would fit"
        for key, shape in expected.items()
        if key in given and given[key].shape != shape
    ]
    resolution = 4 * 2 ** (count - 1)
    if not 32 <= resolution <= 256:
        problems.append(f"{count} convolutions make {resolution} px, but 32 to 256 px are known")
    if channels not in (1, 3):
        problems.append(f"{channels} colour channels, but 1 or 3 are known")
    if problems:
        raise DoesNotFit(problems)
    return Imported(
        model={
            "resolution": resolution,
            "channels": channels,
            "latent_dim": latent_dim,
            "generator_width": width,
        },
        tensors={OURS + key.removeprefix(FOREIGN): tensor for key, tensor in given.items()},
        networks=["generator"],
    )
