"""Turns positions in a run into batches: gather decoded images, crop and flip them, move them to the device.

Batch k of a run is the same whatever the number of workers and ranks and wherever the run was started, because every
image and random number in it is a function of its position (``sampler``).
"""

from __future__ import annotations

import atexit
import bisect
import itertools
import multiprocessing
import os
import signal
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import log2
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from gancli.architectures.base import Batch
from gancli.data.cache import Decoded, Preparation, decode_all
from gancli.data.sampler import Order, uniform
from gancli.data.source import BadImage, Images, Pixels, Source, same_proportions
from gancli.data.threads import in_threads
from gancli.domains import Inputs
from gancli.errors import GancliError, RunError
from gancli.schema import DataConfig
from gancli.seeding import derive

PREFETCH = 4
"""Batches that each worker prepares ahead."""


@dataclass
class Raw:
    """A batch before it reaches the device: uint8 [N, H, W, C] by domain, and labels [N] or [N, K]."""

    images: dict[str, torch.Tensor]
    labels: torch.Tensor | None

    def pin_memory(self) -> Raw:
        """Returns it in page-locked memory; the DataLoader calls this."""
        labels = self.labels.pin_memory() if self.labels is not None else None
        return Raw({name: images.pin_memory() for name, images in self.images.items()}, labels)


class Portion(NamedTuple):
    """What a step draws from some image of the run on.

    Attributes:
        start: real images shown before, over all ranks.
        batch: images of a step, over all ranks.
        reduction: images are served at 1 / this of their height and width; a power of two, for networks that grow.
    """

    start: int
    batch: int
    reduction: int = 1


def portion_at(portions: Sequence[Portion], images_shown: int) -> Portion:
    """Returns the last portion that has begun; ``portions`` begin with one at 0 and are in order."""
    return portions[bisect.bisect_right(portions, images_shown, key=lambda portion: portion.start) - 1]


class _Piece(NamedTuple):
    """This rank's part of a batch."""

    positions: range
    reduction: int


class _Aligned:
    """One side of pairs that are resized until they cover the crop: both images of a pair must lose the same parts.

    Args:
        images: of this side.
        channels: with which they are read.
        first: the other side, if that comes before this one; where the proportions differ, the image of this side is
            a bad one, and so the pair is left out.
    """

    def __init__(self, images: Images, channels: int, first: _Aligned | None) -> None:
        self._images, self._channels, self._first = images, channels, first
        self._sizes: dict[int, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._images)

    def name(self, index: int) -> str:
        return self._images.name(index)

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        pixels = self._images.read(index, channels, size)
        height, width = self._sizes[index] = pixels.shape[:2]
        if self._first is not None:
            try:
                other_height, other_width = self._first.size(index, size)
            except BadImage:  # the pair is left out and the other image named already
                return pixels
            if not same_proportions((width, height), (other_width, other_height)):
                raise BadImage(
                    f"it is {width} x {height} px, but its partner {self._first.name(index)} {other_width} x "
                    f"{other_height}: they would be cropped in different ways (data.resize=stretch takes them whole)"
                )
        return pixels

    def size(self, index: int, size: int | None) -> tuple[int, int]:
        """Returns height and width, mostly known since this side was read before."""
        if index not in self._sizes:
            self.read(index, self._channels, size)
        return self._sizes[index]


def _sides(
    source: Source, shapes: Mapping[str, tuple[int, int, int]], config: DataConfig, paired: bool
) -> dict[str, Images]:
    """Returns the images of a source's domains under the architecture's names, which stand in the same order.

    Raises:
        GancliError: there are more or fewer.
    """
    if len(shapes) != len(source.domains):
        raise GancliError(f"{source.location} holds {len(source.domains)} sets of images, but {len(shapes)} are needed")
    sides: dict[str, Images] = {}
    first = None
    for (key, shape), images in zip(shapes.items(), source.domains.values(), strict=True):
        if paired and config.resize == "cover":
            sides[key] = first = _Aligned(images, shape[0], first)
        else:
            sides[key] = images
    return sides


def fixed_batch(source: Source, inputs: Inputs, config: DataConfig, n: int) -> Batch:
    """Decodes the first images of a source, always the same and as whole as they go into the networks.

    Nothing is drawn at random: the images are resized to what the networks take and, where the proportions ask for it,
    cropped in the middle (``resize: cover``). Images that cannot be read are passed over.

    Args:
        source: what ``open_source`` found.
        shapes: (C, H, W) of each input of the architecture, matched to the source's domains in order.
        config: resize and interpolation are used.
        n: images of each domain; fewer where a domain has fewer.
        paired: whether image i of each domain shall show the same thing, if the source is paired.

    Returns:
        Images on the CPU, float32 [N, C, H, W] in [-1, 1], as many of each domain; no labels.

    Raises:
        GancliError: no image, or no pair, can be read.
    """
    shapes = {name: domain.shape for name, domain in inputs.domains.items()}
    paired = inputs.paired and source.paired
    whole = config.model_copy(update={"load_size": None, "crop": "center"})
    sides = _sides(source, shapes, config, paired)
    prepare = {name: Preparation.of(shape, whole) for name, shape in shapes.items()}
    found: dict[str, list[Pixels]] = {}
    for group in [list(sides)] if paired else [[name] for name in sides]:

        def decode(index: int, group: list[str] = group) -> list[Pixels]:
            return [
                prepare[name](sides[name].read(index, prepare[name].channels, prepare[name].side)) for name in group
            ]

        results = in_threads(decode, min(len(sides[name]) for name in group))
        good = list(itertools.islice((images for images in results if not isinstance(images, BadImage)), n))
        results.close()
        if not good:
            what = "pair" if len(group) > 1 else "image"
            raise GancliError(f"no {what} of {source.location} can be read", f"gancli data {source.location}")
        found.update(zip(group, map(list, zip(*good, strict=True)), strict=True))
    count = min(map(len, found.values()))
    return Batch(
        {
            name: torch.from_numpy(np.stack(images[:count]))
            .permute(0, 3, 1, 2)
            .float()
            .div_(127.5)
            .sub_(1)
            .contiguous()
            for name, images in found.items()
        }
    )


class _Domain:
    """One set of images: where its pixels are, their order, and their random crops and flips."""

    def __init__(
        self,
        decoded: Decoded,
        places: NDArray[np.int64],
        shape: tuple[int, int, int],
        flip: bool,
        seed: int,
        stream: str,
    ) -> None:
        self._decoded, self._places, self._flip, self._seed, self._stream = decoded, places, flip, seed, stream
        _, self._height, self._width = shape
        self._order = Order(seed, stream, len(places))
        # Cropped already, or nothing to crop: whole rows can be gathered at once.
        self._exact = bool((decoded.sizes == (self._height, self._width)).all())
        self._reduced = {1: decoded}

    def reduce(self, most: int, key: str, *, limit: int, shared: bool) -> int:
        """Prepares the images at 1/2, 1/4, ... 1/``most`` of their size, each the average of 2 x 2 pixels of the last.

        Returns:
            What is left of ``limit``, the bytes that they may take in memory.
        """
        if not self._exact:  # they are cropped at random first
            return limit
        for reduction in (2**power for power in range(1, int(log2(most)) + 1)):
            height, width = self._height // reduction, self._width // reduction
            kept = Preparation(self._decoded.channels, height, width, height, width, "stretch", "box", "center")
            images = _Halved(self._reduced[reduction // 2])
            reduced = decode_all(images, kept, f"{key} / {reduction}", limit=limit, shared=shared, stop_at_bad=True)
            limit -= reduced.nbytes if reduced.path is None else 0
            self._reduced[reduction] = reduced
        return limit

    def indices(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns which of the usable images is shown at each position."""
        return self._order.indices(positions)

    def gather(self, positions: NDArray[np.int64], reduction: int) -> torch.Tensor:
        """Returns uint8 [N, H / reduction, W / reduction, C]."""
        places = self._places[self.indices(positions)]
        part = reduction if self._exact else 1
        size = (self._height // part, self._width // part)
        result = torch.empty(len(positions), *size, self._decoded.channels, dtype=torch.uint8)
        pixels = result.numpy()
        if self._exact:
            images = self._reduced[reduction].uniform()
            assert images is not None
            np.take(images, places, axis=0, out=pixels, mode="clip")
        else:
            across = uniform(self._seed, positions, "crop x", self._stream)
            down = uniform(self._seed, positions, "crop y", self._stream)
            for target, place, u, v in zip(pixels, places, across, down, strict=True):
                image = self._decoded.image(int(place))
                left = int(u * (image.shape[1] - self._width + 1))
                top = int(v * (image.shape[0] - self._height + 1))
                target[...] = image[top : top + self._height, left : left + self._width]
        if self._flip:
            mirrored = uniform(self._seed, positions, "flip", self._stream) < 0.5
            # A whole pixel is taken at a time, three times as fast as reversing an axis of bytes.
            whole = pixels[mirrored].view(f"V{pixels.shape[3]}")
            pixels[mirrored] = whole.take(np.arange(size[1])[::-1], axis=2).view(np.uint8)
        while part < reduction:
            pixels, part = _halve(pixels), 2 * part
        return torch.from_numpy(pixels)


class _Halved:
    """Images at half of their height and width."""

    def __init__(self, images: Decoded) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def name(self, index: int) -> str:
        return f"image {index}"

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        halved: Pixels = _halve(self._images.image(index)[None])[0]
        return halved


def _halve(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Averages uint8 images [N, H, W, C] over 2 x 2 pixels."""
    wide = pixels.astype(np.uint16)
    total = wide[:, ::2, ::2] + wide[:, 1::2, ::2] + wide[:, ::2, 1::2] + wide[:, 1::2, 1::2]
    halved: NDArray[np.uint8] = ((total + 2) // 4).astype(np.uint8)
    return halved


class _Positions(Dataset[Raw]):
    """The map from pieces of the run to raw batches that worker processes run."""

    def __init__(self, domains: dict[str, _Domain], labels: torch.Tensor | None) -> None:
        self._domains, self._labels = domains, labels

    def __getitems__(self, piece: _Piece) -> Raw:
        where = np.arange(piece.positions.start, piece.positions.stop)
        images = {name: domain.gather(where, piece.reduction) for name, domain in self._domains.items()}
        labels = None
        if self._labels is not None:
            first = next(iter(self._domains.values()))
            labels = self._labels[torch.from_numpy(first.indices(where))]
        return Raw(images, labels)


class _Pieces(Sampler[_Piece]):
    """This rank's slice of every global batch, for ever."""

    def __init__(self, start: int, portions: Sequence[Portion], rank: int, world: int) -> None:
        self._start, self._portions, self._rank, self._world = start, portions, rank, world

    def __iter__(self) -> Iterator[_Piece]:
        position = self._start
        while True:
            _, batch, reduction = portion_at(self._portions, position)
            share = batch // self._world
            first = position + self._rank * share
            yield _Piece(range(first, first + share), reduction)
            position += batch


def share(batch: int, world: int, parts: int) -> int:
    """Returns how many images of a batch each process takes.

    Raises:
        GancliError: ``world`` processes cannot share it, or cannot cut their shares into ``parts``.
    """
    if batch % (world * parts):
        step = world * parts
        alike = f"{world} processes" + (f" in {parts} parts each (train.accumulate)" if parts > 1 else "")
        raise GancliError(
            f"a batch of {batch} cannot be shared by {alike}", f"--set train.batch={batch // step * step + step}"
        )
    return batch // world


def _memory_limit(config: DataConfig, world: int) -> int:
    # Several processes on one machine share the cache file, instead of each holding the images in memory.
    return int(config.cache_gib * 2**30) if world == 1 else 0


def decoded_bytes(
    source: Source,
    inputs: Inputs,
    config: DataConfig,
    portions: Sequence[Portion],
    world: int = 1,
) -> tuple[int, int]:
    """Returns how many bytes of decoded images a ``Pipeline`` keeps at least, in memory and in its cache file."""
    shapes = {name: domain.shape for name, domain in inputs.domains.items()}
    left = _memory_limit(config, world)
    in_memory = in_file = 0
    sizes = [
        Preparation.of(shape, config).least_bytes * len(images)
        for images, shape in zip(source.domains.values(), shapes.values(), strict=True)
    ]
    most = max(portion.reduction for portion in portions)
    if config.crop == "center":
        sizes += [size // 4**power for size in sizes for power in range(1, int(log2(most)) + 1)]
    for size in sizes:
        if size > left:
            in_file += size
        else:
            in_memory += size
            left -= size
    return in_memory, in_file


class Pipeline:
    """The data of a run: decoded once, then served as batches from any position on.

    Args:
        source: what ``open_source`` found.
        shapes: (C, H, W) of each input of the architecture, matched to the source's domains in order.
        config: how images are resized, cropped and flipped, and how much memory they may take.
        portions: how many images of which size a step draws, from which image on; the first begins at 0.
        seed: the run's seed; order, crops and flips derive from it.
        rank, world: which of how many processes this is.
        parts: how many parts of equal size a step cuts each process's share of the batch into.
        workers: processes that prepare batches; 0 prepares them in this one.
        paired: whether the two images of a pair are drawn, cropped and mirrored together; without it the domains of a
            paired source are drawn independently, like those of any other.
        progress: called with how many images of how many are decoded.

    Attributes:
        domains: what the user calls the domains, in the order of ``shapes``.
        length: usable images, of the largest domain: an epoch.
        bad: name and reason of each image that is left out.
        classes: names of the labels.

    Raises:
        GancliError: no usable image, a bad one where that is an error, or a batch that the ranks cannot share.
        RunError: no room for the decoded images.
    """

    def __init__(
        self,
        source: Source,
        inputs: Inputs,
        config: DataConfig,
        *,
        portions: Sequence[Portion],
        seed: int,
        rank: int = 0,
        world: int = 1,
        parts: int = 1,
        workers: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        shapes = {name: domain.shape for name, domain in inputs.domains.items()}
        paired = inputs.paired and source.paired
        sides = _sides(source, shapes, config, paired)
        for portion in portions:
            share(portion.batch, world, parts)
        self._portions, self._rank, self._world, self._workers = portions, rank, world, workers
        self.classes = source.classes
        self.domains = tuple(source.domains)
        total = sum(len(images) for images in source.domains.values())
        limit = _memory_limit(config, world)
        decoded: dict[str, Decoded] = {}
        before = 0
        for name, images in sides.items():
            aligned = " aligned" if isinstance(images, _Aligned) else ""
            decoded[name] = decode_all(
                images,
                Preparation.of(shapes[name], config),
                f"{source.fingerprint} {name}{aligned}",
                limit=limit,
                shared=workers > 0,
                stop_at_bad=config.on_bad_image == "error",
                progress=None if progress is None else lambda done, _, base=before: progress(base + done, total),  # type: ignore[misc]
            )
            if decoded[name].path is None:
                limit -= decoded[name].nbytes
            before += len(images)
        # Two halves of one image are broken alike.
        self.bad = list(dict.fromkeys(found for domain in decoded.values() for found in domain.bad))

        usable = {name: domain.indices for name, domain in decoded.items()}
        if paired:
            everywhere = None
            for indices in usable.values():
                everywhere = indices if everywhere is None else np.intersect1d(everywhere, indices)
            assert everywhere is not None
            if len(everywhere) == 0:
                raise GancliError(f"no pair of {source.location} can be read", f"the first: {': '.join(self.bad[0])}")
            usable = dict.fromkeys(usable, everywhere)
        self.length = max(len(indices) for indices in usable.values())
        data_seed = derive(seed, "data")
        domains = {
            name: _Domain(
                domain,
                np.searchsorted(domain.indices, usable[name]),
                shapes[name],
                config.flip,
                data_seed,
                # The halves of a pair are drawn, cropped and mirrored alike.
                "pair" if paired else name,
            )
            for name, domain in decoded.items()
        }
        for name, domain in domains.items():
            key = f"{source.fingerprint} {name} {paired} {vars(Preparation.of(shapes[name], config))}"
            most = max(portion.reduction for portion in portions)
            limit = domain.reduce(most, key, limit=limit, shared=workers > 0)
        labels = None if source.labels is None else torch.from_numpy(source.labels[next(iter(usable.values()))])
        self._dataset = _Positions(domains, labels)

    def batches(
        self, start: int, device: torch.device, memory_format: torch.memory_format = torch.channels_last
    ) -> Batches:
        """Returns the endless batches from position ``start`` on, which counts images over all ranks, on ``device``."""
        pieces = _Pieces(start, self._portions, self._rank, self._world)
        return Batches(self._dataset, pieces, start, self._portions, self._workers, device, memory_format)


class Batches:
    """Endless batches; call ``close`` when done, so that no worker stays behind.

    Attributes:
        images_shown: real images before the next batch, over all ranks and since the beginning of the run.
    """

    def __init__(
        self,
        dataset: Dataset[Raw],
        pieces: Sampler[_Piece],
        start: int,
        portions: Sequence[Portion],
        workers: int,
        device: torch.device,
        memory_format: torch.memory_format,
    ) -> None:
        self.images_shown = start
        self._memory_format = memory_format
        self._portions, self._device = portions, device
        loader = DataLoader(
            dataset,
            batch_sampler=pieces,  # type: ignore[arg-type]
            collate_fn=_as_it_is,
            num_workers=workers,
            prefetch_factor=PREFETCH if workers else None,
            pin_memory=device.type == "cuda",
            worker_init_fn=_begin_worker,
            # Its own, so that the run's random numbers do not depend on when loading began.
            generator=torch.Generator(),
        )
        with _quiet_start():
            self._raw: Iterator[Raw] | None = iter(loader)
        # Before multiprocessing's own cleaning up, which waits for workers that ignore its SIGTERM.
        this = weakref.ref(self)
        self._at_exit = lambda: None if (alive := this()) is None else alive.close()
        atexit.register(self._at_exit)

    def __iter__(self) -> Batches:
        return self

    def __del__(self) -> None:
        if hasattr(self, "_at_exit"):
            self.close()

    def __next__(self) -> Batch:
        if self._raw is None:
            raise StopIteration
        try:
            raw = next(self._raw)
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            self.close()
            reason = str(error).splitlines()[0].rstrip(".")
            raise RunError(
                f"a loader process died: {reason}",
                "often memory or shared memory ran out; --workers 0 does without such processes",
            ) from error
        self.images_shown += portion_at(self._portions, self.images_shown).batch
        labels = raw.labels.to(self._device, non_blocking=True) if raw.labels is not None else None
        return Batch({name: self._to_float(images) for name, images in raw.images.items()}, labels)

    def _to_float(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 [N, H, W, C] -> float32 [N, C, H, W] in [-1, 1], on the device and in its memory format."""
        moved = images.to(self._device, non_blocking=True).permute(0, 3, 1, 2)
        return moved.to(torch.float32, memory_format=self._memory_format).div_(127.5).sub_(1)

    def close(self) -> None:
        """Ends the workers. Iteration is over then."""
        raw, self._raw = self._raw, None
        atexit.unregister(self._at_exit)
        workers = getattr(raw, "_workers", [])
        if workers:
            raw._shutdown_workers()  # type: ignore[union-attr]
        for worker in workers:
            if worker.is_alive():
                worker.kill()


def _as_it_is(raw: Any) -> Any:
    return raw


def _begin_worker(worker: int) -> None:
    """Ctrl-C and a job scheduler's SIGTERM reach every process; only the parent acts on them, and ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # torch watches for another parent from here on only, and a worker that has that already would wait for ever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        # Forked workers hold each other's signs that the parent lives; those of a fork server are its children.
        served = multiprocessing.get_start_method() == "forkserver"
        if not parent.is_alive() if served else os.getppid() != parent.pid:
            os._exit(1)


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Keeps signals from workers that are just being born, and torch's SIGCHLD handler out of this process.

    The handler would raise a dead worker's error in the midst of whatever runs; without it ``next`` finds out.
    """
    on_child = signal.getsignal(signal.SIGCHLD)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        # torch sets its handler in the main thread only.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, on_child if on_child is not None else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
