"""What is compared with what: files as they are, or a model's images with real ones as they were prepared for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from gancli.architectures.base import DataNeeds, Translator
from gancli.data.opening import open_source
from gancli.data.preparation import Preparation
from gancli.data.source import Source
from gancli.errors import GancliError
from gancli.generation.latents import Renderer
from gancli.metrics.images import ImageSet, Sampled, Stored, Translated, by_name
from gancli.schema import DataConfig

MOST = 50_000
"""Images that are sampled where there are as many real ones, as the papers do."""

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Comparison:
    """What is compared with what.

    Attributes:
        made: the images to judge.
        real: what they are compared with; None where statistics say all, or nothing is compared.
        paired: whether image i of both sides shows the same thing.
        classes: names of the classes of the images to judge.
        real_classes: names of those of the real ones, where they are others.
        about: what the report is to say of the images to judge.
        split: part of the data that the real images are of.
        preparation: what is done to the real images before they are compared, in words.
    """

    made: ImageSet
    real: Stored | None = None
    paired: bool = False
    classes: tuple[str, ...] = ()
    real_classes: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    split: str = "train"
    preparation: str = "as they are"

    def check_classes(self, metric: str) -> None:
        """Raises ``GancliError`` where the classes of the two sides are not the same."""
        if self.real_classes:
            raise GancliError(
                f"{metric}: the real images have the classes {', '.join(self.real_classes)}, but those of "
                f"{self.made.name} are {', '.join(self.classes)}",
                f"data with the same classes, or leave {metric} out",
            )


def of_files(location: str, data: str | None, split: str, n: int | None, seed: int, *, paired: bool) -> Comparison:
    """Compares the images of two sources as they are.

    Args:
        location: of the images to judge.
        data: of the real ones, or None.
        split: part of the real ones.
        n: most images of either side; None: all.
        seed: of which they are.
        paired: compare those whose names are the same.

    Raises:
        GancliError: a source cannot be opened, holds several sets of images, or has no pairs.
    """
    source = open_source(location, "all", needs=DataNeeds())
    made = stored(source, channels=3)
    about = {"kind": source.layout}
    if data is None:
        return Comparison(made.some(n, seed), about=about)
    known = open_source(data, split, needs=DataNeeds())
    real = stored(known, channels=3)
    # What is drawn is drawn at the size of what it is compared with.
    first = next(made.parts(1), None)
    real.side = None if first is None else first.pixels.shape[1]
    if paired:
        made, real = by_name(made, real)
    classes = known.classes if known.classes == source.classes else ()
    return Comparison(made.some(n, seed), real.some(n, seed), paired, classes, about=about, split=split)


def of_latents(
    name: str,
    renderer: Renderer,
    source: Source | None,
    data: DataConfig,
    shape: Shape,
    *,
    n: int | None,
    seed: int,
    threshold: float | None = None,
    classes: Sequence[str] = (),
) -> Comparison:
    """Compares what a latent model samples with real images.

    Args:
        name: of the model.
        renderer: makes its images.
        source: real images, or None.
        data: how these are prepared.
        shape: (C, H, W) of the images.
        n: most images of either side; None: of the model as many as there are real ones, at most 50,000.
        seed: of the first image, and of which real ones they are.
        threshold: see ``Sampled``.
        classes: names of the classes that the model takes, as far as they are known.
    """
    real = None if source is None else prepared(source, None, data, shape).some(n, seed)
    count = n or min(MOST, len(real) if real else MOST)
    made = Sampled(name, renderer, count, seed, threshold)
    known = () if source is None or not renderer.model.classes else source.classes
    numbers = tuple(map(str, range(renderer.model.classes)))
    known = () if known == numbers else known  # classes without names
    names = tuple(classes) or known or numbers
    others: tuple[str, ...] = ()
    if known and real is not None and real.labels is not None and known != names:
        if sorted(known) == sorted(names):
            real.labels = np.array([names.index(name) for name in known])[real.labels]
        else:
            others = known
    return Comparison(made, real, classes=names, real_classes=others, preparation=_in_words(data, shape))


def of_translator(
    name: str,
    model: Translator,
    to: str,
    source: Source,
    data: DataConfig,
    shapes: Mapping[str, Shape],
    device: torch.device,
    *,
    n: int | None,
    seed: int,
) -> Comparison:
    """Compares what a translator makes of one domain with the real images of the other.

    Args:
        name: of the model.
        model: on ``device``.
        to: domain that it translates into, as ``model.domains`` calls it.
        source: two domains, in the model's order.
        data: how they are prepared.
        shapes: (C, H, W) of the images of each of the model's domains.
        device: where it computes.
        n: most images of either side; None: all.
        seed: of which they are, and of the model's noise.
    """
    found = dict(zip(model.domains, source.domains, strict=True))
    (other,) = (domain for domain in model.domains if domain != to)
    inputs, real = (prepared(source, found[domain], data, shapes[domain]).some(n, seed) for domain in (other, to))
    made = Translated(f"{name} to {found[to]}", model, to, inputs, device, seed)
    return Comparison(made, real, source.paired, preparation=_in_words(data, shapes[to]))


def stored(
    source: Source, domain: str | None = None, *, channels: int, preparation: Preparation | None = None
) -> Stored:
    """Returns the images of a source, or of one of its domains.

    Raises:
        GancliError: it holds several domains, and none is named.
    """
    if domain is None and len(source.domains) > 1:
        raise GancliError(
            f"{source.location} holds {' and '.join(source.domains)}, but one set of images is compared with another",
            "give the folder of one of them",
        )
    domain = domain or next(iter(source.domains))
    name = source.location if len(source.domains) == 1 else f"{source.location} ({domain})"
    labels = source.labels.astype(np.int64) if source.labels is not None and source.labels.ndim == 1 else None
    key = f"{source.fingerprint} {domain} {vars(preparation) if preparation else ''}"
    return Stored(name, key, source.domains[domain], channels, labels, preparation)


def _in_words(data: DataConfig, shape: Shape) -> str:
    """Says what ``prepared`` does to images."""
    _, height, width = shape
    return f"resized to {width}x{height} ({data.resize}, {data.interpolation}) and cropped in the middle"


def prepared(source: Source, domain: str | None, data: DataConfig, shape: Shape) -> Stored:
    """Returns images of a source as they were resized for training, but never cropped at random."""
    whole = data.model_copy(update={"load_size": None, "crop": "center"})
    return stored(source, domain, channels=shape[0], preparation=Preparation.of(shape, whole))
