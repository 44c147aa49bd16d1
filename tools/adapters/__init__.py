"""How each official repository is made to play a game: one module for each, and what they share.

A module has, of the last two one or both,

- ``REPOSITORY``, its name on GitHub, and ``FILES``, the files that are run, relative to a checkout;
- ``play(checkout, game, steps, **game.official) -> Numbers``: the official code's numbers, by gancli's names of them;
- ``networks(checkout)``: what its networks compute, by name, for the importers' tests, which have it in ``RECORDED``.

The official code runs as it is: an adapter only builds its options, stands in for its data loader, and reads its
variables. Old scripts are changed in memory as far as their adapter says. No code of it is kept here.
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

import numpy as np
import torch
from golden import vector
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


class Finished(Exception):
    """All steps are played; the official loop would have more."""


class Loader:
    """Stands in for ``DataLoader``: hands out some batches, once, whatever the data set and the settings."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self.batches = batches

    def __call__(self, dataset: Any, **_: object) -> Loader:
        self.dataset = dataset
        return self

    def __iter__(self) -> Iterator[Any]:
        return self.batches

    def __len__(self) -> int:
        return 1


class InOrder:
    """A network whose tensors the official code has in the same order and shapes, under other names.

    Args:
        ours: a network.
        theirs: the official one, which gets the weights of ours.
        names: the official names in the order of ours; by default as they are registered.
        turned: beginning of official names whose tensors have the opposite sign.
    """

    def __init__(
        self,
        ours: torch.nn.Module,
        theirs: torch.nn.Module,
        names: Sequence[str] | None = None,
        turned: str = "",
    ) -> None:
        state = theirs.state_dict(keep_vars=True)
        self.ours = ours
        self.pairs = dict(zip(ours.state_dict(), names or list(state), strict=True))
        self.theirs = state
        self.signs = {key: -1.0 for key, name in self.pairs.items() if turned and name.startswith(turned)}
        with torch.no_grad():
            for key, tensor in ours.state_dict().items():
                state[self.pairs[key]].copy_(tensor * self.signs.get(key, 1))

    def moved(self) -> Tensor:
        """Returns how far the official parameters are from ours, as one vector by name."""
        state = {key: self.theirs[name].detach() * self.signs.get(key, 1) for key, name in self.pairs.items()}
        return vector(self.ours, state) - vector(self.ours)


@contextlib.contextmanager
def older_torch(classes: int = 0) -> Iterator[None]:
    """Lets scripts that make numbers by numpy, or in place, use ``Draws.in_place_of_torch``, in double precision.

    Args:
        classes: draws ``torch.rand(n, 1)`` are of these many classes, as ``torch.randint`` draws them.
    """
    rand = torch.rand

    def uniform(*shape: Any) -> Tensor:
        sizes = torch.Size(shape[0] if isinstance(shape[0], Sequence) else shape)
        if classes and sizes[1:] == (1,):
            return (torch.randint(classes, sizes[:1])[:, None] + 0.5) / classes
        return rand(*sizes)

    with (
        mock.patch.multiple(np.random, normal=lambda mean, std, shape: torch.randn(*shape).numpy()),
        mock.patch.multiple(np.random, randint=lambda low, high, n: torch.randint(high, (n,)).numpy()),
        mock.patch.multiple(torch, FloatTensor=torch.DoubleTensor, rand=uniform),
        mock.patch.multiple(torch.Tensor, cuda=lambda x: x, normal_=lambda x, *_, **__: x.copy_(torch.randn(*x.shape))),
        mock.patch.multiple(torch.nn.Module, cuda=lambda network: network),
        mock.patch.object(torch.cuda, "is_available", return_value=False),
    ):
        yield


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
