"""A metric: it sees images as they pass by, then computes its values from what it saw and from features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from gancli.domains import Kind
from gancli.metrics.features import Extractor
from gancli.metrics.images import ImageSet, Part
from gancli.metrics.statistics import Floats, Known

Values = dict[str, float]
"""Results by name; a metric with a spread has two, such as ``kid`` and ``kid_std``."""


@dataclass
class Side:
    """The images of one side, and what was extracted from them.

    Attributes:
        images: the set.
        features: [N, D] by extractor, on disk.
        logits: [N, K] by extractor if it has logits, on disk.
        labels: int64 [N] classes, or None.
        count: N, the number of images that could be read.
    """

    images: ImageSet
    features: dict[str, Floats] = field(default_factory=dict)
    logits: dict[str, Floats] = field(default_factory=dict)
    labels: NDArray[np.int64] | None = None
    count: int = 0


@dataclass
class Task:
    """What an evaluation gives its metrics.

    Attributes:
        made: the images to judge.
        real: the images that they are compared with, if any.
        known: statistics of the real images, by extractor.
        paired: whether image i of both sides shows the same thing.
        extractors: by name.
        classifier: judges classes or attributes, if one is given.
        classes: names of the classes; empty if there are none.
        seed: of all that is drawn.
        batch: images at a time.
        device: where networks compute.
        progress: makes a progress bar from a title and a number of steps.
    """

    made: Side
    real: Side | None
    known: dict[str, Known]
    paired: bool
    extractors: dict[str, Extractor]
    classifier: Extractor | None
    classes: tuple[str, ...]
    seed: int
    batch: int
    device: torch.device
    progress: Callable[[str, int], Any]

    def fewest(self) -> str:
        """Returns which side has fewer images, and how many, in words; of equal ones the real side, which decides."""
        counts = [(side.count or len(side.images), side.images.name) for side in (self.real, self.made) if side]
        count, name = min(counts, key=lambda found: found[0])
        return f"{name} has {count:,}"

    def features(self, extractor: str) -> Floats:
        """Returns the features of the real images, [N, D], for a metric with ``keeps_features``."""
        found = self.known[extractor].features
        assert found is not None
        return found


class Metric:
    """One metric: what it needs, what it sees, and its values. A package can add one, see ``catalogue``.

    Attributes:
        name: as in ``--metrics``.
        title: what it is, in a few words, and its source.
        better: ``"lower"``, ``"higher"``, or empty if neither is better; holds for the first of its values.
        extractor: the one that it uses if the user names none, see ``load_extractor``; empty: it needs no features.
        keeps_features: whether it needs the features of every real image, not only their moments.
        needs_real: whether it compares with real images, or with statistics of them.
        needs_real_images: whether it looks at the real images themselves, so statistics of them are not enough.
        needs_pairs: whether it compares each image with its truth.
        needs_classifier: whether it uses ``Task.classifier``.
        kinds: of data that it can judge.
        by_class: whether it compares the classes of both sides one by one, so both must have the same.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    better: str = "lower"
    extractor: ClassVar[str] = ""
    keeps_features: ClassVar[bool] = True
    needs_real: ClassVar[bool] = True
    needs_real_images: ClassVar[bool] = False
    needs_pairs: ClassVar[bool] = False
    needs_classifier: ClassVar[bool] = False
    kinds: ClassVar[tuple[Kind, ...]] = ("image",)
    by_class: ClassVar[bool] = False

    def __init__(self, task: Task) -> None:
        """Raises ``GancliError`` if it cannot measure these images."""

    def see_made(self, part: Part, pair: Part | None) -> None:
        """Looks at some images to judge, and their truth if ``task.paired``."""

    def see_real(self, part: Part) -> None:
        """Looks at some real images."""

    def values(self, task: Task, extractor: str) -> Values:
        """Returns the results after all images have been seen, from the features of ``extractor`` if it needs any.

        Raises:
            GancliError: the images do not suit the metric.
            RunError: it has no value; the other metrics are still reported.
        """
        raise NotImplementedError
