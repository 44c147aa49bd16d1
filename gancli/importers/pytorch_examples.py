"""DCGAN of pytorch/examples (dcgan/main.py) and the PyTorch DCGAN tutorial: ``netG.pth``.

Both networks are the same chain of layers: ``main.N`` there is ``layers.N`` here.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from gancli.importers.base import Checkpoints, Counterpart, Imported, StateDict
from gancli.importers.reading import agreed, refusal
from gancli.schema import ModelConfig

checkpoints = Checkpoints(
    format="pytorch-examples",
    kinds={"dcgan": "a DCGAN generator of pytorch/examples or the PyTorch tutorial"},
    file=r"netG(?:_epoch_(?P<epoch>\d+))?\.pth",
    example="netG.pth, netG_epoch_24.pth",
)
FILES = {"generator": "netG.pth", "discriminator": "netD.pth"}
FOREIGN = "main."


def read(architecture: str, found: Sequence[StateDict], model: ModelConfig, chosen: Container[str]) -> Imported:
    """Finds the generator, and its sizes from its tensors.

    Layer 3i is the i-th transposed convolution [in, out, 4, 4], layer 3i + 1 the batch norm after it; the last
    convolution has none. k convolutions make 4 * 2^(k-1) pixels.
    """
    for state in found:
        count = sum(tensor.ndim == 4 for tensor in state.tensors.values())
        first = state.tensors.get(f"{FOREIGN}0.weight")
        last = state.tensors.get(f"{FOREIGN}{3 * (count - 1)}.weight")
        if first is not None and last is not None and first.ndim == 4 and last.ndim == 4:
            sizes = {
                "resolution": 4 * 2 ** (count - 1),
                "channels": last.shape[1],
                "latent_dim": first.shape[0],
                "generator_width": last.shape[0],
            }
            return Imported(agreed([(state, sizes)]), {"generator": state})
    nearest = max(found, key=lambda state: sum(key.startswith(FOREIGN) for key in state.tensors))
    problems = [f"{FOREIGN}0.weight: missing, or no chain of transposed convolutions [C, C', 4, 4] begins there"]
    problems += [f"{key}: unexpected" for key in nearest.tensors if not key.startswith(FOREIGN)]
    raise refusal(nearest, checkpoints.kinds[architecture], problems)


def counterparts(network: nn.Module) -> dict[str, Counterpart]:
    return {key: Counterpart(FOREIGN + key.removeprefix("layers.")) for key in network.state_dict()}


def files(model: nn.Module, networks: Mapping[str, Mapping[str, Tensor]], title: str, step: int) -> dict[str, Any]:
    return {FILES[name]: state for name, state in networks.items()}
