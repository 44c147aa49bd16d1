"""``gancli presets``: the configurations that come with gancli."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from gancli import console, registry
from gancli.cli.options import Json, complete_preset


def presets(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="Print this one as YAML, with every default filled in.",
            autocompletion=complete_preset,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the presets, or print one in full."""
    if name is None:
        _list(as_json)
        return
    registry.preset_path(name)
    from gancli import config

    resolved = config.resolve(name)
    typer.echo(json.dumps(resolved.to_dict(), indent=2) if as_json else config.to_yaml(resolved).rstrip())


def _list(as_json: bool) -> None:
    import yaml

    found = []
    for name, path in registry.preset_paths().items():
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        found.append(
            {
                "name": name,
                "architecture": content["architecture"],
                "description": content.get("description", ""),
            }
        )
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        console.table(("name", "architecture", "description"), [list(preset.values()) for preset in found])
