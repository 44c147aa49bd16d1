"""The Fréchet distance against its closed form, and within classes."""

from __future__ import annotations

import numpy as np
import pytest
from tasks import features_task, task

from gancli.metrics.fid import FID, ClassFID, frechet
from gancli.metrics.statistics import Moments


def test_frechet_distance_of_gaussians_in_closed_form() -> None:
    mean, other = np.array([1.0, -2, 0]), np.array([0.0, 1, 0])
    spread, wider = np.array([1.0, 4, 9]), np.array([4.0, 4, 1])
    found = frechet(Moments(mean, np.diag(spread), 9), Moments(other, np.diag(wider), 9))
    assert found == pytest.approx(10 + ((np.sqrt(spread) - np.sqrt(wider)) ** 2).sum(), rel=1e-9)
    # A rotation of both changes nothing.
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    turned = [Moments(turn @ m, turn @ np.diag(c) @ turn.T, 9) for m, c in ((mean, spread), (other, wider))]
    assert frechet(*turned) == pytest.approx(found, rel=1e-9)


def test_few_images_are_warned_of_with_the_number_needed(capsys: pytest.CaptureFixture[str]) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    FID(task()).values(features_task(rows[:8], rows), "x")
    err = capsys.readouterr().err
    assert "8 generated images are too few" in err
    assert "use more than 8" in " ".join(err.split())
    assert "real images are too few" not in err


def test_fid_within_classes_sees_what_fid_does_not() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(400) % 2
    real = (generator.normal(size=(400, 2)) + 10 * labels[:, None]).astype(np.float32)
    swapped = features_task(real, real, labels=1 - labels, real_labels=labels)
    swapped.classes = ("a", "b")
    assert FID(swapped).values(swapped, "x")["fid"] == pytest.approx(0, abs=1e-6)
    found = ClassFID(swapped).values(swapped, "x")
    assert found["class_fid"] == pytest.approx(200, rel=0.1)
    assert found["class_fid"] == pytest.approx((found["class_fid[a]"] + found["class_fid[b]"]) / 2)
