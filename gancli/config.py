"""From presets, YAML files, ``--set`` and flags to a validated ``RunConfig``, all problems at once.

Importable without torch. Each layer is a tree whose nodes remember where they were written. The trees are merged key by
key (later layers win), and pydantic validates the result. A problem is reported at the place that won. Keys that do not
fit together are reported once each is right by itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gancli import registry
from gancli.errors import GancliError, closest, nearest
from gancli.keys import ANY, Key, KeyPath, keys, sections
from gancli.schema import LENGTHS, ModelConfig, RunConfig
from gancli.yamltree import Node, Origin, Problem, dump, from_file, from_python, from_text, shown

Flags = Mapping[str, tuple[Any, str]]
"""Dotted key -> (value, the flag as the user typed it); a flag whose value is None was not given."""

PRESET, FILE, SET, FLAG = range(4)  # order of the layers

_NOTHING = Node({}, Origin(""), implied=True)


def resolve(
    preset: str | None = None, *, config_file: Path | None = None, sets: Sequence[str] = (), flags: Flags | None = None
) -> RunConfig:
    """Merges defaults < ``preset`` < ``config_file`` < ``sets`` < ``flags`` and validates the result.

    A null resets a key: to None where it can be None, else to its default. Three rules go beyond that (``_implied``):
    whichever of train.steps, epochs and kimg is set resets the others of earlier layers; another optimizer resets the
    keys of the one before it; and if a layer sets model.resolution and not data.load_size, the load_size of earlier
    layers keeps its proportion to it.

    Args:
        preset: name of a preset; not needed if ``config_file`` names the architecture.
        config_file: YAML file with any part of a configuration, such as the ``config.yaml`` of a run directory.
        sets: ``key.of.section=value`` as in --set; the value is YAML.
        flags: values of other options.

    Raises:
        GancliError: one line per problem, naming the file and line, the --set or the flag, and the key.
    """
    problems: list[Problem] = []
    files: list[Node] = []
    if preset is not None:
        path = registry.preset_path(preset)
        files.append(from_file(path, f"{path.parent.name}/{path.name}", PRESET, problems))
    if config_file is not None:
        files.append(from_file(config_file, str(config_file), FILE, problems))
    if not files:
        raise GancliError("no preset given", "give a preset (`gancli presets` lists them) or --config FILE")
    section = _model_section(preset, files, problems)

    root = _NOTHING
    for trees in (*([file] for file in files), _read_command_line(sets, flags or {}, problems)):
        root = reduce(_merge, [*_implied(root, reduce(_merge, trees, _NOTHING), section), *trees], root)
    if preset is not None:
        root = _merge(root, _nested(("preset",), Node(preset, Origin(""))))
    for name in ("model", "train"):  # what an unknown architecture says about its model cannot be judged
        node = root.at(name) or Node(None, root.origin)
        if node.value is None or (name == "model" and section is None):
            root = replace(root, value={**root.value, name: replace(node, value={})})
    if section is not None:
        _check_players(root, section, problems)
    return _validated(root, section, problems)


def to_yaml(config: RunConfig) -> str:
    """Returns the whole configuration as YAML; ``resolve`` makes an equal one of a file with this text."""
    return dump(config.model_dump())


def validate_model(architecture: str, values: Mapping[str, Any]) -> ModelConfig:
    """Validates the ``model`` section of an architecture, for importers and model files.

    Raises:
        GancliError: one line per problem, or there is no such architecture.
    """
    section = registry.load_architecture(architecture).Config
    run = {"architecture": architecture, "model": values, "train": {"steps": 1}}
    return _validated(from_python(run, Origin("")), section, []).model


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
        set_to = earlier.at(*path)
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
    elif path in (("preset",), ("architecture",)):
        problems.append(Problem(origin, path, "cannot be changed with --set"))
    elif (tree := from_text(value, origin, path, problems)) is not None:
        return _nested(path, tree)
    return None


def _nested(path: KeyPath, node: Node) -> Node:
    for key in reversed(path):
        node = Node({key: node}, node.origin, implied=True)
    return node


def _merge(below: Node, above: Node) -> Node:
    if above.blank and isinstance(below.value, dict):  # `train:` with every key below it commented out
        return below
    if not (isinstance(below.value, dict) and isinstance(above.value, dict)):
        return above
    if not above.implied and all(key.isdecimal() for key in (*below.value, *above.value)):
        return above  # a table by resolution is one schedule, as a list is one value
    children = dict(below.value)
    for key, node in above.value.items():
        children[key] = _merge(children[key], node) if key in children else node
    return replace(below if above.implied else above, value=children)


def _implied(below: Node, layer: Node, section: type[ModelConfig] | None) -> list[Node]:
    """Returns what a layer implies for those ``below`` it, as trees to merge before it."""
    trees = []

    lengths = {key: node for key in LENGTHS if (node := layer.at("train", key)) is not None and node.value is not None}
    if lengths:
        origin = next(iter(lengths.values())).origin
        trees += [_nested(("train", key), Node(None, origin)) for key in LENGTHS if key not in lengths]

    for key in keys(section or ModelConfig, prefix=("model",)):
        kind, before = layer.at(*key.path, "kind"), below.at(*key.path, "kind")
        if kind is not None and len(sections(key.field)) > 1:
            usual = getattr(key.default, "kind", None)
            if (kind.value or usual) != ((before.value if before else None) or usual):
                trees.append(_nested(key.path, Node(None, kind.origin)))

    old, new = below.at("model", "resolution"), layer.at("model", "resolution")
    load_size = below.at("data", "load_size")
    if old and new and load_size and layer.at("data", "load_size") is None:
        numbers = (old.value, new.value, load_size.value)
        if all(type(number) is int and number > 0 for number in numbers):
            scaled = round(load_size.value * new.value / old.value)
            trees.append(_nested(("data", "load_size"), Node(scaled, new.origin)))
    return trees


# ---- validation ------------------------------------------------------------------------------------------------


def _model_section(preset: str | None, files: Sequence[Node], problems: list[Problem]) -> type[ModelConfig] | None:
    """Returns the architecture's ``Config``, or None if it is unclear which architecture is meant."""
    path = ("architecture",)
    named = [node for file in files if (node := file.at(*path)) is not None and node.value is not None]
    if not named:
        begun = files[-1].at("preset")
        preset = begun.value if begun is not None and begun.value in [*registry.preset_paths()] else "dcgan"
        hint = f"type `gancli train {preset} --config {files[-1].origin.label}`, or name the architecture in the file"
        problems.append(Problem((files[-1].at(*path) or files[-1]).origin, path, "is missing", hint))
        return None
    wrong = []
    name = named[0].value
    if preset is not None and isinstance(name, str) and preset != name and not preset.startswith(f"{name}-"):
        text = f"is {shown(name)}, but the name of a preset begins with its architecture's"
        wrong.append(Problem(named[0].origin, path, text, "rename the file"))
    for old, new in pairwise(named):
        if old.value != new.value:
            hint = "leave out the preset, or the file's `architecture`, `model` and `preset`"
            text = f"is {shown(str(new.value))}, but {old.origin.label} says {shown(str(old.value))}"
            wrong.append(Problem(new.origin, path, text, hint))
    if not wrong and isinstance(name, str):
        if name in (known := registry.architecture_names()):
            return registry.load_architecture(name).Config
        near = nearest(name, known) or f"known are {', '.join(known)}"
        wrong.append(Problem(named[-1].origin, path, f"there is no architecture {shown(name)!r}, {near}"))
    problems += wrong
    return None


def _check_players(root: Node, section: type[ModelConfig], problems: list[Problem]) -> None:
    """Looks for the players of ``train.turns`` among those that the model section has optimizers for."""
    players = [key.path[1] for key in keys(section) if key.path[0] == "optimizers" and len(key.path) == 2]
    turns = root.at("train", "turns")
    for name, node in turns.value.items() if turns is not None and isinstance(turns.value, dict) else ():
        if players and name not in players:
            near = nearest(name, players) or f"its players are {' and '.join(players)}"
            text = f"the architecture has no such player, {near}"
            problems.append(Problem(node.origin, ("train", "turns", name), text))


def _validated(root: Node, section: type[ModelConfig] | None, problems: Sequence[Problem]) -> RunConfig:
    """Returns the configuration of a tree.

    Raises:
        GancliError: lists ``problems`` and what is wrong with the tree, in the order in which they were written.
    """
    values, found = root.plain(), [*problems]
    try:
        config = RunConfig.model_validate(values, context=section)
        if not problems:
            return config
    except ValidationError as error:
        whole = [key for key in keys(RunConfig, values) if key.path[0] != "model" or len(key.path) == 1]
        known = [*keys(section or ModelConfig, values["model"], ("model",)), *whole]
        reported = {(problem.origin, problem.path) for problem in problems}  # such as what could not be read
        judged = [_problem(detail, root, known) for detail in error.errors(include_url=False)]
        found += [problem for problem in judged if (problem.origin, problem.path) not in reported]
    found.sort(key=lambda problem: problem.origin.order)
    hint = next((problem.hint for problem in found if problem.hint), "")
    about = [name for key in ("preset", "architecture") if (name := values.get(key)) in [*registry.preset_paths()]]
    if not hint and about and any(problem.about_keys for problem in found):
        hint = f"`gancli presets {about[0]}` prints every key with its value and meaning"
    raise GancliError("\n".join(dict.fromkeys(problem.line() for problem in found)), hint)


# ---- words -----------------------------------------------------------------------------------------------------

_WORDS = {
    "bool": "must be true or false",
    "dict": "must be a section, with keys of its own",
    "finite_number": "must be a finite number",
    "float": "must be a number",
    "int": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "the number is too large",
    "list": "must be a list",
    "model": "must be a section, with keys of its own",
    "string": "must be text",
    "string_unicode": "must be text that is valid Unicode",
    "tuple": "must be a list",
}


def in_words(detail: ErrorDetails) -> str:
    """Returns what pydantic says about a value of the wrong type, in plain words."""
    known = _WORDS.get(re.sub("_(type|parsing)$", "", detail["type"]))
    text = detail["msg"].replace("Input should be", "must be")
    return known or text.replace("greater than or equal to", "at least").replace("less than or equal to", "at most")


def _problem(detail: ErrorDetails, root: Node, known: Sequence[Key]) -> Problem:
    """Returns pydantic's complaint in plain words, at the place where the value was written."""
    kind, context, value = detail["type"], detail.get("ctx", {}), detail["input"]
    # A wrong kind of section is pydantic's complaint about the section, ours about its key.
    parts = (*detail["loc"], "kind") if kind == "union_tag_invalid" else detail["loc"]
    found, path = _place(root, parts)
    if kind == "extra_forbidden":
        return _unknown_key(found, path, known)
    if kind == "missing" and isinstance(parts[-1], str):
        path = path if path[-1:] == parts[-1:] else (*path, parts[-1])  # a null is there, but says nothing
        return Problem(found.origin, path, "is missing", about_keys=True)
    if kind == "value_error":
        # Of keys that do not fit together, the one that was written last is wrong.
        text = str(context["error"])
        inside = found.value.items() if isinstance(found.value, dict) else ()
        origins = [inner.origin for key, inner in inside if key in re.findall(r"\w+", text)]
        return Problem(max(origins, key=lambda origin: origin.order, default=found.origin), path, text)

    near = ""
    if kind == "missing":  # of a list: pydantic names the first item that is not there
        text = f"must have more than {len(value)} value{'' if len(value) == 1 else 's'}"
    elif kind == "too_short":
        text = f"must have at least {context['min_length']} value{'' if context['min_length'] == 1 else 's'}"
    elif kind == "too_long":
        text = f"must have at most {context['max_length']} values"
    elif kind in ("literal_error", "union_tag_invalid"):
        value = found.value if kind == "union_tag_invalid" else value
        known_words = context.get("expected") or re.sub(", ([^,]*)$", r" or \1", context["expected_tags"])
        text = f"must be {known_words}"
        if isinstance(value, str) and (word := nearest(value, re.findall(r"'([^']*)'", known_words))):
            near = f", {word}"
    else:
        text = in_words(detail)
    if found.origin.order[0] < SET and (value is None or isinstance(value, str | int | float)):
        text = f"{text}, not {shown(repr(value) if isinstance(value, str) else json.dumps(value))}"
    return Problem(found.origin, path, text + near)


def _place(node: Node, parts: Iterable[str | int]) -> tuple[Node, tuple[str | int, ...]]:
    """Returns the last node on a path of pydantic's, and the path without parts that name a branch of a union."""
    place: list[str | int] = []
    value: Any = node
    for part in parts:
        inside = value.value if isinstance(value, Node) else value
        key = str(part) if isinstance(inside, Mapping) else part
        known = inside if isinstance(inside, Mapping) else range(len(inside)) if isinstance(inside, list) else ()
        if key in known:
            value = inside[key]
            place.append(key)
            node = value if isinstance(value, Node) else node
    return node, tuple(place)


def _unknown_key(found: Node, path: tuple[str | int, ...], known: Sequence[Key]) -> Problem:
    """Returns the problem of a key that is not there, with the nearest one and what it means."""
    parent, name = path[:-1], str(path[-1])
    text = "unknown section" if isinstance(found.value, dict) else "unknown key"
    beside = [
        key
        for key in known
        if len(key.path) == len(path) and all(a in (b, ANY) for a, b in zip(key.path, parent, strict=False))
    ]
    near = _closest_key(name, beside)
    by_kind = any(key.path == parent and len(sections(key.field)) > 1 for key in known)
    if not by_kind:
        whole = [key for key in known if ANY not in key.path]
        near = [key for key in whole if key.path[-1] == name][:3] or near or _closest_key(name, whole)

    if found.origin.order[0] == FLAG:  # the option exists, so it is not misspelt
        text = f"this architecture has no {name}"
    elif "." in name:
        outer, _, last = name.rpartition(".")
        text = f"{text}, write `{last}:` below `{outer.replace('.', ': ')}:`"
    elif near:
        spelt = [key.path[-1] if key in beside else ".".join(key.path) for key in near]
        meaning = f" ({near[0].meaning})" if near[0].meaning else ""
        text = f"{text}, did you mean {' or '.join(map(repr, spelt))}{meaning}?"
    elif by_kind:
        kind = next(key.default for key in beside if key.path[-1] == "kind")
        text = f"unknown for {kind}; known: {', '.join(key.path[-1] for key in beside)}"
    return Problem(found.origin, path, text, about_keys=True)


def _closest_key(name: str, known: Sequence[Key]) -> list[Key]:
    word = closest(name, (key.path[-1] for key in known))
    return [key for key in known if key.path[-1] == word][:1]
