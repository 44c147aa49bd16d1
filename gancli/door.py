"""The Python door: a model as Python code uses it. ``gancli.load`` leads here, so that importing gancli stays cheap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from gancli.architectures.base import Architecture, LatentModel, Translator
from gancli.data.source import BadImage
from gancli.devices import choose_device
from gancli.errors import GancliError, nearest
from gancli.generation.between import BLENDS, NATURAL, Paths
from gancli.generation.latents import Points, Renderer, class_names, make_renderer, mixed
from gancli.generation.pictures import Picture, Translated, output_pixels, picture_of
from gancli.generation.translation import Translation, translate_all
from gancli.generation.ways import way_towards
from gancli.generation.writers import picture, to_pixels
from gancli.modelfile import ModelInfo, find_model, load_model
from gancli.seeding import LARGEST_SEED

ImageLike = Image.Image | NDArray[Any]
"""A Pillow image, uint8 [H, W] or [H, W, C], or float [C, H, W] in [-1, 1]."""


class Model:
    """A trained model.

    All methods return a list with an image for each seed, frame or input: Pillow images, or with ``as_arrays`` float32
    arrays [C, H, W] in [-1, 1]. They raise ``GancliError`` for input that does not suit the model.

    Attributes:
        name: what ``gancli.load`` was given.
        network: the architecture with its networks, in evaluation mode on ``device``; for those who want torch.
        info: what the model file says: architecture, configuration, domains, classes, steps.
        device: where it computes.
    """

    def __init__(self, name: str, network: Architecture, info: ModelInfo, device: torch.device) -> None:
        self.name, self.network, self.info, self.device = name, network, info, device

    def __repr__(self) -> str:
        return f"<gancli.Model {self.name}: {self.info.architecture}, {self.info.step:,} steps, on {self.device}>"

    @property
    def classes(self) -> list[str]:
        """Names of the classes that ``sample`` takes, or their numbers if the file does not name them; may be empty."""
        return class_names(self.network, self.info) if isinstance(self.network, LatentModel) else []

    def sample(
        self,
        seeds: Iterable[int] = (0,),
        *,
        classes: str | int | Sequence[str | int] | None = None,
        trunc: float | None = None,
        cutoff: int | None = None,
        noise: Literal["const", "random", "none"] | None = None,
        batch: int | None = None,
        as_arrays: bool = False,
    ) -> list[Any]:
        """Draws an image for each seed; a seed always gives the same one.

        Args:
            seeds: from 0 to 2^63 - 1.
            classes: by name or number: one for all images, one for each, or several for a single seed. None: in turn,
                seed i has class i.
            trunc: less variety. For models with styles psi, from 1 (all) to 0 (the mean); for others, latent values
                beyond +-trunc are redrawn.
            cutoff: truncate only the first layers, for models with styles.
            noise: of models with styles; ``random`` depends on the seed. None: ``const``.
            batch: images computed at a time. None: 64, fewer if they are large.
            as_arrays: return arrays instead of Pillow images.
        """
        renderer = self._renderer(batch, trunc, cutoff, noise)
        return _pictures(renderer, self._points(renderer, seeds, classes), as_arrays)

    def interpolate(
        self,
        seeds: Iterable[int] = (0, 1, 2),
        *,
        frames: int = 60,
        classes: str | int | Sequence[str | int] | None = None,
        space: Literal["z", "w"] | None = None,
        path: Literal["slerp", "lerp"] | None = None,
        smooth: bool = False,
        loop: bool = False,
        trunc: float | None = None,
        cutoff: int | None = None,
        noise: Literal["const", "random", "none"] | None = None,
        batch: int | None = None,
        as_arrays: bool = False,
    ) -> list[Any]:
        """Goes from seed to seed, and returns the frames.

        Args:
            seeds: at least two, or one with several classes.
            frames: from each seed to the next; without ``loop``, one more shows the last seed.
            space: go between latents z or styles w. None: w for models with styles.
            path: on the sphere, or straight. None: ``slerp`` in z, ``lerp`` in w.
            smooth: go in a curve, without sharp turns.
            loop: return to the first seed at the end.
            classes, trunc, cutoff, noise, batch, as_arrays: see ``sample``.
        """
        for name, value, known in (("space", space, NATURAL), ("path", path, BLENDS)):
            if value is not None and value not in known:
                raise GancliError(f"{name}={value!r}: unknown", f"known are: {', '.join(known)}")
        if frames < 1:
            raise GancliError(f"frames={frames}: must be at least 1")
        renderer = self._renderer(batch, trunc, cutoff, noise)
        if space == "w" and renderer.styled is None:
            raise GancliError(f"space='w': {self.name} has no styles", "leave space out")
        points = self._points(renderer, seeds, classes)
        if len(points) < 2:
            raise GancliError("a path needs at least two seeds, but there is only one", "seeds=[0, 1, 2]")
        if renderer.styled is not None and space != "z":
            points = renderer.styles(points)
        blend = BLENDS[path or NATURAL[points.space]]
        return _pictures(renderer, Paths(points, 1, frames, blend, loop=loop, smooth=smooth), as_arrays)

    def style_mix(
        self,
        rows: Iterable[int],
        cols: Iterable[int],
        layers: Sequence[int],
        *,
        trunc: float | None = None,
        noise: Literal["const", "random", "none"] | None = None,
        batch: int | None = None,
        as_arrays: bool = False,
    ) -> list[list[Any]]:
        """Mixes styles: every row's seed with some layers of every column's seed; a list of images for each row.

        Args:
            rows, cols: seeds.
            layers: taken from the columns, for instance ``range(4)``: those of 4 and 8 pixels.
            trunc, noise, batch, as_arrays: see ``sample``. Classes take turns.
        """
        renderer = self._renderer(batch, trunc, None, noise)
        if renderer.styled is None:
            raise self._wrong_kind("has no styles to mix")
        count = renderer.styled.layers
        if not layers or not all(0 <= layer < count for layer in layers):
            raise GancliError(f"layers={list(layers)}: {self.name} has layers 0 to {count - 1}")
        top, left = (renderer.styles(self._points(renderer, seeds, None)) for seeds in (cols, rows))
        row_styles, column_styles = (points.values[:, None].expand(-1, count, -1) for points in (left, top))
        styles = mixed(row_styles, column_styles, list(layers)).flatten(0, 1)
        points = Points(styles, left.repeated(len(top)).seeds, space="w")
        images = _pictures(renderer, points, as_arrays)
        return [images[first : first + len(top)] for first in range(0, len(images), len(top))]

    def translate(
        self,
        images: ImageLike | Iterable[ImageLike],
        *,
        to: str | None = None,
        seed: int = 0,
        size: int | None = None,
        tile: int | None = None,
        batch: int | None = None,
        as_arrays: bool = False,
    ) -> list[Any]:
        """Translates images into another domain; each result has the size of its input.

        Args:
            images: one or several Pillow images, uint8 arrays [H, W] or [H, W, C], or float arrays [C, H, W] in
                [-1, 1]. Pillow images keep their alpha channel.
            to: target domain, or ``"source:target"`` if there are several ways to it. None: the model's default.
            seed: of a model that draws noise, such as pix2pix.
            size: first resize the short side to this.
            tile: translate larger images in overlapping tiles of this size, at least 64.
            batch: images or tiles computed at a time. None: one on a CPU, elsewhere up to 8.
            as_arrays: return arrays instead of Pillow images.
        """
        for name, value, least in (("size", size, 1), ("tile", tile, 64), ("batch", batch, 1)):
            if value is not None and value < least:
                raise GancliError(f"{name}={value}: must be at least {least}")
        if not isinstance(self.network, Translator):
            raise self._wrong_kind("translates no images")
        _check_seeds([seed])
        way = way_towards(self.network, self.info, self.name, to)
        domains = self.network.inputs(self.network.config).domains
        if not as_arrays:
            _check_channels(domains[way.target].shape[0])
        channels = domains[way.source].shape[0]
        translation = Translation(self.network, way, self.device, batch=batch, seed=seed, tile=tile, floats=as_arrays)

        def read(image: ImageLike) -> Picture:
            return picture_of(image, channels, size)

        def write(image: ImageLike, given: Picture, translated: Translated) -> Any:
            return translated.images[0] if as_arrays else picture(output_pixels(given, translated))

        several: list[ImageLike] = [images] if isinstance(images, Image.Image) else list(images)
        if isinstance(images, np.ndarray) and images.ndim < 4:
            several = [images]
        found = []
        for index, (_, result) in enumerate(translate_all(several, read, translation, write)):
            if isinstance(result, BadImage):
                raise GancliError(f"images[{index}]: {result}")
            found.append(result)
        return found

    def _renderer(self, batch: int | None, trunc: float | None, cutoff: int | None, noise: str | None) -> Renderer:
        if not isinstance(self.network, LatentModel):
            raise self._wrong_kind("makes no images from latents")
        return make_renderer(self.network, self.device, batch=batch, truncation=trunc, cutoff=cutoff, noise=noise)

    def _points(
        self, renderer: Renderer, seeds: Iterable[int], classes: str | int | Sequence[str | int] | None
    ) -> Points:
        seeds = _check_seeds(seeds)
        points, names = renderer.draw(seeds), self.classes
        if classes is None:
            return points.with_classes([seed % len(names) for seed in seeds], len(names)) if names else points
        if not names:
            raise GancliError(f"{self.name} was not trained with classes", "leave classes out")
        given = [classes] if isinstance(classes, str | int) else classes
        return points.with_classes([self._number(class_) for class_ in given], len(names))

    def _number(self, class_: str | int) -> int:
        names = self.classes
        if class_ in names:
            return names.index(str(class_))
        if isinstance(class_, int) and 0 <= class_ < len(names):
            return class_
        known = f"its {len(names)} classes are: {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}"
        raise GancliError(f"{self.name} has no class {class_!r}", nearest(str(class_), names) or known)

    def _wrong_kind(self, lack: str) -> GancliError:
        methods = "translate" if isinstance(self.network, Translator) else "sample or interpolate"
        return GancliError(f"{self.name} is a {self.info.architecture}, which {lack}", f"use {methods}")


def _check_seeds(seeds: Iterable[int]) -> list[int]:
    listed = list(seeds)
    if not listed:
        raise GancliError("there are no seeds", "seeds=[0, 1]")
    for seed in listed:
        if not 0 <= seed <= LARGEST_SEED:
            raise GancliError(f"seed {seed}: must be between 0 and 2^63 - 1")
    return listed


def _check_channels(channels: int) -> None:
    if channels > 4:
        raise GancliError(f"the images have {channels} channels, which no picture can show", "as_arrays=True")


def _pictures(renderer: Renderer, points: Points | Paths, as_arrays: bool) -> list[Any]:
    found: list[Any] = []
    for part in renderer.images(points):
        if as_arrays:
            found.extend(part.numpy())
            continue
        _check_channels(part.shape[1])
        found.extend(map(picture, to_pixels(part)))
    return found


def load(model: str | PathLike[str], device: str = "auto") -> Model:
    """Loads a trained model; see ``gancli.load``."""
    chosen = choose_device(device)
    network, info = load_model(find_model(str(model)), chosen, whole=False)
    return Model(str(model), network, info, chosen)
