"""Everything that changes while a run trains, declared once for saving, loading and comparing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import safetensors.torch
from pydantic import TypeAdapter
from torch import Tensor

from gancli import modelfile
from gancli.architectures.base import Architecture
from gancli.errors import GancliError
from gancli.files import parse_json
from gancli.schema import RunConfig
from gancli.training import distributed
from gancli.training.averaging import Averaging, settled
from gancli.training.older import OlderNetworks
from gancli.training.update import Update, network_names
from gancli.weights import first_broken, mismatches

VALUES = "state.json"
OPTIMIZERS = "optimizers.safetensors"
REST = "rest.safetensors"  # what the model file lacks: raw weights of averaged networks, buffers outside the networks
OLDER = "older-networks.safetensors"  # only with train.aids.old_networks
REST_OF_RANK = "rest-{}.safetensors"  # the private submodules of each process except the first
REPLAY = "replay"  # the submodule of that name: settings of the aids may change when a run is resumed
UNSETTLED = "unsettled/"  # in REST: buffers of the model file before they were settled


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        images: usable images in the data.
        domains: the user's names of the domains.
        step: training steps finished.
        images_shown: real images drawn, over all ranks.
        last_losses: losses and scores of the last line of the log.
        watched: what the next line of the log says about the newest samples.
    """

    images: int
    domains: list[str]
    step: int = 0
    images_shown: int = 0
    last_losses: dict[str, float] = field(default_factory=dict)
    watched: dict[str, float] = field(default_factory=dict)

    def state(self) -> dict[str, Any]:
        return asdict(self)

    def load(self, values: Mapping[str, Any]) -> None:
        known = asdict(self) | {each.name: values[each.name] for each in fields(self) if each.name in values}
        read = TypeAdapter(Progress).validate_python(known)
        for each in fields(self):
            setattr(self, each.name, getattr(read, each.name))


class RunState:
    """Everything that ``checkpoints/<step>/`` holds, with its way there and back.

    All else that a run depends on derives from its configuration and from ``progress``.

    Args:
        config: of the run.
        architecture: its networks and buffers belong to the state.
        update: so do the optimizers of its players.
        averaging: moving averages.
        progress: how far the run has come.
        classes: names of the classes of the data.
        older: snapshots of the networks, if the aids keep any.
    """

    def __init__(
        self,
        config: RunConfig,
        architecture: Architecture,
        update: Update,
        averaging: Averaging,
        progress: Progress,
        classes: tuple[str, ...],
        older: OlderNetworks | None = None,
    ) -> None:
        self.config, self.architecture, self.classes = config, architecture, classes
        self.update, self.averaging, self.progress = update, averaging, progress
        self.networks, self.older = network_names(architecture), older
        self.parts = (progress, update, averaging)
        """Each has ``state()``, JSON values under its own keys, and ``load``, which takes them back."""

    def files(self) -> dict[str, bytes]:
        """Returns the content of a checkpoint by file name: everything that ``load`` needs."""
        raw = self.architecture.state_dict()
        with settled(self.architecture, self.averaging) as unsettled:
            held = self.architecture.state_dict()
            model = {name: tensor for name, tensor in held.items() if _head(name) in self.networks}
            model_file = modelfile.to_bytes(self._info(), model)
        averaged = self.averaging.models
        rest = {name: tensor for name, tensor in raw.items() if name not in model or _head(name) in averaged}
        rest |= {UNSETTLED + name: tensor for name, tensor in unsettled.items()}
        values = {key: value for part in self.parts for key, value in part.state().items()}
        snapshots = self.older.tensors() if self.older is not None else {}
        return {
            modelfile.IN_RUN: model_file,
            REST: to_bytes(rest),
            OPTIMIZERS: to_bytes(self.update.moments()),
            **({OLDER: to_bytes(snapshots)} if snapshots else {}),
            VALUES: (json.dumps(values, indent=1) + "\n").encode(),
        }

    def private(self) -> bytes:
        """Returns the state of the ``private`` submodules, which differs between processes."""
        private = self.architecture.private
        return to_bytes(
            {name: tensor for name, tensor in self.architecture.state_dict().items() if _head(name) in private}
        )

    def load(self, files: Mapping[str, bytes], changed: str = "") -> None:
        """Takes back what ``files`` returned; the next step is then the one that would have followed.

        Args:
            files: content by file name.
            changed: the keys of the model that have changed since; named in the error if the weights do not fit.

        Raises:
            GancliError: the weights do not fit these networks.
            ValueError, KeyError, TypeError, AttributeError, safetensors.SafetensorError: the content is not that of a
                checkpoint, or its weights are not finite.
        """
        values = parse_json(files[VALUES])
        model, rest = (safetensors.torch.load(files[name]) for name in (modelfile.IN_RUN, REST))
        unsettled = {name: rest.pop(name) for name in list(rest) if name.startswith(UNSETTLED)}
        own = self.architecture.state_dict()
        rest = _fitting(rest, own)
        # A pool of older fakes that did not exist, or had another size, starts empty.
        rest = {name: tensor for name, tensor in own.items() if _head(name) == REPLAY} | rest
        wrong = mismatches(own, model | rest, whole=True)
        if wrong:
            raise GancliError(
                f"the checkpoint does not fit the networks of this configuration: {changed or chr(10) + wrong}",
                "to change the networks, start a new run: gancli train --config FILE --init-from MODEL",
            )
        if (broken := first_broken(model | rest)) is not None:
            raise ValueError(f"{broken} is not finite")
        model |= {name.removeprefix(UNSETTLED): tensor for name, tensor in unsettled.items()}
        with self.averaging.applied():
            self.architecture.load_state_dict(model, strict=False)
        self.architecture.load_state_dict(model | rest)
        private = files.get(REST_OF_RANK.format(distributed.rank()))
        if private is not None:
            self.architecture.load_state_dict(_fitting(safetensors.torch.load(private), own), strict=False)
        self.update.load_moments(safetensors.torch.load(files[OPTIMIZERS]))
        if self.older is not None and OLDER in files:
            self.older.load(safetensors.torch.load(files[OLDER]))
        for part in self.parts:
            part.load(values)
        self.architecture.stage = self.architecture.stage_at(self.progress.images_shown)

    def _info(self) -> modelfile.ModelInfo:
        inputs, progress = self.architecture.inputs(self.config.model), self.progress
        stage = self.architecture.stage_at(progress.images_shown)
        return modelfile.describe(
            self.config.architecture,
            self.config,
            inputs=replace(inputs, domains=dict(zip(progress.domains, inputs.domains.values(), strict=True))),
            networks=self.networks,
            classes=self.classes,
            step=progress.step,
            images_shown=progress.images_shown,
            training=progress.last_losses,
            grown_to=None if stage is None else stage.resolution,
        )


def to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Returns the content of a safetensors file; equal tensors give equal bytes."""
    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in sorted(tensors.items())})


def _fitting(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns all tensors except those of a pool of older fakes that do not fit the pool of this configuration."""
    return {
        name: tensor
        for name, tensor in tensors.items()
        if _head(name) != REPLAY or (name in own and own[name].shape == tensor.shape)
    }


def _head(name: str) -> str:
    return name.partition(".")[0]
