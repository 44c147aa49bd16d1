"""YAML as trees whose nodes remember where they were written, and configurations as YAML text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from gancli.errors import GancliError, nearest
from gancli.keys import KeyPath
from gancli.text import to_text

LARGEST_FILE = 256 * 1024  # bytes


@dataclass(frozen=True)
class Origin:
    """Where a value was written: as shown, its place among the layers, and the key that the label names."""

    label: str
    order: tuple[int, int] = (0, 0)
    names: KeyPath = ()


@dataclass(frozen=True)
class Node:
    """A scalar, a list, or a dict of nodes.

    ``blank``: nothing is written after the key. ``implied``: only keys in this section are written, as in --set.
    """

    value: Any
    origin: Origin
    blank: bool = False
    implied: bool = False

    def plain(self) -> Any:
        """Returns the value without the origins."""
        return {key: node.plain() for key, node in self.value.items()} if isinstance(self.value, dict) else self.value

    def at(self, *path: str) -> Node | None:
        """Returns the node of a path of keys; None if it is not there."""
        node: Node | None = self
        for key in path:
            node = node.value.get(key) if node is not None and isinstance(node.value, dict) else None
        return node


class Problem(NamedTuple):
    """Something wrong with a value, or with a key."""

    origin: Origin
    path: tuple[str | int, ...]
    text: str
    hint: str = ""
    about_keys: bool = False

    def line(self) -> str:
        """Returns the problem as a line of an error."""
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path).lstrip(".")
        parts = [self.origin.label, "" if self.path == self.origin.names else shown(key), self.text]
        return ": ".join(part for part in parts if part)


def shown(text: str, most: int = 80) -> str:
    """Returns the beginning of what a user wrote, on one line that any terminal can show."""
    text = text if len(text) <= most else f"{text[: most - 3]}..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


# ---- text ------------------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """Composes nodes by the core schema of YAML 1.2: 2e-4 is a number, yes and 1:30 are text."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  PyYAML's own attribute: without the rules of YAML 1.1

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):  # it could make a short file arbitrarily large, or contain itself
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases (*name) cannot be used; write the value out", problem_mark=mark)
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or 1.2 would take for something else; lists stand on one line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _flow_list(dumper: _Dumper, data: list[Any] | tuple[Any, ...]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)


def _text(dumper: _Dumper, data: str) -> yaml.Node:
    # Outside double quotes PyYAML writes some line breaks (U+0085, U+2028) as they are and reads them as a space.
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=None if data.isprintable() else '"')


_Dumper.add_representer(list, _flow_list)
_Dumper.add_representer(tuple, _flow_list)
_Dumper.add_representer(str, _text)

for _tag, _pattern, _first in (
    ("null", r"(?:~|null|Null|NULL|)\Z", ["~", "n", "N", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", list("tTfF")),
    ("int", r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z", list("-+.0123456789")),
    ("float", r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z", list("-+.")),
):
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def dump(values: Mapping[str, Any], *, flow: bool = False) -> str:
    """Returns plain values as YAML text, sections as blocks or, with ``flow``, in braces; keys keep their order."""
    text: str = yaml.dump(
        values, Dumper=_Dumper, default_flow_style=flow, sort_keys=False, allow_unicode=True, width=2**31
    )
    return text


def _compose(text: str) -> yaml.Node | None:
    """Returns the root node of a YAML document, or None if it is empty.

    Raises:
        ValueError: it is not valid YAML; the arguments are the reason and the line, counted from 1 or None.
    """
    try:
        return _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        reason = error.problem or ""
        if reason.startswith("but ") or not reason:
            reason = f"{error.context}, {reason}"
        elif "'\\t'" in reason:
            reason = "a tab instead of spaces"
        elif reason == "mapping values are not allowed here":
            reason = "a colon is not allowed here; put text with a colon in quotes"
        mark = error.problem_mark or error.context_mark
        raise ValueError(reason, mark.line + 1 if mark else None) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ValueError(f"the character U+{ord(text[error.position]):04X} is not allowed in YAML", line) from error
    except (ValueError, OverflowError) as error:  # from chr() in PyYAML's scanner
        raise ValueError("an escape in double quotes is not a valid character", None) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply", None) from error


def _scalar(node: yaml.ScalarNode) -> Any:
    """Returns the value of a scalar; raises ``ValueError`` with a reason."""
    text = node.value
    match node.tag.removeprefix("tag:yaml.org,2002:"):
        case "str":
            return text
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            if len(text) > 300:  # Python reads at most 4300 digits, and a float holds 308
                raise ValueError("the number is too large")
            return int(text, 0 if text[:2] in ("0o", "0x") else 10)
        case "float":
            return float(re.sub(r"\.(inf|nan)", r"\1", text.lower()))
        case tag:
            raise ValueError(f"the tag {tag} cannot be used")


# ---- trees -----------------------------------------------------------------------------------------------------


def from_python(value: Any, origin: Origin) -> Node:
    """Returns the tree of plain values, all of one origin."""
    if isinstance(value, Mapping):
        return Node({str(key): from_python(inner, origin) for key, inner in value.items()}, origin)
    return Node(value, origin)


def from_text(text: str, origin: Origin, path: KeyPath, problems: list[Problem]) -> Node | None:
    """Returns the tree of a YAML value, all of one origin; None if it is empty, the text itself if it is not YAML.

    What is wrong with it is added to ``problems``, under its key ``path``.
    """
    try:
        document = _compose(text)
    except ValueError as error:
        problems.append(Problem(origin, path, f"the value is not valid YAML: {shown(error.args[0])}"))
        return Node(text, origin)
    if document is None:
        problems.append(Problem(origin, path, "the value is missing; null clears the key"))
        return None
    return _from_yaml(document, origin, path, lambda _: origin, problems)


def from_file(path: Path, label: str, layer: int, problems: list[Problem]) -> Node:
    """Returns the tree of a YAML file, called ``label`` in messages; its faults in single keys go to ``problems``.

    Raises:
        GancliError: it cannot be read, is not YAML, or holds something other than keys.
    """
    label = shown(label, len(label))
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except FileNotFoundError as error:
        near = nearest(path.name, [other.name for other in path.parent.glob("*.y*ml")])
        raise GancliError(f"there is no configuration file {label}", near) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise GancliError(f"{label} cannot be read: {reason[:1].lower()}{reason[1:]}") from error
    example = "a configuration is YAML text that begins like `architecture: dcgan`"
    if len(content) > LARGEST_FILE:
        raise GancliError(f"{label} is not a configuration: it is larger than {LARGEST_FILE // 1024} KiB", example)
    try:
        document = _compose(to_text(content, label, example))
    except ValueError as error:
        reason, line = error.args
        where = f"{label}:{line}" if line else label
        raise GancliError(f"{where}: not valid YAML: {shown(reason)}") from error
    if document is None or document.tag == "tag:yaml.org,2002:null":
        raise GancliError(f"{label} is empty", example)
    if not isinstance(document, yaml.MappingNode):
        kind = "a list" if isinstance(document, yaml.SequenceNode) else "a single value"
        raise GancliError(f"{label} is not a configuration: it holds {kind} instead of keys", example)

    def at(line: int) -> Origin:
        return Origin(f"{label}:{line}", (layer, line))

    return _from_yaml(document, Origin(label, (layer, 0)), (), at, problems)


def _from_yaml(
    node: yaml.Node, origin: Origin, path: KeyPath, at: Callable[[int], Origin], problems: list[Problem]
) -> Node:
    """Returns the tree of the YAML after a key at ``origin``; ``at`` returns the origin of a line."""
    if isinstance(node, yaml.MappingNode):
        children: dict[str, Node] = {}
        for key_node, value_node in node.value:
            key, here = key_node.value, at(key_node.start_mark.line + 1)
            if not isinstance(key, str) or not key.isprintable():
                problems.append(Problem(here, path, "a key must be one word"))
            elif key in children:
                first = children[key].origin
                text = "given twice" if first == here else f"given twice, here and in line {first.order[1]}"
                problems.append(Problem(here, (*path, key), text))
            else:
                children[key] = _from_yaml(value_node, here, (*path, key), at, problems)
        return Node(children, origin)
    if isinstance(node, yaml.SequenceNode):
        return Node([_from_yaml(entry, origin, path, at, problems).plain() for entry in node.value], origin)
    assert isinstance(node, yaml.ScalarNode)
    try:
        return Node(_scalar(node), origin, blank=node.value == "" and node.style is None)
    except ValueError as error:
        problems.append(Problem(origin, path, str(error)))
        return Node(node.value, origin)
