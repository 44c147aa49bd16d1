"""gancli export, as users type it; what is written comes back in as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gancli import config, registry
from gancli.cli.app import run
from gancli.modelfile import describe, load_tensors, to_bytes

SMALL = ["model.generator_width=2", "model.discriminator_width=2", "model.resolution=32"]


def make_model(architecture: str, *sets: str, domains: Sequence[str] = (), networks: Sequence[str] = ()) -> None:
    """Writes ``MODEL.safetensors``, a model of random weights."""
    resolved = config.resolve(architecture, sets=[*SMALL, *sets])
    kind = registry.load_architecture(architecture)
    torch.manual_seed(0)
    model = kind(resolved.model)
    held = list(networks) or [name for name, _ in model.named_children() if not name.startswith("pool")]
    inputs = kind.inputs(resolved.model)
    inputs = replace(inputs, domains=dict(zip(domains or inputs.domains, inputs.domains.values(), strict=True)))
    info = describe(architecture, resolved, networks=held, inputs=inputs, step=7)
    tensors = {name: tensor for name, tensor in model.state_dict().items() if name.partition(".")[0] in held}
    Path("MODEL.safetensors").write_bytes(to_bytes(info, tensors))


def tensors_of(path: str, network: str) -> dict[str, Tensor]:
    prefix = f"{network}."
    return {
        key.removeprefix(prefix): tensor for key, tensor in load_tensors(Path(path)).items() if key.startswith(prefix)
    }


def assert_same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(theirs[key], tensor) for key, tensor in ours.items())


@pytest.mark.parametrize("to", ["horse", "zebra"])
def test_one_of_two_generators(here: Path, to: str, capfd: pytest.CaptureFixture[str]) -> None:
    make_model("cyclegan", "model.blocks=1", domains=("horse", "zebra"))
    assert run(["export", "MODEL.safetensors", "-o", "net/latest_net_G.pth", "--to", to, "--format", "junyanz"]) == 0
    assert capfd.readouterr().out == "net/latest_net_G.pth\n"
    state = torch.load("net/latest_net_G.pth", weights_only=True)
    assert "model.10.conv_block.1.weight" in state
    assert run(["import", "cyclegan", "net/latest_net_G.pth", "-o", "back.safetensors"]) == 0
    network = {"horse": "generator_ba", "zebra": "generator_ab"}[to]
    assert_same(tensors_of("MODEL.safetensors", network), tensors_of("back.safetensors", "generator_ab"))


@pytest.mark.parametrize(
    ("architecture", "sets", "files"),
    [
        (
            "cyclegan",
            ("model.blocks=1",),
            {"latest_net_D_A.pth", "latest_net_D_B.pth", "latest_net_G_A.pth", "latest_net_G_B.pth"},
        ),
        ("pix2pix", (), {"latest_net_D.pth", "latest_net_G.pth"}),
        ("ugatit", ("model.light=true", "model.global_layers=5"), {"MODEL_params_0000007.pt"}),
    ],
)
def test_a_folder_gets_all_networks(
    here: Path, architecture: str, sets: tuple[str, ...], files: set[str], capfd: pytest.CaptureFixture[str]
) -> None:
    make_model(architecture, *sets)
    assert run(["export", "MODEL.safetensors", "-o", "official/"]) == 0
    out, err = capfd.readouterr()
    assert set(out.split()) == {f"official/{name}" for name in files}
    assert err == ""
    assert {path.name for path in Path("official").iterdir()} == files
    assert run(["import", architecture, "official", "-o", "back.safetensors"]) == 0
    assert_same(load_tensors(Path("MODEL.safetensors")), load_tensors(Path("back.safetensors")))


def test_dcgan(here: Path, model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["export", str(model), "-o", "netG_epoch_3.pth"]) == 0
    assert run(["import", "dcgan", ".", "-o", "back.safetensors"]) == 0
    assert_same(tensors_of(str(model), "generator"), tensors_of("back.safetensors", "generator"))
    capfd.readouterr()
    assert run(["export", str(model), "-o", "both"]) == 0
    assert capfd.readouterr().out == "both/netG.pth\nboth/netD.pth\n"
    assert {key.partition(".")[0] for key in torch.load("both/netD.pth", weights_only=True)} == {"main"}


def test_a_single_generator_needs_no_direction(here: Path) -> None:
    make_model("cyclegan", "model.blocks=1", domains=("horse", "zebra"), networks=("generator_ba",))
    assert run(["export", "MODEL.safetensors", "-o", "net.pth"]) == 0
    assert run(["import", "cyclegan", "net.pth", "-o", "back.safetensors"]) == 0
    assert_same(tensors_of("MODEL.safetensors", "generator_ba"), tensors_of("back.safetensors", "generator_ab"))


@pytest.mark.parametrize("output", ["net.pth", "official/"])
@pytest.mark.parametrize("upsampling", ["deconv", "nearest", "bilinear"])
def test_the_official_code_has_transposed_convolutions_only(
    here: Path, upsampling: str, output: str, capfd: pytest.CaptureFixture[str]
) -> None:
    make_model("pix2pix", "model.generator=resnet", "model.blocks=1", f"model.upsampling={upsampling}")
    assert run(["export", "MODEL.safetensors", "-o", output]) == 0
    err = capfd.readouterr().err
    if upsampling == "deconv":
        assert err == ""
    else:
        assert err.startswith(f"warning: the model upsamples by {upsampling} interpolation")
        assert err.count("\n") == 1
    assert run(["import", "pix2pix", output, "--set", f"model.upsampling={upsampling}", "-o", "back.safetensors"]) == 0
    assert_same(tensors_of("MODEL.safetensors", "generator"), tensors_of("back.safetensors", "generator"))
    assert run(["export", "MODEL.safetensors", "-o", output]) == 2
    # A single file is found to exist before the importer is asked for its content.
    assert output == "official/" or "warning" not in capfd.readouterr().err


def test_other_architectures_interpolate_as_their_official_code(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_model("ugatit", "model.light=true", "model.global_layers=5")
    assert run(["export", "MODEL.safetensors", "-o", "x.pt"]) == 0
    assert capfd.readouterr().err == ""


def test_the_official_code_of_ugatit_wants_all_networks(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_model("ugatit", "model.light=true", "model.global_layers=5", networks=("generator_ab",))
    assert run(["export", "MODEL.safetensors", "-o", "x.pt"]) == 0
    assert "no genB2A and no disGA" in capfd.readouterr().err
    assert list(torch.load("x.pt", weights_only=True)) == ["genA2B"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing", "-o", "x.pth"], "there is no model 'nothing'"),
        (["MODEL.safetensors"], "-o"),
        (["MODEL.safetensors", "-o", "x.pth"], "--to zebra, or -o DIR/"),
        (["MODEL.safetensors", "-o", "x.pth", "--to", "zebr"], "did you mean 'zebra'?"),
        (["MODEL.safetensors", "-o", "x/", "--to", "zebra"], "leave --to out"),
        (["MODEL.safetensors", "-o", "x.onnx", "--to", "zebra"], "-o x.pth"),
        (["MODEL.safetensors", "-o", "x.pth", "--format", "znxlwm"], "its format is junyanz"),
        (["MODEL.safetensors", "-o", "there.pth", "--to", "zebra"], "there.pth already exists"),
        (["MODEL.safetensors", "-o", "file"], "a file of this name is in the way"),
    ],
)
def test_what_cannot_be_exported(
    here: Path, arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    make_model("cyclegan", "model.blocks=1", domains=("horse", "zebra"))
    Path("there.pth").write_text("precious")
    Path("file").write_text("precious")
    assert run(["export", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert Path("there.pth").read_text() == Path("file").read_text() == "precious"
    assert len(list(here.iterdir())) == 3


def test_overwrite(here: Path) -> None:
    make_model("pix2pix")
    Path("there.pth").write_text("old")
    assert run(["export", "MODEL.safetensors", "-o", "there.pth", "--overwrite"]) == 0
    assert "model.model.0.weight" in torch.load("there.pth", weights_only=True)
