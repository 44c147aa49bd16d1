"""Statistics over a whole image, measured once and shared by all of its tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


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
        kwargs = kwargs or {}
        result = self._SHARED[func](self, *args, **kwargs) if func in self._SHARED else None
        return func(*args, **kwargs) if result is None else result

    def _value(self, measure: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        # A network makes the same calls in the same order every time.
        if self._passes == 1:
            self._values.append(measure())
        self._calls += 1
        return self._values[self._calls - 1]

    def _normalise(self, x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        x = x.float()

        def measure() -> tuple[Tensor, ...]:
            values = x.unflatten(1, (groups, -1)).transpose(0, 1).flatten(1)
            variance, mean = torch.var_mean(values, 1, correction=0)
            return tuple(value.repeat_interleave(x.shape[1] // groups) for value in (mean, variance))

        mean, variance = self._value(measure)
        return torch.batch_norm(x, weight, bias, mean, variance, False, 0.0, eps, False)

    # Each returns None if its result does not depend on a whole image.

    def _group_norm(
        self,
        input: Tensor,
        num_groups: int,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
    ) -> Tensor:
        return self._normalise(input, num_groups, weight, bias, eps)

    def _instance_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None = None,
        running_var: Tensor | None = None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        use_input_stats: bool = True,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor | None:
        return self._normalise(input, input.shape[1], weight, bias, eps) if use_input_stats else None

    def _batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor | None:
        return self._normalise(input, input.shape[1], weight, bias, eps) if training else None

    def _average_pool(self, input: Tensor, output_size: Any) -> Tensor | None:
        if output_size not in (1, (1, 1)):
            return None
        (value,) = self._value(lambda: (input.mean((0, 2, 3), keepdim=True),))
        return value.expand(len(input), -1, -1, -1)

    def _maximum_pool(self, input: Tensor, output_size: Any, return_indices: bool = False) -> Tensor | None:
        if output_size not in (1, (1, 1)) or return_indices:
            return None
        (value,) = self._value(lambda: (input.amax((0, 2, 3), keepdim=True),))
        return value.expand(len(input), -1, -1, -1)

    _SHARED: ClassVar[dict[Any, Callable[..., Any]]] = {
        F.group_norm: _group_norm,
        F.instance_norm: _instance_norm,
        F.batch_norm: _batch_norm,
        F.adaptive_avg_pool2d: _average_pool,
        F.adaptive_max_pool2d: _maximum_pool,
    }
