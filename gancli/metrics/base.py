"""What a metric is: it looks at images while they pass by, and then makes values of what it and the features say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from gancli.metrics.features import Extractor
from gancli.metrics.images import ImageSet, Part
from gancli.metrics.statistics import Floats, Known

Values = dict[str, float]
"""Results by name; a metric with a spread has two, ``kid`` and ``kid_std``."""


@dataclass
class Side:
    """The images of one side, and what was extracted from them.

    Attributes:
        images: the set.
        features: [N, D] by name of the extractor; on disk.
        logits: [N, K] by name of the extractor, where it has logits; on disk.
        labels: int64 [N], or None.
        count: N, images that could be read.
    """

    images: ImageSet
    features: dict[str, Floats] = field(default_factory=dict)
    logits: dict[str, Floats] = field(default_factory=dict)
    labels: NDArray[np.int64] | None = None
    count: int = 0


@dataclass
class Task:
    """What is evaluated against what.

    Attributes:
        made: the images to judge.
        real: what they are compared with; None where no metric needs any.
        known: statistics of the real images by name of the extractor, where they were there already.
        paired: whether image i of both sides shows the same thing.
        extractors: by the name that a metric asks for.
        classifier: judges classes or attributes, where one is given.
        classes: names of the classes of the real images; may be none.
        seed: of all that is drawn.
        batch: images at a time.
        device: where networks compute.
        progress: makes a progress bar of some pieces of work.
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

    def features(self, extractor: str) -> Floats:
        """Returns the features of the real images one by one."""
        found = self.known[extractor].features
        assert found is not None  # metrics with keeps_features have them
        return found


class Metric:
    """One metric: what it needs, what it sees, and its values."""

    name: ClassVar[str]
    """As in ``--metrics``."""
    title: ClassVar[str]
    """What it is, in a few words, and where it comes from."""
    better: str = "lower"
    """lower, higher, or nothing where neither is better."""
    extractor: ClassVar[str] = ""
    """Extractor that it takes where the user names none; empty: it looks at no features."""
    keeps_features: ClassVar[bool] = True
    """Whether it needs the features of every real image, and not only their moments."""
    needs_real: ClassVar[bool] = True
    needs_real_images: ClassVar[bool] = False
    """Whether it looks at the real images themselves, so that statistics of them are not enough."""
    needs_pairs: ClassVar[bool] = False
    needs_classifier: ClassVar[bool] = False
    by_class: ClassVar[bool] = False
    """Whether it looks at each class of both sides."""

    def __init__(self, task: Task) -> None:
        """Gets ready to see images.

        Raises:
            GancliError: it cannot be measured of these images.
        """

    def see_made(self, part: Part, pair: Part | None) -> None:
        """Looks at some images to judge, and at their pairs where there are some."""

    def see_real(self, part: Part) -> None:
        """Looks at some real images."""

    def values(self, task: Task, extractor: str) -> Values:
        """Returns the results, after all images have been seen.

        Args:
            task: with the features of all images.
            extractor: whose features to take.
        """
        raise NotImplementedError
