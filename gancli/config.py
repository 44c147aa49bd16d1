"""From presets, YAML files, ``--set`` and flags to a validated ``RunConfig``, all problems at once.

Importable without torch. Each layer is a tree whose nodes remember where they were written. The trees are
merged key by key, the later layer wins, and pydantic judges the result. A problem is reported at the place
that won. Keys that do not fit together are reported once each is right by itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gancli import registry
from gancli.errors import GancliError, closest, nearest
from gancli.keys import ANY, Key, KeyPath, completed, keys, kinds
from gancli.schema import LENGTHS, ModelConfig, RunConfig
from gancli.yamltree import Node, Origin, Problem, YAMLError, dump, from_file, from_python, from_text, shown

Flags = Mapping[str, tuple[Any, str]]
"""Dotted key -> (value, the flag as the user typed it); a flag whose value is None was not given."""

PRESET, FILE, SET, FLAG = range(4)  # order of the layers

T = TypeVar("T", bound=BaseModel)

_NOTHING = Node({}, Origin(""), implied=True)


def resolve(
    preset: str | None,
    *,
    config_file: Path | None = None,
    sets: Sequence[str] = (),
    flags: Flags | None = None,
) -> RunConfig:
    """Merges defaults < ``preset`` < ``config_file`` < ``sets`` < ``flags`` and validates the result.

    A null resets a key: it is None where it can be, else at its default. Three rules go beyond that (``_implied``):
    whichever of train.steps, epochs and kimg is set resets the others of earlier layers; another optimizer resets the
    keys of the one before it; and if a layer sets model.resolution and not data.load_size, the load_size of earlier
    layers keeps its proportion to it.

    Args:
        preset: name of a preset; None where ``config_file`` names the architecture.
        config_file: YAML file with any part of a configuration.
        sets: ``key.of.section=value`` as in --set; the value is YAML.
        flags: dotted key -> (value, the flag as the user typed it); None as the value means not given.

    Raises:
        GancliError: one line per problem, naming the file and line, the --set or the flag, and the key.
    """
    problems: list[Problem] = []
    layers: list[list[Node]] = []
    if preset is not None:
        path = registry.preset_path(preset)
        layers.append([from_file(path, f"{path.parent.name}/{path.name}", PRESET, problems)])
    if config_file is not None:
        layers.append([from_file(config_file, str(config_file), FILE, problems)])
    if not layers:
        raise GancliError("no preset given", "give a preset (`gancli presets` lists them) or --config FILE")
    _check_architectures(preset, layers, problems)
    layers.append(_read_command_line(sets, flags or {}, problems))
    section = _model_section(reduce(_merge, chain(*layers), _NOTHING), problems)

    told_by_kind = [key for key in keys(section or ModelConfig, prefix=("model",)) if kinds(key.field)]
    root = _NOTHING
    for trees in layers:
        root = reduce(_merge, [*_implied(root, reduce(_merge, trees, _NOTHING), told_by_kind), *trees], root)
    if preset is not None:
        root = _merge(root, _nested(("preset",), Node(preset, Origin(""))))
    config = _validate_run(root, section, problems)
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
    return dump(config.to_dict())


def validate_model(architecture: str, values: Mapping[str, Any]) -> ModelConfig:
    """Validates the ``model`` section of an architecture, for importers and model files.

    Raises:
        GancliError: one line per problem, or there is no such architecture.
    """
    section = registry.load_architecture(architecture).Config
    problems: list[Problem] = []
    model = _validate_model(section, from_python(values, Origin("")), problems)
    if model is None or problems:
        raise _error(problems, (architecture,))
    return model


# ---- layers ----------------------------------------------------------------------------------------------------


def _read_command_line(sets: Sequence[str], flags: Flags, problems: list[Problem]) -> list[Node]:
    """Returns a tree for each --set and each flag, in the order in which they are merged."""
    trees = [tree for index, text in enumerate(sets) if (tree := _read_set(index, text, problems)) is not None]
    earlier = reduce(_merge, trees, _NOTHING)
    for index, (dotted, (value, flag)) in enumerate(flags.items()):
        if value is None:
            continue
        path = tuple(dotted.split("."))
        said = f"{value:g}" if isinstance(value, float) else shown(str(value))
        origin = Origin(flag if isinstance(value, bool) else f"{flag} {said}", (FLAG, index), path)
        set_to = earlier.at(path)
        if set_to is not None and set_to.plain() != value:
            problems.append(Problem(origin, path, f"contradicts {set_to.origin.label}"))
        trees.append(_nested(path, from_python(value, origin)))
    return trees


def _read_set(index: int, text: str, problems: list[Problem]) -> Node | None:
    dotted, equals, value = text.partition("=")
    path = tuple(part.strip() for part in dotted.split("."))
    origin = Origin(f"--set {shown(text)}", (SET, index), path)
    if not equals or not all(path) or not dotted.isprintable():
        problems.append(Problem(origin, path, "must be KEY=VALUE, for instance train.batch=32"))
        return None
    if path in (("preset",), ("architecture",)):
        problems.append(Problem(origin, path, "cannot be changed with --set"))
        return None
    try:
        tree = from_text(value, origin, path, problems)
    except YAMLError as error:
        problems.append(Problem(origin, path, f"the value is no valid YAML: {shown(error.reason)}"))
        return _nested(path, Node(value, origin))
    if tree is None:
        problems.append(Problem(origin, path, "the value is missing; null clears the key"))
        return None
    return _nested(path, tree)


def _nested(path: KeyPath, node: Node) -> Node:
    for key in reversed(path):
        node = Node({key: node}, node.origin, implied=True)
    return node


def _merge(below: Node, above: Node) -> Node:
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


def _implied(below: Node, layer: Node, told_by_kind: Sequence[Key]) -> list[Node]:
    """Returns what a layer implies for the layers before it, as trees to lay over them first.

    Args:
        below: the layers before it.
        layer: the layer.
        told_by_kind: sections that are one of several, by their key ``kind``.
    """
    trees = []

    lengths = {
        key: node for key in LENGTHS if (node := layer.at(("train", key))) is not None and node.value is not None
    }
    if lengths:
        origin = next(iter(lengths.values())).origin
        trees += [_nested(("train", key), Node(None, origin)) for key in LENGTHS if key not in lengths]

    for key in told_by_kind:
        usual = Node(getattr(key.default, "kind", None), Origin(""))
        kind, before = layer.at((*key.path, "kind")), below.at((*key.path, "kind")) or usual
        if kind is not None and (kind.value or usual.value) != (before.value or usual.value):
            trees.append(_nested(key.path, Node(None, kind.origin)))

    old, new = below.at(("model", "resolution")), layer.at(("model", "resolution"))
    load_size = below.at(("data", "load_size"))
    if old and new and load_size and layer.at(("data", "load_size")) is None:
        numbers = (old.value, new.value, load_size.value)
        if all(type(number) is int and number > 0 for number in numbers):
            scaled = round(load_size.value * new.value / old.value)
            trees.append(_nested(("data", "load_size"), Node(scaled, new.origin)))
    return trees


# ---- validation ------------------------------------------------------------------------------------------------


def _check_architectures(preset: str | None, layers: Sequence[Sequence[Node]], problems: list[Problem]) -> None:
    """Compares the architectures that the preset's name, the preset and the file say."""
    found = [tree.at(("architecture",)) for trees in layers for tree in trees]
    named = [node for node in found if node is not None and node.value is not None]
    if preset is not None and named:
        name = named[0].value
        if isinstance(name, str) and preset != name and not preset.startswith(f"{name}-"):
            text = f"is {shown(name)}, but the name of a preset begins with its architecture's"
            problems.append(Problem(named[0].origin, ("architecture",), text, "rename the file"))
    for old, new in pairwise(named):
        if old.value != new.value:
            hint = "leave out the preset, or the file's `architecture`, `model` and `preset`"
            text = f"is {shown(str(new.value))}, but {old.origin.label} says {shown(str(old.value))}"
            problems.append(Problem(new.origin, ("architecture",), text, hint))


def _model_section(root: Node, problems: list[Problem]) -> type[ModelConfig] | None:
    """Returns the architecture's ``Config``, or None where it is not clear which architecture is meant."""
    node = root.value.get("architecture")
    if node is None or node.value is None:
        begun = root.value.get("preset")
        preset = begun.value if begun is not None and begun.value in [*registry.preset_paths()] else "dcgan"
        hint = f"type `gancli train {preset} --config {root.origin.label}`, or name the architecture in the file"
        problems.append(Problem(root.origin, ("architecture",), "is missing", hint))
        return None
    if not isinstance(node.value, str) or any(problem.path == ("architecture",) for problem in problems):
        return None
    if node.value not in (known := registry.architecture_names()):
        near = nearest(node.value, known) or f"known are {', '.join(known)}"
        text = f"there is no architecture {shown(node.value)!r}, {near}"
        problems.append(Problem(node.origin, ("architecture",), text))
        return None
    return registry.load_architecture(node.value).Config


def _validate_run(root: Node, section: type[ModelConfig] | None, problems: list[Problem]) -> RunConfig | None:
    model: ModelConfig | None = None
    if section is not None:
        model = _validate_model(section, root.value.get("model", Node(None, root.origin)), problems)
        _check_players(root, section, problems)

    def validate(values: dict[str, Any]) -> RunConfig:
        stand_in = model or ModelConfig()  # so that the other sections are judged all the same
        named = values.get("architecture") or ""  # one that is missing has been reported
        return RunConfig.model_validate(completed(RunConfig, {**values, "architecture": named, "model": stand_in}))

    train = root.value.get("train", Node(None, root.origin))
    train = replace(train, value={}) if train.value is None else train
    rest = replace(root, value={**{key: node for key, node in root.value.items() if key != "model"}, "train": train})
    return _validate(validate, rest, (), _all_keys(section, root.plain()), problems)


def _validate_model(section: type[ModelConfig], node: Node, problems: list[Problem]) -> ModelConfig | None:
    def validate(values: Any) -> ModelConfig:
        return section.model_validate(completed(section, {} if values is None else values))

    return _validate(validate, node, ("model",), _all_keys(section, {"model": node.plain()}), problems)


def _validate(
    validate: Callable[[Any], T], node: Node, prefix: KeyPath, known: Sequence[Key], problems: list[Problem]
) -> T | None:
    """Returns the validated section, or None after adding everything that is wrong with it to ``problems``."""
    reported = {(problem.origin, problem.path) for problem in problems}  # such as what could not be read
    try:
        return validate(node.plain())
    except ValidationError as error:
        found = [_problem(detail, node, prefix, known) for detail in error.errors(include_url=False)]
    problems += [problem for problem in found if (problem.origin, problem.path) not in reported]
    return None


def _check_players(root: Node, section: type[ModelConfig], problems: list[Problem]) -> None:
    """Looks for the players of ``train.turns`` among those that the model section has optimizers for."""
    players = [key.path[1] for key in keys(section) if key.path[0] == "optimizers" and len(key.path) == 2]
    turns = root.at(("train", "turns"))
    if not players or turns is None or not isinstance(turns.value, dict):
        return
    for name, node in turns.value.items():
        if name not in players:
            near = nearest(name, players) or f"its players are {' and '.join(players)}"
            text = f"the architecture has no such player, {near}"
            problems.append(Problem(node.origin, ("train", "turns", name), text))


def _all_keys(section: type[ModelConfig] | None, values: Mapping[str, Any]) -> list[Key]:
    """Returns every key of a run's configuration, with those of an architecture."""
    whole = [key for key in keys(RunConfig, values) if key.path[0] != "model" or len(key.path) == 1]
    return [*keys(section or ModelConfig, values.get("model"), ("model",)), *whole]


# ---- words -----------------------------------------------------------------------------------------------------

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
    "greater_than": "must be greater than",
    "greater_than_equal": "must be at least",
    "less_than": "must be less than",
    "less_than_equal": "must be at most",
}


def in_words(detail: ErrorDetails) -> str:
    """Returns what pydantic says about a value of the wrong type, in plain words."""
    return _WORDS.get(detail["type"]) or detail["msg"].replace("Input should be", "must be")


def _problem(detail: ErrorDetails, node: Node, prefix: KeyPath, known: Sequence[Key]) -> Problem:
    """Returns pydantic's complaint in plain words, at the place where the value was written."""
    kind, context, value = detail["type"], detail.get("ctx", {}), detail["input"]
    # A wrong kind of section is pydantic's complaint about the section, ours about its key.
    parts = (*detail["loc"], "kind") if kind == "unknown_kind" else detail["loc"]
    found, place = _place(node, parts)
    path = (*prefix, *place)

    if kind == "missing" and isinstance(parts[-1], str):
        path = path if place[-1:] == parts[-1:] else (*path, parts[-1])  # a null is there, but says nothing
        return Problem(found.origin, path, "is missing", about_keys=True)
    if kind == "missing":  # of a list: pydantic names the first item that is not there
        count = len(found.value)
        return Problem(found.origin, path, f"must have more than {count} value{'' if count == 1 else 's'}")
    if kind == "extra_forbidden":
        return _unknown_key(found, path, known)
    if kind == "value_error":
        # Of keys that do not fit together, the one that was written last is wrong.
        text = str(context["error"])
        inside = found.value.items() if isinstance(found.value, dict) else ()
        origins = [inner.origin for key, inner in inside if key in re.findall(r"\w+", text)]
        return Problem(max(origins, key=lambda origin: origin.order, default=found.origin), path, text)

    near = ""
    if kind == "too_short":
        text = f"must have at least {context['min_length']} value{'' if context['min_length'] == 1 else 's'}"
    elif kind == "too_long":
        text = f"must have at most {context['max_length']} values"
    elif kind in ("literal_error", "unknown_kind"):
        value = found.value if kind == "unknown_kind" else value
        text = f"must be {context['expected']}"
        if isinstance(value, str) and (word := nearest(value, re.findall(r"'([^']*)'", context["expected"]))):
            near = f", {word}"
    elif kind in _BOUNDS:
        words, bound = _BOUNDS[kind], next(iter(context.values()))
        text = f"{words} {int(bound) if bound == int(bound) else bound}"
    else:
        text = in_words(detail)
    if found.origin.order[0] < SET and (value is None or isinstance(value, str | int | float)):
        text = f"{text}, not {shown(repr(value) if isinstance(value, str) else json.dumps(value))}"
    return Problem(found.origin, path, text + near)


def _place(node: Node, parts: Iterable[str | int]) -> tuple[Node, tuple[str | int, ...]]:
    """Returns the last node on a path of pydantic's, and the path in our words.

    What is neither a key there nor a place in a list names a branch of a union.
    """
    place: list[str | int] = []
    value: Any = node
    for part in parts:
        inside = value.value if isinstance(value, Node) else value
        if isinstance(inside, Mapping) and str(part) in inside:
            value = inside[str(part)]
            place.append(str(part))
        elif isinstance(inside, list) and isinstance(part, int) and part < len(inside):
            value = inside[part]
            place.append(part)
        if isinstance(value, Node):
            node = value
    return node, tuple(place)


def _unknown_key(found: Node, path: tuple[str | int, ...], known: Sequence[Key]) -> Problem:
    """Returns the problem of a key that is not there, with the nearest one and what it means."""
    if found.origin.order[0] == FLAG:  # the option exists, so it is not misspelt
        return Problem(found.origin, path, f"this architecture has no {path[-1]}", about_keys=True)
    *parent, name = map(str, path)
    text = "unknown section" if isinstance(found.value, dict) else "unknown key"
    beside = [
        key
        for key in known
        if len(key.path) == len(path) and all(a in (b, ANY) for a, b in zip(key.path, parent, strict=False))
    ]
    near = [(key.path[-1], key) for key in beside if key.path[-1] == closest(name, (k.path[-1] for k in beside))]
    if "." in name:
        *outer, last = name.split(".")
        return Problem(found.origin, path, f"{text}, write `{last}:` below `{': '.join(outer)}:`", about_keys=True)
    if any(key.path == tuple(parent) and kinds(key.field) for key in known):
        if not near:
            kind = next(key.field.default for key in beside if key.path[-1] == "kind")
            text = f"unknown for {kind}; known: {', '.join(key.path[-1] for key in beside)}"
    else:
        whole = [(".".join(key.path), key) for key in known if ANY not in key.path]
        likeliest = closest(name, (key.path[-1] for _, key in whole))
        near = (
            [(dotted, key) for dotted, key in whole if key.path[-1] == name][:3]
            or near
            or [(dotted, key) for dotted, key in whole if key.path[-1] == likeliest][:1]
        )
    if near:
        meaning = near[0][1].meaning
        names = " or ".join(repr(spelt) for spelt, _ in near)
        text = f"{text}, did you mean {names}{f' ({meaning})' if meaning else ''}?"
    return Problem(found.origin, path, text, about_keys=True)


def _error(problems: list[Problem], about: tuple[Any, ...]) -> GancliError:
    """Returns the error that lists all problems in the order in which they were written.

    Args:
        problems: at least one.
        about: names of presets or architectures, the best first, for the command that shows the keys.
    """
    problems = sorted(problems, key=lambda problem: problem.origin.order)
    lines = dict.fromkeys(problem.line() for problem in problems)
    hint = next((problem.hint for problem in problems if problem.hint), "")
    if not hint and any(problem.about_keys for problem in problems):
        known = next((name for name in about if name in [*registry.preset_paths()]), None)
        hint = f"`gancli presets {known}` prints every key with its value and meaning" if known else ""
    return GancliError("\n".join(lines), hint)
