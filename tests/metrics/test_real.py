"""Statistics of the real images: kept, saved and read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reports import evaluate, flat
from tiny import WIDTH, folder

from gancli.cli.app import run
from gancli.home import home


def test_statistics_are_kept_saved_and_read(here: Path, capfd: pytest.CaptureFixture[str], gancli_home: Path) -> None:
    words = ("--metrics", "fid,kid", "--features", "tiny.pt")
    first = evaluate(capfd, "made", "--data", "real", *words, "--save-stats", "real.npz")
    (kept,) = (gancli_home / "statistics").iterdir()
    stamp = kept.stat().st_mtime_ns
    again = evaluate(capfd, "made", "--data", "real", *words)
    assert kept.stat().st_mtime_ns == stamp
    assert again == first
    loaded = evaluate(capfd, "made", "--stats", "real.npz", *words)
    assert loaded["metrics"] == first["metrics"]
    stated = loaded["protocol"]["real"]["statistics"]
    assert len(stated.pop("sha256")) == 64
    assert stated == {"file": "real.npz", **first["protocol"]["real"]}
    both = evaluate(capfd, "made", "--data", "made", "--stats", "real.npz", *words)
    assert both["metrics"] == first["metrics"]  # what the file says counts, and not the data beside it
    with np.load(here / "real.npz") as file:
        assert file["mu"].shape == (WIDTH,)
        assert file["features"].shape == (50, WIDTH)
        np.testing.assert_allclose(file["sigma"], np.cov(file["features"], rowvar=False), rtol=1e-6)
        # As other programs write them.
        np.savez(here / "moments.npz", mu=file["mu"], sigma=file["sigma"])
    fid = evaluate(capfd, "made", "--stats", "moments.npz", "--metrics", "fid", "--features", "tiny.pt")
    assert flat(fid)["fid"] == pytest.approx(flat(first)["fid"], rel=1e-12)
    err = evaluate(capfd, "made", "--stats", "moments.npz", *words, code=2)["err"]
    assert "the metrics need the features of every image" in " ".join(err.split())

    (here / "real/000.png").unlink()  # other images, other statistics
    assert evaluate(capfd, "made", "--data", "real", *words)["metrics"] != first["metrics"]
    assert len(list((gancli_home / "statistics").iterdir())) == 2


def test_what_is_kept_is_of_exactly_these_images(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What a second evaluation finds in the cache is what it would have made itself."""
    (one, other) = (folder(here / f"few{side}", 6, side, side) for side in (20, 28))
    asked = [(str(images), "--data", "shapes", "-n", "6", "--metrics", "fid") for images in (one, other)]
    (here / "halves/a").mkdir(parents=True)
    (here / "halves/b").mkdir()
    for index, path in enumerate(sorted((here / "made").iterdir())):
        shutil.copy(path, here / "halves" / "ab"[index % 2] / path.name)
    asked += [(f"halves/{half}", "--data", "real", "--metrics", "fid,ms-ssim,ssim") for half in "ab"]
    found = [flat(evaluate(capfd, *words, "--features", "tiny.pt")) for words in asked]
    for words, kept in zip(asked[::2], found[::2], strict=True):
        assert flat(evaluate(capfd, *words, "--features", "tiny.pt")) == kept
    shutil.rmtree(home() / "statistics")
    for words, kept in zip(asked[1::2], found[1::2], strict=True):
        assert flat(evaluate(capfd, *words, "--features", "tiny.pt")) == kept


def test_a_cache_that_is_damaged_or_cannot_be_written_costs_nothing(
    here: Path, capfd: pytest.CaptureFixture[str], gancli_home: Path
) -> None:
    words = ["evaluate", "made", "--data", "real", "--metrics", "kid", "--features", "tiny.pt", "--json"]
    (here / "real/003.png").write_text("no picture")

    def found() -> tuple[dict[str, float], str]:
        assert run(words) == 0
        out, err = capfd.readouterr()
        assert "left out: real/003.png" in err  # from the cache, too
        return flat(json.loads(out)), err

    first, _ = found()
    (kept,) = (gancli_home / "statistics").iterdir()
    assert found()[0] == first
    kept.write_bytes(kept.read_bytes()[:1000])
    again, err = found()
    assert again == first
    assert "computed again" in err
    shutil.rmtree(gancli_home / "statistics")
    (gancli_home / "statistics").write_text("in the way")
    again, err = found()
    assert again == first
    assert "cannot keep the statistics of the real images" in err


def test_statistics_that_are_none_are_refused(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    good: dict[str, Any] = {"mu": np.zeros(WIDTH), "sigma": np.eye(WIDTH)}
    rows = np.random.default_rng(0).normal(size=(9, WIDTH)).astype(np.float32)
    for bad, message in (
        ({"mu": np.zeros((2, 2))}, "do not match each other"),
        ({"mu": np.array(["a"] * WIDTH)}, "not an .npz file of statistics"),
        ({"mu": np.full(WIDTH, np.nan)}, "are not finite"),
        ({"protocol": "[1]"}, "do not match each other"),
        ({"protocol": "{"}, "not an .npz file of statistics"),
        ({"features": rows[:, 1:]}, "do not match each other"),
        ({"features": rows.astype(int)}, "do not match each other"),
        ({"features": rows, "labels": np.zeros(3, int)}, "do not match each other"),
    ):
        np.savez(here / "bad.npz", **{**good, **bad})
        words = ("made", "--stats", "bad.npz", "--metrics", "fid", "--features", "tiny.pt")
        assert message in " ".join(evaluate(capfd, *words, code=2)["err"].split())
    np.save(here / "array.npy", rows)
    words = ("made", "--stats", "array.npy", "--metrics", "fid", "--features", "tiny.pt")
    assert "not an .npz file of statistics" in evaluate(capfd, *words, code=2)["err"]
