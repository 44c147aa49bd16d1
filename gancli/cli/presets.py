"""``gancli presets``: the configurations that come with gancli and with other packages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from gancli import console, registry
from gancli.cli.options import Json, complete_preset
from gancli.errors import GancliError

if TYPE_CHECKING:
    from collections.abc import Iterator

NARROWEST, WIDEST = 60, 120
MOST = 40
"""A key and its value with more columns than this have their comment below."""


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

    Save the output to a file, change it, and train with it: gancli train --config FILE.
    """
    if name is None:
        if keys is not None:
            raise GancliError("--keys needs a preset", f"gancli presets dcgan --keys {keys}")
        _list(as_json)
        return
    from gancli import config
    from gancli.yamltree import from_file

    resolved = config.resolve(name)
    lines = list(_lines(resolved, resolved.model_dump(), from_file(registry.preset_path(name), name, 0, []).plain()))
    if keys is not None:
        lines = _matching(lines, keys)
        if not lines:
            hint = f"`gancli presets {name}` prints them all"
            raise GancliError(f"no key of {name} has {keys!r} in its name or description", hint)
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
        found.append({"name": name, **{key: str(content.get(key, "")) for key in ("architecture", "description")}})
    for path in registry.hidden_presets():
        console.warn(f"{path} is not used: there is already a preset {path.stem}")
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        console.table(("name", "architecture", "description"), [list(preset.values()) for preset in found])


class _Line(NamedTuple):
    """A key: its path, its value (None for a section), its meaning, and whether the preset sets it."""

    path: tuple[str, ...]
    value: Any
    is_section: bool
    meaning: str
    is_set: bool


def _lines(section: Any, plain: Any, written: Any, path: tuple[str, ...] = ()) -> Iterator[_Line]:
    """Yields every key of a section, or of a table of sections, at ``path``, and after them the sections in it.

    ``plain`` has the same values as YAML has them; ``written`` is what the preset says about it.
    """
    from pydantic import BaseModel

    from gancli.keys import Key

    def is_section(value: Any) -> bool:
        return isinstance(value, BaseModel) or (isinstance(value, dict) and any(map(is_section, value.values())))

    fields = type(section).model_fields if isinstance(section, BaseModel) else {}
    said = written if isinstance(written, dict) else {}
    for name, value in sorted(dict(section).items(), key=lambda entry: is_section(entry[1])):
        here, inside = (*path, name), said.get(name)
        meaning = Key(here, fields[name], value).meaning if name in fields else ""
        if is_section(value):
            yield _Line(here, None, True, meaning, False)
            yield from _lines(value, plain[name], inside, here)
        else:
            yield _Line(here, plain[name], False, meaning, inside is not None)


def _matching(lines: list[_Line], text: str) -> list[_Line]:
    """Returns the keys with a text in their path or meaning, what is in sections with it, and the sections around."""
    text = text.lower()
    found = {line.path for line in lines if text in ".".join(line.path).lower() or text in line.meaning.lower()}
    around = {path[:depth] for path in found for depth in range(len(path))}

    def matches(path: tuple[str, ...]) -> bool:
        return path in around or any(path[: depth + 1] in found for depth in range(len(path)))

    return [line for line in lines if matches(line.path)]


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

    if line.is_section:
        return f"{line.path[-1]}:"
    if isinstance(line.value, dict):  # such as a schedule by resolution
        return f"{line.path[-1]}: {dump(line.value, flow=True).rstrip()}"
    return dump({line.path[-1]: line.value}).rstrip()


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
        rows = textwrap.wrap(line.meaning, width - column - 4, break_long_words=False, break_on_hyphens=False)
        if line.is_set:
            rows = rows or [""]
        comments = [f"# {'*' if line.is_set and not index else ' '} {row}".rstrip() for index, row in enumerate(rows)]
        first = comments.pop(0) if comments and len(text) < column - 1 else ""
        out.print(Text.assemble((text.ljust(column) if first else text, "bold" if line.is_set else ""), (first, "dim")))
        for more in comments:
            out.print(Text(" " * column + more, style="dim"))
