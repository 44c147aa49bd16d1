"""Perceptual path length of a linear generator, in closed form."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from tasks import task
from torch import Tensor

from gancli.data.shapes import Drawn
from gancli.errors import GancliError
from gancli.generation.latents import Points
from gancli.metrics import path_length
from gancli.metrics.images import Sampled, Stored


@contextmanager
def no_progress(*_: Any) -> Iterator[Any]:
    yield SimpleNamespace(advance=lambda *_: None)


class Linear:
    """Stands for a renderer: images are a linear function of z, which has four components."""

    shapes: ClassVar[Any] = {"z": [(4,)]}

    def images(self, points: Any) -> Iterator[Tensor]:
        # 4 components as the pixels of a grey image of 2 x 2, in steps far below one grey level.
        yield points.values.view(-1, 1, 2, 2) / 10


def test_path_length_of_a_linear_generator_in_closed_form(monkeypatch: pytest.MonkeyPatch) -> None:
    from gancli.generation.latents import Points

    class Latents(Sampled):
        def points(self, first: int, n: int) -> Points:
            drawn = [torch.randn(4, generator=torch.Generator().manual_seed(first + i)).double() for i in range(n)]
            return Points(torch.stack(drawn), range(first, first + n))

    def squared(one: Tensor, other: Tensor) -> Tensor:
        return (one - other).square().sum(dim=(1, 2, 3))

    monkeypatch.setattr(path_length, "load_lpips", lambda device: squared)
    sampled = Latents("model", Linear(), 64)  # type: ignore[arg-type]
    asked = task(made=SimpleNamespace(images=sampled), batch=16, progress=no_progress)
    metric = path_length.PathLength(asked)
    found = metric.values(asked, "")
    assert found.keys() == {"ppl_z_full", "ppl_z_end"}
    # |dz/dt|^2 of great circles whose norm changes evenly, times 3 channels and the scale of pixels.
    a, b = (sampled.points(first, 64).values for first in (0, 64))  # all ends are different
    norms = a.norm(dim=1), b.norm(dim=1)
    angle = torch.arccos((a * b).sum(1) / norms[0] / norms[1])
    per_step = ((norms[1] - norms[0]).square() + (norms[0] * angle).square()).numpy() * 3 * 12.75**2
    low, high = np.percentile(per_step, 1, method="lower"), np.percentile(per_step, 99, method="higher")
    wanted = per_step[(per_step >= low) & (per_step <= high)].mean()
    assert found["ppl_z_end"] == pytest.approx(wanted, rel=5e-3)
    assert found["ppl_z_full"] == pytest.approx(wanted, rel=0.2)
    asked.batch = 10  # changes nothing
    assert metric.values(asked, "") == pytest.approx(found, rel=1e-6)
    with pytest.raises(GancliError, match="needs a model that draws latents"):
        path_length.PathLength(task(made=SimpleNamespace(images=Stored("x", "", Drawn("shapes"), 3))))


@pytest.mark.slow
def test_lpips_is_loaded_from_files_that_hold_tensors_alone(gancli_home: Path) -> None:
    from torch_fidelity.sample_similarity_lpips import NetLinLayer
    from torchvision.models import vgg16

    torch.manual_seed(0)
    (gancli_home / "features").mkdir()
    torch.save(vgg16(weights=None).state_dict(), gancli_home / "features/vgg16-397923af.pth")
    lin = {}
    for index, channels in enumerate((64, 128, 256, 512, 512)):
        layer = NetLinLayer(channels, use_dropout=True).state_dict()
        lin |= {f"lin{index}.{name}": value.abs() for name, value in layer.items()}
    torch.save(lin, gancli_home / "features/weights-vgg16-lpips.pth")
    before = torch.hub.get_dir()
    distance = path_length.load_lpips(torch.device("cpu"))
    assert torch.hub.get_dir() == before
    one = torch.rand(2, 3, 32, 32) * 255
    assert distance(one, one).flatten().tolist() == [0, 0]
    assert (distance(one, 255 - one) > 1e-3).all()
