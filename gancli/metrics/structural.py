"""Structural similarity and peak signal-to-noise ratio (Wang et al. 2004; Wang, Simoncelli & Bovik 2003)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from gancli.console import warn
from gancli.errors import GancliError, RunError
from gancli.metrics.base import Metric, Task, Values
from gancli.metrics.images import Part

WINDOW = 11
"""Side in pixels of the Gaussian window, sigma 1.5."""
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of the scales of MS-SSIM, each of half the size of the one before."""


def ssim(one: Tensor, other: Tensor) -> Tensor:
    """Returns SSIM of each pair of images, float [N, C, H, W] in 0..255: [N].

    Averages over the positions whose window lies within the image, as the authors' code does; torchmetrics averages
    over the border, too.
    """
    _, full = structural_similarity_index_measure(
        one.double(), other.double(), data_range=255.0, reduction="none", return_full_image=True
    )
    border = WINDOW // 2
    return full[:, :, border:-border, border:-border].mean(dim=(1, 2, 3))


def ms_ssim(one: Tensor, other: Tensor) -> Tensor:
    """Returns MS-SSIM of each pair of images, float [N, C, H, W] in 0..255: [N].

    Images that are too small for five scales use as many as fit, with their weights scaled to the same sum.
    """
    betas = SCALES[: scales(min(one.shape[2:]))]
    total = sum(betas)
    found: Tensor = multiscale_structural_similarity_index_measure(
        one, other, data_range=255.0, reduction="none", betas=tuple(beta / total for beta in betas), normalize="relu"
    )
    return found


def scales(side: int) -> int:
    """Returns how many scales fit, 1 to 5, into images whose smaller side has this many pixels."""
    return max([1, *(count for count in range(1, len(SCALES) + 1) if side // 2 ** (count - 1) >= WINDOW)])


def _check_side(name: str, part: Part) -> None:
    if min(part.pixels.shape[1:3]) < WINDOW:
        raise GancliError(f"{name} needs images of at least {WINDOW}x{WINDOW} pixels", f"leave out {name!r}")


class _Paired(Metric):
    """The mean of ``measure`` over all pairs."""

    better = "higher"
    needs_pairs = True
    needs_real_images = True

    def __init__(self, task: Task) -> None:
        if not task.paired:
            raise GancliError(
                f"{self.name} compares with the truth, but nothing pairs {task.made.images.name} with the real images",
                f"leave out {self.name!r}, or give pairs",
            )
        self._total, self._count = 0.0, 0

    def see_made(self, part: Part, pair: Part | None) -> None:
        assert pair is not None
        found = self.measure(part.rgb().float(), pair.rgb().float())
        self._total += float(found.sum(dtype=torch.float64))
        self._count += len(part)

    def measure(self, made: Tensor, real: Tensor) -> Tensor:
        raise NotImplementedError

    def values(self, task: Task, extractor: str) -> Values:
        return {self.name.replace("-", "_"): self._total / self._count}


class SSIM(_Paired):
    name = "ssim"
    title = "structural similarity to the truth (Wang et al. 2004)"

    def see_made(self, part: Part, pair: Part | None) -> None:
        _check_side(self.name, part)
        super().see_made(part, pair)

    def measure(self, made: Tensor, real: Tensor) -> Tensor:
        return ssim(made, real)


class PSNR(_Paired):
    name = "psnr"
    title = "peak signal-to-noise ratio to the truth, in dB"

    def measure(self, made: Tensor, real: Tensor) -> Tensor:
        found: Tensor = peak_signal_noise_ratio(made, real, data_range=255.0, reduction="none", dim=(1, 2, 3))
        return found

    def values(self, task: Task, extractor: str) -> Values:
        if math.isinf(self._total):
            raise RunError("psnr is infinite: some images are equal to their pairs", "leave out 'psnr'")
        return super().values(task, extractor)


class MSSSIM(_Paired):
    """To the truth if there are pairs; else between images of one set (and class), where lower means more varied.

    Odena, Olah & Shlens 2016 (arXiv 1610.09585, section 4.2) measure diversity this way. Each image is compared with
    the next one.
    """

    name = "ms-ssim"
    title = "multi-scale SSIM: to the truth, or between images of one set: lower is more varied (Odena et al. 2016)"
    better = ""
    needs_pairs = False
    needs_real = False
    needs_real_images = False

    def __init__(self, task: Task) -> None:
        self._paired, self._warned = task.paired, False
        self.better = "higher" if task.paired else ""
        self._total, self._count = 0.0, 0
        self._sums, self._counts = {"": 0.0, "_real": 0.0}, {"": 0, "_real": 0}
        self._waiting: dict[tuple[str, int], Tensor] = {}

    def see_made(self, part: Part, pair: Part | None) -> None:
        self._check(part)
        if self._paired:
            super().see_made(part, pair)
        else:
            self._compare("", part)

    def see_real(self, part: Part) -> None:
        if not self._paired:
            self._check(part)
            self._compare("_real", part)

    def measure(self, made: Tensor, real: Tensor) -> Tensor:
        return ms_ssim(made, real)

    def _check(self, part: Part) -> None:
        _check_side(self.name, part)
        count = scales(min(part.pixels.shape[1:3]))
        if count < len(SCALES) and not self._warned:
            warn(f"ms-ssim: the images are too small for {len(SCALES)} scales; using {count}")
            self._warned = True

    def _compare(self, side: str, part: Part) -> None:
        ones, others = [], []
        labels = [0] * len(part) if part.labels is None or part.labels.ndim > 1 else part.labels.tolist()
        for image, label in zip(part.rgb(), labels, strict=True):
            other = self._waiting.pop((side, label), None)
            if other is None or other.shape != image.shape:
                self._waiting[side, label] = image
            else:
                ones.append(other)
                others.append(image)
        if ones:
            found = ms_ssim(torch.stack(ones).float(), torch.stack(others).float())
            self._sums[side] += float(found.sum(dtype=torch.float64))
            self._counts[side] += len(found)

    def values(self, task: Task, extractor: str) -> Values:
        if self._paired:
            return super().values(task, extractor)
        if not self._counts[""]:
            raise GancliError(
                "ms-ssim compares images with each other, but no two have the same class and size",
                "leave out 'ms-ssim'",
            )
        return {f"ms_ssim_between{side}": self._sums[side] / count for side, count in self._counts.items() if count}
