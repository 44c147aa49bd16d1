"""From a configuration to a finished run: what ``train`` and ``resume`` share."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gancli import modelfile
from gancli.architectures.base import Architecture
from gancli.console import TrainingDisplay, note, progress, warn
from gancli.data.pipeline import Pipeline
from gancli.data.source import Source, absolute, check, open_source
from gancli.devices import choose_device
from gancli.errors import GancliError
from gancli.files import replace_file
from gancli.registry import load_architecture
from gancli.schema import RunConfig
from gancli.seeding import derive
from gancli.training import checkpoint, distributed
from gancli.training.length import estimated_steps
from gancli.training.rundir import RunDirectory
from gancli.training.trainer import Outcome, Trainer

BAD_SHOWN = 10


@dataclass(frozen=True)
class Session:
    """What a run needs before its first step."""

    config: RunConfig
    device: torch.device
    architecture: Architecture
    source: Source
    pipeline: Pipeline


def prepare(config: RunConfig, init_from: Path | None = None) -> Session:
    """Builds the networks, with the weights of a model file where one is given, and decodes the data.

    Raises:
        GancliError: the device is not there, ``init_from`` does not fit, or the data cannot be opened or do not suit.
    """
    device = choose_device(config.train.device, distributed.local_rank())
    distributed.start(device)
    source = open_training_source(config)
    # A run may be resumed from another directory.
    data = config.data.model_copy(update={"source": absolute(source.location)})
    config = config.model_copy(update={"data": data})
    torch.manual_seed(derive(config.train.seed, "weights"))
    architecture = load_architecture(config.architecture)(config.model, config.train.aids)
    if init_from is not None:
        _initialise(architecture, init_from)
    workers = config.train.workers if config.train.workers is not None else (0 if device.type == "cpu" else 2)
    with progress(f"reading {source.location}", 0) as bar:
        pipeline = Pipeline(
            source,
            type(architecture).input_shapes(config.model),
            config.data,
            batch=config.train.batch,
            seed=config.train.seed,
            rank=distributed.rank(),
            world=distributed.world_size(),
            workers=workers,
            progress=bar.update,
        )
    if pipeline.bad and distributed.rank() == 0:
        shown = "".join(f"\n  {name}: {reason}" for name, reason in pipeline.bad[:BAD_SHOWN])
        more = f"\n  and {len(pipeline.bad) - BAD_SHOWN} more" if len(pipeline.bad) > BAD_SHOWN else ""
        warn(f"{len(pipeline.bad)} images cannot be read and are left out:{shown}{more}")
    return Session(config, device, architecture, source, pipeline)


def open_training_source(config: RunConfig) -> Source:
    """Opens ``data.source`` and checks that the architecture can train on it.

    Raises:
        GancliError: there is no source, it cannot be opened, or it does not suit the architecture.
    """
    if config.data.source is None:
        raise GancliError("there are no data to train on", "--data shapes, or --data FOLDER with your images")
    needs = load_architecture(config.architecture).needs
    source = open_source(config.data.source, config.data.split, one_set=needs.domains == 1)
    reason = check(source, needs)
    if reason is not None:
        raise GancliError(f"{config.architecture} cannot train on {source.location}: {reason}")
    for text in source.notes:
        note(text)
    return source


def run_session(session: Session, run: RunDirectory) -> Outcome:
    """Trains in a run directory, from its newest good checkpoint where it has one.

    Raises:
        GancliError: another process has the run, or its checkpoints do not fit the configuration.
        RunError: training failed; the last good checkpoint is kept and named.
    """
    leader = distributed.rank() == 0
    if leader:
        run.lock()
    try:
        if session.device.type == "cuda":
            torch.backends.cudnn.benchmark = True
            torch.set_float32_matmul_precision("high")
        trainer = Trainer(session.architecture, session.config, session.pipeline, session.device)
        restore(trainer, run, leader=leader)
        if leader:
            run.save_config(session.config)
        with (
            TrainingDisplay(
                title=run.path.name,
                total_steps=estimated_steps(session.config.train, session.pipeline.length),
                start_step=trainer.step,
            )
            if leader
            else nullcontext() as display
        ):
            outcome = trainer.fit(run, display)
    finally:
        distributed.stop()
        run.unlock()
    if outcome.signal is not None and leader:
        name = signal.Signals(outcome.signal).name
        note(f"{name}: stopped after step {outcome.step}; go on with: gancli resume {run.path}")
    return outcome


def restore(trainer: Trainer, run: RunDirectory, *, leader: bool) -> None:
    """Puts the trainer where the run's newest good checkpoint stands; damaged ones are named and set aside.

    Only the ``leader`` of several processes changes anything in the directory.
    """
    for step in reversed(checkpoint.steps(run.checkpoints)):
        path = run.checkpoints / str(step)
        try:
            files = checkpoint.read(path)
        except checkpoint.DamagedCheckpoint as damage:
            if leader:
                warn(f"checkpoint {path} is damaged ({damage}); the one before it is used")
            continue
        try:
            trainer.load(files)
        except (RuntimeError, KeyError) as error:
            raise GancliError(
                f"{path} does not fit the configuration of the run: {error}",
                "a changed model needs a run of its own: gancli train --config FILE --init-from MODEL",
            ) from error
        if leader and trainer.images_before != trainer.pipeline.length:
            warn(
                f"the data have changed: {trainer.pipeline.length:,} images now, {trainer.images_before:,} before; "
                "the run goes on, but not as it would have"
            )
        break
    distributed.barrier()  # everybody has read before anything is moved
    if leader:
        checkpoint.clean(run.checkpoints)
        for step in checkpoint.steps(run.checkpoints):
            if step > trainer.step:
                path = run.checkpoints / str(step)
                path.rename(path.with_name(f"{step}.damaged"))
        run.cut_log(trainer.step)
        if trainer.step:
            replace_file(run.model, files[modelfile.IN_RUN])


def _initialise(architecture: Architecture, path: Path) -> None:
    """Copies the weights of a model file into an architecture; networks that the file lacks keep theirs."""
    info = modelfile.read_info(path)
    tensors = modelfile.load_tensors(path)
    own = architecture.state_dict()
    wrong = _mismatches(own, tensors)
    if wrong:
        shown = "\n".join(f"  {line}" for line in wrong[:8])
        more = f"\n  and {len(wrong) - 8} more" if len(wrong) > 8 else ""
        raise GancliError(
            f"the weights of {path} ({info.architecture}) do not fit this model:\n{shown}{more}",
            "the model sections must agree; `gancli models NAME` shows that of the file",
        )
    architecture.load_state_dict(tensors, strict=False)
    missing = [name for name, _ in architecture.named_children() if name not in info.networks]
    if missing:
        warn(f"{path} holds no {' and '.join(missing)}: it starts with fresh weights")


def _mismatches(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    return [
        f"{name}: {tuple(tensor.shape)}, here "
        + (str(tuple(own[name].shape)) if name in own else "there is no such tensor")
        for name, tensor in given.items()
        if name not in own or own[name].shape != tensor.shape
    ]
