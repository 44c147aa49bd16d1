"""An importer: reads and writes the checkpoints of one official implementation.

It is a module with the names of ``Importer``, or any other object. A package adds its own with the entry-point group
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
    """How an official implementation names its checkpoints.

    Attributes:
        format: as in ``gancli export --format``.
        kinds: by architecture, what the importer reads, in words.
        file: pattern of a file name; its group ``epoch`` is a number, or ``latest`` or nothing for the newest.
        example: such names, for hints.
        together: whether one file holds all networks.
        suffixes: the first is the default.
        key: pattern of a tensor's name that tells these checkpoints from those of other importers of an architecture.
    """

    format: str
    kinds: Mapping[str, str]
    file: str
    example: str
    together: bool = False
    suffixes: tuple[str, ...] = (".pth", ".pt")
    key: str = ""


@dataclass(frozen=True)
class StateDict:
    """Tensors by name, from a file.

    Attributes:
        path: the file.
        key: their key in it; "" if the file holds nothing else.
        tensors: their names lack the prefixes of wrappers, such as ``module.``.
    """

    path: Path
    key: str
    tensors: dict[str, Tensor]

    def __str__(self) -> str:
        return f"{self.path} (under {self.key!r})" if self.key else str(self.path)


@dataclass(frozen=True)
class Counterpart:
    """The tensor of an official implementation that corresponds to one of ours.

    Attributes:
        key: its name there.
        to_ours: makes ours from it, if they differ.
        to_theirs: the inverse; an import calls it for the shape alone, with any values.
    """

    key: str
    to_ours: Callable[[Tensor], Tensor] = lambda tensor: tensor
    to_theirs: Callable[[Tensor], Tensor] = lambda tensor: tensor


@dataclass(frozen=True)
class Imported:
    """What an importer finds in the state dicts of a checkpoint.

    Attributes:
        model: key of the model section -> (its value, the file that implies it).
        networks: state dicts by the name of our network.
        rest: makes the tensors that only we have, from a model with all others.
        preset: the preset with the rest of the configuration; "" for the one that is called like the architecture.
    """

    model: dict[str, tuple[Any, str]]
    networks: dict[str, StateDict]
    rest: Callable[[nn.Module], Mapping[str, Tensor]] = lambda model: {}
    preset: str = ""


class Importer(Protocol):
    """Reads and writes the checkpoints of one official implementation."""

    @property
    def checkpoints(self) -> Checkpoints:
        """Their names."""

    def read(self, architecture: str, found: Sequence[StateDict], model: Any, chosen: Container[str]) -> Imported:
        """Finds out which of our networks the state dicts are, and their sizes.

        Args:
            architecture: a key of ``checkpoints.kinds``.
            found: all state dicts of the checkpoint's files.
            model: the model section without the file: the preset's, with what the user has set.
            chosen: keys that the user has set, those of the model section without ``model.``.

        Raises:
            GancliError: they are something else, or do not belong together.
        """

    def counterparts(self, network: nn.Module) -> dict[str, Counterpart]:
        """Returns the official tensors by the names of ours; {} for a network that no official checkpoint has."""

    def files(
        self, model: nn.Module, networks: Mapping[str, Mapping[str, Tensor]], title: str, step: int
    ) -> dict[str, Any]:
        """Returns what the official code would save, by file name; warns if it needs changes to load that.

        A value of bytes is a whole file, which goes into a directory only.

        Args:
            networks: official tensors by name, for each of our networks to write.
            title: name of the model.
            step: training steps that the model has had.

        Raises:
            GancliError: the official code has no such model.
        """
