"""Paths between points of a latent space."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gancli.architectures.base import LatentModel
from gancli.generation.latents import Points, Space

Blend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(a, b, t) -> points between a (t = 0) and b (t = 1), or beyond: [N, ..., D], [N, ..., D], [N] -> [N, ..., D]."""


def lerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Goes straight from a to b; a ``Blend``."""
    return a + t.view(-1, *[1] * (a.ndim - 1)) * (b - a)


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Goes along the great circle from a to b, with a norm that changes evenly; a ``Blend`` of the vectors [D].

    Normal latents with many components lie near a sphere, which a straight line would leave (White 2016, arXiv
    1609.04468; Shoemake 1985). Opposite vectors have many great circles between them: it takes the one through the
    axis of their smallest component.
    """
    t = t.view(-1, *[1] * (a.ndim - 1))
    norm_a, norm_b = (x.norm(dim=-1, keepdim=True) for x in (a, b))
    u, v = a / norm_a.clamp(min=1e-30), b / norm_b.clamp(min=1e-30)
    # The angle from a sum and a difference: an arc cosine would lose small angles.
    angle = 2 * torch.atan2((u - v).norm(dim=-1, keepdim=True), (u + v).norm(dim=-1, keepdim=True))
    axis = torch.zeros_like(u).scatter(-1, u.abs().argmin(dim=-1, keepdim=True), 1.0)
    side = v - (u * v).sum(dim=-1, keepdim=True) * u  # the part of v at a right angle to u
    side = torch.where(side.norm(dim=-1, keepdim=True) > 1e-9, side, axis - (u * axis).sum(dim=-1, keepdim=True) * u)
    side = side / side.norm(dim=-1, keepdim=True).clamp(min=1e-30)
    direction = (t * angle).cos() * u + (t * angle).sin() * side
    on_sphere = torch.lerp(norm_a, norm_b, t.expand_as(norm_a)).clamp(min=0) * direction
    # A vector of length zero has no direction.
    return torch.where((norm_a > 0) & (norm_b > 0), on_sphere, a + t * (b - a))


BLENDS: dict[str, Blend] = {"slerp": slerp, "lerp": lerp}


def natural(model: LatentModel, space: Space) -> Blend:
    """Returns the blend to use unless told otherwise: along the sphere for normal latents, straight for all others.

    A sphere through uniform latents leaves the cube that they fill.
    """
    return slerp if space == "z" and model.latent_range is None else lerp


class Paths:
    """The points of all frames (``ManyPoints``) of paths side by side: first frame 0 of all paths, then frame 1, ...

    Args:
        points: those of the first path, then those of the second, ...
        cells: number of paths; each has the same number of points, at least two.
        frames: from each point to the next; an open path has one more, for its last point.
        blend: ``lerp`` or ``slerp``.
        loop: continue from the last point to the first, ending just before the first frame would come again.
        smooth: go through the points in curves (Catmull-Rom splines), without sharp turns.
        one_by_one: put all frames of the first path first, then all of the second.
    """

    def __init__(
        self,
        points: Points,
        cells: int,
        frames: int,
        blend: Blend,
        *,
        loop: bool = False,
        smooth: bool = False,
        one_by_one: bool = False,
    ) -> None:
        self.points, self.cells, self.blend = points, cells, blend
        self._per_segment, self._smooth, self._one_by_one = frames, smooth, one_by_one
        stops = len(points) // cells
        self.frames = stops * frames if loop else (stops - 1) * frames + 1
        # A z is one vector whatever its shape; a w is one vector per layer.
        vectors = points.values.double() if points.space == "w" else points.values.double().flatten(1)
        self._vectors = self._with_neighbours(vectors.unflatten(0, (cells, -1)), blend, loop)
        self._labels: Tensor | None = None
        if points.labels is not None:
            self._labels = self._with_neighbours(points.labels.double().unflatten(0, (cells, -1)), lerp, loop)

    @staticmethod
    def _with_neighbours(stops: Tensor, blend: Blend, loop: bool) -> Tensor:
        """Adds one point before and two after points [cells, M, ...], so that each segment has two on either side.

        Without a loop they are mirror images, so that a spline ends as straight as possible.
        """
        if loop:
            return torch.cat([stops[:, -1:], stops, stops[:, :2]], dim=1)
        beyond = torch.full((len(stops),), -1.0, dtype=stops.dtype)
        before = blend(stops[:, 0], stops[:, 1], beyond)[:, None]
        after = blend(stops[:, -1], stops[:, -2], beyond)[:, None]
        return torch.cat([before, stops, after, after], dim=1)

    def __len__(self) -> int:
        return self.frames * self.cells

    def __getitem__(self, part: slice) -> Points:
        indices = torch.arange(*part.indices(len(self)))
        if self._one_by_one:
            cell, frame = indices // self.frames, indices % self.frames
        else:
            frame, cell = indices // self.cells, indices % self.cells
        segment, step = frame // self._per_segment, frame % self._per_segment
        t = step.double() / self._per_segment
        before, a, b, after = (self._vectors[cell, segment + offset] for offset in range(4))
        values = self._spline(before, a, b, after, t) if self._smooth else self.blend(a, b, t)
        labels = None
        if self._labels is not None:
            # Straight, since a curve could lead to negative weights of classes.
            labels = lerp(self._labels[cell, segment + 1], self._labels[cell, segment + 2], t).float()
        values = values.float().reshape(-1, *self.points.values.shape[1:])
        return Points(values, indices.tolist(), labels, self.points.space)

    def _spline(self, p0: Tensor, p1: Tensor, p2: Tensor, p3: Tensor, t: Tensor) -> Tensor:
        """Catmull-Rom between p1 and p2, as blends of blends (Barry & Goldman 1988), which also work on a sphere."""
        a1, a2, a3 = self.blend(p0, p1, t + 1), self.blend(p1, p2, t), self.blend(p2, p3, t - 1)
        return self.blend(self.blend(a1, a2, (t + 1) / 2), self.blend(a2, a3, t / 2), t)
