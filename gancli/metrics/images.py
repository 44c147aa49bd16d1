"""Sets of images to compare: stored, sampled from a model, or translated by one.

They are read in parts, any number of times, so memory does not grow with their number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from gancli.data.preparation import Preparation
from gancli.data.sampler import uniform
from gancli.data.source import BadImage, Images, Pixels, PointCloud
from gancli.data.threads import in_threads
from gancli.errors import GancliError
from gancli.generation.latents import Points, Renderer
from gancli.generation.translation import Translation
from gancli.generation.writers import as_rgb, to_pixels


@dataclass(frozen=True)
class Part:
    """Some images of a set, all of one size.

    Attributes:
        places: int64 [N], rising: numbers of the images in the set, from 0.
        pixels: uint8 [N, H, W, C]; of points, the points themselves, float32 [N, D].
        labels: int64 [N] classes, or None.
    """

    places: NDArray[np.int64]
    pixels: NDArray[Any]
    labels: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def rgb(self) -> torch.Tensor:
        """Returns uint8 [N, 3, H, W]: grey is repeated, channels after the third are left out."""
        return torch.from_numpy(np.ascontiguousarray(as_rgb(self.pixels).transpose(0, 3, 1, 2)))


class ImageSet(Protocol):
    """Images that are the same whenever they are read."""

    name: str
    """For users."""

    def __len__(self) -> int: ...

    def parts(self, size: int) -> Iterator[Part]:
        """Yields all images in order, at most ``size`` at a time."""


@dataclass
class Stored:
    """Images of a source.

    Attributes:
        origin: changes whenever an image of the source or its preparation may have changed.
        images: all images of the source.
        channels: number of channels that they are read with.
        labels: int64 class of every image of the source, or None.
        preparation: how they are resized and cropped. None: they keep their size.
        side: size in pixels of images that are drawn without a preparation.
        chosen: indices of the images of the source that belong to the set, in its order; all by default.
        bad: reasons by name of images that could not be read, filled in while reading.
    """

    name: str
    origin: str
    images: Images
    channels: int
    labels: NDArray[np.int64] | None = None
    preparation: Preparation | None = None
    side: int | None = None
    chosen: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    bad: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.chosen):
            self.chosen = np.arange(len(self.images))

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def key(self) -> str:
        """Changes whenever an image or label may have changed, or other images are chosen."""
        which = hashlib.blake2b(np.ascontiguousarray(self.chosen, np.int64).tobytes(), digest_size=16)
        if self.labels is not None:
            which.update(np.ascontiguousarray(self.labels, np.int64).tobytes())
        return f"{self.origin} {self.channels} {self.side} {which.hexdigest()}"

    def some(self, n: int | None, seed: int) -> Stored:
        """Returns ``n`` of the images, drawn by their number and ``seed`` alone; all if ``n`` is None."""
        if n is None or n >= len(self):
            return self
        draws = uniform(seed, np.arange(len(self)), "evaluated")
        places = np.sort(np.argsort(draws, kind="stable")[:n])
        return self.only(self.chosen[places])

    def only(self, chosen: NDArray[np.int64]) -> Stored:
        """Returns the images with these indices in the source."""
        return replace(self, chosen=chosen, bad={})

    def parts(self, size: int) -> Iterator[Part]:
        if isinstance(self.images, PointCloud):
            for places in np.split(np.arange(len(self)), range(size, len(self), size)):
                yield Part(places, self.images.values[self.chosen[places]])
            return
        waiting: list[tuple[int, Pixels]] = []
        for place, pixels in enumerate(in_threads(self._read, len(self))):
            if isinstance(pixels, BadImage):
                self.bad[self.images.name(int(self.chosen[place]))] = str(pixels)
                continue
            if waiting and (len(waiting) == size or waiting[0][1].shape != pixels.shape):
                yield self._part(waiting)
                waiting = []
            waiting.append((place, pixels))
        if waiting:
            yield self._part(waiting)

    def _read(self, place: int) -> Pixels:
        prepare = self.preparation
        pixels = self.images.read(int(self.chosen[place]), self.channels, prepare.side if prepare else self.side)
        return prepare(pixels) if prepare else pixels

    def _part(self, found: Sequence[tuple[int, Pixels]]) -> Part:
        places = np.array([place for place, _ in found])
        labels = None if self.labels is None else self.labels[self.chosen[places]]
        return Part(places, np.stack([pixels for _, pixels in found]), labels)


@dataclass
class Sampled:
    """The images of a latent model for the seeds ``seed``, ``seed`` + 1, ...; classes take turns."""

    name: str
    renderer: Renderer
    count: int
    seed: int = 0

    def __len__(self) -> int:
        return self.count

    def parts(self, size: int) -> Iterator[Part]:
        for first in range(0, self.count, size):
            points = self.points(first, min(size, self.count - first))
            labels = None if points.labels is None else points.labels.argmax(dim=1).numpy()
            images = torch.cat(list(self.renderer.images(points)))
            pixels = images.numpy() if self.renderer.kind == "points" else to_pixels(images)
            yield Part(np.arange(first, first + len(points)), pixels, labels)

    def points(self, first: int, n: int) -> Points:
        """Returns the points of the images ``first`` to ``first + n - 1``."""
        seeds = range(self.seed + first, self.seed + first + n)
        return replace(self.renderer.draw(seeds), labels=self.renderer.model.labels_in_turn(seeds))


@dataclass
class TranslatedImages:
    """Stored images after a translation, which returns uint8."""

    name: str
    inputs: Stored
    translation: Translation

    def __len__(self) -> int:
        return len(self.inputs)

    def parts(self, size: int) -> Iterator[Part]:
        # Features, too, are extracted from the images of a noisy model one by one.
        for part in self.inputs.parts(1 if self.translation.model.noisy else size):
            (translated,) = self.translation([part.pixels.transpose(0, 3, 1, 2)])
            yield Part(part.places, translated.images)


def by_name(made: Stored, real: Stored) -> tuple[Stored, Stored]:
    """Returns the images of two sets that have the same names without folders and suffix, in the same order.

    Raises:
        GancliError: the sets have no name in common, or several images of one set have the same name.
    """
    ours: dict[str, int] = {}
    theirs: dict[str, int] = {}
    for images, found in ((made, ours), (real, theirs)):
        for index in images.chosen.tolist():
            stem = PurePath(images.images.name(index)).stem
            if stem in found:
                raise GancliError(
                    f"{images.name} has several images called {stem}, so it is unclear which belongs to a pair",
                    "leave out ssim, ms-ssim and psnr",
                )
            found[stem] = index
    both = [stem for stem in ours if stem in theirs]
    if not both:
        raise GancliError(
            f"no image of {made.name} has the same name as one of {real.name}, so there are no pairs",
            "leave out ssim, ms-ssim and psnr, or give both files of a pair the same name",
        )
    return made.only(np.array([ours[stem] for stem in both])), real.only(np.array([theirs[stem] for stem in both]))
