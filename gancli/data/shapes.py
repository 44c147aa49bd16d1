"""The built-in data: one coloured shape on a plain background, drawn from its index alone at any resolution.

All factors of an image are known, so the modes (a kind in a colour) that a generator covers can be counted exactly:
``recognise`` says what a picture shows, without any training. Drawing uses only +, -, *, / and square roots on
constants given here, so image i is the same on every machine.

Geometry is in units of the image's side: (0, 0) is the top left corner, (1, 1) the bottom right one.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gancli.data.images import Joined
from gancli.data.pixels import to_pixels
from gancli.data.sampler import uniform
from gancli.data.source import Images, Numbered, Pixels, Source
from gancli.errors import GancliError, nearest

KINDS = ("circle", "square", "triangle", "diamond", "cross", "star")
COLOURS = ("red", "yellow", "green", "cyan", "blue", "magenta")
RGB = np.array(
    [(228, 44, 44), (246, 204, 32), (46, 178, 66), (40, 190, 214), (50, 76, 226), (206, 62, 200)], np.float32
)
LENGTH = 20_160
"""Images of each domain: 560 of every mode. At 256 px they still fit into the default cache of 4 GiB."""
TEST_LENGTH = 1_008
"""Images of each domain in the test part of pairs and domains: 28 of every mode."""
SIZE = 64
"""Side in pixels if the reader does not ask for one."""
RECOGNISED = 0.8
"""A picture counts as recognised if the confidence of ``recognise`` is at least this."""

SEED = 20_160_101  # a different number gives different data
# Grey levels, all dark: with light ones among them the discriminator of a small GAN wins for good, since batch
# normalisation ties the images of a batch to one level.
BACKGROUND = (16, 32)
RADIUS = (0.28, 0.36)
OFFSET = 0.08  # of the centre from the middle of the image; the largest shape keeps a margin of 0.03
STRIPE_SHADE = 0.45  # factor on the colour in the dark half of the stripes
STRIPE_PERIOD = 0.15
LINE = 0.05  # width of an outline

Style = Literal["plain", "striped", "outline"]
Floats = NDArray[np.float32]

VARIANTS: dict[str, tuple[str, dict[str, Style]]] = {
    "shapes": ("built-in coloured shapes", {"image": "plain"}),
    "shapes:classes": ("built-in coloured shapes by kind", {"image": "plain"}),
    "shapes:pairs": ("built-in pairs of shapes", {"outline": "outline", "filled": "plain"}),
    "shapes:domains": ("built-in plain and striped shapes", {"plain": "plain", "striped": "striped"}),
}
"""By SOURCE: the layout in words, and the style of each domain."""


class Factors(NamedTuple):
    """What images show, as arrays [N]."""

    kind: NDArray[np.int64]  # index into ``KINDS``
    colour: NDArray[np.int64]  # index into ``COLOURS``
    x: Floats  # centre and radius in units of the image's side
    y: Floats
    size: Floats
    background: Floats  # grey level


def factors(first: int, count: int) -> Factors:
    """Returns the factors of ``count`` images from index ``first`` on; any 36 in a row show every mode once."""
    index = np.arange(first, first + count)

    def between(low: float, high: float, name: str) -> Floats:
        return (low + (high - low) * uniform(SEED, index, name)).astype(np.float32)

    return Factors(
        kind=index % len(KINDS),
        colour=index // len(KINDS) % len(COLOURS),
        x=between(0.5 - OFFSET, 0.5 + OFFSET, "x"),
        y=between(0.5 - OFFSET, 0.5 + OFFSET, "y"),
        size=between(*RADIUS, "size"),
        background=between(*BACKGROUND, "grey"),
    )


# Unit normals of a regular triangle's sides, and of a regular pentagon's with its flat side up; y points down.
TRIANGLE = ((0.0, 1.0), (0.8660254, -0.5), (-0.8660254, -0.5))
PENTAGON = (
    (0.0, -1.0),
    (0.95105652, -0.30901699),
    (0.58778525, 0.80901699),
    (-0.58778525, 0.80901699),
    (-0.95105652, -0.30901699),
)


def distance(kind: int, x: Floats, y: Floats, size: Any) -> Floats:
    """Returns how far points are outside a shape (negative inside), in the unit of ``x``, ``y`` and ``size``.

    Args:
        kind: index into ``KINDS``.
        x, y: points relative to the shape's centre, broadcastable against each other.
        size: radius of the shape; the kinds are scaled to look about equally large.
    """
    outside: Floats
    match KINDS[kind]:
        case "circle":
            outside = np.sqrt(x * x + y * y) - 0.92 * size
        case "square":
            outside = np.maximum(abs(x), abs(y)) - 0.82 * size
        case "triangle":
            # Shifted so that the middle of its height, not its centroid, is at the centre.
            sides = [nx * x + ny * (y - 0.2 * size) for nx, ny in TRIANGLE]
            outside = np.maximum(np.maximum(sides[0], sides[1]), sides[2]) - 0.56 * size
        case "diamond":
            outside = (abs(x) + abs(y) - 1.05 * size) * 0.70710678
        case "cross":
            across = np.maximum(abs(x) - 0.98 * size, abs(y) - 0.34 * size)
            down = np.maximum(abs(x) - 0.34 * size, abs(y) - 0.98 * size)
            outside = np.minimum(across, down)
        case _:
            # A star is where at least four of a pentagon's five half-planes meet: the second largest distance.
            largest = second = np.float32(-np.inf)
            for nx, ny in PENTAGON:
                side = nx * x + ny * (y - 0.06 * size)
                second = np.maximum(second, np.minimum(largest, side))
                largest = np.maximum(largest, side)
            outside = second - 0.35 * size
    return outside


def draw(shapes: Factors, side: int, style: Style = "plain") -> NDArray[np.uint8]:
    """Draws images, antialiased, at any ``side`` from 8 px on; returns uint8 [N, side, side, 3]."""
    grid = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side)
    images = np.empty((len(shapes.kind), side, side, 3), np.uint8)
    for kind in np.unique(shapes.kind):
        (here,) = np.nonzero(shapes.kind == kind)
        x, y, size, background = (values[here, None, None] for values in shapes[2:])
        outside = distance(kind, grid - x, grid[:, None] - y, size)
        if style == "outline":
            half = np.float32(max(LINE, 1.5 / side) / 2)
            outside = abs(outside + half) - half
        covered = np.clip(np.float32(0.5) - np.float32(side) * outside, 0, 1)
        shade = np.ones_like(covered)
        if style == "striped":
            phase = ((grid - x) + (grid[:, None] - y)) / np.float32(STRIPE_PERIOD)
            # Distance from the middle of the dark half, in pixels across the diagonal stripes.
            from_dark = (abs(phase - np.floor(phase) - 0.5) - 0.25) * np.float32(STRIPE_PERIOD * side * 0.70710678)
            shade -= np.float32(1 - STRIPE_SHADE) * np.clip(0.5 - from_dark, 0, 1)
        for channel in range(3):
            colour = RGB[shapes.colour[here], channel][:, None, None] * shade
            images[here, :, :, channel] = np.rint(background + (colour - background) * covered)
    return images


class Drawn(Numbered):
    """``count`` built-in images from index ``first`` on; lists whose indices do not overlap share no image."""

    def __init__(self, name: str, style: Style = "plain", first: int = 0, count: int = LENGTH) -> None:
        super().__init__(name, range(count))
        self._style, self._factors = style, factors(first, count)

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        one = Factors._make(values[index : index + 1] for values in self._factors)
        image: Pixels = draw(one, SIZE if size is None else size, self._style)[0]
        if channels == 3:
            return image
        if channels != 1:
            return to_pixels(Image.fromarray(image), channels)
        # ITU-R 601 luma, as Pillow's conversion from RGB to grey.
        grey: Pixels = np.rint(image @ np.array([[0.299], [0.587], [0.114]])).astype(np.uint8)
        return grey


def open_shapes(location: str, split: str = "train") -> Source:
    """Opens one of ``VARIANTS``; GancliError if it is none.

    Pairs and domains have a test part with images of its own. The test part of ``shapes:domains`` is in pairs, the same
    shapes plain and striped, so that a translation can be compared with the truth. The other variants are the same for
    every ``split``.
    """
    if location not in VARIANTS:
        hint = nearest(location, VARIANTS) or f"the built-in data are {', '.join(VARIANTS)}"
        raise GancliError(f"there is no built-in data {location!r}", hint)
    words, styles = VARIANTS[location]
    # The number changes whenever the drawn pixels do.
    fingerprint = f"{location} 2"
    if len(styles) == 1:
        source = Source(location, words, {"image": Drawn(location)}, fingerprint=fingerprint)
        classes = location == "shapes:classes"
        return replace(source, labels=np.arange(LENGTH) % len(KINDS), classes=KINDS) if classes else source
    paired = location == "shapes:pairs"
    domains: dict[str, Images] = {}
    for place, (name, style) in enumerate(styles.items()):
        train = Drawn(location, style, 0 if paired else LENGTH * place)
        test = Drawn(f"{location} test", style, 2 * LENGTH, TEST_LENGTH)
        parts: dict[str, Images] = {"train": train, "test": test, "all": Joined([train, test])}
        domains[name] = parts[split]
    return Source(
        location,
        words,
        domains,
        paired=paired or split == "test",
        fingerprint=fingerprint if split == "train" else f"{fingerprint} {split}",
        has_test=split == "train",
    )


class Recognised(NamedTuple):
    """What ``recognise`` sees: kind [N] and colour [N] as indices, confidence [N] in [0, 1]."""

    kind: NDArray[np.int64]
    colour: NDArray[np.int64]
    confidence: Floats


def recognise(images: NDArray[Any]) -> Recognised:
    """Recognises the filled shape in each picture and its colour, without any training.

    The background is the median of the border. Pixels of another colour are the silhouette; its area and centroid give
    size and place for each kind, and the kind whose drawing overlaps best wins. The confidence is that overlap
    (intersection over union) times how well the colour fits.

    Args:
        images: uint8, or float in [-1, 1], [N, H, W, 3] with H = W.
    """
    chunks = [_recognise(images[start : start + 256]) for start in range(0, max(len(images), 1), 256)]
    return Recognised(*(np.concatenate(parts) for parts in zip(*chunks, strict=True)))


def _recognise(images: NDArray[Any]) -> Recognised:
    pixels = images.astype(np.float32) if images.dtype == np.uint8 else (images.astype(np.float32) + 1) * 127.5
    border = np.concatenate([pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]], axis=1)
    shown = pixels - np.median(border, axis=1)[:, None, None]
    # Chroma is colour without its grey part.
    chroma, palette = (colours - colours.mean(axis=-1, keepdims=True) for colours in (shown, RGB))
    # A pixel's chroma is coverage * shade * the colour's chroma, so all of them point into the colour's direction.
    length = np.sqrt((palette**2).sum(axis=1))
    total = chroma.sum(axis=(1, 2))
    norm = np.sqrt((total**2).sum(axis=1))
    cosine = total @ (palette / length[:, None]).T / np.maximum(norm, 1e-6)[:, None]
    colour = cosine.argmax(axis=1)
    direction = (palette / (length**2)[:, None])[colour]
    strength = np.einsum("nhwc,nc->nhw", chroma, direction)

    # The strength inside the silhouette; a colour that is too pale or too dark only lowers the confidence.
    positive = np.maximum(strength, 0)
    inside = (positive**3).sum(axis=(1, 2)) / np.maximum((positive**2).sum(axis=(1, 2)), 1e-6)
    relative = positive / np.maximum(inside, 1e-6)[:, None, None]
    # The second reading takes the dark half of stripes as fully covered. Sharper edges keep noise out of both.
    readings = [_fit_kinds(np.clip((relative / shade - 0.2) / 0.6, 0, 1)) for shade in (1, STRIPE_SHADE)]
    overlap = np.maximum(*readings)
    fit = np.maximum(cosine.max(axis=1), 0) ** 2 * np.minimum(inside / 0.6, 1)
    return Recognised(overlap.argmax(axis=1), colour, (overlap.max(axis=1) * fit).astype(np.float32))


def _fit_kinds(mask: Floats) -> Floats:
    """Returns the intersection over union, [N, kinds], of silhouettes [N, H, H] with each kind of the same moments."""
    side = mask.shape[1]
    grid = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side)
    area = np.maximum(mask.mean(axis=(1, 2)), 1e-6)
    centre_x = (mask.mean(axis=1) * grid).mean(axis=1) / area
    centre_y = (mask.mean(axis=2) * grid).mean(axis=1) / area
    overlaps = []
    for kind, (unit_area, drop) in enumerate(_moments()):
        size = np.sqrt(area / unit_area)
        x, y = grid - centre_x[:, None], grid - (centre_y - drop * size)[:, None]
        outside = distance(kind, x[:, None, :], y[:, :, None], size[:, None, None])
        drawn = np.clip(np.float32(0.5) - np.float32(side) * outside, 0, 1)
        union = np.maximum(mask, drawn).sum(axis=(1, 2))
        overlaps.append(np.minimum(mask, drawn).sum(axis=(1, 2)) / np.maximum(union, 1e-6))
    return np.stack(overlaps, axis=1)


@functools.cache
def _moments() -> list[tuple[float, float]]:
    """Returns the area of each kind at size 1, and how far its centroid is below the shape's centre."""
    grid = np.linspace(-1.2, 1.2, 512, dtype=np.float32)
    found = []
    for kind in range(len(KINDS)):
        inside = distance(kind, grid, grid[:, None], np.float32(1)) < 0
        rows = inside.mean(axis=1)
        found.append((float(inside.mean() * 2.4**2), float((rows * grid).sum() / rows.sum())))
    return found
