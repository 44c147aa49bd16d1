"""From a configuration to a finished run: what ``train`` and ``resume`` share."""

from __future__ import annotations

import random
import shlex
import signal
from contextlib import nullcontext
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn

from gancli import modelfile
from gancli.architectures.base import Architecture, Batch, LatentModel
from gancli.console import TrainingDisplay, note, progress, warn
from gancli.data.levels import PLAIN_RANGES
from gancli.data.opening import absolute, open_source
from gancli.data.pipeline import Pipeline, fixed_batch
from gancli.data.source import Source, check
from gancli.devices import check_workers, choose_device
from gancli.errors import GancliError
from gancli.files import replace_file
from gancli.generation.plots import plane_of
from gancli.registry import load_architecture
from gancli.schema import ModelConfig, RunConfig, TrainConfig
from gancli.seeding import derive
from gancli.training import checkpoint, distributed
from gancli.training.length import estimated_length, portions
from gancli.training.rundir import RunDirectory
from gancli.training.trainer import Evaluator, Outcome, Trainer, Watched
from gancli.training.update import network_names
from gancli.training.watch import ITEMS
from gancli.weights import fitted, mismatches

BAD_SHOWN = 10
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, SafetensorError)
"""What a checkpoint raises that does not hold what a checkpoint does, although its checksums are right."""
TESTED = 50
"""Pairs of the test part on which a translator is measured while it trains."""


@dataclass(frozen=True)
class Session:
    """Everything that a run needs before its first step."""

    config: RunConfig
    device: torch.device
    architecture: Architecture
    pipeline: Pipeline
    watched: Watched | None
    evaluator: Evaluator | None


def prepare(config: RunConfig, *, begins: bool) -> Session:
    """Builds the networks and decodes the data; writes nothing.

    Args:
        config: of the run.
        begins: the run has no checkpoint, so it begins with the weights of ``train.init_from`` if that is set.

    Raises:
        GancliError: the device does not exist, ``init_from`` does not fit, or the data cannot be opened or used.
    """
    device = choose_device(config.train.device, distributed.local_rank())
    check_workers(config.train.workers or 0)
    distributed.start(device, patient=config.train.evaluate is not None)
    try:
        source = open_training_source(config)
    except GancliError as error:
        if begins or Path(str(config.data.source)).exists():
            raise
        raise GancliError(error.message, "if the data have moved: --set data.source=PATH") from error
    # The run may be resumed from another directory.
    data = config.data.model_copy(update={"source": absolute(source.location)})
    config = config.model_copy(update={"data": data, "model": with_classes(config, source)})
    torch.manual_seed(derive(config.train.seed, "weights"))
    architecture = load_architecture(config.architecture)(config.model, config.train.aids)
    check_train(architecture, config.train)
    if begins and config.train.init_from is not None:
        _initialise(architecture, Path(config.train.init_from))
    workers = config.train.workers if config.train.workers is not None else (0 if device.type == "cpu" else 2)
    leader = distributed.rank() == 0
    with progress(f"reading {source.location}") if leader else nullcontext() as bar:
        pipeline = Pipeline(
            source,
            architecture.inputs(config.model),
            config.data,
            portions=portions(architecture, config.train),
            parts=config.train.accumulate,
            seed=config.train.seed,
            rank=distributed.rank(),
            world=distributed.world_size(),
            workers=workers,
            progress=bar.update if bar is not None else None,
        )
        watched = replace(_watch(architecture, source, config), plane=plane_of(source)) if leader else None
    if leader:
        for text in source.facts.notes(PLAIN_RANGES):
            note(text)
    if pipeline.bad and leader:
        shown = "".join(f"\n  {name}: {reason}" for name, reason in pipeline.bad[:BAD_SHOWN])
        more = f"\n  and {len(pipeline.bad) - BAD_SHOWN} more" if len(pipeline.bad) > BAD_SHOWN else ""
        warn(f"leaving out {len(pipeline.bad)} images that cannot be used:{shown}{more}")
    evaluator = None
    if config.train.evaluate is not None and leader:
        from gancli.training.measuring import make_evaluator

        evaluator = make_evaluator(config.train.evaluate, config, architecture, source, device)
    return Session(config, device, architecture, pipeline, watched, evaluator)


def open_training_source(config: RunConfig) -> Source:
    """Opens ``data.source`` and checks that the architecture can train on it.

    Raises:
        GancliError: there is no source, it cannot be opened, or the architecture cannot use it.
    """
    if config.data.source is None:
        raise GancliError("no training data given", "--data shapes, or --data FOLDER with your images")
    inputs = load_architecture(config.architecture).inputs(config.model)
    source = open_source(
        config.data.source, config.data.split, inputs=inputs, domains=config.data.domains, limits=config.data.limits
    )
    reason = check(source, inputs)
    if reason is not None:
        raise GancliError(f"{config.architecture} cannot train on {source.location}: {reason}")
    if distributed.rank() == 0:
        for text in source.notes:
            note(text)
    return source


def with_classes(config: RunConfig, source: Source) -> ModelConfig:
    """Returns the model section, with the number of classes in the data if it does not give one."""
    inputs = load_architecture(config.architecture).inputs(config.model)
    if inputs.labels == "none" or inputs.classes is not None:
        return config.model
    return config.model.model_copy(update={"classes": len(source.classes)})


def _watch(architecture: Architecture, source: Source, config: RunConfig) -> Watched:
    """Returns the data on which a model is watched, from the test part if there is one."""
    inputs, data, n = architecture.inputs(config.model), config.data, config.train.samples
    if not architecture.watches_data:
        shown = Batch({name: torch.empty(n, 0) for name in inputs.domains})
        if not (config.train.watch and isinstance(architecture, LatentModel)):
            return Watched(shown)
        (items,) = source.domains.values()
        count = min(n, ITEMS, len(items))
        chosen = random.Random(0).sample(range(len(items)), len(items))  # the first ones may all be of one class
        (real,) = fixed_batch(source, inputs, data, count, chosen).images.values()
        return Watched(shown, data=real)
    if source.has_test:
        try:
            test = open_source(source.location, "test", inputs=inputs, domains=data.domains, limits=data.limits)
            reason = check(test, inputs)
            if reason is not None:
                raise GancliError(reason)
            tested = fixed_batch(test, inputs, data, TESTED) if inputs.paired else None
            return Watched(fixed_batch(test, inputs, data, n), tested)
        except GancliError as error:
            warn(f"the test part cannot be used, so samples show the train part: {error.message}")
    return Watched(fixed_batch(source, inputs, data, n))


def check_train(architecture: Architecture, train: TrainConfig) -> None:
    """Raises an error if a setting does not fit the players of the architecture, or a package is missing."""
    players = architecture.optimizers()
    unknown = [name for name in train.turns if name not in players]
    if unknown:
        raise GancliError(
            f"train.turns names {', '.join(unknown)}, but the players are {', '.join(players)}",
            f"for instance --set train.turns.{next(iter(players))}.every=2",
        )
    if train.aids.instance_noise and "D" not in players:
        raise GancliError(
            "train.aids.instance_noise is noise on what D judges, but no player of this architecture is called D",
            "--set train.aids.instance_noise=0",
        )
    if train.aids.old_networks and len(players) < 2:
        raise GancliError(
            "train.aids.old_networks needs two players, but this architecture has one",
            "--set train.aids.old_networks=0",
        )
    at_a_time = min(train.batches()) // (train.accumulate * distributed.world_size())
    if at_a_time < 2 and any(isinstance(module, nn.BatchNorm1d) for module in architecture.modules()):
        raise GancliError("batch norm between linear layers needs at least 2 images at a time", "--batch 64")
    if train.tensorboard and find_spec("tensorboard") is None:
        raise GancliError("--tensorboard needs the package tensorboard", 'pip install "gancli[tensorboard]"')


def run_session(session: Session, run: RunDirectory) -> Outcome:
    """Trains in a run directory, from its newest good checkpoint if it has one.

    Raises:
        GancliError: another process has locked the run, or its checkpoints do not fit the configuration.
        RunError: training failed; the message names the last good checkpoint.
    """
    leader = distributed.rank() == 0
    quoted = shlex.quote(str(run.path))
    if leader:
        run.lock()
    try:
        if session.device.type == "cuda":
            torch.backends.cudnn.benchmark = True
            torch.set_float32_matmul_precision("high")
        architecture, pipeline, train = session.architecture, session.pipeline, session.config.train
        trainer = Trainer(architecture, session.config, pipeline, session.device, session.watched, session.evaluator)
        restore(trainer, run, leader=leader)
        progress = trainer.progress
        if train.steps is not None and train.steps < progress.step:
            raise GancliError(f"{run.path} already has {progress.step:,} steps, so it cannot end after {train.steps:,}")
        most = max(train.batches()) * max(architecture.draws, architecture.warm_up[1])
        if train.kimg is not None and train.kimg * 1000 + most <= progress.images_shown:
            kimg = progress.images_shown / 1000
            raise GancliError(f"{run.path} has already shown {kimg:g} kimg, so it cannot end after {train.kimg:g}")
        if leader:
            run.save_config(session.config)
        if trainer.fraction() >= 1:
            if leader:
                longer = f"--set train.kimg={2 * train.kimg:g}" if train.kimg else f"--steps {2 * progress.step}"
                note(f"{run.path} is finished; make it longer: gancli resume {quoted} {longer}")
            return Outcome(progress.step, None)
        drawn, done = portions(architecture, train), (progress.step, progress.images_shown)
        total, _ = estimated_length(train, pipeline.length, drawn, architecture, *done)
        shown = TrainingDisplay(run.path.name, total, progress.step) if leader else nullcontext()
        with shown as display, distributed.naming_the_lost():
            try:
                outcome = trainer.fit(run, display)
            except OSError:
                run.check_place()  # it says more
                raise
    finally:
        distributed.stop()
        run.unlock()
    if outcome.signal is not None and leader:
        by = "Ctrl-C" if outcome.signal == signal.SIGINT else signal.Signals(outcome.signal).name
        note(f"Stopped by {by} after step {outcome.step}. Continue with: gancli resume {quoted}")
    return outcome


def restore(trainer: Trainer, run: RunDirectory, *, leader: bool) -> None:
    """Loads the run's newest good checkpoint; warns of damaged ones and sets them aside.

    Only the ``leader`` of several processes changes the directory.

    Raises:
        GancliError: there are checkpoints but none can be read, or they do not fit the networks.
    """
    files: dict[str, bytes] = {}
    damaged: list[str] = []
    domains = trainer.progress.domains
    for step in reversed(checkpoint.steps(run.checkpoints)):
        try:
            files = checkpoint.read(run.checkpoints / str(step))
            changes = _changes(run.checkpoints / str(step), trainer.config)
            trainer.state.load(files, "; ".join(changes))
            if trainer.progress.step != step:
                raise ValueError(f"its state is of step {trainer.progress.step}")
            break
        except (checkpoint.DamagedCheckpoint, *UNREADABLE) as damage:
            files = {}
            what = str(damage).strip().partition("\n")[0] or type(damage).__name__
            damaged.append(f"checkpoint {run.checkpoints / str(step)} is damaged: {what}")
    if not files and run.model.is_file() and not damaged:
        damaged.append(f"{run.path} has a model but no checkpoint")  # else it would begin anew and replace the model
    if damaged and not files:
        raise GancliError(
            "\n".join(damaged) + "\nthere is no other checkpoint to continue from",
            f"start a new run with the weights of this one: gancli train --config {shlex.quote(str(run.config))} "
            f"--init-from {shlex.quote(str(run.model))}",
        )
    progress, images = trainer.progress, trainer.pipeline.length
    if files:
        if leader:
            for text in damaged:
                warn(f"{text}; continuing from step {progress.step}")
            if images != progress.images:
                warn(
                    f"the data have changed: {images:,} images now, {progress.images:,} before; "
                    "the run continues, but not as it would have"
                )
        progress.images = images
        if trainer.config.data.domains is not None:  # otherwise the old names stay: the folder may have been renamed
            progress.domains = domains
    distributed.barrier()  # all processes have read before anything is moved
    if leader:
        checkpoint.clean(run.checkpoints)
        checkpoint.clean(run.path)
        run.remove_leftovers()
        for step in checkpoint.steps(run.checkpoints):
            if step > trainer.progress.step:
                checkpoint.set_aside(run.checkpoints / str(step))
        run.cut_log(trainer.progress.step)
        if files:
            replace_file(run.model, files[modelfile.IN_RUN])


def _changes(directory: Path, config: RunConfig) -> list[str]:
    """Returns what the configuration of the networks has become since a checkpoint, in words."""
    try:
        before = modelfile.read_info(directory / modelfile.IN_RUN).config["model"]
    except GancliError as error:
        raise checkpoint.DamagedCheckpoint(error.message) from error
    now = config.to_dict()["model"]
    return [f"model.{key} was {before[key]}, now {now[key]}" for key in now if before.get(key, now[key]) != now[key]]


def _initialise(architecture: Architecture, path: Path) -> None:
    """Copies the weights of a model file into an architecture; networks that it lacks keep their own weights."""
    info = modelfile.read_info(path)
    tensors, own = modelfile.load_tensors(path), architecture.state_dict()
    wrong = mismatches(own, tensors)
    if wrong:
        raise GancliError(
            f"the weights of {path} ({info.architecture}) do not fit this model:\n{wrong}",
            "the model sections must agree; `gancli models NAME` shows the file's",
        )
    architecture.load_state_dict(fitted(tensors, own, str(path)), strict=False)
    missing = [name for name in network_names(architecture) if name not in info.networks]
    if missing:
        warn(f"{path} has no {' and '.join(missing)}: starting with fresh weights")
    # For instance, networks that grow larger than those of the file.
    lacking = (name for name in architecture.state_dict() if name not in tensors)
    fresh = [name for name in lacking if name.partition(".")[0] in info.networks]
    if fresh:
        warn(f"{path} lacks {len(fresh)} tensors of its networks, such as {fresh[0]}: starting them with fresh weights")
