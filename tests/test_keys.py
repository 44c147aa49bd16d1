"""The keys of sections, and what is filled in before they are validated."""

from __future__ import annotations

from pydantic import Field

from gancli import keys
from gancli.schema import AdamConfig, ModelConfig, OptimizerConfig, RMSpropConfig, Section, TrainConfig


class Inner(Section):
    """Numbers of one thing."""

    a: int = Field(1, description="first")
    b: int | None = Field(2, description="second")


class Outer(ModelConfig):
    inner: Inner = Inner(a=10)
    optional: Inner | None = None
    table: dict[str, Inner] = {}
    critic: OptimizerConfig = RMSpropConfig(alpha=0.9)
    width: int


def test_keys_have_the_defaults_of_their_place() -> None:
    found = {".".join(key.path): key for key in keys.keys(Outer)}
    assert (found["inner.a"].default, found["optional.a"].default, found["table.*.a"].default) == (10, 1, 1)
    assert (found["inner.a"].meaning, found["inner"].meaning) == ("first", "Numbers of one thing")
    assert found["critic.alpha"].default == 0.9
    assert "critic.betas" not in found
    adam = {".".join(key.path): key for key in keys.keys(Outer, {"critic": {"kind": "adam"}})}
    assert "critic.betas" in adam
    assert "critic.alpha" not in adam


def test_null_stays_where_it_may_be_and_else_becomes_the_default() -> None:
    filled = keys.completed(Outer, {"inner": {"a": None, "b": None}, "optional": None, "width": None, "x": None})
    assert filled == {"inner": {"a": 10, "b": None}, "optional": None, "x": None}
    outer = Outer.model_validate(
        {"optional": {"a": None, "b": None}, "table": {"x": {"a": None}, "y": None}, "width": 1}
    )
    assert (outer.optional, outer.table) == (Inner(a=1, b=None), {"x": Inner()})
    assert TrainConfig.model_validate({"steps": 1, "batch": {"4": 8, "8": None}}).batch == {4: 8}


def test_a_section_begins_with_the_defaults_of_its_place() -> None:
    outer = Outer.model_validate({"inner": {"b": 3}, "optional": {"b": 3}, "critic": {"lr": 1}, "width": 1})
    assert (outer.inner, outer.optional) == (Inner(a=10, b=3), Inner(a=1, b=3))
    assert outer.critic == RMSpropConfig(alpha=0.9, lr=1)
    other = Outer.model_validate({"critic": {"kind": "adam", "eps": None}, "width": 1})
    assert other.critic == AdamConfig()


def test_what_is_no_section_is_left_to_pydantic() -> None:
    assert keys.completed(Outer, {"inner": 5, "table": [1], "critic": {"kind": []}}) == {
        "inner": 5,
        "table": [1],
        "critic": {**RMSpropConfig(alpha=0.9).model_dump(), "kind": []},
    }
