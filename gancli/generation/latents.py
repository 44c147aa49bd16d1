"""Points in a model's latent space, by seed or from a file, and their images."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast, get_args

import numpy as np
import torch
from torch import Tensor

from gancli.architectures.base import LatentModel, StyleModel
from gancli.console import note
from gancli.domains import Kind
from gancli.errors import GancliError, RunError, check_between, check_known, nearest
from gancli.files import DAMAGED
from gancli.seeding import derive

if TYPE_CHECKING:
    from gancli.modelfile import ModelInfo

NoiseKind = Literal["const", "random", "none"]
Space = Literal["z", "w"]

PIXELS_AT_A_TIME = 2**22
MOST_AT_A_TIME = 64
FARTHEST = 1_000_000
"""Largest level of truncation; beyond it, a network may overflow."""
LISTED = 10
"""Largest number of classes that a message lists."""


@dataclass(frozen=True)
class Points:
    """Points in a model's latent space; each is an image.

    Attributes:
        values: on the CPU, latents z [N, *latent shape], or styles w, one for all layers [N, W] or one each [N, L, W].
        seeds: of each image's random noise.
        labels: float [N, K] weights of classes, or None; a w already depends on its class.
        space: of the values.
    """

    values: Tensor
    seeds: Sequence[int]
    labels: Tensor | None = None
    space: Space = "z"

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, part: slice) -> Points:
        labels = None if self.labels is None else self.labels[part]
        return replace(self, values=self.values[part], seeds=self.seeds[part], labels=labels)

    def repeated(self, times: int) -> Points:
        """Returns every point ``times`` times in a row."""
        labels = None if self.labels is None else self.labels.repeat_interleave(times, dim=0)
        seeds = [seed for seed in self.seeds for _ in range(times)]
        return replace(self, values=self.values.repeat_interleave(times, dim=0), seeds=seeds, labels=labels)

    def with_classes(self, classes: Sequence[int], count: int) -> Points:
        """Returns the points with labels.

        Args:
            classes: one for all points, one for each, or several for a single point, which is then repeated.
            count: K, the number of classes of the model.

        Raises:
            GancliError: the numbers of classes and points do not match.
        """
        points = self.repeated(len(classes)) if len(self) == 1 else self
        if len(classes) == 1:
            classes = [*classes] * len(points)
        if len(classes) != len(points):
            hint = "give one class for all images, one for each, or several for a single seed"
            raise GancliError(f"{len(classes)} classes given for {len(points)} images", hint)
        return replace(points, labels=torch.eye(count)[list(classes)])


class ManyPoints(Protocol):
    """Points, or something that computes them on demand."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice) -> Points: ...


def read_latents(
    path: Path, shapes: Mapping[Space, Sequence[tuple[int, ...]]], space: Space | None = None
) -> tuple[Tensor, Space]:
    """Reads the values of ``Points`` and their space from a ``.npy`` file.

    Args:
        shapes: see ``Renderer.shapes``.
        space: what the file holds. None: told from the shape; latents if it could be either.

    Raises:
        GancliError: the file cannot be read, or holds something else.
    """
    known = [(kind, shape) for kind, several in shapes.items() for shape in several if space in (None, kind)]
    try:
        values = np.load(path, allow_pickle=False)
    except OSError as error:
        raise GancliError(f"cannot read {path}: {error.strerror or error}") from error
    except DAMAGED as error:
        raise GancliError(f"{path} is not a .npy file of numbers", "numpy.save('z.npy', z)") from error
    if not isinstance(values, np.ndarray):
        raise GancliError(f"{path} holds an archive, not one array", "numpy.save('z.npy', z)")
    found = [kind for kind, shape in known if values.shape[1:] == shape]
    if values.dtype.kind not in "fiu" or not values.size or not found:
        # Latents and styles may have the same shape: it is named once.
        expected = " or ".join(dict.fromkeys(f"[N, {', '.join(map(str, shape))}]" for _, shape in known))
        raise GancliError(f"{path} holds {values.dtype} {list(values.shape)}, but this model takes float {expected}")
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise GancliError(f"{path} holds numbers that are not finite, or too large for float32")
    if len(set(found)) > 1:
        note(f"{path} could hold latents or styles; reading it as latents (--space w: styles)")
    return torch.from_numpy(values), found[0]


@dataclass(frozen=True)
class Renderer:
    """Makes the images of points, a batch at a time.

    Attributes:
        model: on ``device``, in evaluation mode, so that no image depends on the others in its batch.
        device: where it computes.
        batch: largest number of images computed at a time.
        truncation: psi of a ``StyleModel`` (see ``StyleModel.truncate``); for other models, the threshold beyond which
            latents are redrawn (see ``LatentModel.resample``). None: none.
        cutoff: the first layers of a ``StyleModel`` that are truncated; None: all.
        noise: of a ``StyleModel``: stored in the model file, drawn from each image's seed, or none.
    """

    model: LatentModel
    device: torch.device
    batch: int = 64
    truncation: float | None = None
    cutoff: int | None = None
    noise: NoiseKind = "const"

    @property
    def styled(self) -> StyleModel | None:
        """The model if it has styles, else None."""
        return self.model if isinstance(self.model, StyleModel) else None

    @property
    def kind(self) -> Kind:
        """What the model makes."""
        (domain,) = self.model.inputs(self.model.config).domains.values()
        return domain.kind

    @property
    def shapes(self) -> dict[Space, list[tuple[int, ...]]]:
        """The shapes that a point can have, by space; paths go best through the last space."""
        shapes: dict[Space, list[tuple[int, ...]]] = {"z": [tuple(self.model.latents(1, torch.Generator()).shape[1:])]}
        if self.styled is not None:
            w = tuple(self.styled.mean_w.shape)
            shapes["w"] = [w, (self.styled.layers, *w)]
        return shapes

    def draw(self, seeds: Sequence[int]) -> Points:
        """Returns the latents of seeds, without labels; each seed always gives the same one."""
        threshold = self.truncation if self.styled is None else None
        return Points(self.model.latents_of_seeds(seeds, threshold), seeds)

    def check_level(self, level: float, option: str) -> None:
        """Raises ``GancliError`` if the model cannot be truncated at a level; ``option`` is where it comes from."""
        if not isinstance(level, int | float):
            raise GancliError(f"{option} {level!r}: must be a number")
        if not abs(level) <= FARTHEST:  # catches NaN, too
            raise GancliError(f"{option} {level:g}: must be between {-FARTHEST:,} and {FARTHEST:,}")
        if self.styled is None and level <= 0:
            text = f"{option} {level:g}: must be greater than 0, since latent values beyond +-T are redrawn"
            raise GancliError(text, f"{option} 0.5; smaller values mean less variety")

    def truncated(self, points: Points, level: float) -> Points:
        """Returns points from ``draw``, with labels or without, as they are at another level of truncation."""
        if self.styled is not None:
            return replace(self, truncation=level).styles(points)
        return replace(points, values=self.model.latents_of_seeds(points.seeds, level))

    def images(self, points: ManyPoints) -> Iterator[Tensor]:
        """Yields images on the CPU, float32 [<= batch, C, H, W] in [-1, 1], in the order of the points.

        A ``StyleModel`` truncates the styles of latents; styles are rendered as they are.

        Raises:
            RunError: the network's output is not finite.
        """
        for first in range(0, len(points), self.batch):
            yield _finite(self._images(points[first : first + self.batch]))

    @torch.inference_mode()
    def styles(self, points: Points, *, layered: bool = False) -> Points:
        """Returns points of a ``StyleModel`` in w, truncated: [N, W], or if layers differ or ``layered``, [N, L, W]."""
        layered = layered or self.cutoff is not None or (points.space == "w" and points.values.ndim == 3)
        parts = (self._styles(points[first : first + self.batch]) for first in range(0, len(points), self.batch))
        ws = torch.cat([(part if layered else part[:, 0]).float().cpu() for part in parts])
        return replace(points, values=_finite(ws), labels=None, space="w")

    @torch.inference_mode()
    def _images(self, points: Points) -> Tensor:
        if self.styled is None:
            labels = None if points.labels is None else points.labels.to(self.device)
            return self.model.decode(points.values.to(self.device), labels).float().cpu()
        ws = self._styles(points) if points.space == "z" else self.styled.truncate(points.values.to(self.device))
        if self.noise != "random":
            return self.styled.synthesize(ws, self.noise).float().cpu()
        generators = (torch.Generator().manual_seed(derive("noise", seed)) for seed in points.seeds)
        drawn = [self.styled.draw_noise(1, generator) for generator in generators]
        noise = [torch.cat(layer).to(self.device) for layer in zip(*drawn, strict=True)]
        return self.styled.synthesize(ws, noise).float().cpu()

    def _styles(self, points: Points) -> Tensor:
        """Returns styles [N, L, W] on the device."""
        assert self.styled is not None
        w = points.values.to(self.device)
        if points.space == "z":
            w = self.styled.map(w, None if points.labels is None else points.labels.to(self.device))
        return self.styled.truncate(w, 1.0 if self.truncation is None else self.truncation, self.cutoff)


def _finite(made: Tensor) -> Tensor:
    # A sum is finite if all values are, but for enormous ones; it takes a fifth of the time.
    if not (made.sum().isfinite() or made.isfinite().all()):
        raise RunError("the network's output is not finite", "use latents that are not as far out, or another model")
    return made


def make_renderer(
    model: LatentModel,
    device: torch.device,
    *,
    batch: int | None = None,
    truncation: float | None = None,
    cutoff: int | None = None,
    noise: str | None = None,
    space: str | None = None,
    prefix: str = "",
) -> Renderer:
    """Returns a renderer after checking what a user asked for; see ``Renderer``.

    Args:
        batch: None: at most 64, fewer if the images are large.
        noise: None: ``const``.
        space: checked only: ``w`` needs a model with styles.
        prefix: before the names of options in messages, such as ``--``.

    Raises:
        GancliError: a value is out of range, or needs a model with styles.
    """
    check_between(f"{prefix}batch", batch, 1)
    check_known(f"{prefix}noise", noise, get_args(NoiseKind))
    check_known(f"{prefix}space", space, get_args(Space))
    if batch is None:
        (domain,) = model.inputs(model.config).domains.values()
        batch = max(1, min(MOST_AT_A_TIME, PIXELS_AT_A_TIME // prod(domain.shape[-2:])))
        if domain.kind == "points":  # one scatter plot shows them all
            batch = PIXELS_AT_A_TIME
    renderer = Renderer(model, device, batch, truncation, cutoff, cast("NoiseKind", noise or "const"))
    if truncation is not None:
        renderer.check_level(truncation, f"{prefix}trunc")
    if renderer.styled is None:
        for name, given in (("noise", noise), ("cutoff", cutoff), ("space", space if space == "w" else None)):
            if given is not None:
                option = f"{prefix}{name}"
                raise GancliError(f"{option} {given}: {type(model).__name__} has no styles", f"leave {option} out")
    elif cutoff is not None and not 1 <= cutoff <= renderer.styled.layers:
        layers = renderer.styled.layers
        raise GancliError(f"{prefix}cutoff {cutoff}: this model has {layers} layers", f"1 to {layers}")
    if cutoff is not None and truncation is None:
        text = f"{prefix}cutoff {cutoff} limits truncation, but there is no {prefix}trunc"
        raise GancliError(text, f"add {prefix}trunc, for instance 0.7")
    return renderer


def mixed(rows: Tensor, columns: Tensor, layers: Sequence[int]) -> Tensor:
    """Returns every row's styles with some layers of every column's (Karras et al. 2018, section 3.1).

    Styles [R, L, W] and [C, L, W] become [R, C, L, W].
    """
    styles = rows[:, None].repeat(1, len(columns), 1, 1)
    styles[:, :, layers] = columns[:, layers]
    return styles


def class_names(model: LatentModel, info: ModelInfo) -> list[str]:
    """Returns the names of a model's classes, their numbers if its file does not name them; empty if it has none."""
    return info.classes if len(info.classes) == model.classes else [str(number) for number in range(model.classes)]


def find_classes(given: Iterable[str | int], names: Sequence[str]) -> list[int]:
    """Returns the numbers of classes that a user gives by name or by number, from 0 on; names win.

    Raises:
        GancliError: there is no such class.
    """
    found = []
    for item in given:
        if item in names:
            found.append(names.index(str(item)))
        elif re.fullmatch(r"[0-9]{1,9}", str(item)) and int(item) < len(names):
            found.append(int(item))
        else:
            rest = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
            known = f"its {len(names)} classes are: {', '.join(names[:LISTED])}{rest}"
            raise GancliError(f"the model has no class {item!r}", nearest(str(item), names) or known)
    return found
