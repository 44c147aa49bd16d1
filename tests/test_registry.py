"""A file of gancli.architectures defines one architecture; what else is in it does not confuse the registry."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from gancli import registry
from gancli.architectures.base import Architecture
from gancli.architectures.dcgan import DCGAN
from gancli.errors import GancliError


def test_the_file_of_a_module_is_found_without_importing_its_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    for file in (tmp_path / "outer" / "__init__.py", inner / "__init__.py", inner / "paper.py", tmp_path / "alone.py"):
        file.write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert registry._file_of("outer.inner.paper") == inner / "paper.py"
    assert registry._file_of("outer.inner") == inner / "__init__.py"
    assert registry._file_of("alone") == tmp_path / "alone.py"
    for missing in ("nowhere", "outer.nowhere", "alone.inner", "outer.inner.paper.deeper"):
        assert registry._file_of(missing) is None


def module_with(**bases: type[Architecture]) -> ModuleType:
    """A module that defines a subclass of each class, and imports DCGAN."""
    module = ModuleType("gancli.architectures.paper")
    vars(module)["DCGAN"] = DCGAN
    for name, base in bases.items():
        vars(module)[name] = type(name, (base,), {"__module__": module.__name__})
    return module


def test_abstract_private_and_imported_classes_are_passed_over() -> None:
    found = registry._class_in(module_with(Game=Architecture, _Shared=DCGAN, Paper=DCGAN))
    assert found.__name__ == "Paper"


@pytest.mark.parametrize(
    ("bases", "said"),
    [({"One": DCGAN, "Two": DCGAN}, "but defines One and Two"), ({"Game": Architecture}, "but defines none")],
)
def test_none_or_several_are_said_to_the_author(bases: dict[str, type[Architecture]], said: str) -> None:
    with pytest.raises(GancliError, match=said) as caught:
        registry._class_in(module_with(**bases))
    assert "gancli.architectures.paper" in caught.value.message
