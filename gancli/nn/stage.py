"""How far networks have grown; only those that grow while they are trained have a stage."""

from __future__ import annotations

from dataclasses import dataclass
from math import log2


@dataclass(frozen=True)
class Stage:
    """How far networks have grown.

    Attributes:
        resolution: height and width in pixels of the images that they make and judge now.
        fade: alpha, the weight of the newest layers, in (0, 1]; 1 when no layers are being faded in.
    """

    resolution: int
    fade: float = 1.0

    @property
    def depth(self) -> int:
        """Blocks in use, one for each resolution from 4 px on."""
        return int(log2(self.resolution)) - 1

    @property
    def phase(self) -> tuple[int, bool]:
        """The resolution, and whether it is being faded in: Adam starts afresh whenever this changes."""
        return self.resolution, self.fade < 1
