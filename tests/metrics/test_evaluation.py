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
from tiny import WIDTH, Tiny, folder, script
from torch_fidelity.feature_extractor_base import FeatureExtractorBase

from gancli.cli.app import run
from gancli.home import home


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


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    script(tmp_path / "tiny.pt")
    folder(tmp_path / "made", 40, 1)
    folder(tmp_path / "real", 50, 2, level=0.8)
    return tmp_path


def evaluate(capfd: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    """Runs the command with --json and returns the report."""
    found = run(["evaluate", *words, "--json"])
    out, err = capfd.readouterr()
    assert found == code, err
    assert "Traceback" not in err
    report: dict[str, Any] = json.loads(out) if code == 0 else {"err": err}
    return report


def flat(report: dict[str, Any]) -> dict[str, float]:
    return {name: value for values in report["metrics"].values() for name, value in values.items()}


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


def test_statistics_are_kept_saved_and_read(here: Path, capfd: pytest.CaptureFixture[str], gancli_home: Path) -> None:
    words = ("--metrics", "fid,kid", "--features", "tiny.pt")
    first = evaluate(capfd, "made", "--data", "real", *words, "--save-stats", "real.npz")
    (kept,) = (gancli_home / "statistics").iterdir()
    stamp = kept.stat().st_mtime_ns
    again = evaluate(capfd, "made", "--data", "real", *words)
    assert kept.stat().st_mtime_ns == stamp
    assert again == first
    loaded = evaluate(capfd, "made", "--stats", "real.npz", *words)
    assert loaded["metrics"] == first["metrics"]
    stated = loaded["protocol"]["real"]["statistics"]
    assert len(stated.pop("sha256")) == 64
    assert stated == {"file": "real.npz", **first["protocol"]["real"]}
    both = evaluate(capfd, "made", "--data", "made", "--stats", "real.npz", *words)
    assert both["metrics"] == first["metrics"]  # what the file says counts, and not the data beside it
    with np.load(here / "real.npz") as file:
        assert file["mu"].shape == (WIDTH,)
        assert file["features"].shape == (50, WIDTH)
        np.testing.assert_allclose(file["sigma"], np.cov(file["features"], rowvar=False), rtol=1e-6)
        # As other programs write them.
        np.savez(here / "moments.npz", mu=file["mu"], sigma=file["sigma"])
    fid = evaluate(capfd, "made", "--stats", "moments.npz", "--metrics", "fid", "--features", "tiny.pt")
    assert flat(fid)["fid"] == pytest.approx(flat(first)["fid"], rel=1e-12)
    err = evaluate(capfd, "made", "--stats", "moments.npz", *words, code=2)["err"]
    assert "the features of every image are needed" in " ".join(err.split())

    (here / "real/000.png").unlink()  # other images, other statistics
    assert evaluate(capfd, "made", "--data", "real", *words)["metrics"] != first["metrics"]
    assert len(list((gancli_home / "statistics").iterdir())) == 2


def test_what_is_kept_is_of_exactly_these_images(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What a second evaluation finds in the cache is what it would have made itself."""
    (one, other) = (folder(here / f"few{side}", 6, side, side) for side in (20, 28))
    asked = [(str(images), "--data", "shapes", "-n", "6", "--metrics", "fid") for images in (one, other)]
    (here / "halves/a").mkdir(parents=True)
    (here / "halves/b").mkdir()
    for index, path in enumerate(sorted((here / "made").iterdir())):
        shutil.copy(path, here / "halves" / "ab"[index % 2] / path.name)
    asked += [(f"halves/{half}", "--data", "real", "--metrics", "fid,ms-ssim,ssim") for half in "ab"]
    found = [flat(evaluate(capfd, *words, "--features", "tiny.pt")) for words in asked]
    for words, kept in zip(asked[::2], found[::2], strict=True):
        assert flat(evaluate(capfd, *words, "--features", "tiny.pt")) == kept
    shutil.rmtree(home() / "statistics")
    for words, kept in zip(asked[1::2], found[1::2], strict=True):
        assert flat(evaluate(capfd, *words, "--features", "tiny.pt")) == kept


def test_a_cache_that_is_damaged_or_cannot_be_written_costs_nothing(
    here: Path, capfd: pytest.CaptureFixture[str], gancli_home: Path
) -> None:
    words = ["evaluate", "made", "--data", "real", "--metrics", "kid", "--features", "tiny.pt", "--json"]
    (here / "real/003.png").write_text("no picture")

    def found() -> tuple[dict[str, float], str]:
        assert run(words) == 0
        out, err = capfd.readouterr()
        assert "left out: real/003.png" in err  # from the cache, too
        return flat(json.loads(out)), err

    first, _ = found()
    (kept,) = (gancli_home / "statistics").iterdir()
    assert found()[0] == first
    kept.write_bytes(kept.read_bytes()[:1000])
    again, err = found()
    assert again == first
    assert "made again" in err
    shutil.rmtree(gancli_home / "statistics")
    (gancli_home / "statistics").write_text("in the way")
    again, err = found()
    assert again == first
    assert "are not kept for the next time" in err


def test_a_file_that_cannot_be_written_costs_no_result(
    here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gancli import files

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    words = ["evaluate", "made", "--data", "real", "--metrics", "fid", "--features", "tiny.pt", "--json"]
    assert run([*words, "-o", "/dev/null"]) == 0
    assert not Path("/dev/null").is_file()
    expected = json.loads(capfd.readouterr().out)
    monkeypatch.setattr(files, "replace_file", full)
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


def test_statistics_that_are_none_are_refused(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    good: dict[str, Any] = {"mu": np.zeros(WIDTH), "sigma": np.eye(WIDTH)}
    rows = np.random.default_rng(0).normal(size=(9, WIDTH)).astype(np.float32)
    for bad, message in (
        ({"mu": np.zeros((2, 2))}, "holds no statistics"),
        ({"mu": np.array(["a"] * WIDTH)}, "is no .npz file of statistics"),
        ({"mu": np.full(WIDTH, np.nan)}, "are not finite"),
        ({"protocol": "[1]"}, "what belongs to them"),
        ({"protocol": "{"}, "is no .npz file of statistics"),
        ({"features": rows[:, 1:]}, "what belongs to them"),
        ({"features": rows.astype(int)}, "what belongs to them"),
        ({"features": rows, "labels": np.zeros(3, int)}, "what belongs to them"),
    ):
        np.savez(here / "bad.npz", **{**good, **bad})
        words = ("made", "--stats", "bad.npz", "--metrics", "fid", "--features", "tiny.pt")
        assert message in " ".join(evaluate(capfd, *words, code=2)["err"].split())
    np.save(here / "array.npy", rows)
    words = ("made", "--stats", "array.npy", "--metrics", "fid", "--features", "tiny.pt")
    assert "is no .npz file of statistics" in evaluate(capfd, *words, code=2)["err"]


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
        (["made", "--data", "real", "--features", "tiny.pt", "--weights", "x.pth"], "has weights of its own"),
        (["made", "--data", "real", "--weights", "x.pth"], "of which network?"),
        (["made", "--features", "tiny.pt"], "fid compares with real images"),
        (["made", "--data", "nowhere"], "does not exist"),
        (["made", "--data", "empty"], "empty is empty"),
        (["empty", "--data", "real"], "empty is empty"),
        (["made", "--data", "real", "--metrics", "ppl"], "walks through the latents of a model"),
        (["made", "--data", "real", "--metrics", "coverage"], "modes of the built-in shapes"),
        (["made", "--data", "real", "--metrics", "accuracy"], "accuracy needs a classifier"),
        (["made", "--data", "real", "--trunc", "1"], "it is no model"),
        (["made", "--data", "real", "-o", "real"], "-o real: is a folder, not a file"),
        (["made", "--data", "real", "-n", "0"], "-n 0: must lie between 2"),
        (["made", "--data", "real", "--split", "best"], "--split best: unknown"),
        (["made", "--data", "real", "--split", "test", "--features", "tiny.pt"], "real has no test part"),
        (["made", "--split", "test", "--metrics", "is", "--features", "tiny.pt"], "part of what?"),
        (["made", "--data", "real", "-o", "-"], "--json writes the report to stdout"),
        (["made", "--data", "real", "-o", "real/000.png/x.json"], "cannot make its folder"),
        (["made", "--data", "real", "--metrics", "swd", "--features", "tiny.pt"], "swd looks at no features"),
        (
            ["made", "--data", "real", "--metrics", "is", "--features", "tiny.pt", "--save-stats", "a.npz"],
            "no metric needs",
        ),
        (["made", "--stats", "moments.npz", "--metrics", "fid,swd", "--features", "tiny.pt"], "--stats is not enough"),
        (["made", "--data", "real", "--metrics", "accuracy", "--classifier", "no.pt"], "--classifier no.pt: there is"),
        (["made", "--data", "real", "-o", "tiny.pt"], "-o tiny.pt: must end in .json"),
        (["made", "--data", "real", "--metrics", "swd", "--classifier", "tiny.pt"], "swd does not look at it"),
        (["made", "--stats", "moments.npz", "--metrics", "is", "--features", "tiny.pt"], "is does not look at it"),
        (["made", "--data", "real", "-n", "9" * 30], "must lie between 2 and a thousand million"),
        (["mixed", "--data", "real", "--metrics", "kid", "--features", "flat.pt"], "features of an image, but said"),
        (["made", "--data", "real", "--metrics", "kid", "--features", "three.pt"], "returns no features"),
        (["made", "--stats", "rows.npz", "--metrics", "kid", "--features", "tiny.pt"], "are of 3 features"),
        (["nowhere.zip", "--data", "real"], "neither images nor a model 'nowhere.zip'"),
        (["no/where", "--data", "real"], "neither images nor a model 'no/where'"),
        (["broken", "--data", "real", "--features", "tiny.pt"], "broken/0.png: "),
        (["made", "--stats", "tiny.pt", "--features", "tiny.pt"], "holds no statistics"),
        (
            ["made", "--stats", "other.npz", "--features", "tiny.pt", "--metrics", "fid"],
            "of 3 features, but tiny.pt has 6",
        ),
        (["made", "--data", "real", "--features", "made/000.png"], "is no TorchScript or torch.export file"),
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


def test_weights_that_are_nowhere_are_named_with_their_place(
    here: Path, gancli_home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from urllib.error import URLError

    def no_network(*args: Any, **kwargs: Any) -> None:
        raise URLError("no network here")

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(here / "hub"))
    err = evaluate(capfd, "made", "--data", "real", code=2)["err"]
    assert "weights-inception-2015-12-05-6726825d.pth" in err
    assert "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2" in err
    assert str(gancli_home / "features") in err
    monkeypatch.setattr(torch.hub, "load", no_network)
    err = evaluate(capfd, "made", "--data", "real", "--features", "dinov2", code=2)["err"]
    assert "dinov2_vitl14_pretrain.pth, SHA-256 d5383ea8f4877b24" in err
    assert str(here / "hub/checkpoints/dinov2_vitl14_pretrain.pth") in err
    # Anything may lie there: it is read without running code in it.
    (gancli_home / "features").mkdir(exist_ok=True)
    (gancli_home / "features/weights-inception-2015-12-05-6726825d.pth").write_bytes(b"cos\nsystem\n(S'touch x'\ntR.")
    assert "without running code" in evaluate(capfd, "made", "--data", "real", code=2)["err"]
    assert not (here / "x").exists()


def test_torchvision_networks_take_weights_of_their_convolutions_or_all(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    network = squeezenet1_1(weights=None)
    torch.save(network.state_dict(), here / "all.pth")
    torch.save(network.features.state_dict(), here / "features.pth")
    (made, real) = (folder(here / f"few{seed}", 4, seed) for seed in (3, 4))
    words = (str(made), "--data", str(real), "--metrics", "kid", "--features", "torchvision:squeezenet1_1")
    whole, part = (flat(evaluate(capfd, *words, "--weights", f"{name}.pth")) for name in ("all", "features"))
    assert whole == pytest.approx(part, rel=1e-6)
    torch.save({"a": torch.zeros(1)}, here / "other.pth")
    err = evaluate(capfd, *words, "--weights", "other.pth", code=2)["err"]
    assert "does not hold the weights of squeezenet1_1" in err


def test_a_torch_export_file_says_the_same(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    images = torch.zeros(2, 3, 24, 24, dtype=torch.uint8)
    free = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    for name, shapes in (("free", (free,)), ("fixed", None)):
        torch.export.save(torch.export.export(Tiny(), (images,), dynamic_shapes=shapes), here / f"{name}.pt2")
    words = ("made", "--data", "real", "--metrics", "fid,is", "--features")
    expected = flat(evaluate(capfd, *words, "tiny.pt"))
    assert flat(evaluate(capfd, *words, "free.pt2")) == pytest.approx(expected, rel=1e-5)
    assert "fixed.pt2 cannot take images uint8 [4, 3, 24, 24]" in evaluate(capfd, *words, "fixed.pt2", code=2)["err"]


@pytest.mark.slow
def test_inception_is_that_of_torch_fidelity(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    torch.manual_seed(0)
    torch.save({}, here / "none.pth")
    with pytest.MonkeyPatch.context() as patch:  # it is never built without weights
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        network = FeatureExtractorInceptionV3("", ["2048"], feature_extractor_weights_path=str(here / "none.pth"))
    torch.save(network.state_dict(), here / "random.pth")
    theirs = torch_fidelity.calculate_metrics(
        input1="made",
        input2="real",
        feature_extractor_weights_path=str(here / "random.pth"),
        cuda=False,
        kid=True,
        isc=True,
        fid=True,
        kid_subset_size=40,
        cache=False,
        verbose=False,
        save_cpu_ram=True,
    )
    words = ("--metrics", "kid,is,fid", "--features", "inception", "--weights", "random.pth", "--seed", "2020")
    ours = flat(evaluate(capfd, "made", "--data", "real", *words))
    assert ours["fid"] == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)
    assert ours["kid"] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6, abs=1e-9)
    assert ours["is"] == pytest.approx(theirs["inception_score_mean"], rel=1e-6)
