"""The typed sections of a run's configuration. Importable without torch.

A ``RunConfig`` has three sections: ``model`` is the architecture's own ``Config``; ``data`` and ``train`` are the same
for every architecture. Every section refuses unknown keys, so a misspelt key is never a silent default.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SerializeAsAny,
    Tag,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from gancli.keys import completed

LENGTHS = ("steps", "epochs", "kimg")
"""Keys of ``train`` that give the length of a run, each in its own unit; exactly one is set."""

# Bounds that no real model or run meets: without them, a few bytes could ask for more than any machine has.
Width = Annotated[int, Field(ge=1, le=2**16)]
"""Units or channels of a layer, or components of a latent vector."""
Widths = Annotated[tuple[Width, ...], Field(min_length=1, max_length=32)]
"""Widths of consecutive layers."""
Depth = Annotated[int, Field(le=64)]
"""Layers or blocks in a row."""
Classes = Annotated[int, Field(le=10**5)]
"""Number of classes."""
Turns = Annotated[int, Field(ge=1, le=10**4)]
"""Steps of one player for a step of the other."""
Count = Annotated[int, Field(ge=1, le=2**53)]
"""Steps or images."""

Rate = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]


def _known_device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
        raise ValueError("must be auto, cpu, mps, cuda, or one GPU such as cuda:1")
    return value


def _names(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(value)) != len(value) or any(not name.strip() or set(name) & set("/\\\0") for name in value):
        raise ValueError("must be different names, not empty and without a slash")
    return value


def _rising(value: tuple[float, float]) -> tuple[float, float]:
    if not (math.isfinite(value[0]) and math.isfinite(value[1]) and value[0] < value[1]):
        raise ValueError("must be two numbers, black and white, the smaller one first: [0, 4095]")
    return value


def _power_of_two(value: int) -> int:
    if value & (value - 1):
        below = 2 ** (value.bit_length() - 1)
        raise ValueError(f"must be a power of two: {below} or {2 * below}, for instance")
    return value


PowerOfTwo = Annotated[int, AfterValidator(_power_of_two)]

Flag = Annotated[bool, Field(strict=True)]
"""true or false; YAML 1.2 has no other words for them, so neither has gancli."""

Number = TypeVar("Number", int, float)
_Resolution = Annotated[int, Field(ge=4, le=2048)]
_ByResolution = Annotated[
    Annotated[Number, Tag("one")] | Annotated[dict[_Resolution, Number], Field(min_length=1), Tag("by resolution")],
    # So pydantic judges one of the two forms only, and says one thing about a wrong value instead of two.
    Discriminator(lambda value: "by resolution" if isinstance(value, Mapping) else "one"),
]
LearningRate = _ByResolution[Annotated[float, Field(gt=0)]]
"""One number, or a number from each resolution on, for networks that grow: {4: 1e-3, 128: 1.5e-3}."""
BatchSize = _ByResolution[Annotated[int, Field(ge=1, le=2**20)]]
"""One number, or a number from each resolution on, for networks that grow: {4: 128, 32: 64}."""


def at_resolution(value: Number | Mapping[int, Number], resolution: int) -> Number:
    """Returns the value that holds at a resolution: of the largest key that is not above it, else of the smallest."""
    if not isinstance(value, Mapping):
        return value
    return value[max((key for key in value if key <= resolution), default=min(value))]


class Section(BaseModel):
    """Base of every section: unknown keys are errors, null resets a key, values cannot change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        return completed(cls, values) if isinstance(values, Mapping) else values

    @field_validator("*", mode="wrap")
    @classmethod
    def _numbers_are_plain(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        validated = handler(value)
        if isinstance(value, bool) and type(validated) in (int, float):  # pydantic takes true for 1
            raise ValueError(f"must be a number, not {str(value).lower()}")
        if type(validated) is int and abs(validated) > 2**63:  # pydantic holds other input to this, not int
            raise ValueError("the number is too large")
        return validated


class Ramp(Section, Generic[Number]):
    """A number that changes while the first images of a run are shown."""

    start: Number = Field(description="value before the first image")
    end: Number = Field(description="value from then on")
    kimg: float = Field(gt=0, description="thousands of real images over which it changes")
    shape: Literal["linear", "cosine"] = Field("linear", description="straight, or as half a wave of the cosine")

    def at(self, images: int) -> float:
        """Returns the value after some real images."""
        done = min(1.0, images / (1000 * self.kimg))
        if self.shape == "cosine":
            done = (1 - math.cos(math.pi * done)) / 2
        return self.start + done * (self.end - self.start)


_NumberOrRamp = Discriminator(lambda value: "ramp" if isinstance(value, Mapping | Ramp) else "number")
RateOrRamp = Annotated[Annotated[Rate, Tag("number")] | Annotated[Ramp[Rate], Tag("ramp")], _NumberOrRamp]
"""A number from 0 to below 1, or a ramp: {start: 0.5, end: 0.7, kimg: 12500}."""
PositiveOrRamp = Annotated[Annotated[Positive, Tag("number")] | Annotated[Ramp[Positive], Tag("ramp")], _NumberOrRamp]
"""A number above 0, or a ramp."""


def at_images(value: Any, images: int) -> Any:
    """Returns a number, or several, without ramps: as they are after some real images."""
    if isinstance(value, tuple):
        return tuple(at_images(each, images) for each in value)
    return value.at(images) if isinstance(value, Ramp) else value


class AdamConfig(Section):
    """Adam (Kingma & Ba 2014)."""

    kind: Literal["adam"] = Field("adam", description="adam, rmsprop or sgd")
    lr: LearningRate = Field(2e-4, description="learning rate, or by resolution: {4: 1e-3, 128: 1.5e-3}")
    betas: tuple[Rate, RateOrRamp] = Field((0.5, 0.999), description="decay rates of the two moments")
    eps: float = Field(1e-8, gt=0, description="added to the denominator")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty")

    def lazy(self, every: int) -> AdamConfig:
        """Returns the settings for a network with an extra step every ``every`` steps (a lazy regulariser).

        Adam then takes (every + 1) / every steps instead of one, so its rate and memory shrink by as much
        (Karras et al. 2019, appendix B).
        """
        part = every / (every + 1)
        lr = {key: rate * part for key, rate in self.lr.items()} if isinstance(self.lr, dict) else self.lr * part
        first, second = self.betas
        if isinstance(second, Ramp):
            second = second.model_copy(update={"start": second.start**part, "end": second.end**part})
        else:
            second **= part
        return self.model_copy(update={"lr": lr, "betas": (first**part, second)})


class RMSpropConfig(Section):
    """RMSprop (Tieleman & Hinton 2012)."""

    kind: Literal["rmsprop"] = Field("rmsprop", description="adam, rmsprop or sgd")
    lr: LearningRate = Field(5e-5, description="learning rate, or by resolution: {4: 1e-3, 128: 1.5e-3}")
    alpha: Rate = Field(0.99, description="decay rate of the mean square")
    eps: float = Field(1e-8, gt=0, description="added to the denominator")
    momentum: Rate = Field(0.0, description="momentum")
    centered: Flag = Field(False, description="divide by the standard deviation instead of the root mean square")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty")


class SGDConfig(Section):
    """Stochastic gradient descent, with momentum if wanted."""

    kind: Literal["sgd"] = Field("sgd", description="adam, rmsprop or sgd")
    lr: LearningRate = Field(1e-3, description="learning rate, or by resolution: {4: 1e-3, 128: 1.5e-3}")
    momentum: RateOrRamp = Field(0.0, description="momentum")
    dampening: float = Field(0.0, ge=0, le=1, description="part of the gradient that momentum ignores")
    nesterov: Flag = Field(False, description="Nesterov's momentum")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty")

    @model_validator(mode="after")
    def _torch_takes_it(self) -> SGDConfig:
        if self.nesterov and (not self.momentum or self.dampening):
            raise ValueError("nesterov needs a momentum above 0 and a dampening of 0")
        return self


def _kind(value: Any) -> str:
    return str(value.get("kind", "adam") if isinstance(value, Mapping) else getattr(value, "kind", "adam"))


OptimizerConfig = Annotated[
    Annotated[AdamConfig, Tag("adam")] | Annotated[RMSpropConfig, Tag("rmsprop")] | Annotated[SGDConfig, Tag("sgd")],
    Discriminator(_kind),
]
"""A player's optimizer: ``kind`` says which, Adam by default; all other keys are torch's."""


class Optimizers(Section):
    """An optimizer for each of the players D and G."""

    D: OptimizerConfig = AdamConfig()
    G: OptimizerConfig = AdamConfig()


class ModelConfig(Section):
    """Base of every architecture's ``Config``: what the paper fixes."""

    optimizers: Optimizers = Field(Optimizers(), description="optimizer of each player")


class ImageModelConfig(ModelConfig):
    """Base of the ``Config`` of networks for square images."""

    resolution: int = Field(64, ge=4, le=2048, description="height and width of an image in pixels")
    channels: int = Field(3, ge=1, le=64, description="1 for grey, 3 for RGB, other numbers for arrays")


class DataConfig(Section):
    """Which images a run sees and what is done to them before they reach the networks."""

    source: str | None = Field(
        None, description="SOURCE as in --data: a path, `shapes`, `toy:ring` or a torchvision name"
    )
    domains: Annotated[tuple[str, ...], Field(min_length=2), AfterValidator(_names)] | None = Field(
        None, description="names or order of the domains, such as [horse, zebra]; by default from the data's folders"
    )
    split: Literal["train", "test", "all"] = Field("train", description="part of the data set, if it has parts")
    range: Literal["auto"] | Annotated[tuple[float, float], AfterValidator(_rising)] = Field(
        "auto", description="numbers that become black and white in images of more than 8 bits, such as [0, 4095]"
    )
    resize: Literal["cover", "stretch"] = Field("cover", description="the short side (cover) or both become load_size")
    load_size: int | None = Field(
        None, ge=4, le=2**14, description="size in pixels before the crop; by default model.resolution"
    )
    interpolation: Literal["nearest", "box", "bilinear", "bicubic", "lanczos"] = Field(
        "bilinear", description="filter for resizing; all but nearest are antialiased"
    )
    crop: Literal["center", "random"] = Field("center", description="which part of a larger image is used")
    flip: Flag = Field(False, description="mirror half of the images left to right")
    on_bad_image: Literal["skip", "error"] = Field("skip", description="what to do with an unreadable image")
    cache_gib: float = Field(4.0, ge=0, description="GiB of decoded images in memory; more go to a memory-mapped file")

    @property
    def limits(self) -> tuple[float, float] | None:
        """``range``, or None if it is automatic."""
        return None if self.range == "auto" else self.range


class AveragingConfig(Section):
    """Exponential moving average of the generator's weights and buffers; sampling uses the average."""

    decay: float | None = Field(None, gt=0, lt=1, description="weight of the old average in a step; by default 0.999")
    half_life_kimg: PositiveOrRamp | None = Field(
        None, description="instead of decay: thousands of real images that halve the weight of the old average"
    )
    start: int = Field(0, ge=0, le=2**53, description="before this step the average is a plain copy")

    @model_validator(mode="after")
    def _one_of_both(self) -> AveragingConfig:
        if self.decay is not None and self.half_life_kimg is not None:
            raise ValueError("decay and half_life_kimg say the same thing in two ways: one of them must be null")
        return self

    def decay_of(self, images: int, images_shown: int = 0) -> float:
        """Returns the weight of the old average at a step that shows ``images`` real images, after others."""
        if self.half_life_kimg is not None:
            return float(0.5 ** (images / (at_images(self.half_life_kimg, images_shown) * 1000)))
        return 0.999 if self.decay is None else self.decay


class ScheduleConfig(Section):
    """Factor on every learning rate, by the finished fraction of the run."""

    kind: Literal["constant", "linear", "cosine", "step", "milestones"] = Field(
        "constant", description="shape of the decay"
    )
    start: float = Field(0.0, ge=0, lt=1, description="linear, cosine: fraction of the run at which the decay begins")
    final: float = Field(0.0, ge=0, le=1, description="linear, cosine: factor at the end of the run")
    every: Count = Field(100_000, description="step: number of steps between two decays")
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (), description="milestones: fractions of the run after which the rates decay"
    )
    gamma: float = Field(0.5, gt=0, le=1, description="step, milestones: factor of each decay")

    @model_validator(mode="after")
    def _has_milestones(self) -> ScheduleConfig:
        if self.kind == "milestones" and not self.milestones:
            raise ValueError("milestones: there are none, for instance [0.5, 0.75]")
        return self


class TurnConfig(Section):
    """When a player moves; in the other rounds its loss is measured, but nothing is learnt."""

    every: Count = Field(1, description="the player moves in every k-th round or epoch")
    unit: Literal["rounds", "epochs"] = Field("rounds", description="what every and offset count")
    offset: int = Field(
        0, ge=0, le=2**53, description="round or epoch, counted from 0, in which the player first moves"
    )
    above: float | None = Field(None, description="skip the player's update while its last loss is at or below this")
    below: float | None = Field(None, description="skip the player's update while its last loss is at or above this")

    @model_validator(mode="after")
    def _leaves_room(self) -> TurnConfig:
        if self.above is not None and self.below is not None and self.above >= self.below:
            raise ValueError(f"the player never moves: no loss is above {self.above} and below {self.below}")
        if self.offset >= self.every:
            raise ValueError(f"offset must be below every, which is {self.every}")
        return self


class EvaluateConfig(Section):
    """What is measured during training; the checkpoint with the best value is kept."""

    metric: str = Field("fid", description="metric of `gancli evaluate`; its first value counts")
    every: Count = Field(5000, description="steps between two evaluations")
    images: int = Field(5000, ge=2, le=10**9, description="largest number of real and of generated images")
    features: str | None = Field(
        None, description="network that computes the features, as in --features; by default the metric's own"
    )
    weights: str | None = Field(None, description="file of its weights")


class AidsConfig(Section):
    """Training aids (Salimans et al. 2016; Sønderby et al. 2016; Shrivastava et al. 2016), see docs/aids.md."""

    label_smoothing: float = Field(0.0, ge=0, lt=0.5, description="targets of reals become 1 - this (one-sided)")
    label_flip: float = Field(0.0, ge=0, lt=0.5, description="probability that a discriminator target is swapped")
    instance_noise: float = Field(0.0, ge=0, description="std of Gaussian noise on the discriminator's input at step 0")
    instance_noise_until: float = Field(0.5, gt=0, le=1, description="fraction of the run at which the noise is gone")
    replay: Rate = Field(0.0, description="share of the fakes judged by D that older ones replace")
    replay_size: int = Field(1000, ge=1, le=10**7, description="number of older fakes that are kept in each process")
    old_networks: Rate = Field(0.0, description="share of rounds in which a player faces older networks of the other")
    old_networks_every: Count = Field(1000, description="steps between two snapshots of the networks")
    old_networks_kept: int = Field(
        2, ge=1, le=1000, description="snapshots that are kept; each of those rounds draws one"
    )


class TrainConfig(Section):
    """Length, batches, precision and aids of a run, and what it writes when."""

    steps: Count | None = Field(None, description="length in training steps")
    epochs: float | None = Field(None, gt=0, le=1e100, description="length in passes over the data")
    kimg: float | None = Field(None, gt=0, le=1e100, description="length in thousands of real images shown")
    batch: BatchSize = Field(
        64, description="images per step, over all ranks and micro-batches; or by resolution: {4: 128, 32: 64}"
    )
    accumulate: int = Field(1, ge=1, le=2**20, description="micro-batches that a batch is split into, to save memory")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of all random numbers of the run")
    device: Annotated[str, AfterValidator(_known_device)] = Field(
        "auto", description="auto (CUDA if there is one), cpu, cuda, cuda:N or mps"
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="arithmetic of the networks (autocast)")
    compile: Flag = Field(False, description="compile the networks with torch.compile")
    channels_last: Flag = Field(True, description="NHWC memory layout, faster on CPU and tensor cores")
    workers: int | None = Field(
        None, ge=0, le=1024, description="loader processes; by default 0 on a CPU and 2 on a GPU"
    )
    clip_gradients: float | None = Field(None, gt=0, description="largest norm of a player's gradient")
    average: AveragingConfig | None = Field(None, description="keep a moving average of the generator; null: none")
    schedule: ScheduleConfig = ScheduleConfig()
    turns: dict[str, TurnConfig] = Field({}, description="when players move, for instance {D: {every: 2}}")
    aids: AidsConfig = AidsConfig()
    watch: Flag = Field(True, description="warn of collapse, oscillation, vanishing gradients and a D that has won")
    evaluate: EvaluateConfig | None = Field(None, description="measure the model during training; null: never")
    init_from: str | None = Field(None, description="model file with the initial weights")
    log_every: Count = Field(50, description="steps per line of the log")
    sample_every: Count = Field(500, description="steps between two sample grids")
    checkpoint_every: Count = Field(500, description="steps between two checkpoints")
    keep: Count = Field(2, description="checkpoints that are kept")
    samples: int = Field(64, ge=1, le=1024, description="images in a sample grid")
    tensorboard: Flag = Field(False, description="also write TensorBoard events (needs gancli[tensorboard])")

    @model_validator(mode="after")
    def _fits_together(self) -> TrainConfig:
        lengths = [name for name in LENGTHS if getattr(self, name) is not None]
        if len(lengths) != 1:
            found = " and ".join(lengths) or "none of them"
            raise ValueError(f"the length of a run is one of steps, epochs and kimg, but here is {found}")
        for batch in self.batches():
            if batch % self.accumulate:
                raise ValueError(f"batch {batch} cannot be split into accumulate {self.accumulate} equal parts")
        if self.aids.replay and self.aids.replay_size < max(self.batches()):
            raise ValueError(f"aids.replay_size must be at least as large as batch {max(self.batches())}")
        return self

    def batches(self) -> list[int]:
        """Returns every batch size that the run may have."""
        return list(self.batch.values()) if isinstance(self.batch, dict) else [self.batch]


class RunConfig(Section):
    """Everything that decides how a run goes; ``config.yaml`` of a run directory holds it resolved."""

    architecture: str = Field(description="name of the architecture")
    preset: str | None = Field(None, description="name of the preset that the run began with")
    description: str = Field("", description="one line for `gancli presets`")
    model: SerializeAsAny[ModelConfig] = Field(description="what the paper fixes")
    data: DataConfig = Field(DataConfig(), description="which images are used, and how they are prepared")
    train: TrainConfig = Field(description="how the run goes, and what it writes when")

    @field_validator("model", mode="before")
    @classmethod
    def _is_of_the_architecture(cls, value: Any, info: ValidationInfo) -> Any:
        """Validates plain values by the architecture's ``Config`` if the validation context is that class."""
        return value if info.context is None or isinstance(value, ModelConfig) else info.context.model_validate(value)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain dicts, lists and scalars, as YAML and JSON have them; ``config.resolve`` takes them."""
        return self.model_dump(mode="json")
