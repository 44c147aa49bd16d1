"""SSIM and PSNR against scikit-image, MS-SSIM as a measure of variety."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tasks import pictures, task

from gancli.errors import RunError
from gancli.metrics import structural
from gancli.metrics.images import Part


def _same_pair_at_the_end(psnr: structural.PSNR, part: Part, asked: Any) -> None:
    psnr.see_made(part, part)  # others may go on
    psnr.values(asked, "")


def test_ssim_is_that_of_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    one = pictures(2, 48, 0)
    other = np.clip(one + np.random.default_rng(1).normal(0, 20, one.shape), 0, 255).astype(np.uint8)
    parts = [Part(np.arange(2), pixels) for pixels in (one, other)]
    ours = structural.ssim(*(part.rgb().float() for part in parts))
    for index in range(2):
        theirs = metrics.structural_similarity(
            one[index],
            other[index],
            channel_axis=2,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert float(ours[index]) == pytest.approx(theirs, abs=1e-9)
        assert 0.3 < theirs < 0.99
    paired = task()
    paired.paired = True
    psnr = structural.PSNR(paired)
    psnr.see_made(*parts)
    wanted = np.mean([metrics.peak_signal_noise_ratio(a, b, data_range=255) for a, b in zip(one, other, strict=True)])
    assert psnr.values(paired, "")["psnr"] == pytest.approx(wanted, rel=1e-5)
    with pytest.raises(RunError, match="equal to their pairs"):
        _same_pair_at_the_end(psnr, parts[0], paired)


def test_ms_ssim_between_images_of_a_class_falls_with_their_variety() -> None:
    def between(pixels: NDArray[np.uint8], labels: list[int]) -> float:
        metric = structural.MSSSIM(task())
        for index in range(0, len(pixels), 3):  # pairs reach across parts
            part = slice(index, index + 3)
            metric.see_made(Part(np.arange(3), pixels[part], np.array(labels)[part]), None)
        return metric.values(task(), "")["ms_ssim_between"]

    varied, alike = pictures(6, 176, 0), pictures(1, 176, 1).repeat(6, axis=0)
    assert between(alike, [0] * 6) == pytest.approx(1)
    assert between(varied, [0] * 6) < 0.3
    two = np.stack([varied[0], varied[1]] * 3)
    assert between(two, [0, 1] * 3) == pytest.approx(1)
    assert [structural.scales(side) for side in (11, 22, 44, 175, 176, 1024)] == [1, 2, 3, 4, 5, 5]
