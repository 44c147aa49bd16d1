"""gancli import gan, cgan, cdcgan, wgan, wgan-gp: the images are the official ones, and files go back as they came."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import checkpoints as official
import numpy as np
import pytest
import torch
from torch import Tensor

from gancli.cli.app import run
from gancli.errors import GancliError
from gancli.importers import export_checkpoint, find_files, import_checkpoint, title
from gancli.modelfile import ModelInfo, load_model

CPU = torch.device("cpu")
GOLDEN: dict[str, Any] = json.loads(official.LATENT.read_text())

State = dict[str, Tensor]


@cache
def state_of(name: str) -> State:
    return official.state_dict(GOLDEN[name]["shapes"])


def imported(architecture: str, folder: Path, files: Mapping[str, object], *sets: str) -> tuple[Any, ModelInfo]:
    """Imports files that hold what ``files`` says, by their names."""
    for name, content in files.items():
        torch.save(content, folder / name)
    written = folder / "model.safetensors"
    written.write_bytes(import_checkpoint(architecture, [folder / name for name in files], sets=sets))
    return load_model(written, CPU)


def assert_computes(output: Tensor, golden: str, sign: float = 1) -> None:
    recorded = torch.tensor(GOLDEN[golden]["outputs"][0])
    torch.testing.assert_close(torch.tensor(official.excerpt(sign * output)), recorded, atol=1e-5, rtol=1e-5)


def mirrored(channels: int, size: int) -> Tensor:
    image = official.image(channels, size)
    return torch.cat([image, -image])


WGAN = {"resolution": 32, "latent_dim": 12, "generator_width": 4, "extra_layers": 0, "generator_norm": True}
SIZES: dict[str, tuple[str, dict[str, Any], list[int]]] = {
    "pytorch-gan-g": (
        "gan",
        {"networks": "plain", "generator_widths": [128, 256, 512, 1024], "latent": "normal", "resolution": 6}
        | {"channels": 3, "norm_eps": 0.8, "latent_dim": 12},
        [],
    ),
    "pytorch-gan-cgan-g": (
        "cgan",
        {
            "networks": "embedding",
            "objective": "lsgan",
            "classes": 4,
            "resolution": 12,
            "channels": 1,
            "latent_dim": 12,
        },
        [1, 3],
    ),
    "znxlwm-cgan-g": (
        "cgan",
        {"networks": "branches", "objective": "vanilla", "classes": 10, "resolution": 28, "channels": 1}
        | {"latent_dim": 100, "generator_width": 256},
        [3, 8],
    ),
    "znxlwm-mnist-g": (
        "cdcgan",
        {"activation": "relu", "classes": 10, "resolution": 32, "channels": 1, "latent_dim": 100, "generator_width": 8},
        [0, 9],
    ),
    "znxlwm-celeba-g": (
        "cdcgan",
        {"activation": "leaky", "classes": 2, "resolution": 64, "channels": 3, "latent_dim": 100, "generator_width": 8},
        [0, 1],
    ),
    "wgan-g": ("wgan", {**WGAN, "resolution": 64, "channels": 3, "generator": "dcgan"}, []),
    "wgan-g-extra": ("wgan", {**WGAN, "channels": 1, "extra_layers": 2}, []),
    "wgan-g-nobn": ("wgan", {**WGAN, "channels": 3, "extra_layers": 1, "generator_norm": False}, []),
    "wgan-g-mlp": ("wgan", {"generator": "mlp", "resolution": 32, "latent_dim": 12, "generator_width": 16}, []),
    **{
        f"mimicry-{package}-{size}": (
            "wgan-gp",
            {"networks": "resnet", "upsampling": "bilinear", "critic_norm": False, "channels": 3, "latent_dim": 12}
            | {"generator_widths": widths, "resolution": size},
            [],
        )
        for package, size, widths in (
            ("wgan_gp", 32, [8, 8, 8, 8]),
            ("wgan_gp", 48, [16, 8, 4, 2]),
            ("wgan_gp", 64, [32, 16, 8, 4, 2]),
            ("wgan_gp", 128, [32, 32, 16, 8, 4, 2]),
            ("sngan", 32, [8, 8, 8, 8]),
        )
    },
}
"""By the name of an official generator, its architecture, its sizes, and the classes of the recorded images."""
FILES = {
    "gan": ("generator.pth", "discriminator.pth"),
    "cgan": ("generator_param.pkl", "discriminator_param.pkl"),
    "cdcgan": ("MNIST_cDCGAN_generator_param.pkl", "MNIST_cDCGAN_discriminator_param.pkl"),
    "wgan": ("netG_epoch_24.pth", "netD_epoch_24.pth"),
    "wgan-gp": ("netG_100000_steps.pth",),
}


def checkpoint_of(golden: str) -> object:
    """What the official code saves of a generator."""
    if not golden.startswith("mimicry"):
        return state_of(golden)
    moments = {"step": torch.tensor(3.0), "exp_avg": torch.ones(2)}
    optimizer = {"state": {0: moments}, "param_groups": [{"lr": 2e-4, "betas": (0.0, 0.9), "params": [0]}]}
    return {"model_state_dict": state_of(golden), "optimizer_state_dict": optimizer, "global_step": 100000}


@pytest.mark.parametrize("golden", SIZES)
def test_images_are_the_official_ones_and_files_go_back_as_they_came(tmp_path: Path, golden: str) -> None:
    architecture, sizes, classes = SIZES[golden]
    model, info = imported(architecture, tmp_path, {FILES[architecture][0]: checkpoint_of(golden)})
    assert info.config["model"] == info.config["model"] | sizes
    assert info.config["data"]["source"] is None
    assert info.networks == ["generator"]
    z = official.latents("a latent", sizes["latent_dim"])
    assert_computes(model.decode(z, torch.tensor(classes)), golden)
    contents = export_checkpoint(model, architecture, info.networks, "run", 7)
    content = next(iter(contents.values()))
    state = content.get("model_state_dict", content)
    assert state.keys() == state_of(golden).keys()
    assert all(torch.equal(state[key], tensor) for key, tensor in state_of(golden).items())


@pytest.mark.parametrize(
    ("architecture", "generator", "discriminator", "sizes", "labels"),
    [
        ("gan", "pytorch-gan-g", "pytorch-gan-d", {"discriminator_widths": [512, 256]}, []),
        ("cgan", "pytorch-gan-cgan-g", "pytorch-gan-cgan-d", {}, [1, 3]),
        ("cgan", "znxlwm-cgan-g", "znxlwm-cgan-d", {"discriminator_width": 1024}, [3, 8]),
        ("cdcgan", "znxlwm-mnist-g", "znxlwm-mnist-d", {"discriminator_width": 8}, [0, 9]),
        ("cdcgan", "znxlwm-celeba-g", "znxlwm-celeba-d", {"discriminator_width": 8}, [0, 1]),
        ("wgan", "wgan-g", "wgan-d", {"critic_width": 4, "critic": "dcgan"}, None),
        ("wgan", "wgan-g-extra", "wgan-d-extra", {"extra_layers": 2}, None),
        ("wgan", "wgan-g-mlp", "wgan-d-mlp", {"critic_width": 16, "critic": "mlp"}, None),
    ],
)
def test_with_the_discriminator(
    tmp_path: Path,
    architecture: str,
    generator: str,
    discriminator: str,
    sizes: dict[str, Any],
    labels: list[int] | None,
) -> None:
    files = dict(zip(FILES[architecture], (state_of(generator), state_of(discriminator)), strict=True))
    model, info = imported(architecture, tmp_path, files)
    assert info.config["model"] == info.config["model"] | sizes
    network = info.networks[1]
    config = info.config["model"]
    images = mirrored(config["channels"], config["resolution"])
    if labels is None:  # the official critic is low for reals, and returns the mean of a batch
        assert_computes(model.critic(images[:1]), discriminator, sign=-1)
    else:
        given = [model.class_weights(torch.tensor(labels))] if labels else []
        scores = model.discriminator(images, *given)
        linear = discriminator == "pytorch-gan-cgan-d"
        assert_computes(scores if linear else scores.sigmoid(), discriminator)
    contents = list(export_checkpoint(model, architecture, info.networks, "run", 7).values())
    for content, golden in zip(contents, (generator, discriminator), strict=False):
        assert all(torch.equal(content[key], tensor) for key, tensor in state_of(golden).items())
        assert content.keys() == state_of(golden).keys()
    assert network in {"discriminator", "critic"}


def with_dots(state: State) -> State:
    """The names of WassersteinGAN from February 2017 to December 2018."""
    swapped = {key: re.sub(r"initial:([\d-]+):conv\.", r"initial:conv:\1.", key) for key in state}
    return {swapped[key].replace(":", "."): tensor for key, tensor in state.items()}


def with_numbers(state: State) -> State:
    """The names before: numbers of layers, of which ReLUs have no tensors."""
    numbers: dict[str, int] = {}
    number = 0
    for key in state:
        layer = key.rpartition(".")[0]
        if layer not in numbers:
            if numbers and (layer.endswith(("conv", "convt"))):
                number += 1  # the ReLU before it
            numbers[layer] = number
            number += 1
    return {f"main.{numbers[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": state[key] for key in state}


@pytest.mark.parametrize("layout", [with_dots, with_numbers])
@pytest.mark.parametrize(
    ("generator", "critic"), [("wgan-g", "wgan-d"), ("wgan-g-extra", "wgan-d-extra"), ("wgan-g-nobn", None)]
)
def test_older_names_of_wgan(
    tmp_path: Path, layout: Callable[[State], State], generator: str, critic: str | None
) -> None:
    files = {"netG_epoch_24.pth": layout(state_of(generator))}
    if critic:
        files["netD_epoch_24.pth"] = layout(state_of(critic))
    old = {name: {k: t for k, t in s.items() if "num_batches" not in k} for name, s in files.items()}  # torch 0.3
    model, info = imported("wgan", tmp_path, old)
    assert_computes(model.decode(official.latents("a latent", 12)), generator)
    if critic:
        config = info.config["model"]
        assert_computes(model.critic(official.image(config["channels"], config["resolution"])), critic, sign=-1)
    exported = export_checkpoint(model, "wgan", ["generator"], "run", 7)["netG.pth"]
    assert exported.keys() == state_of(generator).keys()


def test_numbers_are_those_of_the_dcgan_of_pytorch_examples() -> None:
    keys = ["main.0.weight", "main.3.weight", "main.6.weight", "main.9.weight", "main.12.weight"]
    assert list(with_numbers(state_of("wgan-g")))[::6] == keys


def test_the_file_beside_a_wgan(tmp_path: Path) -> None:
    told = {"imageSize": 32, "nz": 12, "nc": 1, "ngf": 5, "ngpu": 1, "n_extra_layers": 2, "noBN": False, "mlp_G": False}
    beside = tmp_path / "generator_config.json"
    beside.write_text(json.dumps(told))  # of an odd width, the official code makes an even one
    model, info = imported("wgan", tmp_path, {"netG_epoch_24.pth": state_of("wgan-g-extra")})
    written = export_checkpoint(model, "wgan", info.networks, "run", 7)["generator_config.json"]
    assert json.loads(written) == {**told, "ngf": 4}
    for change, said in (
        ({"nz": 100}, "latent_dim is 12 in the first, 100 in the second"),
        ({"noBN": True}, "generator_norm is True in the first, False"),
        ({"mlp_G": True}, "generator is dcgan in the first, mlp"),
        ({"ngf": "five"}, "generator_width is 4 in the first, five"),
    ):
        beside.write_text(json.dumps({**told, **change}))
        with pytest.raises(GancliError, match=said) as caught:
            imported("wgan", tmp_path, {"netG_epoch_24.pth": state_of("wgan-g-extra")})
        assert "generator_config.json" in caught.value.message
    for text in ("", "[1]", "[" * 100000, "3", "\udcff"):
        beside.write_text(text, errors="surrogateescape")
        with pytest.raises(GancliError, match=r"is not what main\.py of WassersteinGAN writes"):
            imported("wgan", tmp_path, {"netG_epoch_24.pth": state_of("wgan-g-extra")})
    beside.write_text(json.dumps({"imageSize": 32, "nz": 12, "nc": 3, "ngf": 16, "mlp_G": True}))
    imported("wgan", tmp_path, {"netG_epoch_24.pth": state_of("wgan-g-mlp")})


@pytest.mark.parametrize(
    ("golden", "usual", "chosen"),
    [
        ("znxlwm-celeba-g", "assuming leaky, as in the CelebA script", "model.activation=relu"),
        ("znxlwm-mnist-g", "assuming relu, as in the MNIST script", "model.activation=leaky"),
        ("mimicry-sngan-32", "assuming bilinear", "model.upsampling=nearest"),
        ("pytorch-gan-g", "assuming PyTorch-GAN's 0.8", "model.norm_eps=1e-5"),
    ],
)
def test_what_no_tensor_tells_can_be_chosen(
    tmp_path: Path, golden: str, usual: str, chosen: str, capfd: pytest.CaptureFixture[str]
) -> None:
    architecture, sizes, _ = SIZES[golden]
    files = {FILES[architecture][0]: checkpoint_of(golden)}
    model, _ = imported(architecture, tmp_path, files)
    z, labels = official.latents("a latent", sizes["latent_dim"]), torch.tensor([0, 1])
    usual_images = model.decode(z, labels)
    assert usual in capfd.readouterr().err
    other, info = imported(architecture, tmp_path, files, chosen)
    assert capfd.readouterr().err == ""
    key, _, value = chosen.removeprefix("model.").partition("=")
    assert str(info.config["model"][key]).replace("1e-05", "1e-5") == value
    assert (usual_images - other.decode(z, labels)).abs().max() > 0.01


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def without(key: str) -> Callable[[State], State]:
    return lambda state: {name: tensor for name, tensor in state.items() if name != key}


def with_tensor(key: str, *shape: int) -> Callable[[State], State]:
    return lambda state: {**state, key: torch.ones(shape)}


REFUSED: list[tuple[str, str, Callable[[State], object], str]] = [
    ("cgan", "znxlwm-cgan-g", without("fc2.weight"), "fc2.weight: missing"),
    ("cgan", "znxlwm-cgan-g", without("fc4.weight"), "fc4.weight: missing, or not of 2 dimensions"),
    ("cgan", "znxlwm-cgan-g", without("fc1_1.weight"), "it begins with fc1_1.bias"),
    ("cgan", "znxlwm-cgan-g", with_tensor("fc1_1.weight"), "fc1_1.weight: missing, or not of 2 dimensions"),
    ("cgan", "znxlwm-cgan-g", with_tensor("fc1_1.weight", 0, 100), "fc1_1.weight: missing, or not of 2 dimensions"),
    ("cgan", "znxlwm-cgan-g", with_tensor("fc2.weight", 512, 511), "fc2.weight: [512, 511], but [512, 512] would fit"),
    ("cgan", "znxlwm-cgan-g", with_tensor("fc4.weight", 785, 1024), "but [768, 1024] would fit"),
    ("cgan", "znxlwm-cgan-d", lambda s: s, "a discriminator alone makes no images"),
    (
        "cgan",
        "znxlwm-mnist-g",
        lambda s: s,
        "is not a cGAN of pytorch-MNIST-CelebA-cGAN-cDCGAN or a network of",
    ),
    ("cgan", "pytorch-gan-g", lambda s: s, "it begins with model.0.weight"),
    ("cgan", "pytorch-gan-cgan-g", with_tensor("model.0.weight", 128, 3), "model.latent_dim 0: must be at least 1"),
    ("cgan", "pytorch-gan-cgan-g", with_tensor("label_emb.weight", 4, 9), "label_emb.weight: [4, 9], but [4, 4] would"),
    ("cgan", "pytorch-gan-cgan-g", without("model.0.weight"), "model.0.weight: missing, or not of 2 dimensions"),
    ("gan", "pytorch-gan-cgan-g", lambda s: s, "label_emb.weight: unexpected"),
    ("gan", "pytorch-gan-g", without("model.3.running_mean"), "model.3.running_mean: missing"),
    ("gan", "pytorch-gan-g", lambda s: {"model.0.weight": s["model.0.weight"]}, "must have at least 1 value"),
    ("gan", "pytorch-gan-g", lambda s: {**s, "model.2.bias": s["model.2.bias"].to_sparse()}, "model.2.bias: sparse"),
    ("gan", "wgan-g", lambda s: s, "is not a network of gan.py in PyTorch-GAN"),
    ("gan", "pytorch-gan-d", lambda s: s, "a discriminator alone makes no images"),
    ("cdcgan", "znxlwm-cgan-g", lambda s: s, "is not a conditional DCGAN of pytorch-MNIST-CelebA-cGAN-cDCGAN"),
    ("cdcgan", "znxlwm-mnist-g", without("deconv2.weight"), "deconv2.weight: missing"),
    ("cdcgan", "znxlwm-mnist-g", without("deconv4.weight"), "deconv4.weight: missing"),
    ("cdcgan", "znxlwm-mnist-g", with_tensor("deconv99.weight", 8, 1, 4, 4), "model.resolution "),
    ("cdcgan", "znxlwm-mnist-g", with_tensor("deconv999.weight", 8, 1, 4, 4), "deconv999.weight: unexpected"),
    ("cdcgan", "znxlwm-mnist-g", with_tensor("deconv1_2.weight", 10), "deconv1_2.weight: missing, or not of 4"),
    ("cdcgan", "znxlwm-mnist-g", with_tensor("deconv4.weight", 8, 2, 4, 4), "model.channels 2: must be 1 or 3"),
    ("wgan", "wgan-g", without("main.initial:12-32:convt.weight"), "its first or its last convolution is missing"),
    ("wgan", "wgan-g", without("main.pyramid:32-16:convt.weight"), "main.initial:12-32:convt.weight: unexpected"),
    ("wgan", "wgan-g", with_tensor("main.final:4-3:convt.weight", 4, 3, 3, 3), "[4, 3, 3, 3], but [4, 3, 4, 4]"),
    ("wgan", "wgan-g", with_tensor("main.extra", 3), "main.extra: unexpected"),
    ("wgan", "wgan-g-mlp", with_tensor("main.6.weight", 3080, 16), "main.6.weight: [3080, 16], but"),
    ("wgan", "wgan-g-mlp", with_tensor("main.6.weight"), "main.6.weight: missing, or not of 2 dimensions"),
    ("wgan", "wgan-d", lambda s: s, "a critic alone makes no images"),
    ("wgan", "mimicry-sngan-32", lambda s: s, "is not a network of WassersteinGAN"),
    ("wgan", "wgan-g", lambda s: {"main.0.weight": torch.ones(3)}, "is not a network of WassersteinGAN"),
    ("wgan", "wgan-g", lambda s: {"main.0.weight": torch.ones(3, 3, 4, 4)}, "first or its last convolution is missing"),
    ("wgan-gp", "mimicry-sngan-32", without("block3.c1.weight"), "block3.c1.weight: missing, or not of 4"),
    ("wgan-gp", "mimicry-sngan-32", without("block3.c_sc.bias"), "block3.c_sc.bias: missing"),
    (
        "wgan-gp",
        "mimicry-sngan-32",
        with_tensor("block2.b1.embed.weight", 10, 16),
        "block2.b1.embed.weight: unexp",
    ),
    ("wgan-gp", "mimicry-sngan-32", with_tensor("l1.weight", 130, 12), "l1.weight: [130, 12], but"),
    ("wgan-gp", "wgan-g", lambda s: s, "is not a WGAN-GP or SNGAN generator of mimicry"),
    ("wgan-gp", "wgan-g", lambda s: {"l1.weight": torch.ones(4, 4)}, "c2.weight: missing, or not of 4 dimensions"),
]


@pytest.mark.parametrize(("architecture", "golden", "change", "said"), REFUSED)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, architecture: str, golden: str, change: Callable[[State], object], said: str
) -> None:
    with pytest.raises(GancliError, match=re.escape(said)) as caught:
        imported(architecture, tmp_path, {FILES[architecture][0]: change(state_of(golden))})
    assert FILES[architecture][0] in caught.value.message


def test_files_that_are_not_of_one_model(tmp_path: Path) -> None:
    with pytest.raises(GancliError, match="resolution is 64 in the first, 32 in the second"):
        imported("wgan", tmp_path, {"netG.pth": state_of("wgan-g"), "netD.pth": state_of("wgan-d-extra")})
    with pytest.raises(GancliError, match=r"netG.pth and .*netD.pth hold a generator each"):
        imported("wgan", tmp_path, {"netG.pth": state_of("wgan-g"), "netD.pth": state_of("wgan-g")})
    with pytest.raises(GancliError, match=r"other.pth is not a network of WassersteinGAN"):
        imported("wgan", tmp_path, {"netG.pth": state_of("wgan-g"), "other.pth": state_of("pytorch-gan-cgan-g")})


@pytest.mark.parametrize("architecture", FILES)
def test_a_pickle_of_code_is_never_run(tmp_path: Path, architecture: str) -> None:
    for name in (FILES[architecture][0], "whole.pkl"):
        for content in ({"fc1": torch.ones(2), "extra": Bomb(tmp_path / "exploded")}, torch.nn.Linear(1, 1)):
            with pytest.raises(GancliError, match="could run any code"):
                imported(architecture, tmp_path, {name: content})
    assert not (tmp_path / "exploded").exists()


def test_the_commands(
    tmp_path: Path, gancli_home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    results = Path("MNIST_cGAN_results")
    results.mkdir()
    for name, golden in (("generator", "znxlwm-cgan-g"), ("discriminator", "znxlwm-cgan-d")):
        torch.save(state_of(golden), results / f"{name}_param.pkl")
    assert run(["import", "cgan", "MNIST_cGAN_results/"]) == 0
    assert capfd.readouterr().out == f"{gancli_home}/models/MNIST_cGAN.safetensors\n"
    assert run(["sample", "MNIST_cGAN", "-n", "4", "--class", "3", "-o", "threes.npy"]) == 0
    assert np.load("threes.npy").shape == (4, 1, 28, 28)
    assert run(["export", "MNIST_cGAN", "-o", "back/", "--format", "znxlwm"]) == 0
    assert [path.name for path in find_files("cgan", Path("back"))] == [
        "MNIST_cGAN_discriminator_param.pkl",
        "MNIST_cGAN_generator_param.pkl",
    ]
    assert title(Path("back/MNIST_cGAN_generator_param.pkl")) == "MNIST_cGAN"
    assert run(["export", "MNIST_cGAN", "-o", "x.pth", "--format", "pytorch-gan"]) == 2
    assert "its format is znxlwm" in capfd.readouterr().err

    torch.save(state_of("wgan-g-mlp"), "netG.pth")
    assert run(["import", "wgan", "netG.pth", "--name", "mlp"]) == 0
    assert run(["sample", "mlp", "-n", "8", "-o", "images.npy"]) == 0
    images = np.load("images.npy")
    assert images.min() < -1.05
    assert images.max() > 1.05
    assert run(["export", "mlp", "-o", "wgan/"]) == 0
    assert {path.name for path in Path("wgan").iterdir()} == {"netG.pth", "generator_config.json"}
    assert run(["export", "mlp", "-o", "alone.pth"]) == 0


def test_what_the_official_code_cannot_load(
    tmp_path: Path, gancli_home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from gancli import config, registry

    def export(name: str, *sets: str) -> dict[str, Any]:
        architecture = config.resolve(name, sets=sets).architecture
        model = registry.load_architecture(architecture)(config.resolve(name, sets=sets).model)
        return export_checkpoint(model, architecture, ["generator"], "run", 7)

    export("cdcgan", "model.classes=2", "model.generator_width=2")
    export("wgan", "model.generator_width=2")
    assert capfd.readouterr().err == ""
    export("cdcgan-mnist", "model.classes=3", "model.generator_width=2")
    assert "the official code has classes 10, the model 3" in capfd.readouterr().err
    export("wgan", "model.generator_width=3")
    assert "even widths only" in capfd.readouterr().err
    narrow = ["model.generator_widths=[4,4]", "model.critic_widths=[2,2]", "model.resolution=8"]
    (content,) = export("wgan-gp", *narrow).values()
    err = capfd.readouterr().err
    assert "has other widths" in err
    assert "bilinear interpolation" in err
    assert not content["model_state_dict"]["block2.c1.bias"].any()  # where ours has no bias
    with pytest.raises(GancliError, match="has no gan with networks like those of the model"):
        export("gan")
