"""Classes as users write them, and as parts of file names."""

from __future__ import annotations

import pytest

from gancli.cli.latent import class_labels, parse_classes
from gancli.errors import GancliError

NAMES = ["cat", "dog", "tench, Tinca tinca", "7", "0"]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("cat", [0]),
        ("dog,cat, dog", [1, 0, 1]),
        ("tench, Tinca tinca", [2]),
        ("1,2", [1, 2]),
        ("7", [3]),  # a name before a number
        ("0", [4]),
    ],
)
def test_classes(text: str, numbers: list[int]) -> None:
    assert parse_classes(text, NAMES) == numbers


@pytest.mark.parametrize(("text", "hint"), [("dgo", "did you mean 'dog'?"), ("", "classes are"), ("5", "5 classes")])
def test_what_is_no_class(text: str, hint: str) -> None:
    with pytest.raises(GancliError) as caught:
        parse_classes(text, NAMES)
    assert hint in caught.value.hint


def test_labels_of_classes_are_parts_of_file_names_and_differ() -> None:
    assert class_labels(["cat", "big cow", "a/b", "Äpfel"]) == ["cat", "big_cow", "a_b", "Äpfel"]
    for names in (["a b", "a_b"], ["A", "a"], ["", "x"], ["x" * 50 + "1", "x" * 50 + "2"]):
        assert class_labels(names) == ["class0", "class1"]
