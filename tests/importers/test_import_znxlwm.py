"""gancli import ugatit: what UGATIT-pytorch saves is read, computes what it did, and all else is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints as official
import pytest
import torch
from torch import Tensor

from gancli.architectures.base import Way
from gancli.cli.app import run
from gancli.errors import GancliError
from gancli.importers import export_checkpoint, find_files, import_checkpoint
from gancli.modelfile import ModelInfo, load_model

CPU = torch.device("cpu")
GOLDEN: dict[str, Any] = json.loads(official.GOLDEN.read_text())
GOLDENS = {"genB2A": "", "disGA": "global", "disGB": "global", "disLA": "local", "disLB": "local"}

Params = dict[str, dict[str, Tensor]]


def params(version: str) -> Params:
    """The dict of UGATIT-pytorch; genB2A and the discriminators of B have other weights than the recorded ones."""
    states = {"genA2B": official.state_dict(GOLDEN[f"ugatit-{version}"]["shapes"])}
    for name, golden in GOLDENS.items():
        state = official.state_dict(GOLDEN[f"ugatit-{golden or version}"]["shapes"])
        factor = 0.9 if name in ("genB2A", "disGB", "disLB") else 1
        states[name] = {key: factor * tensor for key, tensor in state.items()}
    return states


def imported(folder: Path, content: object, *sets: str) -> tuple[Any, ModelInfo]:
    path = folder / "selfie2anime_params_0100000.pt"
    torch.save(content, path)
    written = folder / "model.safetensors"
    written.write_bytes(import_checkpoint("ugatit", [path], sets=sets))
    return load_model(written, CPU)


@pytest.mark.parametrize(
    ("version", "model"),
    [
        ("full", {"light": False, "resolution": 96, "generator_width": 2, "residual_blocks": 2}),
        ("light", {"light": True, "resolution": 256, "generator_width": 3, "residual_blocks": 1}),
    ],
)
def test_networks_compute_what_the_official_ones_do(tmp_path: Path, version: str, model: dict[str, object]) -> None:
    states = params(version)
    loaded, info = imported(tmp_path, states)
    assert info.config["model"] == info.config["model"] | model | {"discriminator_width": 2, "global_layers": 7}
    assert info.domains == ["selfie", "anime"]
    assert len(info.networks) == 6
    networks = {
        f"ugatit-{version}": loaded.generator_ab,
        "ugatit-global": loaded.discriminator_global_a,
        "ugatit-local": loaded.discriminator_local_a,
    }
    for golden, network in networks.items():
        x = official.image(*GOLDEN[golden]["input"])
        for output, recorded in zip(network(x)[:2], GOLDEN[golden]["outputs"], strict=True):
            torch.testing.assert_close(official.excerpt(output), recorded, atol=1e-4, rtol=1e-5)
    x = official.image(3, 96)
    assert torch.equal(loaded.translate(x, Way("A", "B")), loaded.generator_ab(x)[0])
    assert not torch.allclose(loaded.translate(x, Way("A", "B")), loaded.translate(x, Way("B", "A")), atol=1e-3)

    files = export_checkpoint(loaded, "ugatit", info.networks, "selfie2anime", 100000)
    (exported,) = files.values()
    assert list(files) == ["selfie2anime_params_0100000.pt"]
    assert list(exported) == list(states)
    for name, state in states.items():
        assert exported[name].keys() == state.keys()
        assert all(torch.equal(exported[name][key], tensor) for key, tensor in state.items()), name


def test_generators_alone(tmp_path: Path) -> None:
    loaded, info = imported(tmp_path, {"genB2A": params("light")["genB2A"]}, "model.discriminator_width=2")
    assert info.networks == ["generator_ba"]
    assert loaded.ways() == (Way("B", "A"),)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p["genA2B"].pop("UpBlock1_2.norm1.rho"), "UpBlock1_2.norm1.rho: missing"),
        (lambda p: p["genA2B"].pop("DownBlock.1.weight"), "DownBlock.1.weight: missing"),
        (lambda p: p["genA2B"].update({"FC.0.weight": torch.ones(8, 100)}), "resolution"),
        (lambda p: p["disGA"].update({"model.1.weight": torch.ones(2, 3, 4, 4)}), "model.1.weight: unexpected"),
        (lambda p: p.update(disLA=p["genA2B"]), "model.1.weight_orig: missing"),
        (lambda p: p.update(disLA=p["disGA"]), "local_layers is 7 in the first, 5 in the second"),
        (lambda p: p.update(genB2A=params("light")["genB2A"]), "generator_width is 2 in the first, 3 in the second"),
        (lambda p: [p.pop("genA2B"), p.pop("genB2A")], "neither genA2B nor genB2A, but disGA, disGB"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, change: Callable[[Params], object], said: str) -> None:
    states = params("full")
    change(states)
    with pytest.raises(GancliError, match=re.escape(said)) as caught:
        imported(tmp_path, states)
    assert "selfie2anime_params_0100000.pt" in caught.value.message


def test_a_bare_state_dict_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GancliError, match="neither genA2B nor genB2A, but tensors without a key"):
        imported(tmp_path, official.state_dict(GOLDEN["resnet-batch"]["shapes"]))


def test_the_newest_of_a_folder_by_its_name(
    tmp_path: Path, gancli_home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model").mkdir()
    for step in (900000, 1000000):
        torch.save(params("light"), f"model/selfie2anime_params_{step:07d}.pt")
    assert [path.name for path in find_files("ugatit", Path("model"))] == ["selfie2anime_params_1000000.pt"]
    assert run(["import", "ugatit", "model/"]) == 0
    assert capfd.readouterr().out == f"{gancli_home}/models/selfie2anime.safetensors\n"
