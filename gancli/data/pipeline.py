"""Turns positions in a run into batches: gathers the items of every domain and moves them to the device.

Batch k of a run is the same whatever the number of workers and ranks and wherever the run was started, because every
item and random number in it is a function of its position (``sampler``).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from gancli.architectures.base import Batch
from gancli.data.cache import Cache, Progress
from gancli.data.gather import GATHERERS, Gatherer
from gancli.data.images import Aligned
from gancli.data.loading import Batches, Raw
from gancli.data.sampler import Order, Piece, Portion, pieces_from, share
from gancli.data.source import BadImage, Source
from gancli.data.threads import in_threads
from gancli.domains import Inputs
from gancli.errors import GancliError
from gancli.schema import DataConfig
from gancli.seeding import derive


def _gatherers(source: Source, inputs: Inputs, config: DataConfig, paired: bool) -> dict[str, Gatherer]:
    """Returns a gatherer of each domain of a source under the architecture's names, which are in the same order."""
    pair: list[Aligned] | None = [] if paired else None
    return {
        name: GATHERERS[domain.kind](images, domain, config, pair)
        for (name, domain), images in zip(inputs.domains.items(), source.domains.values(), strict=True)
    }


def fixed_batch(source: Source, inputs: Inputs, config: DataConfig, n: int, only: Sequence[int] | None = None) -> Batch:
    """Returns the first items of a source as a batch on the CPU, always the same, with the first domain's labels.

    Images are resized to the size that the networks take and, if the proportions differ, cropped in the middle
    (``resize: cover``). Images that cannot be read are skipped. Item i of each domain shows the same thing if the
    inputs and the source are paired.

    Args:
        source: from ``open_source``.
        inputs: what the networks take, matched to the source's domains in order.
        config: resize and interpolation are used.
        n: largest number of items of each domain; all domains get equally many.
        only: indices of the items to choose from; by default all.

    Raises:
        GancliError: no image, or no pair, can be read.
    """
    paired = inputs.paired and source.paired
    whole = config.model_copy(update={"load_size": None, "crop": "center"})
    gatherers = _gatherers(source, inputs, whole, paired)
    lengths = dict(zip(gatherers, map(len, source.domains.values()), strict=True))
    found: dict[str, list[NDArray[Any]]] = {}
    places: list[int] = []
    for group in [list(gatherers)] if paired else [[name] for name in gatherers]:
        indices = range(min(lengths[name] for name in group)) if only is None else only

        def decode(place: int, group: list[str] = group, indices: Sequence[int] = indices) -> list[NDArray[Any]]:
            return [gatherers[name].read(indices[place]) for name in group]

        results = in_threads(decode, len(indices))
        numbered = zip(indices, results, strict=True)
        readable = ((index, items) for index, items in numbered if not isinstance(items, BadImage))
        chosen = list(itertools.islice(readable, n))
        results.close()
        good, places = [items for _, items in chosen], places or [index for index, _ in chosen]
        if not good:
            what = "pair" if len(group) > 1 else "image"
            raise GancliError(f"no {what} of {source.location} can be read", f"gancli data {source.location}")
        found.update(zip(group, map(list, zip(*good, strict=True)), strict=True))
    count = min(map(len, found.values()))
    raw = {name: torch.from_numpy(np.stack(items[:count])) for name, items in found.items()}
    cpu, layout = torch.device("cpu"), torch.contiguous_format
    data = {name: gatherers[name].finish(items, cpu, layout) for name, items in raw.items()}
    return Batch(data, None if source.labels is None else torch.from_numpy(source.labels[places[:count]]))


def _memory_limit(config: DataConfig, world: int) -> int:
    # Several processes on one machine share the cache file, instead of each holding the images in memory.
    return int(config.cache_gib * 2**30) if world == 1 else 0


def decoded_bytes(
    source: Source, inputs: Inputs, config: DataConfig, portions: Sequence[Portion], world: int = 1
) -> tuple[int, int]:
    """Returns how many bytes of decoded data a ``Pipeline`` keeps at least, in memory and in its cache file."""
    limit, in_memory, in_file = _memory_limit(config, world), 0, 0
    most = max(portion.reduction for portion in portions)
    for gatherer in _gatherers(source, inputs, config, paired=False).values():
        for size in gatherer.least_bytes(most):
            if in_memory + size > limit:
                in_file += size
            else:
                in_memory += size
    return in_memory, in_file


class Pipeline(Dataset[Raw]):
    """The data of a run: decoded once, then served as batches from any position on.

    Args:
        source: from ``open_source``.
        inputs: what the networks take, matched to the source's domains in order. If both are paired, the items of a
            pair are drawn, cropped and mirrored together; otherwise the domains are drawn independently.
        config: how images are resized, cropped and flipped, and how much memory they may take.
        portions: number and size of the images in a batch as the run proceeds; the first begins at 0.
        seed: the run's seed; order, crops and flips derive from it.
        rank, world: which of how many processes this is.
        parts: number of equal parts that a step cuts each process's share of the batch into.
        workers: processes that prepare batches; 0 prepares them in this one.
        progress: called with the number of decoded images and of all images.

    Attributes:
        domains: the user's names of the domains, in the order of the inputs.
        length: usable items of the largest domain: an epoch.
        bad: name and reason of each image that is left out.
        classes: names of the labels.

    Raises:
        GancliError: no usable image, a bad one if that is an error, or a batch that the ranks cannot share.
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
        progress: Progress | None = None,
    ) -> None:
        for portion in portions:
            share(portion.batch, world, parts)
        self._portions, self._rank, self._world, self._workers = portions, rank, world, workers
        self.classes = source.classes
        self.domains = tuple(source.domains)
        paired = inputs.paired and source.paired
        self._gatherers = _gatherers(source, inputs, config, paired)
        cache = Cache(_memory_limit(config, world), shared=workers > 0, stop_at_bad=config.on_bad_image == "error")
        most = max(portion.reduction for portion in portions)
        before, total = 0, sum(map(len, source.domains.values()))

        def report(before: int, done: int, _: int) -> None:
            if progress is not None:
                progress(before + done, total)

        for (name, gatherer), images in zip(self._gatherers.items(), source.domains.values(), strict=True):
            gatherer.decode(cache, f"{source.fingerprint} {name}", most, partial(report, before))
            before += len(images)
        # If an image is broken, both of its halves are.
        self.bad = list(dict.fromkeys(found for gatherer in self._gatherers.values() for found in gatherer.bad))
        usable = {name: gatherer.usable for name, gatherer in self._gatherers.items()}
        data_seed = derive(seed, "data")
        if paired:  # the items of a pair are drawn, cropped and mirrored together; all must be usable
            everywhere: NDArray[np.int64] = functools.reduce(np.intersect1d, usable.values())
            if len(everywhere) == 0:
                raise GancliError(f"no pair of {source.location} can be read", f"the first: {': '.join(self.bad[0])}")
            self._orders = dict.fromkeys(usable, Order(data_seed, "pair", everywhere))
        else:
            self._orders = {name: Order(data_seed, name, items) for name, items in usable.items()}
        self.length = max(map(len, self._orders.values()))
        self._labels = None if source.labels is None else torch.from_numpy(source.labels)

    def __getitem__(self, piece: Piece) -> Raw:
        """Returns a piece of the run as the gatherers store it; runs in loader processes."""
        where = np.arange(piece.positions.start, piece.positions.stop)
        domains = self._gatherers.items()
        items = {name: domain.gather(where, self._orders[name], piece.reduction) for name, domain in domains}
        if self._labels is None:
            return Raw(items, None)
        shown = next(iter(self._orders.values())).indices(where)
        return Raw(items, self._labels[torch.from_numpy(shown)])

    def batches(self, start: int, device: torch.device, layout: torch.memory_format = torch.channels_last) -> Batches:
        """Returns the endless batches from position ``start`` on, which counts images over all ranks, on ``device``."""

        def finish(raw: Raw) -> Batch:
            items = {name: self._gatherers[name].finish(part, device, layout) for name, part in raw.items.items()}
            return Batch(items, None if raw.labels is None else raw.labels.to(device, non_blocking=True))

        pieces = pieces_from(start, self._portions, self._rank, self._world)
        return Batches(self, pieces, finish, workers=self._workers, pinned=device.type == "cuda")
