"""Finds architectures and presets by name, without importing torch until an architecture is loaded.

An architecture is a module of ``gancli.architectures`` (``wgan_gp.py`` is ``wgan-gp``) or an entry point of the group
``gancli.architectures`` whose value is the class. A preset is ``<architecture>[-<variant>].yaml``.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from gancli.errors import GancliError, nearest

if TYPE_CHECKING:
    from gancli.architectures.base import Architecture

GROUP = "gancli.architectures"


@cache
def _third_party() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def architecture_names() -> list[str]:
    """Returns the names of all architectures, built in and third-party, in alphabetical order."""
    package = Path(__file__).parent / "architectures"
    built_in = {info.name.replace("_", "-") for info in pkgutil.iter_modules([str(package)])} - {"base"}
    return sorted(built_in | _third_party().keys())


def load_architecture(name: str) -> type[Architecture]:
    """Imports an architecture (and with it torch).

    Raises:
        GancliError: there is none of this name, or its package cannot be imported.
    """
    if name not in architecture_names():
        raise GancliError(
            f"there is no architecture {name!r}",
            nearest(name, architecture_names()) or f"known are: {', '.join(architecture_names())}",
        )
    if name in _third_party():
        point = _third_party()[name]
        try:
            loaded: type[Architecture] = point.load()
        except Exception as error:
            raise GancliError(
                f"the architecture {name!r} of {point.value!r} cannot be imported: {error}",
                "update or uninstall the package that provides it",
            ) from error
        return loaded
    module = importlib.import_module(f"gancli.architectures.{name.replace('-', '_')}")
    return _class_in(module)


def _class_in(module: ModuleType) -> type[Architecture]:
    """Returns the one architecture that a module defines; abstract and private classes are its own affair."""
    from gancli.architectures.base import Architecture

    found = [
        item
        for name, item in vars(module).items()
        if isinstance(item, type)
        and issubclass(item, Architecture)
        and item.__module__ == module.__name__
        and not inspect.isabstract(item)
        and not name.startswith("_")
    ]
    if len(found) != 1:
        raise GancliError(
            f"{module.__name__} must define one architecture, but defines "
            + (" and ".join(item.__name__ for item in found) or "none that implements all abstract methods"),
            "an architecture has a file of its own; a shared base class is abstract or begins with _",
        )
    return found[0]


def _preset_directory() -> Path:
    installed = Path(__file__).parent / "presets"  # where the wheel puts them
    return installed if installed.is_dir() else Path(__file__).parent.parent / "presets"


def preset_paths() -> dict[str, Path]:
    """Returns the YAML file of every preset, by name, in alphabetical order."""
    return {path.stem: path for path in sorted(_preset_directory().glob("*.yaml"))}


def preset_path(name: str) -> Path:
    """Returns the YAML file of one preset.

    Raises:
        GancliError: there is none of this name.
    """
    paths = preset_paths()
    if name not in paths:
        raise GancliError(f"there is no preset {name!r}", nearest(name, paths) or "type `gancli presets` to list them")
    return paths[name]
