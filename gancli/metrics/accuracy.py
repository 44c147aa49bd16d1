"""Conditional accuracy: how often a classifier sees the class that a conditional model was asked for.

It is GAN-test of Shmelkov, Schmid & Alahari 2018 (arXiv 1807.09499).
"""

from __future__ import annotations

from collections import Counter

from gancli.errors import GancliError
from gancli.metrics.base import Metric, Task, Values
from gancli.metrics.images import Part


class Accuracy(Metric):
    name = "accuracy"
    title = "share of images in which --classifier sees the intended class; the same for the real images"
    better = "higher"
    needs_classifier = True
    by_class = True

    def __init__(self, task: Task) -> None:
        assert task.classifier is not None
        self._classifier, self._device, self._classes = task.classifier, task.device, len(task.classes)
        self._right, self._count = Counter[str](), Counter[str]()

    def see_made(self, part: Part, pair: Part | None) -> None:
        self._judge("accuracy", part)

    def see_real(self, part: Part) -> None:
        self._judge("accuracy_real", part)

    def _judge(self, side: str, part: Part) -> None:
        if part.labels is None:
            return
        logits = self._classifier(part.rgb().to(self._device)).scores
        if logits.shape[1] != self._classes:
            raise GancliError(
                f"--classifier {self._classifier.name} has {logits.shape[1]} classes, the images have {self._classes}"
            )
        self._right[side] += int((logits.argmax(dim=1).numpy() == part.labels).sum())
        self._count[side] += len(part)

    def values(self, task: Task, extractor: str) -> Values:
        if not self._count["accuracy"]:
            raise GancliError(f"accuracy: {task.made.images.name} has no classes", "leave out 'accuracy'")
        return {side: self._right[side] / count for side, count in sorted(self._count.items())}
