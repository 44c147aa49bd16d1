"""Real images as the networks see them, arranged for the eye: what ``gancli data -o`` writes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gancli.data.pipeline import fixed_batch
from gancli.data.source import BadImage, PointCloud, Source
from gancli.domains import Domain, Inputs
from gancli.errors import GancliError
from gancli.schema import DataConfig

SIDE = 64  # pixels, of images that are not square or are larger than LARGEST_SIDE
LARGEST_SIDE = 256
TRIED = 4  # images for each one that is shown; some may be broken


@dataclass(frozen=True)
class Seen:
    """Images for a grid, row by row.

    Attributes:
        images: float32 [N, C, H, W] in [-1, 1], C <= 4.
        names: of each image, without a suffix; None: a black one that fills a row.
        columns: of the grid.
        order: the order of rows or columns, in words; may be empty.
    """

    images: Tensor
    names: list[str | None]
    columns: int
    order: str


def look_at(source: Source, n: int, resolution: int | None = None) -> Seen:
    """Returns the first images of a source, resized and cropped in the middle as ``DataConfig`` does by default.

    Several domains are side by side; with classes, each has a row of its own.

    Args:
        source: from ``open_source``.
        n: most images of each domain, and most classes; at least 1.
        resolution: height and width; by default those of the first image, or ``SIDE``.

    Raises:
        GancliError: it holds points, or no image can be read.
    """
    if any(isinstance(images, PointCloud) for images in source.domains.values()):
        raise GancliError(f"{source.location} holds points, which are not images", f"gancli data {source.location}")
    side = resolution or _own_side(source)
    shapes = {name: (source.channels.get(name, 3), side, side) for name in source.domains}
    inputs = Inputs({name: Domain(shape) for name, shape in shapes.items()}, paired=source.paired)
    if source.labels is not None and source.labels.ndim == 1:
        return _by_class(source, inputs, n)
    found = fixed_batch(source, inputs, DataConfig(), n)
    count, domains = len(found), len(source.domains)
    images = torch.stack([_shown(domain) for domain in found.images.values()], dim=1).flatten(0, 1)
    if domains == 1:
        return Seen(images, [str(index) for index in range(count)], math.ceil(math.sqrt(count)), "")
    names: list[str | None] = [f"{index}-{name}" for index in range(count) for name in source.domains]
    columns = domains * max(1, round(math.sqrt(count / domains)))
    return Seen(images, names, columns, f"columns in turn: {', '.join(source.domains)}")


def _by_class(source: Source, inputs: Inputs, n: int) -> Seen:
    each = max(1, n // len(source.classes))
    rows: list[Tensor] = []
    titles: list[str] = []
    names: list[str | None] = []
    for number, title in enumerate(source.classes):
        indices = np.flatnonzero(source.labels == number)[: TRIED * each].tolist()
        if indices and len(rows) < n:
            images = _shown(fixed_batch(source, inputs, DataConfig(), each, indices).image)
            # A class with fewer images than the others leaves the rest of its row black.
            rows.append(F.pad(images, (0, 0, 0, 0, 0, 0, 0, each - len(images)), value=-1))
            names += [f"{title.replace('/', '-')}-{i}" if i < len(images) else None for i in range(each)]
            titles.append(title)
    columns = each if each > 1 else math.ceil(math.sqrt(len(rows)))
    return Seen(torch.cat(rows), names, columns, f"{'rows' if each > 1 else 'row by row'}: {', '.join(titles)}")


def _own_side(source: Source) -> int:
    name, images = next(iter(source.domains.items()))
    try:
        height, width = images.read(0, source.channels.get(name, 3)).shape[:2]
    except BadImage:
        return SIDE
    return height if height == width <= LARGEST_SIDE else SIDE


def _shown(images: Tensor) -> Tensor:
    """Returns images as a picture: of more than 4 channels, the first three."""
    return images if images.shape[1] <= 4 else images[:, :3]
