"""gancli import, as users type it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gancli.cli.app import run


def official(path: Path) -> None:
    """A 32 px generator in the layout of pytorch/examples."""
    state = {}
    for index, (inner, outer) in enumerate(((6, 16), (16, 8), (8, 4), (4, 3))):
        state[f"main.{3 * index}.weight"] = torch.randn(inner, outer, 4, 4) * 0.1
        if index < 3:
            for name, value in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
                state[f"main.{3 * index + 1}.{name}"] = torch.full((outer,), float(value))
    torch.save(state, path)


def test_import_then_sample_by_name(here: Path, gancli_home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    official(here / "netG_epoch_24.pth")
    assert run(["import", "dcgan", "netG_epoch_24.pth"]) == 0
    written = gancli_home / "models/netG_epoch_24.safetensors"
    assert capfd.readouterr().out == f"{written}\n"
    assert run(["import", "dcgan", "netG_epoch_24.pth"]) == 2
    assert "already exists" in capfd.readouterr().err
    assert run(["import", "dcgan", "netG_epoch_24.pth", "--name", "faces"]) == 0
    assert run(["sample", "faces", "-n", "2", "-o", "two.npy"]) == 0
    assert np.load("two.npy").shape == (2, 3, 32, 32)
    assert run(["import", "dcgan", "netG_epoch_24.pth", "-o", "here.safetensors"]) == 0
    assert (here / "here.safetensors").read_bytes() == written.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dcgan", "missing.pth"], "missing.pth"),
        (["dcgan", "text.pth"], "text.pth is not a PyTorch checkpoint"),
        (["dcgann", "g.pth"], "dcgann"),
        (["dcgan", "g.pth", "--name", "../x"], "'../x'"),
        (["dcgan", "g.pth", "--name", "x", "-o", "x.safetensors"], "--name and -o"),
        (["dcgan", "g.pth", "-o", "x.pth"], "-o x.safetensors"),
    ],
)
def test_import_of_what_cannot_be(
    here: Path, arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    official(here / "g.pth")
    (here / "text.pth").write_text("no checkpoint")
    assert run(["import", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert sorted(p.name for p in here.iterdir()) == ["g.pth", "text.pth"]
