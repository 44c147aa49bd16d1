"""``gancli doctor``: every row has a state, and what is broken is a row and no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gancli.cli import doctor
from gancli.cli.app import run


def rows(out: str) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in json.loads(out)}


def with_broken(tmp_path: Path, name: str, code: str) -> subprocess.CompletedProcess[str]:
    """Runs ``gancli doctor`` where a module that runs ``code`` stands before the real one."""
    (tmp_path / f"{name}.py").write_text(code)
    return subprocess.run(
        [sys.executable, "-m", "gancli", "doctor", "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(doctor.__file__).parents[2])])},
    )


def test_table_and_json_tell_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    run(["doctor", "--json"])
    told = rows(capfd.readouterr().out)
    code = run(["doctor"])
    out, err = capfd.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0].split()[:3] == ["state", "what", "found"]
    assert len(lines) == 1 + len(told)
    for line, check in zip(lines[1:], told.values(), strict=True):
        assert line.startswith(check["state"])
        assert check["name"] in line
    assert {"python", "gancli", "torch", "torchvision", "cpu", "torch.compile", "memory"} <= set(told)
    assert {check["state"] for check in told.values()} <= {"ok", "warning", "problem"}
    assert code == int(any(check["state"] == "problem" for check in told.values()))


def test_broken_torch_is_a_row(tmp_path: Path) -> None:
    done = with_broken(tmp_path, "torch", "raise OSError('libcudart.so.13:\\n not found')")
    assert done.returncode == 1
    assert done.stderr == ""
    told = rows(done.stdout)
    assert told["torch"]["state"] == "problem"
    assert told["torch"]["found"] == "cannot be imported: OSError: libcudart.so.13: not found"
    assert "pip install" in told["torch"]["hint"]
    assert told["memory"]["state"] in ("ok", "warning")
    assert "cpu" not in told


def test_torchvision_that_does_not_fit_is_a_row(tmp_path: Path) -> None:
    code = "raise RuntimeError('operator torchvision::nms does not exist')"
    told = rows(with_broken(tmp_path, "torchvision", code).stdout)
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


def test_home_that_is_a_file_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").write_text("")
    monkeypatch.setenv("GANCLI_HOME", str(tmp_path / "home"))
    assert run(["doctor", "--json"]) == 1
    assert rows(capfd.readouterr().out)["model directory"]["state"] == "problem"


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
