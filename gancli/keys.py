"""The keys of a configuration: what they mean, and which values they have by default. Importable without torch.

Messages, ``gancli presets`` and the documentation are made from the sections themselves.
"""

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
    """A key or section.

    Attributes:
        path: its name after those of the sections around it.
        field: pydantic's description.
        default: its default here: a section may have other defaults for the keys of a section in it than that itself.
    """

    path: KeyPath
    field: FieldInfo
    default: Any

    @property
    def meaning(self) -> str:
        """Its description in one line."""
        return meaning(self.field, self.default)


def meaning(field: FieldInfo, value: Any = None) -> str:
    """Returns the description of a key in one line; that of a section may be its docstring's. "" if it has none.

    Args:
        field: the key.
        value: a section, if the key may be one of several.
    """
    section = section_of(field, None, value)
    documented = (section.__doc__ or "") if section is not None else ""
    return field.description or documented.partition("\n")[0].rstrip(".")


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


def sections(annotation: Any) -> list[type[BaseModel]]:
    """Returns the sections that a value, or each value of a table, may be. Several are told apart by ``kind``."""
    return [
        form for form in forms(item(annotation) or annotation) if isinstance(form, type) and issubclass(form, BaseModel)
    ]


def kinds(field: FieldInfo) -> dict[str, type[BaseModel]]:
    """Returns the sections that a key may be, by their ``kind``; empty if that tells nothing apart."""
    known = sections(field.annotation)
    by_kind = {section.model_fields["kind"].default: section for section in known if "kind" in section.model_fields}
    return by_kind if len(known) > 1 else {}


def section_of(field: FieldInfo, value: Any, default: Any = None) -> type[BaseModel] | None:
    """Returns the section that a value is: the one of its ``kind``, else the default's; None if it is no section."""
    known = sections(field.annotation)
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if isinstance(kind, str) and kind in (by_kind := kinds(field)):
        return by_kind[kind]
    return type(default) if type(default) in known else next(iter(known), None)


def keys(section: type[BaseModel], values: Any = None, prefix: KeyPath = (), defaults: Any = None) -> Iterator[Key]:
    """Yields every key of a section, and after a section the keys in it.

    Args:
        section: whose keys.
        values: plain values, which say of which ``kind`` a section is.
        prefix: the path of the section.
        defaults: the section as it is by default, if it is the value of a key.
    """
    for name, field in section.model_fields.items():
        key = Key((*prefix, name), field, field.default if defaults is None else getattr(defaults, name))
        yield key
        inside = values.get(name) if isinstance(values, Mapping) else None
        below = section_of(field, inside, key.default)
        if below is not None and item(field.annotation):
            yield from keys(below, None, (*key.path, ANY))
        elif below is not None:
            yield from keys(below, inside, key.path, key.default if isinstance(key.default, below) else None)


def completed(section: type[BaseModel], values: Any, defaults: BaseModel | None = None) -> Any:
    """Returns plain values for a section, with the defaults in place of what is not there.

    A null stays where the key can be null, and else becomes its default. A section in a section begins with the values
    that the outer one gives it, unless it is of another ``kind``.
    """
    if not isinstance(values, Mapping):
        return values
    result = {} if defaults is None else {name: getattr(defaults, name) for name in section.model_fields}
    for name, value in values.items():
        field = section.model_fields.get(name)
        if field is None:
            result[name] = value
        elif value is None:
            if NoneType in forms(field.annotation):
                result[name] = None
        elif item(field.annotation) and isinstance(value, Mapping):
            below = section_of(field, None)
            result[name] = {
                row: completed(below, entry) if below else entry for row, entry in value.items() if entry is not None
            }
        else:
            begun = result.get(name, field.default)
            below = section_of(field, value, begun)
            if below is not None:
                value = completed(below, value, begun if isinstance(begun, below) else None)
            result[name] = value
    return result
