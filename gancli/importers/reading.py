"""Reads foreign PyTorch checkpoints without running any code that they contain."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gancli.errors import GancliError
from gancli.importers.base import Counterpart, StateDict

SHOWN = 8


def read_state_dicts(path: Path, example: str) -> list[StateDict]:
    """Returns every state dict in a file.

    Args:
        example: what such files are called, for hints.

    Raises:
        GancliError: the file is missing, is not a checkpoint, or holds Python objects besides tensors.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise GancliError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # whatever torch's parsers stumble over in a file that is something else
        refused = isinstance(error, pickle.UnpicklingError)
        if refused and path.suffix == ".pkl":
            raise GancliError(
                f"{path} is a pickle of Python objects, and unpickling them could run any code",
                f"give a file of tensors that torch.save wrote, such as {example}",
            ) from error
        if refused and "GLOBAL" in str(error):  # torch names the class or function that it refuses to look up
            raise GancliError(
                f"{path} holds Python objects besides tensors, and unpickling them could run any code",
                "save the weights alone, with the code that trained it: torch.save(netG.state_dict(), 'netG.pth')",
            ) from error
        raise GancliError(f"{path} is not a PyTorch checkpoint, or only a part of one") from error
    if found := [StateDict(path, key, tensors) for key, tensors in _state_dicts("", content)]:
        return found
    raise GancliError(
        f"{path} holds no state dict (tensors by name), but {type(content).__name__}",
        "save one: torch.save(netG.state_dict(), 'netG.pth')",
    )


def _state_dicts(key: str, value: Any) -> Iterator[tuple[str, dict[str, Tensor]]]:
    if not isinstance(value, Mapping):
        return
    tensors = {str(name): tensor for name, tensor in value.items() if isinstance(tensor, Tensor)}
    if tensors and len(tensors) == len(value):
        # DataParallel and torch.compile put a prefix before every name.
        yield key, {re.sub(r"^(?:module\.|_orig_mod\.)+", "", name): tensor for name, tensor in tensors.items()}
        return
    for name, inner in value.items():
        yield from _state_dicts(f"{key}.{name}" if key else str(name), inner)


def by_network(
    found: Sequence[StateDict], name_of: Callable[[StateDict], str | None], kind: str
) -> dict[str, StateDict]:
    """Returns state dicts by the name of our network, without those that ``name_of`` has no name for.

    Raises:
        GancliError: a file holds no network, two are the same, or none is the generator; ``kind`` says what they
            should be.
    """
    networks: dict[str, StateDict] = {}
    for state in found:
        name = name_of(state)
        if name in networks:
            raise GancliError(f"{networks[name]} and {state} hold a {name} each", "give one of them")
        if name is not None:
            networks[name] = state
    if strange := next((state for state in found if state.path not in {each.path for each in networks.values()}), None):
        raise refusal(strange, kind, [beginning(strange)])
    if "generator" not in networks:
        (name,) = networks
        raise GancliError(f"{networks[name]}: a {name} alone makes no images", "give the generator, too")
    return networks


def weight(state: StateDict, key: str, dimensions: int, kind: str) -> Tensor:
    """Returns a tensor that tells sizes.

    Raises:
        GancliError: it is missing, is empty, or has another number of dimensions.
    """
    tensor = state.tensors.get(key)
    if tensor is None or tensor.ndim != dimensions or tensor.numel() == 0:
        raise refusal(state, kind, [f"{key}: missing, or not of {dimensions} dimensions", beginning(state)])
    return tensor


def beginning(state: StateDict) -> str:
    """Returns what a state dict begins with, for errors."""
    return f"it begins with {', '.join([*state.tensors][:3])}"


def image_sizes(numbers: int) -> dict[str, int]:
    """Returns the channels and the resolution of a square image of so many numbers: grey, or else in three colours."""
    channels = 1 if isqrt(numbers) ** 2 == numbers else 3
    return {"channels": channels, "resolution": isqrt(numbers // channels)}


def agreed(measured: Iterable[tuple[StateDict | Path, Mapping[str, Any]]]) -> dict[str, tuple[Any, str]]:
    """Returns the sizes that state dicts, or other files, imply together, as ``Imported.model``.

    Raises:
        GancliError: two of them imply different values.
    """
    sizes: dict[str, tuple[Any, str]] = {}
    for state, implied in measured:
        for key, value in implied.items():
            known, where = sizes.setdefault(key, (value, str(state)))
            if known != value:
                raise GancliError(
                    f"{where} and {state} are not of one model: {key} is {known} in the first, {value} in the second"
                )
    return sizes


def fit(state: StateDict, network: nn.Module, counterparts: Mapping[str, Counterpart], kind: str) -> dict[str, Tensor]:
    """Returns the tensors of a state dict by our names, in our types.

    Args:
        state: a state dict of the official implementation.
        network: ours, with the sizes that the state dict should have; may be on the meta device.
        counterparts: of the tensors of the network.
        kind: what the state dict should be, in words.

    Raises:
        GancliError: a tensor is missing, unexpected, or has another shape.
    """
    ours = network.state_dict()
    # PyTorch before 0.4.1 kept no num_batches_tracked.
    given = {each.key: torch.tensor(0) for key, each in counterparts.items() if key.endswith("num_batches_tracked")}
    given |= state.tensors
    # Not on the meta device: its arithmetic imports torch's compiler, which takes seconds.
    expected = {
        theirs.key: theirs.to_theirs(torch.empty(ours[key].shape, dtype=ours[key].dtype)).shape
        for key, theirs in counterparts.items()
    }
    problems = [f"{key}: missing" for key in expected if key not in given]
    problems += [f"{key}: unexpected" for key in given if key not in expected]
    problems += [f"{key}: sparse" for key, tensor in given.items() if tensor.layout is not torch.strided]
    problems += [
        f"{key}: {list(given[key].shape)}, but {list(shape)} would fit"
        for key, shape in expected.items()
        if key in given and given[key].shape != shape
    ]
    if problems:
        raise refusal(state, kind, problems)
    return {key: theirs.to_ours(given[theirs.key].to(ours[key].dtype)) for key, theirs in counterparts.items()}


def to_theirs(network: nn.Module, counterparts: Mapping[str, Counterpart]) -> dict[str, Tensor]:
    """Returns the tensors of one of our networks as the official implementation has them, by its names."""
    ours = network.state_dict()
    return {theirs.key: theirs.to_theirs(ours[key]).contiguous() for key, theirs in counterparts.items()}


def refusal(state: StateDict, kind: str, problems: list[str]) -> GancliError:
    """Returns the error for a state dict that does not fit, with a line for each of the first problems."""
    shown = "\n".join(f"  {problem}" for problem in problems[:SHOWN])
    more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    return GancliError(f"{state} is not {kind}:\n{shown}{more}", "see `gancli import --help` for what can be imported")
