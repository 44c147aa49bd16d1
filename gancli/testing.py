"""For authors of architectures: ``check_architecture`` finds what is missing before a user does.

A third-party package calls it in its own tests::

    from gancli.testing import check_architecture

    def test_my_gan():
        check_architecture(MyGAN, MyGAN.Config(resolution=32))
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch

from gancli.architectures.base import (
    Architecture,
    AttentiveTranslator,
    Batch,
    LatentModel,
    StyledTranslator,
    Translator,
    Way,
)
from gancli.domains import Inputs
from gancli.schema import ModelConfig, TrainConfig
from gancli.training.plan import random_batch
from gancli.training.update import Update, make_players

CPU = torch.device("cpu")
BATCH = 4
COLUMNS_OF_THE_LOG = ("step", "images", "epoch", "images_per_s", "eta_s", "memory_mib", "resolution", "alpha", "watch")


class IncompleteArchitecture(AssertionError):
    """What an architecture lacks, a line each."""


def random_batches(inputs: Inputs, batch: int = BATCH) -> Iterator[Batch]:
    """Yields endless batches of noise in the shapes that ``inputs`` declare, from torch's default generator."""
    return (random_batch(inputs, batch) for _ in itertools.count())


def check_architecture(architecture: type[Architecture], config: ModelConfig | None = None) -> None:
    """Builds an architecture, trains it for a few steps and checks that it keeps the contract of ``Architecture``.

    Args:
        architecture: the class.
        config: an instance of its ``Config``, small enough to step in seconds; its defaults if None. If it leaves the
            number of classes to the data, there are three.

    Raises:
        IncompleteArchitecture: something is missing or wrong; the message lists everything that was found.
    """
    problems = _declared(architecture)
    if not problems:
        config = config if config is not None else architecture.Config()
        inputs = architecture.inputs(config)
        if inputs.labels != "none" and inputs.classes is None:
            config = config.model_copy(update={"classes": 3})
        torch.manual_seed(0)
        model = architecture(config)
        problems = _named_networks(model) or [*_steps(model), *_resumes(model), *_samples(model)]
    if problems:
        raise IncompleteArchitecture(f"{architecture.__name__}:\n" + "\n".join(f"- {problem}" for problem in problems))


def _declared(architecture: type[Architecture]) -> list[str]:
    problems = [
        f"the class attribute {name} is missing"
        for name in ("Config", "title", "players", "averaged")
        if not hasattr(architecture, name)
    ]
    problems += [f"{name} is not implemented" for name in sorted(architecture.__abstractmethods__)]
    config: type = getattr(architecture, "Config", ModelConfig)
    if not issubclass(config, ModelConfig):
        problems.append("Config is not a subclass of gancli.schema.ModelConfig")
    return problems


def _named_networks(model: Architecture) -> list[str]:
    networks = {name for name, _ in model.named_children()}
    named = {
        f"{attribute}: {name}": name
        for attribute in ("averaged", "private", "second_order")
        for name in getattr(model, attribute)
    }
    for player, optim in model.optimizers().items():
        named |= {f"optimizers()[{player!r}]: {name}": name for name in optim.nets}
    return [f"{where} is not a network of the model" for where, name in named.items() if name not in networks]


def _update(model: Architecture, **options: Any) -> Update:
    train = TrainConfig(steps=10, batch=BATCH, **options)
    return Update(make_players(model, train, CPU), train, CPU)


def _play(model: Architecture, update: Update, steps: range) -> None:
    """Plays some steps as the trainer does: everything random derives from the step."""
    for step in steps:
        torch.manual_seed(step)
        update.begin(step, step * BATCH, 0.0, model.resolution)
        model.training_step(random_batches(model.inputs(model.config)), update)


def _steps(model: Architecture) -> list[str]:
    problems = []
    for options in ({}, {"accumulate": 2}, {"precision": "bf16"}):
        trained = copy.deepcopy(model).train()
        try:
            update = _update(trained, **options)
            _play(trained, update, range(1))
        except Exception as error:
            problems.append(f"a training step with {options or 'defaults'} fails: {type(error).__name__}: {error}")
            continue
        losses = update.meter.read()
        problems += [f"the loss {name} is not finite" for name, value in losses.items() if not math.isfinite(value)]
        problems += [
            f"a player or a part of a loss is called {name}, but that is a column of the log"
            for name in losses
            if name in COLUMNS_OF_THE_LOG or name.startswith(("lr_", "watch "))
        ]
        before = dict(model.named_parameters())
        for player, mover in update.players.items():
            if player not in losses:
                problems.append(f"training_step never moves {player}")
            elif all(torch.equal(parameter, before[name]) for name, parameter in mover.parameters.items()):
                problems.append(f"a step of {player} changes none of its weights")
    return problems


def _resumes(model: Architecture) -> list[str]:
    whole = copy.deepcopy(model).train()
    begun = _update(whole)
    _play(whole, begun, range(2))
    torch.manual_seed(1234)
    resumed = type(model)(model.config).train()
    resumed.load_state_dict(whole.state_dict())
    restarted = _update(resumed)
    for name, mover in restarted.players.items():
        mover.optimizer.load_state_dict(copy.deepcopy(begun.players[name].optimizer.state_dict()))
    _play(whole, begun, range(2, 3))
    _play(resumed, restarted, range(2, 3))
    after = resumed.state_dict()
    different = [name for name, value in whole.state_dict().items() if not torch.equal(value, after[name])]
    if different:
        return [
            f"a resumed run differs from an uninterrupted one (first in {different[0]}): "
            "keep whatever changes in a parameter or buffer, or derive it from update.step"
        ]
    return []


def _samples(model: Architecture) -> list[str]:
    model = copy.deepcopy(model).eval()
    batch = next(random_batches(model.inputs(model.config), 3))
    with torch.no_grad():
        problems = _previews(model, batch)
        if isinstance(model, LatentModel):
            problems += _decodes(model)
        if isinstance(model, Translator):
            problems += _translates(model, batch)
    return problems


def _previews(model: Architecture, batch: Batch) -> list[str]:
    # Models whose preview shows no data must not look at any.
    shown = batch if model.watches_data else Batch({name: data[:, :0] for name, data in batch.images.items()})
    groups = model.preview(shown)
    lengths = [[len(column) for column in group.values()] for group in groups]
    if not groups or any(max(each) - min(each) > 1 for each in lengths):
        return ["the columns of preview() are not equally long"]
    inputs = model.inputs(model.config)
    if inputs.paired and not model.paired_loss(batch):
        return ["paired_loss() says nothing, although it learns from pairs"]
    if [domain.shape for domain in inputs.domains.values()] == [(2,)]:
        surface = model.surface(*batch.images.values())
        if surface is not None and surface[0].shape != (3,):
            return [f"surface() gives {tuple(surface[0].shape)} for three points, but (3,) is expected"]
    return []


def _decodes(model: LatentModel) -> list[str]:
    z, again = (model.latents(3, torch.Generator().manual_seed(0)) for _ in range(2))
    near, near_again = (model.resample(z, 0.5, torch.Generator().manual_seed(1)) for _ in range(2))
    labels = torch.zeros(3, dtype=torch.int64) if model.classes else None
    problems = []
    if not torch.equal(z, again):
        problems.append("latents() does not depend on the generator alone")
    if not torch.equal(near, near_again):
        problems.append("resample() does not depend on its arguments alone")
    if near.shape != z.shape:
        problems.append(f"resample() makes {tuple(near.shape)} of latents {tuple(z.shape)}")
    images = model.decode(z, labels)
    alone = model.decode(z[:1], None if labels is None else labels[:1])
    (domain,) = model.inputs(model.config).domains.values()
    expected = (3, *domain.shape)
    if images.shape != expected:
        return [*problems, f"decode() gives {tuple(images.shape)}, but {expected} is expected"]
    if domain.kind == "image" and model.bounded and images.abs().max() > 1:
        problems.append("decode() leaves [-1, 1]")
    # Batches of other sizes are rounded in another order, which styles and norms can make larger.
    if not torch.allclose(images[:1], alone, atol=1e-4):
        problems.append("in evaluation mode the image of a latent depends on its neighbours in the batch")
    return problems


def _translates(model: Translator, batch: Batch) -> list[str]:
    domains = model.inputs(model.config).domains
    unknown = [way for way in model.ways() if not set(way) <= set(domains)]
    if unknown or not model.ways():
        return [f"ways() {unknown} do not lead between the domains {', '.join(domains)}" if unknown else "no ways()"]
    return [problem for way in model.ways() for problem in _goes(model, way, batch)]


def _goes(model: Translator, way: Way, batch: Batch) -> list[str]:
    """Translates three images one way, and one of them alone."""
    problems = []
    named = f"from {way.source} to {way.target}"
    style = None
    if isinstance(model, StyledTranslator):
        style, again = (model.draw_styles(3, way, torch.Generator().manual_seed(0)) for _ in range(2))
        if not torch.equal(style, again):
            problems.append(f"draw_styles() {named} does not depend on the generator alone")
        read = model.read_style(batch.images[way.target], way)
        if read.shape != style.shape[1:]:
            problems.append(f"read_style() {named} gives {tuple(read.shape)}, draw_styles() {tuple(style.shape[1:])}")

    def translate(n: int) -> torch.Tensor:
        torch.manual_seed(0)
        labels = None if batch.labels is None else batch.labels[:n]
        styles = None if style is None else style[:n]
        return model.translate(batch.images[way.source][:n], way, labels=labels, style=styles)

    images, alone = translate(3), translate(1)
    expected = (3, *model.inputs(model.config).domains[way.target].shape)
    if images.shape != expected:
        return [*problems, f"translate() {named} gives {tuple(images.shape)}, but {expected} is expected"]
    if images.abs().max() > 1:
        problems.append(f"translate() {named} leaves [-1, 1]")
    if not model.noisy and not torch.allclose(images[:1], alone, atol=1e-5):
        problems.append(f"translate() {named}: the result depends on its neighbours in the batch")
    if isinstance(model, AttentiveTranslator):
        attended, attention = model.translate_with_attention(batch.images[way.source], way)
        if not torch.allclose(attended, images, atol=1e-5):
            problems.append(f"translate_with_attention() {named} differs from translate()")
        if attention.ndim != 4 or attention.shape[:2] != (3, 1) or attention.min() < 0:
            problems.append(f"the attention {named} is {tuple(attention.shape)}, but [3, 1, h, w] >= 0 is expected")
    return problems
