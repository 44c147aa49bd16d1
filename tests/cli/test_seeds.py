"""Lists of seeds as users write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gancli.cli.seeds import parse_seeds
from gancli.errors import GancliError


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0", [0]), ("0,1,4-6", [0, 1, 4, 5, 6]), (" 3 , 2-2,2", [3, 2, 2]), ("9223372036854775807", [2**63 - 1])],
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text", ["", ",", "a", "1,,2", "3-1", "-1", "1-2-3", "1.5", "0-99999999999", "9223372036854775808", "²"]
)
def test_what_is_no_list_of_seeds(text: str) -> None:
    with pytest.raises(GancliError):
        parse_seeds(text)


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 20)), min_size=1, max_size=8))
def test_any_list_of_ranges(ranges: list[tuple[int, int]]) -> None:
    text = ",".join(str(a) if not n else f"{a}-{a + n}" for a, n in ranges)
    assert parse_seeds(text) == [seed for a, n in ranges for seed in range(a, a + n + 1)]


@given(st.text(max_size=30))
def test_any_text_gives_seeds_or_an_error_in_words(text: str) -> None:
    try:
        assert all(0 <= seed < 2**63 for seed in parse_seeds(text))
    except GancliError:
        assert True
