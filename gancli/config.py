"""From presets, YAML files, ``--set`` and flags to a validated ``RunConfig``, all problems at once.

Importable without torch. Each layer is a tree whose nodes remember where they were written. The trees are
merged key by key, the later layer wins, and pydantic judges the result. A problem is reported at the place
that won.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gancli import registry
from gancli.errors import GancliError, nearest
from gancli.schema import LENGTHS, ModelConfig, RunConfig, one_length

KeyPath = tuple[str, ...]
Flags = Mapping[str, tuple[Any, str]]
"""Dotted key -> (value, the flag as the user typed it); a flag whose value is None was not given."""

LARGEST_FILE = 256 * 1024  # bytes
ANY_KEY = "*"
SECTIONS = ("model", "data", "train")

PRESET, FILE, SET, FLAG = range(4)  # order of the layers

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class _Origin:
    """Where a value was written: as shown, its place among the layers, and the key that the label names."""

    label: str
    order: tuple[int, int] = (0, 0)
    names: KeyPath = ()


@dataclass(frozen=True)
class _Node:
    """A scalar, a list, or a dict of nodes.

    ``blank``: nothing is written after the key. ``implied``: a section that nobody wrote, only keys in it.
    """

    value: Any
    origin: _Origin
    blank: bool = False
    implied: bool = False

    def plain(self) -> Any:
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        return self.value


_NOTHING = _Node({}, _Origin(""), implied=True)


class _Problem(NamedTuple):
    origin: _Origin
    path: tuple[str | int, ...]
    text: str
    hint: str = ""
    about_keys: bool = False

    def line(self) -> str:
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path).lstrip(".")
        parts = [self.origin.label, "" if self.path == self.origin.names else _shown(key), self.text]
        return _printable(": ".join(part for part in parts if part))


class _YAMLError(Exception):
    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


def resolve(
    preset: str | None,
    *,
    config_file: Path | None = None,
    sets: Sequence[str] = (),
    flags: Flags | None = None,
) -> RunConfig:
    """Merges defaults < ``preset`` < ``config_file`` < ``sets`` < ``flags`` and validates the result.

    A value of null takes back what earlier layers say: the key is None where it can be, else at its default.
    Whichever of train.steps, epochs and kimg is set takes back the others of earlier layers. Where a layer sets
    model.resolution and not data.load_size, the load_size of earlier layers keeps its proportion to it.

    Args:
        preset: name of a preset; None where ``config_file`` names the architecture.
        config_file: YAML file with any part of a configuration.
        sets: ``key.of.section=value`` as in --set; the value is YAML.
        flags: dotted key -> (value, the flag as the user typed it); None as the value means not given.

    Raises:
        GancliError: one line per problem, naming the file and line, the --set or the flag, and the key.
    """
    problems: list[_Problem] = []
    root = _NOTHING
    if preset is not None:
        path = registry.preset_path(preset)
        root = _overlay(root, [_read_file(path, f"{path.parent.name}/{path.name}", PRESET, problems)], problems)
    if config_file is not None:
        root = _overlay(root, [_read_file(config_file, str(config_file), FILE, problems)], problems)
    if preset is None and config_file is None:
        raise GancliError("neither a preset nor a configuration is given", "type `gancli presets` to list the presets")
    root = _overlay(root, _read_command_line(sets, flags or {}, problems), problems)
    if preset is not None:
        root = _merge(root, _nested(("preset",), _Node(preset, _Origin(""))))

    config = _validate_run(root, problems)
    if config is None or problems:
        raise _error(problems, (preset, root.plain().get("architecture")))
    return config


def load(path: Path, *, sets: Sequence[str] = (), flags: Flags | None = None) -> RunConfig:
    """Reads the ``config.yaml`` of a run directory, with changes from the command line as in ``resolve``.

    Raises:
        GancliError: as ``resolve`` does.
    """
    return resolve(None, config_file=path, sets=sets, flags=flags)


def to_yaml(config: RunConfig) -> str:
    """Returns the whole configuration as YAML; ``resolve`` makes an equal one of a file with this text."""
    return yaml.dump(_with_numbers(config.to_dict()), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**31)


def _with_numbers(value: Any) -> Any:
    """Returns the value with keys that are numbers, such as resolutions, as numbers: JSON has them as text."""
    if not isinstance(value, dict):
        return value
    return {int(key) if key.isdecimal() else key: _with_numbers(item) for key, item in value.items()}


def validate_model(architecture: str, values: Mapping[str, Any]) -> ModelConfig:
    """Validates the ``model`` section of an architecture, for importers and model files.

    Raises:
        GancliError: one line per problem, or there is no such architecture.
    """
    section = registry.load_architecture(architecture).Config
    problems: list[_Problem] = []
    node = _from_python(values, _Origin(""))
    model = _validate(section.model_validate, node, ("model",), _model_keys(section), problems)
    if model is None or problems:
        raise _error(problems, (architecture,))
    return model


# ---- YAML --------------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """Composes nodes by the core schema of YAML 1.2: 2e-4 is a number, yes and 1:30 are text."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  PyYAML's own attribute: without the rules of YAML 1.1

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            # They could make a short file arbitrarily large, or contain itself.
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(
                problem="an alias (*name) cannot be used, write the value out", problem_mark=mark
            )
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or 1.2 would take for something else; lists stand on one line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _flow_list(dumper: _Dumper, data: list[Any]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)


def _text(dumper: _Dumper, data: str) -> yaml.Node:
    # Outside double quotes PyYAML writes some line breaks (U+0085, U+2028) as they are and reads them as a space.
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=None if data.isprintable() else '"')


_Dumper.add_representer(list, _flow_list)
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


def _compose(text: str) -> yaml.Node | None:
    """Returns the root node of a YAML document, or None if it is empty; raises ``_YAMLError``."""
    try:
        return _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        reason = error.problem or ""
        if reason.startswith("but ") or not reason:
            reason = f"{error.context}, {reason}"
        elif "'\\t'" in reason:
            reason = "a tab stands where spaces are needed"
        elif reason == "mapping values are not allowed here":
            reason = "a colon cannot stand here; put text with a colon in quotes"
        mark = error.problem_mark or error.context_mark
        raise _YAMLError(reason, mark.line + 1 if mark else None) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _YAMLError(f"the character U+{ord(text[error.position]):04X} cannot stand in a text", line) from error
    except (ValueError, OverflowError) as error:  # from chr() in PyYAML's scanner
        raise _YAMLError("an escape in double quotes names no character") from error
    except RecursionError as error:
        raise _YAMLError("it is nested too deeply") from error


def _scalar(node: yaml.ScalarNode) -> Any:
    """Returns what a scalar means; raises ``ValueError`` with a reason."""
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


def _from_yaml(
    node: yaml.Node, origin: _Origin, path: KeyPath, at: Callable[[int], _Origin], problems: list[_Problem]
) -> _Node:
    """Returns the tree of a YAML node.

    Args:
        node: what stands after the key.
        origin: where the key stands.
        path: the key.
        at: the origin of a key that is written in a line, counted from 1.
        problems: receives duplicate keys, keys that are no words, and tags.
    """
    if isinstance(node, yaml.MappingNode):
        children: dict[str, _Node] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or not key_node.value.isprintable():
                problems.append(_Problem(at(line), path, "a key must be one word"))
                continue
            key = key_node.value
            if key in children:
                text = f"given twice, here and in line {lines[key]}" if at(line) != origin else "given twice"
                problems.append(_Problem(at(line), (*path, key), text))
                continue
            lines[key] = line
            children[key] = _from_yaml(value_node, at(line), (*path, key), at, problems)
        return _Node(children, origin)
    if isinstance(node, yaml.SequenceNode):
        items = [_from_yaml(item, origin, path, at, problems).plain() for item in node.value]
        return _Node(items, origin)
    assert isinstance(node, yaml.ScalarNode)
    try:
        return _Node(_scalar(node), origin, blank=node.value == "" and node.style is None)
    except ValueError as error:
        problems.append(_Problem(origin, path, str(error)))
        return _Node(node.value, origin)


def _from_python(value: Any, origin: _Origin) -> _Node:
    if isinstance(value, Mapping):
        return _Node({str(key): _from_python(item, origin) for key, item in value.items()}, origin)
    return _Node(value, origin)


# ---- layers ------------------------------------------------------------------------------------------------


def _read_file(path: Path, label: str, layer: int, problems: list[_Problem]) -> _Node:
    """Returns the tree of a YAML file; raises ``GancliError`` where there is nothing to go on with."""
    label = _shown(label)
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except FileNotFoundError as error:
        raise GancliError(
            f"there is no configuration file {label}", nearest(path.name, _yaml_files_beside(path))
        ) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise GancliError(f"{label} cannot be read: {reason[:1].lower()}{reason[1:]}") from error
    example = "a configuration is YAML text that begins like `architecture: dcgan`"
    if len(content) > LARGEST_FILE:
        raise GancliError(f"{label} is no configuration: it is larger than {LARGEST_FILE // 1024} KiB", example)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise GancliError(f"{label} is no configuration: it is not UTF-8 text", example) from error
    try:
        document = _compose(text)
    except _YAMLError as error:
        where = f"{label}:{error.line}" if error.line else label
        raise GancliError(f"{where}: no valid YAML: {_shown(error.reason)}") from error
    if document is None or document.tag == "tag:yaml.org,2002:null":
        raise GancliError(f"{label} is empty", example)
    if not isinstance(document, yaml.MappingNode):
        kind = "a list" if isinstance(document, yaml.SequenceNode) else "a single value"
        raise GancliError(f"{label} is no configuration: it holds {kind} instead of keys", example)
    return _from_yaml(
        document,
        _Origin(label, (layer, 0)),
        (),
        lambda line: _Origin(f"{label}:{line}", (layer, line)),
        problems,
    )


def _yaml_files_beside(path: Path) -> list[str]:
    try:
        return [other.name for other in path.parent.iterdir() if other.suffix in (".yaml", ".yml")]
    except OSError:
        return []


def _read_command_line(sets: Sequence[str], flags: Flags, problems: list[_Problem]) -> list[_Node]:
    """Returns a tree for each --set and each flag, in the order in which they are merged."""
    trees = [tree for index, text in enumerate(sets) if (tree := _read_set(index, text, problems)) is not None]
    earlier = reduce(_merge, trees, _NOTHING)
    for index, (dotted, (value, flag)) in enumerate(flags.items()):
        if value is None:
            continue
        path = tuple(dotted.split("."))
        shown = f"{value:g}" if isinstance(value, float) else _shown(str(value))
        origin = _Origin(flag if isinstance(value, bool) else f"{flag} {shown}", (FLAG, index), path)
        set_to, depth = _deepest(earlier, path)
        if depth == len(path) and set_to.plain() != value:
            problems.append(_Problem(origin, path, f"contradicts {set_to.origin.label}"))
        trees.append(_nested(path, _from_python(value, origin)))
    return trees


def _read_set(index: int, text: str, problems: list[_Problem]) -> _Node | None:
    dotted, equals, value = text.partition("=")
    path = tuple(part.strip() for part in dotted.split("."))
    origin = _Origin(f"--set {_shown(text)}", (SET, index), path)
    if not equals or not all(path) or not dotted.isprintable():
        problems.append(_Problem(origin, path, "must be KEY=VALUE, for instance train.batch=32"))
        return None
    if path in (("preset",), ("architecture",)):
        problems.append(_Problem(origin, path, "cannot be changed with --set"))
        return None
    try:
        document = _compose(value)
    except _YAMLError as error:
        problems.append(_Problem(origin, path, f"the value is no valid YAML: {_shown(error.reason)}"))
        return _nested(path, _Node(value, origin))
    if document is None:
        problems.append(_Problem(origin, path, "the value is missing; null clears the key"))
        return None
    return _nested(path, _from_yaml(document, origin, path, lambda _: origin, problems))


def _nested(path: KeyPath, node: _Node) -> _Node:
    for key in reversed(path):
        node = _Node({key: node}, node.origin, implied=True)
    return node


def _merge(below: _Node, above: _Node) -> _Node:
    if not isinstance(below.value, dict):
        return above
    if above.blank:  # `train:` with every key below it commented out
        return below
    if not isinstance(above.value, dict):
        return above
    if not above.implied and all(str(key).isdecimal() for key in (*below.value, *above.value)):
        return above  # a table by resolution is one schedule, as a list is one value
    children = dict(below.value)
    for key, node in above.value.items():
        children[key] = _merge(children[key], node) if key in children else node
    return replace(below if above.implied else above, value=children)


def _overlay(below: _Node, trees: Sequence[_Node], problems: list[_Problem]) -> _Node:
    """Merges a layer onto those before it, by the rules for the architecture and for the length of a run."""
    layer = reduce(_merge, trees, _NOTHING)
    old, new = below.value.get("architecture"), layer.value.get("architecture")
    if old is not None and new is not None and old.value != new.value:
        hint = "leave out the preset, or the file's `architecture`, `model` and `preset`"
        text = f"is {_shown(str(new.value))}, but {old.origin.label} says {_shown(str(old.value))}"
        problems.append(_Problem(new.origin, ("architecture",), text, hint))

    given = [key for key in LENGTHS if (node := _deepest(layer, ("train", key)))[1] == 2 and node[0].value is not None]
    if len(given) > 1:
        last = max((layer.value["train"].value[key].origin for key in given), key=lambda origin: origin.order)
        problems.append(_Problem(last, ("train",), one_length(given)))
    earlier = below.value.get("train")
    if given and earlier is not None and isinstance(earlier.value, dict):
        rest = {key: node for key, node in earlier.value.items() if key not in LENGTHS}
        below = replace(below, value={**below.value, "train": replace(earlier, value=rest)})
    return reduce(_merge, [_scaled_load_size(below, layer), *trees], below)


def _scaled_load_size(below: _Node, layer: _Node) -> _Node:
    """Returns the earlier ``data.load_size`` in proportion to the resolution that a layer sets without setting it."""
    old, new = _deepest(below, ("model", "resolution")), _deepest(layer, ("model", "resolution"))
    load = _deepest(below, ("data", "load_size"))
    numbers = (old[0].value, new[0].value, load[0].value)
    written = old[1] == new[1] == load[1] == 2 and all(type(number) is int and number > 0 for number in numbers)
    if not written or _deepest(layer, ("data", "load_size"))[1] == 2:
        return _NOTHING
    return _nested(("data", "load_size"), _Node(round(numbers[2] * numbers[1] / numbers[0]), new[0].origin))


# ---- validation --------------------------------------------------------------------------------------------


def _validate_run(root: _Node, problems: list[_Problem]) -> RunConfig | None:
    root = replace(root, value=dict(root.value))
    for name in SECTIONS:
        node = root.value.get(name, _Node(None, root.origin))
        root.value[name] = _Node({}, node.origin, implied=True) if node.value is None else node
    section = _model_section(root, problems)
    keys = _model_keys(section or ModelConfig) + [path for path in _keys(RunConfig) if path[:1] != ("model",)]

    model: ModelConfig | None = None
    if section is not None:
        model = _validate(section.model_validate, root.value["model"], ("model",), keys, problems)
        _check_players(root, keys, problems)
    stand_in = model or ModelConfig()  # so that the other sections are judged all the same
    rest = _Node({key: node for key, node in root.value.items() if key != "model"}, root.origin)
    return _validate(lambda values: RunConfig.model_validate({**values, "model": stand_in}), rest, (), keys, problems)


def _model_section(root: _Node, problems: list[_Problem]) -> type[ModelConfig] | None:
    """Returns the architecture's ``Config``, or None where it is not clear which architecture is meant."""
    node = root.value.get("architecture")
    if node is None or node.value is None:
        begun = root.value.get("preset")
        preset = begun.value if begun is not None and begun.value in [*registry.preset_paths()] else "dcgan"
        hint = f"type `gancli train {preset} --config {root.origin.label}`, or name the architecture in the file"
        problems.append(_Problem(root.origin, ("architecture",), "is missing", hint))
        root.value["architecture"] = _Node("", root.origin)
        return None
    if not isinstance(node.value, str) or any(problem.path == ("architecture",) for problem in problems):
        return None
    if node.value not in (known := registry.architecture_names()):
        near = nearest(node.value, known) or f"known are {', '.join(known)}"
        text = f"there is no architecture {_shown(node.value)!r}, {near}"
        problems.append(_Problem(node.origin, ("architecture",), text))
        return None
    return registry.load_architecture(node.value).Config


def _check_players(root: _Node, keys: list[KeyPath], problems: list[_Problem]) -> None:
    """Looks for the players of ``train.turns`` among those that the model section has optimizers for."""
    players = [path[2] for path in keys if path[:2] == ("model", "optimizers") and len(path) == 3]
    turns, depth = _deepest(root, ("train", "turns"))
    if not players or depth < 2 or not isinstance(turns.value, dict):
        return
    for name, node in turns.value.items():
        if name not in players:
            near = nearest(name, players) or f"its players are {' and '.join(players)}"
            text = f"the architecture has no such player, {near}"
            problems.append(_Problem(node.origin, ("train", "turns", name), text))


def _validate(
    validate: Callable[[Any], T], node: _Node, prefix: KeyPath, keys: list[KeyPath], problems: list[_Problem]
) -> T | None:
    """Returns the validated section, or None after adding everything that is wrong with it to ``problems``.

    pydantic compares keys with each other only once each is right by itself. So what is wrong is taken out
    and the rest judged again, until nothing new is found. In the same way a null that a key cannot be becomes
    its default.
    """
    values = node.plain()
    broken = {problem.origin for problem in problems}  # what could not be read is not judged a second time
    removed: set[KeyPath] = set()
    reported: set[KeyPath] = set()
    while True:
        try:
            return validate(values)
        except ValidationError as error:
            errors = error.errors(include_url=False)
        for detail in errors:
            detail["loc"] = tuple(part for part in detail["loc"] if not str(part).startswith("#"))
        before = len(removed)
        for detail in errors:
            loc = detail["loc"]
            found, depth = _deepest(node, loc)
            path = tuple(str(part) for part in loc[:depth])
            if detail["type"] == "value_error" and isinstance(found.value, dict):
                wrong = {key[-1] for key in reported if key[:-1] == path}
                between = _between_keys(detail, found, (*prefix, *path), wrong)
                if between is not None and between not in problems:
                    problems.append(between)
                continue
            if detail["type"] == "too_short" and any(key[: len(path)] == path for key in reported):
                removed.add(path)  # it is empty because what was wrong in it has been taken out
                _remove(values, path)
                continue
            if detail["type"] == "missing" and isinstance(loc[-1], str):
                path = tuple(map(str, loc))
                if path not in reported:
                    reported.add(path)
                    problem = _Problem(found.origin, (*prefix, *path), "is missing", about_keys=True)
                    problems.append(problem)
                continue
            if depth < len(loc) or found.value is not None:
                reported.add(path)
                if found.origin not in broken:
                    problems.append(_translate(detail, found, prefix, depth, keys))
            if not path:
                return None  # the section is no section
            if path not in removed:
                removed.add(path)
                _remove(values, path)
        if len(removed) == before:
            return None


def _between_keys(detail: ErrorDetails, found: _Node, path: KeyPath, wrong: set[str]) -> _Problem | None:
    """Returns the problem of keys that do not fit together, at the last one of those that the text names."""
    text = _own_words(detail)
    words = set(re.findall(r"\w+", text))
    if words & wrong:
        return None  # it may be true only of the default that took the place of a wrong value
    origins = [node.origin for key, node in found.value.items() if key in words]
    return _Problem(max(origins, key=lambda origin: origin.order, default=found.origin), path, text)


def _deepest(node: _Node, path: Sequence[str | int]) -> tuple[_Node, int]:
    """Returns the last node on a path that is there, and how many steps of the path lead to it."""
    for depth, part in enumerate(path):
        if not isinstance(node.value, dict) or part not in node.value:
            return node, depth
        node = node.value[part]
    return node, len(path)


def _remove(values: dict[str, Any], path: KeyPath) -> None:
    for key in path[:-1]:
        values = values[key]
    del values[path[-1]]


# ---- keys --------------------------------------------------------------------------------------------------


def _keys(section: type[BaseModel], prefix: KeyPath = ()) -> Iterator[KeyPath]:
    """Yields the path of every key and section; ``ANY_KEY`` stands for the keys of a dict."""
    for name, field in section.model_fields.items():
        path = (*prefix, name)
        yield path
        below, any_key = _section_in(field.annotation)
        if below is not None:
            yield from _keys(below, (*path, ANY_KEY) if any_key else path)


def _model_keys(section: type[ModelConfig]) -> list[KeyPath]:
    return [("model",), *_keys(section, ("model",))]


def _section_in(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """Returns the section in ``Section | None`` or ``dict[str, Section]``, and whether it is the latter."""
    if get_origin(annotation) is None:
        is_section = isinstance(annotation, type) and issubclass(annotation, BaseModel)
        return (annotation if is_section else None), False
    for argument in get_args(annotation):
        below, any_key = _section_in(argument)
        if below is not None:
            return below, any_key or get_origin(annotation) is dict
    return None, False


def _suggestion(path: tuple[str | int, ...], keys: list[KeyPath]) -> str:
    *parent, key = map(str, path)
    if "." in key:
        *sections, last = key.split(".")
        return f"write `{last}:` below `{': '.join(sections)}:`"
    fixed = [known for known in keys if ANY_KEY not in known]
    elsewhere = [repr(".".join(known)) for known in fixed if known[-1] == key]
    if elsewhere:
        return f"did you mean {' or '.join(elsewhere[:3])}?"
    siblings = [
        known[-1]
        for known in keys
        if len(known) == len(path) and all(a in (b, ANY_KEY) for a, b in zip(known, parent, strict=False))
    ]
    if near := nearest(key, siblings):
        return near
    match = re.search(r"'(.*)'", nearest(key, [known[-1] for known in fixed]))
    return f"did you mean {next('.'.join(k) for k in fixed if k[-1] == match[1])!r}?" if match else ""


# ---- words -------------------------------------------------------------------------------------------------

_WORDS = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be a section, with keys of its own",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "the number is too large",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "model_type": "must be a section, with keys of its own",
    "string_type": "must be text",
    "string_unicode": "must be text that is valid Unicode",
    "tuple_type": "must be a list",
}
_BOUNDS = {
    "greater_than": ("must be greater than", "gt"),
    "greater_than_equal": ("must be at least", "ge"),
    "less_than": ("must be less than", "lt"),
    "less_than_equal": ("must be at most", "le"),
}


def _translate(detail: ErrorDetails, found: _Node, prefix: KeyPath, depth: int, keys: list[KeyPath]) -> _Problem:
    """Returns pydantic's complaint in plain words."""
    loc, kind, context, value = detail["loc"], detail["type"], detail.get("ctx", {}), detail["input"]
    # What follows the node is a place in a list, or the branch of a union, which is no place.
    rest = loc[depth:] if depth < len(loc) and isinstance(loc[depth], int) else ()
    path: tuple[str | int, ...] = (*prefix, *map(str, loc[:depth]), *rest)
    if kind == "extra_forbidden":
        if found.origin.order[0] == FLAG:  # the option exists, so it is not misspelt
            return _Problem(found.origin, path, f"this architecture has no {path[-1]}", about_keys=True)
        text = "unknown section" if isinstance(found.value, dict) else "unknown key"
        near = _suggestion(path, keys)
        return _Problem(found.origin, path, f"{text}, {near}" if near else text, about_keys=True)
    if kind == "value_error":
        return _Problem(found.origin, path, _own_words(detail))
    if kind == "missing":  # of a list: pydantic names the first item that is not there
        count = len(found.value)
        return _Problem(found.origin, path[:-1], f"must have more than {count} value{'' if count == 1 else 's'}")

    if kind == "too_short":
        text = f"must have at least {context['min_length']} value{'' if context['min_length'] == 1 else 's'}"
    elif kind == "too_long":
        text = f"must have at most {context['max_length']} values"
    elif kind == "literal_error":
        text = f"must be {context['expected']}"
        near = nearest(value, re.findall(r"'([^']*)'", text)) if isinstance(value, str) else ""
        text = f"{text}, {near}" if near else text
    elif kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        bound = context[key]
        text = f"{words} {int(bound) if bound == int(bound) else bound}"
    else:
        text = _WORDS.get(kind) or detail["msg"].replace("Input should be", "must be")
    if found.origin.order[0] < SET and (value is None or isinstance(value, str | int | float)):
        text = f"{text}, not {_shown(repr(value) if isinstance(value, str) else json.dumps(value))}"
    return _Problem(found.origin, path, text)


def _own_words(detail: ErrorDetails) -> str:
    """Returns the text of a ``ValueError`` from a validator of ours."""
    return str(detail["ctx"]["error"])


def _printable(text: str) -> str:
    """Returns a text on one line that any terminal can show."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _shown(text: str) -> str:
    """Returns the first 80 characters of what a user wrote."""
    return _printable(text if len(text) <= 80 else f"{text[:77]}...")


def _error(problems: list[_Problem], about: tuple[Any, ...]) -> GancliError:
    """Returns the error that lists all problems in the order in which they were written.

    Args:
        problems: at least one.
        about: names of presets or architectures, the best first, for the command that shows the keys.
    """
    problems = sorted(problems, key=lambda problem: problem.origin.order)
    lines = dict.fromkeys(problem.line() for problem in problems)
    hint = next((problem.hint for problem in problems if problem.hint), "")
    if not hint and any(problem.about_keys for problem in problems):
        shown = next((name for name in about if name in [*registry.preset_paths()]), None)
        hint = f"`gancli presets {shown}` prints every key with its value" if shown else ""
    return GancliError("\n".join(lines), hint)
