"""Who may know whom: the import rules of the design, read from the syntax trees of all modules.

cli -> training, generation, metrics, importers, data -> architectures -> nn
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gancli

ROOT = Path(gancli.__file__).parent
MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
MIDDLE = {"gancli.training", "gancli.generation", "gancli.metrics", "gancli.importers", "gancli.data"}
MAY_NOT_SEE = {
    "gancli.nn": {"gancli.cli", "gancli.modelfile", "gancli.architectures", "torch.optim", *MIDDLE},
    "gancli.architectures": {"gancli.cli", "gancli.modelfile", "torch.optim", *MIDDLE},
    **{package: {"gancli.cli"} for package in MIDDLE},
    # Modules at the top are for everyone, so they may not know those that use them.
    "gancli": {"gancli.cli", *MIDDLE},
}
ENTRIES = {"gancli.__main__", "gancli.testing", "gancli.door"}  # they stand above the layers
FILES = {
    "builtins.open",
    "io",
    "os",
    "pathlib",
    "shutil",
    "tempfile",
    "safetensors",
    "PIL",
    "pickle",
    "torch.load",
    "torch.save",
}


def names_used(tree: ast.AST, module: str, is_package: bool = False) -> Iterator[str]:
    """Yields the dotted name of whatever a module imports, reaches through an imported module, or opens."""
    package = module if is_package else module.rpartition(".")[0]
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                known[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
            for alias in node.names:
                known[alias.asname or alias.name] = f"{base}.{alias.name}"
                yield f"{base}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in known:
            yield f"{known[node.value.id]}.{node.attr}"
        elif isinstance(node, ast.Name) and node.id == "open":
            yield "builtins.open"


def is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def broken_rules(tree: ast.AST, module: str, is_package: bool = False) -> list[str]:
    """Returns what a module knows although it may not."""
    if module in ENTRIES:
        return []
    layers = [layer for layer in MAY_NOT_SEE if is_in(module, layer)]
    layer = max(layers, key=len)
    forbidden = set() if is_in(module, "gancli.cli") else {*MAY_NOT_SEE[layer], "typer", "click"}
    if layer in ("gancli.nn", "gancli.architectures"):
        forbidden |= FILES
    return [name for name in names_used(tree, module, is_package) if any(is_in(name, taboo) for taboo in forbidden)]


@pytest.mark.parametrize("module", MODULES)
def test_module_knows_only_what_it_may(module: str) -> None:
    path = MODULES[module]
    assert broken_rules(ast.parse(path.read_text()), module, path.name == "__init__.py") == []


@pytest.mark.parametrize(
    ("module", "code", "found"),
    [
        ("gancli.architectures.wgan", "from gancli.training import update", ["gancli.training.update"]),
        ("gancli.architectures.wgan", "from ..data.source import Source", ["gancli.data.source.Source"]),
        ("gancli.architectures.wgan", "from .. import modelfile", ["gancli.modelfile"]),
        ("gancli.architectures.wgan", "import torch\ntorch.optim.Adam", ["torch.optim"]),
        ("gancli.architectures.wgan", "from torch import optim", ["torch.optim"]),
        ("gancli.architectures.wgan", "with open('x'): ...", ["builtins.open"]),
        ("gancli.architectures.wgan", "import torch as t\nt.load('x')", ["torch.load"]),
        (
            "gancli.architectures.wgan",
            "from torch import nn\nfrom gancli.nn import losses\nfrom gancli.schema import A",
            [],
        ),
        ("gancli.nn.losses", "import gancli.architectures.base", ["gancli.architectures.base"]),
        ("gancli.training.trainer", "def f():\n    from gancli.cli import app", ["gancli.cli.app"]),
        ("gancli.training.trainer", "import typer", ["typer"]),
        ("gancli.training.trainer", "from gancli.data import source\nimport torch.optim\nopen('x')", []),
        ("gancli.modelfile", "from gancli.architectures import base", []),
        ("gancli.modelfile", "from gancli.training import rundir", ["gancli.training.rundir"]),
        ("gancli.cli.train", "import typer\nfrom gancli.training import trainer", []),
    ],
)
def test_the_rules_find_what_breaks_them(module: str, code: str, found: list[str]) -> None:
    assert broken_rules(ast.parse(code), module) == found


def arrows(sources: dict[str, str]) -> dict[str, set[str]]:
    """Returns which of some modules each of them imports, in functions too; imports for type checkers do not count."""
    found = {}
    for module, source in sources.items():
        tree = ast.parse(source)
        unreal = {
            below
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for statement in node.body
            for below in ast.walk(statement)
        }
        names: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import) and node not in unreal:
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node not in unreal:
                names |= {
                    whole if (whole := f"{node.module}.{alias.name}") in sources else str(node.module)
                    for alias in node.names
                }
        found[module] = names & sources.keys() - {module}
    return found


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Returns modules that import each other in a circle; none if there is no circle."""
    left = {module: set(known) for module, known in graph.items()}
    # Modules that import none of the rest, or that none of the rest imports, lie on no circle.
    while ends := {module for module, known in left.items() if not known} | (left.keys() - set().union(*left.values())):
        left = {module: known - ends for module, known in left.items() if module not in ends}
    return sorted(left)


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle(arrows({module: path.read_text() for module, path in MODULES.items()})) == []


def test_the_search_for_circles_finds_them() -> None:
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from g import a"
    assert circle(arrows({"g.a": "from g import b", "g.b": typed})) == []
    hidden = "def f():\n    from g.a import x"
    assert circle(arrows({"g.a": "from g import b", "g.b": hidden, "g.c": "import g.a"})) == ["g.a", "g.b"]


def test_no_file_is_long() -> None:
    lines = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name: count for name, count in lines.items() if count > 450} == {}


def imported_by(*modules: str) -> set[str]:
    script = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script, *modules], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_command_line_imports_nothing_heavy() -> None:
    imported = imported_by(*(name for name in MODULES if is_in(name, "gancli.cli")))
    assert "gancli.cli.presets" in imported
    assert not imported & {"torch", "torchvision", "numpy", "PIL", "pydantic", "rich"}


def test_modules_that_promise_it_can_be_imported_without_torch() -> None:
    promised = [
        name
        for name, path in MODULES.items()
        if "without torch" in (text := ast.get_docstring(ast.parse(path.read_text())) or "")
        or "without importing torch" in text
    ]
    assert {"gancli.errors", "gancli.schema", "gancli.registry", "gancli.config"} <= set(promised)
    for name in [*promised, "gancli.console", "gancli.home"]:
        assert "torch" not in imported_by(name), name
