"""The terminal: one rich console on stderr, tables on stdout, progress, and the live display of training.

stdout carries results only, so everything but ``table`` and ``result`` goes to stderr. If stderr is not a terminal,
plain lines without control codes replace bars and live tables. rich is imported when needed, so that importing this
module costs nothing.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO

from gancli.errors import GancliError

if TYPE_CHECKING:
    from rich import progress as rich_progress
    from rich.console import Console, RenderableType
    from rich.live import Live

REDRAW_SECONDS = 0.5
LINE_SECONDS = 5.0
PATIENCE_SECONDS = 1.0

_ROWS = 8
_CELL = 9
_BESIDE_THE_TABLE = ("step", "images", "epoch", "images_per_s", "eta_s", "memory_mib", "watch")

_live: Live | None = None


@cache
def stderr() -> Console:
    """Returns the console on stderr; it honours NO_COLOR and TERM."""
    from rich.console import Console

    class Stderr(Console):
        def on_broken_pipe(self) -> None:
            # Ctrl-C on `gancli train ... 2>&1 | tee log` ends tee first, but the checkpoint must be written.
            discard(sys.stderr)

    return Stderr(stderr=True, highlight=False, soft_wrap=True)


def discard(stream: TextIO) -> None:
    """Points a stream that nobody reads any more to /dev/null, so that flushing its buffer cannot fail."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def leave_terminal() -> None:
    """Lets go of a terminal that has hung up, so that writing to it cannot fail."""
    for stream in (sys.stdout, sys.stderr):
        if stream.isatty():
            discard(stream)


def animated() -> bool:
    """Returns whether stderr is a terminal that can redraw lines; FORCE_COLOR alone does not make it one."""
    return sys.stderr is not None and sys.stderr.isatty() and not stderr().is_dumb_terminal


def print_error(error: GancliError) -> None:
    """Prints ``error: message`` and, if there is one, ``hint: ...``."""
    _labelled("error", "bold red", error.message)
    if error.hint:
        _labelled("hint", "cyan", error.hint)


def warn(text: str) -> None:
    """Prints ``warning: text``: something that a person should know although the work continues."""
    _labelled("warning", "yellow", text)


def note(text: str) -> None:
    """Prints a plain line of information."""
    stderr().print(text, markup=False)


def _labelled(label: str, style: str, text: str) -> None:
    from rich.text import Text

    stderr().print(Text.assemble((f"{label}:", style), " ", text))


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints a table to stdout: on a terminal it fits the width; elsewhere its lines are aligned and never cut."""
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    rows = [list(row) for row in rows]
    if console.is_terminal:
        grid = Table(box=None, pad_edge=False, header_style="bold")
        for header in headers:
            grid.add_column(header, overflow="fold")
        for row in rows:
            grid.add_row(*(Text(cell) for cell in row))
        console.print(grid)
        return
    widths = [max(cell_len(cell) for cell in column) for column in zip(headers, *rows, strict=True)]
    for row in [list(headers), *rows]:
        cells = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def result(text: object) -> None:
    """Writes a line of results to stdout, above a progress bar if there is one on the screen."""
    clear = "\r\x1b[2K" if sys.stdout.isatty() and animated() else ""
    sys.stdout.write(f"{clear}{text}\n")
    sys.stdout.flush()


def duration(seconds: float) -> str:
    """Returns a readable time: ``3:05`` (minutes), ``2:03:05`` (hours), ``3 d 4 h``."""
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02}"
    if whole < 86400:
        return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{whole // 86400} d {whole // 3600 % 24} h"


def number(value: float) -> str:
    """Returns a loss or score with four significant digits, at most eight characters wide."""
    size = abs(value)
    if not math.isfinite(value) or size == 0:
        return f"{value:g}"
    if size < 1e-3 or size >= 1e5:
        return f"{value:.1e}"
    return f"{value:.{max(0, min(3, 3 - math.floor(math.log10(size))))}f}"


class Progress:
    """Shows how much of some work is done; ``progress`` makes it."""

    def __init__(self, description: str, total: int | None) -> None:
        self._description, self._total, self._done = description, total, 0
        self._start = self._drawn = time.monotonic()
        self._bar: rich_progress.Progress | None = None
        self._lines = 0
        self._silent = _live is not None

    def advance(self, n: int = 1) -> None:
        """Counts ``n`` more pieces as done."""
        self.update(self._done + n)

    def update(self, done: int, total: int | None = None) -> None:
        """Sets how many pieces are done, and the total once it is known."""
        self._done = done
        self._total = total if total is not None else self._total
        now = time.monotonic()
        if self._silent or now - self._start < PATIENCE_SECONDS:
            return
        if animated():
            if now - self._drawn >= REDRAW_SECONDS:
                self._drawn = now
                self._redraw()
        elif now - self._drawn >= LINE_SECONDS:
            self._drawn = now
            self._lines += 1
            note(self._line(now))

    def _redraw(self) -> None:
        if self._bar is None:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            time_left = TimeRemainingColumn(elapsed_when_finished=True)
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), time_left)
            self._bar = Progress(*columns, console=stderr(), auto_refresh=False, transient=True, redirect_stdout=False)
            self._bar.add_task(self._description, total=self._total)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=self._done, total=self._total, refresh=True)

    def _line(self, now: float) -> str:
        if not self._total:
            return f"{self._description}: {self._done}"
        line = f"{self._description}: {self._done}/{self._total} ({100 * self._done // self._total} %)"
        if 0 < self._done < self._total:
            line += f", {duration((now - self._start) / self._done * (self._total - self._done))} left"
        return line

    def _finish(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._lines:
            note(f"{self._description}: {self._done} in {duration(time.monotonic() - self._start)}")


@contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Progress]:
    """Shows on stderr how much of the work of the ``with`` block is done.

    A terminal shows a bar that vanishes at the end, other outputs get a line every few seconds. Work of less than a
    second shows nothing, and neither does work while a ``TrainingDisplay`` is on the screen.

    Args:
        description: for instance ``"decoding images"``.
        total: number of pieces; None while it is unknown.
    """
    shown = Progress(description, total)
    try:
        yield shown
    finally:
        shown._finish()


class TrainingDisplay:
    """Shows a training run on stderr: losses and scores, rates, and progress.

    A terminal shows a live table of the last records above a progress bar; other outputs get a line per record. There
    is no thread: ``advance`` redraws the screen at most twice a second.

    Args:
        title: the run's name.
        total_steps: step at which the run ends.
        start_step: step at which it begins; greater than 0 if it is resumed.
    """

    def __init__(self, title: str, total_steps: int, start_step: int = 0) -> None:
        self._title, self._total = title, total_steps
        self._step = start_step
        self._images = 0
        self._begin = self._drawn = time.monotonic()
        self._names: dict[str, None] = {}
        self._records: deque[Mapping[str, Any]] = deque(maxlen=_ROWS)
        self._recorded = self._begin

    def __enter__(self) -> TrainingDisplay:
        global _live
        if animated():
            from rich.live import Live

            # Results go to stdout unchanged; what libraries write to stderr appears above the table.
            _live = Live(console=stderr(), auto_refresh=False, redirect_stdout=False)
            _live.start()
            self._redraw()
        else:
            note(f"{self._title}: steps {self._step} to {self._total}")
        return self

    def __exit__(self, *error: object) -> None:
        global _live
        if _live is not None:
            live, _live = _live, None
            try:
                live.update(self._picture())
            finally:
                live.stop()

    def advance(self, step: int, images: int) -> None:
        """Counts training step ``step`` and its ``images`` real images as done; takes a microsecond."""
        self._step = step
        self._images += images
        if time.monotonic() - self._drawn >= REDRAW_SECONDS:
            self._redraw()

    def record(self, values: Mapping[str, Any]) -> None:
        """Shows one line of the log.

        Args:
            values: ``step``, and if known ``epoch``, ``images``, ``images_per_s``, ``eta_s`` and ``memory_mib``;
                learning rates as ``lr_<player>``; every other number is a loss or score.
        """
        self._names |= dict.fromkeys(name for name in values if name not in _BESIDE_THE_TABLE)
        self._records.append(values)
        self._recorded = time.monotonic()
        self._step = max(self._step, int(values["step"]))
        if _live is None:
            note(self._plain(values))
        else:
            self._redraw()

    def _redraw(self) -> None:
        self._drawn = time.monotonic()
        if _live is not None:
            _live.update(self._picture(), refresh=True)

    def _scores(self) -> list[str]:
        return [name for name in self._names if not name.startswith("lr_")]

    def _rates(self, values: Mapping[str, Any]) -> list[str]:
        """Returns the record's learning rates, speed and memory as text."""
        rates = [f"{name} {values[name]:.3g}" for name in self._names if name.startswith("lr_") and name in values]
        if "images_per_s" in values:
            rates.append(f"{number(values['images_per_s'])} images/s")
        if "memory_mib" in values:
            rates.append(f"{values['memory_mib']:.0f} MiB")
        return rates

    def _plain(self, values: Mapping[str, Any]) -> str:
        fields = [f"step {values['step']:>{len(str(self._total))}}/{self._total}"]
        if "epoch" in values:
            fields.append(f"epoch {values['epoch']:>6.2f}")
        fields += [f"{name} {_cell(values, name):>8}" for name in self._scores()]
        fields += self._rates(values)
        if values.get("eta_s") is not None:
            fields.append(f"{duration(values['eta_s'])} left")
        return "  ".join(fields)

    def _picture(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        width, height = stderr().size
        now = time.monotonic()
        parts: list[RenderableType] = []

        # One table if its columns fit side by side, else several that share the height of the screen.
        names = self._scores()
        steps_wide = max(len(str(self._total)), len("step"))
        groups = _fill(names, width - steps_wide) if self._records else []
        rows = max(1, min(_ROWS, (height - 5) // max(1, len(groups)) - 1))
        records = list(self._records)[-rows:]
        for group in groups:
            grid = Table(box=None, pad_edge=False, padding=(0, 0), header_style="bold")
            grid.add_column("step", justify="right", width=steps_wide, style="dim", no_wrap=True)
            for name in group:
                grid.add_column(name, justify="right", width=_wide(name, width - steps_wide), no_wrap=True)
            for index, values in enumerate(records):
                cells = (_cell(values, name) for name in group)
                grid.add_row(str(values["step"]), *cells, style="bold" if index == len(records) - 1 else "")
            parts.append(grid)

        elapsed = now - self._begin
        times = f"{duration(elapsed)} elapsed, estimating"
        status = [f"{number(self._images / elapsed)} images/s"] if self._images and elapsed else []
        if self._records:
            last = next((each for each in reversed(self._records) if "images_per_s" in each), self._records[-1])
            status = self._rates(last)
            if "epoch" in last:
                status.insert(0, f"epoch {last['epoch']:.2f}")
            if last.get("eta_s") is not None:
                left = max(0.0, last["eta_s"] - (now - self._recorded))
                times = f"{duration(elapsed)} elapsed, {duration(left)} left"
        parts.append(Text("  ".join(status), style="cyan"))

        if self._step >= self._total:
            times = f"done in {duration(elapsed)}"
        share = min(1.0, self._step / self._total) if self._total else 1.0
        words = Text(f"{self._title}  {100 * share:.1f} %  {self._step}/{self._total}  {times}  ")
        bar = Table.grid()
        bar.add_row(words, ProgressBar(total=1.0, completed=share, width=min(40, width - words.cell_len)))
        parts.append(bar if words.cell_len + 4 <= width else words)
        return Group(*parts)


def _cell(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return str(value) if isinstance(value, int) else number(value) if isinstance(value, float) else "-"


def _wide(name: str, room: int) -> int:
    return min(max(_CELL, len(name) + 2), room)


def _fill(names: Sequence[str], room: int) -> list[list[str]]:
    """Splits ``names`` into groups whose columns fit side by side into ``room`` characters."""
    groups: list[list[str]] = [[]]
    used = 0
    for name in names:
        wide = _wide(name, room)
        if groups[-1] and used + wide > room:
            groups.append([])
            used = 0
        groups[-1].append(name)
        used += wide
    return groups
