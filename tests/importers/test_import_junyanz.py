"""gancli import cyclegan and pix2pix: official checkpoints are read, compute what they did, and all else is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import checkpoints as official
import pytest
import torch
from torch import Tensor, nn

from gancli.architectures.base import Way
from gancli.cli.app import run
from gancli.domains import Domain
from gancli.errors import GancliError
from gancli.importers import find_files, import_checkpoint, title
from gancli.importers.junyanz import counterparts
from gancli.modelfile import ModelInfo, load_model

CPU = torch.device("cpu")
GOLDEN: dict[str, Any] = json.loads(official.GOLDEN.read_text())

State = dict[str, Tensor]


def state_of(name: str) -> State:
    return official.state_dict(GOLDEN[name]["shapes"])


def save(folder: Path, **states: object) -> list[Path]:
    """Saves ``G_A=...`` as latest_net_G_A.pth."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, state in states.items():
        paths.append(folder / f"latest_net_{name}.pth")
        torch.save(state, paths[-1])
    return paths


def imported(architecture: str, paths: list[Path], *sets: str) -> tuple[Any, ModelInfo]:
    written = paths[0].with_name("model.safetensors")
    written.write_bytes(import_checkpoint(architecture, paths, sets=sets))
    return load_model(written, CPU)


def assert_computes(network: nn.Module, golden: str) -> None:
    with torch.no_grad():
        output = network(official.image(*GOLDEN[golden]["input"]))
    torch.testing.assert_close(official.excerpt(output), GOLDEN[golden]["outputs"][0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize(
    ("variant", "model"),
    [
        ("resnet", {"blocks": 2, "generator_width": 3, "dropout": False, "upsampling": "deconv", "channels_b": 2}),
        ("resnet-dropout", {"blocks": 1, "generator_width": 2, "dropout": True, "upsampling": "deconv"}),
        ("resnet-bilinear", {"blocks": 1, "generator_width": 2, "dropout": False, "upsampling": "bilinear"}),
        ("unet", {"depth": 6, "generator_width": 2, "dropout": False, "resolution": 64, "channels": 2}),
    ],
)
def test_generators_compute_what_the_official_ones_do(
    tmp_path: Path, variant: str, model: dict[str, object], norm: str
) -> None:
    loaded, info = imported("cyclegan", save(tmp_path, G=state_of(f"{variant}-{norm}")))
    assert_computes(loaded.generator_ab, f"{variant}-{norm}")
    section = info.config["model"]
    wanted = {"generator": variant.partition("-")[0], "norm": norm, "channels": 3, "channels_b": 3, "resolution": 256}
    assert section == section | wanted | model
    assert info.networks == ["generator_ab"]
    assert loaded.ways() == (Way("A", "B"),)


def test_interpolation_is_bilinear_unless_told_otherwise(tmp_path: Path) -> None:
    paths = save(tmp_path, G=state_of("resnet-bilinear-instance"))
    nearest, info = imported("cyclegan", paths, "model.upsampling=nearest")
    assert info.config["model"]["upsampling"] == "nearest"
    bilinear, _ = imported("cyclegan", paths)
    x = official.image(3, 16)
    assert (nearest.translate(x, Way("A", "B")) - bilinear.translate(x, Way("A", "B"))).abs().max() > 0.01
    with pytest.raises(GancliError, match=r"model\.11\.conv_block\.1\.weight: missing"):
        imported("cyclegan", paths, "model.blocks=5")


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_all_four_networks_of_a_cyclegan(tmp_path: Path, norm: str) -> None:
    folder = tmp_path / "horse2zebra_pretrained"
    names = {"G_A": "resnet", "G_B": "resnet-back", "D_A": "patchgan-b", "D_B": "patchgan-a"}
    save(folder, **{name: state_of(f"{golden}-{norm}") for name, golden in names.items()})
    loaded, info = imported("cyclegan", find_files("cyclegan", folder))
    assert_computes(loaded.generator_ab, f"resnet-{norm}")
    assert_computes(loaded.generator_ba, f"resnet-back-{norm}")
    assert_computes(loaded.discriminator_b, f"patchgan-b-{norm}")  # D_A judges what G_A makes
    assert_computes(loaded.discriminator_a, f"patchgan-a-{norm}")
    assert info.domains == ["horse", "zebra"]
    assert info.inputs.domains == {"horse": Domain((3, 256, 256)), "zebra": Domain((2, 256, 256))}
    section = info.config["model"]
    wanted = {"channels": 3, "channels_b": 2, "discriminator_width": 3, "receptive_field": 70, "identity_weight": 0}
    assert section == section | wanted


def test_one_direction_of_two(tmp_path: Path) -> None:
    loaded, info = imported("cyclegan", save(tmp_path, G_B=state_of("resnet-back-batch")))
    assert loaded.ways() == (Way("B", "A"),)
    assert (info.networks, info.config["model"]["channels"]) == (["generator_ba"], 3)
    assert_computes(loaded.generator_ba, "resnet-back-batch")


@pytest.mark.parametrize(("discriminator", "field"), [("patchgan-286-batch", 286), ("pixelgan-batch", 1)])
def test_receptive_fields(tmp_path: Path, discriminator: str, field: int) -> None:
    generator = state_of("resnet-back-batch")
    loaded, info = imported("cyclegan", save(tmp_path, G_B=generator, D_B=state_of(discriminator)))
    assert info.config["model"]["receptive_field"] == field
    assert_computes(loaded.discriminator_a, discriminator)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_pix2pix_with_its_discriminator(tmp_path: Path, norm: str) -> None:
    states = {"G": state_of(f"unet-{norm}"), "D": state_of(f"patchgan-{norm}")}
    folder = tmp_path / "facades_label2photo"
    save(folder, **states)
    loaded, info = imported("pix2pix", find_files("pix2pix", folder))
    assert_computes(loaded.generator, f"unet-{norm}")
    assert_computes(loaded.discriminator, f"patchgan-{norm}")
    assert info.domains == ["label", "photo"]
    assert [(name, domain.shape[0]) for name, domain in info.inputs.domains.items()] == [("label", 2), ("photo", 3)]
    assert info.config["model"]["dropout"] is True
    assert info.config["data"]["load_size"] == 72  # 286 / 256, as published, of 64 px

    loaded, info = imported("pix2pix", find_files("pix2pix", folder), "model.direction=BtoA")
    assert loaded.ways() == (Way("B", "A"),)
    assert info.domains == ["photo", "label"]
    assert [(name, domain.shape[0]) for name, domain in info.inputs.domains.items()] == [("photo", 3), ("label", 2)]
    assert_computes(loaded.generator, f"unet-{norm}")


def tracked(state: State) -> State:
    """As PyTorch 0.3 and 0.4 saved instance norms: with running statistics, that were never used."""
    norms = {"model.2": 2, "model.5": 4, "model.8": 8, "model.10.conv_block.2": 8, "model.10.conv_block.7": 8}
    statistics = {
        f"{norm}.{name}": torch.full((width,), 5.0)
        for norm, width in norms.items()
        for name in ("running_mean", "running_var")
    }
    return {**state, **statistics, "model.2.num_batches_tracked": torch.tensor(3)}


@pytest.mark.parametrize(
    ("golden", "wrap"),
    [
        ("resnet-dropout-instance", tracked),
        ("resnet-dropout-batch", lambda state: {k: v for k, v in state.items() if "num_batches" not in k}),
        ("resnet-dropout-batch", lambda state: {f"module.{key}": value for key, value in state.items()}),
        ("resnet-dropout-batch", lambda state: {f"_orig_mod.module.{key}": value for key, value in state.items()}),
        ("resnet-dropout-instance", lambda state: {"netG_A": state, "epoch": 3}),
        ("resnet-dropout-instance", lambda state: {"model": state, "optimizer": {"0": {"exp_avg": torch.ones(2)}}}),
        ("resnet-dropout-instance", lambda state: {key: value.double() for key, value in state.items()}),
    ],
)
def test_old_and_wrapped_state_dicts(tmp_path: Path, golden: str, wrap: Callable[[State], object]) -> None:
    torch.save(wrap(state_of(golden)), tmp_path / "horse.pth")
    loaded, _ = imported("cyclegan", [tmp_path / "horse.pth"])
    assert_computes(loaded.generator_ab, golden)
    assert {tensor.dtype for tensor in loaded.parameters()} == {torch.float32}


@pytest.mark.parametrize("golden", [name for name in GOLDEN if not name.startswith("ugatit")])
def test_the_key_map_has_every_key_once(tmp_path: Path, golden: str) -> None:
    """Names and order of official keys; what they compute is tested above."""
    shapes = GOLDEN[golden]["shapes"]
    state = state_of(golden)
    if golden.startswith(("resnet", "unet")):
        loaded, _ = imported("cyclegan", save(tmp_path, G=state))
        network = loaded.generator_ab
    else:
        from gancli.architectures.pix2pix import STRIDED, PatchGAN

        strided = sum(tensor.ndim == 4 for tensor in state.values()) - 2
        (field,) = [1] if "pixel" in golden else [field for field, count in STRIDED.items() if count == strided]
        first = next(iter(state.values()))
        norm = "batch" if golden.endswith("batch") else "instance"
        network = PatchGAN(first.shape[1], width=first.shape[0], receptive_field=field, norm=norm)
    keys = counterparts(network)
    assert list(keys) == list(network.state_dict())
    assert {keys[key].key: list(tensor.shape) for key, tensor in network.state_dict().items()} == shapes


def test_a_folder_means_its_newest_epoch(tmp_path: Path) -> None:
    for name in ("5_net_G", "100_net_G_A", "100_net_G_B", "100_optimizer", "iter_90_net_G_A", "notes"):
        (tmp_path / f"{name}.pth").touch()
    names = [path.name for path in find_files("cyclegan", tmp_path)]
    assert names == ["100_net_G_A.pth", "100_net_G_B.pth"]
    (tmp_path / "latest_net_G.pth").touch()
    assert [path.name for path in find_files("cyclegan", tmp_path)] == ["latest_net_G.pth"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(GancliError, match="empty holds no checkpoint of pix2pix"):
        find_files("pix2pix", tmp_path / "empty")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("checkpoints/horse2zebra_pretrained/latest_net_G.pth", "horse2zebra"),
        ("maps/200_net_G_B.pth", "maps"),
        ("selfie2anime_params_0100000.pt", "selfie2anime"),
        ("netG_epoch_24.pth", "netG_epoch_24"),
        ("horse2zebra.pth", "horse2zebra"),
        ("/latest_net_G.pth", "latest_net_G"),
    ],
)
def test_titles(path: str, said: str) -> None:
    assert title(Path(path)) == said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("model.11.conv_block.5.weight"), "model.11.conv_block.5.weight: missing"),
        (lambda s: s.update({"model.4.filt": torch.ones(3)}), "model.4.filt: unexpected"),  # CUT's blur
        (
            lambda s: s.update({"model.4.weight": torch.ones(6, 7, 3, 3)}),
            "model.4.weight: [6, 7, 3, 3], but [6, 3, 3, 3] would fit",
        ),
        (lambda s: s.pop("model.1.weight"), "it begins with none of these"),
        (lambda s: s.update({"model.1.weight": torch.ones(3, 70, 7, 7)}), "model.channels 70: must be at most 64"),
    ],
)
def test_near_relatives_are_refused_by_what_does_not_fit(
    tmp_path: Path, change: Callable[[State], object], said: str
) -> None:
    state = state_of("resnet-batch")
    change(state)
    with pytest.raises(GancliError, match=re.escape(said)) as caught:
        imported("cyclegan", save(tmp_path, G=state))
    assert "latest_net_G.pth" in caught.value.message


def test_other_families_are_refused(tmp_path: Path) -> None:
    diffusers = {
        "down_blocks.0.resnets.0.conv1.weight": torch.ones(4, 4, 3, 3),
        "conv_in.weight": torch.ones(4, 3, 3, 3),
    }
    with pytest.raises(GancliError, match=r"conv_in\.weight: unexpected"):
        imported("pix2pix", save(tmp_path, G=diffusers))
    # pix2pixHD: begins alike, but halves the image four times
    widths = (4, 8, 16, 32, 64)
    hd = {"model.1.weight": torch.ones(4, 3, 7, 7), "model.1.bias": torch.ones(4)}
    for index, (inner, outer) in enumerate(pairwise(widths)):
        hd[f"model.{4 + 3 * index}.weight"] = torch.ones(outer, inner, 3, 3)
        hd[f"model.{4 + 3 * index}.bias"] = torch.ones(outer)
    hd |= {f"model.{16 + i}.conv_block.1.weight": torch.ones(64, 64, 3, 3) for i in range(9)}
    with pytest.raises(GancliError, match=r"model\.10\.conv_block\.1\.weight: missing"):
        imported("cyclegan", save(tmp_path, G=hd))


@pytest.mark.parametrize(
    ("architecture", "states", "said"),
    [
        ("cyclegan", {"G_A": "resnet-batch", "G_B": "resnet-batch"}, "channels is 3 in the first, 2 in the second"),
        ("cyclegan", {"G_A": "resnet-batch", "G_B": "resnet-back-instance"}, "norm is batch in the first, instance in"),
        ("cyclegan", {"G_A": "resnet-batch", "D_A": "resnet-batch"}, "holds a generator, but is called like a discrim"),
        ("pix2pix", {"G": "patchgan-batch"}, "holds a discriminator, but is called like a generator"),
        ("cyclegan", {"D_A": "patchgan-b-batch"}, "a discriminator alone makes no images"),
        ("cyclegan", {"G_A": "resnet-batch", "G": "resnet-batch"}, "are both G_A"),
        ("pix2pix", {"G_A": "resnet-batch"}, "which network of pix2pix"),
        ("cyclegan", {"G": "resnet-batch", "D": "patchgan-b-batch"}, "which network of cyclegan"),
        ("pix2pix", {"G": "unet-batch", "D": "patchgan-a-batch"}, "model.0.weight: [3, 3, 4, 4], but [3, 5, 4, 4]"),
    ],
)
def test_files_that_are_not_of_one_model(tmp_path: Path, architecture: str, states: dict[str, str], said: str) -> None:
    with pytest.raises(GancliError, match=re.escape(said)):
        imported(architecture, save(tmp_path, **{name: state_of(golden) for name, golden in states.items()}))


def test_the_command(
    tmp_path: Path, gancli_home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("horse2zebra_pretrained"), G_A=state_of("resnet-batch"), G_B=state_of("resnet-back-batch"))
    assert run(["import", "cyclegan", "horse2zebra_pretrained/"]) == 0
    written = gancli_home / "models/horse2zebra.safetensors"
    assert capfd.readouterr().out == f"{written}\n"
    assert load_model(written, CPU)[1].origin == "latest_net_G_A.pth, latest_net_G_B.pth"
    both = ["horse2zebra_pretrained/latest_net_G_A.pth", "horse2zebra_pretrained/latest_net_G_B.pth"]
    assert run(["import", "cyclegan", *both, "--name", "both", "--domains", "cat,dog"]) == 0
    info = load_model(gancli_home / "models/both.safetensors", CPU)[1]
    assert (info.domains, info.config["data"]["domains"]) == (["cat", "dog"], ["cat", "dog"])
    assert run(["models", "both"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cyclegan", "missing/latest_net_G.pth"], "cannot read missing/latest_net_G.pth"),
        (["cyclegan", "text.pth"], "text.pth is not a PyTorch checkpoint"),
        (["cyclegan", "cut.pth"], "cut.pth is not a PyTorch checkpoint, or only a part of one"),
        (["cyclegan", "empty"], "the folder empty holds no checkpoint"),
        (["cyclegan", "good.pth", "--domains", "horse"], "--domains ['horse']: must have at least 2 values"),
        (["cyclegan", "good.pth", "--domains", "a,b,c"], "--domains names 3 domains, but a cyclegan has 2"),
        (["cyclegan", "good.pth", "--domains", "a, a"], "must be different names"),
        (["cyclegan", "good.pth", "--set", "model.upsamplin=nearest"], "did you mean 'upsampling' (resnet: "),
        (["cyclegan"], "FILE"),
        (["cyclegan", "x" * 300], "cannot read xxx"),
        (["progan", "good.pth"], "there is no importer for 'progan'"),
    ],
)
def test_what_cannot_be_imported(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
    capfd: pytest.CaptureFixture[str],
    gancli_home: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(state_of("resnet-dropout-batch"), "good.pth")
    Path("cut.pth").write_bytes(Path("good.pth").read_bytes()[:3000])
    Path("text.pth").write_text("no checkpoint")
    Path("empty").mkdir()
    assert run(["import", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert not (gancli_home / "models").exists()
