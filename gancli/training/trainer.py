"""The loop that every architecture trains in: seeds, steps, averages, the log, samples, checkpoints."""

from __future__ import annotations

import json
import math
import resource
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from gancli import modelfile
from gancli.architectures.base import Architecture, LatentModel
from gancli.console import TrainingDisplay
from gancli.data.pipeline import Pipeline
from gancli.errors import GancliError, RunError
from gancli.files import replace_file
from gancli.generation.latents import decode_in_batches, latents_of_seeds
from gancli.generation.writers import columns_for, encode, grid, to_pixels
from gancli.registry import architecture_name
from gancli.schema import RunConfig
from gancli.seeding import derive
from gancli.training import checkpoint, distributed
from gancli.training.averaging import Averaging
from gancli.training.length import finished_fraction
from gancli.training.rundir import RunDirectory
from gancli.training.update import Update, make_players

STATE = "state.json"
OPTIMIZERS = "optimizers.safetensors"
RAW = "raw.safetensors"  # the networks as trained, where model.safetensors holds their averages


@dataclass(frozen=True)
class Outcome:
    """How a run ended: after ``step`` steps, stopped by a signal or, where ``signal`` is None, at its end."""

    step: int
    signal: int | None


class Trainer:
    """Trains one architecture in one run directory.

    Everything that changes is in ``state``/``load``; everything else derives from the configuration and the step, so
    that a run that was killed goes on as if nothing had happened.
    """

    def __init__(self, architecture: Architecture, config: RunConfig, pipeline: Pipeline, device: torch.device) -> None:
        self.config = config
        self.train = config.train
        self.pipeline = pipeline
        self.device = device
        self.architecture = architecture.to(device).train()
        self.memory_format = torch.channels_last if self.train.channels_last else torch.contiguous_format
        self.architecture.to(memory_format=self.memory_format)
        self._check_names()
        self.players = make_players(architecture, self.train, device)
        self.update = Update(self.players, self.train, device)
        self.averaging = Averaging(architecture, self.train.average) if self.train.average else None
        self.instance_noise = 0.0
        for name in architecture.discriminators:
            architecture.get_submodule(name).register_forward_pre_hook(self._add_instance_noise)
        if self.train.compile:
            for network in architecture.children():
                # The bound forward, not the module: hooks stay outside, and each class has a compile cache of its own.
                network.forward = torch.compile(network.forward)
        self.step = 0
        self.images_shown = 0
        self.images_before = pipeline.length  # usable images when the checkpoint was written
        self.last_losses: dict[str, float] = {}
        self._stop_signal = 0

    def _check_names(self) -> None:
        players = self.architecture.optimizers()
        unknown = [name for name in self.train.turns if name not in players]
        if unknown:
            raise GancliError(
                f"train.turns names {', '.join(unknown)}, but the players are {', '.join(players)}",
                f"for instance --set train.turns.{next(iter(players))}.every=2",
            )

    # One run --------------------------------------------------------------------------------------------------------

    def fit(self, run: RunDirectory, display: TrainingDisplay | None) -> Outcome:
        """Trains until the run's length is reached or SIGINT or SIGTERM arrives; both end with a checkpoint.

        Only the leader of several processes has a ``display``, and writes files.

        Raises:
            RunError: a loss is not finite, or something cannot be written. The last good checkpoint is kept and named.
        """
        events = self._open_tensorboard(run)
        batches = self.pipeline.batches(self.images_shown, self.device, self.memory_format)
        saved_at = self.step if run.checkpoints.exists() and self.step else -1
        logged_at = self.step
        clock = Clock(self.step, self._fraction())
        with self._signals():
            while self._fraction() < 1 and not self._stopping():
                self.play_round(batches)
                if display is not None:
                    display.advance(1, batches.images_shown - self.images_shown)
                self.step += 1
                self.images_shown = batches.images_shown
                finished = self._fraction() >= 1
                if self.step % self.train.log_every == 0 or finished:
                    self._log(run, display, events, clock, logged_at)
                    logged_at = self.step
                with clock.paused():
                    if self.step % self.train.sample_every == 0 or finished:
                        self._write_samples(run, display, final=finished)
                    if self.step % self.train.checkpoint_every == 0 or finished:
                        self._save(run)
                        saved_at = self.step
            if saved_at != self.step:
                self._save(run)
        batches.close()
        if events is not None:
            events.close()
        return Outcome(self.step, self._stop_signal or None)

    def play_round(self, batches: Iterator[Any]) -> None:
        torch.manual_seed(derive(self.train.seed, "step", distributed.rank(), self.step))
        fraction = self._fraction()
        aids = self.train.aids
        self.instance_noise = aids.instance_noise * max(0.0, 1 - fraction / aids.instance_noise_until)
        self.update.begin(self.step, self.images_shown, fraction)
        self.architecture.training_step(batches, self.update)
        distributed.average(self.architecture.buffers())  # batch-norm statistics, so that all ranks stay one model
        if self.averaging is not None:
            self.averaging.update(self.step + 1)

    def _add_instance_noise(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        # Sønderby et al. 2016, section 2: noise on reals and fakes alike makes their distributions overlap.
        if not self.instance_noise:
            return None
        image, *rest = inputs
        return (image + self.instance_noise * torch.randn_like(image), *rest)

    def _fraction(self) -> float:
        return finished_fraction(self.train, self.pipeline.length, step=self.step, images_shown=self.images_shown)

    # Watching -------------------------------------------------------------------------------------------------------

    def _log(
        self, run: RunDirectory, display: TrainingDisplay | None, events: Any, clock: Clock, logged_at: int
    ) -> None:
        losses = self._finite_losses(run, logged_at)
        self.update.meter.clear()
        self.last_losses = losses
        seconds, eta = clock.lap(self._fraction())
        record = {
            "step": self.step,
            "images": self.images_shown,
            "epoch": round(self.images_shown / self.pipeline.length, 4),
            **losses,
            **{f"lr_{name}": lr for name, lr in self.update.learning_rates().items()},
            "images_per_s": round((self.step - clock.lap_from) * self._images_per_step() / max(seconds, 1e-9), 1),
            "eta_s": round(eta, 1),
            "memory_mib": round(peak_memory(self.device) / 2**20, 1),
        }
        clock.lap_from = self.step
        if display is not None:
            run.append_log(record)
            display.record(record)
            if events is not None:
                for name, value in record.items():
                    events.add_scalar(name, value, self.step)

    def _images_per_step(self) -> float:
        return self.images_shown / self.step

    def _finite_losses(self, run: RunDirectory, since: int) -> dict[str, float]:
        losses = self.update.meter.read()
        broken = [name for name, value in losses.items() if not math.isfinite(value)]
        if broken:
            good = checkpoint.steps(run.checkpoints)
            kept = (
                f"the last good checkpoint is {run.checkpoints / str(good[-1])}"
                if good
                else "there is no checkpoint before it"
            )
            player = next(iter(self.players))
            raise RunError(
                f"{' and '.join(broken)} became {losses[broken[0]]} between steps {since + 1} and {self.step}; {kept}",
                f"gancli resume {run.path} --set model.optimizers.{player}.lr={self.players[player].lr / 2:g}"
                + (" --set train.precision=fp32" if self.train.precision == "fp16" else ""),
            )
        return losses

    def _write_samples(self, run: RunDirectory, display: TrainingDisplay | None, *, final: bool) -> None:
        if display is None or not isinstance(self.architecture, LatentModel):
            return
        with self._for_sampling():
            z = latents_of_seeds(self.architecture, range(self.train.samples))
            images = torch.cat(list(decode_in_batches(self.architecture, z, self.train.batch, self.device)))
        run.samples.mkdir(exist_ok=True)
        path = run.sample_path(self.step)
        replace_file(path, encode(grid(to_pixels(images), columns_for(len(images)))))
        if final:
            display.message(f"samples {path}")

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

    def _open_tensorboard(self, run: RunDirectory) -> Any:
        if not self.train.tensorboard or distributed.rank() != 0:
            return None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise GancliError(
                "--tensorboard needs the package tensorboard", 'pip install "gancli[tensorboard]"'
            ) from error
        return SummaryWriter(run.tensorboard, purge_step=self.step)

    # State ----------------------------------------------------------------------------------------------------------

    def _save(self, run: RunDirectory) -> None:
        self._finite_losses(run, self.step - self.step % self.train.log_every)
        if distributed.rank() == 0:
            files = self.files()
            checkpoint.write(run.checkpoints, self.step, files, keep=self.train.keep)
            replace_file(run.model, files[modelfile.IN_RUN])
        distributed.barrier()

    def files(self) -> dict[str, bytes]:
        """Returns the content of a checkpoint, by file name: everything that ``load`` needs."""
        files = {modelfile.IN_RUN: self._model_bytes()}
        if self.averaging is not None:
            raw = {
                f"{name}.{key}": tensor
                for name in self.architecture.averaged
                for key, tensor in self.architecture.get_submodule(name).state_dict().items()
            }
            files[RAW] = safetensors.torch.save({key: tensor.contiguous() for key, tensor in sorted(raw.items())})
        files[OPTIMIZERS] = safetensors.torch.save(
            {
                f"{player}/{name}/{key}": tensor.contiguous()
                for player, mover in self.players.items()
                for name, parameter in mover.parameters.items()
                for key, tensor in mover.optimizer.state.get(parameter, {}).items()
            }
        )
        state = {
            "step": self.step,
            "images_shown": self.images_shown,
            "images": self.pipeline.length,
            "meter": self.update.meter.state(),
            "last_losses": self.last_losses,
            "averaged": self.averaging.counts() if self.averaging is not None else {},
            "players": {
                name: {"scaler": player.scaler.state_dict(), "loss": float(player.loss)}
                if player.loss is not None
                else {"scaler": player.scaler.state_dict()}
                for name, player in self.players.items()
            },
        }
        files[STATE] = (json.dumps(state, indent=1) + "\n").encode()
        return files

    def _model_bytes(self) -> bytes:
        info = modelfile.describe(
            architecture_name(type(self.architecture)),
            self.config,
            networks=[name for name, _ in self.architecture.named_children()],
            classes=self.pipeline.classes,
            step=self.step,
            images_shown=self.images_shown,
            training=self.last_losses,
        )
        if self.averaging is None:
            return modelfile.to_bytes(info, self.architecture.state_dict())
        with self.averaging.applied():
            return modelfile.to_bytes(info, self.architecture.state_dict())

    def load(self, files: Mapping[str, bytes]) -> None:
        """Takes back what ``files`` returned; the next step is then the one that would have followed."""
        state = json.loads(files[STATE])
        tensors = safetensors.torch.load(files[modelfile.IN_RUN])
        if self.averaging is not None:
            with self.averaging.applied():
                self.architecture.load_state_dict(tensors)
            self.averaging.load_counts(state["averaged"])
            tensors |= safetensors.torch.load(files[RAW])
        self.architecture.load_state_dict(tensors)
        self._load_optimizers(safetensors.torch.load(files[OPTIMIZERS]))
        for name, saved in state["players"].items():
            self.players[name].scaler.load_state_dict(saved["scaler"])
            if "loss" in saved:
                self.players[name].loss = torch.tensor(saved["loss"], device=self.device)
        self.update.meter.load(state["meter"])
        self.last_losses = state["last_losses"]
        self.step = state["step"]
        self.images_shown = state["images_shown"]
        self.images_before = state["images"]

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


class Clock:
    """Measures training time without the pauses for samples and checkpoints."""

    def __init__(self, step: int, fraction: float) -> None:
        self.lap_from = step
        self.begun = self.lap_begun = time.perf_counter()
        self.fraction = fraction

    def lap(self, fraction: float) -> tuple[float, float]:
        """Returns the seconds since the last lap, and those that remain at the pace so far."""
        now = time.perf_counter()
        seconds, self.lap_begun = now - self.lap_begun, now
        done = fraction - self.fraction
        return seconds, (now - self.begun) / done * (1 - fraction) if done > 0 else 0.0

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
