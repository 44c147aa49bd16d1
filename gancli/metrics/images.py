"""Sets of images that are compared: stored, sampled from a model, or translated by one.

All are streams that come in parts and can be read again, so that memory does not grow with their number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from gancli.architectures.base import StyleModel, Translator
from gancli.data.preparation import Preparation
from gancli.data.sampler import uniform
from gancli.data.source import BadImage, Images, Pixels
from gancli.data.threads import in_threads
from gancli.errors import GancliError
from gancli.generation.latents import Points, Renderer, labels_in_turn, latents_of_seeds
from gancli.generation.writers import to_pixels


@dataclass(frozen=True)
class Part:
    """Some images of a set, all of one size.

    Attributes:
        places: int64 [N], rising: which images of the set, counted from 0.
        pixels: uint8 [N, H, W, C].
        labels: int64 [N], or None where there are no classes.
    """

    places: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def rgb(self) -> torch.Tensor:
        """Returns uint8 [N, 3, H, W]; grey is repeated, of more channels the first three are taken."""
        channels = self.pixels.shape[3]
        shown = self.pixels if channels == 3 else self.pixels[..., [0, 0, 0] if channels < 3 else [0, 1, 2]]
        return torch.from_numpy(np.ascontiguousarray(shown.transpose(0, 3, 1, 2)))


class ImageSet(Protocol):
    """Images that can be read any number of times, always the same."""

    name: str
    """What a person calls them."""

    def __len__(self) -> int: ...

    def parts(self, size: int) -> Iterator[Part]:
        """Yields all images in order, at most ``size`` at a time."""


@dataclass
class Stored:
    """Images of a source.

    Attributes:
        name: see ``ImageSet``.
        origin: changes whenever an image of the source may have changed, or what is done to it.
        images: of the source.
        channels: with which they are read.
        labels: int64, of every image of the source, or None.
        preparation: what is done to them, or None: they keep their size.
        side: size in pixels at which drawn images are drawn where there is no preparation.
        chosen: which images of the source are meant, in this order; all by default.
        bad: name and reason of each image that could not be read, found while reading.
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
        """Changes whenever one of the images or its label may have changed, or others are meant."""
        which = hashlib.blake2b(np.ascontiguousarray(self.chosen, np.int64).tobytes(), digest_size=16)
        if self.labels is not None:
            which.update(np.ascontiguousarray(self.labels, np.int64).tobytes())
        return f"{self.origin} {self.channels} {self.side} {which.hexdigest()}"

    def some(self, n: int | None, seed: int) -> Stored:
        """Returns ``n`` of the images, which are drawn by their number and ``seed`` alone; all where n is None."""
        if n is None or n >= len(self):
            return self
        draws = uniform(seed, np.arange(len(self)), "evaluated")
        places = np.sort(np.argsort(draws, kind="stable")[:n])
        return self.only(self.chosen[places])

    def only(self, chosen: NDArray[np.int64]) -> Stored:
        """Returns some of the images, by their indices in the source."""
        return replace(self, chosen=chosen, bad={})

    def stem(self, index: int) -> str:
        """Returns the name of an image of the source without folders and ending."""
        return PurePath(self.images.name(index)).stem

    def parts(self, size: int) -> Iterator[Part]:
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
    """Images that a latent model makes of the seeds ``seed``, ``seed`` + 1, ...; classes come in turn.

    Attributes:
        name: see ``ImageSet``.
        renderer: makes the images.
        count: how many.
        seed: of the first.
        threshold: latents above it are drawn again, for models without styles; None: they are as they are.
    """

    name: str
    renderer: Renderer
    count: int
    seed: int = 0
    threshold: float | None = None

    def __len__(self) -> int:
        return self.count

    def parts(self, size: int) -> Iterator[Part]:
        for first in range(0, self.count, size):
            points = self.points(first, min(size, self.count - first))
            labels = None if points.labels is None else points.labels.argmax(dim=1).numpy()
            images = torch.cat(list(self.renderer.images(points)))
            yield Part(np.arange(first, first + len(points)), to_pixels(images), labels)

    def points(self, first: int, n: int) -> Points:
        """Returns the points of the images ``first`` to ``first + n - 1``."""
        model = self.renderer.model
        seeds = range(self.seed + first, self.seed + first + n)
        threshold = None if isinstance(model, StyleModel) else self.threshold
        return Points(latents_of_seeds(model, seeds, threshold), seeds, labels_in_turn(model, seeds))


@dataclass
class Translated:
    """What a translator makes of stored images.

    Attributes:
        name: see ``ImageSet``.
        model: in evaluation mode on ``device``.
        to: domain that it translates into, as ``model.domains`` calls it.
        inputs: images of the other domain.
        device: where it computes.
        seed: of its noise, where it draws some; the same for every image.
    """

    name: str
    model: Translator
    to: str
    inputs: Stored
    device: torch.device
    seed: int = 0

    def __len__(self) -> int:
        return len(self.inputs)

    @torch.inference_mode()
    def parts(self, size: int) -> Iterator[Part]:
        for part in self.inputs.parts(1 if self.model.noisy else size):
            if self.model.noisy:
                torch.manual_seed(self.seed)
            images = torch.from_numpy(part.pixels.transpose(0, 3, 1, 2)).to(self.device).float().div_(127.5).sub_(1)
            made = self.model.translate(images.contiguous(memory_format=torch.channels_last), self.to)
            yield Part(part.places, to_pixels(made.float().cpu()))


def by_name(made: Stored, real: Stored) -> tuple[Stored, Stored]:
    """Returns those images of two sets whose names without ending are the same, in the same order.

    Raises:
        GancliError: no names are the same, or one stands for several images.
    """
    stems: list[dict[str, int]] = []
    for images in (made, real):
        found: dict[str, int] = {}
        for index in images.chosen:
            stem = images.stem(int(index))
            if stem in found:
                raise GancliError(
                    f"{images.name} has several images called {stem}, so that nothing says which is the other's pair",
                    "leave out ssim, ms-ssim and psnr",
                )
            found[stem] = int(index)
        stems.append(found)
    both = sorted(stems[0].keys() & stems[1].keys(), key=lambda stem: stems[0][stem])
    if not both:
        raise GancliError(
            f"no image of {made.name} has the name of one of {real.name}, so that there are no pairs",
            "leave out ssim, ms-ssim and psnr, or give the files of a pair the same name",
        )
    return (
        made.only(np.array([stems[0][stem] for stem in both])),
        real.only(np.array([stems[1][stem] for stem in both])),
    )
