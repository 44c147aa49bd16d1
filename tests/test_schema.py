from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from gancli.registry import architecture_names, load_architecture
from gancli.schema import (
    AdamConfig,
    AveragingConfig,
    DataConfig,
    ImageModelConfig,
    Ramp,
    RunConfig,
    Section,
    TrainConfig,
    TurnConfig,
    at_images,
)


def messages(section: type[Section], **values: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        section(**values)
    return [error["msg"] for error in caught.value.errors()]


@pytest.mark.parametrize("lengths", [{}, {"steps": 1, "epochs": 1}, {"epochs": 1, "kimg": 2}])
def test_a_run_has_exactly_one_length(lengths: dict[str, float]) -> None:
    found = " and ".join(lengths) or "none of them"
    assert messages(TrainConfig, **lengths)[0].endswith(f"one of steps, epochs and kimg, but here is {found}")


@pytest.mark.parametrize("lengths", [{"steps": 1}, {"epochs": 0.5}, {"kimg": 2, "steps": None}])
def test_each_length_alone_is_enough(lengths: dict[str, float]) -> None:
    assert TrainConfig(**lengths).model_dump(include=set(lengths)) == lengths


def test_accumulate_splits_the_batch_into_equal_parts() -> None:
    assert TrainConfig(steps=1, batch=12, accumulate=3).accumulate == 3
    assert "cannot be split" in messages(TrainConfig, steps=1, batch=12, accumulate=5)[0]


@pytest.mark.parametrize("betas", [(0, 0.999), (0.5, 0.0)])
def test_betas_may_be_zero(betas: tuple[float, float]) -> None:
    assert AdamConfig(betas=betas).betas == betas


@pytest.mark.parametrize("betas", [(0.5,), (0.5, 1), (-0.1, 0.9), (0.1, 0.2, 0.3), ("a", 0.9), 0.5])
def test_betas_are_two_rates(betas: Any) -> None:
    assert messages(AdamConfig, betas=betas)


RISING, FALLING = {"start": 0.5, "end": 0.7, "kimg": 10}, {"start": 8.0, "end": 4.0, "kimg": 0.5}


@pytest.mark.parametrize(
    ("ramp", "values"),
    [
        (RISING, {0: 0.5, 2500: 0.55, 5000: 0.6, 9999: 0.69998, 10_000: 0.7, 10_001: 0.7, 10**9: 0.7}),
        ({**RISING, "shape": "linear"}, {0: 0.5, 2500: 0.55, 10_000: 0.7}),
        # (1 - cos(pi / 3)) / 2 = 1/4, (1 - cos(2 pi / 3)) / 2 = 3/4
        (FALLING | {"kimg": 0.3, "shape": "cosine"}, {0: 8.0, 100: 7.0, 150: 6.0, 200: 5.0, 300: 4.0, 900: 4.0}),
        (FALLING, {0: 8.0, 125: 7.0, 500: 4.0, 501: 4.0}),
    ],
)
def test_a_ramp_leads_from_its_start_to_its_end_and_stays_there(ramp: dict[str, Any], values: dict[int, float]) -> None:
    made = Ramp[float](**ramp)
    assert {images: made.at(images) for images in values} == pytest.approx(values)
    assert {images: at_images(made, images) for images in values} == pytest.approx(values)
    assert {images: at_images((0.9, made), images) for images in values} == {
        images: (0.9, pytest.approx(value)) for images, value in values.items()
    }


HALVED_IN_1000 = 0.5**0.064  # by 64 images


@pytest.mark.parametrize(
    ("average", "images", "images_shown", "decay"),
    [
        ({}, 64, 10**6, 0.999),
        ({"decay": 0.9}, 64, 10**6, 0.9),
        ({"half_life_kimg": 1}, 64, 0, HALVED_IN_1000),
        ({"half_life_kimg": 1}, 64, 10**6, HALVED_IN_1000),
        ({"half_life_kimg": 1}, 128, 0, HALVED_IN_1000**2),
        ({"half_life_kimg": 10}, 10_000, 0, 0.5),
        ({"half_life_kimg": {"start": 1, "end": 5, "kimg": 2}}, 64, 0, HALVED_IN_1000),
        ({"half_life_kimg": {"start": 1, "end": 5, "kimg": 2}}, 64, 1000, HALVED_IN_1000 ** (1 / 3)),
        ({"half_life_kimg": {"start": 1, "end": 5, "kimg": 2}}, 64, 2000, HALVED_IN_1000 ** (1 / 5)),
        ({"half_life_kimg": {"start": 1, "end": 5, "kimg": 2}}, 64, 10**6, HALVED_IN_1000 ** (1 / 5)),
    ],
)
def test_the_decay_of_an_average(average: dict[str, Any], images: int, images_shown: int, decay: float) -> None:
    assert AveragingConfig(**average).decay_of(images, images_shown) == pytest.approx(decay)


@pytest.mark.parametrize("device", ["auto", "cpu", "mps", "cuda", "cuda:0", "cuda:12"])
def test_devices(device: str) -> None:
    assert TrainConfig(steps=1, device=device).device == device


@pytest.mark.parametrize("device", ["", "gpu", "cuda:", "cuda:x", "CPU", "cpu ", "cuda\n", "auto|cpu"])
def test_unknown_devices(device: str) -> None:
    assert "cuda:1" in messages(TrainConfig, steps=1, device=device)[0]


def test_a_turn_leaves_losses_at_which_the_player_moves() -> None:
    assert TurnConfig(above=0.1, below=0.2).below == 0.2
    assert "never moves" in messages(TurnConfig, above=0.2, below=0.2)[0]


@pytest.mark.parametrize("key", ["batch", "epochs", "workers"])
def test_true_is_no_number(key: str) -> None:
    assert "must be a number, not true" in messages(TrainConfig, **{key: True})[0]


def test_whole_numbers_fit_64_bits() -> None:
    assert TrainConfig(steps=1e15).steps == 10**15
    assert "less than or equal to 9007199254740992" in messages(TrainConfig, steps=10**30)[0]
    assert TrainConfig(kimg=10**30).kimg == 1e30


def test_switches_take_true_and_false() -> None:
    config = TrainConfig(steps=1, compile=True, channels_last=False)
    assert (config.compile, config.channels_last) == (True, False)


def test_sections_are_frozen_and_closed() -> None:
    config = TrainConfig(steps=1)
    with pytest.raises(ValidationError):
        config.steps = 2  # type: ignore[misc]
    assert messages(TrainConfig, steps=1, stepz=1) == ["Extra inputs are not permitted"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_are_finite(value: float) -> None:
    assert messages(TrainConfig, epochs=value)


def test_the_model_section_is_dumped_with_the_architectures_own_keys() -> None:
    class Own(ImageModelConfig):
        width: int = 8

    config = RunConfig(architecture="x", model=Own(width=9), train=TrainConfig(steps=1))
    written = config.to_dict()["model"]
    assert {key: written[key] for key in ("resolution", "channels", "width")} == {
        "resolution": 64,
        "channels": 3,
        "width": 9,
    }
    assert set(written) == {"resolution", "channels", "width", "optimizers"}


@pytest.mark.parametrize("module", ["gancli.schema", "gancli.config"])
def test_importable_without_torch(module: str) -> None:
    heavy = "{'torch', 'torchvision', 'numpy', 'rich'}"
    code = f"import sys, {module}; assert not {heavy} & sys.modules.keys()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def _unbounded(section: type[BaseModel], path: str) -> list[str]:
    """Returns the whole numbers and lists of a section, and of those in it, that have no largest value or length."""
    found, schema = [], section.model_json_schema()

    def look(node: Any, path: str) -> None:
        if isinstance(node, dict):
            if node.get("type") == "integer" and not node.keys() & {"maximum", "exclusiveMaximum", "enum", "const"}:
                found.append(path)
            if (
                node.get("type") == "array"
                and node.get("items", {}).get("type") == "integer"
                and "maxItems" not in node
            ):
                found.append(path)
            for key, inner in node.items():
                look(inner, f"{path}.{key}")
        elif isinstance(node, list):
            for inner in node:
                look(inner, path)

    look(schema, path)
    return found


def test_every_whole_number_has_a_largest_value() -> None:
    sections: list[type[BaseModel]] = [DataConfig, TrainConfig]
    sections += [load_architecture(name).Config for name in architecture_names()]
    assert [path for section in sections for path in _unbounded(section, section.__qualname__)] == []


@pytest.mark.parametrize("count", [10**5, 10**9])
def test_a_run_does_not_start_more_processes_than_the_cores_can_feed(tmp_path: Path, count: int) -> None:
    words = ["train", "dcgan-shapes", "--data", "shapes", "--workers", str(count), "--out", str(tmp_path / "r")]
    assert "must be at most 1024" in _said(words)
    assert "core" in _said([*words[:5], "1000", *words[6:]])
    assert not (tmp_path / "r").exists()


def _said(words: list[str]) -> str:
    found = subprocess.run([sys.executable, "-m", "gancli", *words], capture_output=True, text=True, timeout=60)
    assert found.returncode == 2, found.stderr
    return found.stderr
