"""Watches a run for what often goes wrong with GANs, and says when it begins and what to try.

Values are recorded in one training step per line of the log, on their device, and read with the losses; samples are
compared with data when a grid is drawn. benchmarks/watch.py measures the thresholds, see docs/aids.md.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gancli.nn.losses import NO_AIDS, Objective
from gancli.training.update import WATCH, Update

ITEMS = 256
"""The largest number of samples and of real items that are compared."""
EPISODE = 20
"""Good values after which something that went wrong is over."""
ADVICE = {
    "mode collapse": "the samples hardly differ; lower model.optimizers.G.lr, or add train.turns.G.every=2 or "
    "train.aids.replay=0.25",
    "D has won": "it tells all reals from all fakes; lower model.optimizers.D.lr, or add train.turns.D.every=2 or "
    "train.aids.instance_noise=0.1",
    "vanishing gradients": "G hardly learns any more; lower the learning rates, add train.aids.instance_noise=0.1, or "
    "choose an objective that does not saturate",
    "oscillation": "D and G beat each other in turn; lower the learning rates and Adam's first beta, or add "
    "train.aids.old_networks=0.1",
}
"""What goes wrong, and what to try: values for --set."""


@dataclass(frozen=True)
class WatchedObjective:
    """An objective that also records how well D tells reals from fakes, in steps that are watched.

    ``D loss`` is D's loss without penalties, factors and aids, divided by its value for scores of 0; if it is near 0, D
    is always right and sure. ``D right`` is the share of pairs in which the real has a higher score than the fake.
    """

    objective: Any
    update: Update

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        if self.update.watched and self.update.older is None:
            plain: Objective = self.objective
            plain = replace(self.objective, aids=NO_AIDS) if hasattr(plain, "aids") else plain
            with torch.no_grad():
                loss = plain.d(real, fake) / plain.d(torch.zeros_like(real), torch.zeros_like(fake))
            self.update.meter.add({f"{WATCH}D loss": loss})
            if real.shape == fake.shape:
                self.update.meter.add({f"{WATCH}D right": (real > fake).float().mean()})
        return self.objective.d(real, fake)  # type: ignore[no-any-return]

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return self.objective.g(fake, real)  # type: ignore[no-any-return]


class Watch:
    """Judges what is recorded under ``watch`` in the log.

    Args:
        batch: images per step, which limits how exact ``D right`` is.

    Attributes:
        lines: what the newest steps recorded, oldest first.
        grids: what the newest grids showed.
        largest: the largest norm of G's gradient so far.
        found: what goes wrong, and the number of good values after which it is over.
    """

    def __init__(self, batch: int) -> None:
        self.lead = max(0.2, 1.5 / math.sqrt(batch))  # three standard deviations of the share if D only guesses
        self.lines: deque[Mapping[str, float]] = deque(maxlen=20)
        self.grids: deque[Mapping[str, float]] = deque(maxlen=3)
        self.largest = 0.0
        self.found: dict[str, int] = {}

    def take(self, values: Mapping[str, float]) -> list[str]:
        """Takes what a grid showed, what a step recorded, or both, and returns what has begun to go wrong."""
        grid = {name: value for name, value in values.items() if name in ("samples", "data")}
        line = {name: value for name, value in values.items() if name not in grid}
        begun = []
        for part, before in ((grid, self.grids), (line, self.lines)):
            if part:
                before.append(part)
                self.largest = max(self.largest, part.get("G gradient", 0.0))
                wrong = self._wrong()
                begun += [name for name in wrong if name not in self.found]
                fading = {name: left - 1 for name, left in self.found.items() if left > 1}
                self.found = fading | dict.fromkeys(wrong, EPISODE)
        return begun

    def _wrong(self) -> list[str]:
        recent = list(self.lines)[-5:]
        judged = {
            "mode collapse": len(self.grids) == 3
            and all(grid["samples"] < 2 and grid["data"] >= 4 for grid in self.grids),
            "D has won": len(recent) == 5 and all(line.get("D loss", 1) < 0.01 for line in recent),
            "vanishing gradients": len(recent) == 5
            and all(line.get("G gradient", math.inf) < 1e-3 * self.largest for line in recent),
            "oscillation": swings((line.get("D right", 0.5) for line in self.lines), self.lead) >= 5,
        }
        return [name for name, present in judged.items() if present]


def swings(shares: Iterable[float], lead: float) -> int:
    """Returns how often values go from at least 0.5 + ``lead`` to at most 0.5 - ``lead``, or back."""
    sides = [share > 0.5 for share in shares if abs(share - 0.5) >= lead]
    return sum(one != other for one, other in pairwise(sides))


def diversity(preview: Sequence[Mapping[str, Tensor]], data: Tensor) -> dict[str, float]:
    """Returns how many different items the samples and as many real items look like: ``samples`` and ``data``.

    It is the Vendi score (Friedman & Dieng 2022) of the kernel exp(-4 d^2 / m) between images of 8 by 8 pixels, or
    points; m is the median of d^2 between the real items. Empty if a value is not finite.
    """
    samples = _features(torch.cat([column for group in preview for column in group.values()]))
    real = _features(data)
    n = min(len(samples), len(real))
    if n < 2 or not (samples.isfinite().all() and real.isfinite().all()):
        return {}
    median = torch.pdist(real[:n]).square().median().clamp(min=1e-30)  # 0 if most of the real items are the same
    return {name: _different(each[:n], median) for name, each in (("samples", samples), ("data", real))}


def _features(items: Tensor) -> Tensor:
    items = items[:ITEMS].double().cpu()
    if items.ndim == 4:
        items = F.adaptive_avg_pool2d(items, min(8, items.shape[-1]))
    return items.flatten(1)


def _different(items: Tensor, median: Tensor) -> float:
    shares = torch.linalg.eigvalsh(torch.exp(-4 * torch.cdist(items, items).square() / median) / len(items))
    return round(float(torch.special.entr(shares.clamp(min=0)).sum().exp()), 2)
