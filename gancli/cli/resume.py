"""``gancli resume``: go on with a run that was stopped, killed, or is to become longer."""

from __future__ import annotations

from typing import Annotated

import typer

from gancli.cli.options import Device, Keep, Precision, Workers, complete_run


def resume(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help="Run directory, or its name in ./runs.", autocompletion=complete_run),
    ],
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", help="New length in training steps, in all.")
    ] = None,
    device: Device = None,
    precision: Precision = None,
    workers: Workers = None,
    keep: Keep = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=V", help="Change a key; may be repeated.")
    ] = None,
) -> None:
    """Go on with a run from its last checkpoint, with everything as it was.

    On a CPU, where nothing is changed, the result is the same to the byte as if the run had never stopped.
    """
    from gancli import config as configuration
    from gancli.training import checkpoint, distributed
    from gancli.training.rundir import RunDirectory
    from gancli.training.session import prepare, run_session

    directory = RunDirectory.find(run)
    config = configuration.resolve(
        config_file=directory.config,
        sets=sets or (),
        flags={
            "train.steps": (steps, "--steps"),
            "train.device": (device, "--device"),
            "train.precision": (precision, "--precision"),
            "train.workers": (workers, "--workers"),
            "train.keep": (keep, "--keep"),
        },
    )
    session = prepare(config, begins=not checkpoint.steps(directory.checkpoints))
    leader = distributed.rank() == 0  # the session disconnects the processes at its end
    outcome = run_session(session, directory)
    if leader:
        typer.echo(directory.path)
    if outcome.signal is not None:
        raise typer.Exit(128 + outcome.signal)
