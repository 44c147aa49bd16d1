"""Which way --to means, for translators with any number of domains and ways."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gancli.architectures.base import Translator, Way
from gancli.architectures.cyclegan import CycleGAN
from gancli.domains import Domain, Inputs
from gancli.errors import GancliError
from gancli.generation.ways import names_of, way_towards
from gancli.modelfile import ModelInfo

IMAGE = Domain((3, 32, 32))


def translator(*ways: tuple[str, str], domains: tuple[str, ...] = ("A", "B", "C")) -> Translator:
    """Stands for a translator with some domains and ways; the networks do not matter."""
    inputs = Inputs(dict.fromkeys(domains, IMAGE))
    return cast(
        "Translator",
        SimpleNamespace(ways=lambda: tuple(Way(*way) for way in ways), inputs=lambda _: inputs, config=None),
    )


def info(*names: str) -> ModelInfo:
    return ModelInfo("toy", {}, [], list(names), Inputs(dict.fromkeys(names, IMAGE)))


SEASONS = info("spring", "summer", "winter")


def found(model: Translator, to: str | None, names: ModelInfo = SEASONS) -> tuple[str, str]:
    return tuple(way_towards(model, names, "seasons", to))  # type: ignore[return-value]


def test_names_are_in_the_architectures_order() -> None:
    assert names_of(translator(), SEASONS) == {"A": "spring", "B": "summer", "C": "winter"}


def test_a_target_has_one_way() -> None:
    model = translator(("A", "B"), ("B", "C"), ("C", "A"))
    assert found(model, None) == ("C", "A")  # the last is the default
    assert found(model, "summer") == ("A", "B")
    assert found(model, "winter") == ("B", "C")
    assert found(model, "C") == ("B", "C")  # the architecture's name
    assert found(model, "summer:winter") == ("B", "C")


def test_the_users_names_win_over_the_architectures() -> None:
    model = translator(("A", "B"), ("B", "A"), domains=("A", "B"))
    assert found(model, "A", info("B", "A")) == ("A", "B")
    assert found(model, "B", info("B", "A")) == ("B", "A")


def test_a_domain_can_be_both_ends_of_a_way() -> None:
    assert found(translator(("image", "image"), domains=("image",)), "image", info("image")) == ("image", "image")


def test_a_real_translator() -> None:
    model = CycleGAN(CycleGAN.Config(resolution=32, generator_width=2, discriminator_width=2, blocks=1))
    horses = info("horse", "zebra")
    assert [found(model, to, horses) for to in (None, "zebra", "horse")] == [("A", "B"), ("A", "B"), ("B", "A")]
    del model.generator_ba
    assert found(model, None, horses) == ("A", "B")
    with pytest.raises(GancliError, match="seasons does not translate into horse, only from it"):
        found(model, "horse", horses)


@pytest.mark.parametrize(
    ("to", "message", "hint"),
    [
        ("winter", "seasons has 2 ways to winter", "choose spring:winter or summer:winter"),
        ("spring", "seasons does not translate into spring, only from it", "choose winter or summer"),
        ("autumn", "seasons has no domain 'autumn'", "choose winter or summer"),
        ("wintr", "seasons has no domain 'wintr'", "did you mean 'winter'?"),
        ("winter:spring", "seasons has no domain 'winter:spring'", ""),
    ],
)
def test_what_is_no_way(to: Any, message: str, hint: str) -> None:
    model = translator(("A", "C"), ("B", "C"), ("A", "B"))
    assert found(model, "summer") == ("A", "B")
    assert found(model, "summer:winter") == ("B", "C")
    with pytest.raises(GancliError) as caught:
        found(model, to)
    assert caught.value.message == message
    assert hint in caught.value.hint
