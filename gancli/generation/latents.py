"""Points in a model's latent space, by seed or from a file, and their images."""

from __future__ import annotations

import tokenize
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from gancli.architectures.base import LatentModel, StyleModel
from gancli.console import note
from gancli.errors import GancliError
from gancli.seeding import derive

NoiseKind = Literal["const", "random", "none"]
Space = Literal["z", "w"]


@dataclass(frozen=True)
class Points:
    """Points in a model's latent space; each is an image.

    Attributes:
        values: on the CPU, latents z [N, *latent shape], or styles w, [N, W] or of each layer [N, L, W].
        seeds: what the noise of each image is drawn with, where it is random.
        labels: float [N, K] weights of classes, or None; a w has its class in it.
        space: what the values are.
    """

    values: Tensor
    seeds: Sequence[int]
    labels: Tensor | None = None
    space: Space = "z"

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, part: slice) -> Points:
        labels = None if self.labels is None else self.labels[part]
        return replace(self, values=self.values[part], seeds=self.seeds[part], labels=labels)


class ManyPoints(Protocol):
    """Points, or what computes them when they are needed."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice) -> Points: ...


def latents_of_seeds(model: LatentModel, seeds: Iterable[int], truncation: float | None = None) -> Tensor:
    """Returns one latent per seed, [len(seeds), *latent shape], on the CPU.

    Each seed has a random generator of its own, so that a seed means the same latent in any company and on any device.
    """
    latents = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        z = model.latents(1, generator)
        latents.append(z if truncation is None else model.resample(z, truncation, generator))
    return torch.cat(latents)


def labels_in_turn(model: LatentModel, seeds: Sequence[int]) -> Tensor | None:
    """Returns the classes that seeds have where nobody says which, as weights [N, classes]: seed i has the class i.

    They begin again behind the last one. None where the model takes no classes.
    """
    return model.class_weights(torch.tensor([seed % max(1, model.classes) for seed in seeds]))


def read_latents(path: Path, model: LatentModel, space: Space | None = None) -> tuple[Tensor, Space]:
    """Reads latents or styles from a ``.npy`` file, float32 on the CPU.

    Args:
        path: the file.
        model: whose they are.
        space: what the file holds. None: what the shape says, and latents where it could be either.

    Returns:
        The values of ``Points``, and their space.

    Raises:
        GancliError: the file cannot be read, or holds something else.
    """
    shapes: list[tuple[Space, tuple[int, ...]]] = []
    if space != "w":
        shapes.append(("z", tuple(model.latents(1, torch.Generator()).shape[1:])))
    if space != "z" and isinstance(model, StyleModel):
        shapes += [("w", tuple(model.mean_w.shape)), ("w", (model.layers, *model.mean_w.shape))]
    try:
        values = np.load(path, allow_pickle=False)
    except OSError as error:
        raise GancliError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, EOFError, MemoryError, zipfile.BadZipFile, tokenize.TokenError) as error:
        raise GancliError(f"{path} is not a .npy file of numbers", "numpy.save('z.npy', z)") from error
    if not isinstance(values, np.ndarray):
        raise GancliError(f"{path} holds an archive, not one array", "numpy.save('z.npy', z)")
    found = [kind for kind, shape in shapes if values.shape[1:] == shape]
    if values.dtype.kind not in "fiu" or not values.size or not found:
        # Of latents and styles of the same shape, one is enough to say.
        expected = " or ".join(dict.fromkeys(f"[N, {', '.join(map(str, shape))}]" for _, shape in shapes))
        raise GancliError(f"{path} holds {values.dtype} {list(values.shape)}, but this model takes float {expected}")
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise GancliError(f"{path} holds numbers that are not finite, or too large for float32")
    if len(set(found)) > 1:
        note(f"{path} could hold latents or styles, and is taken for latents; styles: --space w")
    return torch.from_numpy(values), found[0]


@dataclass(frozen=True)
class Renderer:
    """Makes the images of points, some at a time.

    The model is used as it is; put it into evaluation mode before, so that no image depends on its neighbours.

    Attributes:
        model: on ``device``.
        device: where it is computed.
        batch: most images computed at a time.
        psi, cutoff: truncation of styles, see ``StyleModel.truncate``.
        noise: noise of a ``StyleModel``: what the model file holds, drawn by the seed of each image, or none.
    """

    model: LatentModel
    device: torch.device
    batch: int = 64
    psi: float = 1.0
    cutoff: int | None = None
    noise: NoiseKind = "const"

    def images(self, points: ManyPoints) -> Iterator[Tensor]:
        """Yields images on the CPU, float32 [<= batch, C, H, W] in [-1, 1], in the order of the points.

        Latents of a ``StyleModel`` become truncated styles; styles are taken as they are.
        """
        for first in range(0, len(points), self.batch):
            yield self._images(points[first : first + self.batch])

    @torch.inference_mode()
    def styles(self, points: Points) -> Points:
        """Returns points of a ``StyleModel`` in w, truncated: [N, L, W] where layers may differ, else [N, W]."""
        layered = self.cutoff is not None or (points.space == "w" and points.values.ndim == 3)
        parts = (self._styles(points[first : first + self.batch]) for first in range(0, len(points), self.batch))
        ws = torch.cat([(part if layered else part[:, 0]).float().cpu() for part in parts])
        return replace(points, values=ws, labels=None, space="w")

    @torch.inference_mode()
    def _images(self, points: Points) -> Tensor:
        if not isinstance(self.model, StyleModel):
            labels = None if points.labels is None else points.labels.to(self.device)
            return self.model.decode(points.values.to(self.device), labels).float().cpu()
        ws = self._styles(points) if points.space == "z" else self.model.truncate(points.values.to(self.device))
        if self.noise != "random":
            return self.model.synthesize(ws, self.noise).float().cpu()
        drawn = [
            self.model.draw_noise(1, torch.Generator().manual_seed(derive("noise", seed))) for seed in points.seeds
        ]
        noise = [torch.cat(layer).to(self.device) for layer in zip(*drawn, strict=True)]
        return self.model.synthesize(ws, noise).float().cpu()

    def _styles(self, points: Points) -> Tensor:
        """Returns styles [N, L, W] on the device."""
        assert isinstance(self.model, StyleModel)
        w = points.values.to(self.device)
        if points.space == "z":
            w = self.model.map(w, None if points.labels is None else points.labels.to(self.device))
        return self.model.truncate(w, self.psi, self.cutoff)
