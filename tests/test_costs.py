"""Small files that name enormous sizes are refused at once, without the memory that they ask for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_modelfile import header_of, small_model, with_info, write_header

SCRIPT = """
import resource, sys, time
import torch
from pathlib import Path
from gancli.errors import GancliError
from gancli.modelfile import load_model
from gancli.registry import load_architecture
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
small, architecture, path = sys.argv[1:]
load_model(Path(small), torch.device("cpu"))
load_architecture(architecture)
before, begun = peak(), time.process_time()
try:
    load_model(Path(path), torch.device("cpu"))
except GancliError as error:
    print(f"{time.process_time() - begun:.2f} s, {peak() - before:.0f} MB, {len(str(error))} letters: {error}")
"""


def refused(tmp_path: Path, architecture: str, path: Path, script: str = SCRIPT) -> str:
    """Checks that a model file is refused in less than a second and 200 MB, and returns the message."""
    small = tmp_path / "small.safetensors"
    if not small.exists():
        small_model(small)
    words = [sys.executable, "-c", script, str(small), architecture, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said, _, message = done.stdout.partition(": ")
    seconds, megabytes, letters = (float(part.split()[0]) for part in said.split(", "))
    assert seconds < 1, done.stdout
    assert megabytes < 200, done.stdout
    assert letters < 2000, done.stdout
    return message


HUGE: dict[str, list[dict[str, Any]]] = {
    "dcgan": [{"latent_dim": 2**16, "generator_width": 2**16}, {"latent_dim": 10**9}, {"latent_dim": 10**400}],
    "cyclegan": [
        {"blocks": 10**9},
        {"blocks": 64, "generator_width": 2**16, "discriminator_width": 2**16, "resolution": 2048},
        {"pool_size": 10**9},
    ],
    "ugatit": [{"residual_blocks": 10**9}, {"residual_blocks": 64, "generator_width": 2**16, "resolution": 2048}],
    "stylegan": [
        {"mapping_layers": 10**9},
        {"mapping_layers": 64, "style_dim": 2**16, "width": 2**16, "max_width": 2**16, "classes": 10**5},
    ],
    "gan": [
        {"generator_widths": [1] * 50_000},
        {"generator_widths": [2**16] * 32, "discriminator_widths": [2**16] * 32, "networks": "maxout", "pieces": 1024},
    ],
    "gan-toy": [{"depth": 10**9}, {"depth": 64, "width": 2**16}],
    "r3gan": [
        {"blocks": 10**9},
        {"blocks": 16, "widths": [2**16] * 8, "resolution": 512, "expansion": 64, "classes": 10**5, "group": 1},
    ],
    "wgan": [{"extra_layers": 10**9}, {"extra_layers": 64, "generator_width": 2**16, "resolution": 256}],
}


@pytest.mark.parametrize(
    "architecture", ["gan-toy", *(pytest.param(name, marks=pytest.mark.slow) for name in HUGE if name != "gan-toy")]
)
def test_enormous_networks(tmp_path: Path, architecture: str) -> None:
    small_model(tmp_path / "m.safetensors")
    for model in HUGE[architecture]:
        inputs = {"domains": {"image": {"shape": [3, 64, 64]}}}
        change = {"architecture": architecture, "config": {"model": model, "data": {}, "train": {}}, "inputs": inputs}
        path = with_info(tmp_path / "m.safetensors", change)
        assert path.stat().st_size < 250_000
        assert path.name in refused(tmp_path, architecture, path)


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": {"domains": {"image": {"shape": [3, 10**6, 10**6]}}}},
        pytest.param({"networks": []}, marks=pytest.mark.slow),
        {"networks": ["generator", "oracle"]},
        {"config": {"model": {"optimizers": json.loads('{"D":' * 90 + "1" + "}" * 90)}}},
    ],
)
def test_model_files_that_say_what_their_networks_are_not(tmp_path: Path, change: dict[str, Any]) -> None:
    small_model(tmp_path / "m.safetensors")
    refused(tmp_path, "dcgan", with_info(tmp_path / "m.safetensors", change))


def test_a_header_nested_without_end(tmp_path: Path) -> None:
    small_model(tmp_path / "m.safetensors")
    header, rest = header_of(tmp_path / "m.safetensors")
    for deep in ("[" * 900 + "]" * 900, "[" * 100_000 + "]" * 100_000):
        info = json.dumps({"config": 1}).replace("1", deep)
        write_header(tmp_path / "deep.safetensors", {**header, "__metadata__": {"gancli": info}}, rest)
        assert "not a model file" in refused(tmp_path, "dcgan", tmp_path / "deep.safetensors")
