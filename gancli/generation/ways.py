"""Which way of a translator a user means. Importable without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gancli.errors import GancliError, nearest

if TYPE_CHECKING:
    from gancli.architectures.base import Translator, Way
    from gancli.modelfile import ModelInfo


def names_of(model: Translator, info: ModelInfo) -> dict[str, str]:
    """Returns the user's names of a translator's domains, by the architecture's names and in their order."""
    return dict(zip(model.inputs(model.config).domains, info.domains, strict=True))


def way_towards(model: Translator, info: ModelInfo, name: str, to: str | None) -> Way:
    """Returns the way of a translator that ``--to`` means.

    Args:
        info: what the model's file says, with the user's names of the domains.
        name: what the user calls the model.
        to: the target domain, by the user's name or the architecture's; or ``SOURCE:TARGET``, if the model has several
            ways to one target. None: the model's default, its last way.

    Raises:
        GancliError: the model has no such domain or no way to it, or several; or it needs more than an image.
    """
    names, ways, inputs = names_of(model, info), model.ways(), model.inputs(model.config)
    if inputs.labels != "none":
        raise GancliError(f"{name} translates into {inputs.labels}, which cannot be chosen here yet", "use Python")
    if any(inputs.domains[way.source].kind != "image" for way in ways):
        raise GancliError(f"{name} translates label maps, which cannot be read here yet", "use Python")
    if to is None:
        return ways[-1]
    spelled = {f"{names[way.source]}:{names[way.target]}": way for way in ways}
    if to in spelled:
        return spelled[to]
    meant = {**{domain: domain for domain in names}, **{user: domain for domain, user in names.items()}}
    found = [way for way in ways if way.target == meant.get(to)]
    targets = " or ".join(dict.fromkeys(names[way.target] for way in ways))
    if to not in meant:
        raise GancliError(f"{name} has no domain {to!r}", nearest(to, names.values()) or f"choose {targets}")
    if not found:
        raise GancliError(f"{name} does not translate into {to}, only from it", f"choose {targets}")
    if len(found) > 1:
        possible = [text for text, way in spelled.items() if way in found]
        raise GancliError(f"{name} has {len(found)} ways to {to}", f"choose {' or '.join(possible)}")
    return found[0]
