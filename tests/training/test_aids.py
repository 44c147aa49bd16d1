"""Training aids: each does what it says, for every architecture that it fits, and is refused by the others."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_testing import SMALL_MODELS
from torch import Tensor, nn

from gancli import config as configuration
from gancli import registry
from gancli.architectures.base import Architecture, Batch, Loss
from gancli.cli.app import run
from gancli.errors import GancliError
from gancli.nn.losses import targets
from gancli.schema import AidsConfig, RunConfig, TrainConfig, TurnConfig
from gancli.testing import random_batches
from gancli.training.trainer import Trainer

CPU = torch.device("cpu")
WITHOUT_TARGETS = {"wgan", "wgan-gp", "progan", "stylegan", "r3gan"}


class Endless:
    """As much of a pipeline as a trainer asks for."""

    length, classes = 20, ("a", "b", "c")

    def __init__(self, model: Architecture) -> None:
        self.domains = tuple(model.inputs(model.config).domains)


def trainer(name: str, model: Mapping[str, Any] | None = None, **train: Any) -> Trainer:
    sets = {**SMALL_MODELS[name], **(model or {}), **({"classes": 3} if name in ("cgan", "cdcgan") else {})}
    torch.manual_seed(0)
    kind = registry.load_architecture(name)
    settings = configuration.validate_model(name, sets)
    config = RunConfig(
        architecture=name,
        model=settings,
        train=TrainConfig(**{"steps": 100, "batch": 4, "channels_last": False, **train}),
    )
    made = kind(settings, config.train.aids)
    return Trainer(made, config, Endless(made), CPU)  # type: ignore[arg-type]


def data(made: Trainer) -> Iterator[Batch]:
    inputs, stage = made.architecture.inputs(made.config.model), made.architecture.stage
    if stage is not None:
        small = {name: domain.reduced(domain.shape[-1] // stage.resolution) for name, domain in inputs.domains.items()}
        inputs = replace(inputs, domains=small)
    return random_batches(inputs, 4)


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def changed(before: Mapping[str, Tensor], model: Architecture) -> set[str]:
    """The players whose networks have changed, in weights or buffers."""
    heads = {name.split(".")[0] for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    return {player for player, networks in model.players.items() if heads & set(networks)}


def seen_by(network: nn.Module) -> list[tuple[Tensor, ...]]:
    """What a network is given from now on."""
    seen: list[tuple[Tensor, ...]] = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(each.detach() for each in inputs)))
    return seen


# ---- which aid fits which architecture ---------------------------------------------------------------------


def build(name: str, **aids: float) -> Architecture:
    sets = {**SMALL_MODELS[name], **({"classes": 3} if name in ("cgan", "cdcgan") else {})}
    return registry.load_architecture(name)(configuration.validate_model(name, sets), AidsConfig(**aids))


@pytest.mark.parametrize("name", SMALL_MODELS)
def test_an_aid_fits_or_is_refused_by_name(name: str) -> None:
    for aid in ("label_smoothing", "label_flip"):
        if name in WITHOUT_TARGETS:
            with pytest.raises(GancliError, match=rf"train\.aids\.{aid} changes the targets"):
                build(name, **{aid: 0.1})
        else:
            build(name, **{aid: 0.1})
    kind = registry.load_architecture(name)
    assert (kind.replays is True) == any("self.replayed(" in inspect.getsource(parent) for parent in kind.__mro__[:2])
    if kind.replays is True:
        assert "replay.items" in build(name, replay=0.5).state_dict()
        assert "replay" in build(name, replay=0.5).private
    else:
        with pytest.raises(GancliError, match=rf"train\.aids\.replay does not fit {kind.__name__}: \w+"):
            build(name, replay=0.5)
    assert not any(part.startswith("replay") for part in build(name).state_dict())


@pytest.mark.parametrize("name", SMALL_MODELS)
def test_the_other_aids_play_with_every_architecture(name: str) -> None:
    fits = registry.load_architecture(name).replays is True
    aids = {"instance_noise": 0.1, "old_networks": 0.9, "old_networks_every": 1, "replay": 0.5 * fits, "replay_size": 4}
    made = trainer(name, aids=aids, turns={"D": {"every": 2, "unit": "epochs"}})
    for _ in range(4):
        made.play_round(data(made))
    assert all(tensor.isfinite().all() for tensor in made.architecture.state_dict().values())
    assert len(made.older.snapshots) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cyclegan", "--set", "train.aids.replay=0.5"], "train.aids.replay does not fit CycleGAN: it has a pool"),
        (["wgan", "--set", "train.aids.label_smoothing=0.1"], "train.aids.label_smoothing changes the targets"),
        (["dcgan", "--set", "train.turns={E: {every: 2}}"], "train.turns.E: the architecture has no such player"),
        (["dcgan", "--set", "train.turns={D: {every: 2, offset: 2}}"], "offset must be below every, which is 2"),
        (["dcgan", "--set", "train.aids={replay: 0.5, replay_size: 8}"], "replay_size must be at least as large as"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_what_does_not_fit_is_refused_before_training(
    words: list[str], said: str, dry: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    source = "shapes:domains" if words[0] == "cyclegan" else "shapes"
    assert run(["train", *words, "--data", source, *dry]) == 2
    assert said in " ".join(capfd.readouterr().err.split())
    assert not list(tmp_path.iterdir())


def test_smoothing_is_one_sided_and_flips_go_to_the_plain_other_target() -> None:
    torch.manual_seed(0)
    aids = AidsConfig(label_smoothing=0.1, label_flip=0.3)
    scores = torch.zeros(20_000)
    for wanted, other, plain in ((1.0, 0.0, 0.9), (0.0, 1.0, 0.0), (1.0, -1.0, 0.8)):
        found = targets(scores, wanted, other, aids)
        assert {round(value, 4) for value in found.tolist()} == {plain, other}
        assert (found == other).float().mean() == pytest.approx(0.3, abs=0.02)
    assert torch.equal(targets(scores, 1.0, 0.0, AidsConfig()), torch.ones(20_000))


# ---- turns ------------------------------------------------------------------------------------------------


def test_players_take_turns_by_epochs() -> None:
    turns = {"D": {"every": 2, "unit": "epochs"}, "G": {"every": 2, "unit": "epochs", "offset": 1}}
    made = trainer("gan", turns=turns)  # 20 images are 5 batches
    moved = []
    for _ in range(20):
        before = dict(made.architecture.named_parameters())
        before = {name: tensor.detach().clone() for name, tensor in before.items()}
        made.play_round(data(made))
        heads = {name for name, p in made.architecture.named_parameters() if not torch.equal(p, before[name])}
        moved.append("".join(sorted({"D" if name.startswith("d") else "G" for name in heads})))
    assert moved == [*"DDDDDGGGGG"] * 2


def test_an_offset_moves_the_first_round() -> None:
    made = trainer("gan", turns={"G": TurnConfig(every=3, offset=2)})
    rounds = []
    for _ in range(6):
        before = weights(made.architecture.generator)
        made.play_round(data(made))
        now = dict(made.architecture.generator.named_parameters())
        rounds.append(any(not torch.equal(tensor, before[name]) for name, tensor in now.items()))
    assert rounds == [False, False, True, False, False, True]


# ---- instance noise ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "network"), [("gan-toy", "discriminator"), ("wgan", "critic")])
def test_noise_falls_on_reals_and_fakes_alike_and_ends(name: str, network: str) -> None:
    made = trainer(name, aids={"instance_noise": 0.5, "instance_noise_until": 0.02})  # two rounds of a hundred
    plain = seen_by(made.architecture.get_submodule(network))  # after the trainer's own hook
    batches = [next(data(made)) for _ in range(6)]
    expected = [0.5, 0.25, 0.0]
    for std in expected:
        plain.clear()
        made.play_round(iter(batches))
        real = next(iter(batches[0].images.values()))
        noise = plain[0][0] - real
        if std == 0:
            assert torch.equal(plain[0][0], real)
        else:
            assert noise.std() == pytest.approx(std, rel=0.6 if name == "gan-toy" else 0.05)


# ---- older samples ----------------------------------------------------------------------------------------


REPLAYING = [name for name in SMALL_MODELS if registry.load_architecture(name).replays is True]
CONDITION = {"cgan": 1, "cdcgan": 1, "r3gan": 1, "pix2pix": 0}
"""Which argument of G comes with its image to D: the classes, or the input image."""


def identity(image: Tensor) -> bytes:
    return image.detach().contiguous().numpy().tobytes()


@pytest.mark.parametrize("name", REPLAYING)
def test_d_judges_older_fakes_with_what_belongs_to_them_and_g_its_present_ones(name: str) -> None:
    made = trainer(name, {"classes": 3} if name == "r3gan" else {}, aids={"replay": 0.5, "replay_size": 8})
    model, moves = made.architecture.requires_grad_(True), {"D": 0, "G": 0}
    born: dict[bytes, tuple[dict[str, int], Tensor | None]] = {}
    """When each fake was made, counted in moves, and what it was made from."""
    judged: list[tuple[bytes, Tensor | None]] = []
    """What D's networks were given in this move, but the reals."""
    ages = []

    def note_birth(_: nn.Module, inputs: tuple[Tensor, ...], out: Any) -> None:
        images = out[0] if isinstance(out, tuple) else out
        conditions = inputs[CONDITION[name]] if name in CONDITION else [None] * len(images)
        for image, condition in zip(images, conditions, strict=True):
            born.setdefault(identity(image), (dict(moves), condition))  # lsgan makes the same one for both players

    def note_sight(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert len(inputs) == 1 + (name in CONDITION)
        conditions = inputs[1] if name in CONDITION else [None] * len(inputs[0])
        seen = [(identity(image), condition) for image, condition in zip(inputs[0], conditions, strict=True)]
        judged.extend((image, condition) for image, condition in seen if image in born)

    class Recorder(SimpleNamespace):
        def __call__(self, player: str, loss_function: Callable[[Batch], Loss], batch: Batch) -> None:
            judged.clear()
            loss_function(batch)
            assert len(judged) == len(batch) * len(model.players["D"])
            for image, condition in judged:
                when, given = born[image]
                assert (given is None and condition is None) or torch.equal(condition, given)
                if player == "D":
                    ages.append(moves["D"] - when["D"])
                else:
                    assert when["G"] == moves["G"]
            moves[player] += 1

        def forward(self, player: str, function: Callable[[Batch], None], batch: Batch) -> None:
            function(batch)

    for network in model.players["G"]:
        model.get_submodule(network).register_forward_hook(note_birth)
    for network in model.players["D"]:
        model.get_submodule(network).register_forward_pre_hook(note_sight)
    while moves["D"] < 12:
        model.training_step(data(made), Recorder(step=moves["G"], images_shown=0))
    filling = 2 * 4 * len(model.players["D"])  # two moves fill the pool
    assert set(ages[:filling]) == {0}
    later = ages[filling:]
    assert 0.25 < sum(age > 0 for age in later) / len(later) < 0.75
    assert max(later) > 1


# ---- older networks ---------------------------------------------------------------------------------------


def test_one_player_sometimes_faces_older_networks_of_the_other_and_alone_learns() -> None:
    made = trainer("gan", aids={"old_networks": 0.5, "old_networks_every": 10, "old_networks_kept": 2})
    model = made.architecture
    used = {"D": [], "G": []}  # type: dict[str, list[bytes]]
    for player, network in (("D", model.discriminator), ("G", model.generator)):
        network.register_forward_pre_hook(
            lambda module, _, player=player: used[player].append(next(module.parameters()).detach().numpy().tobytes())
        )
    rounds = []
    for step in range(80):
        before = weights(model)
        kept = [{name: tensor.clone() for name, tensor in each.items()} for each in made.older.snapshots]
        counts = dict(made.update.meter.counts)
        for each in used.values():
            each.clear()
        made.play_round(data(made))
        moved = changed(before, model)
        rounds.append(moved)
        if moved == {"D", "G"}:
            assert made.update.meter.counts["D"] == counts.get("D", 0) + 1
        else:
            assert step >= 10
            (older,) = {"D", "G"} - moved  # neither its weights nor its buffers differ after the round
            head = model.players[older][0]
            first = f"{head}.{next(name for name, _ in model.get_submodule(head).named_parameters())}"
            known = {each[first].numpy().tobytes() for each in kept}
            assert set(used[older]) <= known
            assert made.update.meter.counts == counts
        assert made.update.older is None
    faced = [moved for moved in rounds[10:] if len(moved) == 1]
    assert 20 < len(faced) < 50
    assert {"D"} in faced
    assert {"G"} in faced
    assert len(made.older.snapshots) == 2


def test_snapshots_end_where_networks_grow() -> None:
    model = {"growth": {"initial_resolution": 4, "stable_kimg": 0.016, "fade_kimg": 0.016}}
    made = trainer("progan", model, aids={"old_networks": 0.5, "old_networks_every": 1})
    counts = []
    for _ in range(9):
        made.play_round(data(made))
        counts.append(len(made.older.snapshots))
    assert counts == [1, 2, 2, 2, 1, 2, 2, 1, 2]  # 16 images at 4 px, less than 16 in the fade, then 8 px


# ---- resuming ---------------------------------------------------------------------------------------------

EVERYTHING = {"replay": 0.5, "replay_size": 6, "old_networks": 0.5, "old_networks_every": 2, "old_networks_kept": 3}


@pytest.mark.parametrize("name", ["cgan", "wgan"])
def test_runs_with_aids_resume_exactly(name: str) -> None:
    settings = {"aids": EVERYTHING, "turns": {"D": {"every": 2, "unit": "epochs"}}}
    whole, first, second = (trainer(name, **settings) for _ in range(3))

    def play(made: Trainer, steps: int) -> dict[str, bytes]:
        for _ in range(steps):
            made.play_round(data(made))
        return made.state.files()

    expected = play(whole, 12)
    assert "older-networks.safetensors" in expected
    second.state.load(play(first, 7))
    assert play(second, 5) == expected


def test_aids_can_be_changed_when_a_run_is_resumed() -> None:
    files = {}
    for aids in ({}, EVERYTHING):
        made = trainer("gan", aids=aids)
        for _ in range(6):
            made.play_round(data(made))
        files[bool(aids)] = made.state.files()
    assert "older-networks.safetensors" not in files[False]
    for before, after, filled, snapshots in (
        (False, EVERYTHING, 0, 0),
        (True, {}, None, 0),
        (True, {**EVERYTHING, "replay_size": 9, "old_networks_kept": 1}, 0, 1),
        (True, {**EVERYTHING, "replay": 0.1}, 6, 3),
    ):
        made = trainer("gan", aids=after)
        made.state.load(files[before])
        assert len(made.older.snapshots) == snapshots
        if filled is not None:
            assert made.architecture.replay.filled.sum() == filled
        made.play_round(data(made))
