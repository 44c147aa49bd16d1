"""Reads foreign PyTorch checkpoints without running any code that they contain."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gancli.checkpoints import read_checkpoint
from gancli.errors import GancliError, some
from gancli.importers.base import Counterpart, StateDict
from gancli.weights import fitted, strange_type

SHOWN = 8
SMALL = 2**24
MOST = 100
"""State dicts that are looked at in a file."""
DEEPEST = 4
"""Most keys that lead to a state dict, and most parts of a name before those of the network."""


def read_state_dicts(path: Path, example: str) -> list[StateDict]:
    """Returns every state dict in a file, wherever it is, without those of optimizers.

    Args:
        example: what such files are called, for hints.

    Raises:
        GancliError: the file is missing, is not a checkpoint, or holds no state dict.
    """
    objects = "Python objects besides tensors, and unpickling them could run any code"
    try:
        content, unknown = read_checkpoint(path)
    except OSError as error:
        raise GancliError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        if path.suffix == ".pkl" and path.open("rb").read(1) == b"\x80":
            hint = f"give a file of tensors that torch.save wrote, such as {example}"
            raise GancliError(f"{path} is a pickle of {objects}", hint) from error
        raise GancliError(f"{path} is not a PyTorch checkpoint, or only a part of one") from error
    several = islice(_state_dicts(content), MOST)
    if found := [StateDict(path, key, _bare(tensors)) for key, tensors in several]:
        return found
    if unknown:
        raise GancliError(
            f"{path} holds {objects}: {some(sorted(unknown), 3)}",
            "save the weights alone, with the code that trained it: torch.save(netG.state_dict(), 'netG.pth')",
        )
    raise GancliError(
        f"{path} holds no state dict (tensors by name), but {type(content).__name__}",
        "save one: torch.save(netG.state_dict(), 'netG.pth')",
    )


def _state_dicts(content: Any) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yields the state dicts in what a file holds, with the keys that lead there, outer ones first."""
    kinds = (Mapping, list, tuple)
    waiting, seen = deque([("", content)] if isinstance(content, kinds) else []), set[int]()
    while waiting:
        key, value = waiting.popleft()
        if key.count(".") > DEEPEST:
            continue
        items = list(value.items() if isinstance(value, Mapping) else enumerate(value))
        if {"state", "param_groups"} <= {name for name, _ in items}:
            continue  # an optimizer
        tensors = {str(name): tensor for name, tensor in items if isinstance(tensor, Tensor)}
        # Loss curves and the like may lie beside state dicts; the names of weights tell their layers.
        if tensors and (len(tensors) == len(items) or any("." in name for name in tensors)):
            yield key, tensors
        if id(value) in seen:  # it may contain itself
            continue
        seen.add(id(value))
        inner = ((name, each) for name, each in items if isinstance(each, kinds))
        waiting += [(f"{key}.{name}" if key else str(name), each) for name, each in inner]


def _bare(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns tensors without the prefixes that DataParallel and torch.compile put before every name."""
    return {re.sub(r"^(?:module\.|_orig_mod\.)+", "", name): tensor for name, tensor in tensors.items()}


def unwrapped(found: Sequence[StateDict]) -> Iterator[list[StateDict]]:
    """Yields state dicts as they are, then without the first part of every name, which becomes their key, and so on.

    Lightning and others keep several networks in one state dict: ``generator.main.0.weight``.
    """
    for _ in range(DEEPEST):
        yield list(found)
        parts: dict[tuple[Path, str], dict[str, Tensor]] = {}
        for state in found:
            for name, tensor in state.tensors.items():
                head, _, rest = name.partition(".")
                key = f"{state.key}.{head}" if state.key else head
                if rest:
                    parts.setdefault((state.path, key), {})[rest] = tensor
        found = [StateDict(path, key, _bare(tensors)) for (path, key), tensors in parts.items()]
        if not found:
            return


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
        GancliError: a tensor is missing, unexpected, has another shape or no type of weights, or is not finite.
    """
    ours = network.state_dict()
    # PyTorch before 0.4.1 kept no num_batches_tracked.
    given = {each.key: torch.tensor(0) for key, each in counterparts.items() if key.endswith("num_batches_tracked")}
    given |= state.tensors
    expected: dict[str, Sequence[int]] = {}
    for key, each in counterparts.items():
        size = given[each.key].numel() if each.key in given else 0
        small = ours[key].numel() <= max(size, SMALL)  # one that is not cannot fit, and would take memory
        # Not on the meta device: its arithmetic imports torch's compiler, which takes seconds.
        like = each.to_theirs(torch.empty(ours[key].shape, dtype=ours[key].dtype)) if small else ours[key]
        expected[each.key] = like.shape
    problems = [f"{key}: missing" for key in expected if key not in given]
    problems += [f"{key}: unexpected" for key in given if key not in expected]
    problems += [f"{key}: sparse" for key, tensor in given.items() if tensor.layout is not torch.strided]
    problems += [
        f"{key}: {list(given[key].shape)}, but {list(shape)} would fit"
        for key, shape in expected.items()
        if key in given and given[key].shape != shape
    ]
    if not problems:
        kinds = {each.key: strange_type(given[each.key], ours[key].dtype) for key, each in counterparts.items()}
        problems = [f"{key}: {strange}" for key, strange in kinds.items() if strange]
    if problems:
        raise refusal(state, kind, problems)
    types = {each.key: torch.empty(0, dtype=ours[key].dtype) for key, each in counterparts.items()}
    converted = fitted({key: given[key] for key in types}, types, str(state))
    return {key: each.to_ours(converted[each.key]) for key, each in counterparts.items()}


def to_theirs(network: nn.Module, counterparts: Mapping[str, Counterpart]) -> dict[str, Tensor]:
    """Returns the tensors of one of our networks as the official implementation has them, by its names."""
    ours = network.state_dict()
    return {theirs.key: theirs.to_theirs(ours[key]).contiguous() for key, theirs in counterparts.items()}


def refusal(state: StateDict, kind: str, problems: list[str]) -> GancliError:
    """Returns the error for a state dict that does not fit, with a line for each of the first problems."""
    shown = "\n".join(f"  {problem}" for problem in problems[:SHOWN])
    more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    return GancliError(f"{state} is not {kind}:\n{shown}{more}", "see `gancli import --help` for what can be imported")
