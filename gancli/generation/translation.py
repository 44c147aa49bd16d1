"""Images of any number and size through a translator, read and written in threads, in the order of the inputs."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass
from functools import partial
from itertools import groupby, islice
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gancli.architectures.base import AttentiveTranslator, Translator, Way
from gancli.data.gather import scale
from gancli.data.source import BadImage
from gancli.errors import RunError
from gancli.generation.pictures import Picture, Translated, Values, resize
from gancli.generation.tiling import in_tiles
from gancli.generation.whole_image import SharedStatistics
from gancli.generation.writers import to_pixels

THREADS = 8
"""At most; more do not help, since the network then takes longer than decoding."""
LEAST_SIDE = 16
"""Pixels; smaller images are padded to it, since networks that reflect at their edges need something to reflect."""
PATCH = 64
"""Side in pixels of the patches that the statistics of a whole image are measured in; see ``Translation._patches``."""
BATCH_PIXELS = 8 * 512**2
"""Largest number of pixels in a batch of more than one image, unless the caller gives the batch size."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass
class Translation:
    """A translator in use: one way, for images of any size.

    Args:
        model: in evaluation mode, on ``device``.
        way: one of ``model.ways()``.
        device: where it computes.
        batch: images, or tiles of one, computed at a time. None: one on a CPU; elsewhere up to 8, fewer if they are
            large. A model that draws noise always gets one.
        seed: of that noise; it is the same for every image, so the images before it do not matter.
        precision: of the networks (autocast).
        tile: images with a longer side are translated in overlapping tiles of this size, at least 64.
        attention: also return the attention of an ``AttentiveTranslator``.
        floats: return images as float32 [N, C, H, W] instead of uint8 [N, H, W, C].
        on_rows: called with the number of finished rows of an image in tiles, and the number of all.
    """

    model: Translator
    way: Way
    device: torch.device
    _: KW_ONLY
    batch: int | None = None
    seed: int = 0
    precision: torch.dtype = torch.float32
    tile: int | None = None
    attention: bool = False
    floats: bool = False
    on_rows: Callable[[int, int], None] | None = None

    def __post_init__(self) -> None:
        # Without gradients, whose norms are slow there, NHWC takes three quarters of the time of NCHW on a CPU.
        self.model.to(memory_format=torch.channels_last)
        if self.tile is not None:
            self.tile = _ceil(self.tile, self.model.multiple)

    def network_size(self, height: int, width: int) -> tuple[int, int] | None:
        """Returns the height and width at which the network sees images of a size; None if it sees them in tiles."""
        if self.tile is not None and max(height, width) > self.tile:
            return None
        if self.model.fixed_size is not None:
            return self.model.fixed_size
        multiple = self.model.multiple
        return _ceil(max(height, LEAST_SIDE), multiple), _ceil(max(width, LEAST_SIDE), multiple)

    def batch_of(self, size: tuple[int, int]) -> int:
        """Returns how many images of a size the network gets at a time."""
        if self.model.noisy:
            return 1
        if self.batch is not None:
            return self.batch
        return 1 if self.device.type == "cpu" else max(1, min(8, BATCH_PIXELS // (size[0] * size[1])))

    @torch.inference_mode()
    def __call__(self, stacks: Sequence[Values]) -> list[Translated]:
        """Translates images; every result has the size of its input.

        Args:
            stacks: one or more, of the same ``network_size`` and type.

        Raises:
            RunError: the network's output is not finite.
        """
        size = self.network_size(*stacks[0].shape[2:])
        if size is None:
            return [self._in_tiles(stack) for stack in stacks]
        fixed = self.model.fixed_size is not None
        fitted = torch.cat(
            [resize(torch.from_numpy(x), size) if fixed else torch.from_numpy(_padded(x, *size)) for x in stacks]
        )
        y = torch.cat([self._network(part) for part in fitted.split(self.batch_of(size))])
        parts = zip(y.split([len(x) for x in stacks]), (x.shape[2:] for x in stacks), strict=True)
        return [self._finished(resize(part, (h, w)) if fixed else part[:, :, :h, :w]) for part, (h, w) in parts]

    def _in_tiles(self, values: Values) -> Translated:
        assert self.tile is not None
        tile, multiple = self.tile, self.model.multiple
        count, _, height, width = values.shape
        # Tiles begin at multiples of the network's stride, so that it samples them as it would the whole image.
        # Networks with long strides look at a whole tile anyway.
        step = multiple if multiple <= tile // 8 else 1
        shortest = LEAST_SIDE if self.model.fixed_size is None else tile
        high, wide = (
            _ceil(side, step) if side > tile else _ceil(max(side, shortest), multiple) for side in (height, width)
        )
        size = (min(tile, high), min(tile, wide))
        channels = self.model.inputs(self.model.config).domains[self.way.target].shape[0]
        shape = (count, channels, height, width) if self.floats else (count, height, width, channels)
        images = np.empty(shape, np.float32 if self.floats else np.uint8)
        attention = np.empty((count, height, width), np.float32) if self.attention else None
        for index, image in enumerate(_padded(values, high, wide)):
            patches, statistics = self._patches(image, tile), SharedStatistics()

            def run(tiles: Values, statistics: SharedStatistics = statistics) -> Tensor:
                with statistics:
                    return self._network(torch.from_numpy(tiles))

            run(patches)
            for top, band in in_tiles(image, run, size, step, self.batch_of(size)):
                part = self._finished(band[None, :, : height - top, :width])
                rows = slice(top, top + band.shape[1])
                images[(index, slice(None), rows) if self.floats else (index, rows)] = part.images[0]
                if attention is not None and part.attention is not None:
                    attention[index, rows] = part.attention[0]
                if self.on_rows is not None:
                    self.on_rows(index * height + min(rows.stop, height), count * height)
        return Translated(images, attention)

    def _patches(self, image: Values, tile: int) -> Values:
        """Cuts patches out of an image [C, H, W], evenly spread, together about as large as a tile."""
        # For CycleGAN on photographs of 1 to 2 megapixels, 64 patches of 64 px came within 1.6 grey levels of the
        # whole image on average; 16 of 128 px within 5.7, and 4 of 256 px within 23.
        side = tile if self.model.fixed_size is not None else max(PATCH, self.model.multiple)
        height, width = (min(side, length) for length in image.shape[1:])
        count = max(3, max(tile, 8 * PATCH) // side)
        return np.stack(
            [
                image[:, top : top + height, left : left + width]
                for top in np.linspace(0, image.shape[1] - height, count).astype(int)
                for left in np.linspace(0, image.shape[2] - width, count).astype(int)
            ]
        )

    def _network(self, images: Tensor) -> Tensor:
        """Runs the network on uint8 or float images of a size that it takes; attention is the last channel."""
        images = images.to(self.device)
        x = scale(images) if images.dtype == torch.uint8 else images
        if self.model.noisy:
            torch.manual_seed(self.seed)
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            if self.attention and isinstance(self.model, AttentiveTranslator):
                y, attention = self.model.translate_with_attention(x, self.way)
                attention = F.interpolate(attention.float(), y.shape[2:], mode="bilinear", align_corners=False)
                y = torch.cat([y.float(), attention], 1)
            else:
                y = self.model.translate(x, self.way).float()
        if not torch.isfinite(y).all():
            raise RunError("the network's output is not finite", "try --precision fp32, or another model")
        return y

    def _finished(self, y: Tensor) -> Translated:
        attention = None
        if self.attention:
            y, attention = y[:, :-1], y[:, -1].cpu().numpy()
        return Translated(y.clamp(-1, 1).cpu().numpy() if self.floats else to_pixels(y), attention)


def _ceil(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _padded(values: Values, height: int, width: int) -> Values:
    """Continues images at the bottom and on the right with their mirror image, as often as necessary."""
    down, right = height - values.shape[2], width - values.shape[3]
    return np.pad(values, ((0, 0), (0, 0), (0, down), (0, right)), "reflect") if down or right else values


def translate_all(
    items: Sequence[T],
    read: Callable[[T], Picture],
    translation: Translation,
    write: Callable[[T, Picture, Translated], R],
) -> Iterator[tuple[T, R | BadImage]]:
    """Translates any number of images, with only a few in memory at a time.

    Args:
        read: called in threads; raises ``BadImage`` for an item that cannot be used.
        translation: runs in the caller's thread, on consecutive images of one size together.
        write: called in threads; may raise ``BadImage``, too.

    Yields:
        Items in order, each with what ``write`` returned, or the ``BadImage``. Any other exception ends all.
    """
    threads = min(THREADS, os.cpu_count() or 1)
    # Images that need tiles are so large that few fit into memory.
    ahead = 1 if translation.tile is not None else threads + (translation.batch or 8)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="gancli-images")
    try:
        pictures = _in_order(pool, (partial(read, item) for item in items), ahead, at_once=False)
        calls = _calls(zip(items, pictures, strict=True), translation, write)
        yield from zip(items, _in_order(pool, calls, threads, at_once=True), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


def _calls(
    pairs: Iterator[tuple[T, Picture | BadImage]],
    translation: Translation,
    write: Callable[[T, Picture, Translated], R],
) -> Iterator[Callable[[], R] | BadImage]:
    """Translates, and yields in order the calls of ``write`` that remain for threads, or the ``BadImage``."""

    def kind(pair: tuple[T, Picture | BadImage]) -> tuple[tuple[int, int] | None, str] | None:
        values = pair[1].values if isinstance(pair[1], Picture) else None
        return None if values is None else (translation.network_size(*values.shape[2:]), values.dtype.str)

    for known, alike in groupby(pairs, kind):
        limit = translation.batch_of(known[0]) if known is not None and known[0] is not None else 1
        while group := list(islice(alike, limit)):
            good = [(item, picture) for item, picture in group if isinstance(picture, Picture)]
            results = translation([picture.values for _, picture in good]) if good else []
            for (item, picture), result in zip(good, results, strict=True):
                yield partial(write, item, picture, result)
            yield from (picture for _, picture in group if isinstance(picture, BadImage))


def _in_order(
    pool: ThreadPoolExecutor, calls: Iterable[Callable[[], T] | BadImage], ahead: int, *, at_once: bool
) -> Iterator[T | BadImage]:
    """Yields what the calls return, or the ``BadImage`` they are or raise, with at most ``ahead`` more running.

    With ``at_once``, a result is yielded as soon as it is there, instead of starting more calls first.
    """
    pending: deque[Future[T | BadImage]] = deque()

    def outcome(call: Callable[[], T] | BadImage) -> T | BadImage:
        try:
            return call if isinstance(call, BadImage) else call()
        except BadImage as error:
            return error

    for call in calls:
        pending.append(pool.submit(outcome, call))
        while pending and (len(pending) > ahead or (at_once and pending[0].done())):
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
