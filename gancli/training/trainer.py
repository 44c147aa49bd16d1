"""The loop that trains every architecture: seeds, steps, averages, and the times at which files are written."""

from __future__ import annotations

import math
import shlex
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from gancli import modelfile
from gancli.architectures.base import Architecture, Batch
from gancli.console import TrainingDisplay, leave_terminal, note, warn
from gancli.data.pipeline import Pipeline
from gancli.errors import GancliError, RunError
from gancli.files import replace_file
from gancli.generation.plots import Plane, plot
from gancli.schema import LearningRate, RunConfig, at_resolution
from gancli.seeding import derive
from gancli.training import checkpoint, distributed
from gancli.training.averaging import Averaging, settled
from gancli.training.journal import Clock, Journal, lay_out, peak_memory, tensorboard
from gancli.training.length import finished_fraction
from gancli.training.older import OlderNetworks
from gancli.training.rundir import RunDirectory
from gancli.training.state import REST_OF_RANK, Progress, RunState
from gancli.training.update import WATCH, Update, make_players, network_names
from gancli.training.watch import ADVICE, Watch, WatchedObjective, diversity
from gancli.weights import first_broken

SAME_CTRL_C = 1.0
"""Seconds in which a second Ctrl-C is the same as the first."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended: after ``step`` steps, by a signal or, if ``signal`` is None, at its full length."""

    step: int
    signal: int | None


@dataclass(frozen=True)
class Watched:
    """Real data on which a model is watched, the same throughout a run.

    Attributes:
        shown: the batch for ``Architecture.preview``.
        tested: pairs on which a translator is measured and not trained, if there are any.
        plane: in which points are plotted, if the data are points.
        data: real items with which samples of latents are compared, if that is wanted.
    """

    shown: Batch
    tested: Batch | None = None
    plane: Plane | None = None
    data: Tensor | None = None


@dataclass(frozen=True)
class Evaluator:
    """Measures the model while it trains.

    Attributes:
        better: ``"lower"`` or ``"higher"``: which values are better; if empty, no best checkpoint is kept.
        measure: measures the current networks; returns values by name, and the first one decides.
    """

    better: str
    measure: Callable[[], dict[str, float]]


class Trainer:
    """Trains one architecture in one run directory.

    Everything that changes is in ``state``, and everything else derives from the configuration and the step, so a
    killed run continues as if nothing had happened.
    """

    def __init__(
        self,
        architecture: Architecture,
        config: RunConfig,
        pipeline: Pipeline,
        device: torch.device,
        watched: Watched | None = None,
        evaluator: Evaluator | None = None,
    ) -> None:
        self.config = config
        self.evaluator = evaluator
        self.watched = watched
        self.train = config.train
        self.pipeline = pipeline
        self.device = device
        self.architecture = architecture.to(device).train()
        self.memory_format = torch.channels_last if self.train.channels_last else torch.contiguous_format
        self.architecture.to(memory_format=self.memory_format)
        architecture.stage = architecture.stage_at(0)
        self.players = make_players(architecture, self.train, device)
        self.update = Update(self.players, self.train, device)
        self.averaging = Averaging(architecture, self.train.average)
        self.progress = Progress(pipeline.length, list(pipeline.domains))
        self.older = OlderNetworks(architecture, self.train)
        self.state = RunState(
            config, architecture, self.update, self.averaging, self.progress, pipeline.classes, self.older
        )
        # Averaged over the processes after every step, so that all processes keep the same model.
        private = [architecture.get_submodule(name) for name in architecture.private]
        own = {buffer for module in private for buffer in module.buffers()}
        self.shared_buffers = [buffer for buffer in architecture.buffers() if buffer not in own]
        self.instance_noise = 0.0
        for name in architecture.players.get("D", ()) if self.train.aids.instance_noise else ():
            architecture.get_submodule(name).register_forward_pre_hook(self._add_instance_noise)
        if self.train.compile:
            self._compile()
        self.watch = Watch(min(self.train.batches()))
        objective = getattr(architecture, "objective", None)
        if self.train.watch and not isinstance(objective, nn.Module) and hasattr(objective, "d"):
            architecture.objective = WatchedObjective(objective, self.update)  # type: ignore[assignment]
        self._stop_signal = 0

    def _compile(self) -> None:
        networks, second_order = network_names(self.architecture), self.architecture.second_order
        eager = [name for name in networks if name in second_order]
        if eager and distributed.rank() == 0:
            note(f"not compiled: {' and '.join(eager)}, as torch.compile cannot differentiate gradients again")
        for name in (name for name in networks if name not in eager):
            network = self.architecture.get_submodule(name)
            # The bound forward, not the module: hooks stay outside, and each class has its own compile cache.
            network.forward = torch.compile(network.forward)

    # One run --------------------------------------------------------------------------------------------------------

    def fit(self, run: RunDirectory, display: TrainingDisplay | None) -> Outcome:
        """Trains until the run's length is reached or SIGINT, SIGTERM or SIGHUP arrives, and then writes a checkpoint.

        Only the first of several processes has a ``display`` and writes files.

        Raises:
            RunError: a loss or weight is not finite; the message names the last good checkpoint.
        """
        train, progress = self.train, self.progress
        saved_at = progress.step if progress.step else -1
        logged_at = progress.step
        clock = Clock(progress.images_shown, self.fraction())
        with (
            self._signals(),
            closing(self.pipeline.batches(progress.images_shown, self.device, self.memory_format)) as batches,
            tensorboard(run, progress.step, wanted=train.tensorboard and display is not None) as events,
        ):
            journal = None if display is None else Journal(run, display, events)
            if journal is not None:
                for record in run.read_log():
                    self.watch.take(record.get("watch", {}))
                self.watch.take(progress.watched)
            while self.fraction() < 1 and not self._stopping():
                shown = self.play_round(batches)
                if display is not None:
                    display.advance(progress.step, shown)
                finished = self.fraction() >= 1
                if progress.step % train.log_every == 0 or finished:
                    self._log(run, journal, clock, logged_at)
                    logged_at = progress.step
                with clock.paused():
                    if journal is not None and (progress.step % train.sample_every == 0 or finished):
                        self._show(journal, final=finished)
                    # Before the checkpoint, or a run killed in between would resume without this measurement.
                    if train.evaluate is not None and (progress.step % train.evaluate.every == 0 or finished):
                        self._evaluate(journal)
                    if progress.step % train.checkpoint_every == 0 or finished:
                        self._save(run, logged_at)
                        saved_at = progress.step
            if saved_at != progress.step:
                self._save(run, logged_at)
        return Outcome(progress.step, self._stop_signal or None)

    def play_round(self, batches: Iterator[Batch]) -> int:
        """Plays one training step, and returns how many real images it has shown over all ranks."""
        architecture, progress, aids = self.architecture, self.progress, self.train.aids
        before = progress.images_shown
        # torch.manual_seed formats the whole stack for devices that are not in use, every time.
        seeded = torch.default_generator if self.device.type == "cpu" else torch
        seeded.manual_seed(derive(self.train.seed, "step", distributed.rank(), progress.step))
        fraction = self.fraction()
        self.instance_noise = aids.instance_noise * max(0.0, 1 - fraction / aids.instance_noise_until)
        self.update.watched = self.train.watch and (progress.step + 1) % self.train.log_every == 0
        self.update.begin(progress.step, before, fraction, architecture.resolution, before // self.pipeline.length)
        with self.older.round(progress.step, self.update):
            architecture.training_step(self._counted(batches), self.update)
        distributed.average(self.shared_buffers)
        shown = progress.images_shown - before
        progress.step += 1
        self.averaging.update(progress.step, shown, before)
        # After the step, so that a checkpoint holds the optimizers that the next step uses.
        stage = architecture.stage_at(progress.images_shown)
        if stage is not None and architecture.stage is not None and stage.phase != architecture.stage.phase:
            self.update.restart()
            self.older.snapshots.clear()  # they have not learnt to play at this resolution
        architecture.stage = stage
        self.older.keep(progress.step)
        return shown

    def _counted(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            self.progress.images_shown += len(batch) * distributed.world_size()
            yield batch

    def _add_instance_noise(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        # Sønderby et al. 2016, section 2: noise on both reals and fakes makes their distributions overlap.
        if not self.instance_noise or not module.training:
            return None
        image, *rest = inputs
        # Drawn in NCHW order: randn_like of a channels_last image takes ten times as long on a CPU.
        noise = torch.randn(image.shape, device=image.device, dtype=image.dtype)
        return (image + self.instance_noise * noise, *rest)

    def fraction(self) -> float:
        """Returns the finished part of the run, from 0 to 1."""
        progress = self.progress
        return finished_fraction(
            self.train, self.pipeline.length, step=progress.step, images_shown=progress.images_shown
        )

    # Watching -------------------------------------------------------------------------------------------------------

    def _log(self, run: RunDirectory, journal: Journal | None, clock: Clock, logged_at: int) -> None:
        progress, stage = self.progress, self.architecture.stage
        losses, watched = self._read_meter(run, logged_at)
        self.update.meter.clear()
        progress.last_losses = losses or progress.last_losses
        images, seconds, eta = clock.lap(progress.images_shown, self.fraction())
        rates = {f"lr_{name}": lr for name, lr in self.update.learning_rates().items()}
        record = {
            "step": progress.step,
            "images": progress.images_shown,
            "epoch": round(progress.images_shown / self.pipeline.length, 4),
            **({} if stage is None else {"resolution": stage.resolution, "alpha": round(stage.fade, 4)}),
            **losses,
            **rates,
            "images_per_s": round(images / max(seconds, 1e-9), 1),
            "eta_s": round(eta, 1),
            "memory_mib": round(peak_memory(self.device) / 2**20, 1),
            **({"watch": watched | progress.watched} if watched or progress.watched else {}),
        }
        progress.watched = {}
        if journal is not None:
            journal.log(record, [*losses, *rates, "images_per_s"])
            self._warn(watched)

    def _warn(self, watched: Mapping[str, float]) -> None:
        for found in self.watch.take(watched):
            warn(f"step {self.progress.step}: {found}: {ADVICE[found]}")

    def _read_meter(self, run: RunDirectory, since: int) -> tuple[dict[str, float], dict[str, float]]:
        """Returns the losses, which must be finite, and the finite ones of the watched values."""
        self.update.meter.average()
        means = self.update.meter.read()
        losses = {name: value for name, value in means.items() if not name.startswith(WATCH)}
        watched = {name.removeprefix(WATCH): value for name, value in means.items() if name not in losses}
        broken = [name for name, value in losses.items() if not math.isfinite(value)]
        if broken:
            self._stop_broken(run, f"the loss {' and '.join(broken)} became {losses[broken[0]]}", (), since)
        return losses, {name: value for name, value in watched.items() if math.isfinite(value)}

    def _stop_broken(self, run: RunDirectory, what: str, players: Sequence[str], since: int) -> NoReturn:
        kept = "there is no checkpoint yet"
        if good := checkpoint.steps(run.checkpoints):
            kept = f"the last good checkpoint is {run.checkpoints / str(good[-1])}"
        rates = self.update.learning_rates()
        sets = [
            f" --set model.optimizers.{name}.lr={_halved(player.rule.lr, rates[name])}"
            for name, player in self.players.items()
            if name in players or not players  # a broken loss does not show whose step was too large
        ]
        sets += [" --set train.precision=fp32"] if self.train.precision == "fp16" else []
        raise RunError(
            f"{what} after step {since} and before step {self.progress.step + 1}; {kept}",
            f"gancli resume {shlex.quote(str(run.path))}{''.join(sets)}",
        )

    @torch.no_grad()
    def _show(self, journal: Journal, *, final: bool) -> None:
        if self.watched is None:
            return
        torch.manual_seed(derive(self.train.seed, "watching"))  # every grid has the same noise
        measured: dict[str, float] = {}
        step, plane = self.progress.step, self.watched.plane
        with self._for_sampling():
            preview = self._preview(self.watched.shown)
            if plane is None:
                picture = lay_out(preview)
            else:
                places = torch.from_numpy(plane.places()).to(self.device)
                surface = self.architecture.surface(places) if plane.whole else None
                picture = plot(plane, preview[0], surface, f"step {step:,}")
            if self.watched.tested is not None:
                losses = self.architecture.paired_loss(self.watched.tested.to(self.device))
                measured = {name: float(loss) for name, loss in losses.items()}
        journal.samples(step, picture, measured, final=final)
        if final and plane is not None:
            journal.film()
        if self.watched.data is not None:
            self.progress.watched = diversity(preview, self.watched.data)
            self._warn(self.progress.watched)

    def _preview(self, shown: Batch) -> list[Mapping[str, Tensor]]:
        # No more images at a time than training takes.
        most = at_resolution(self.train.batch, self.architecture.resolution)
        parts = [self.architecture.preview(part.to(self.device)) for part in shown.split(math.ceil(len(shown) / most))]
        groups: list[Mapping[str, Tensor]] = []
        for same in zip(*parts, strict=True):
            columns: dict[str, list[Tensor]] = {}
            for title, images in (column for group in same for column in group.items()):
                columns.setdefault(title, []).append(images.cpu())
            groups.append({title: torch.cat(images) for title, images in columns.items()})
        return groups

    def _evaluate(self, journal: Journal | None) -> None:
        if self.evaluator is not None and journal is not None:
            step = self.progress.step
            try:
                with self._for_sampling():
                    values = self.evaluator.measure()
            except (GancliError, OSError, torch.OutOfMemoryError) as error:  # the run can continue without it
                warn(f"not measured after step {step}: {error}")
            else:
                journal.evaluation(step, values, self.evaluator.better, self.state.files)
        distributed.barrier()

    @contextmanager
    def _for_sampling(self) -> Iterator[None]:
        try:
            with settled(self.architecture, self.averaging):
                self.architecture.eval()
                yield
        finally:
            self.architecture.train()

    # Checkpoints ----------------------------------------------------------------------------------------------------

    def _save(self, run: RunDirectory, logged_at: int) -> None:
        self._read_meter(run, logged_at)
        broken = first_broken(self.architecture.state_dict())
        if broken is not None:
            players = [name for name, player in self.players.items() if broken in player.parameters]
            self._stop_broken(run, f"weights of {broken} became infinite or not a number", players, logged_at)
        others = distributed.gather(self.state.private()) if distributed.world_size() > 1 else []
        if distributed.rank() == 0:
            files = self.state.files()
            files |= {REST_OF_RANK.format(rank): content for rank, content in enumerate(others) if rank > 0}
            run.check_place()
            checkpoint.write(run.checkpoints, self.progress.step, files, keep=self.train.keep)
            replace_file(run.model, files[modelfile.IN_RUN])
        distributed.barrier()

    # Signals --------------------------------------------------------------------------------------------------------

    @contextmanager
    def _signals(self) -> Iterator[None]:
        stopped = 0.0

        def note(number: int, frame: FrameType | None) -> None:
            nonlocal stopped
            # A terminal and torchrun may both pass on one Ctrl-C.
            if self._stop_signal == signal.SIGINT == number and time.monotonic() - stopped > SAME_CTRL_C:
                raise KeyboardInterrupt  # a second Ctrl-C: stop without a checkpoint
            if number == signal.SIGHUP:
                leave_terminal()
            stopped = stopped or time.monotonic()
            self._stop_signal = number

        hung_up = [] if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [signal.SIGHUP]  # as nohup sets it
        numbers = [signal.SIGINT, signal.SIGTERM, *hung_up]
        before = {number: signal.signal(number, note) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stopping(self) -> bool:
        if distributed.world_size() > 1:
            # Ranks get a signal at different steps but must stop at the same one, or they would wait for each other.
            if self.progress.step % self.train.log_every:
                return False
            self._stop_signal = distributed.agree(self._stop_signal, self.device)
        return bool(self._stop_signal)


def _halved(lr: LearningRate, now: float) -> str:
    """Returns half of the rate ``now`` in the syntax of ``--set``, or half of each rate in a table by resolution."""
    if not isinstance(lr, dict):
        return f"{now / 2:g}"
    return shlex.quote("{" + ", ".join(f"{resolution}: {rate / 2:g}" for resolution, rate in lr.items()) + "}")
