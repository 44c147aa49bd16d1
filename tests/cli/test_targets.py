"""What ``-o`` and ``--format`` mean."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gancli.cli.targets import choose_target
from gancli.errors import GancliError


def test_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.d").mkdir()
    (tmp_path / "plain").write_text("mine")
    os.mkfifo("pipe")
    found = {
        output: (target.kind, str(target.path), target.format)
        for output in (None, "-", "a.png", "a.JPEG", "a.npy", "new", "new.dir/", "here.d", "/dev/null", "pipe")
        for target in [choose_target(output, None, default="m-seed0.png")]
    }
    assert found == {
        None: ("file", "m-seed0.png", "png"),
        "-": ("stream", "-", "png"),
        "a.png": ("file", "a.png", "png"),
        "a.JPEG": ("file", "a.JPEG", "jpg"),
        "a.npy": ("file", "a.npy", "npy"),
        "new": ("directory", "new", "png"),
        "new.dir/": ("directory", "new.dir", "png"),
        "here.d": ("directory", "here.d", "png"),
        "/dev/null": ("file", "/dev/null", "png"),
        "pipe": ("file", "pipe", "png"),
    }
    assert choose_target("/dev/stdout", None, default="x.png") == choose_target("-", None, default="x.png")
    assert choose_target("-", "npy", default="x.png").format == "npy"
    assert choose_target(None, "webp", default="x.png").path == Path("x.webp")
    for output, kind in (("a.xyz", None), ("a.png", "jpg"), ("-", "tiff"), ("plain", None), ("no/where/a.png", None)):
        with pytest.raises(GancliError):
            choose_target(output, kind, default="x.png")
    assert (tmp_path / "plain").read_text() == "mine"


def test_image_data_do_not_go_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert choose_target("x.png", None, default="x.png").kind == "file"
    with pytest.raises(GancliError, match="refusing to write image data to a terminal"):
        choose_target("-", None, default="x.png")
