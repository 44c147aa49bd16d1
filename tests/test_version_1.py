"""What version 1 wrote still opens: model files give the same pictures, and runs go on as they would have gone on.

tools/fixtures.py made the files in fixtures/version_1 with the code of that version; never make them again. With the
same torch and processor, results must be equal to the bit. Other machines add in another order, and training amplifies
the rounding errors: there, results must agree within TOLERANCE.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from machine import machine
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gancli.cli.app import run

HERE = Path(__file__).parent / "fixtures" / "version_1"
MADE = json.loads((HERE / "made.json").read_text())
EXACT = machine() == MADE["machine"]
STOPPED, RESUMED = 6, 10
TOLERANCE = 1e-2
"""Fraction of the way from the stop to the end by which another machine may miss the end.

Kernels for SSE4.1 and AVX2, instead of the recorded AVX512, miss it by at most 6e-4 (torch 2.14). A resume without the
moments of Adam misses it by 2 or more, one with empty pools by 0.7, one with other random numbers by 0.1 or more.
"""
ROUNDING = "synthesis.layers.0.bias"
"""StyleGAN's instance norm cancels this bias while the constant is positive, so rounding errors alone move it: only the
recorded machine is held to it."""
MEASURED = ("images_per_s", "eta_s", "memory_mib", "watch")
"""Values in the log that differ from run to run, or that version 1 did not have."""
NETWORKS = {
    "dcgan": ["generator", "discriminator"],
    "pix2pix": ["generator", "discriminator"],
    "cyclegan": ["generator_ab", "generator_ba", "discriminator_a", "discriminator_b"],
    "ugatit": [
        *("generator_ab", "generator_ba", "discriminator_global_a", "discriminator_local_a"),
        *("discriminator_global_b", "discriminator_local_b"),
    ],
    "progan": ["generator", "discriminator"],
    "stylegan": ["mapping", "synthesis", "discriminator"],
}


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The directory that the files were made in, and one thread, as they were made with."""
    monkeypatch.chdir(HERE)
    threads = torch.get_num_threads()
    torch.set_num_threads(MADE["threads"])
    yield
    torch.set_num_threads(threads)


def tensors(checkpoint: Path) -> dict[str, Tensor]:
    """Returns all tensors of a checkpoint, by file and name."""
    return {
        f"{file.stem}: {name}": tensor
        for file in sorted(checkpoint.glob("*.safetensors"))
        for name, tensor in safetensors.torch.load_file(file).items()
    }


def read_log(directory: Path) -> list[dict[str, Any]]:
    """Returns the lines of a run's log, without what is measured."""
    lines = map(json.loads, (directory / "log.jsonl").read_text().splitlines())
    return [{key: value for key, value in line.items() if key not in MEASURED} for line in lines]


def groups(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors of each network, and of each player each moment of Adam, as one vector."""
    parts: dict[str, list[Tensor]] = defaultdict(list)
    for name, tensor in sorted(found.items()):
        if ROUNDING in name:
            continue
        player, _, moment = name.partition("/")
        group = f"{player}, {moment.rpartition('/')[2]}" if moment else name.partition(".")[0]
        parts[group].append(tensor.double().flatten())
    return {group: torch.cat(vectors) for group, vectors in parts.items()}


def deviations(actual: dict[str, Tensor], expected: dict[str, Tensor], before: dict[str, Tensor]) -> dict[str, float]:
    """Returns by group how far the actual end is from the expected one, as a fraction of the way from ``before``.

    0 is the expected end, and about 1 is where one would be without having moved.
    """
    # Layers that grew later have no moments yet.
    starts = groups({name: before.get(name, torch.zeros_like(end)) for name, end in expected.items()})
    ends, wanted = groups(actual), groups(expected)
    return {
        group: float((ends[group] - end).norm() / (end - starts[group]).norm().clamp(min=1e-12))
        for group, end in wanted.items()
    }


@pytest.mark.parametrize("architecture", NETWORKS)
def test_a_model_file_says_what_it_is(architecture: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", f"{architecture}/run", "--json"]) == 0
    info: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert info["architecture"] == architecture
    assert (info["step"], info["images_shown"]) == (STOPPED, 2 * STOPPED)
    assert info["networks"] == NETWORKS[architecture]
    assert info["grown_to"] == (8 if architecture in ("progan", "stylegan") else None)
    assert info["classes"] == (
        ["circle", "square", "triangle"] if architecture in ("dcgan", "progan", "stylegan") else []
    )


def with_classes_as_rows(grid: NDArray[np.int_], tile: int = 16, gap: int = 2) -> NDArray[np.int_]:
    """Returns a grid in which version 1 had a column for each class with a row for each instead, as later versions."""
    padded = np.pad(grid, ((0, gap), (0, gap), (0, 0)))
    rows, columns, size = len(padded) // (tile + gap), padded.shape[1] // (tile + gap), tile + gap
    tiles = padded.reshape(rows, size, columns, size, 3).swapaxes(0, 2)
    return tiles.reshape(columns * size, rows * size, 3)[:-gap, :-gap]


@pytest.mark.parametrize("architecture", MADE["pictures"])
def test_a_model_file_gives_the_same_pictures(architecture: str, tmp_path: Path) -> None:
    for name, command in MADE["pictures"][architecture].items():
        assert run([*command.split(), "-o", str(tmp_path / name), "--device", "cpu"]) == 0
    pictures = sorted((HERE / architecture / "expected").glob("*.png"))
    assert [picture.name for picture in pictures] == sorted(picture.name for picture in tmp_path.iterdir())
    for picture in pictures:
        expected, actual = (np.asarray(Image.open(path), int) for path in (picture, tmp_path / picture.name))
        if "--class all" in MADE["pictures"][architecture].get(picture.name, ""):
            expected = with_classes_as_rows(expected)
        assert actual.shape == expected.shape
        # Floats that differ in their last bits round to neighbouring levels at most.
        assert np.abs(actual - expected).max() <= (0 if EXACT else 1), picture


@pytest.mark.parametrize("architecture", NETWORKS)
def test_a_run_resumes_as_before(architecture: str, tmp_path: Path) -> None:
    shutil.copytree(HERE / architecture / "run", tmp_path / "run")
    assert run(["resume", str(tmp_path / "run"), "--steps", str(RESUMED)]) == 0
    checkpoint, wanted = tmp_path / "run" / "checkpoints" / str(RESUMED), HERE / architecture / "expected"
    written, expected = tensors(checkpoint), tensors(wanted / "checkpoint")
    # Version 1 wrote averages of batch statistics into the model file; now they are beside those measured again.
    unsettled = {name: tensor for name, tensor in written.items() if name.startswith("rest: unsettled/")}
    actual = {name: tensor for name, tensor in written.items() if name not in unsettled}
    actual |= {name.replace("rest: unsettled/", "model: "): tensor for name, tensor in unsettled.items()}
    assert {name: (t.dtype, t.shape) for name, t in actual.items()} == {
        name: (t.dtype, t.shape) for name, t in expected.items()
    }
    if EXACT:
        assert [name for name, tensor in expected.items() if not torch.equal(actual[name], tensor)] == []
    else:
        before = tensors(HERE / architecture / "run" / "checkpoints" / str(STOPPED))
        far = {group: value for group, value in deviations(actual, expected, before).items() if value > TOLERANCE}
        assert far == {}
    model = safetensors.torch.load_file(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(tensor, written[f"model: {name}"]) for name, tensor in model.items())

    state, wanted_state = (
        json.loads((path / "state.json").read_text()) for path in (checkpoint, wanted / "checkpoint")
    )
    for key in ("step", "images_shown", "images", "averaged"):
        assert state[key] == wanted_state[key]
    log, wanted_log = (read_log(path) for path in (tmp_path / "run", wanted))
    assert log == (wanted_log if EXACT else [pytest.approx(line, rel=1e-3, abs=1e-4) for line in wanted_log])
