"""gancli import dcgan: what pytorch/examples saves is read, its images come out, and everything else is refused."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gancli.domains import Domain
from gancli.errors import GancliError
from gancli.importers import import_checkpoint
from gancli.modelfile import load_model, read_info

CPU = torch.device("cpu")


def official_state(nz: int = 10, ngf: int = 4, nc: int = 3, resolution: int = 64) -> dict[str, Tensor]:
    """The state dict that dcgan/main.py saves, by its layout: conv, norm, ReLU, ..., conv, tanh under ``main``."""
    generator = torch.Generator().manual_seed(0)
    blocks = resolution.bit_length() - 3
    widths = [nz, *(ngf * 2**i for i in reversed(range(blocks))), nc]
    state = {}
    for index in range(blocks + 1):
        state[f"main.{3 * index}.weight"] = (
            torch.randn(widths[index], widths[index + 1], 4, 4, generator=generator) * 0.1
        )
        if index < blocks:
            width, norm = widths[index + 1], f"main.{3 * index + 1}"
            state[f"{norm}.weight"] = torch.rand(width, generator=generator) + 0.5
            state[f"{norm}.bias"] = torch.randn(width, generator=generator) * 0.1
            state[f"{norm}.running_mean"] = torch.randn(width, generator=generator) * 0.1
            state[f"{norm}.running_var"] = torch.rand(width, generator=generator) + 0.5
            state[f"{norm}.num_batches_tracked"] = torch.tensor(7)
    return state


def official_images(state: dict[str, Tensor], z: Tensor) -> Tensor:
    """The official network, evaluated layer by layer from its state dict."""
    x = z[:, :, None, None]
    convolutions = sorted(int(key.split(".")[1]) for key, value in state.items() if value.ndim == 4)
    for index in convolutions:
        weight = state[f"main.{index}.weight"]
        x = F.conv_transpose2d(x, weight, stride=1 if index == 0 else 2, padding=0 if index == 0 else 1)
        if index != convolutions[-1]:
            norm = f"main.{index + 1}"
            mean, var = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
            x = F.batch_norm(x, mean, var, state[f"{norm}.weight"], state[f"{norm}.bias"])
            x = F.relu(x)
    return x.tanh()


def imported(tmp_path: Path, content: object) -> Path:
    torch.save(content, tmp_path / "netG.pth")
    path = tmp_path / "model.safetensors"
    path.write_bytes(import_checkpoint("dcgan", [tmp_path / "netG.pth"]))
    return path


@pytest.mark.parametrize(
    ("nz", "ngf", "nc", "resolution"), [(100, 8, 3, 64), (10, 4, 1, 32), (7, 2, 3, 128), (5, 1, 1, 256)]
)
def test_sizes_come_from_the_tensors_and_images_are_the_official_ones(
    tmp_path: Path, nz: int, ngf: int, nc: int, resolution: int
) -> None:
    state = official_state(nz, ngf, nc, resolution)
    model, info = load_model(imported(tmp_path, state), CPU)
    assert info.config["model"] | {"latent_dim": nz, "generator_width": ngf, "channels": nc} == info.config["model"]
    assert info.domains == ["image"]
    assert info.inputs.domains == {"image": Domain((nc, resolution, resolution))}
    assert info.networks == ["generator"]
    z = torch.randn(3, nz, generator=torch.Generator().manual_seed(1))
    images = model.decode(z)
    expected = official_images(state, z)
    assert expected.std() > 0.01
    torch.testing.assert_close(images, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {f"module.{key}": value for key, value in state.items()},
        lambda state: {"netG": state, "epoch": 3},
        lambda state: {
            "generator": {f"module.{key}": value for key, value in state.items()},
            "d": {"x": torch.ones(1)},
        },
        lambda state: {"models": {"G": state}, "args": {"lr": 2e-4}},
        lambda state: {key: value for key, value in state.items() if "num_batches" not in key},
    ],
)
def test_wrapped_and_old_state_dicts(tmp_path: Path, wrap: object) -> None:
    state = official_state()
    model, _ = load_model(imported(tmp_path, wrap(state)), CPU)  # type: ignore[operator]
    z = torch.randn(2, 10)
    torch.testing.assert_close(model.decode(z), official_images(state, z), atol=1e-5, rtol=0)


def test_the_wrapper_with_a_discriminator_beside_the_generator(tmp_path: Path) -> None:
    discriminator = {"main.0.weight": torch.ones(4, 3, 4, 4), "main.2.weight": torch.ones(8, 4, 4, 4)}
    path = imported(tmp_path, {"netD": discriminator, "netG": official_state()})
    assert read_info(path).networks == ["generator"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("main.4.running_mean"), "main.4.running_mean: missing"),
        (lambda s: s.update({"main.4.gamma": torch.ones(3)}), "main.4.gamma: unexpected"),
        (lambda s: s.update({"main.3.bias": torch.ones(3)}), "main.3.bias: unexpected"),
        (
            lambda s: s.update({"main.3.weight": torch.ones(32, 17, 4, 4)}),
            "main.3.weight: [32, 17, 4, 4], but [32, 16, 4, 4]",
        ),
        (lambda s: s.update({"main.0.weight": torch.ones(10, 32, 3, 3)}), "main.0.weight: [10, 32, 3, 3]"),
        (lambda s: s.update({"main.12.weight": torch.ones(4, 2, 4, 4)}), "netG.pth: model.channels 2: must be 1 or 3"),
        (lambda s: s.pop("main.0.weight"), "main.0.weight"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path: Path, change: object, said: str) -> None:
    state = official_state()
    change(state)  # type: ignore[operator]
    with pytest.raises(GancliError) as caught:
        imported(tmp_path, state)
    assert said in caught.value.message
    assert "netG.pth" in caught.value.message


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("legacy", [False, True])
def test_no_code_in_a_checkpoint_is_run(tmp_path: Path, legacy: bool) -> None:
    content = {**official_state(), "extra": Bomb(tmp_path / "exploded")}
    torch.save(content, tmp_path / "netG.pth", _use_new_zipfile_serialization=not legacy)
    import_checkpoint("dcgan", [tmp_path / "netG.pth"])
    torch.save(Bomb(tmp_path / "exploded"), tmp_path / "bomb.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(GancliError, match=r"Python objects besides tensors, .*: \w+.mkdir"):
        import_checkpoint("dcgan", [tmp_path / "bomb.pth"])
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"hello, this is text", b"no checkpoint", b"\x80\x02}q\x00.", b"PK\x03\x04 broken zip", b"\x89PNG\r\n\x1a\n"],
)
def test_files_that_are_no_checkpoints(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "netG.pth").write_bytes(content)
    with pytest.raises(GancliError, match="not a PyTorch checkpoint"):
        import_checkpoint("dcgan", [tmp_path / "netG.pth"])


def test_other_things_that_are_no_checkpoints(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("photo.jpg", b"x")
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1, 2]))
    torch.save([torch.ones(2)], tmp_path / "list.pth")
    for name in ("a.zip", "list.pkl", "list.pth", "missing.pth", "."):
        with pytest.raises(GancliError):
            import_checkpoint("dcgan", [tmp_path / name])


def test_names_of_domains_have_no_place_here(tmp_path: Path) -> None:
    torch.save(official_state(), tmp_path / "netG.pth")
    with pytest.raises(GancliError, match="--domains names 2 domains, but a dcgan has one"):
        import_checkpoint("dcgan", [tmp_path / "netG.pth"], sets=["data.domains=[a, b]"])
