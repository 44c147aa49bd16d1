"""Layers of a style model as users write them. Importable without torch."""

from __future__ import annotations

import re

from gancli.errors import GancliError

NAMED = ("coarse", "middle", "fine")


def named_layers(name: str, count: int) -> range:
    """Returns the layers that ``coarse``, ``middle`` or ``fine`` means, of ``count``, two per resolution from 4 px.

    As in the StyleGAN paper (section 3.1): 4 and 8 px, 16 and 32 px, and the rest. If that leaves nothing for the last,
    each is a third of the resolutions, or with fewer than three resolutions, of the layers; any remainder goes to the
    first ones.
    """
    unit = 2 if count >= 6 else 1
    third, more = divmod(count // unit, 3)
    sizes = [unit * min(2, third + (more > place)) for place in range(2)]
    ends = [0, sizes[0], sum(sizes), count]
    place = NAMED.index(name)
    return range(ends[place], ends[place + 1])


def parse_layers(text: str, count: int, option: str = "--styles") -> list[int]:
    """Returns the layers that ``coarse``, ``0-6`` or ``0-3,8`` means, in ascending order.

    Raises:
        GancliError: the text is not such a list, or the model has no such layer.
    """
    has = f"the model has {count} layers, 0 to {count - 1}"
    layers: set[int] = set()
    for item in map(str.strip, text.split(",")):
        match = re.fullmatch(r"([0-9]{1,9})(?:\s*-\s*([0-9]{1,9}))?", item)
        if item not in NAMED and match is None:
            raise GancliError(
                f"{option} {text}: {item!r} is not a layer",
                "give coarse, middle, fine, or numbers of layers, such as 0-3,8",
            )
        found = named_layers(item, count) if match is None else range(int(match[1]), int(match[2] or match[1]) + 1)
        if not found or found[-1] >= count:
            raise GancliError(f"{option} {text}: there are no layers {item}; {has}", f"{option} 0-{count - 1}")
        layers.update(found)
    return sorted(layers)
