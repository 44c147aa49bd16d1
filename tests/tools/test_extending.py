"""The package of docs/extending.md, as its reader would make it: trained, resumed and sampled by the command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "docs" / "extending.md").read_text(), re.MULTILINE | re.DOTALL)


def block(language: str, marker: str) -> str:
    (found,) = (text for kind, text in BLOCKS if kind == language and marker in text)
    return found


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The page's files in a folder, with the entry points beside them as pip would install them."""
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
    return tmp_path


def python(package: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(package), str(ROOT)])
    done = subprocess.run(
        [sys.executable, *words],
        cwd=package,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done


def gancli(package: Path, *words: str) -> str:
    return python(package, "-m", "gancli", *words).stdout


def test_the_example_is_trained_resumed_and_sampled(package: Path) -> None:
    begin, again, draw = (line.split() for line in block("sh", "gancli resume").splitlines())
    assert [begin[:2], again[:2], draw[:2]] == [["gancli", "train"], ["gancli", "resume"], ["gancli", "sample"]]
    np.savez(package / "noise.npz", images=np.random.default_rng(0).integers(0, 256, (32, 16, 16, 3), np.uint8))
    quick = ["--data", "noise.npz", "--steps", "3", "--batch", "8", "--set", "train.log_every=1"]

    assert gancli(package, *begin[1:], *quick) == "runs/tiny\n"
    again[again.index("--steps") + 1] = "5"
    assert gancli(package, *again[1:]) == "runs/tiny\n"
    log = [json.loads(line) for line in (package / "runs" / "tiny" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2, 3, 4, 5]
    assert all({"D", "G", "D(x)", "D(G(z))"} <= line.keys() for line in log)

    assert gancli(package, *draw[1:]) == "tiny.png\n"
    assert gancli(package, "sample", "tiny", "-n", "2", "-o", "z.npy") == "z.npy\n"
    images = np.load(package / "z.npy")
    assert images.shape == (2, 3, 16, 16)
    assert images.std() > 0
    assert not np.array_equal(images[0], images[1])


def test_its_own_test_passes_and_finds_what_breaks(package: Path) -> None:
    script = "import test_tiny_gan as test; test.test_tiny_gan(); print('passed')"
    assert python(package, "-c", script).stdout == "passed\n"
    module = package / "tiny_gan.py"
    module.write_text(module.read_text().replace('update("G", self.g_loss, batch)', "pass"))
    with pytest.raises(AssertionError, match="never moves G"):
        python(package, "-c", script)
