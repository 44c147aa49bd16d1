"""What all importers share: they do no needless work."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import checkpoints as official
import pytest
import torch

from gancli.cli.app import run
from gancli.importers import importer_names, importers


def test_importing_does_not_import_torchs_compiler(tmp_path: Path) -> None:
    """It takes seconds; any arithmetic on the meta device imports it."""
    files = {"stylegan": tmp_path / "train_step-1.model", "ugatit": tmp_path / "selfie2anime_params_0100000.pt"}
    generator = official.stylegan_state(json.loads(official.STYLEGAN.read_text())["shapes"], 8)
    torch.save({"g_running": generator}, files["stylegan"])
    shapes = json.loads(official.GOLDEN.read_text())["ugatit-light"]["shapes"]
    torch.save({"genA2B": official.state_dict(shapes)}, files["ugatit"])
    script = (
        "import sys; from pathlib import Path; from gancli.importers import import_checkpoint\n"
        "for name, file in zip(sys.argv[1::2], sys.argv[2::2]): import_checkpoint(name, [Path(file)])\n"
        "print(*sys.modules)"
    )
    arguments = [str(part) for pair in files.items() for part in pair]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert {"gancli.importers.rosinality", "gancli.importers.znxlwm", "torch"} <= imported
    assert not imported & {"torch._dynamo", "torch._inductor", "sympy"}


def test_help_names_all_architectures_and_formats(capfd: pytest.CaptureFixture[str]) -> None:
    for command in ("import", "export"):
        assert run([command, "--help"]) == 0
        words = set(re.findall(r"[\w-]+", capfd.readouterr().out))
        assert set(importer_names()) <= words
    assert {each.checkpoints.format for name in importer_names() for each in importers(name)} <= words
