"""Many images through a translator: read and written in threads beside the network, in the order of the inputs."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from gancli.architectures.base import AttentiveTranslator, Translator
from gancli.data.formats import decode
from gancli.data.source import BadImage, Pixels
from gancli.errors import RunError
from gancli.generation.tiling import in_tiles
from gancli.generation.whole_image import SharedStatistics
from gancli.generation.writers import as_rgb, heat_map, to_pixels

Values = NDArray[Any]
"""Images [N, C, H, W]: uint8, or float32 in [-1, 1]."""

NPY_MAGIC = b"\x93NUMPY"
THREADS = 8
"""At most; with more, the network and not the decoding is what takes time."""
LEAST_SIDE = 16
"""Pixels; smaller images are padded to it, since networks that reflect at their edges need something to reflect."""
PATCH = 64
"""Side of the patches in which statistics of a whole image are measured; see ``Translation._patches``."""
BATCH_PIXELS = 8 * 512**2
"""A batch whose size nobody gave has no more pixels than this (or one image)."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Picture:
    """What was read of one input.

    Attributes:
        values: the images that the network gets; several only from a ``.npy`` file.
        alpha: what the output is to have as alpha channel, uint8 [H, W]; None for opaque images.
    """

    values: Values
    alpha: NDArray[np.uint8] | None = None


class Translated(NamedTuple):
    """What a network made of some images.

    Attributes:
        images: float32 [N, C, H, W] in [-1, 1], or uint8 [N, H, W, C].
        attention: float32 [N, H, W] where it was asked for.
    """

    images: Values
    attention: NDArray[np.float32] | None


def read_picture(data: bytes, channels: int, size: int | None = None, *, alpha: bool = True) -> Picture:
    """Decodes an image file or a ``.npy`` file.

    Args:
        data: the file's content. A ``.npy`` file holds float [C, H, W] or [N, C, H, W] in [-1, 1].
        channels: that the network takes. Image files become grey (1) or RGB (3), where what is transparent lies over
            white; with 2 and 4, alpha is the last channel.
        size: the short side of what is returned; None: as stored.
        alpha: keep the alpha channel for the output, where there is one that the network does not get.

    Raises:
        BadImage: this is no image, or not one that this network takes.
    """
    if data.startswith(NPY_MAGIC):
        picture = Picture(_read_array(data, channels))
    elif channels <= 4:
        picture = _read_pixels(data, channels, alpha)
    else:
        raise BadImage(f"this model's images have {channels} channels, which only .npy files can hold")
    return picture if size is None else _resized(picture, size)


def _read_pixels(data: bytes, channels: int, keep_alpha: bool) -> Picture:
    pixels = decode(data, 2 if channels == 2 else 4)
    alpha = pixels[:, :, 3] if channels in (1, 3) and (pixels[:, :, 3] < 255).any() else None
    if alpha is not None or channels == 1:
        shown = Image.fromarray(pixels)
        if alpha is not None:
            white = Image.new("RGB", shown.size, "white")
            white.paste(shown.convert("RGB"), mask=shown.getchannel("A"))
            shown = white
        pixels = np.asarray(shown.convert("L" if channels == 1 else "RGB"))
    values = pixels.reshape(*pixels.shape[:2], -1)[None, :, :, :channels].transpose(0, 3, 1, 2)
    # Copies, so that what is not used does not stay in memory.
    return Picture(values.copy(), alpha.copy() if alpha is not None and keep_alpha else None)


def _read_array(data: bytes, channels: int) -> NDArray[np.float32]:
    try:
        values = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise BadImage("this .npy file is damaged, or holds something else than numbers") from error
    if values.dtype.kind != "f" or values.ndim not in (3, 4) or values.shape[-3] != channels or not values.size:
        raise BadImage(
            f"holds {values.dtype} {list(values.shape)}, but this model takes float32 [{channels}, H, W] "
            f"or [N, {channels}, H, W]"
        )
    if not (abs(values) <= 1.001).all():  # false for NaN, too
        raise BadImage("holds values outside [-1, 1]")
    images: NDArray[np.float32] = values.reshape(-1, *values.shape[-3:]).astype(np.float32).clip(-1, 1)
    return images


def _resized(picture: Picture, size: int) -> Picture:
    height, width = picture.values.shape[2:]
    short = min(height, width)
    wanted = (max(1, round(height * size / short)), max(1, round(width * size / short)))
    alpha = picture.alpha
    return Picture(
        resize(torch.from_numpy(picture.values), wanted).numpy(),
        None if alpha is None else resize(torch.from_numpy(alpha)[None, None], wanted)[0, 0].numpy(),
    )


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes images [N, C, H, W], uint8 or float, with an antialiased bicubic filter (which may overshoot)."""
    if images.shape[2:] == size:
        return images
    if size[1] > 1:
        return F.interpolate(images, size, mode="bicubic", antialias=True)
    # For a single column, torch 2.15 on a CPU gives all rows of floats the value of the first, and fails for a pixel of
    # uint8 RGB. A single row comes out right, channel by channel and from memory in order.
    turned = images.flatten(0, 1).transpose(1, 2)[:, None].clone(memory_format=torch.contiguous_format)
    row = F.interpolate(turned, (1, size[0]), mode="bicubic", antialias=True)
    return row.reshape(*images.shape[:2], *size)


class Translation:
    """A translator as it is used: towards one domain, for images of any size.

    Args:
        model: in evaluation mode, on ``device``.
        to: one of ``model.targets()``.
        device: where it computes.
        batch: images, or tiles of one, that the network gets at a time. None: one on a CPU, elsewhere several, fewer
            of them the larger they are. A model that draws noise always gets one.
        seed: of that noise, the same for every image, so that it does not matter which come before.
        precision: of the networks (autocast).
        tile: images with a longer side are translated in overlapping tiles of this size, at least 64.
        attention: return the attention of an ``AttentiveTranslator``, too.
        floats: return images as float32 [N, C, H, W] instead of uint8 [N, H, W, C].
        on_rows: is told how many rows of an image in tiles are done, and of how many.
    """

    def __init__(
        self,
        model: Translator,
        to: str,
        device: torch.device,
        *,
        batch: int | None = None,
        seed: int = 0,
        precision: torch.dtype = torch.float32,
        tile: int | None = None,
        attention: bool = False,
        floats: bool = False,
        on_rows: Callable[[int, int], None] | None = None,
    ) -> None:
        # Without gradients, whose norms are slow there, NHWC takes three quarters of the time of NCHW on a CPU.
        self.model, self.to, self.device = model.to(memory_format=torch.channels_last), to, device
        self.batch, self.seed, self.precision = batch, seed, precision
        self.tile = None if tile is None else _ceil(tile, model.multiple)
        self.attention, self.floats, self.on_rows = attention, floats, on_rows

    def network_size(self, height: int, width: int) -> tuple[int, int] | None:
        """Returns height and width at which the network sees images of a size; None where it sees them in tiles."""
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
        """Translates images; every result has the size of what it was made of.

        Args:
            stacks: one or more, of the same ``network_size`` and type.

        Raises:
            RunError: the network's output is not finite.
        """
        size = self.network_size(*stacks[0].shape[2:])
        if size is None:
            return [self._in_tiles(stack) for stack in stacks]
        fitted = torch.cat([self._fitted(stack, size) for stack in stacks])
        y = torch.cat([self._network(part) for part in fitted.split(self.batch_of(size))])
        return [
            self._finished(self._unfitted(part, *stack.shape[2:]))
            for stack, part in zip(stacks, y.split([len(stack) for stack in stacks]), strict=True)
        ]

    def _fitted(self, values: Values, size: tuple[int, int]) -> Tensor:
        if self.model.fixed_size is not None:
            return resize(torch.from_numpy(values), size)
        return torch.from_numpy(_padded(values, *size))

    def _unfitted(self, y: Tensor, height: int, width: int) -> Tensor:
        return resize(y, (height, width)) if self.model.fixed_size is not None else y[:, :, :height, :width]

    def _in_tiles(self, values: Values) -> Translated:
        assert self.tile is not None
        tile, multiple = self.tile, self.model.multiple
        count, _, height, width = values.shape
        # Tiles begin where the network's strides fall in the whole image, so that they show the same; networks with
        # long strides look at a whole tile anyway, and need no such care.
        step = multiple if multiple <= tile // 8 else 1
        shortest = LEAST_SIDE if self.model.fixed_size is None else tile
        high, wide = (
            _ceil(side, step) if side > tile else _ceil(max(side, shortest), multiple) for side in (height, width)
        )
        size = (min(tile, high), min(tile, wide))
        images: Values | None = None
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
                if images is None:
                    channels = part.images.shape[1 if self.floats else 3]
                    shape = (count, channels, height, width) if self.floats else (count, height, width, channels)
                    images = np.empty(shape, part.images.dtype)
                images[(index, slice(None), rows) if self.floats else (index, rows)] = part.images[0]
                if attention is not None and part.attention is not None:
                    attention[index, rows] = part.attention[0]
                if self.on_rows is not None:
                    self.on_rows(index * height + min(rows.stop, height), count * height)
        assert images is not None
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
        x = images.float().div(127.5).sub(1) if images.dtype == torch.uint8 else images
        if self.model.noisy:
            torch.manual_seed(self.seed)
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            if self.attention and isinstance(self.model, AttentiveTranslator):
                y, attention = self.model.translate_with_attention(x, self.to)
                attention = F.interpolate(attention.float(), y.shape[2:], mode="bilinear", align_corners=False)
                y = torch.cat([y.float(), attention], 1)
            else:
                y = self.model.translate(x, self.to).float()
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


def output_pixels(picture: Picture, translated: Translated, *, side_by_side: bool = False) -> Pixels:
    """Returns what to write as a picture, uint8 [H, W, C]: the translation, with the input's alpha if it has none.

    Args:
        picture: the one image that was translated.
        translated: what was made of it, as uint8.
        side_by_side: input, attention where there is one, and translation in a row, without an alpha that the network
            got or made.
    """
    panels = [translated.images[0]]
    if side_by_side:
        panels = [_shown(picture), *([] if translated.attention is None else [attention_pixels(picture, translated)])]
        panels.append(as_rgb(translated.images)[0])
    pixels: Pixels = np.concatenate(panels, axis=1)
    if picture.alpha is None or pixels.shape[2] in (2, 4):
        return pixels
    with_alpha: Pixels = np.concatenate([pixels, np.tile(picture.alpha, (1, len(panels)))[:, :, None]], axis=2)
    return with_alpha


def attention_pixels(picture: Picture, translated: Translated) -> Pixels:
    """Returns the attention of one image as colours over it, uint8 [H, W, 3]."""
    assert translated.attention is not None
    return heat_map(translated.attention[0], _shown(picture))


def _shown(picture: Picture) -> Pixels:
    values = picture.values
    pixels = values.transpose(0, 2, 3, 1) if values.dtype == np.uint8 else to_pixels(torch.from_numpy(values))
    shown: Pixels = as_rgb(pixels)[0]
    return shown


def translate_all(
    items: Sequence[T],
    read: Callable[[T], Picture],
    translation: Translation,
    write: Callable[[T, Picture, Translated], R],
) -> Iterator[tuple[T, R | BadImage]]:
    """Translates any number of images, of which only a few are in memory at a time.

    Args:
        items: what to translate.
        read: called in threads; raises BadImage for what cannot be used.
        translation: runs in the caller's thread, on neighbours of equal size together.
        write: called in threads; raises BadImage as well.

    Yields:
        Each item and what ``write`` returned, or why there is nothing, in the order of ``items``. Any other exception
        ends all.
    """
    threads = min(THREADS, os.cpu_count() or 1)
    # Who asks for tiles has images of which not many fit into memory.
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
) -> Iterator[Callable[[], R]]:
    """Translates, and yields what is left to do in threads."""

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
            yield from (partial(_fail, picture) for _, picture in group if isinstance(picture, BadImage))


def _fail(error: BadImage) -> NoReturn:
    raise error


def _in_order(
    pool: ThreadPoolExecutor, calls: Iterable[Callable[[], T]], ahead: int, *, at_once: bool
) -> Iterator[T | BadImage]:
    """Yields what the calls return, or the ``BadImage`` they raise, while at most ``ahead`` more are under way.

    Args:
        at_once: yield a result as soon as it is there, instead of first seeing to it that enough is under way.
    """
    pending: deque[Future[T | BadImage]] = deque()

    def outcome(call: Callable[[], T]) -> T | BadImage:
        try:
            return call()
        except BadImage as error:
            return error

    for call in calls:
        pending.append(pool.submit(outcome, call))
        while pending and (len(pending) > ahead or (at_once and pending[0].done())):
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
