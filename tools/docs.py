"""Generates parts of the documentation from the code: ``python tools/docs.py``; ``--check`` only reports stale pages.

README.md and docs/*.md mark these parts with ``<!-- generated: NAME -->`` and ``<!-- end -->``, each on its own line.
``PARTS`` has the names. The rest of the pages is written by hand.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib.util
import inspect
import io
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gancli import registry
from gancli.domains import Inputs

WIDTH = 100
MARKED = re.compile(r"^<!-- generated: (.*?) -->\n(.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"^<!-- (generated:.*|end) -->$", re.MULTILINE)


# ---- commands ----------------------------------------------------------------------------------------------


def commands() -> str:
    """The help page of ``gancli`` and of every command."""
    from typer.main import get_command

    from gancli.cli import app

    names = get_command(app.app).commands  # type: ignore[attr-defined]
    pages = [("gancli", _help_page())] + [(f"gancli {name}", _help_page(name)) for name in names]
    return "\n".join(f"## {title}\n\n```text\n{page}```\n" for title, page in pages)


def _help_page(*words: str) -> str:
    from gancli.cli import app

    page = io.StringIO()
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(WIDTH)
    try:
        with contextlib.redirect_stdout(page):
            code = app.run([*words, "--help"])
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before
    if code != 0:
        sys.exit(f"gancli {' '.join(words)} --help exits with {code}")
    return "".join(f"{line.rstrip()}\n" for line in page.getvalue().splitlines())


# ---- configuration -----------------------------------------------------------------------------------------


def configuration() -> str:
    """Tables of keys: the file itself, ``data``, ``train``, each architecture's ``model``, and the optimizers."""
    from gancli.keys import sections
    from gancli.schema import DataConfig, Optimizers, Ramp, RunConfig, TrainConfig

    whole = {name: field for name, field in RunConfig.model_fields.items() if name not in ("model", "data", "train")}
    tables = [("The file itself", [_row(name, field, field.default) for name, field in whole.items()])]
    tables += [("data", list(_rows(DataConfig, "data."))), ("train", list(_rows(TrainConfig, "train.")))]
    for name in _built_in():
        tables.append((f"model, for {name}", list(_rows(registry.load_architecture(name).Config, "model."))))
    for kind, section in sections(Optimizers.model_fields["D"]).items():
        tables.append((f"model.optimizers, for {kind}", list(_rows(section, "model.optimizers.*."))))
    tables.append(("A ramp", list(_rows(Ramp[float], ""))))
    header = ("key", "type", "range", "default", "meaning")
    return "\n".join(f"## {title}\n\n{_table(header, rows)}" for title, rows in tables)


def _rows(section: type[BaseModel], prefix: str) -> Iterator[Sequence[str]]:
    """Yields a row per key of a section; the keys of a nested section follow it."""
    from gancli.keys import forms, item, keys, sections
    from gancli.schema import Ramp

    told: list[tuple[str, ...]] = []
    for key in keys(section):
        if any(key.path[: len(path)] == path for path in told):
            continue  # each kind of section has its own table
        name = f"{prefix}{'.'.join(key.path)}"
        annotation = key.field.annotation
        if len(sections(key.field)) > 1:
            told.append(key.path)
            kinds = _either(f"`{kind}`" for kind in sections(key.field))
            yield f"`{name}`", kinds, "", _changed(key.default), "an optimizer, see below"
        elif any(issubclass(section, Ramp) for section in sections(key.field).values()):
            told.append(key.path)
            yield _row(name, key.field, key.default)
        elif sections(key.field):
            kind = "a section per name" if item(annotation) else "section"
            kind += " or null" if NoneType in forms(annotation) else ""
            yield f"`{name}`", kind, "", "" if isinstance(key.default, BaseModel) else _value(key.default), key.meaning
        else:
            yield _row(name, key.field, key.default)


def _changed(section: BaseModel) -> str:
    """Returns a section of one of several kinds as YAML, without the defaults of its kind."""
    usual = type(section)().model_dump()
    values = {key: value for key, value in section.model_dump().items() if key == "kind" or value != usual[key]}
    return f"`{{{', '.join(f'{key}: {_plain(value)}' for key, value in values.items())}}}`"


def _row(key: str, field: FieldInfo, default: Any) -> Sequence[str]:
    shown = "required" if default is PydanticUndefined else _value(default)
    return f"`{key}`", _type(field.annotation), _range(field.annotation, field.metadata), shown, field.description or ""


def _type(annotation: Any) -> str:
    from gancli.schema import Ramp

    plain = {int: "whole number", float: "number", bool: "true or false", str: "text"}
    if annotation in plain:
        return plain[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return _either(f"`{_plain(value)}`" for value in arguments)
    if origin in (Union, UnionType):
        return _either("null" if argument is NoneType else _type(argument) for argument in arguments)
    if origin is dict:  # a mapping with numbers as keys is by resolution
        return f"{_type(arguments[1])} by resolution"
    if origin is tuple:
        kinds = {_type(argument) for argument in arguments if argument is not Ellipsis}
        if len(kinds) == 1:
            return f"list of {'' if Ellipsis in arguments else f'{len(arguments)} '}{kinds.pop()}s"
        return f"list of {', '.join(map(_type, arguments))}"
    if issubclass(annotation, Ramp):
        return "ramp"
    raise TypeError(f"tools/docs.py has no words for {annotation}")


def _either(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def _range(annotation: Any, metadata: Iterable[Any]) -> str:
    """Returns the bounds of a number, or of every number in a list or by resolution."""
    arguments = get_args(annotation)
    if get_origin(annotation) in (Union, UnionType) and get_origin(arguments[0]) is Annotated:
        while get_origin(arguments[0]) is Annotated:
            inner, *constraints = get_args(arguments[0])
            arguments = (inner,)
            metadata = [*metadata, *constraints]
    if get_origin(annotation) is tuple and arguments and get_origin(arguments[0]) is Annotated:
        inner, *constraints = get_args(arguments[0])
        return _range(inner, constraints)
    # A constraint may hold others, as Field() in Annotated does.
    flat = [item for constraint in metadata for item in (constraint, *getattr(constraint, "metadata", ()))]
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    bounds = [
        f"{sign} {_bound(getattr(constraint, name))}"
        for name, sign in signs.items()
        for constraint in flat
        if getattr(constraint, name, None) is not None
    ]
    return ", ".join(bounds)


def _bound(value: float) -> str:
    if isinstance(value, int) and value > 2**12 and value & (value - 1) == 0:
        return f"2^{value.bit_length() - 1}"
    return _plain(float(value) if value >= 10**5 else value)


def _value(value: Any) -> str:
    return f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    """Returns a value as YAML, with small numbers such as 1e-8."""
    if isinstance(value, float):
        return re.sub(r"e([-+])0*", lambda match: f"e{match[1].strip('+')}", f"{value:g}")
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_plain, value))}]"
    if isinstance(value, BaseModel):
        return f"{{{', '.join(f'{key}: {_plain(item)}' for key, item in value)}}}"
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n").removesuffix("\n...")


# ---- architectures and presets -----------------------------------------------------------------------------


def architectures() -> str:
    """A table of the architectures that come with gancli."""
    import torch

    from gancli.training.update import network_names

    rows = []
    for name in _built_in():
        architecture = registry.load_architecture(name)
        config = architecture.Config()
        inputs = architecture.inputs(config)
        if inputs.labels != "none" and inputs.classes is None:  # the data say how many
            config = architecture.Config(classes=10)
        with torch.device("meta"):  # shapes without memory
            model = architecture(config)
        networks = {
            network: sum(parameter.numel() for parameter in model.get_submodule(network).parameters())
            for network in network_names(model)
        }
        paper = re.sub(r"arXiv (\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", architecture.title)
        sizes = ", ".join(f"{name} {count / 1e6:.2f} M" for name, count in networks.items())
        rows.append((f"`{name}`", paper, sizes, _data(inputs)))
    return _table(("architecture", "paper", "networks, with their parameters", "trains on"), rows)


def aids() -> str:
    """A table of the aids that fit each architecture, found by building it with them."""
    from gancli.errors import GancliError
    from gancli.nn.init import without_weights
    from gancli.schema import AidsConfig

    def fits(name: str, sets: Mapping[str, Any], aids: AidsConfig) -> bool:
        architecture = registry.load_architecture(name)
        try:
            with without_weights():
                architecture(architecture.Config(**sets), aids)
        except GancliError:
            return False
        return True

    rows = []
    for name in _built_in():
        kind = registry.load_architecture(name)
        sets = {"classes": 10} if kind.inputs(kind.Config()).labels == "class" else {}
        objective = kind.Config.model_fields.get("objective")
        choices = get_args(objective.annotation) if objective is not None else ("",)
        smoothed = [
            choice
            for choice in choices
            if fits(name, {**sets, **({"objective": choice} if choice else {})}, AidsConfig(label_smoothing=0.1))
        ]
        targets = "yes" if smoothed == list(choices) else f"with `{'`, `'.join(smoothed)}`" if smoothed else "no"
        replays = "yes" if fits(name, sets, AidsConfig(replay=0.5)) else f"no: {kind.replays}"
        noise = "yes" if "D" in kind.players else "no"
        older = "yes" if len(kind.players) > 1 else "no"
        rows.append((f"`{name}`", targets, noise, replays, older))
    header = ("architecture", "smoothing and flipping", "instance noise", "replay", "turns, old networks, two rates")
    return _table(header, rows)


def training_steps() -> str:
    """The training step of every architecture, copied from its file, in the order of the papers."""
    kinds = [registry.load_architecture(name) for name in _built_in()]
    kinds.sort(key=lambda kind: re.search(r"arXiv (\d{4}\.\d+)", kind.title).group(1))  # type: ignore[union-attr]
    sections = []
    for kind in kinds:
        first, year = re.match(r"(\w+).*? (\d{4}),", kind.title).groups()  # type: ignore[union-attr]
        source = textwrap.dedent(inspect.getsource(kind.training_step))
        sections.append(f"## {kind.__name__} ({first} et al. {year})\n\n```python\n{source}```\n")
    return "\n".join(sections)


def _data(inputs: Inputs) -> str:
    """Returns a model's training data in words."""
    kinds = {domain.kind for domain in inputs.domains.values()}
    things = {"image": "images", "mask": "masks", "points": "points"}
    what = " and ".join(things[kind] for kind in sorted(kinds))
    if len(inputs.domains) > 1:
        what = f"pairs of {what}" if inputs.paired else f"{len(inputs.domains)} sets of {what}"
    return {"none": what, "class": f"{what} with a class each", "attributes": f"{what} with attributes"}[inputs.labels]


def presets() -> str:
    """A table of gancli's own presets, without those of other packages."""
    from gancli import config

    rows = []
    for name, path in registry.preset_paths().items():
        if not path.is_relative_to(Path(registry.__file__).parents[1]):
            continue
        resolved = config.resolve(name)
        inputs = registry.load_architecture(resolved.architecture).inputs(resolved.model)
        shape = next(iter(inputs.domains.values())).shape
        size = f"{shape[-1]} px, {'grey' if shape[0] == 1 else 'RGB'}" if len(shape) > 1 else "points"
        rows.append((f"`{name}`", f"`{resolved.architecture}`", size, resolved.description))
    return _table(("preset", "architecture", "data", "description"), rows)


def metrics() -> str:
    """A table of the metrics of ``gancli evaluate``."""
    from gancli.metrics.catalogue import BUILT_IN, load_metric

    rows = []
    for name in BUILT_IN:
        metric = load_metric(name)
        compared = "pairs" if metric.needs_pairs else "real images" if metric.needs_real else ""
        needs = ["`--classifier`"] if metric.needs_classifier else []
        needs += ["classes"] if metric.by_class else []
        features = f"`{metric.extractor}`" if metric.extractor else ""
        rows.append((f"`{name}`", metric.title, metric.better, compared, features, ", ".join(needs)))
    return _table(("metric", "what it is", "better", "compares with", "features", "also needs"), rows)


def _built_in() -> list[str]:
    """The architectures of gancli itself, without those of other packages."""
    return [
        name
        for name in registry.architecture_names()
        if importlib.util.find_spec(f"gancli.architectures.{name.replace('-', '_')}")
    ]


# ---- files -------------------------------------------------------------------------------------------------


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


PARTS: Mapping[str, Callable[[], str]] = {
    "commands": commands,
    "configuration": configuration,
    "architectures": architectures,
    "aids": aids,
    "training-steps": training_steps,
    "presets": presets,
    "metrics": metrics,
}


def generate(root: Path) -> dict[Path, tuple[str, str]]:
    """Returns the current and the correct text of README.md and of every page of docs/ in ``root``."""
    made: dict[str, str] = {}
    pages = {}
    for path in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
        old = path.read_text(encoding="utf-8")

        def fill(match: re.Match[str], path: Path = path) -> str:
            name = match[1]
            if name not in PARTS:
                sys.exit(f"{path}: nothing generates {name!r}; known are {', '.join(PARTS)}")
            if MARK.search(match[2]):
                sys.exit(f"{path}: <!-- generated: {name} --> has no <!-- end -->")
            made[name] = made.get(name) or PARTS[name]()
            return f"<!-- generated: {name} -->\n\n{made[name]}\n<!-- end -->"

        if MARK.search(MARKED.sub("", old)):
            sys.exit(f"{path}: <!-- generated: NAME --> and <!-- end --> are not in pairs")
        pages[path] = (old, MARKED.sub(fill, old))
    if missing := PARTS.keys() - made.keys():
        sys.exit(f"no page has <!-- generated: {' -->, <!-- generated: '.join(sorted(missing))} -->")
    return pages


def main() -> None:
    parser = argparse.ArgumentParser(description="Generates parts of the documentation from the code.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a page is stale")
    arguments = parser.parse_args()
    root = Path(__file__).parent.parent
    stale = {path: texts for path, texts in generate(root).items() if texts[0] != texts[1]}
    for path, (old, new) in stale.items():
        name = path.relative_to(root)
        if arguments.check:
            before, after = (text.splitlines(keepends=True) for text in (old, new))
            sys.stdout.writelines(difflib.unified_diff(before, after, f"{name} as it is", f"{name} from the code"))
        else:
            path.write_text(new, encoding="utf-8")
            print(name)
    if arguments.check and stale:
        sys.exit(f"stale; run `python tools/docs.py` (help pages are laid out by typer {version('typer')})")


if __name__ == "__main__":
    main()
