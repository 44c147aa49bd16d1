"""Moments, and files of statistics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gancli.errors import GancliError, RunError
from gancli.metrics.statistics import ROWS, Known, Spool, check_finite, moments


def test_moments_in_parts_are_those_of_numpy() -> None:
    rows = np.random.default_rng(0).normal([100, 0, -1], size=(2 * ROWS + 5, 3)).astype(np.float32)
    found = moments(rows)
    np.testing.assert_allclose(found.mean, rows.astype(np.float64).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(rows.astype(np.float64), rowvar=False), rtol=1e-9, atol=1e-12)
    assert found.images == len(rows)
    spool = Spool()
    for first in range(0, len(rows), 1000):
        spool.add(rows[first : first + 1000])
    np.testing.assert_array_equal(spool.read(), rows)


def test_features_are_read_back_as_a_view_of_their_file(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)
    known = Known(moments(rows), rows, np.arange(50), {"features": "x"})
    known.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        np.savez_compressed(tmp_path / "b.npz", **file)
        np.savez(tmp_path / "c.npz", **{**file, "features": np.asfortranarray(rows)})
    for name, mapped in (("a", True), ("b", False), ("c", True)):
        found = Known.load(tmp_path / f"{name}.npz")
        assert isinstance(found.features, np.memmap) == mapped
        assert np.array_equal(found.features, rows)
        assert np.array_equal(found.labels, known.labels)
        assert np.array_equal(found.moments.covariance, known.moments.covariance)
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(GancliError, match=r"not an \.npz file"):
        Known.load(tmp_path / "a.npz")
    np.savez(tmp_path / "d.npz", mu=known.moments.mean, sigma=known.moments.covariance, features=np.array([{}]))
    with pytest.raises(GancliError, match=r"not an \.npz file"):
        Known.load(tmp_path / "d.npz")


def test_results_that_are_no_numbers_are_errors() -> None:
    with pytest.raises(RunError, match="fid is nan"):
        check_finite({"fid": float("nan")})
    assert check_finite({"fid": np.float64(1)}) == {"fid": 1.0}
