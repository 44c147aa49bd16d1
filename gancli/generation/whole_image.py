"""Statistics over a whole image, measured once and shared by all of its tiles."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

NORMS = {norm: signature(norm) for norm in (F.group_norm, F.instance_norm, F.batch_norm)}
POOLS: dict[Any, Callable[..., Tensor]] = {F.adaptive_avg_pool2d: torch.mean, F.adaptive_max_pool2d: torch.amax}


class SharedStatistics(TorchFunctionMode):
    """Inside this context, tiles of an image are normalised like the whole image.

    Instance norm, group norm, batch norm with the statistics of its batch, and global pooling depend on a whole image.
    In a tile they would see only a part, such as a piece of sky, amplify it to noise, and give every tile its own tone.
    So the first forward pass, over patches from all parts of the image, measures the statistics of all of them
    together, and later passes use these. The network is then a convolution, and overlapping tiles agree.

    Enter it anew for every forward pass. No gradients.
    """

    def __init__(self) -> None:
        super().__init__()
        self._values: list[tuple[Tensor, ...]] = []
        self._passes = self._calls = 0

    def __enter__(self) -> SharedStatistics:
        self._passes += 1
        self._calls = 0
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, result = kwargs or {}, None
        if func in NORMS:
            given = NORMS[func].bind(*args, **kwargs)
            given.apply_defaults()
            result = self._norm(**given.arguments)
        elif func in POOLS:
            result = self._pool(POOLS[func], *args, **kwargs)
        return func(*args, **kwargs) if result is None else result

    def _value(self, measure: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        # A network makes the same calls in the same order every time.
        if self._passes == 1:
            self._values.append(measure())
        self._calls += 1
        return self._values[self._calls - 1]

    def _norm(
        self,
        input: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
        num_groups: int | None = None,
        use_input_stats: bool = True,
        training: bool = True,
        **running: Any,
    ) -> Tensor | None:
        """Takes any norm's arguments; returns None if it has statistics of its own."""
        if not use_input_stats or not training:
            return None
        x = input.float()
        groups = num_groups or x.shape[1]

        def measure() -> tuple[Tensor, ...]:
            values = x.unflatten(1, (groups, -1)).transpose(0, 1).flatten(1)
            variance, mean = torch.var_mean(values, 1, correction=0)
            return tuple(value.repeat_interleave(x.shape[1] // groups) for value in (mean, variance))

        mean, variance = self._value(measure)
        return torch.batch_norm(x, weight, bias, mean, variance, False, 0.0, eps, False)

    def _pool(
        self, reduce: Callable[..., Tensor], input: Tensor, output_size: Any, return_indices: bool = False
    ) -> Tensor | None:
        if output_size not in (1, (1, 1)) or return_indices:
            return None
        (value,) = self._value(lambda: (reduce(input, (0, 2, 3), keepdim=True),))
        return value.expand(len(input), -1, -1, -1)
