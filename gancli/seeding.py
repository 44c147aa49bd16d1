"""Every random number of a run derives from its one seed; nothing random has to be stored. Importable without torch."""

from __future__ import annotations

import hashlib

LARGEST_SEED = 2**63 - 1
"""torch takes no larger one."""


def derive(*parts: int | str) -> int:
    """Returns a seed in [0, 2**63) for what ``parts`` names, for instance ``derive(seed, "flip", rank)``.

    The same parts give the same seed on every machine and Python version, and any other parts, order or grouping an
    unrelated one.
    """
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        text = f"{type(part).__name__}:{part}".encode()
        digest.update(len(text).to_bytes(8, "little") + text)
    return int.from_bytes(digest.digest(), "little") >> 1
