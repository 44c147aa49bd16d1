"""``gancli doctor``: every row has a state, and what is broken is a row and no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gancli.cli import doctor


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gancli", "doctor", *words],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def rows(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in json.loads(done.stdout)}


def without(tmp_path: Path, name: str, code: str) -> str:
    """Puts a module that runs ``code`` before the real one and returns the PYTHONPATH."""
    (tmp_path / f"{name}.py").write_text(code)
    return os.pathsep.join([str(tmp_path), str(Path(doctor.__file__).parents[2])])


def test_table_and_json_tell_the_same() -> None:
    told = rows(run("--json"))
    table = run()
    assert table.stderr == ""
    lines = table.stdout.splitlines()
    assert lines[0].split()[:3] == ["state", "what", "found"]
    assert len(lines) == 1 + len(told)
    for line, check in zip(lines[1:], told.values(), strict=True):
        assert line.startswith(check["state"])
        assert check["name"] in line
    assert {"python", "gancli", "torch", "torchvision", "cpu", "torch.compile", "memory"} <= set(told)
    assert {check["state"] for check in told.values()} <= {"ok", "warning", "problem"}
    assert table.returncode == int(any(check["state"] == "problem" for check in told.values()))


def test_broken_torch_is_a_row(tmp_path: Path) -> None:
    done = run("--json", PYTHONPATH=without(tmp_path, "torch", "raise OSError('libcudart.so.13:\\n not found')"))
    assert done.returncode == 1
    assert done.stderr == ""
    told = rows(done)
    assert told["torch"]["state"] == "problem"
    assert told["torch"]["found"] == "cannot be imported: OSError: libcudart.so.13: not found"
    assert "pip install" in told["torch"]["hint"]
    assert told["memory"]["state"] in ("ok", "warning")
    assert "cpu" not in told


def test_torchvision_that_does_not_fit_is_a_row(tmp_path: Path) -> None:
    code = "raise RuntimeError('operator torchvision::nms does not exist')"
    told = rows(run("--json", PYTHONPATH=without(tmp_path, "torchvision", code)))
    assert told["torch"]["state"] == "ok"
    assert told["torchvision"]["state"] == "problem"


def test_places(tmp_path: Path) -> None:
    good = doctor._place("model directory", tmp_path / "not" / "yet")
    assert good.state in ("ok", "warning")
    assert "GiB free" in good.found
    assert not (tmp_path / "not").exists()
    file = tmp_path / "file"
    file.write_text("")
    bad = doctor._place("model directory", file / "models")
    assert (bad.state, bad.hint) == ("problem", "set GANCLI_HOME to a directory of yours")


def test_home_that_is_a_file_fails(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    done = run("--json", GANCLI_HOME=str(tmp_path / "home"))
    assert done.returncode == 1
    assert rows(done)["model directory"]["state"] == "problem"


def test_compilation_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Cpu:
        class cuda:  # noqa: N801
            is_available = staticmethod(lambda: False)

    class Gpu:
        class cuda:  # noqa: N801
            is_available = staticmethod(lambda: True)

    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    (check,) = doctor._compilation(Cpu)
    assert check.state == "warning"
    assert "C++ compiler" in check.found
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    (check,) = doctor._compilation(Gpu)
    assert "triton" in check.found


def test_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.locale, "getpreferredencoding", lambda *_: "ANSI_X3.4-1968")
    assert next(doctor._terminal()).state == "warning"
    monkeypatch.setattr(doctor.locale, "getpreferredencoding", lambda *_: "UTF-8")
    assert next(doctor._terminal()).state == "ok"
