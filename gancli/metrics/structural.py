"""Structural similarity and peak signal-to-noise ratio (Wang et al. 2004; Wang, Simoncelli & Bovik 2003)."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

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

    Averages over the windows within the image, as the authors' code does; torchmetrics averages over the border, too.
    """
    _, full = structural_similarity_index_measure(
        one.double(), other.double(), data_range=255.0, reduction="none", return_full_image=True
    )
    border = WINDOW // 2
    return full[:, :, border:-border, border:-border].mean(dim=(1, 2, 3))


def ms_ssim(one: Tensor, other: Tensor) -> Tensor:
    """Returns MS-SSIM of each pair of images, float [N, C, H, W] in 0..255: [N].

    Images that are too small for five scales use as many as fit, with weights scaled to the same sum.
    """
    betas = SCALES[: scales(min(one.shape[2:]))]
    betas = tuple(beta / sum(betas) for beta in betas)
    found: Tensor = multiscale_structural_similarity_index_measure(
        one, other, data_range=255.0, reduction="none", betas=betas, normalize="relu"
    )
    return found


def scales(side: int) -> int:
    """Returns how many scales, 1 to 5, fit into images with a smaller side of this many pixels."""
    return max([1, *(count for count in range(1, len(SCALES) + 1) if side // 2 ** (count - 1) >= WINDOW)])


def _check_side(name: str, images: Tensor) -> None:
    if min(images.shape[2:]) < WINDOW:
        raise GancliError(f"{name} needs images of at least {WINDOW}x{WINDOW} pixels", f"leave out {name!r}")


class _Paired(Metric):
    """The average of ``measure`` over all pairs."""

    better = "higher"
    needs_pairs = True
    needs_real_images = True

    def __init__(self, task: Task) -> None:
        if self.needs_pairs and not task.paired:
            raise GancliError(
                f"{self.name} compares with the truth, but nothing pairs {task.made.images.name} with the real images",
                f"leave out {self.name!r}, or give pairs",
            )
        self._sums, self._counts = defaultdict[str, float](float), Counter[str]()

    def see_made(self, part: Part, pair: Part | None) -> None:
        assert pair is not None
        self._add(self.name.replace("-", "_"), part.rgb(), pair.rgb())

    def _add(self, name: str, ones: Tensor, others: Tensor) -> None:
        self._sums[name] += float(self.measure(ones.float(), others.float()).sum(dtype=torch.float64))
        self._counts[name] += len(ones)

    def measure(self, made: Tensor, real: Tensor) -> Tensor:
        raise NotImplementedError

    def values(self, task: Task, extractor: str) -> Values:
        return {name: self._sums[name] / count for name, count in self._counts.items()}


class SSIM(_Paired):
    name = "ssim"
    title = "structural similarity to the truth (Wang et al. 2004)"

    def measure(self, made: Tensor, real: Tensor) -> Tensor:
        _check_side(self.name, made)
        return ssim(made, real)


class PSNR(_Paired):
    name = "psnr"
    title = "peak signal-to-noise ratio to the truth, in dB"

    def measure(self, made: Tensor, real: Tensor) -> Tensor:
        found: Tensor = peak_signal_noise_ratio(made, real, data_range=255.0, reduction="none", dim=(1, 2, 3))
        return found

    def values(self, task: Task, extractor: str) -> Values:
        if math.isinf(self._sums["psnr"]):
            raise RunError("psnr is infinite: some images are equal to their pairs", "leave out 'psnr'")
        return super().values(task, extractor)


class MSSSIM(_Paired):
    """Compares with the truth if there are pairs; else each image with the next one of its set (and class).

    Odena, Olah & Shlens 2016 (arXiv 1610.09585, section 4.2) measure diversity in the second way: lower is more varied.
    """

    name = "ms-ssim"
    title = "multi-scale SSIM: to the truth, or between images of one set: lower is more varied (Odena et al. 2016)"
    better = ""
    needs_pairs = False
    needs_real = False
    needs_real_images = False

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._paired, self._warned = task.paired, False
        self.better = "higher" if task.paired else ""
        self._waiting: dict[tuple[str, int], Tensor] = {}

    def see_made(self, part: Part, pair: Part | None) -> None:
        if self._paired:
            super().see_made(part, pair)
        else:
            self._compare("ms_ssim_between", part)

    def see_real(self, part: Part) -> None:
        if not self._paired:
            self._compare("ms_ssim_between_real", part)

    def measure(self, made: Tensor, real: Tensor) -> Tensor:
        _check_side(self.name, made)
        count = scales(min(made.shape[2:]))
        if count < len(SCALES) and not self._warned:
            warn(f"ms-ssim: the images are too small for {len(SCALES)} scales; using {count}")
            self._warned = True
        return ms_ssim(made, real)

    def _compare(self, name: str, part: Part) -> None:
        ones, others = [], []
        labels = [0] * len(part) if part.labels is None or part.labels.ndim > 1 else part.labels.tolist()
        for image, label in zip(part.rgb(), labels, strict=True):
            other = self._waiting.pop((name, label), None)
            if other is None or other.shape != image.shape:
                self._waiting[name, label] = image
            else:
                ones.append(other)
                others.append(image)
        if ones:
            self._add(name, torch.stack(ones), torch.stack(others))

    def values(self, task: Task, extractor: str) -> Values:
        if not self._paired and not self._counts["ms_ssim_between"]:
            raise GancliError(
                "ms-ssim compares images with each other, but no two have the same class and size",
                "leave out 'ms-ssim'",
            )
        return super().values(task, extractor)
