"""Reads foreign PyTorch checkpoints without running any code that they contain."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gancli.errors import GancliError

SHOWN = 8


@dataclass(frozen=True)
class Imported:
    """What an importer makes of a checkpoint: the model section it implies, and the weights under our names."""

    model: dict[str, Any]
    tensors: dict[str, Tensor]
    networks: list[str]


class DoesNotFit(Exception):
    """A state dict is not of the kind that an importer reads; ``problems`` has a line per key."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(f"{len(problems)} keys do not fit")
        self.problems = problems


def read_state_dicts(path: Path) -> list[tuple[str, dict[str, Tensor]]]:
    """Returns every state dict in a file, with the key it lies under ("" for a bare one), without ``module.``.

    Raises:
        GancliError: the file is not there, is no checkpoint, or holds Python objects besides tensors.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise GancliError(f"cannot read {path}: {error.strerror}") from error
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error):  # torch names the class or function that it refuses to look up
            raise GancliError(
                f"{path} holds Python objects besides tensors, and unpickling them could run any code",
                "save the weights alone where the model comes from: torch.save(netG.state_dict(), 'netG.pth')",
            ) from error
        raise GancliError(f"{path} is not a PyTorch checkpoint") from error
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        # torch.load raises whatever its parsers stumble over in a file that is something else.
        raise GancliError(f"{path} is not a PyTorch checkpoint") from error
    found = list(_state_dicts("", content))
    if not found:
        raise GancliError(
            f"{path} holds no state dict (tensors by name), but {type(content).__name__}",
            "save one: torch.save(netG.state_dict(), 'netG.pth')",
        )
    return found


def _state_dicts(key: str, value: Any) -> Iterator[tuple[str, dict[str, Tensor]]]:
    if not isinstance(value, Mapping):
        return
    tensors = {str(name): tensor for name, tensor in value.items() if isinstance(tensor, Tensor)}
    if tensors and len(tensors) == len(value):
        yield key, {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
        return
    for name, inner in value.items():
        yield from _state_dicts(f"{key}.{name}" if key else str(name), inner)


def refusal(path: Path, kind: str, key: str, misfit: DoesNotFit) -> GancliError:
    """Returns the error for a checkpoint that does not fit, naming the keys."""
    shown = "\n".join(f"  {problem}" for problem in misfit.problems[:SHOWN])
    more = f"\n  and {len(misfit.problems) - SHOWN} more" if len(misfit.problems) > SHOWN else ""
    where = f" (under {key!r})" if key else ""
    return GancliError(
        f"{path}{where} is not {kind}:\n{shown}{more}", "see `gancli import --help` for what can be imported"
    )
