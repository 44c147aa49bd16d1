"""Evaluations of folders through the command line: the numbers of torch-fidelity, whatever the batch and the order."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch_fidelity
from reports import evaluate, flat
from tiny import WIDTH, Tiny, folder, script
from torch_fidelity.feature_extractor_base import FeatureExtractorBase

from gancli.cli.app import run


class Registered(FeatureExtractorBase):  # type: ignore[misc]
    """The same network as an extractor of torch-fidelity."""

    def __init__(self, name: str, features_list: list[str], **kwargs: Any) -> None:
        super().__init__(name, features_list)
        self.network = Tiny()

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return "features", "logits"

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return "logits" if metric == "isc" else "features"

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        said = dict(zip(("features", "logits"), self.network(images), strict=True))
        return tuple(said[name] for name in self.features_list)


class Flat(torch.nn.Module):
    """As many features as there are pixels."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.float().flatten(1)


class Three(torch.nn.Module):
    """One thing too many."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x = images.float().mean(dim=(2, 3))
        return x, x, x


torch_fidelity.register_feature_extractor("tiny", Registered)

ALL = ("--metrics", "fid,kid,is,prc", "--features", "tiny.pt", "--seed", "2020")


def test_the_numbers_are_those_of_torch_fidelity(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    theirs = torch_fidelity.calculate_metrics(
        input1="made",
        input2="real",
        feature_extractor="tiny",
        cuda=False,
        fid=True,
        kid=True,
        isc=True,
        prc=True,
        kid_subset_size=40,
        cache=False,
        verbose=False,
        save_cpu_ram=True,
    )
    ours = flat(evaluate(capfd, "made", "--data", "real", *ALL))
    pairs = {
        "fid": "frechet_inception_distance",
        "kid": "kernel_inception_distance_mean",
        "kid_std": "kernel_inception_distance_std",
        "is": "inception_score_mean",
        "is_std": "inception_score_std",
        "precision": "precision",
        "recall": "recall",
    }
    for name, key in pairs.items():
        assert ours[name] == pytest.approx(theirs[key], rel=1e-6, abs=1e-9), name
    assert ours["kid_x100"] == pytest.approx(100 * ours["kid"])
    assert ours["fid"] > 0.001
    assert ours["is"] > 1.0005


def test_neither_batch_nor_order_nor_cache_changes_anything(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first = flat(evaluate(capfd, "made", "--data", "real", *ALL))
    again = flat(evaluate(capfd, "made", "--data", "real", *ALL, "--batch", "7"))
    assert again == pytest.approx(first, rel=1e-5)
    names = sorted(path.name for path in (here / "made").iterdir())
    (here / "turned").mkdir()
    for name, other in zip(names, reversed(names), strict=True):
        shutil.copy(here / "made" / name, here / "turned" / other)
    turned = flat(evaluate(capfd, "turned", "--data", "real", *ALL))
    for name in ("fid", "precision", "recall"):
        assert turned[name] == pytest.approx(first[name], rel=1e-5)


def test_a_set_is_no_distance_from_itself_and_far_from_another(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ("--metrics", "fid,kid,prc,swd", "--features", "tiny.pt")
    same, other = (flat(evaluate(capfd, "real", "--data", data, *words)) for data in ("real", "made"))
    assert abs(same["fid"]) < 1e-6
    assert -0.02 < same["kid"] < 0  # unbiased: without the distance of each image from itself
    assert (same["precision"], same["recall"]) == (1, 1)
    assert same["swd"] < 60  # both draw patches of their own
    assert other["fid"] > 1e-3
    assert other["swd"] > 1.5 * same["swd"]


def test_a_file_that_cannot_be_written_costs_no_result(
    here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    words = ["evaluate", "made", "--data", "real", "--metrics", "fid", "--features", "tiny.pt", "--json"]
    assert run([*words, "-o", "/dev/null"]) == 0
    assert not Path("/dev/null").is_file()
    expected = json.loads(capfd.readouterr().out)
    monkeypatch.setattr("gancli.cli.evaluate.replace_file", full)
    assert run([*words, "-o", "report.json"]) == 1
    out, err = capfd.readouterr()
    assert json.loads(out) == expected
    assert "report.json" in err


def test_a_metric_that_fails_costs_the_others_nothing(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "made", "--data", "made", "--metrics", "psnr,ssim", "--json", "-o", "report.json"]
    assert run(words) == 1
    out, err = capfd.readouterr()
    assert "psnr is infinite" in err
    assert json.loads(out)["metrics"] == {"ssim": {"ssim": pytest.approx(1)}}
    assert json.loads((here / "report.json").read_text()) == json.loads(out)


def test_features_that_are_always_the_same_are_an_error(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    class Same(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(images), 3)

    script(here / "same.pt", Same())
    words = ("made", "--data", "real", "--metrics", "kid", "--features", "same.pt")
    assert "all real images have the same features" in evaluate(capfd, *words, code=1)["err"]


def test_the_report_says_how_it_came_about(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    report = evaluate(capfd, "made", "--data", "real", *ALL, "-n", "30", "-o", "out/report.json")
    assert json.loads((here / "out/report.json").read_text()) == report
    protocol = report["protocol"]
    assert protocol["made"]["images"] == 30
    assert protocol["real"] == {"name": "real", "split": "train", "images": 30, "preparation": "as they are"}
    assert protocol["seed"] == 2020
    assert protocol["features"]["fid"]["weights"].keys() == {"tiny.pt"}
    assert len(protocol["features"]["fid"]["weights"]["tiny.pt"]) == 64
    assert protocol["versions"]["torch-fidelity"] == torch_fidelity.__version__

    assert run(["evaluate", "made", "--data", "real", "--metrics", "fid", "--features", "tiny.pt"]) == 0
    out, err = capfd.readouterr()
    header, row = out.splitlines()
    assert header.split() == ["metric", "value", "better"]
    assert row.split()[0] == "fid"
    assert row.split()[2] == "lower"
    assert "40 images of made; against 50 of real" in err


def test_images_that_cannot_be_read_are_left_out_and_named(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "made", "--data", "real", "--metrics", "fid,psnr", "--features", "tiny.pt", "--json"]
    (here / "real/040.png").unlink()
    shutil.copytree(here / "made", here / "whole")
    (here / "made/005.png").write_text("no picture")
    (here / "real/006.png").write_text("no picture")
    assert run(words) == 0
    out, err = capfd.readouterr()
    report = json.loads(out)
    assert report["protocol"]["made"]["images"] == 38  # neither is one half of a pair left alone
    for name in ("made/005.png", "real/006.png"):
        assert f"left out: {name}" in err
    for name in ("005.png", "006.png"):
        (here / "whole" / name).unlink()
        (here / "real" / name).unlink()
    words[1] = "whole"
    assert run(words) == 0
    assert json.loads(capfd.readouterr().out)["metrics"]["psnr"] == pytest.approx(report["metrics"]["psnr"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["made", "--data", "real", "--metrics", "fud"], "there is no metric 'fud'"),
        (["made", "--data", "real", "--features", "nothing.pt"], "there is no such network or file"),
        (["made", "--data", "real", "--features", "torchvision:resnet51"], "torchvision has no such classifier"),
        (["made", "--data", "real", "--features", "tiny.pt", "--weights", "x.pth"], "holds its own weights"),
        (["made", "--data", "real", "--weights", "x.pth"], "--weights x.pth: needs --features"),
        (["made", "--features", "tiny.pt"], "fid compares with real images"),
        (["made", "--data", "nowhere"], "does not exist"),
        (["made", "--data", "empty"], "the folder 'empty' is empty"),
        (["empty", "--data", "real"], "the folder 'empty' is empty"),
        (["made", "--data", "real", "--metrics", "ppl"], "ppl needs a model that draws latents"),
        (["made", "--data", "real", "--metrics", "coverage"], "modes of built-in data"),
        (["made", "--data", "real", "--metrics", "accuracy"], "accuracy needs a classifier"),
        (["made", "--data", "real", "--metrics", "class-fid"], "class-fid: there are no classes"),
        (["made", "--data", "real", "--trunc", "1"], "--trunc 1.0: needs a model, but made holds images"),
        (["made", "--data", "real", "-o", "real"], "-o real: is a folder, not a file"),
        (["made", "--data", "real", "-n", "0"], "-n 0: must be between 2"),
        (["made", "--data", "real", "--split", "best"], "--split best: unknown"),
        (["made", "--data", "real", "--split", "test", "--features", "tiny.pt"], "real has no test part"),
        (["made", "--split", "test", "--metrics", "is", "--features", "tiny.pt"], "--split needs --data"),
        (["made", "--data", "real", "-o", "-"], "--json writes the report to stdout"),
        (["made", "--data", "real", "-o", "real/000.png/x.json"], "cannot make its folder"),
        (["made", "--data", "real", "--metrics", "swd", "--features", "tiny.pt"], "tiny.pt: not used by swd"),
        (
            ["made", "--data", "real", "--metrics", "is", "--features", "tiny.pt", "--save-stats", "a.npz"],
            "no metric needs",
        ),
        (["made", "--stats", "moments.npz", "--metrics", "fid,swd", "--features", "tiny.pt"], "--stats is not enough"),
        (
            ["made", "--data", "real", "--metrics", "separability", "--classifier", "no.pt"],
            "--classifier no.pt: there is",
        ),
        (
            ["made", "--data", "real", "--metrics", "separability", "--classifier", "torchvision:resnet51"],
            "--classifier torchvision:resnet51: torchvision has no",
        ),
        (["made", "--data", "real", "-o", "tiny.pt"], "-o tiny.pt: must end in .json"),
        (["made", "--data", "real", "--metrics", "swd", "--classifier", "tiny.pt"], "tiny.pt: not used by swd"),
        (["made", "--stats", "moments.npz", "--metrics", "is", "--features", "tiny.pt"], "npz: not used by is"),
        (["made", "--data", "real", "-n", "9" * 30], "must be between 2 and 1,000,000,000"),
        (["mixed", "--data", "real", "--metrics", "kid", "--features", "flat.pt"], "returned 3072 features for"),
        (["made", "--data", "real", "--metrics", "kid", "--features", "three.pt"], "returns no features"),
        (["made", "--stats", "rows.npz", "--metrics", "kid", "--features", "tiny.pt"], "are of 3 features"),
        (["nowhere.zip", "--data", "real"], "'nowhere.zip' is neither images nor a model"),
        (["no/where", "--data", "real"], "'no/where' is neither images nor a model"),
        (["broken", "--data", "real", "--features", "tiny.pt"], "broken/0.png: "),
        (["made", "--stats", "tiny.pt", "--features", "tiny.pt"], "has no statistics"),
        (
            ["made", "--stats", "other.npz", "--features", "tiny.pt", "--metrics", "fid"],
            "of 3 features, but tiny.pt has 6",
        ),
        (["made", "--data", "real", "--features", "made/000.png"], "is not a TorchScript or torch.export file"),
        (["made", "--data", "real", "--features", "bad.pt"], "returns no features"),
        (["made", "--data", "real", "--metrics", "ssim", "-n", "3", "--features", "tiny.pt"], "no image of made"),
    ],
)
def test_wrong_input_is_said_in_words(
    here: Path, words: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "empty").mkdir()
    np.savez(here / "other.npz", mu=np.zeros(3), sigma=np.eye(3))
    np.savez(here / "moments.npz", mu=np.zeros(WIDTH), sigma=np.eye(WIDTH))
    (here / "broken").mkdir()
    for index in range(2):
        (here / f"broken/{index}.png").write_text("no picture")
    rows = np.zeros((9, 3), np.float32)
    np.savez(here / "rows.npz", mu=np.zeros(3), sigma=np.eye(3), features=rows)
    folder(here / "mixed/a", 3, 0, side=16)
    for path in folder(here / "large", 3, 0, side=32).iterdir():
        path.rename(here / f"mixed/a/large-{path.name}")
    if "flat.pt" in words:
        script(here / "flat.pt", Flat())
    if "three.pt" in words:
        script(here / "three.pt", Three())
    if "bad.pt" in words:
        script(here / "bad.pt", torch.nn.Flatten(0))
    if "ssim" in words:
        for path in (here / "real").iterdir():
            path.rename(path.with_name(f"x{path.name}"))
    assert message in " ".join(evaluate(capfd, *words, code=2)["err"].split())
