"""Means of losses and scores between two lines of the log, without a host sync in the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gancli.training import distributed


class Meter:
    """Sums 0-d tensors by name on their device; only ``read`` waits for the device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            value = value.detach().float()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.counts[name] = self.counts.get(name, 0) + 1

    def read(self) -> dict[str, float]:
        """Returns the mean of each name since the last ``clear``."""
        return {name: total / self.counts[name] for name, total in self._totals().items()}

    def average(self) -> None:
        """Averages over all processes, which have the same names."""
        names = sorted(self.sums)
        sums = [self.sums[name].clone() for name in names]
        distributed.average(sums)
        self.sums |= dict(zip(names, sums, strict=True))

    def clear(self) -> None:
        self.sums.clear()
        self.counts.clear()

    def _totals(self) -> dict[str, float]:
        if not self.sums:
            return {}
        return dict(zip(self.sums, torch.stack(list(self.sums.values())).tolist(), strict=True))

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint keeps, as JSON, so that the log of a resumed run has the same numbers."""
        return {"sums": self._totals(), "counts": dict(self.counts)}

    def load(self, state: Mapping[str, Any]) -> None:
        # JSON's decimal numbers keep every float32 exactly.
        self.sums = {
            name: torch.tensor(total, dtype=torch.float32, device=self.device) for name, total in state["sums"].items()
        }
        self.counts = dict(state["counts"])
