"""From the stored data of one domain to what the networks take: one ``Gatherer`` for each kind of domain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gancli.data.cache import Cache, Decoded, Progress
from gancli.data.images import Aligned, Masks
from gancli.data.preparation import Preparation
from gancli.data.sampler import Order
from gancli.data.source import Images, Numbered, Pixels, PointCloud
from gancli.domains import Domain, Kind
from gancli.errors import GancliError
from gancli.schema import DataConfig


def scale(pixels: Tensor, layout: torch.memory_format = torch.preserve_format) -> Tensor:
    """Returns uint8 pixels of any shape as float32 in [-1, 1]: x / 127.5 - 1. The one place that does so."""
    return pixels.to(torch.float32, memory_format=layout).div_(127.5).sub_(1)


class Gatherer(Protocol):
    """The data of one domain: ``read`` returns single items at once, ``gather`` those of a batch after ``decode``."""

    usable: NDArray[np.int64]
    """Which items of the source can be used, ascending; known after ``decode``."""
    bad: list[tuple[str, str]]
    """Name and reason of each item that cannot be used; known after ``decode``."""

    def least_bytes(self, most: int) -> list[int]:
        """Returns the bytes that all decoded items take at least, and those that each of their smaller copies take."""

    def read(self, index: int) -> NDArray[Any]:
        """Returns one item as it is stored for a batch; raises ``BadImage``."""

    def decode(self, cache: Cache, key: str, most: int, progress: Progress | None) -> None:
        """Reads all items, and prepares copies at 1/2, 1/4, ... 1/``most`` of their height and width; see ``Cache``.

        Only networks that grow need copies; for others, ``most`` is 1.
        """

    def gather(self, positions: NDArray[np.int64], order: Order, reduction: int) -> Tensor:
        """Returns the items shown at some positions of the run as they are stored; runs in loader processes."""

    def finish(self, raw: Tensor, device: torch.device, layout: torch.memory_format) -> Tensor:
        """Returns gathered items as the networks take them, see ``Domain``, on the device and in its memory layout."""


class ImageGatherer:
    """Images: stored as uint8 [N, H, W, C], finished as float32 [N, C, H, W] in [-1, 1].

    Args:
        images: of the source.
        domain: what the networks take.
        config: how images are resized, cropped and flipped.
        pair: for one side of pairs, the sides that must be aligned so far; this one adds itself. None: no pairs.
    """

    suffix = ""  # tells the cache file of this kind from another kind's of the same images

    def __init__(self, images: Images, domain: Domain, config: DataConfig, pair: list[Aligned] | None) -> None:
        channels, height, width = domain.shape
        self._prepare = Preparation.of((channels, height, width), config)
        self._flip, self._paired = config.flip, pair is not None
        self._images = images
        if pair is not None and config.resize == "cover":
            self._images = Aligned(images, channels, pair[0] if pair else None)
            pair.append(self._images)

    def least_bytes(self, most: int) -> list[int]:
        whole = self._prepare.least_bytes * len(self._images)
        return [whole, *(whole // factor**2 for factor in _reductions(most) if self._prepare.crop == "center")]

    def read(self, index: int) -> Pixels:
        return self._prepare(self._images.read(index, self._prepare.channels, self._prepare.side))

    def decode(self, cache: Cache, key: str, most: int, progress: Progress | None) -> None:
        prepare = self._prepare
        aligned = " aligned" if isinstance(self._images, Aligned) else ""
        decoded = cache.decode(self._images, prepare, f"{key}{aligned}{self.suffix}", progress)
        del self._images  # open archives cannot go to loader processes, which need none
        self.usable, self.bad = decoded.indices, decoded.bad
        self._reduced = {1: decoded}
        # Cropped already, or nothing to crop: whole rows can be gathered at once.
        self._exact = bool((decoded.sizes == (prepare.height, prepare.width)).all())
        if not self._exact:  # they are cropped at random before they are made smaller
            return
        for factor in _reductions(most):
            height, width = prepare.height // factor, prepare.width // factor
            kept = Preparation(prepare.channels, height, width, height, width, "stretch", "box", "center")
            halved = _Halved(self._reduced[factor // 2], self.halve)
            full_key = f"{key} {self._paired} {vars(prepare)}{self.suffix} / {factor}"
            self._reduced[factor] = cache.decode(halved, kept, full_key)

    def gather(self, positions: NDArray[np.int64], order: Order, reduction: int) -> Tensor:
        places = np.searchsorted(self.usable, order.indices(positions))
        part = reduction if self._exact else 1
        height, width, channels = self._prepare.height // part, self._prepare.width // part, self._prepare.channels
        pixels = torch.empty(len(positions), height, width, channels, dtype=torch.uint8).numpy()
        if self._exact:
            images = self._reduced[reduction].uniform()
            assert images is not None
            np.take(images, places, axis=0, out=pixels, mode="clip")
        else:
            across, down = order.uniform(positions, "crop x"), order.uniform(positions, "crop y")
            for target, place, u, v in zip(pixels, places, across, down, strict=True):
                image = self._reduced[1].image(int(place))
                left = int(u * (image.shape[1] - width + 1))
                top = int(v * (image.shape[0] - height + 1))
                target[...] = image[top : top + height, left : left + width]
        if self._flip:
            mirrored = order.uniform(positions, "flip") < 0.5
            # A whole pixel is taken at a time, three times as fast as reversing an axis of bytes.
            whole = pixels[mirrored].view(f"V{channels}")
            pixels[mirrored] = whole.take(np.arange(width)[::-1], axis=2).view(np.uint8)
        while part < reduction:
            pixels, part = self.halve(pixels), 2 * part
        return torch.from_numpy(pixels)

    def finish(self, raw: Tensor, device: torch.device, layout: torch.memory_format) -> Tensor:
        return scale(raw.to(device, non_blocking=True).permute(0, 3, 1, 2), layout)

    @staticmethod
    def halve(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Returns images [N, H, W, C] at half of their height and width: averages of 2 x 2 pixels."""
        wide = pixels.astype(np.uint16)
        total = wide[:, ::2, ::2] + wide[:, 1::2, ::2] + wide[:, ::2, 1::2] + wide[:, 1::2, 1::2]
        return ((total + 2) // 4).astype(np.uint8)


class MaskGatherer(ImageGatherer):
    """Masks: stored as uint8 [N, H, W, 1], finished as int64 [N, H, W], the ids of classes.

    They are resized to the nearest pixel whatever ``data.interpolation`` says, since ids cannot be averaged.
    """

    suffix = " ids"

    def __init__(self, images: Images, domain: Domain, config: DataConfig, pair: list[Aligned] | None) -> None:
        nearest = config.model_copy(update={"interpolation": "nearest"})
        super().__init__(Masks(images), Domain((1, *domain.shape)), nearest, pair)

    def finish(self, raw: Tensor, device: torch.device, layout: torch.memory_format) -> Tensor:
        return raw.to(device, non_blocking=True)[..., 0].to(torch.int64)

    @staticmethod
    def halve(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Returns masks [N, H, W, 1] at half of their height and width: one of 2 x 2 pixels."""
        return np.ascontiguousarray(pixels[:, ::2, ::2])


class PointsGatherer:
    """Points: float32 [N, D] as stored, in memory all the time, and never resized, cropped or mirrored."""

    def __init__(self, images: Images, domain: Domain, config: DataConfig, pair: list[Aligned] | None) -> None:
        if not isinstance(images, PointCloud):
            raise GancliError("these networks take points, but the data are images")
        self._values = images.values
        self.usable = np.arange(len(images))
        self.bad: list[tuple[str, str]] = []

    def least_bytes(self, most: int) -> list[int]:
        return [self._values.nbytes]

    def read(self, index: int) -> NDArray[np.float32]:
        point: NDArray[np.float32] = self._values[index]
        return point

    def decode(self, cache: Cache, key: str, most: int, progress: Progress | None) -> None:
        cache.left -= self._values.nbytes

    def gather(self, positions: NDArray[np.int64], order: Order, reduction: int) -> Tensor:
        return torch.from_numpy(self._values[order.indices(positions)])

    def finish(self, raw: Tensor, device: torch.device, layout: torch.memory_format) -> Tensor:
        return raw.to(device, non_blocking=True)


def _reductions(most: int) -> list[int]:
    """Returns 2, 4, ... ``most``."""
    return [2**power for power in range(1, most.bit_length())]


class _Halved(Numbered):
    """Decoded images at half of their height and width, by the function ``halve``."""

    def __init__(self, images: Decoded, halve: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> None:
        super().__init__("image", images)
        self._images, self._halve = images, halve

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        halved: Pixels = self._halve(self._images.image(index)[None])[0]
        return halved


GATHERERS: Mapping[Kind, Callable[[Images, Domain, DataConfig, list[Aligned] | None], Gatherer]] = {
    "image": ImageGatherer,
    "mask": MaskGatherer,
    "points": PointsGatherer,
}
