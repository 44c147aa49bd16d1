"""``gancli presets``: the configurations that come with gancli and with other packages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from gancli import console, registry
from gancli.cli.options import Json, complete_preset
from gancli.errors import GancliError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NARROWEST, WIDEST = 60, 120
MOST = 40
"""Columns of a key and its value, before its comment begins further right or below."""


def presets(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="Print this preset as YAML: every key, its value, and what it means.",
            autocompletion=complete_preset,
        ),
    ] = None,
    keys: Annotated[
        str | None,
        typer.Option("--keys", metavar="TEXT", help="Print only keys with TEXT in their name or description."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the presets, or print one of them in full.

    What is printed can be saved, changed and used: gancli train --config FILE.
    """
    if name is None:
        if keys is not None:
            raise GancliError("--keys needs a preset", f"gancli presets dcgan --keys {keys}")
        _list(as_json)
        return
    from gancli import config
    from gancli.yamltree import from_file

    resolved = config.resolve(name)
    lines = list(_lines(resolved, resolved.to_dict(), from_file(registry.preset_path(name), name, 0, []).plain()))
    if keys is not None:
        lines = _matching(lines, keys)
        if not lines:
            raise GancliError(
                f"no key of {name} has {keys!r} in its name or description", f"`gancli presets {name}` prints them all"
            )
    if as_json:
        typer.echo(json.dumps(_nested(lines), indent=2))
    else:
        _print(name, lines)


def _list(as_json: bool) -> None:
    from gancli.yamltree import from_file

    found = []
    for name, path in registry.preset_paths().items():
        try:
            content = from_file(path, str(path), 0, []).plain()
        except GancliError as error:
            console.warn(error.message)
            continue
        found.append(
            {
                "name": name,
                "architecture": str(content.get("architecture", "")),
                "description": str(content.get("description", "")),
            }
        )
    for path in registry.hidden_presets():
        console.warn(f"{path} is not used: there is a preset {path.stem} already")
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        console.table(("name", "architecture", "description"), [list(preset.values()) for preset in found])


class _Line(NamedTuple):
    """A key: its path, its value as plain data (None for a section), its meaning, and whether the preset sets it."""

    path: tuple[str, ...]
    value: Any
    is_section: bool
    meaning: str
    is_set: bool


def _lines(section: Any, values: Mapping[str, Any], written: Any, path: tuple[str, ...] = ()) -> Iterator[_Line]:
    """Yields every key of a section, and after them the sections in it.

    Args:
        section: the section, or a table of sections.
        values: the same as plain data.
        written: what the preset says about it.
        path: its place in the configuration.
    """
    from pydantic import BaseModel

    from gancli.keys import meaning

    if isinstance(section, BaseModel):
        fields = type(section).model_fields
        entries = [(name, value := getattr(section, name), meaning(field, value)) for name, field in fields.items()]
    else:
        entries = [(name, row, "") for name, row in section.items()]

    def is_section(value: Any) -> bool:
        rows = value.values() if isinstance(value, dict) else [value]
        return any(isinstance(row, BaseModel) for row in rows)

    said = written if isinstance(written, dict) else {}
    for name, value, words in sorted(entries, key=lambda entry: is_section(entry[1])):
        here, below = (*path, name), is_section(value)
        yield _Line(here, values[name], below, words, not below and said.get(name) is not None)
        if below:
            yield from _lines(value, values[name], said.get(name), here)


def _matching(lines: list[_Line], text: str) -> list[_Line]:
    """Returns the keys that have a text in their path or meaning, or are in a section that has, and their sections."""
    found = {
        line.path
        for line in lines
        if text.lower() in ".".join(line.path).lower() or text.lower() in line.meaning.lower()
    }
    around = {path[:depth] for path in found for depth in range(len(path))}
    return [
        line
        for line in lines
        if line.path in around or any(line.path[:depth] in found for depth in range(1, len(line.path) + 1))
    ]


def _nested(lines: list[_Line]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for line in lines:
        inside = result
        for name in line.path[:-1]:
            inside = inside[name]
        inside[line.path[-1]] = {} if line.is_section else line.value
    return result


def _yaml(line: _Line) -> str:
    """Returns a key with its value, on one line."""
    from gancli.yamltree import dump

    key = line.path[-1]
    if line.is_section:
        return f"{key}:"
    if isinstance(line.value, dict):  # such as a schedule by resolution
        return f"{key}: {dump(line.value, flow=True).rstrip()}"
    return dump({key: line.value}).rstrip()


def _print(name: str, lines: list[_Line]) -> None:
    """Prints YAML with comments: a column of meanings, with * for what the preset sets."""
    import shutil
    import textwrap

    from rich.console import Console
    from rich.text import Text

    texts = ["  " * (len(line.path) - 1) + _yaml(line) for line in lines]
    width = min(WIDEST, max(NARROWEST, shutil.get_terminal_size((100, 24)).columns))
    column = max((len(text) for text in texts if len(text) <= MOST), default=0) + 2
    out = Console(highlight=False, soft_wrap=True)
    out.print(Text(f"# {name}: * marks what the preset sets, all else is the default.", style="dim"))
    for line, text in zip(lines, texts, strict=True):
        comment = textwrap.wrap(line.meaning, width - column - 4, break_long_words=False, break_on_hyphens=False)
        if line.is_set and not comment:
            comment = [""]
        rows = [("* " if line.is_set and not index else "  ") + part for index, part in enumerate(comment)]
        comments = [f"# {row}".rstrip() for row in rows]
        first = comments.pop(0) if comments and len(text) < column - 1 else ""
        style = "bold" if line.is_set else ""
        out.print(Text.assemble((text, style), (f"{' ' * (column - len(text))}{first}" if first else "", "dim")))
        for more in comments:
            out.print(Text(" " * column + more, style="dim"))
