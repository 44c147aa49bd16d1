"""Layers as users write them."""

from __future__ import annotations

import pytest

from gancli.errors import GancliError
from gancli.generation.layers import NAMED, named_layers, parse_layers


@pytest.mark.parametrize(
    ("resolution", "sizes"),
    [
        (4, [1, 1, 0]),
        (8, [2, 1, 1]),
        (16, [2, 2, 2]),
        (32, [4, 2, 2]),
        (64, [4, 4, 2]),  # from here on as in the paper
        (128, [4, 4, 4]),
        (1024, [4, 4, 10]),
    ],
)
def test_coarse_middle_and_fine(resolution: int, sizes: list[int]) -> None:
    count = 2 * (resolution.bit_length() - 2)
    parts = [named_layers(name, count) for name in NAMED]
    assert [len(part) for part in parts] == sizes
    assert [layer for part in parts for layer in part] == list(range(count))


@pytest.mark.parametrize(
    ("text", "layers"),
    [("coarse", [0, 1, 2, 3]), ("0-6", [*range(7)]), ("8,0-3", [0, 1, 2, 3, 8]), ("fine,0", [0, *range(8, 18)])],
)
def test_layers(text: str, layers: list[int]) -> None:
    assert parse_layers(text, 18) == layers


@pytest.mark.parametrize("text", ["", "rough", "0-", "-1", "3-1", "18", "0-18", "1.5"])
def test_what_are_no_layers(text: str) -> None:
    with pytest.raises(GancliError) as caught:
        parse_layers(text, 18)
    assert "layer" in caught.value.message
    with pytest.raises(GancliError, match="2 layers"):
        parse_layers("fine", 2)
