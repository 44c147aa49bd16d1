"""Options and completions that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from gancli.registry import preset_paths

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def complete_preset(incomplete: str) -> list[str]:
    """Returns the presets that begin with what was typed, for shell completion."""
    return [name for name in preset_paths() if name.startswith(incomplete)]
