"""The loop that every architecture trains in: seeds, steps, averages, the log, samples, checkpoints."""

from __future__ import annotations

import json
import math
import resource
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gancli import modelfile
from gancli.architectures.base import Architecture, Batch, LatentModel, Translator
from gancli.console import TrainingDisplay, warn
from gancli.data.pipeline import Pipeline
from gancli.errors import GancliError, RunError
from gancli.files import replace_file
from gancli.generation.latents import Points, Renderer, labels_in_turn, latents_of_seeds
from gancli.generation.writers import as_rgb, columns_for, encode, grid, to_pixels
from gancli.schema import LearningRate, RunConfig, at_resolution
from gancli.seeding import derive
from gancli.training import checkpoint, distributed
from gancli.training.averaging import Averaging
from gancli.training.length import FOREVER, finished_fraction
from gancli.training.rundir import RunDirectory
from gancli.training.update import Update, make_players, network_names

STATE = "state.json"
OPTIMIZERS = "optimizers.safetensors"
REST_OF_RANK = "rest-{}.safetensors"  # of a process of several, but the first: its own state outside of the networks
REST = "rest.safetensors"  # what the model file lacks: weights behind averages, state outside of the networks


@dataclass(frozen=True)
class Outcome:
    """How a run ended: after ``step`` steps, stopped by a signal or, where ``signal`` is None, at its end."""

    step: int
    signal: int | None


@dataclass(frozen=True)
class Watched:
    """Images on which a translator is watched, always the same.

    Attributes:
        shown: those of the sample grid.
        tested: pairs that it does not learn from, where there are some.
    """

    shown: Batch
    tested: Batch | None


@dataclass(frozen=True)
class Evaluator:
    """What is measured of the model on the way.

    Attributes:
        better: ``"lower"`` or ``"higher"``, by which the best checkpoint is chosen; empty: none is.
        measure: returns values by name, the first of which counts, of the networks as they are then.
    """

    better: str
    measure: Callable[[], dict[str, float]]


class Trainer:
    """Trains one architecture in one run directory.

    Everything that changes is in ``files``/``load``; everything else derives from the configuration and the step, so
    that a run that was killed goes on as if nothing had happened.
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
        self.domains = list(pipeline.domains)
        self.device = device
        self.architecture = architecture.to(device).train()
        self.memory_format = torch.channels_last if self.train.channels_last else torch.contiguous_format
        self.architecture.to(memory_format=self.memory_format)
        self.players = make_players(architecture, self.train, device)
        self.update = Update(self.players, self.train, device)
        self.averaging = Averaging(architecture, self.train.average) if self.train.average else None
        self.grows = architecture.stage_at(0) != architecture.stage_at(FOREVER)
        architecture.stage = architecture.stage_at(0)
        self.instance_noise = 0.0
        for name in architecture.discriminators:
            architecture.get_submodule(name).register_forward_pre_hook(self._add_instance_noise)
        if self.train.compile:
            for network in map(architecture.get_submodule, network_names(architecture)):
                # The bound forward, not the module: hooks stay outside, and each class has a compile cache of its own.
                network.forward = torch.compile(network.forward)
        self.step = 0
        self.images_shown = 0
        self.last_losses: dict[str, float] = {}
        self._stop_signal = 0

    # One run --------------------------------------------------------------------------------------------------------

    def fit(self, run: RunDirectory, display: TrainingDisplay | None) -> Outcome:
        """Trains until the run's length is reached or SIGINT or SIGTERM arrives; both end with a checkpoint.

        Only the leader of several processes has a ``display``, and writes files.

        Raises:
            RunError: a loss is not finite, or something cannot be written. The last good checkpoint is kept and named.
        """
        saved_at = self.step if self.step else -1
        logged_at = self.step
        clock = Clock(self.images_shown, self.fraction())
        with (
            self._signals(),
            closing(self.pipeline.batches(self.images_shown, self.device, self.memory_format)) as batches,
            self._tensorboard(run) as events,
        ):
            while self.fraction() < 1 and not self._stopping():
                shown = self.play_round(batches)
                if display is not None:
                    display.advance(self.step, shown)
                finished = self.fraction() >= 1
                if self.step % self.train.log_every == 0 or finished:
                    self._log(run, display, events, clock, logged_at)
                    logged_at = self.step
                with clock.paused():
                    if self.step % self.train.sample_every == 0 or finished:
                        self._write_samples(run, display, events, final=finished)
                    # Before the checkpoint, or a run that is killed between them would not be measured here.
                    if self.train.evaluate is not None and (self.step % self.train.evaluate.every == 0 or finished):
                        self._evaluate(run, display, events)
                    if self.step % self.train.checkpoint_every == 0 or finished:
                        self._save(run, logged_at)
                        saved_at = self.step
            if saved_at != self.step:
                self._save(run, logged_at)
        return Outcome(self.step, self._stop_signal or None)

    def play_round(self, batches: Iterator[Batch]) -> int:
        """Plays one training step and returns how many real images it has shown, over all ranks."""
        before = self.images_shown
        torch.manual_seed(derive(self.train.seed, "step", distributed.rank(), self.step))
        fraction = self.fraction()
        aids = self.train.aids
        self.instance_noise = aids.instance_noise * max(0.0, 1 - fraction / aids.instance_noise_until)
        self.update.begin(self.step, self.images_shown, fraction, self.architecture.stage)
        self.architecture.training_step(self._counted(batches), self.update)
        if distributed.world_size() > 1:  # batch-norm statistics, so that all ranks stay one model
            distributed.average(
                buffer for player in self.players.values() for net in player.networks for buffer in net.buffers()
            )
        shown = self.images_shown - before
        self.step += 1
        if self.averaging is not None:
            self.averaging.update(self.step, shown)
        self._grow()
        return shown

    def _counted(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            self.images_shown += len(batch) * distributed.world_size()
            yield batch

    def _grow(self) -> None:
        # After the step, so that a checkpoint holds optimizers as the next step finds them.
        stage = self.architecture.stage_at(self.images_shown)
        if stage.phase != self.architecture.stage.phase:
            self.update.restart()
        self.architecture.stage = stage

    def _add_instance_noise(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        # Sønderby et al. 2016, section 2: noise on reals and fakes alike makes their distributions overlap.
        if not self.instance_noise:
            return None
        image, *rest = inputs
        # Drawn in NCHW order: randn_like of a channels_last image takes ten times as long on a CPU.
        noise = torch.randn(image.shape, device=image.device, dtype=image.dtype)
        return (image + self.instance_noise * noise, *rest)

    def fraction(self) -> float:
        """Returns the finished part of the run, from 0 to 1."""
        return finished_fraction(self.train, self.pipeline.length, step=self.step, images_shown=self.images_shown)

    @property
    def batch(self) -> int:
        """Real images of a step at the present stage."""
        return at_resolution(self.train.batch, self.architecture.stage.resolution)

    # Watching -------------------------------------------------------------------------------------------------------

    def _log(
        self, run: RunDirectory, display: TrainingDisplay | None, events: Any, clock: Clock, logged_at: int
    ) -> None:
        losses = self._finite_losses(run, logged_at)
        self.update.meter.clear()
        self.last_losses = losses
        stage = self.architecture.stage
        images, seconds, eta = clock.lap(self.images_shown, self.fraction())
        record = {
            "step": self.step,
            "images": self.images_shown,
            "epoch": round(self.images_shown / self.pipeline.length, 4),
            **({"resolution": stage.resolution, "alpha": round(stage.fade, 4)} if self.grows else {}),
            **losses,
            **{f"lr_{name}": lr for name, lr in self.update.learning_rates().items()},
            "images_per_s": round(images / max(seconds, 1e-9), 1),
            "eta_s": round(eta, 1),
            "memory_mib": round(peak_memory(self.device) / 2**20, 1),
        }
        if display is not None:
            run.append_log(record)
            display.record(record)
            if events is not None:
                for name in (*losses, *(f"lr_{player}" for player in self.players), "images_per_s"):
                    events.add_scalar(name, record[name], self.step)

    def _finite_losses(self, run: RunDirectory, since: int) -> dict[str, float]:
        losses = self.update.meter.read()
        broken = [name for name, value in losses.items() if not math.isfinite(value)]
        if broken:
            self._stop_broken(run, f"the loss {' and '.join(broken)} became {losses[broken[0]]}", (), since)
        return losses

    def _check_finite(self, run: RunDirectory, tensors: Mapping[str, Tensor], since: int) -> None:
        floats = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
        if not torch.stack([tensor.isfinite().all() for tensor in floats.values()]).all():
            broken = [name for name, tensor in floats.items() if not tensor.isfinite().all()]
            players = [name for name, player in self.players.items() if broken[0] in player.parameters]
            self._stop_broken(run, f"weights of {broken[0]} became infinite or no number", players, since)

    def _stop_broken(self, run: RunDirectory, what: str, players: Sequence[str], since: int) -> NoReturn:
        good = checkpoint.steps(run.checkpoints)
        kept = (
            f"the last good checkpoint is {run.checkpoints / str(good[-1])}" if good else "there is no checkpoint yet"
        )
        hint = f"smaller learning rates, or fp32; then gancli resume {shlex.quote(str(run.path))}"
        if hasattr(self.config.model, "optimizers"):
            sets = [
                f" --set model.optimizers.{name}.lr={_halved(player.lr, self.update.learning_rates()[name])}"
                for name, player in self.players.items()
                if name in players or not players  # a broken loss does not tell whose step was too large
            ]
            sets += [" --set train.precision=fp32"] if self.train.precision == "fp16" else []
            hint = f"gancli resume {shlex.quote(str(run.path))}{''.join(sets)}"
        raise RunError(f"{what} after step {since} and before step {self.step + 1}; {kept}", hint)

    def _write_samples(self, run: RunDirectory, display: TrainingDisplay | None, events: Any, *, final: bool) -> None:
        if display is None:
            return
        torch.manual_seed(derive(self.train.seed, "watching"))  # every grid has the same noise
        measured: dict[str, float] = {}
        with self._for_sampling(), torch.no_grad():
            match self.architecture:
                case LatentModel() as model:
                    seeds = range(self.train.samples)
                    # A column for each class, where there are some.
                    points = Points(latents_of_seeds(model, seeds), seeds, labels_in_turn(model, seeds))
                    images = torch.cat(list(Renderer(model, self.device, self.batch).images(points)))
                    columns = model.classes if 1 < model.classes <= len(seeds) else columns_for(len(seeds))
                    picture = grid(to_pixels(images), columns)
                case Translator() as model if self.watched is not None:
                    picture = _side_by_side(self._previewed(model, self.watched.shown))
                    if self.watched.tested is not None:
                        losses = model.paired_loss(self.watched.tested.to(self.device))
                        measured = {name: float(loss) for name, loss in losses.items()}
                case _:
                    return
        run.samples.mkdir(exist_ok=True)
        path = run.sample_path(self.step)
        replace_file(path, encode(picture))
        if measured:
            run.append_log({"step": self.step, **measured})
            display.message(
                f"step {self.step}: " + ", ".join(f"{name} {value:.4g}" for name, value in measured.items())
            )
            if events is not None:
                for name, value in measured.items():
                    events.add_scalar(name, value, self.step)
        if final:
            display.message(f"samples {path}")

    def _evaluate(self, run: RunDirectory, display: TrainingDisplay | None, events: Any) -> None:
        if self.evaluator is not None and display is not None:
            try:
                with self._for_sampling():
                    values = self.evaluator.measure()
            except (GancliError, OSError, torch.OutOfMemoryError) as error:  # no reason to lose the run
                warn(f"not measured after step {self.step}: {error}")
            else:
                self._record_evaluation(run, display, events, values, self.evaluator.better)
        distributed.barrier()

    def _record_evaluation(
        self, run: RunDirectory, display: TrainingDisplay, events: Any, values: Mapping[str, float], better: str
    ) -> None:
        first = next(iter(values))
        sign = {"lower": -1, "higher": 1}.get(better)
        before = [float(record[first]) for record in run.read_log() if first in record]
        run.append_log({"step": self.step, **values})
        display.record({"step": self.step, **values})
        if events is not None:
            for name, value in values.items():
                events.add_scalar(name, value, self.step)
        if sign is not None and all(sign * values[first] > sign * value for value in before):
            checkpoint.write_directory(run.best, self.files())

    def _previewed(self, model: Translator, shown: Batch) -> list[dict[str, Tensor]]:
        # No more images at a time than training takes.
        parts = [model.preview(part.to(self.device)) for part in shown.split(math.ceil(len(shown) / self.batch))]
        return [
            {title: torch.cat([part[index][title] for part in parts]) for title in group}
            for index, group in enumerate(parts[0])
        ]

    @contextmanager
    def _for_sampling(self) -> Iterator[None]:
        self.architecture.eval()
        try:
            if self.averaging is None:
                yield
            else:
                with self.averaging.applied():
                    self.architecture.eval()
                    yield
        finally:
            self.architecture.train()

    @contextmanager
    def _tensorboard(self, run: RunDirectory) -> Iterator[Any]:
        if not self.train.tensorboard or distributed.rank() != 0:
            yield None
            return
        from torch.utils.tensorboard import SummaryWriter

        # Events behind the checkpoint are hidden: the resumed run writes them again.
        with SummaryWriter(run.tensorboard, purge_step=self.step + 1) as events:
            yield events

    # State ----------------------------------------------------------------------------------------------------------

    def _save(self, run: RunDirectory, logged_at: int) -> None:
        self._finite_losses(run, logged_at)
        self._check_finite(run, self.architecture.state_dict(), logged_at)
        own = self._own_tensors() if distributed.world_size() > 1 else {}
        others = distributed.gather(_to_bytes(own)) if own else []
        if distributed.rank() == 0:
            files = self.files()
            files |= {REST_OF_RANK.format(rank): content for rank, content in enumerate(others) if rank > 0}
            checkpoint.write(run.checkpoints, self.step, files, keep=self.train.keep)
            replace_file(run.model, files[modelfile.IN_RUN])
        distributed.barrier()

    def files(self) -> dict[str, bytes]:
        """Returns the content of a checkpoint, by file name: everything that ``load`` needs."""
        model = self._model_tensors()
        averaged = self.architecture.averaged if self.averaging is not None else ()
        rest = {
            name: tensor
            for name, tensor in self.architecture.state_dict().items()
            if name not in model or name.partition(".")[0] in averaged
        }
        moments = {
            f"{player}/{name}/{key}": tensor
            for player, mover in self.players.items()
            for name, parameter in mover.parameters.items()
            for key, tensor in mover.optimizer.state.get(parameter, {}).items()
        }
        state = {
            "step": self.step,
            "images_shown": self.images_shown,
            "images": self.pipeline.length,
            "meter": self.update.meter.state(),
            "last_losses": self.last_losses,
            "domains": self.domains,
            "averaged": self.averaging.counts() if self.averaging is not None else {},
            "scalers": {name: player.scaler.state_dict() for name, player in self.players.items()},
            "losses": {name: float(player.loss) for name, player in self.players.items() if player.loss is not None},
        }
        return {
            modelfile.IN_RUN: modelfile.to_bytes(self._model_info(), model),
            REST: _to_bytes(rest),
            OPTIMIZERS: _to_bytes(moments),
            STATE: (json.dumps(state, indent=1) + "\n").encode(),
        }

    def _own_tensors(self) -> dict[str, Tensor]:
        """What each process has of its own: the state of submodules that no player moves, such as pools of images."""
        networks = network_names(self.architecture)
        return {
            name: tensor
            for name, tensor in self.architecture.state_dict().items()
            if name.partition(".")[0] not in networks
        }

    def _model_tensors(self) -> dict[str, Tensor]:
        """The weights that a model file holds: of the networks that players move, averaged where averages are kept."""
        networks = network_names(self.architecture)
        with self.averaging.applied() if self.averaging is not None else nullcontext():
            return {
                name: tensor
                for name, tensor in self.architecture.state_dict().items()
                if name.partition(".")[0] in networks
            }

    def _model_info(self) -> modelfile.ModelInfo:
        shapes = type(self.architecture).input_shapes(self.config.model)
        return modelfile.describe(
            self.config.architecture,
            self.config,
            shapes=dict(zip(self.domains, shapes.values(), strict=True)),
            networks=network_names(self.architecture),
            classes=self.pipeline.classes,
            step=self.step,
            images_shown=self.images_shown,
            training=self.last_losses,
            grown_to=self.architecture.stage_at(self.images_shown).resolution if self.grows else None,
        )

    def load(self, files: Mapping[str, bytes]) -> int:
        """Takes back what ``files`` returned; the next step is then the one that would have followed.

        Returns:
            How many usable images the data held when the checkpoint was written.

        Raises:
            GancliError: the weights are those of other networks.
        """
        state = json.loads(files[STATE])
        model, rest = (safetensors.torch.load(files[name]) for name in (modelfile.IN_RUN, REST))
        wrong = mismatches(self.architecture.state_dict(), model | rest, whole=True)
        if wrong:
            raise GancliError(
                f"the checkpoint does not fit the configuration of the run:\n{wrong}",
                "a changed model needs a run of its own: gancli train --config FILE --init-from MODEL",
            )
        if self.averaging is not None and state["averaged"]:
            with self.averaging.applied():
                self.architecture.load_state_dict(model, strict=False)
            self.averaging.load_counts(state["averaged"])
        self.architecture.load_state_dict(model | rest)
        own = files.get(REST_OF_RANK.format(distributed.rank()))
        if own is not None:
            self.architecture.load_state_dict(safetensors.torch.load(own), strict=False)
        self._load_optimizers(safetensors.torch.load(files[OPTIMIZERS]))
        for name, player in self.players.items():
            if state["scalers"][name] and player.scaler.is_enabled():
                player.scaler.load_state_dict(state["scalers"][name])
            if name in state["losses"]:
                player.loss = torch.tensor(state["losses"][name], device=self.device)
        self.update.meter.load(state["meter"])
        self.last_losses = state["last_losses"]
        if self.config.data.domains is None:  # the folder may be called otherwise by now
            self.domains = state.get("domains", self.domains)
        self.step = state["step"]
        self.images_shown = state["images_shown"]
        self.architecture.stage = self.architecture.stage_at(self.images_shown)
        images: int = state["images"]
        return images

    def _load_optimizers(self, tensors: Mapping[str, Tensor]) -> None:
        for player, mover in self.players.items():
            for name, parameter in mover.parameters.items():
                prefix = f"{player}/{name}/"
                state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
                for key, value in state.items():
                    # The fused kernels walk moments and weights side by side, so their strides must agree.
                    like = parameter if value.shape == parameter.shape else torch.empty((), device=self.device)
                    state[key] = torch.empty_like(like, requires_grad=False).copy_(value)
                if state:
                    mover.optimizer.state[parameter] = state

    # Signals --------------------------------------------------------------------------------------------------------

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def note(number: int, frame: FrameType | None) -> None:
            if self._stop_signal == signal.SIGINT == number:
                raise KeyboardInterrupt  # a second Ctrl-C: the user will not wait for the checkpoint
            self._stop_signal = number

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stopping(self) -> bool:
        if distributed.world_size() > 1:
            # Ranks get a signal at different steps but must stop at the same one, or they would wait for each other.
            if self.step % self.train.log_every == 0:
                self._stop_signal = distributed.agree(self._stop_signal, self.device)
            else:
                return False
        return bool(self._stop_signal)


def _side_by_side(groups: Sequence[Mapping[str, Tensor]]) -> NDArray[np.uint8]:
    """Lays out what ``Translator.preview`` returned: the groups beside each other, a wide gap between them."""
    pictures = []
    for group in groups:
        columns = [as_rgb(to_pixels(images)) for images in group.values()]
        pictures.append(grid(np.stack(columns, axis=1).reshape(-1, *columns[0].shape[1:]), len(columns)))
    return grid(np.stack(pictures), len(pictures), gap=8)


def _to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in sorted(tensors.items())})


def _halved(lr: LearningRate, now: float) -> str:
    """Returns half of the rate ``now``, as ``--set`` takes it; or half of each in a table by resolution."""
    if not isinstance(lr, dict):
        return f"{now / 2:g}"
    return shlex.quote("{" + ", ".join(f"{resolution}: {rate / 2:g}" for resolution, rate in lr.items()) + "}")


def mismatches(own: Mapping[str, Tensor], given: Mapping[str, Tensor], shown: int = 8, *, whole: bool = False) -> str:
    """Returns a line for each tensor of ``given`` that is not in ``own``, or in another shape; "" if all fit.

    With ``whole``, a tensor of ``own`` that ``given`` lacks is a line as well.
    """
    lines = [
        f"  {name}: {list(tensor.shape)}, here "
        + (str(list(own[name].shape)) if name in own else "there is no such tensor")
        for name, tensor in given.items()
        if name not in own or own[name].shape != tensor.shape
    ]
    if whole:
        lines += [f"  {name}: missing, here {list(tensor.shape)}" for name, tensor in own.items() if name not in given]
    if len(lines) > shown:
        lines[shown:] = [f"  and {len(lines) - shown} more"]
    return "\n".join(lines)


class Clock:
    """Measures training time without the pauses for samples and checkpoints."""

    def __init__(self, images: int, fraction: float) -> None:
        self.images = images
        self.begun = self.lap_begun = time.perf_counter()
        self.fraction = fraction

    def lap(self, images: int, fraction: float) -> tuple[int, float, float]:
        """Returns the images and seconds since the last lap, and the seconds that remain at the pace so far."""
        now = time.perf_counter()
        shown, self.images = images - self.images, images
        seconds, self.lap_begun = now - self.lap_begun, now
        done = fraction - self.fraction
        return shown, seconds, (now - self.begun) / done * (1 - fraction) if done > 0 else 0.0

    @contextmanager
    def paused(self) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.lap_begun += time.perf_counter() - begun


def peak_memory(device: torch.device) -> int:
    """Returns the most memory used so far in bytes: of the GPU's allocator, or of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
