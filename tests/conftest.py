"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Two test processes on two cores: a second thread in each would only wait for its turn. Before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The directory of real test data: ``$GANCLI_TEST_DATA``, or ``shared/data`` beside the checkout."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("GANCLI_TEST_DATA", default))
    if not path.is_dir():
        pytest.skip(f"there is no real test data at {path}; $GANCLI_TEST_DATA can name it")
    return path


@pytest.fixture(autouse=True)
def gancli_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ``GANCLI_HOME`` of each test's own, so that no test reads or writes the user's."""
    home = tmp_path_factory.mktemp("gancli-home")
    monkeypatch.setenv("GANCLI_HOME", str(home))
    return home
