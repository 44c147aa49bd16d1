"""Lists of seeds as users write them. Importable without torch."""

from __future__ import annotations

import re

from gancli.errors import GancliError
from gancli.seeding import LARGEST_SEED

MOST = 1_000_000
"""Largest number of seeds, and of images that a command draws."""


def parse_seeds(text: str, option: str = "--seeds") -> list[int]:
    """Returns the seeds that ``0,1,4-6`` means: 0, 1, 4, 5, 6, in the order given, repetitions included.

    Args:
        text: numbers and ranges.
        option: its name in messages.

    Raises:
        GancliError: the text is not such a list, or means more than a million seeds.
    """
    hint = f"give numbers and ranges, for instance {option} 0,1,4-6"
    seeds: list[int] = []
    for item in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,30})(?:\s*-\s*([0-9]{1,30}))?\s*", item)
        if match is None:
            raise GancliError(f"{option} {text!r}: {item.strip()!r} is neither a number nor a range", hint)
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise GancliError(f"{option} {text!r}: the range {item.strip()} runs backwards", hint)
        if last > LARGEST_SEED:
            raise GancliError(f"{option} {text!r}: the largest seed is 2^63 - 1")
        if last - first + len(seeds) >= MOST:
            raise GancliError(f"{option} {text!r}: more than {MOST:,} seeds")
        seeds.extend(range(first, last + 1))
    return seeds
