"""Translators without weights, whose results are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from gancli.architectures.base import Batch, Translator, Update, Way
from gancli.domains import Domain, Inputs
from gancli.schema import ImageModelConfig

SIDE = 16


class Negative(Translator):
    """Turns images of one domain, or of any of three, into negatives; a noisy one adds noise."""

    Config = ImageModelConfig
    title = "made up"
    players: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    averaged = ()
    names: ClassVar[tuple[str, ...]] = ("image",)

    def __init__(self, *, noisy: bool = False) -> None:
        super().__init__(ImageModelConfig(resolution=SIDE))
        self.noisy = noisy  # type: ignore[misc]
        self.seen: list[int] = []

    @classmethod
    def inputs(cls, config: Any) -> Inputs:
        return Inputs({name: Domain((3, SIDE, SIDE)) for name in cls.names})

    @property
    def multiple(self) -> int:
        return 4

    def ways(self) -> tuple[Way, ...]:
        return tuple(Way(source, target) for source in self.names for target in self.names)

    def translate(
        self, image: Tensor, way: Way, *, labels: Tensor | None = None, style: Tensor | None = None
    ) -> Tensor:
        self.seen.append(len(image))
        return -image + (torch.randn_like(image) / 4 if self.noisy else 0)

    def training_step(self, data: Iterator[Batch], update: Update) -> None:
        raise NotImplementedError

    def preview(self, watched: Batch) -> list[Mapping[str, Tensor]]:
        raise NotImplementedError


class NegativeOfThree(Negative):
    names = ("A", "B", "C")
