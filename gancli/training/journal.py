"""What a run writes for people: the log, sample grids, TensorBoard events, the best checkpoint, and the live display.

Only the first of several processes keeps a journal.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gancli.console import TrainingDisplay, note, warn
from gancli.errors import GancliError
from gancli.files import replace_file, replacing
from gancli.generation.plots import Plane, plot
from gancli.generation.video import write_film
from gancli.generation.writers import as_rgb, columns_for, encode, grid, to_pixels
from gancli.training import checkpoint
from gancli.training.rundir import RunDirectory

FRAMES, FPS = 200, 10
"""Most frames of the film of a run, and frames per second."""


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


class Journal:
    """Writes into a run directory, and shows on a display what it writes.

    Args:
        run: the run directory.
        display: shows the run in the terminal.
        events: TensorBoard's writer, or None.
    """

    def __init__(self, run: RunDirectory, display: TrainingDisplay, events: Any) -> None:
        self.run, self.display, self.events = run, display, events

    def log(self, record: Mapping[str, Any], curves: Iterable[str]) -> None:
        """Writes a line of the log; ``curves`` are the names that TensorBoard draws."""
        self.run.append_log(record)
        self.display.record(record)
        self._draw(int(record["step"]), {name: record[name] for name in curves})

    def samples(self, step: int, picture: NDArray[np.uint8], measured: Mapping[str, float], *, final: bool) -> None:
        """Writes a sample grid, uint8 [H, W, C], and the losses measured with it."""
        self.run.check_place()
        self.run.samples.mkdir(exist_ok=True)
        path = self.run.samples / f"{step:08d}.png"
        replace_file(path, encode(picture))
        if measured:
            self.run.append_log({"step": step, **measured})
            values = ", ".join(f"{name} {value:.4g}" for name, value in measured.items())
            note(f"step {step}: {values}")
            self._draw(step, measured)
        if final:
            note(f"samples {path}")

    def film(self) -> None:
        """Writes a film of the sample grids, ``FRAMES`` of them if there are more, that have the size of the last."""
        paths = sorted(self.run.samples.glob("*.png"))
        sizes = {}
        for path in paths:
            with Image.open(path) as image:
                sizes[path] = image.size
        alike = [path for path in paths if sizes[path] == sizes[paths[-1]]]
        chosen = [alike[i] for i in np.linspace(0, len(alike) - 1, min(FRAMES, len(alike))).round().astype(int)]
        film = self.run.samples / "training.webp"
        try:
            with replacing(film) as file:
                write_film(file, (np.asarray(Image.open(path).convert("RGB")) for path in chosen), "webp", FPS)
        except GancliError as error:  # the run is finished all the same
            warn(f"no film of the training: {error}")
        else:
            note(f"film of the training {film}")

    def evaluation(
        self, step: int, values: Mapping[str, float], better: str, files: Callable[[], Mapping[str, bytes]]
    ) -> None:
        """Writes what was measured, and keeps the checkpoint if its first value is the best so far.

        Args:
            step: training steps finished.
            values: by name.
            better: ``"lower"`` or ``"higher"``; if empty, no checkpoint is kept.
            files: returns the content of the checkpoint by file name.
        """
        first = next(iter(values))
        sign = {"lower": -1, "higher": 1}.get(better)
        before = [float(record[first]) for record in self.run.read_log() if first in record]
        self.log({"step": step, **values}, values)
        if sign is not None and all(sign * values[first] > sign * value for value in before):
            checkpoint.write_directory(self.run.best, files())

    def _draw(self, step: int, values: Mapping[str, float]) -> None:
        if self.events is not None:
            for name, value in values.items():
                self.events.add_scalar(name, value, step)


def lay_out(preview: Sequence[Mapping[str, Tensor]]) -> NDArray[np.uint8]:
    """Lays out what ``Architecture.preview`` returned, uint8 [H, W, C]: groups side by side."""
    pictures = []
    for group in preview:
        if all(column.ndim == 2 for column in group.values()):
            points = torch.cat([column.float() for column in group.values()])
            pictures.append(plot(Plane.around(points.numpy()), group))
            continue
        columns = [to_pixels(images) for images in group.values()]
        if len(columns) == 1:
            pictures.append(grid(columns[0], columns_for(len(columns[0]))))
            continue
        if len({column.shape[-1] for column in columns}) > 1:
            columns = [as_rgb(column) for column in columns]
        # Row by row; the first columns may have one image more than the last ones.
        rows = [column[row] for row in range(max(map(len, columns))) for column in columns if row < len(column)]
        pictures.append(grid(np.stack(rows), len(columns)))
    if len(pictures) == 1:
        return pictures[0]
    return grid(np.stack([as_rgb(picture[None])[0] for picture in pictures]), len(pictures), gap=8)


@contextmanager
def tensorboard(run: RunDirectory, step: int, *, wanted: bool) -> Iterator[Any]:
    """Yields TensorBoard's writer, or None if it is not ``wanted``."""
    if not wanted:
        yield None
        return
    from torch.utils.tensorboard import SummaryWriter

    # This hides events after the checkpoint, which the resumed run writes again.
    with SummaryWriter(run.tensorboard, purge_step=step + 1) as events:
        yield events


def peak_memory(device: torch.device) -> int:
    """Returns the peak memory so far in bytes: of the GPU's allocator, or of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
