"""Options and completions that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gancli.importers import importer_names
from gancli.modelfile import known_models
from gancli.registry import preset_paths

Device = Annotated[str | None, typer.Option("--device", metavar="D", help="auto, cpu, cuda, cuda:N or mps.")]
Precision = Annotated[
    str | None, typer.Option("--precision", metavar="fp32|bf16|fp16", help="Arithmetic of the networks.")
]
Workers = Annotated[
    int | None, typer.Option("--workers", metavar="N", help="Loader processes.  [default: 0 on a CPU, 2 on a GPU]")
]
Keep = Annotated[int | None, typer.Option("--keep", metavar="N", help="Checkpoints to keep.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def complete_preset(incomplete: str) -> list[str]:
    """Returns the presets that begin with what was typed, for shell completion."""
    return [name for name in preset_paths() if name.startswith(incomplete)]


def complete_model(incomplete: str) -> list[str]:
    """Returns the models that begin with what was typed."""
    return [name for name in known_models() if name.startswith(incomplete)]


def complete_run(incomplete: str) -> list[str]:
    """Returns the runs in ./runs that begin with what was typed."""
    return [
        path.parent.name
        for path in sorted(Path("runs").glob("*/config.yaml"))
        if path.parent.name.startswith(incomplete)
    ]


def complete_importer(incomplete: str) -> list[str]:
    """Returns the architectures with an importer that begin with what was typed."""
    return [name for name in importer_names() if name.startswith(incomplete)]
