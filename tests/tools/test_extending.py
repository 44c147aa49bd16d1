"""The package of docs/extending.md, as its reader would make it: architecture, preset, importer and metric at work."""

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
import torch

from gancli import config, importers, registry
from gancli.cli.app import run
from gancli.errors import GancliError

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text()
FILES = dict(re.findall(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
COMMANDS = re.findall(
    r"^gancli (.*)$", re.search(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1], re.MULTILINE
)


def forget() -> None:
    """Makes gancli look for entry points again."""
    registry.plugins.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tiny_gan", "test_tiny_gan")]:
        del sys.modules[name]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gancli_home: Path) -> Iterator[Path]:
    """The page's files in the working directory, with the entry points beside them as pip would install them."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "tiny_gan" / "__init__.py").touch()
    # Its tables are read as text, since Python 3.10 has no tomllib.
    groups = re.findall(r'\[project\.entry-points\."(.+)"\]\n(.+) = "(.+)"\n', FILES["pyproject.toml"])
    info = tmp_path / "tiny_gan-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-gan\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("".join(f"[{group}]\n{name} = {value}\n" for group, name, value in groups))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    yield tmp_path
    forget()


def test_the_page_has_all_files() -> None:
    module = {f"tiny_gan/{name}.py" for name in ("architecture", "importer", "metric")}
    assert FILES.keys() == module | {"tiny_gan/presets/tiny-gan.yaml", "pyproject.toml", "test_tiny_gan.py"}
    assert len(COMMANDS) == 7


def test_its_commands(package: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # The same with fewer steps and images: of all shapes, decoding alone would take seconds.
    np.savez("noise.npz", images=np.random.default_rng(0).integers(0, 256, (32, 16, 16, 3), np.uint8))
    few = ["--steps", "2", "--batch", "8", "--set", "train.log_every=1", "--set", "train.samples=4"]
    quick = {
        "train": ["--data", "noise.npz", *few],
        "resume": ["--steps", "4"],
        "evaluate": ["-n", "32", "--json"],
    }
    shown = []
    for command in COMMANDS:
        words = command.split()
        assert run([*words, *quick.get(words[0], [])]) == 0, capfd.readouterr().err
        shown.append(capfd.readouterr().out)
    assert run(["train", "tiny-gan", "--data", "shapes", "--steps", "2", "--dry-run"]) == 0
    assert re.search(r"^data +shapes: ", capfd.readouterr().out, re.MULTILINE)
    preset, trained, resumed, drawn, exported, imported, evaluated = shown
    assert re.search(r"^  width: 128 +# \* units of the hidden layer$", preset, re.MULTILINE)
    assert (trained, resumed) == ("runs/tiny\n", "runs/tiny\n")
    log = [json.loads(line) for line in (package / "runs" / "tiny" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2, 3, 4]
    assert all({"D", "G", "D(x)", "D(G(z))"} <= line.keys() for line in log)
    assert (drawn, exported) == ("tiny.png\n", "tiny_10.pth\n")
    assert imported.endswith("models/again.safetensors\n")
    assert torch.load("tiny_10.pth", weights_only=True)["main.0.weight"].shape == (128, 32)
    measured = json.loads(evaluated)["metrics"]
    assert list(measured) == ["brightness"]
    assert 0 < measured["brightness"]["brightness"] < 256

    # What came back makes the same images as what went out.
    for name in ("tiny", "again"):
        assert run(["sample", name, "--seeds", "0,1", "-o", f"{name}.npy"]) == 0
    images = np.load("again.npy")
    assert images.shape == (2, 3, 16, 16)
    assert np.array_equal(images, np.load("tiny.npy"))
    assert not np.array_equal(images[0], images[1])


@pytest.mark.usefixtures("package")
def test_its_own_test_passes() -> None:
    importlib.import_module("test_tiny_gan").test_tiny_gan()


def test_its_own_test_finds_what_breaks(package: Path) -> None:
    module = package / "tiny_gan" / "architecture.py"
    module.write_text(module.read_text().replace('update("G", self.g_loss, batch)', "pass"))
    with pytest.raises(AssertionError, match="never moves G"):
        importlib.import_module("test_tiny_gan").test_tiny_gan()


def test_its_presets_are_found_without_importing_it(package: Path) -> None:
    script = (
        "import sys; from gancli import importers, registry; print(registry.preset_paths()['tiny-gan']);"
        "assert 'tiny-gan' in importers.importer_names();"
        "assert not {'tiny_gan', 'torch'} & set(sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{package}/tiny_gan/presets/tiny-gan.yaml\n"), done.stderr


def test_a_preset_of_gancli_hides_that_of_a_package(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    presets = package / "tiny_gan" / "presets"
    (presets / "dcgan.yaml").write_text("architecture: dcgan\ndescription: another\ntrain: {steps: 1}\n")
    (presets / "dcgan-cats.yaml").write_text("architecture: dcgan\ndescription: cats\ntrain: {steps: 1}\n")
    assert config.resolve("dcgan").train.epochs == 25
    assert config.resolve("dcgan-cats").description == "cats"
    assert run(["presets"]) == 0
    out, err = capsys.readouterr()
    assert err == f"warning: {presets}/dcgan.yaml is not used: there is already a preset dcgan\n"
    assert {"dcgan", "dcgan-cats", "tiny-gan"} <= {line.split()[0] for line in out.splitlines()}
    assert "another" not in out


def test_a_presets_name_begins_with_its_architectures(package: Path) -> None:
    presets = package / "tiny_gan" / "presets"
    (presets / "tiny.yaml").write_text((presets / "tiny-gan.yaml").read_text())
    with pytest.raises(GancliError) as caught:
        config.resolve("tiny")
    text = "presets/tiny.yaml:1: architecture: is tiny-gan, but the name of a preset begins with its architecture's"
    assert (caught.value.message, caught.value.hint) == (text, "rename the file")


def test_a_file_that_its_importer_refuses(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"other.weight": torch.zeros(1)}, "tiny_1.pth")
    torch.save({"other.weight": torch.zeros(1)}, "tiny_2.pth")
    assert importers.find_files("tiny-gan", package) == [package / "tiny_2.pth"]
    assert run(["import", "tiny-gan", "tiny_2.pth"]) == 2
    assert "tiny_2.pth is not a generator of tiny" in capsys.readouterr().err


def test_an_importer_that_is_broken(package: Path) -> None:
    (package / "tiny_gan" / "importer.py").write_text("import nowhere_at_all\n")
    with pytest.raises(
        GancliError, match="the importer 'tiny-gan' of tiny-gan cannot be imported: No module named 'nowhere_at_all'"
    ):
        importers.importers("tiny-gan")
