"""The two sides of an evaluation: files as they are, or a model's images and real ones prepared as for its training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from gancli.architectures.base import Architecture, LatentModel, Translator, Way
from gancli.data.levels import Range
from gancli.data.opening import open_source
from gancli.data.preparation import Preparation
from gancli.data.source import PointCloud, Source
from gancli.domains import Domain, Inputs, Kind
from gancli.errors import GancliError
from gancli.generation.latents import make_renderer
from gancli.generation.translation import Translation
from gancli.metrics.images import ImageSet, Sampled, Stored, TranslatedImages, by_name
from gancli.schema import DataConfig

MOST = 50_000
"""Most images that are sampled by default, as in the papers."""
ONE_SET = Inputs({"image": Domain((3, 0, 0))})
"""One set of RGB images, of any size."""


@dataclass(frozen=True)
class Comparison:
    """The two sides of an evaluation.

    Attributes:
        made: the images to judge.
        real: the images that they are compared with; None if statistics replace them, or nothing is compared.
        paired: whether image i of both sides shows the same thing.
        classes: names of the classes of the images to judge.
        real_classes: names of the classes of the real images, if they differ.
        about: what the report says about the images to judge.
        split: the part of the data that the real images are from.
        preparation: how the real images were prepared, in words.
        kind: what both sides hold.
    """

    made: ImageSet
    real: Stored | None = None
    paired: bool = False
    classes: tuple[str, ...] = ()
    real_classes: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    split: str = "train"
    preparation: str = "as they are"
    kind: Kind = "image"

    def check_classes(self, metric: str) -> None:
        """Raises ``GancliError`` if the two sides have different classes, or none."""
        if not self.classes:
            raise GancliError(f"{metric}: there are no classes", f"leave out {metric!r}, or give data with classes")
        if self.real_classes:
            raise GancliError(
                f"{metric}: the real images have the classes {', '.join(self.real_classes)}, but those of "
                f"{self.made.name} are {', '.join(self.classes)}",
                f"use data with the same classes, or leave out {metric!r}",
            )


def open_part(
    location: str,
    split: str | None,
    *,
    inputs: Inputs = ONE_SET,
    prefer_test: bool = False,
    limits: Range | None = None,
) -> tuple[Source, str]:
    """Opens a part of a SOURCE, and returns it and the part's name.

    Args:
        location: the SOURCE.
        split: ``"train"``, ``"test"``, ``"all"``, or None for the train part.
        inputs: what the images are for.
        prefer_test: if ``split`` is None, take the test part if there is one.
        limits: see ``open_source``.

    Raises:
        GancliError: the data cannot be opened or have no test part.
    """
    if split == "all":
        return open_source(location, split, inputs=inputs, limits=limits), split
    source = open_source(location, inputs=inputs, limits=limits)
    if split == "test" and not source.has_test:
        raise GancliError(f"--split test: {location} has no test part", "leave --split out")
    if split == "test" or (split is None and prefer_test and source.has_test):
        return open_source(location, "test", inputs=inputs, limits=limits), "test"
    return source, "train"


def of_files(
    location: str,
    data: str | None,
    split: str | None,
    n: int | None,
    seed: int,
    *,
    paired: bool,
    limits: Range | None = None,
) -> Comparison:
    """Compares the images of two sources as they are.

    Args:
        location: SOURCE of the images to judge.
        data: SOURCE of the real images, or None.
        split: part of the real images, see ``open_part``.
        n: most images of each side; None: all.
        seed: decides which images.
        paired: compare images with the same name.
        limits: see ``open_source``.

    Raises:
        GancliError: a source cannot be opened, holds several sets of images, or there are no pairs.
    """
    source = open_source(location, "all", inputs=ONE_SET, limits=limits)
    made = _stored(source)
    about = {"kind": source.layout}
    kind: Kind = "points" if isinstance(made.images, PointCloud) else "image"
    if data is None:
        return Comparison(made.some(n, seed), about=about, kind=kind)
    known, part = open_part(data, split, limits=limits)
    real = _stored(known)
    if (ours := _held(made)) != (theirs := _held(real)):
        raise GancliError(f"{location} holds {ours}, but {data} holds {theirs}", "compare data of one kind")
    # Images that are drawn get the size of those that they are compared with.
    first = next(made.parts(1), None)
    real.side = None if first is None else first.pixels.shape[1]
    if paired:
        made, real = by_name(made, real)
    classes = known.classes if known.classes == source.classes else ()
    return Comparison(made.some(n, seed), real.some(n, seed), paired, classes, about=about, split=part, kind=kind)


def of_model(
    name: str,
    model: Architecture,
    source: Source | None,
    data: DataConfig,
    device: torch.device,
    *,
    n: int | None,
    seed: int,
    batch: int = 64,
    way: Way | None = None,
    truncation: float | None = None,
    cutoff: int | None = None,
    classes: Sequence[str] = (),
    split: str = "train",
    about: Mapping[str, Any] | None = None,
) -> Comparison:
    """Compares a model's images with real ones, prepared as for its training but never cropped at random.

    A latent model is sampled; a translator translates real images of one domain, and the results are compared with real
    images of the other.

    Args:
        name: of the model, for reports.
        model: in evaluation mode whenever its images are read, on ``device``.
        source: real images, with the model's domains in its order; may be None for a latent model.
        data: how they are prepared.
        n: most images of each side. None: all; a latent model makes as many as there are real ones, at most 50,000.
        seed: decides which images, the seeds of a latent model's images, and a translator's noise.
        batch: images that the model computes at a time.
        way: of a translator; by default its last.
        truncation, cutoff: of a latent model, see ``Renderer``.
        classes: names of a latent model's classes, if they are known apart from the source.
        split, about: see ``Comparison``.

    Raises:
        GancliError: the model makes no images, takes data other than images, or cannot be truncated so.
    """
    domains = type(model).inputs(model.config).domains
    kinds = {domain.kind for domain in domains.values()}
    if kinds != {"image"} and not (kinds == {"points"} and isinstance(model, LatentModel)):
        raise GancliError(f"{name} takes data other than images, which cannot be evaluated")
    real: Stored | None
    made: ImageSet
    if isinstance(model, LatentModel):
        (domain,) = domains.values()
        real = None if source is None else _prepared(source, next(iter(source.domains)), data, domain).some(n, seed)
        renderer = make_renderer(model, device, batch=batch, truncation=truncation, cutoff=cutoff, prefix="--")
        count = n or min(MOST, len(real) if real else MOST)
        made = Sampled(name, replace(renderer, noise="random"), count, seed)
        names, others = _matched_classes(model, classes, source, real)
        paired = False
    elif isinstance(model, Translator):
        assert source is not None  # the images to translate
        way = way or model.ways()[-1]
        domain = domains[way.target]
        found = dict(zip(domains, source.domains, strict=True))
        inputs, real = (
            _prepared(source, found[side], data, domains[side]).some(n, seed) for side in (way.source, way.target)
        )
        made = TranslatedImages(
            f"{name} to {found[way.target]}", inputs, Translation(model, way, device, batch=batch, seed=seed)
        )
        names, others, paired = (), (), source.paired
    else:
        raise GancliError(f"{name} makes no images that could be measured")
    words = "as they are"
    if domain.kind == "image":
        _, height, width = domain.shape
        words = f"resized to {width}x{height} ({data.resize}, {data.interpolation}) and cropped in the middle"
    return Comparison(made, real, paired, names, others, about or {}, split, words, domain.kind)


def _matched_classes(
    model: LatentModel, classes: Sequence[str], source: Source | None, real: Stored | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the names of the model's classes, and those of the real images if they differ.

    Names in another order do not differ: the labels of the real images change to the model's order.
    """
    numbers = tuple(map(str, range(model.classes)))
    known = () if source is None or not model.classes else source.classes
    known = () if known == numbers else known  # classes without names
    names = tuple(classes) if len(classes) == model.classes else known or numbers
    if not known or known == names or real is None or real.labels is None:
        return names, ()
    if sorted(known) != sorted(names):
        return names, known
    real.labels = np.array([names.index(name) for name in known])[real.labels]
    return names, ()


def _stored(source: Source) -> Stored:
    """Returns the images of a source as they are, as RGB; raises ``GancliError`` if it holds several domains."""
    if len(source.domains) > 1:
        raise GancliError(
            f"{source.location} holds {' and '.join(source.domains)}, but one set of images is compared with another",
            "give the folder of one of them",
        )
    return _images(source, next(iter(source.domains)), 3, None)


def _held(stored: Stored) -> str:
    values = stored.images.values if isinstance(stored.images, PointCloud) else None
    return "images" if values is None else f"points of {values.shape[1]} numbers"


def _prepared(source: Source, name: str, data: DataConfig, domain: Domain) -> Stored:
    """Returns the images of a source's domain as they were resized for training, but cropped in the middle."""
    if domain.kind == "points":
        return _images(source, name, 0, None)
    channels, height, width = domain.shape
    whole = data.model_copy(update={"load_size": None, "crop": "center"})
    return _images(source, name, channels, Preparation.of((channels, height, width), whole))


def _images(source: Source, domain: str, channels: int, preparation: Preparation | None) -> Stored:
    name = source.location if len(source.domains) == 1 else f"{source.location} ({domain})"
    labels = source.labels.astype(np.int64) if source.labels is not None and source.labels.ndim == 1 else None
    key = f"{source.fingerprint} {domain} {vars(preparation) if preparation else ''}"
    return Stored(name, key, source.domains[domain], channels, labels, preparation)
