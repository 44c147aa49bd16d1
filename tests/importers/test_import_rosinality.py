"""gancli import stylegan: what rosinality's code saves makes the same images here, and goes back as it came."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints as official
import pytest
import torch
from torch import Tensor

from gancli import config
from gancli.architectures.base import StyleModel
from gancli.architectures.stylegan import StyleGAN
from gancli.cli.app import run
from gancli.errors import GancliError
from gancli.importers import find_files, import_checkpoint
from gancli.modelfile import ModelInfo, describe, load_model, read_info, to_bytes

CPU = torch.device("cpu")
GOLDEN: dict[str, Any] = json.loads(official.STYLEGAN.read_text())
SIZES = {"width": 512, "max_width": 32, "latent_dim": 32, "style_dim": 32, "mapping_layers": 8, "channels": 3}

State = dict[str, Tensor]


def generator(resolution: int) -> State:
    return official.stylegan_state(GOLDEN["shapes"], resolution)


def imported(folder: Path, content: object, *sets: str) -> tuple[StyleModel, ModelInfo]:
    torch.save(content, folder / "train_step-7.model")
    written = folder / "model.safetensors"
    written.write_bytes(import_checkpoint("stylegan", [folder / "train_step-7.model"], sets=sets))
    model, info = load_model(written, CPU)
    assert isinstance(model, StyleModel)
    return model, info


@pytest.mark.parametrize("resolution", [8, 16, 32, 64, 128, 256, 512, 1024])
def test_images_are_the_official_ones(tmp_path: Path, resolution: int) -> None:
    model, info = imported(tmp_path, {"g_running": generator(resolution)})
    assert info.config["model"] == info.config["model"] | SIZES | {"resolution": resolution}
    assert info.config["model"]["growth"]["initial_resolution"] == resolution  # it is trained on as it is
    assert info.networks == ["mapping", "synthesis"]
    assert model.stage.resolution == resolution

    recorded = GOLDEN["images"][str(resolution)]
    w, other = (model.map(official.latents(name, 32)) for name in ("a latent", "another latent"))
    mixed = model.truncate(w).clone()
    mixed[:, :4] = other[:, None]  # two layers for each of the first two resolutions
    noise = [tensor for tensor in official.stylegan_noise(resolution) for _ in range(2)]
    images = {
        "plain": model.synthesize(model.truncate(w), "none"),
        "mixed": model.synthesize(mixed, "none"),
        "noisy": model.synthesize(model.truncate(w), noise),
    }
    model.mean_w.copy_(official.values("a mean", (1, 32))[0])
    images["truncated"] = model.synthesize(model.truncate(w, 0.7), "none")
    for name, image in images.items():
        assert image.shape == (2, 3, resolution, resolution)
        expected = torch.tensor(recorded[name]).clamp(-1, 1)
        assert expected.std() > 0.1
        torch.testing.assert_close(torch.tensor(official.excerpt(image)), expected, atol=1e-4, rtol=0)


def test_the_mean_of_w_and_the_noise_are_always_the_same(tmp_path: Path) -> None:
    model, _ = imported(tmp_path, generator(8))
    w = model.map(torch.randn(20000, 32, generator=torch.Generator().manual_seed(1)))
    off = (model.mean_w - w.mean(dim=0)).abs() / w.std(dim=0)
    assert off.max() < 0.05  # two means of 16384 and 20000 differ by 0.01 deviations, 32 times by less than 0.05
    first = (tmp_path / "model.safetensors").read_bytes()
    again, _ = imported(tmp_path, generator(8))
    assert (tmp_path / "model.safetensors").read_bytes() == first
    assert (
        again.synthesize(again.truncate(w[:1])).sub(again.synthesize(again.truncate(w[:1]), "none")).abs().max() > 0.01
    )


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {f"module.{key}": value for key, value in state.items()},
        lambda state: {key: value.double() for key, value in state.items()},
        lambda state: {
            "generator": {key: value * 0 for key, value in state.items()},
            "discriminator": {"linear.linear.bias": torch.ones(1)},
            "g_optimizer": {
                "state": {0: {"step": 3, "exp_avg": torch.ones(2)}},
                "param_groups": [{"betas": (0.0, 0.99)}],
            },
            "g_running": state,
        },
    ],
)
def test_wrapped_state_dicts(tmp_path: Path, wrap: Callable[[State], object]) -> None:
    model, _ = imported(tmp_path, wrap(generator(8)))
    image = model.synthesize(model.truncate(model.map(official.latents("a latent", 32))), "none")
    expected = torch.tensor(GOLDEN["images"]["8"]["plain"]).clamp(-1, 1)
    torch.testing.assert_close(torch.tensor(official.excerpt(image)), expected, atol=1e-4, rtol=0)


def test_a_generator_without_its_average(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    imported(tmp_path, {"generator": generator(8), "discriminator": {"linear.linear.bias": torch.ones(1)}})
    assert "holds no average of the generator (g_running); using generator" in capfd.readouterr().err


def test_the_resolution(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It is that of the last trained block, or what the user says."""
    model, _ = imported(tmp_path, generator(64))
    assert model.stage.resolution == 64
    assert "train_step-7.model was trained up to 64 px" in capfd.readouterr().err
    smaller, info = imported(tmp_path, generator(64), "model.resolution=16")
    assert capfd.readouterr().err == ""
    assert (info.inputs.domains["image"].shape[1], smaller.layers) == (16, 6)
    imported(tmp_path, generator(8), "model.resolution=16")
    assert "warning: " in capfd.readouterr().err
    with pytest.raises(GancliError, match="nothing tells how far") as caught:
        imported(tmp_path, generator(2))
    assert caught.value.hint is not None
    assert "--resolution" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("style.3.linear.bias"), "style.3.linear.bias: missing"),
        (lambda s: s.pop("style.1.linear.weight_orig"), "style.1.linear.weight_orig: missing"),
        (
            lambda s: s.pop("generator.progression.1.adain2.style.linear.bias"),
            "progression.1.adain2.style.linear.bias: m",
        ),
        (lambda s: s.update({"generator.extra": torch.ones(3)}), "generator.extra: unexpected"),
        (
            lambda s: s.update({"generator.progression.1.conv2.conv.weight_orig": torch.ones(32, 31, 3, 3)}),
            "progression.1.conv2.conv.weight_orig: [32, 31, 3, 3], but [32, 32, 3, 3] would fit",
        ),
        (lambda s: [s.pop(key) for key in list(s) if key.startswith("generator.")], "conv1.input: missing"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, change: Callable[[State], object], said: str) -> None:
    state = generator(8)
    change(state)
    with pytest.raises(GancliError, match=re.escape(said)) as caught:
        imported(tmp_path, state)
    assert "train_step-7.model is not a StyleGAN generator of style-based-gan-pytorch" in caught.value.message


class Network:
    """What a pickle of NVlabs holds: an object of a class of theirs."""


def test_other_files_are_refused(tmp_path: Path) -> None:
    torch.save({"main.0.weight": torch.ones(4, 4, 4, 4)}, tmp_path / "netG.pth")
    (tmp_path / "text.model").write_text("no checkpoint")
    (tmp_path / "ffhq.pkl").write_bytes(pickle.dumps((Network(), Network()), protocol=3))
    for name, said, hint in (
        ("netG.pth", "main.0.weight: unexpected", "gancli import --help"),
        ("text.model", "text.model is not a PyTorch checkpoint", None),
        ("ffhq.pkl", "could run any code", "train_step-7.model"),
    ):
        with pytest.raises(GancliError, match=re.escape(said)) as caught:
            import_checkpoint("stylegan", [tmp_path / name])
        assert hint is None or hint in str(caught.value.hint)
    torch.save(generator(8), tmp_path / "a.model")
    torch.save(generator(8), tmp_path / "b.model")
    with pytest.raises(GancliError, match="hold a generator each"):
        import_checkpoint("stylegan", [tmp_path / "a.model", tmp_path / "b.model"])
    with pytest.raises(GancliError, match="has no classes"):
        import_checkpoint("stylegan", [tmp_path / "a.model"], sets=["model.classes=3"])


def test_the_newest_of_a_folder(tmp_path: Path) -> None:
    for name in ("train_step-6.model", "train_step-7.model", "notes.model"):
        (tmp_path / name).touch()
    assert [path.name for path in find_files("stylegan", tmp_path)] == ["train_step-7.model"]
    (tmp_path / "130000.model").touch()
    assert [path.name for path in find_files("stylegan", tmp_path)] == ["130000.model"]


def test_there_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], gancli_home: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    state = generator(128)
    torch.save({"g_running": state}, "faces.model")
    assert run(["import", "stylegan", "faces.model", "--resolution", "64"]) == 0
    assert capfd.readouterr().out == f"{gancli_home}/models/faces.safetensors\n"
    assert run(["import", "stylegan", "faces.model", "--overwrite"]) == 0
    capfd.readouterr()
    assert run(["export", "faces", "-o", "back.model", "--format", "rosinality"]) == 0
    out, err = capfd.readouterr()
    assert out == "back.model\n"
    assert err.startswith("warning: the official code has width 8192, max_width 512, latent_dim 512, style_dim 512")
    assert err.count("\n") == 1
    content = torch.load("back.model", weights_only=True)
    assert list(content) == ["g_running"]
    back: State = content["g_running"]
    assert {key: list(tensor.shape) for key, tensor in back.items()} == GOLDEN[
        "shapes"
    ]  # strict loading takes no other
    for key, tensor in state.items():
        block = re.match(r"generator\.\w+\.(\d)", key)
        if block is None or int(block[1]) <= 5:
            torch.testing.assert_close(back[key], tensor)
        elif "noise" in key:
            assert not back[key].any()
        else:
            assert back[key].isfinite().all()
    assert run(["export", "faces", "-o", "folder/"]) == 0
    assert capfd.readouterr().out == "folder/train_step-6.model\n"


def trained(*sets: str) -> tuple[StyleGAN, Path]:
    """Writes the file of a model as gancli trains them: all that begins as 0 is something else."""
    sizes = [f"model.{key}={value}" for key, value in SIZES.items()]
    resolved = config.resolve("stylegan", sets=[*sizes, "model.resolution=16", *sets])
    torch.manual_seed(0)
    model = StyleGAN(resolved.model)  # type: ignore[arg-type]
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    networks = ["mapping", "synthesis", "discriminator"]
    info = describe("stylegan", resolved, networks=networks, inputs=StyleGAN.inputs(resolved.model), images_shown=10**9)
    Path("MODEL.safetensors").write_bytes(to_bytes(info, model.state_dict()))
    return model, Path("MODEL.safetensors")


def test_what_gancli_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model, path = trained("model.norm_eps=1e-5", "model.bias_before_blur=true")
    assert run(["export", str(path), "-o", "x.pt"]) == 0
    assert capfd.readouterr().err.count("warning") == 1
    back, _ = imported(tmp_path, torch.load("x.pt", weights_only=True))
    w = model.map(official.latents("a latent", 32))
    with torch.no_grad():
        image = model.synthesize(model.truncate(w), "none")
    torch.testing.assert_close(back.synthesize(model.truncate(w), "none"), image, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("width", "most"), [(256, 64), pytest.param(64, 32, marks=pytest.mark.slow), (16, 4)])
def test_small_widths_are_told_from_what_is_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int, most: int, gancli_home: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    sizes = ["--set", f"model.width={width}", "--set", f"model.max_width={most}", "--set", "train.samples=1"]
    grown = ["--set", "model.growth={initial_resolution: 32}", "--batch", "2"]
    assert run(["train", "stylegan-shapes", "--data", "shapes", "--steps", "1", "--out", "small", *sizes, *grown]) == 0
    assert run(["export", "small", "-o", "small.model"]) == 0
    assert run(["import", "stylegan", "small.model", "--resolution", "32"]) == 0
    config = read_info(gancli_home / "models/small.safetensors").config["model"]
    assert (config["width"], config["max_width"]) == (width, most)


def test_what_the_official_code_cannot_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _, path = trained()
    assert run(["export", str(path), "-o", "x.model"]) == 0
    err = capfd.readouterr().err
    assert "adds 1e-05 to the variance in AdaIN, the model 1e-08" in err
    assert "images differ at their borders" in err
    _, path = trained("model.classes=3")
    assert run(["export", str(path), "-o", "y.model"]) == 2
    assert "the model has 3 classes" in capfd.readouterr().err
    assert not Path("y.model").exists()
    assert run(["export", str(path), "-o", "y.safetensors"]) == 2
    assert "-o y.model" in capfd.readouterr().err
