"""How numbers of more than 8 bits, and floats, become grey levels: one rule for image files and for arrays.

Importable without torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gancli.data.source import BadImage, Pixels

Range = tuple[float, float]
"""The numbers that become black and white."""
Tone = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""A curve from stored to shown brightness, both in [0, 1]."""

QUARTER = 2**14
"""16-bit numbers that all lie below this are probably 10, 12 or 14 bits, and would be shown nearly black."""
TOLERANCE = 0.001  # averaging and filters leave floats a little outside [0, 1]


def find_range(low: float, high: float, dtype: np.dtype[Any], stated: Range | None, known: Range | None) -> Range:
    """Returns which numbers become black and white.

    Args:
        low, high: the smallest and the largest number there is.
        dtype: of the numbers; ``uint16`` stands for all 16 bits.
        stated: what the user said, ``data.range``; None: automatic.
        known: the range that the file's header gives; None: it does not.

    Raises:
        BadImage: the range is not known, or probably another one; the message says what to type.
    """
    if not (np.isfinite(low) and np.isfinite(high)):
        raise BadImage("it holds numbers that are not finite")
    if stated is not None or known is not None:
        return stated or known or (0, 1)
    if dtype.kind == "f":
        if low >= -TOLERANCE and high <= 1 + TOLERANCE:
            return 0, 1
        raise BadImage(
            f"its floats run from {low:.4g} to {high:.4g}, and outside [0, 1] they have no known range: "
            f"{_say(low, high)} says what becomes black and white"
        )
    if dtype.kind == "u" and dtype.itemsize == 2:
        check_bright(int(high))
        return 0, 65535
    raise BadImage(
        f"its {8 * dtype.itemsize}-bit{' signed' * (dtype.kind == 'i')} integers run from {low:.0f} to {high:.0f} and "
        f"have no known range: {_say(low, high)} says what becomes black and white"
    )


def check_bright(high: int) -> None:
    """Raises ``BadImage`` if ``high``, the largest of 16-bit numbers, is so small that they are probably fewer bits."""
    if 0 < high < QUARTER:
        raise BadImage(
            f"its largest 16-bit number is {high:,} of 65,535, so that it would be nearly black: {_say(0, high)} makes "
            f"it bright, {_settings(0, 65535)} takes it as it is"
        )


def _say(low: float, high: float) -> str:
    """Returns the setting and the option that a user probably wants for these numbers."""
    bits = next((bits for bits in (8, 10, 12, 14, 16, 32) if high < 2**bits), 64)
    if low < 0:
        bits = next((bits for bits in (8, 16, 32) if max(-low, high + 1) <= 2 ** (bits - 1)), 64)
        return _settings(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return _settings(0, 2**bits - 1)


def in_words(span: Range) -> str:
    """Returns which numbers are black and white as a fact about images."""
    return f"numbers from {span[0]:,.12g} to {span[1]:,.12g} become black to white"


PLAIN_RANGES = (in_words((0, 65535)), in_words((0, 1)))
"""The ranges of 16 bits and of floats, which surprise nobody."""


def _settings(low: int, high: int) -> str:
    return f"data.range=[{low},{high}] (--range {low},{high})"


def to_levels(values: NDArray[Any], span: Range, *, inverted: bool = False, tone: Tone | None = None) -> Pixels:
    """Returns numbers of any type and shape as grey levels: uint8 from ``span[0]``, black, to ``span[1]``, white.

    Numbers outside are clipped. ``inverted`` exchanges black and white; ``tone`` comes last.
    """
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        table = _levels(np.arange(65536), span, inverted, tone)
        found: Pixels = table[values]
        return found
    return _levels(values, span, inverted, tone)


def _levels(values: NDArray[Any], span: Range, inverted: bool, tone: Tone | None) -> Pixels:
    shares = np.clip((values.astype(np.float64) - span[0]) / (span[1] - span[0]), 0, 1)
    if inverted:
        shares = 1 - shares
    if tone is not None:
        shares = tone(shares)
    # A number in the middle between two levels is not decided by the error of the division.
    return np.floor(shares * 255 + (0.5 + 1e-9)).clip(0, 255).astype(np.uint8)
