"""Perceptual path length (Karras, Laine & Aila 2018, arXiv 1812.04948, section 4.1).

The LPIPS distance of two images a step of 1e-4 apart on the path between two random latents, divided by the square of
the step and averaged without the lowest and the highest percent. ``full`` steps start anywhere on the path, ``end``
steps at its beginning. Paths in z are great circles, paths in w straight lines. Path i begins at image i.

The authors crop the faces of FFHQ first; here whole images are compared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from gancli.errors import GancliError
from gancli.generation.between import lerp, slerp
from gancli.generation.latents import Points
from gancli.metrics.base import Metric, Task, Values
from gancli.metrics.features import LPIPS, VGG16, find_weights, read_state
from gancli.metrics.images import Sampled
from gancli.seeding import derive

EPSILON = 1e-4
LARGEST = 256
"""Side in pixels; larger images are reduced to it."""


def load_lpips(device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """Returns torch-fidelity's LPIPS: float [N, 3, H, W] in 0..255, twice -> [N, 1, 1]; see ``find_weights``."""
    from torch_fidelity.utils import create_sample_similarity

    found = {weights.file: find_weights(weights, "LPIPS, for ppl") for weights in (VGG16, LPIPS)}
    before = torch.hub.get_dir()
    with tempfile.TemporaryDirectory(prefix="gancli-lpips-") as folder:
        # torch-fidelity unpickles files in torch's download folder; there it finds copies of the tensors alone.
        checkpoints = Path(folder) / "checkpoints"
        checkpoints.mkdir()
        for file, path in found.items():
            torch.save(read_state(path), checkpoints / file)
        torch.hub.set_dir(folder)
        try:
            measure = create_sample_similarity(
                "lpips-vgg16", cuda=False, verbose=False, sample_similarity_resize=None, sample_similarity_dtype=None
            )
        finally:
            torch.hub.set_dir(before)
    distance: Callable[[Tensor, Tensor], Tensor] = measure.to(device)
    return distance


class PathLength(Metric):
    name = "ppl"
    title = "perceptual path length in z and w, full and end (Karras et al. 2018)"
    needs_real = False

    def __init__(self, task: Task) -> None:
        if not isinstance(task.made.images, Sampled):
            raise GancliError("ppl needs a model that draws latents", "leave out 'ppl'")
        self._sampled, self._lpips = task.made.images, load_lpips(task.device)

    def values(self, task: Task, extractor: str) -> Values:
        return {
            f"ppl_{space}_{sampling}": self._length(task, space, sampling)
            for space in self._sampled.renderer.shapes
            for sampling in ("full", "end")
        }

    def _length(self, task: Task, space: str, sampling: str) -> float:
        sampled, batch = self._sampled, max(1, task.batch // 2)
        distances = []
        generator = torch.Generator().manual_seed(derive(task.seed, "ppl"))
        places = torch.rand(sampled.count, generator=generator, dtype=torch.float64)
        if sampling == "end":
            places = torch.zeros_like(places)
        with task.progress(f"ppl in {space}, {sampling}", sampled.count) as bar:
            for first in range(0, sampled.count, batch):
                count = min(batch, sampled.count - first)
                start = sampled.points(first, count)
                end = replace(sampled.points(sampled.count + first, count), labels=start.labels)
                t = places[first : first + count]
                distances.append(self._distances(task.device, [start, end], t, space))
                bar.advance(count)
        lengths = np.concatenate(distances)
        low, high = np.percentile(lengths, 1, method="lower"), np.percentile(lengths, 99, method="higher")
        return float(lengths[(low <= lengths) & (lengths <= high)].mean())

    def _distances(self, device: torch.device, ends: list[Points], t: Tensor, space: str) -> NDArray[np.float64]:
        renderer = self._sampled.renderer
        if space == "w":
            ends = [renderer.styles(points) for points in ends]
        a, b = (points.values.double().flatten(1) for points in ends)
        blend = slerp if space == "z" else lerp
        images = []
        for step in (t, t + EPSILON):
            values = blend(a, b, step).float().reshape(ends[0].values.shape)
            # The whole path has the class and the noise of its beginning.
            points = Points(values, ends[0].seeds, ends[0].labels, ends[0].space)
            images.append(torch.cat(list(renderer.images(points))))
        with torch.inference_mode():
            one, other = (_prepared(part.to(device)) for part in images)
            found = self._lpips(one, other).flatten() / EPSILON**2
        lengths: NDArray[np.float64] = found.double().cpu().numpy()
        return lengths


def _prepared(images: Tensor) -> Tensor:
    """Float [N, C, H, W] in [-1, 1] -> [N, 3, h, w] in 0..255, h and w at most 256."""
    images = (images + 1) * 127.5
    images = images[:, :3] if images.shape[1] >= 3 else images[:, :1].expand(-1, 3, -1, -1)
    factor = max(images.shape[2:]) // LARGEST
    return F.avg_pool2d(images, factor) if factor > 1 else images
