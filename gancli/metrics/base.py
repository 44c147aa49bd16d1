"""What a metric is: it sees images as they pass by, then computes its values from what it saw and from features."""

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
"""Results by name; a metric with a spread has two, such as ``kid`` and ``kid_std``."""


@dataclass
class Side:
    """The images of one side, and what was extracted from them.

    Attributes:
        images: the set.
        features: [N, D] by name of the extractor, on disk.
        logits: [N, K] by name of the extractor if it has logits, on disk.
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
    """What is evaluated against what.

    Attributes:
        made: the images to judge.
        real: the images that they are compared with; None if no metric needs them.
        known: statistics of the real images, by name of the extractor.
        paired: whether image i of both sides shows the same thing.
        extractors: by name.
        classifier: judges classes or attributes; None if none is given.
        classes: names of the classes; empty if there are none.
        seed: of everything that is drawn.
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

    def features(self, extractor: str) -> Floats:
        """Returns the features of the real images one by one."""
        found = self.known[extractor].features
        assert found is not None  # metrics with keeps_features have them
        return found


class Metric:
    """One metric: what it needs, what it sees, and its values.

    A package adds one with an entry point of the group ``gancli.metrics``, see ``gancli.metrics.catalogue``.
    """

    name: ClassVar[str]
    """As in ``--metrics``."""
    title: ClassVar[str]
    """What it is, in a few words, and its source."""
    better: str = "lower"
    """``"lower"``, ``"higher"``, or empty if neither is better; holds for the first of its values."""
    extractor: ClassVar[str] = ""
    """Extractor that it uses if the user names none, see ``load_extractor``; empty: it needs no features."""
    keeps_features: ClassVar[bool] = True
    """Whether it needs the features of every real image, and not only their moments."""
    needs_real: ClassVar[bool] = True
    """Whether it compares with real images, or with statistics of them."""
    needs_real_images: ClassVar[bool] = False
    """Whether it looks at the real images themselves, so statistics of them are not enough."""
    needs_pairs: ClassVar[bool] = False
    """Whether it compares each image with its truth."""
    needs_classifier: ClassVar[bool] = False
    """Whether it uses ``Task.classifier``."""
    by_class: ClassVar[bool] = False
    """Whether it compares the classes of both sides one by one."""

    def __init__(self, task: Task) -> None:
        """Gets ready to see images.

        Raises:
            GancliError: it cannot measure these images.
        """

    def see_made(self, part: Part, pair: Part | None) -> None:
        """Looks at some images to judge, and at their truth if ``task.paired``."""

    def see_real(self, part: Part) -> None:
        """Looks at some real images."""

    def values(self, task: Task, extractor: str) -> Values:
        """Returns the results, after all images have been seen.

        Args:
            task: has the features of all images.
            extractor: the name of the extractor whose features to use.

        Raises:
            GancliError: the images do not suit the metric.
            RunError: it has no value; the other metrics are still reported.
        """
        raise NotImplementedError
