"""One pass over the images of a side: metrics see them, and networks extract their features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from gancli.errors import GancliError
from gancli.metrics.base import Metric, Side, Task
from gancli.metrics.images import ImageSet, Part, Stored
from gancli.metrics.statistics import Spool


def look_at_made(task: Task, metrics: Sequence[Metric], pairs: Stored | None) -> None:
    """Shows the images to judge, and their ``pairs`` if there are any, to the metrics, and completes ``task.made``."""
    made = task.made
    seeing = any(type(metric).see_made is not Metric.see_made for metric in metrics)
    if not seeing and not task.extractors:
        made.count = len(made.images)  # for a metric that makes images of its own
        return

    def see(part: Part, pair: Part | None) -> None:
        for metric in metrics:
            metric.see_made(part, pair)

    spools = look(task, made, _with_pairs(made.images, pairs, task.batch), see, task.extractors)
    made.features = {name: features.read() for name, (features, _) in spools.items()}
    made.logits = {name: rows for name, (_, logits) in spools.items() if (rows := logits.read()).size}


def look(
    task: Task,
    side: Side,
    parts: Iterable[tuple[Part, Part | None]],
    see: Callable[[Part, Part | None], None],
    extractors: Iterable[str],
) -> dict[str, tuple[Spool, Spool]]:
    """Shows the images of a side to ``see``, and returns their features and logits by extractor.

    Raises:
        GancliError: fewer than two images can be read.
    """
    spools = {name: (Spool(), Spool()) for name in extractors}
    labels: list[NDArray[np.int64]] = []
    side.count = 0
    with task.progress(f"looking at {side.images.name}", len(side.images)) as bar:
        for part, pair in parts:
            see(part, pair)
            for name, (features, logits) in spools.items():
                said = task.extractors[name](part.rgb().to(task.device))
                features.add(said.values.numpy())
                if said.logits is not None:
                    logits.add(said.logits.numpy())
            labels += [] if part.labels is None else [part.labels]
            side.count += len(part)
            bar.advance(len(part))
    if not side.count:
        bad: dict[str, str] = getattr(side.images, "bad", {})
        reasons = "".join(f"\n  {name}: {reason}" for name, reason in list(bad.items())[:3])
        raise GancliError(f"no image of {side.images.name} can be read{reasons}")
    if side.count < 2:
        raise GancliError(f"only one image of {side.images.name} can be read, but metrics compare several")
    side.labels = np.concatenate(labels) if labels else None
    return spools


def _with_pairs(made: ImageSet, real: Stored | None, size: int) -> Iterator[tuple[Part, Part | None]]:
    """Yields the images to judge in parts, each with its pairs if there are any."""
    if real is None:
        yield from ((part, None) for part in made.parts(size))
        return
    others, waiting = real.parts(size), dict[int, NDArray[np.uint8]]()
    reached = -1
    for part in made.parts(size):
        while reached < part.places[-1] and (other := next(others, None)) is not None:
            waiting |= zip(other.places.tolist(), other.pixels, strict=True)
            reached = int(other.places[-1])
        # If one image of a pair cannot be read, the other is left out.
        both = [row for row, place in enumerate(part.places.tolist()) if place in waiting]
        pairs = [waiting[int(place)] for place in part.places[both]]
        waiting = {place: pixels for place, pixels in waiting.items() if place > part.places[-1]}
        for pair in pairs:
            if pair.shape != part.pixels.shape[1:]:
                (height, width), (other_height, other_width) = part.pixels.shape[1:3], pair.shape[:2]
                raise GancliError(
                    f"an image of {made.name} has {width}x{height} pixels, but its pair {other_width}x{other_height}"
                )
        if both:
            places, labels = part.places[both], None if part.labels is None else part.labels[both]
            yield Part(places, part.pixels[both], labels), Part(places, np.stack(pairs))
