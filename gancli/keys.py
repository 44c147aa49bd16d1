"""The keys of sections, for messages, ``gancli presets`` and the documentation. Importable without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

KeyPath = tuple[str, ...]

ANY = "*"
"""In a path: any key of a table, such as the players of ``train.turns``."""


class Key(NamedTuple):
    """A key or section: its path, pydantic's description, and its default, which the section around it may change."""

    path: KeyPath
    field: FieldInfo
    default: Any

    @property
    def meaning(self) -> str:
        """Its description in one line; that of a section may be its docstring's. "" if it has none."""
        section = section_of(self.field, None, self.default)
        documented = (section.__doc__ or "") if section is not None else ""
        return self.field.description or documented.partition("\n")[0].rstrip(".")


def forms(annotation: Any) -> list[Any]:
    """Returns what a value may be: the members of a union, without their annotations."""
    if get_origin(annotation) is Annotated:
        return forms(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [form for argument in get_args(annotation) for form in forms(argument)]
    return [annotation]


def item(annotation: Any) -> Any:
    """Returns what the values of a table are, such as ``dict[str, Section]``; None if it is no table."""
    return next((get_args(form)[1] for form in forms(annotation) if get_origin(form) is dict), None)


def sections(field: FieldInfo) -> dict[str, type[BaseModel]]:
    """Returns the sections that a value, or each value of a table, may be, by the ``kind`` that tells several apart."""
    known = forms(item(field.annotation) or field.annotation)
    known = [form for form in known if isinstance(form, type) and issubclass(form, BaseModel)]
    return {form.model_fields["kind"].default if "kind" in form.model_fields else "": form for form in known}


def section_of(field: FieldInfo, value: Any, default: Any = None) -> type[BaseModel] | None:
    """Returns the section that a value is: the one of its ``kind``, else the default's; None if it is no section."""
    known = sections(field)
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if isinstance(kind, str) and kind in known:
        return known[kind]
    return type(default) if type(default) in known.values() else next(iter(known.values()), None)


def keys(section: type[BaseModel], values: Any = None, prefix: KeyPath = (), defaults: Any = None) -> Iterator[Key]:
    """Yields every key of a section with the path ``prefix``, and after a section the keys in it.

    Plain ``values`` give the ``kind`` of a section; ``defaults`` is the section if it is the default of a key.
    """
    for name, field in section.model_fields.items():
        key = Key((*prefix, name), field, field.default if defaults is None else getattr(defaults, name))
        yield key
        inside = values.get(name) if isinstance(values, Mapping) else None
        below = section_of(field, inside, key.default)
        if below is not None:
            row = (ANY,) if item(field.annotation) else ()
            yield from keys(below, inside, (*key.path, *row), key.default if isinstance(key.default, below) else None)


def completed(section: type[BaseModel], values: Mapping[str, Any], defaults: BaseModel | None = None) -> dict[str, Any]:
    """Returns the values of a section over its ``defaults``, without nulls that mean a default.

    A null stays where the key can be null; in a table it removes the row. A section in the section begins with the
    key's default, unless it is of another ``kind``; if the key has none, the section is left as it is.
    """
    result = {} if defaults is None else dict(defaults)
    for name, value in values.items():
        field = section.model_fields.get(name)
        if field is not None and isinstance(value, Mapping):
            begun = result.get(name, field.default)
            below = section_of(field, value, begun)
            if item(field.annotation):
                value = {row: entry for row, entry in value.items() if entry is not None}
            elif below is not None and isinstance(begun, below):
                value = completed(below, value, begun)
        if field is None or value is not None or NoneType in forms(field.annotation):
            result[name] = value
    return result
