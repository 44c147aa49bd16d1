"""How each official repository is made to play a game: one module for each, and what they share.

A module has, of the last two one or both,

- ``REPOSITORY``, its name on GitHub, and ``FILES``, the files that are run, relative to a checkout;
- ``play(checkout, game, steps, **game.official) -> Numbers``: the official code's numbers, by gancli's names of them;
- ``networks(checkout)``: what its networks compute, by name, for the importers' tests, which have it in ``RECORDED``.

The official code runs as it is: an adapter only builds its options, stands in for its data loader, and reads its
variables. No code of it is kept here.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from gancli.importers import exporter
from gancli.importers.reading import to_theirs


@contextlib.contextmanager
def driving(checkout: Path, arguments: Sequence[str] = (), kind: torch.dtype = torch.float64) -> Iterator[Path]:
    """Lets the modules of a checkout be imported and run, by default in double precision.

    Yields an empty folder, which is the working directory meanwhile. Printed text and warnings are dropped.
    """
    home, before = Path.cwd(), torch.get_default_dtype()
    with (
        tempfile.TemporaryDirectory() as scratch,
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        warnings.catch_warnings(),
        mock.patch.object(sys, "path", [str(checkout.absolute()), *sys.path]),
        mock.patch.object(sys, "argv", [str(checkout), *arguments]),
    ):
        warnings.simplefilter("ignore")
        os.chdir(scratch)
        torch.set_default_dtype(kind)
        try:
            yield Path(scratch)
        finally:
            torch.set_default_dtype(before)
            os.chdir(home)


@contextlib.contextmanager
def stand_ins(**modules: Any) -> Iterator[None]:
    """Lets modules that a checkout imports but does not need here be something else, by their names."""
    real = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in real.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


class Translation:
    """Weights of a gancli model as the official code names and shapes them, and back: the importer's key map."""

    def __init__(self, architecture: str, model: torch.nn.Module) -> None:
        self.model = model
        self.importer: Any = exporter(model, architecture)

    def theirs(self, network: str) -> dict[str, Tensor]:
        """Returns the official state dict of one of our networks."""
        module = self.model.get_submodule(network)
        state = to_theirs(module, self.importer.counterparts(module))
        return {key: tensor.detach().clone() for key, tensor in state.items()}

    def moved(self, network: str, state: Mapping[str, Tensor]) -> Tensor:
        """Returns how far the parameters in an official state dict are from ours, as one vector by name."""
        module = self.model.get_submodule(network)
        counterparts = self.importer.counterparts(module)
        return torch.cat(
            [
                (counterparts[key].to_ours(state[counterparts[key].key].detach()) - parameter).detach().flatten()
                for key, parameter in sorted(module.named_parameters())
            ]
        )
