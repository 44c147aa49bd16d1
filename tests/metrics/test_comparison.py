"""What is compared with what: parts of data, and a model's images with those of the right domain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from one_and_three import SIDE, Negative, NegativeOfThree
from tiny import folder

from gancli.architectures.base import Way
from gancli.data.opening import open_source
from gancli.data.shapes import Drawn
from gancli.data.source import Source
from gancli.domains import Domain, Inputs
from gancli.errors import GancliError
from gancli.metrics.comparison import of_files, of_model, open_part
from gancli.metrics.images import TranslatedImages
from gancli.schema import DataConfig

CPU = torch.device("cpu")


def compared(model: Negative, source: Source | None, way: Way | None = None, **more: Any) -> Any:
    return of_model("model", model.eval(), source, DataConfig(), CPU, n=6, seed=1, way=way, **more)


def test_parts_of_data_are_opened_by_name_or_by_preference(tmp_path: Path) -> None:
    for part, count in (("train", 5), ("test", 3)):
        folder(tmp_path / "data" / part, count, 0)
    location, whole = str(tmp_path / "data"), folder(tmp_path / "whole", 4, 0)
    for split, prefer, wanted in (
        ("train", True, ("train", 5)),
        ("test", False, ("test", 3)),
        ("all", False, ("all", 8)),
        (None, False, ("train", 5)),
        (None, True, ("test", 3)),
    ):
        source, part = open_part(location, split, prefer_test=prefer)
        assert (part, len(source.domains["image"])) == wanted
    source, part = open_part(str(whole), None, prefer_test=True)
    assert (part, len(source.domains["image"])) == ("train", 4)
    with pytest.raises(GancliError, match=r"--split test: .*whole has no test part"):
        open_part(str(whole), "test")


def test_two_folders_with_the_same_names_are_classes_of_one_set_of_files(tmp_path: Path) -> None:
    for name, seed in (("cat", 0), ("dog", 1)):
        folder(tmp_path / "animals" / name, 4, seed)
    comparison = of_files(str(tmp_path / "animals"), str(tmp_path / "animals"), None, None, 0, paired=False)
    assert comparison.classes == ("cat", "dog")
    assert comparison.real is not None
    assert (len(comparison.made), len(comparison.real), comparison.split) == (8, 8, "train")
    with pytest.raises(GancliError, match="holds outline and filled, but one set of images is compared"):
        of_files("shapes:pairs", None, None, None, 0, paired=False)


def test_a_translator_within_one_domain_is_compared_with_that_domain() -> None:
    comparison = compared(Negative(), open_source("shapes"))
    assert isinstance(comparison.made, TranslatedImages)
    assert comparison.made.name == "model to image"
    assert not comparison.paired
    for part, real in zip(comparison.made.parts(4), comparison.real.parts(4), strict=True):
        np.testing.assert_array_equal(part.pixels, 255 - real.pixels)
        assert part.pixels.shape[1:] == (SIDE, SIDE, 3)


def test_of_several_domains_those_of_the_way_are_taken() -> None:
    source = Source("three", "", {name: Drawn(name, name) for name in ("plain", "outline", "striped")})
    for way, names in (
        (Way("C", "A"), ("striped", "plain")),
        (Way("A", "B"), ("plain", "outline")),
        (None, ("striped", "striped")),
    ):
        comparison = compared(NegativeOfThree(), source, way)
        assert comparison.made.name == f"model to {names[1]}"
        assert (comparison.made.inputs.name, comparison.real.name) == tuple(f"three ({name})" for name in names)
    assert comparison.preparation == "resized to 16x16 (cover, bilinear) and cropped in the middle"


def test_models_that_make_no_images_or_take_something_else_are_refused() -> None:
    class Masks(Negative):
        @classmethod
        def inputs(cls, config: Any) -> Inputs:
            return Inputs({"mask": Domain((SIDE, SIDE), "mask"), "image": Domain((3, SIDE, SIDE))})

    with pytest.raises(GancliError, match="model takes data other than images"):
        compared(Masks(), open_source("shapes"))


def test_the_noise_of_a_translator_is_the_same_for_every_image_and_batch() -> None:
    pixels = []
    for size, batch in ((4, 4), (1, 64)):
        model = Negative(noisy=True)
        comparison = compared(model, open_source("shapes"), batch=batch)
        parts = list(comparison.made.parts(size))
        pixels.append(np.concatenate([part.pixels for part in parts]))
        assert model.seen == [len(part) for part in parts] == [1] * 6
    np.testing.assert_array_equal(*pixels)
    real = np.concatenate([part.pixels for part in comparison.real.parts(6)])
    x = torch.from_numpy(real[3:4].transpose(0, 3, 1, 2)).float() / 127.5 - 1
    torch.manual_seed(1)
    wanted = ((torch.randn_like(x) / 4 - x + 1) * 127.5).round().clamp(0, 255).byte()
    np.testing.assert_array_equal(pixels[0][3], wanted[0].permute(1, 2, 0).numpy())
