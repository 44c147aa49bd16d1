"""Opening a model that makes images from latents, and choosing the points to draw, for the commands that do so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from gancli import console
from gancli.cli.options import wrong_model
from gancli.errors import GancliError
from gancli.modelfile import load_model

if TYPE_CHECKING:
    from gancli.generation.latents import Points, Renderer, Space
    from gancli.modelfile import ModelInfo


@dataclass(frozen=True)
class Opened:
    """A model that makes images from latents.

    Attributes:
        name: as the user typed it.
        classes: names of its classes, or their numbers if its file does not name them; empty if it has none.
        renderer: makes its images as the options say.
        info: what its file says.
        space: the option ``--space``, or None.
    """

    name: str
    classes: list[str]
    renderer: Renderer
    info: ModelInfo
    space: Space | None


def open_model(
    name: str,
    path: Path,
    device: str,
    *,
    batch: int | None,
    trunc: float | None = None,
    cutoff: int | None = None,
    noise: str | None = None,
    space: str | None = None,
) -> Opened:
    """Loads a model and checks that it can do what the options of these names ask for.

    Args:
        name: what the user typed.
        path: the model file.

    Raises:
        GancliError: it is another kind of model, or an option is wrong or does not suit it.
    """
    from gancli.architectures.base import LatentModel
    from gancli.devices import choose_device
    from gancli.generation.latents import class_names, make_renderer

    chosen = choose_device(device)
    model, info = load_model(path, chosen, whole=False)
    if not isinstance(model, LatentModel):
        raise wrong_model(name, model, info, "makes no images from latents")
    renderer = make_renderer(
        model, chosen, batch=batch, truncation=trunc, cutoff=cutoff, noise=noise, space=space, prefix="--"
    )
    return Opened(name, class_names(model, info), renderer, info, cast("Space | None", space))


def choose_points(
    opened: Opened,
    seeds: Sequence[int],
    class_: str | None,
    *,
    latents: Path | None = None,
    with_classes: bool = True,
    for_each_class: bool = False,
) -> tuple[Points, list[str]]:
    """Returns the points of seeds or of a file of latents, and a name of each for files.

    Args:
        opened: the model.
        seeds: of the latents.
        class_: ``--class``: the class of all points or, separated by commas, of each; a single point is repeated for
            several. None: in turn, by the seed.
        latents: a file of latents or styles, instead of seeds.
        with_classes: whether the points get classes, if the model has any.
        for_each_class: take all points for the first class, then all for the second, ...; ignore ``class_``.

    Raises:
        GancliError: there is no such class, or the file holds something else.
    """
    from gancli.generation.latents import Points, read_latents

    count, renderer = len(opened.classes), opened.renderer
    if class_ is not None and not count:
        raise GancliError(f"--class {class_}: {opened.name} was not trained with classes", "leave --class out")
    if latents is None:
        points, kind = renderer.draw(seeds), "seed"
    elif renderer.truncation is not None and renderer.styled is None:
        text = f"--trunc {renderer.truncation:g} changes how latents are drawn, but --latents gives them"
        raise GancliError(text, "leave --trunc out")
    else:
        values, held = read_latents(latents, renderer.shapes, opened.space)
        points, kind = Points(values, range(len(values)), space=held), "latent"
    if points.space == "w" and class_ is not None:
        text = f"--class {class_}: {latents} holds styles, which already depend on a class"
        raise GancliError(text, "leave --class out")
    if points.space == "w" or not count or not with_classes:
        return points, [f"{kind}{seed:04d}" for seed in points.seeds]
    if for_each_class:
        classes = [index for index in range(count) for _ in range(len(points))]
        points = Points(points.values.repeat(count, *[1] * (points.values.ndim - 1)), [*points.seeds] * count)
    elif class_ is not None:
        classes = parse_classes(class_, opened.classes)
    else:
        classes = [seed % count for seed in points.seeds]
        console.note(f"classes take turns, starting with {opened.classes[0]} for seed 0; --class NAME chooses one")
    points = points.with_classes(classes, count)
    labels = class_labels(opened.classes)
    classes = classes * len(points) if len(classes) == 1 else classes
    return points, [f"{kind}{seed:04d}-{labels[class_]}" for seed, class_ in zip(points.seeds, classes, strict=True)]


def parse_classes(text: str, names: Sequence[str]) -> list[int]:
    """Returns the numbers of the classes that ``cat,dog`` or ``0,1`` means, in the order given; names win.

    Raises:
        GancliError: there is no such class.
    """
    from gancli.generation.latents import find_classes

    return find_classes([text] if text in names else map(str.strip, text.split(",")), names)  # a name may hold a comma


def class_labels(names: Sequence[str]) -> list[str]:
    """Returns a distinct label for every class, for use in file names."""
    labels = [re.sub(r"[^\w.+-]+", "_", name)[:40] for name in names]
    if len({label.casefold() for label in labels}) < len(labels) or not all(labels):
        return [f"class{number}" for number in range(len(names))]
    return labels
