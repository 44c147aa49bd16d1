"""The Python door: a model as Python code uses it. ``gancli.load`` leads here, so that importing gancli stays cheap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gancli.architectures.base import LatentModel, Translator
from gancli.data.source import BadImage
from gancli.devices import choose_device
from gancli.errors import GancliError, check_between, check_known
from gancli.generation import latents
from gancli.generation.between import BLENDS, Paths, natural
from gancli.generation.latents import NoiseKind, Points, Renderer
from gancli.generation.layers import parse_layers
from gancli.generation.pictures import Picture, Translated, output_pixels, picture_of
from gancli.generation.translation import Translation, translate_all
from gancli.generation.ways import way_towards
from gancli.generation.writers import picture, to_pixels
from gancli.modelfile import find_model, load_model
from gancli.seeding import LARGEST_SEED

ImageLike = Image.Image | NDArray[Any]
"""A Pillow image, uint8 [H, W] or [H, W, C], or float [C, H, W] in [-1, 1]."""
Classes = str | int | Sequence[str | int] | None


class Model:
    """A trained model; ``gancli.load`` makes it.

    All methods return a list with an image for each seed, frame or input: Pillow images, or with ``as_arrays`` float32
    arrays [C, H, W] in [-1, 1]. They raise ``GancliError`` for input that does not suit the model.

    Attributes:
        name: what ``gancli.load`` was given.
        network: the architecture with its networks, in evaluation mode on ``device``; for those who want torch.
        info: what the model file says: architecture, configuration, domains, classes, steps.
        device: where it computes.
        classes: names of the model's classes, or their numbers if the file does not name them; may be empty.
    """

    def __init__(self, name: str, device: str) -> None:
        self.name, self.device = name, choose_device(device)
        self.network, self.info = load_model(find_model(name), self.device, whole=False)
        self.classes = latents.class_names(self.network, self.info) if isinstance(self.network, LatentModel) else []

    def __repr__(self) -> str:
        return f"<gancli.Model {self.name}: {self.info.architecture}, {self.info.step:,} steps, on {self.device}>"

    def sample(
        self,
        seeds: Iterable[int] = (0,),
        *,
        classes: Classes = None,
        trunc: float | None = None,
        cutoff: int | None = None,
        noise: NoiseKind | None = None,
        batch: int | None = None,
        as_arrays: bool = False,
    ) -> list[Any]:
        """Draws an image for each seed; a seed always gives the same one.

        Args:
            seeds: from 0 to 2^63 - 1.
            classes: names or numbers: one for all images, one for each, or several for one seed. None: in turn by seed.
            trunc: less variety. Models with styles: psi, from 1 (all) to 0 (the mean). Others: redraw latent values
                beyond +-trunc.
            cutoff: truncate only the first layers, for models with styles.
            noise: of models with styles; ``random`` depends on the seed. None: ``const``.
            batch: images computed at a time. None: 64, fewer if they are large.
            as_arrays: return arrays instead of Pillow images.
        """
        renderer = self._renderer(batch=batch, truncation=trunc, cutoff=cutoff, noise=noise)
        return _pictures(renderer, self._points(renderer, seeds, classes), as_arrays)

    def interpolate(
        self,
        seeds: Iterable[int] = (0, 1, 2),
        *,
        frames: int = 60,
        classes: Classes = None,
        space: latents.Space | None = None,
        path: str | None = None,
        smooth: bool = False,
        loop: bool = False,
        trunc: float | None = None,
        cutoff: int | None = None,
        noise: NoiseKind | None = None,
        batch: int | None = None,
        as_arrays: bool = False,
    ) -> list[Any]:
        """Goes from seed to seed, and returns the frames.

        Args:
            seeds: at least two, or one with several classes.
            frames: from each seed to the next; without ``loop``, one more shows the last seed.
            space: go between latents z or styles w. None: w for models with styles.
            path: ``slerp``, on the sphere, or ``lerp``, straight. None: ``slerp`` for normal latents, else ``lerp``.
            smooth: go in a curve, without sharp turns.
            loop: return to the first seed at the end.
            classes, trunc, cutoff, noise, batch, as_arrays: see ``sample``.
        """
        check_known("path", path, BLENDS)
        check_between("frames", frames, 1)
        renderer = self._renderer(batch=batch, truncation=trunc, cutoff=cutoff, noise=noise, space=space)
        points = self._points(renderer, seeds, classes)
        if len(points) < 2:
            raise GancliError("a path needs at least two seeds, but there is only one", "seeds=[0, 1, 2]")
        if renderer.styled is not None and space != "z":
            points = renderer.styles(points)
        blend = BLENDS[path] if path else natural(renderer.model, points.space)
        return _pictures(renderer, Paths(points, 1, frames, blend, loop=loop, smooth=smooth), as_arrays)

    def style_mix(
        self,
        rows: Iterable[int],
        cols: Iterable[int],
        layers: str | Sequence[int],
        *,
        trunc: float | None = None,
        noise: NoiseKind | None = None,
        batch: int | None = None,
        as_arrays: bool = False,
    ) -> list[list[Any]]:
        """Mixes styles: every row's seed with some layers of every column's seed; a list of images for each row.

        Args:
            rows, cols: seeds.
            layers: taken from the columns: ``"coarse"``, ``"middle"``, ``"fine"``, ``"0-3,8"``, or ``range(4)``.
            trunc, noise, batch, as_arrays: see ``sample``. Classes take turns.
        """
        renderer = self._renderer(batch=batch, truncation=trunc, noise=noise)
        if renderer.styled is None:
            raise self._wrong_kind("has no styles to mix")
        count = renderer.styled.layers
        if isinstance(layers, str):
            layers = parse_layers(layers, count, "layers")
        if not layers or not all(type(layer) is int and 0 <= layer < count for layer in layers):
            raise GancliError(f"layers {list(layers)}: {self.name} has layers 0 to {count - 1}", "layers=range(4)")
        top, left = (renderer.styles(self._points(renderer, seeds, None), layered=True) for seeds in (cols, rows))
        styles = latents.mixed(left.values, top.values, list(layers)).flatten(0, 1)
        images = _pictures(renderer, Points(styles, left.repeated(len(top)).seeds, space="w"), as_arrays)
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
            images: one ``ImageLike`` or several; Pillow images keep their alpha channel.
            to: target domain, or ``"source:target"`` if there are several ways to it. None: the model's default.
            seed: of a model that draws noise, such as pix2pix.
            size: first resize the short side to this.
            tile: translate larger images in overlapping tiles of this size, at least 64.
            batch: images or tiles computed at a time. None: one on a CPU, elsewhere up to 8.
            as_arrays: return arrays instead of Pillow images.
        """
        for name, value, least in (("size", size, 1), ("tile", tile, 64), ("batch", batch, 1)):
            check_between(name, value, least)
        check_between("seed", seed, 0, LARGEST_SEED)
        if not isinstance(self.network, Translator):
            raise self._wrong_kind("translates no images")
        way = way_towards(self.network, self.info, self.name, to)
        channels = self.network.inputs(self.network.config).domains[way.source].shape[0]
        translation = Translation(self.network, way, self.device, batch=batch, seed=seed, tile=tile, floats=as_arrays)
        read = partial(picture_of, channels=channels, size=size)

        def write(image: ImageLike, given: Picture, translated: Translated) -> Any:
            return translated.images[0] if as_arrays else picture(output_pixels(given, translated), "as_arrays=True")

        if isinstance(images, Image.Image) or (isinstance(images, np.ndarray) and images.ndim < 4):
            images = [images]
        found = []
        for index, (_, result) in enumerate(translate_all(list(images), read, translation, write)):
            if isinstance(result, BadImage):
                raise GancliError(f"images[{index}]: {result}")
            found.append(result)
        return found

    def _renderer(self, **options: Any) -> Renderer:
        if not isinstance(self.network, LatentModel):
            raise self._wrong_kind("makes no images from latents")
        return latents.make_renderer(self.network, self.device, **options)

    def _points(self, renderer: Renderer, seeds: Iterable[int], classes: Classes) -> Points:
        seeds = list(seeds) if isinstance(seeds, Iterable) else [seeds]
        if not seeds:
            raise GancliError("there are no seeds", "seeds=[0, 1]")
        for seed in seeds:
            check_between("seed", seed, 0, LARGEST_SEED)
        points, names = renderer.draw([int(seed) for seed in seeds]), self.classes
        if classes is not None and not names:
            raise GancliError(f"{self.name} was not trained with classes", "leave classes out")
        if classes is None:
            return points.with_classes([seed % len(names) for seed in seeds], len(names)) if names else points
        given = [classes] if isinstance(classes, str | int) else classes
        return points.with_classes(latents.find_classes(given, names), len(names))

    def _wrong_kind(self, lack: str) -> GancliError:
        methods = "translate" if isinstance(self.network, Translator) else "sample or interpolate"
        return GancliError(f"{self.name} is a {self.info.architecture}, which {lack}", f"use {methods}")


def _pictures(renderer: Renderer, points: latents.ManyPoints, as_arrays: bool) -> list[Any]:
    parts = renderer.images(points)
    if renderer.kind == "points" and not as_arrays:
        raise GancliError("this model makes points, which are not images", "as_arrays=True")
    if as_arrays:
        return [image for part in parts for image in part.numpy()]
    return [picture(pixels, "as_arrays=True") for part in parts for pixels in to_pixels(part)]
