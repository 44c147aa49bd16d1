"""From the stored data of one domain to what the networks take: one ``Gatherer`` for each kind of domain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log2
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gancli.data.cache import Decoded, Progress, decode_all
from gancli.data.images import Aligned, Masks
from gancli.data.preparation import Preparation
from gancli.data.sampler import Order
from gancli.data.source import Images, Pixels, PointCloud
from gancli.domains import Domain, Kind
from gancli.errors import GancliError
from gancli.schema import DataConfig


def scale(pixels: Tensor, layout: torch.memory_format = torch.preserve_format) -> Tensor:
    """Returns uint8 pixels of any shape as float32 in [-1, 1]: x / 127.5 - 1. The one place that does so."""
    return pixels.to(torch.float32, memory_format=layout).div_(127.5).sub_(1)


class Gatherer(Protocol):
    """The data of one domain.

    ``read`` gives single items at once. A run calls ``decode``, then ``arrange`` and, for growing networks, ``reduce``;
    after that the gatherer serves batches.
    """

    usable: NDArray[np.int64]
    """Which items of the source can be used, ascending; known after ``decode``."""
    bad: list[tuple[str, str]]
    """Name and reason of each item that cannot be used; known after ``decode``."""
    in_memory: int
    """Bytes that the decoded items take in memory; known after ``decode``."""

    def least_bytes(self, reduction: int = 1) -> int:
        """Returns the bytes that all decoded items take at least, or their copies at 1 / ``reduction`` of the size."""

    def read(self, index: int) -> NDArray[Any]:
        """Returns one item as it is stored for a batch; raises ``BadImage``."""

    def decode(
        self, key: str, *, limit: int, shared: bool, stop_at_bad: bool, progress: Progress | None = None
    ) -> None:
        """Reads all items; see ``cache.decode_all``.

        Args:
            key: changes whenever the items may have changed.
            limit: bytes that they may take in memory.
            shared: worker processes will gather.
            stop_at_bad: a bad item is an error; otherwise it is left out.
            progress: called with the number of finished items and of all items.
        """

    def arrange(self, usable: NDArray[np.int64], order: Order) -> None:
        """Says which of the usable items are drawn, and in which order."""

    def reduce(self, most: int, key: str, *, limit: int, shared: bool) -> int:
        """Prepares the items at 1/2, 1/4, ... 1/``most`` of their height and width, for growing networks.

        Returns:
            What is left of ``limit``, the bytes that they may take in memory.
        """

    def gather(self, positions: NDArray[np.int64], reduction: int) -> Tensor:
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

    suffix = ""
    """Tells the cache file of this kind from another kind's of the same images."""

    def __init__(self, images: Images, domain: Domain, config: DataConfig, pair: list[Aligned] | None) -> None:
        channels, self._height, self._width = domain.shape
        self._domain, self._flip = domain, config.flip
        self._prepare = Preparation.of((channels, self._height, self._width), config)
        self._images = images
        if pair is not None and config.resize == "cover":
            self._images = Aligned(images, channels, pair[0] if pair else None)
            pair.append(self._images)

    def least_bytes(self, reduction: int = 1) -> int:
        if reduction > 1 and self._prepare.crop != "center":
            return 0
        return self._prepare.least_bytes * len(self._images) // reduction**2

    def read(self, index: int) -> Pixels:
        return self._prepare(self._images.read(index, self._prepare.channels, self._prepare.side))

    def decode(
        self, key: str, *, limit: int, shared: bool, stop_at_bad: bool, progress: Progress | None = None
    ) -> None:
        aligned = " aligned" if isinstance(self._images, Aligned) else ""
        decoded = decode_all(
            self._images,
            self._prepare,
            f"{key}{aligned}{self.suffix}",
            limit=limit,
            shared=shared,
            stop_at_bad=stop_at_bad,
            progress=progress,
        )
        self._reduced = {1: decoded}
        self.usable, self.bad = decoded.indices, decoded.bad
        self.in_memory = decoded.nbytes if decoded.path is None else 0
        # Cropped already, or nothing to crop: whole rows can be gathered at once.
        self._exact = bool((decoded.sizes == (self._height, self._width)).all())

    def arrange(self, usable: NDArray[np.int64], order: Order) -> None:
        self._places, self._order = np.searchsorted(self.usable, usable), order

    def reduce(self, most: int, key: str, *, limit: int, shared: bool) -> int:
        if not self._exact:  # they are cropped at random first
            return limit
        key = f"{key} {vars(self._prepare)}{self.suffix}"
        for reduction in (2**power for power in range(1, int(log2(most)) + 1)):
            *_, height, width = self._domain.reduced(reduction).shape
            kept = Preparation(self._prepare.channels, height, width, height, width, "stretch", "box", "center")
            images = _Halved(self._reduced[reduction // 2], self.halve)
            reduced = decode_all(images, kept, f"{key} / {reduction}", limit=limit, shared=shared, stop_at_bad=True)
            limit -= reduced.nbytes if reduced.path is None else 0
            self._reduced[reduction] = reduced
        return limit

    def gather(self, positions: NDArray[np.int64], reduction: int) -> Tensor:
        places = self._places[self._order.indices(positions)]
        part = reduction if self._exact else 1
        size = (self._height // part, self._width // part)
        result = torch.empty(len(positions), *size, self._prepare.channels, dtype=torch.uint8)
        pixels = result.numpy()
        if self._exact:
            images = self._reduced[reduction].uniform()
            assert images is not None
            np.take(images, places, axis=0, out=pixels, mode="clip")
        else:
            across, down = self._order.uniform(positions, "crop x"), self._order.uniform(positions, "crop y")
            for target, place, u, v in zip(pixels, places, across, down, strict=True):
                image = self._reduced[1].image(int(place))
                left = int(u * (image.shape[1] - self._width + 1))
                top = int(v * (image.shape[0] - self._height + 1))
                target[...] = image[top : top + self._height, left : left + self._width]
        if self._flip:
            mirrored = self._order.uniform(positions, "flip") < 0.5
            # A whole pixel is taken at a time, three times as fast as reversing an axis of bytes.
            whole = pixels[mirrored].view(f"V{pixels.shape[3]}")
            pixels[mirrored] = whole.take(np.arange(size[1])[::-1], axis=2).view(np.uint8)
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
        halved: NDArray[np.uint8] = ((total + 2) // 4).astype(np.uint8)
        return halved


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
        self._values = torch.from_numpy(images.values)
        self.usable = np.arange(len(images))
        self.bad: list[tuple[str, str]] = []
        self.in_memory = images.values.nbytes

    def least_bytes(self, reduction: int = 1) -> int:
        return self.in_memory if reduction == 1 else 0

    def read(self, index: int) -> NDArray[np.float32]:
        point: NDArray[np.float32] = self._values[index].numpy()
        return point

    def decode(
        self, key: str, *, limit: int, shared: bool, stop_at_bad: bool, progress: Progress | None = None
    ) -> None:
        if progress is not None:
            progress(len(self.usable), len(self.usable))

    def arrange(self, usable: NDArray[np.int64], order: Order) -> None:
        self._drawn, self._order = usable, order

    def reduce(self, most: int, key: str, *, limit: int, shared: bool) -> int:
        return limit

    def gather(self, positions: NDArray[np.int64], reduction: int) -> Tensor:
        return self._values[torch.from_numpy(self._drawn[self._order.indices(positions)])]

    def finish(self, raw: Tensor, device: torch.device, layout: torch.memory_format) -> Tensor:
        return raw.to(device, non_blocking=True)


class _Halved:
    """Decoded images at half of their height and width, by the function ``halve``."""

    def __init__(self, images: Decoded, halve: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> None:
        self._images, self._halve = images, halve

    def __len__(self) -> int:
        return len(self._images)

    def name(self, index: int) -> str:
        return f"image {index}"

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        halved: Pixels = self._halve(self._images.image(index)[None])[0]
        return halved


GATHERERS: Mapping[Kind, Callable[[Images, Domain, DataConfig, list[Aligned] | None], Gatherer]] = {
    "image": ImageGatherer,
    "mask": MaskGatherer,
    "points": PointsGatherer,
}
