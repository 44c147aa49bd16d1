"""Finds architectures and presets by name, without importing torch until an architecture is loaded.

An architecture is a module of ``gancli.architectures`` (``wgan_gp.py`` is ``wgan-gp``) or an entry point of the group
``gancli.architectures`` whose value is the class. A preset is ``<architecture>[-<variant>].yaml``, of gancli or in the
folder ``presets/`` beside the module of such an entry point.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
from functools import cache
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gancli.errors import GancliError, nearest

if TYPE_CHECKING:
    from gancli.architectures.base import Architecture

GROUP = "gancli.architectures"


@cache
def plugins(group: str) -> dict[str, EntryPoint]:
    """Returns what other packages add to a group of entry points, by name; nothing is imported."""
    return {point.name: point for point in entry_points(group=group)}


def load_plugin(point: EntryPoint, what: str) -> Any:
    """Imports what an entry point names, ``what`` in words.

    Raises:
        GancliError: it cannot be imported.
    """
    try:
        return point.load()
    except Exception as error:
        raise GancliError(
            f"the {what} {point.name!r} of {package_of(point)} cannot be imported: {error}",
            f"update or uninstall {package_of(point)}",
        ) from error


def package_of(point: EntryPoint) -> str:
    """Returns the name of the package that adds an entry point."""
    return point.dist.name if point.dist is not None else point.module


def architecture_names() -> list[str]:
    """Returns the names of all architectures, built in and third-party, in alphabetical order."""
    package = Path(__file__).parent / "architectures"
    built_in = {info.name.replace("_", "-") for info in pkgutil.iter_modules([str(package)])} - {"base"}
    return sorted(built_in | plugins(GROUP).keys())


def load_architecture(name: str) -> type[Architecture]:
    """Imports an architecture (and with it torch).

    Raises:
        GancliError: there is no such architecture, or its package cannot be imported.
    """
    if name not in architecture_names():
        raise GancliError(
            f"there is no architecture {name!r}",
            nearest(name, architecture_names()) or f"choose one of: {', '.join(architecture_names())}",
        )
    if name in plugins(GROUP):
        loaded: type[Architecture] = load_plugin(plugins(GROUP)[name], "architecture")
        return loaded
    return _class_in(importlib.import_module(f"gancli.architectures.{name.replace('-', '_')}"))


def _class_in(module: ModuleType) -> type[Architecture]:
    """Returns the one architecture that a module defines, apart from abstract and private classes."""
    from gancli.architectures.base import Architecture

    kinds = inspect.getmembers(module, lambda item: inspect.isclass(item) and issubclass(item, Architecture))
    own = [kind for name, kind in kinds if kind.__module__ == module.__name__ and not name.startswith("_")]
    found: list[type[Architecture]] = [kind for kind in own if not inspect.isabstract(kind)]
    if len(found) != 1:
        raise GancliError(
            f"{module.__name__} must define one architecture, but defines "
            + (" and ".join(item.__name__ for item in found) or "none that implements all abstract methods"),
            "an architecture has a file of its own; a shared base class is abstract or begins with _",
        )
    return found[0]


def _preset_files() -> list[Path]:
    """Returns the YAML files of gancli, then those beside the modules of other packages."""
    installed = Path(__file__).parent / "presets"  # where the wheel puts them
    folders = [installed if installed.is_dir() else Path(__file__).parent.parent / "presets"]
    folders += [file.parent / "presets" for point in plugins(GROUP).values() if (file := _file_of(point.module))]
    return [path for folder in dict.fromkeys(folders) for path in sorted(folder.glob("*.yaml"))]


def _file_of(module: str) -> Path | None:
    """Returns the file of a module, without importing it or the packages around it."""
    top, *inner = module.split(".")
    try:
        spec, path = importlib.util.find_spec(top), top
        for name in inner:
            path, places = f"{path}.{name}", spec and spec.submodule_search_locations
            spec = PathFinder.find_spec(path, places) if places else None
    except (ImportError, ValueError):  # the rest of an uninstalled package, or another package's finder
        return None
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def preset_paths() -> dict[str, Path]:
    """Returns the YAML file of every preset, by name, in alphabetical order; see ``hidden_presets``."""
    found = {path.stem: path for path in reversed(_preset_files())}
    return dict(sorted(found.items()))


def hidden_presets() -> list[Path]:
    """Returns presets of other packages that cannot be used because gancli or another package has one of that name."""
    known = preset_paths()
    return [path for path in _preset_files() if known[path.stem] != path]


def preset_path(name: str) -> Path:
    """Returns the YAML file of one preset.

    Raises:
        GancliError: there is no such preset.
    """
    paths = preset_paths()
    if name not in paths:
        raise GancliError(f"there is no preset {name!r}", nearest(name, paths) or "type `gancli presets` to list them")
    return paths[name]
