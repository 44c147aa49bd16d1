"""gancli: train and use generative adversarial networks from the command line, and use them from Python.

    import gancli
    gancli.load("faces").sample(seeds=[0, 1])[0].save("face.png")

Importing gancli imports nothing heavy; ``load`` imports torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gancli.errors import GancliError
from gancli.version import __version__

if TYPE_CHECKING:
    from os import PathLike

    from gancli.door import Model

__all__ = ["GancliError", "__version__", "load"]


def load(model: str | PathLike[str], device: str = "auto") -> Model:
    """Loads a trained model.

    Args:
        model: a name in ``./runs`` or ``$GANCLI_HOME/models``, a run or checkpoint directory, or a model file.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises:
        GancliError: there is no such model or device; its ``hint`` says what to give instead.
    """
    from gancli.door import Model

    return Model(str(model), device)
