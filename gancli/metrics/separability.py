"""Linear separability of latents (Karras, Laine & Aila 2018, arXiv 1812.04948, section 4.2).

For each attribute that a classifier sees in images, a linear support vector machine predicts it from the latents
alone. The less uncertainty it leaves, H(Y|X), the better the latents are disentangled: the value is
exp(sum over attributes of H(Y|X)), 1 at best. Only the half of the images that the classifier is surest of counts.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gancli.errors import GancliError
from gancli.metrics.base import Metric, Task, Values
from gancli.metrics.images import Part, Sampled

ROWS = 4096


def conditional_entropy(seen: NDArray[np.bool_], told: NDArray[np.bool_]) -> float:
    """Returns H(Y|X) in nats of Y, seen in images, and X, predicted from latents."""
    entropy = 0.0
    for x in (False, True):
        given = seen[told == x]
        for y in (False, True):
            joint = float((given == y).sum()) / len(seen)
            if joint > 0:
                entropy -= joint * math.log(joint * len(seen) / len(given))
    return entropy


def attribute_entropy(latents: NDArray[np.float32], logits: NDArray[np.float32]) -> float:
    """Returns H(Y|X) of one attribute.

    Args:
        latents: [N, D].
        logits: [N]; above 0 if the classifier sees the attribute.
    """
    from sklearn.svm import LinearSVC

    surest = np.sort(np.argsort(-np.abs(logits), kind="stable")[: max(2, len(logits) // 2)])
    seen = logits[surest] > 0
    if seen.all() or not seen.any():
        return 0.0  # nothing is uncertain if all images have it, or none
    told = LinearSVC(dual=False).fit(latents[surest], seen).predict(latents[surest])
    return conditional_entropy(seen, told)


class Separability(Metric):
    name = "separability"
    title = "linear separability in z and w, of the attributes that --classifier sees (Karras et al. 2018)"
    needs_real = False
    needs_classifier = True

    def __init__(self, task: Task) -> None:
        if not isinstance(task.made.images, Sampled):
            raise GancliError("separability needs a model that draws latents, not a folder", "leave out 'separability'")
        assert task.classifier is not None
        self._sampled, self._classifier, self._device = task.made.images, task.classifier, task.device
        self._logits: list[NDArray[np.float32]] = []

    def see_made(self, part: Part, pair: Part | None) -> None:
        self._logits.append(self._classifier(part.rgb().to(self._device)).scores.numpy())

    def values(self, task: Task, extractor: str) -> Values:
        sampled = self._sampled
        if sampled.count < 4:
            raise GancliError("separability needs at least 4 images to learn from", "-n 10000")
        logits = np.concatenate(self._logits)
        points = [sampled.points(first, min(ROWS, sampled.count - first)) for first in range(0, sampled.count, ROWS)]
        latents = {"z": np.concatenate([part.values.flatten(1).numpy() for part in points])}
        if "w" in sampled.renderer.shapes:
            styles = [sampled.renderer.styles(part).values for part in points]
            latents["w"] = np.concatenate([(w if w.ndim == 2 else w[:, 0]).numpy() for w in styles])
        found = {}
        with task.progress("separability", logits.shape[1] * len(latents)) as bar:
            for space, values in latents.items():
                total = 0.0
                for attribute in logits.T:
                    total += attribute_entropy(values, attribute)
                    bar.advance()
                found[f"separability_{space}"] = math.exp(total)
        return found
