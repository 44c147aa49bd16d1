"""The package of docs/extending.md, as its reader would make it: trained, resumed and sampled by the command line.

It is trained in a process of its own, which finds it as an installed package; the rest runs in this one.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gancli import registry
from gancli.cli.app import run

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "docs" / "extending.md").read_text(), re.MULTILINE | re.DOTALL)


def block(language: str, marker: str) -> str:
    (found,) = (text for kind, text in BLOCKS if kind == language and marker in text)
    return found


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's files in the working directory, with the entry points beside them as pip would install them."""
    (tmp_path / "tiny_gan.py").write_text(block("python", "class TinyGAN"))
    (tmp_path / "test_tiny_gan.py").write_text(block("python", "check_architecture"))
    (tmp_path / "tiny-gan.yaml").write_text(block("yaml", "architecture:"))
    # Its tables are read as text, since Python 3.10 has no tomllib.
    table = re.search(r'\[project\.entry-points\."(.+)"\]\n(.+) = "(.+)"\n', block("toml", "entry-points"))
    assert table is not None
    info = tmp_path / "tiny_gan-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-gan\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[{table[1]}]\n{table[2]} = {table[3]}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    registry._third_party.cache_clear()
    yield tmp_path
    registry._third_party.cache_clear()
    for name in ("tiny_gan", "test_tiny_gan"):
        sys.modules.pop(name, None)


def test_the_example_is_trained_resumed_and_sampled(package: Path, capfd: pytest.CaptureFixture[str]) -> None:
    begin, again, draw = (line.split() for line in block("sh", "gancli resume").splitlines())
    assert [begin[:2], again[:2], draw[:2]] == [["gancli", "train"], ["gancli", "resume"], ["gancli", "sample"]]
    np.savez(package / "noise.npz", images=np.random.default_rng(0).integers(0, 256, (32, 16, 16, 3), np.uint8))
    quick = ["--data", "noise.npz", "--steps", "3", "--batch", "8", "--set", "train.log_every=1"]

    done = subprocess.run(
        [sys.executable, "-m", *begin, *quick],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(package), str(ROOT)])},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "runs/tiny\n"), done.stderr
    again[again.index("--steps") + 1] = "5"
    assert run(again[1:]) == 0
    assert capfd.readouterr().out == "runs/tiny\n"
    log = [json.loads(line) for line in (package / "runs" / "tiny" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2, 3, 4, 5]
    assert all({"D", "G", "D(x)", "D(G(z))"} <= line.keys() for line in log)

    assert run(draw[1:]) == 0
    assert run(["sample", "tiny", "-n", "2", "-o", "z.npy"]) == 0
    assert capfd.readouterr().out == "tiny.png\nz.npy\n"
    images = np.load(package / "z.npy")
    assert images.shape == (2, 3, 16, 16)
    assert images.std() > 0
    assert not np.array_equal(images[0], images[1])


@pytest.mark.usefixtures("package")
def test_its_own_test_passes() -> None:
    importlib.import_module("test_tiny_gan").test_tiny_gan()


def test_its_own_test_finds_what_breaks(package: Path) -> None:
    module = package / "tiny_gan.py"
    module.write_text(module.read_text().replace('update("G", self.g_loss, batch)', "pass"))
    with pytest.raises(AssertionError, match="never moves G"):
        importlib.import_module("test_tiny_gan").test_tiny_gan()
