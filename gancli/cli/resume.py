"""``gancli resume``: continues a run that was stopped or killed, or makes it longer."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from gancli.cli import options
from gancli.cli.train import train_in, trust_features


def resume(
    run: Annotated[
        str,
        Argument(metavar="RUN", help="Run directory, or its name in ./runs.", autocompletion=options.complete_run),
    ],
    steps: Annotated[int | None, Option(metavar="N", help="New length in training steps, in all.")] = None,
    device: options.Device = None,
    precision: options.Precision = None,
    workers: options.Workers = None,
    keep: options.Keep = None,
    trust: options.Trust = False,
    sets: Annotated[list[str] | None, Option("--set", metavar="A.B=V", help="Change a key; may be repeated.")] = None,
) -> None:
    """Continue a run from its last checkpoint, with the same settings.

    On a CPU and without changes, the result is the same to the byte as if the run had never stopped.
    """
    from gancli.config import resolve
    from gancli.training import checkpoint
    from gancli.training.rundir import RunDirectory
    from gancli.training.session import prepare

    directory = RunDirectory.find(run)
    flags = {
        "train.steps": (steps, "--steps"),
        "train.device": (device, "--device"),
        "train.precision": (precision, "--precision"),
        "train.workers": (workers, "--workers"),
        "train.keep": (keep, "--keep"),
    }
    config = resolve(config_file=directory.config, sets=sets or (), flags=flags)
    trust_features(config, wanted=trust)
    train_in(directory, prepare(config, begins=not checkpoint.steps(directory.checkpoints)))
