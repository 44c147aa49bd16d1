"""Means of losses and scores between two lines of the log, without a host sync in the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import torch
from torch import Tensor


class MeterState(TypedDict):
    """What a checkpoint keeps of a meter, so that the log of a resumed run has the same numbers."""

    sums: dict[str, float]
    counts: dict[str, int]


class Meter:
    """Sums 0-d tensors by name on their device; only ``read`` waits for the device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    @torch.no_grad()
    def add(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            value = value.detach().float()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.counts[name] = self.counts.get(name, 0) + 1

    def read(self) -> dict[str, float]:
        """Returns the mean of each name since the last ``clear``."""
        return {name: total / self.counts[name] for name, total in self._totals().items()}

    def clear(self) -> None:
        self.sums.clear()
        self.counts.clear()

    def _totals(self) -> dict[str, float]:
        if not self.sums:
            return {}
        return dict(zip(self.sums, torch.stack(list(self.sums.values())).tolist(), strict=True))

    def state(self) -> MeterState:
        return {"sums": self._totals(), "counts": dict(self.counts)}

    def load(self, state: MeterState) -> None:
        # A float32 survives the way through JSON's decimal float64 unchanged.
        self.sums = {
            name: torch.tensor(total, dtype=torch.float32, device=self.device) for name, total in state["sums"].items()
        }
        self.counts = dict(state["counts"])
