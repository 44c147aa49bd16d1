"""Two sets of images and a small network in the working directory."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import folder, script


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    script(tmp_path / "tiny.pt")
    folder(tmp_path / "made", 40, 1)
    folder(tmp_path / "real", 50, 2, level=0.8)
    return tmp_path
