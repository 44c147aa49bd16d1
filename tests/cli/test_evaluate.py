"""``gancli evaluate`` of models, and ``train --eval``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small import SMALL, save_model
from tiny import script
from torch import Tensor, nn

from gancli.architectures.base import Way
from gancli.cli.app import run
from gancli.data.opening import open_source
from gancli.home import home
from gancli.modelfile import read_info


class Corner(nn.Module):
    """A classifier that goes by whether the first channel or the others are brighter: uint8 images -> logits [N, 3]."""

    def forward(self, images: Tensor) -> Tensor:
        means = images.float().mean(dim=(2, 3))
        return means - means.mean(dim=1, keepdim=True)


@pytest.fixture
def there(here: Path, named: None) -> Path:
    script(here / "tiny.pt")
    return here


def evaluate(capfd: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    found = run(["evaluate", *words, *(["--json"] if code == 0 else [])])
    out, err = capfd.readouterr()
    assert found == code, err
    assert "Traceback" not in err
    return json.loads(out) if code == 0 else " ".join(err.split())


WORDS = ("--metrics", "fid,is", "--features", "tiny.pt", "-n", "30")


def test_a_latent_model_is_sampled_from_the_seed_on(there: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first = evaluate(capfd, "dcgan", "--data", "shapes", *WORDS)
    assert evaluate(capfd, "dcgan", "--data", "shapes", *WORDS, "--batch", "7")["metrics"] == {
        name: pytest.approx(values, rel=1e-3) for name, values in first["metrics"].items()
    }
    assert evaluate(capfd, "dcgan", "--data", "shapes", *WORDS, "--seed", "5")["metrics"] != first["metrics"]
    less = evaluate(capfd, "dcgan", "--data", "shapes", *WORDS, "--trunc", "0.2")
    assert less["metrics"] != first["metrics"]
    assert less["protocol"]["made"] == {**first["protocol"]["made"], "truncation": 0.2}
    made = first["protocol"]["made"]
    assert (made["kind"], made["images"], len(made["sha256"])) == ("dcgan", 30, 64)
    # The images are those of sample: their files give the same.
    assert run(["sample", "dcgan", "-n", "30", "-o", "out/"]) == 0
    capfd.readouterr()
    files = evaluate(capfd, "out", "--metrics", "is", "--features", "tiny.pt")
    assert files["metrics"]["is"] == pytest.approx(first["metrics"]["is"], rel=1e-5)


def test_styles_are_truncated_and_classes_judged(there: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script(there / "corner.pt", Corner())
    words = ("--metrics", "separability,accuracy", "--classifier", "corner.pt", "-n", "24")
    found = evaluate(capfd, "stylegan3", "--data", "animals.npz", *words, code=2)
    assert "'animals.npz' does not exist" in found
    pixels = np.zeros((12, 16, 16, 3), np.uint8)
    for index in range(12):
        pixels[index, :, :, index % 3] = 200
    np.savez(there / "animals.npz", images=pixels, labels=np.arange(12) % 3)
    found = evaluate(capfd, "stylegan3", "--data", "animals.npz", *words)["metrics"]
    assert found["accuracy"]["accuracy_real"] == 1
    assert 0 <= found["accuracy"]["accuracy"] <= 1
    assert found["separability"]["separability_z"] >= 1
    assert found["separability"]["separability_w"] >= 1
    # Names say which class is which, whatever their order; others are refused.
    for number, name in enumerate(("big cow", "dog", "cat")):
        (there / f"zoo/{name}").mkdir(parents=True)
        for index in range(3):
            Image.fromarray(pixels[2 - number]).save(there / f"zoo/{name}/{index}.png")
    found = evaluate(capfd, "stylegan3", "--data", "zoo", *words)["metrics"]
    assert found["accuracy"]["accuracy_real"] == 1
    # Another model of the same classes in another order finds its own statistics in the cache.
    within = ["--data", "zoo", "--metrics", "class-fid", "--features", "tiny.pt", "-n", "9"]
    first = evaluate(capfd, "stylegan3", *within, "--save-stats", "zoo.npz")["metrics"]["class-fid"]
    save_model(there / "turned.safetensors", "stylegan", classes=("dog", "big cow", "cat"))
    turned = evaluate(capfd, "turned.safetensors", *within)["metrics"]["class-fid"]
    shutil.rmtree(home() / "statistics")
    assert evaluate(capfd, "turned.safetensors", *within)["metrics"]["class-fid"] == turned
    assert evaluate(capfd, "stylegan3", *within)["metrics"]["class-fid"] == first
    wrong = evaluate(capfd, "turned.safetensors", "--stats", "zoo.npz", *within[2:], code=2)
    assert "these images have the classes cat, dog, big cow, but those to judge dog, big cow, cat" in wrong
    (there / "zoo/dog").rename(there / "zoo/wolf")
    wrong = evaluate(capfd, "stylegan3", "--data", "zoo", *words, code=2)
    assert "have the classes big cow, cat, wolf, but those of stylegan3 are cat, dog, big cow" in wrong
    mean = evaluate(capfd, "stylegan", "--metrics", "swd", "--data", "shapes", "-n", "8", "--trunc", "0")
    full = evaluate(capfd, "stylegan", "--metrics", "swd", "--data", "shapes", "-n", "8")
    assert mean["metrics"] != full["metrics"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("dcgan", "--to", "zebra"), "a dcgan does not translate"),
        (("dcgan", "--cutoff", "3"), "has no styles"),
        (("nobody",), "there is no model 'nobody'"),
        (("dcgan", "--data", "shapes:pairs"), "cannot be compared with what dcgan makes: it needs one domain"),
        (("dcgan", "--metrics", "separability"), "needs a classifier"),
        (("dcgan", "--metrics", "accuracy", "--classifier", "tiny.pt"), "there are no classes"),
        (("dcgan", "--metrics", "is", "--seed", "-1"), "--seed -1"),
        (("dcgan", "--metrics", "ssim", "--data", "shapes"), "nothing pairs dcgan"),
    ],
)
def test_what_a_model_cannot_do_is_said(
    there: Path, words: tuple[str, ...], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert message in evaluate(capfd, *words, "--features", "tiny.pt", code=2)


def test_a_translator_is_compared_with_the_other_domain_of_the_test_part(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script(here / "tiny.pt")
    words = ["--resolution", "32", "--steps", "1", "--set", "model.generator_width=2", "--set"]
    words += ["model.discriminator_width=2", "--set", "train.samples=2", "--set", "model.receptive_field=16"]
    for name, images in open_source("shapes:pairs").domains.items():
        (here / f"few/{name}").mkdir(parents=True)
        for index in range(4):
            Image.fromarray(images.read(index, 3, 32)).save(here / f"few/{name}/{index}.png")
    assert run(["train", "pix2pix-shapes", "--data", "few", "--name", "outlines", *words]) == 0
    capfd.readouterr()
    asked = ["--data", "shapes:pairs", "--metrics", "ssim,psnr,kid", "--features", "tiny.pt", "-n", "12"]
    found = evaluate(capfd, "outlines", *asked)
    assert found["protocol"]["made"]["name"] == "outlines to filled"
    prepared = "resized to 32x32 (cover, bilinear) and cropped in the middle"
    assert found["protocol"]["real"] == {
        **{"name": "shapes:pairs (filled)", "split": "test", "images": 12, "preparation": prepared}
    }
    # By hand: the first of those images, translated and compared.
    from gancli.metrics.images import Stored
    from gancli.modelfile import load_model

    source = open_source("shapes:pairs", "test")
    chosen = Stored("", "", source.domains["outline"], 3).some(12, 0).chosen
    model, _ = load_model(here / "runs/outlines/model.safetensors", torch.device("cpu"))
    errors = []
    for index in chosen:
        outline, truth = (source.domains[name].read(int(index), 3, 32) for name in ("outline", "filled"))
        x = torch.from_numpy(outline.transpose(2, 0, 1)[None].copy()).float() / 127.5 - 1
        torch.manual_seed(0)
        made = ((model.translate(x, Way("A", "B")) + 1) * 127.5).round().clamp(0, 255)  # type: ignore[operator]
        error = (made[0].numpy().transpose(1, 2, 0) - truth.astype(np.float64)) ** 2
        errors.append(10 * np.log10(255**2 / error.mean()))
    assert found["metrics"]["psnr"]["psnr"] == pytest.approx(np.mean(errors), rel=1e-4)


def test_training_measures_and_keeps_the_best(here: Path, photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script(here / "tiny.pt")
    words = ["--set", "train.evaluate.features=tiny.pt", "--set", "train.evaluate.images=10", *SMALL]
    train = ["train", "dcgan-shapes", "--data", str(photos), "--eval", "fid:2"]
    assert run([*train, "--steps", "7", "--name", "run", *words, "--set", "train.checkpoint_every=3"]) == 0
    log = [json.loads(line) for line in (here / "runs/run/log.jsonl").read_text().splitlines()]
    measured = {line["step"]: line["fid"] for line in log if "fid" in line}
    assert list(measured) == [2, 4, 6, 7]
    assert "fid" in capfd.readouterr().err
    best = here / "runs/run/best"
    assert read_info(best / "model.safetensors").step == min(measured, key=measured.__getitem__)
    assert {path.name for path in best.iterdir()} >= {"state.json", "optimizers.safetensors", "SHA256SUMS"}
    # It trains as it would have without, and what was measured is what evaluate measures.
    assert run(["train", "dcgan-shapes", "--data", str(photos), "--steps", "7", "--name", "plain", *SMALL]) == 0
    weights = [(here / f"runs/{name}/model.safetensors").read_bytes() for name in ("run", "plain")]
    assert weights[0].partition(b"}")[2][-1000:] == weights[1].partition(b"}")[2][-1000:]
    capfd.readouterr()
    again = evaluate(capfd, "run", "--data", str(photos), "--metrics", "fid", "--features", "tiny.pt", "-n", "10")
    assert again["metrics"]["fid"]["fid"] == pytest.approx(measured[7], rel=1e-4)

    for wrong, message in (
        ("fid", "must be a metric and a number of steps"),
        ("fud:2", "there is no metric 'fud'"),
        ("fid,kid:2", "a run is measured by one metric"),
        ("separability:2", "separability needs a classifier"),
    ):
        assert run([*train[:-1], wrong, "--steps", "2", "--name", "no", *words]) == 2
        assert message in " ".join(capfd.readouterr().err.split())
    assert not (here / "runs/no").exists()


def test_a_measurement_that_fails_does_not_end_the_run(
    here: Path, photos: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script(here / "tiny.pt")
    train = ["train", "dcgan-shapes", "--data", str(photos), "--steps", "3", "--set", "train.evaluate.images=5", *SMALL]
    assert run([*train, "--eval", "is:2", "--set", "train.evaluate.features=tiny.pt", "--name", "run"]) == 0
    assert "not measured after step 2: inception score (is) needs 10 images" in " ".join(capfd.readouterr().err.split())
    assert read_info(here / "runs/run/model.safetensors").step == 3
    assert not (here / "runs/run/best").exists()
    assert run([*train, "--eval", "ms-ssim:2", "--name", "alike"]) == 0
    assert "no best checkpoint is kept" in capfd.readouterr().err


def test_the_best_is_the_best_after_a_kill_too(here: Path, photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What was measured behind the checkpoint is measured again, and the best of all is what an unbroken run keeps."""
    script(here / "tiny.pt")
    words = ["--set", "train.evaluate.features=tiny.pt", "--set", "train.evaluate.images=10", *SMALL]
    words += ["--steps", "9", "--set", "train.checkpoint_every=4", "--set", "train.keep=3"]
    assert run(["train", "dcgan-shapes", "--data", str(photos), "--eval", "fid:3", "--name", "whole", *words]) == 0
    whole = here / "runs/whole"
    (cut := here / "runs/cut").mkdir()
    for path in whole.rglob("*"):
        if path.is_file():
            (cut / path.relative_to(whole)).parent.mkdir(parents=True, exist_ok=True)
            (cut / path.relative_to(whole)).write_bytes(path.read_bytes())
    for step in (8, 9):
        for path in (cut / f"checkpoints/{step}").iterdir():
            path.unlink()
        (cut / f"checkpoints/{step}").rmdir()
    assert run(["resume", "cut"]) == 0
    assert (cut / "best/model.safetensors").read_bytes() == (whole / "best/model.safetensors").read_bytes()
    fids = [
        [line["fid"] for line in map(json.loads, (path / "log.jsonl").read_text().splitlines()) if "fid" in line]
        for path in (whole, cut)
    ]
    assert fids[0] == fids[1]
