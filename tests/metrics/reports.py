"""``gancli evaluate`` in this process, and its report."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gancli.cli.app import run


def evaluate(capfd: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    """Runs the command with --json and returns the report."""
    found = run(["evaluate", *words, "--json"])
    out, err = capfd.readouterr()
    assert found == code, err
    assert "Traceback" not in err
    report: dict[str, Any] = json.loads(out) if code == 0 else {"err": err}
    return report


def flat(report: dict[str, Any]) -> dict[str, float]:
    return {name: value for values in report["metrics"].values() for name, value in values.items()}
