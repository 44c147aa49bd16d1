"""Scatter plots of points in the plane, over a map of what a discriminator says of every place."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gancli.data.source import PointCloud, Source
from gancli.data.toy import MIXTURES, Mixture

SIDE = 300
"""Height and width of the plotted square in pixels."""
LEFT, TOP, RIGHT, BOTTOM = 40, 24, 76, 24
"""Widths of the margins in pixels."""
CELLS = 100
"""Cells of a map along each side."""
DATA = 1_000
"""Most points of the data that are shown."""
BLUR = 0.015
"""Standard deviation of the kernel that estimates densities, in sides of the square."""
LOW, MIDDLE, HIGH = np.array([(137, 180, 226), (255, 255, 255), (250, 188, 110)], float)
"""Colours of a map: fake, undecided and real."""
DATA_COLOUR, SAMPLE_COLOUR = (0, 0, 0), (196, 0, 110)

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Plane:
    """The square that all plots of a run show, so that they can be compared.

    Attributes:
        left, bottom, side: of the square, in the unit of the points.
        data: some real points, [N, 2]; may be empty.
        whole: whether points have these two coordinates only.
        mixture: the distribution of the data, if it is known.
    """

    left: float
    bottom: float
    side: float
    data: Floats = field(default_factory=lambda: np.empty((0, 2)))
    whole: bool = True
    mixture: Mixture | None = None

    @classmethod
    def around(cls, points: Floats) -> Plane:
        """Returns the plane of the first two coordinates of points [N, D], with a margin of a tenth."""
        planar = in_plane(points)
        planar = planar[np.isfinite(planar).all(axis=1)].astype(np.float64)
        low, high = (planar.min(axis=0), planar.max(axis=0)) if len(planar) else np.zeros((2, 2))
        side = 1.2 * float((high - low).max()) or 1.0
        left, bottom = ((low + high - side) / 2).tolist()
        return cls(left, bottom, side, whole=points.shape[1] == 2)

    def places(self) -> NDArray[np.float32]:
        """Returns the middle of every cell of a map, [CELLS^2, 2], row by row from the top left."""
        middles = (np.arange(CELLS) + 0.5) * (self.side / CELLS)
        x, y = np.meshgrid(self.left + middles, self.bottom + middles[::-1])
        return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)

    def optimum(self, samples: Floats) -> Floats:
        """Returns p / (p + q) at ``places``, [CELLS^2]: the best D for these samples (Goodfellow 2014, equation 2).

        q is estimated from the samples [M, 2] by a Gaussian kernel, and p is blurred by the same one. Where both are
        far below one hundredth of the average density in the square, the result is 1/2.
        """
        assert self.mixture is not None
        width = BLUR * self.side
        places = self.places()
        p = self.mixture.density(places, blur=width)
        x, y = places[:CELLS, :1] - samples[:, 0], places[::CELLS, 1:] - samples[:, 1]
        across, down = (np.exp(-((distance / width) ** 2) / 2) for distance in (x, y))
        q = (down @ across.T).ravel() / (max(len(samples), 1) * 2 * np.pi * width**2)
        least = 0.01 / self.side**2
        found: Floats = (p + least / 2) / (p + q + least)
        return found


def plane_of(source: Source) -> Plane | None:
    """Returns the plane of a source of points; None if it holds images, or several sets of points."""
    cloud = next(iter(source.domains.values()))
    if len(source.domains) > 1 or not isinstance(cloud, PointCloud):
        return None
    mixture = MIXTURES.get(source.location)
    return replace(Plane.around(cloud.values), data=in_plane(cloud.values[:DATA]), mixture=mixture)


def plot(
    plane: Plane,
    columns: Mapping[str, Tensor],
    surface: tuple[Tensor, tuple[float, float] | None] | None = None,
    title: str = "",
) -> NDArray[np.uint8]:
    """Draws a panel for each column of points [M, D] over the data, side by side, uint8 [H, W, 3].

    Args:
        surface: see ``Architecture.surface``, of ``plane.places()``; a map below every panel. If the distribution of
            the data is known, one more panel has the optimum as its map.
        title: of the panels.
    """
    points = {name: in_plane(column.detach().float().cpu().numpy()) for name, column in columns.items()}
    values, scale = (None, None) if surface is None else (surface[0].detach().float().cpu().numpy(), surface[1])
    named = f"{title}, D" if values is not None else title
    panels = [_panel(plane, named, name, samples, values, scale) for name, samples in points.items()]
    if values is not None and plane.mixture is not None:
        everything = np.concatenate(list(points.values()))
        finite = everything[np.isfinite(everything).all(axis=1)]
        panels.append(
            _panel(plane, "the best D, p / (p + q)", ", ".join(points), everything, plane.optimum(finite), (0, 1))
        )
    return np.concatenate(panels, axis=1)


def in_plane(points: Floats) -> Floats:
    """Returns the first two coordinates of points [M, D], [M, 2]; a missing second one is 0."""
    return np.pad(points, ((0, 0), (0, 1)))[:, :2]


def _panel(
    plane: Plane, title: str, name: str, samples: Floats, values: Floats | None, scale: tuple[float, float] | None
) -> NDArray[np.uint8]:
    canvas = np.full((TOP + SIDE + BOTTOM, LEFT + SIDE + RIGHT, 3), 255, np.uint8)
    square = canvas[TOP : TOP + SIDE, LEFT : LEFT + SIDE]
    bar = canvas[TOP : TOP + SIDE, LEFT + SIDE + 8 : LEFT + SIDE + 16]
    notes: list[tuple[float, float, str, str]] = [(LEFT, TOP - 6, "ls", title)]  # x, y, anchor, text
    if values is not None:
        low, high = scale or (float(values.min()), float(values.max()))
        cells = _colours((values.reshape(CELLS, CELLS) - low) / max(high - low, 1e-12))
        square[:] = cells.repeat(SIDE // CELLS, axis=0).repeat(SIDE // CELLS, axis=1)
        bar[:] = _colours(np.linspace(1, 0, SIDE))[:, None]
        notes += [
            (LEFT + SIDE + 20, TOP + y, f"l{a}", f"{end:.3g}") for y, a, end in ((0, "t", high), (SIDE, "b", low))
        ]
    outside = _dots(plane, square, samples, SAMPLE_COLOUR, (-1, 0, 1))
    _dots(plane, square, plane.data, DATA_COLOUR, (0,))
    image = Image.fromarray(canvas)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    draw.rectangle((LEFT - 1, TOP - 1, LEFT + SIDE, TOP + SIDE), outline=(0, 0, 0))
    for tick in _ticks(plane.left, plane.side):
        x = LEFT + (tick - plane.left) / plane.side * SIDE
        draw.line((x, TOP + SIDE, x, TOP + SIDE + 3), (0, 0, 0))
        notes.append((x, TOP + SIDE + 6, "mt", f"{tick:g}"))
    for tick in _ticks(plane.bottom, plane.side):
        y = TOP + SIDE - (tick - plane.bottom) / plane.side * SIDE
        draw.line((LEFT - 4, y, LEFT - 1, y), (0, 0, 0))
        notes.append((LEFT - 7, y, "rm", f"{tick:g}"))
    for x, y, anchor, text in notes:
        draw.text((x, y), text, (0, 0, 0), font, anchor)
    legend = f"{name}, {outside:,} outside" if outside else name
    data = "  data" if len(plane.data) else ""
    draw.text((LEFT + SIDE, TOP - 6), data, DATA_COLOUR, font, "rs")
    draw.text((LEFT + SIDE - font.getlength(data), TOP - 6), legend, SAMPLE_COLOUR, font, "rs")
    return np.asarray(image)


def _dots(
    plane: Plane, square: NDArray[np.uint8], points: Floats, colour: tuple[int, int, int], reach: Iterable[int]
) -> int:
    """Draws points [M, 2] on the square, and returns how many are outside; ``reach``: offsets of a dot's pixels."""
    across = (points[:, 0] - plane.left) / plane.side * SIDE
    down = (plane.bottom + plane.side - points[:, 1]) / plane.side * SIDE
    places = np.stack([down, across], axis=1)
    inside = ((places >= 0) & (places < SIDE)).all(axis=1)  # false for NaN
    rows, columns = places[inside].astype(int).T
    for y, x in itertools.product(reach, reach):
        square[(rows + y).clip(0, SIDE - 1), (columns + x).clip(0, SIDE - 1)] = colour
    return int((~inside).sum())


def _colours(levels: Floats) -> NDArray[np.uint8]:
    """Returns the colours of levels in [0, 1], of any shape, uint8 [..., 3]; those outside look like the ends."""
    level = np.nan_to_num(levels).clip(0, 1)[..., None]
    mixed = np.where(level < 0.5, LOW + 2 * level * (MIDDLE - LOW), MIDDLE + (2 * level - 1) * (HIGH - MIDDLE))
    colours: NDArray[np.uint8] = np.rint(mixed).astype(np.uint8)
    return colours


def _ticks(start: float, length: float) -> list[float]:
    """Returns round numbers in a stretch of the axis, at most six."""
    power = 10.0 ** np.floor(np.log10(length / 5))
    step = next(step for step in (power, 2 * power, 5 * power, 10 * power) if length / step <= 5)
    return [float(step * k) for k in range(int(np.ceil(start / step)), int((start + length) // step) + 1)]
