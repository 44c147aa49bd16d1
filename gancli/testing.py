"""For authors of architectures: ``check_architecture`` says what is missing before a user finds out.

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

import torch

from gancli.architectures.base import Architecture, AttentiveTranslator, Batch, LatentModel, Translator
from gancli.schema import ModelConfig, TrainConfig
from gancli.training.update import Update, make_players

CPU = torch.device("cpu")
BATCH = 4
COLUMNS_OF_THE_LOG = ("step", "images", "epoch", "images_per_s", "eta_s", "memory_mib", "resolution", "alpha")


class IncompleteArchitecture(AssertionError):
    """What an architecture lacks, a line each."""


def random_batches(architecture: type[Architecture], config: ModelConfig, batch: int = BATCH) -> Iterator[Batch]:
    """Yields endless batches of noise in the shapes that an architecture takes, from torch's default generator."""
    needs = architecture.data_needs(config)
    for _ in itertools.count():
        images = {name: torch.rand(batch, *shape) * 2 - 1 for name, shape in architecture.input_shapes(config).items()}
        labels = torch.randint(needs.classes or 2, (batch,)) if needs.labels else None
        yield Batch(images, labels)


def check_architecture(architecture: type[Architecture], config: ModelConfig | None = None) -> None:
    """Builds an architecture, trains it for a few steps and looks whether it keeps the contract of ``Architecture``.

    Args:
        architecture: the class.
        config: an instance of its ``Config``, small enough to step in seconds; its defaults if None.

    Raises:
        IncompleteArchitecture: something is missing or wrong; the message lists everything that was found.
    """
    problems = _declared(architecture)
    if not problems:
        config = config if config is not None else architecture.Config()
        torch.manual_seed(0)
        model = architecture(config)
        problems = _named_networks(model) or [
            *_steps(model, config),
            *_resumes(model, config),
            *_samples(model, config),
        ]
    if problems:
        raise IncompleteArchitecture(f"{architecture.__name__}:\n" + "\n".join(f"- {problem}" for problem in problems))


def _declared(architecture: type[Architecture]) -> list[str]:
    problems = [
        f"the class attribute {name} is missing"
        for name in ("Config", "title", "averaged", "discriminators")
        if not hasattr(architecture, name)
    ]
    problems += [f"{name} is not implemented" for name in sorted(architecture.__abstractmethods__)]
    config: type = getattr(architecture, "Config", ModelConfig)
    if not issubclass(config, ModelConfig):
        problems.append("Config is not a subclass of gancli.schema.ModelConfig")
    return problems


def _named_networks(model: Architecture) -> list[str]:
    networks = {name for name, _ in model.named_children()}
    named = {f"averaged: {name}": name for name in model.averaged}
    named |= {f"discriminators: {name}": name for name in model.discriminators}
    for player, optim in model.optimizers().items():
        named |= {f"optimizers()[{player!r}]: {name}": name for name in optim.nets}
    return [f"{where} is not a network of the model" for where, name in named.items() if name not in networks]


def _play(model: Architecture, config: ModelConfig, train: TrainConfig, steps: range) -> Update:
    """Plays some steps as the trainer does: everything random derives from the step."""
    update = Update(make_players(model, train, CPU), train, CPU)
    for step in steps:
        torch.manual_seed(step)
        update.begin(step, step * BATCH, 0.0, model.stage)
        model.training_step(random_batches(type(model), config, BATCH), update)
    return update


def _steps(model: Architecture, config: ModelConfig) -> list[str]:
    problems = []
    for options in ({}, {"accumulate": 2}, {"precision": "bf16"}):
        trained = copy.deepcopy(model).train()
        train = TrainConfig(steps=10, batch=BATCH, **options)
        try:
            update = _play(trained, config, train, range(1))
        except Exception as error:
            problems.append(f"a training step with {options or 'defaults'} fails: {type(error).__name__}: {error}")
            continue
        losses = update.meter.read()
        problems += [f"the loss {name} is not finite" for name, value in losses.items() if not math.isfinite(value)]
        problems += [
            f"a player or a part of a loss is called {name}, but that is a column of the log"
            for name in losses
            if name in COLUMNS_OF_THE_LOG or name.startswith("lr_")
        ]
        before = dict(model.named_parameters())
        for player, mover in update.players.items():
            if player not in losses:
                problems.append(f"training_step never moves {player}")
            elif all(torch.equal(parameter, before[name]) for name, parameter in mover.parameters.items()):
                problems.append(f"a step of {player} changes none of its weights")
    return problems


def _resumes(model: Architecture, config: ModelConfig) -> list[str]:
    train = TrainConfig(steps=10, batch=BATCH)
    whole = copy.deepcopy(model).train()
    begun = _play(whole, config, train, range(2))
    torch.manual_seed(1234)
    resumed = type(model)(config).train()
    resumed.load_state_dict(whole.state_dict())
    restarted = Update(make_players(resumed, train, CPU), train, CPU)
    for name, mover in restarted.players.items():
        mover.optimizer.load_state_dict(copy.deepcopy(begun.players[name].optimizer.state_dict()))
    for update, played in ((begun, whole), (restarted, resumed)):
        torch.manual_seed(2)
        update.begin(2, 2 * BATCH, 0.0, played.stage)
        played.training_step(random_batches(type(model), config, BATCH), update)
    different = [
        name for name, value in whole.state_dict().items() if not torch.equal(value, resumed.state_dict()[name])
    ]
    if different:
        return [
            f"a resumed run goes another way (first in {different[0]}): "
            "keep whatever changes in a parameter or buffer, or derive it from update.step"
        ]
    return []


def _samples(model: Architecture, config: ModelConfig) -> list[str]:
    model = copy.deepcopy(model).eval()
    if isinstance(model, LatentModel):
        return _decodes(model, config)
    return _translates(model, config) if isinstance(model, Translator) else []


def _decodes(model: LatentModel, config: ModelConfig) -> list[str]:
    z, again = (model.latents(3, torch.Generator().manual_seed(0)) for _ in range(2))
    near, near_again = (model.resample(z, 0.5, torch.Generator().manual_seed(1)) for _ in range(2))
    labels = torch.zeros(3, dtype=torch.int64) if model.classes else None
    problems = []
    if not torch.equal(z, again):
        problems.append("latents() do not depend on the generator alone")
    if not torch.equal(near, near_again):
        problems.append("resample() does not depend on its arguments alone")
    if near.shape != z.shape:
        problems.append(f"resample() makes {tuple(near.shape)} of latents {tuple(z.shape)}")
    with torch.no_grad():
        images = model.decode(z, labels)
        alone = model.decode(z[:1], None if labels is None else labels[:1])
    expected = (3, config.channels, config.resolution, config.resolution)
    if images.shape != expected:
        return [*problems, f"decode() gives {tuple(images.shape)}, but {expected} is expected"]
    if images.abs().max() > 1:
        problems.append("decode() leaves [-1, 1]")
    # Batches of other sizes are rounded in another order, which styles and norms can make larger.
    if not torch.allclose(images[:1], alone, atol=1e-4):
        problems.append("in evaluation mode the image of a latent depends on its neighbours in the batch")
    return problems


@torch.no_grad()
def _translates(model: Translator, config: ModelConfig) -> list[str]:
    shapes = type(model).input_shapes(config)
    problems = []
    if tuple(shapes) != model.domains or not set(model.targets()) <= set(model.domains):
        return [f"targets() {model.targets()} and input_shapes() {tuple(shapes)} do not agree with {model.domains}"]
    batch = next(random_batches(type(model), config, 3))
    for to in model.targets():
        (source,) = (domain for domain in model.domains if domain != to)
        given = batch.images[source]
        torch.manual_seed(0)
        images = model.translate(given, to)
        torch.manual_seed(0)
        alone = model.translate(given[:1], to)
        expected = (3, *shapes[to])
        if images.shape != expected:
            problems.append(f"translate() to {to} gives {tuple(images.shape)}, but {expected} is expected")
            continue
        if images.abs().max() > 1:
            problems.append(f"translate() to {to} leaves [-1, 1]")
        if not model.noisy and not torch.allclose(images[:1], alone, atol=1e-5):
            problems.append(f"the translation of an image to {to} depends on its neighbours in the batch")
        if isinstance(model, AttentiveTranslator):
            attended, attention = model.translate_with_attention(given, to)
            if not torch.allclose(attended, images, atol=1e-5):
                problems.append(f"translate_with_attention() to {to} translates otherwise than translate()")
            if attention.ndim != 4 or attention.shape[:2] != (3, 1) or attention.min() < 0:
                problems.append(f"the attention to {to} is {tuple(attention.shape)}, but [3, 1, h, w] >= 0 is expected")
    if any(len(set(map(len, group.values()))) != 1 for group in model.preview(batch)):
        problems.append("the columns of preview() are not equally long")
    if model.needs.paired and not model.paired_loss(batch):
        problems.append("paired_loss() says nothing, although it learns from pairs")
    return problems
