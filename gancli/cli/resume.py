"""``gancli resume``: go on with a run that was stopped, killed, or is to become longer."""

from __future__ import annotations

from typing import Annotated

import typer

from gancli.cli.options import complete_run


def resume(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help="Run directory, or its name in ./runs.", autocompletion=complete_run),
    ],
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", help="New length in training steps, in all.")
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=V", help="Change a key; may be repeated.")
    ] = None,
) -> None:
    """Go on with a run from its last checkpoint, with everything as it was.

    On a CPU the result is the same, byte for byte, as if the run had never stopped.
    """
    from gancli import config as configuration
    from gancli.training import distributed
    from gancli.training.rundir import RunDirectory
    from gancli.training.session import prepare, run_session

    directory = RunDirectory.find(run)
    config = configuration.load(
        directory.config,
        sets=sets or (),
        flags={"train.steps": (steps, "--steps")} if steps is not None else {},
    )
    outcome = run_session(prepare(config), directory)
    if distributed.rank() == 0:
        typer.echo(directory.path)
    if outcome.signal is not None:
        raise typer.Exit(128 + outcome.signal)
