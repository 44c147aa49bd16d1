"""The run directory: its layout, its lock and its log."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from gancli import config as configuration
from gancli.errors import GancliError, RunError, nearest, some
from gancli.files import aside_of, remove_leftovers, replace_file, sync_directory, unused, write_synced
from gancli.modelfile import IN_RUN
from gancli.schema import RunConfig

CONFIG = "config.yaml"
RUNS = Path("runs")
LONGEST_NAME = 200
"""Bytes; file systems take 255, and images are named after the model."""


class RunDirectory:
    """``runs/<name>/``: config.yaml, log.jsonl, samples/, checkpoints/<step>/, best/, model.safetensors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / CONFIG
        self.log = path / "log.jsonl"
        self.samples = path / "samples"
        self.checkpoints = path / "checkpoints"
        self.best = path / "best"
        self.model = path / IN_RUN
        self.tensorboard = path / "tensorboard"
        self._lock: TextIO | None = None
        self._place: tuple[int, int] | None = None

    @classmethod
    def create(cls, path: Path, config: RunConfig) -> RunDirectory:
        """Makes a run directory together with its configuration, or nothing at all.

        Raises:
            GancliError: ``path`` already exists, or cannot be written.
        """
        cls.check_free(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = aside_of(path)
            aside.mkdir(exist_ok=True)
            try:
                write_synced(aside / CONFIG, configuration.to_yaml(config).encode())
                aside.rename(path)
            except BaseException:
                (aside / CONFIG).unlink(missing_ok=True)
                aside.rmdir()
                raise
            sync_directory(path.parent)
        except OSError as error:
            raise GancliError(f"cannot make the run directory {path}: {error.strerror}") from error
        return cls(path)

    @staticmethod
    def check_free(path: Path) -> None:
        """Checks that ``path`` does not exist, or is an empty directory.

        Raises:
            GancliError: it is something else, or cannot be a path.
        """
        try:
            taken = path.exists() and (not path.is_dir() or any(path.iterdir()))
        except OSError as error:
            raise GancliError(f"{path} cannot be a run directory: {error.strerror}") from error
        if taken:
            is_run = (path / CONFIG).is_file()
            raise GancliError(
                f"{path} already exists",
                f"continue it with `gancli resume {shlex.quote(str(path))}`, or choose another --name"
                if is_run
                else "choose another --name or --out",
            )

    @classmethod
    def find(cls, run: str) -> RunDirectory:
        """Returns the run that the argument RUN means: a path, or a name in ``./runs``.

        Raises:
            GancliError: there is none; the message names near ones.
        """
        try:
            for path in (Path(run), RUNS / run):
                if (path / CONFIG).is_file():
                    return cls(path)
            is_directory = Path(run).is_dir()
        except OSError as error:
            raise GancliError(f"{run} cannot be a run: {error.strerror}") from error
        if is_directory:
            raise GancliError(f"{run} is not a run directory: it has no {CONFIG}")
        names = sorted(path.parent.name for path in RUNS.glob(f"*/{CONFIG}")) if RUNS.is_dir() else []
        known = f"runs here are: {some(names)}" if names else "there are no runs below ./runs"
        raise GancliError(f"there is no run {run!r}", nearest(run, names) or known)

    def lock(self) -> None:
        """Keeps other processes from writing to this run until this process ends, for whatever reason.

        Raises:
            GancliError: another process has locked the run.
        """
        self._lock = (self.path / ".lock").open("a+")
        try:
            # Not flock: loader processes would inherit it, and outlive a killed run by seconds.
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "another process"
            raise GancliError(
                f"{self.path} is being trained by {holder}", "wait for it, or stop it with Ctrl-C or kill"
            ) from error
        status = self.path.stat()
        self._place = status.st_dev, status.st_ino
        self._lock.truncate(0)
        self._lock.write(f"process {os.getpid()}\n")
        self._lock.flush()

    def unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def check_place(self) -> None:
        """Checks, before anything is written, that the directory is still the one that ``lock`` has locked.

        Raises:
            RunError: it has been moved or removed; there may be another run of its name by now.
        """
        try:
            status = self.path.stat()
            place = status.st_dev, status.st_ino
        except OSError:
            place = None
        if self._place in (None, place) or self._lock is None:
            return
        try:  # where the lock is, the run is
            now = Path(f"/proc/self/fd/{self._lock.fileno()}").readlink().parent
        except OSError:
            now = self.path
        if (now / CONFIG).is_file() and now.absolute() != self.path.absolute():
            raise RunError(
                f"the run directory {self.path} has been moved to {now}, so the training stops at its last checkpoint",
                f"gancli resume {shlex.quote(str(now))}",
            )
        lost = f"the run directory {self.path} has been removed while it was in use, so nothing can be saved any more"
        raise RunError(lost, "start the run again")

    def save_config(self, config: RunConfig) -> None:
        """Rewrites ``config.yaml`` if the configuration has changed."""
        content = configuration.to_yaml(config).encode()
        if self.config.read_bytes() != content:
            replace_file(self.config, content)

    def remove_leftovers(self) -> None:
        """Removes what killed processes left half-written; only whoever has locked the run may do so."""
        for folder in filter(Path.is_dir, (self.path, self.samples)):
            remove_leftovers(folder)
            for path in folder.iterdir():  # names of version 0.1
                if re.fullmatch(
                    r"\.(model\.safetensors|config\.yaml|log\.jsonl|\d{8}\.png|training\.webp)\.\d+", path.name
                ):
                    path.unlink()

    def cut_log(self, step: int) -> None:
        """Removes the lines of ``log.jsonl`` after ``step``, which the continued run writes again."""
        if not self.log.exists():
            return
        kept = []
        for line in self.log.read_bytes().splitlines(keepends=True):
            try:
                good = line.endswith(b"\n") and json.loads(line)["step"] <= step
            except (ValueError, KeyError, TypeError):
                good = False  # a line that a killed process did not finish
            if good:
                kept.append(line)
        replace_file(self.log, b"".join(kept))

    def read_log(self) -> list[dict[str, Any]]:
        """Returns the lines of ``log.jsonl``, oldest first."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def append_log(self, record: Mapping[str, Any]) -> None:
        self.check_place()
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def default_run_path(preset: str) -> Path:
    """Returns ``runs/<preset>``, or ``runs/<preset>-2`` and so on if that exists."""
    return unused(RUNS / preset)


def check_name(name: str) -> str:
    """Returns ``name`` if it can name a run or a model.

    Raises:
        GancliError: it is not a plain file name.
    """
    if not re.fullmatch(r"\w[\w.+-]*", name):
        raise GancliError(f"{name!r} cannot be the name of a run or model", "use letters, digits and - _ . +")
    if len(os.fsencode(name)) > LONGEST_NAME:
        raise GancliError(f"{name!r} cannot be the name of a run or model", f"use at most {LONGEST_NAME} letters")
    return name
