"""Whether tensors from a file can become the weights of a network: their names, shapes, types and values."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gancli.errors import GancliError

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
"""Types of weights, which are converted into each other; others do not hold weights as they are."""
INTEGERS = (torch.int64, torch.int32, torch.int16)
"""Types of counts."""


def mismatches(own: Mapping[str, Tensor], given: Mapping[str, Tensor], shown: int = 8, *, whole: bool = False) -> str:
    """Returns a line for each tensor of ``given`` that ``own`` lacks or has in another shape or type; "" if all fit.

    With ``whole``, there is also a line for each tensor of ``own`` that ``given`` lacks.
    """
    lines = []
    for name, tensor in given.items():
        if name not in own:
            lines.append(f"  {name}: {list(tensor.shape)}, here there is no such tensor")
        elif own[name].shape != tensor.shape:
            lines.append(f"  {name}: {list(tensor.shape)}, here {list(own[name].shape)}")
        elif strange := strange_type(tensor, own[name].dtype):
            lines.append(f"  {name}: {strange}")
    if whole:
        lines += [f"  {name}: missing, here {list(tensor.shape)}" for name, tensor in own.items() if name not in given]
    if len(lines) > shown:
        lines[shown:] = [f"  and {len(lines) - shown:,} more"]
    return "\n".join(lines)


def strange_type(tensor: Tensor, wanted: torch.dtype) -> str:
    """Returns what keeps a tensor from becoming one of the type ``wanted``, in words; "" if nothing does."""
    if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized:
        return "no plain numbers"
    if tensor.dtype == wanted or any(tensor.dtype in alike and wanted in alike for alike in (FLOATS, INTEGERS)):
        return ""
    return f"{str(tensor.dtype).removeprefix('torch.')}, here {str(wanted).removeprefix('torch.')}"


def first_broken(tensors: Mapping[str, Tensor]) -> str | None:
    """Returns the name of the first tensor with a value that is not finite, or None if all are finite."""
    floats = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
    # A sum is not finite if a value is not. It takes a fifth of the time, and the host reads all sums at once.
    if not floats or torch.stack([tensor.sum(dtype=torch.float32) for tensor in floats.values()]).isfinite().all():
        return None
    return next((name for name, tensor in floats.items() if not tensor.isfinite().all()), None)


def fitted(given: Mapping[str, Tensor], own: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Returns tensors that fit those of a network, in its types.

    Args:
        given: tensors without ``mismatches``.
        own: those of the network; may be on the meta device.
        where: the file, for errors.

    Raises:
        GancliError: a value is not finite, or too large for the network's type.
    """
    converted = {name: tensor.to(own[name].dtype) for name, tensor in given.items()}
    if (broken := first_broken(converted)) is not None:
        raise GancliError(
            f"{where}: {broken} has values that are not finite (nan, infinite, or too large for float32)",
            "the model broke while it was trained: use an earlier checkpoint",
        )
    return converted
