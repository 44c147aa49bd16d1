"""What an importer is: one official implementation's checkpoints, with its key map, both ways.

A module with these names is one; so is any other object. A package adds its own with the entry-point group
``gancli.importers``: ``tiny-gan = "tiny_gan.importer"`` reads checkpoints for the architecture tiny-gan.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn


@dataclass(frozen=True)
class Checkpoints:
    """What the checkpoints of an official implementation are called.

    Attributes:
        format: name of the format, as ``gancli export --format`` takes it.
        kinds: by architecture, what the importer reads, in words.
        file: pattern of a checkpoint's file name; its group ``epoch`` is a number, ``latest``, or nothing, which means
            the same.
        example: such names, for hints.
        together: whether one file holds all networks.
        suffixes: how such names end.
    """

    format: str
    kinds: Mapping[str, str]
    file: str
    example: str
    together: bool = False
    suffixes: tuple[str, ...] = (".pth", ".pt")


@dataclass(frozen=True)
class StateDict:
    """Tensors by name, from a file.

    Attributes:
        path: the file.
        key: their key in it; "" if the file holds nothing else.
        tensors: without the prefixes of wrappers such as ``module.``.
    """

    path: Path
    key: str
    tensors: dict[str, Tensor]

    def __str__(self) -> str:
        return f"{self.path} (under {self.key!r})" if self.key else str(self.path)


def _unchanged(tensor: Tensor) -> Tensor:
    return tensor


@dataclass(frozen=True)
class Counterpart:
    """The tensor of an official implementation that means the same as one of ours.

    Attributes:
        key: its name there.
        to_ours: makes ours from it, if they differ.
        to_theirs: the inverse, for tensors on any device.
    """

    key: str
    to_ours: Callable[[Tensor], Tensor] = _unchanged
    to_theirs: Callable[[Tensor], Tensor] = _unchanged


@dataclass(frozen=True)
class Imported:
    """What an importer finds in the state dicts of a checkpoint.

    Attributes:
        model: key of the model section -> (its value, the file that implies it).
        networks: state dicts by the name of our network.
        rest: makes our tensors that the official implementation does not have, from a model with all others.
    """

    model: dict[str, tuple[Any, str]]
    networks: dict[str, StateDict]
    rest: Callable[[nn.Module], Mapping[str, Tensor]] = lambda model: {}


class Importer(Protocol):
    """Reads and writes the checkpoints of one official implementation."""

    @property
    def checkpoints(self) -> Checkpoints:
        """What they are called."""

    def read(self, architecture: str, found: Sequence[StateDict], model: Any, chosen: Container[str]) -> Imported:
        """Finds out which of our networks the state dicts are, and their sizes.

        Args:
            architecture: a key of ``checkpoints.kinds``.
            found: all state dicts of the checkpoint's files.
            model: the model section as it is without the file: of the preset, and what the user has set.
            chosen: keys of the model section that the user has set.

        Raises:
            GancliError: they are something else, or do not belong together.
        """

    def counterparts(self, network: nn.Module) -> dict[str, Counterpart]:
        """Returns the official tensors by the names of ours, for one of our networks; an import reads it backwards.

        Empty for a network that the official checkpoint does not have.
        """

    def files(
        self, model: nn.Module, networks: Mapping[str, Mapping[str, Tensor]], title: str, step: int
    ) -> dict[str, Any]:
        """Returns what the official code would save of a model, by file name, and warns if it cannot load it as it is.

        Args:
            model: the model.
            networks: those of its networks that are written, as ``counterparts``.
            title: what the model is called.
            step: training steps that it has had.

        Raises:
            GancliError: the official code has no such model.
        """
