"""How a player moves: freezing, accumulation, precision, clipping, turns, averaging."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from test_aids import data, trainer
from torch.utils._python_dispatch import TorchDispatchMode

from gancli.architectures.base import Batch, Loss
from gancli.architectures.dcgan import DCGAN
from gancli.registry import load_architecture
from gancli.schema import AveragingConfig, TrainConfig, TurnConfig
from gancli.testing import random_batches
from gancli.training.averaging import Averaging
from gancli.training.update import Update, make_players, network_names

CPU = torch.device("cpu")
CONFIG = DCGAN.Config(resolution=32, generator_width=4, discriminator_width=4, latent_dim=8)


def make(**train: Any) -> tuple[DCGAN, Update]:
    torch.manual_seed(0)
    config = TrainConfig(steps=100, batch=8, **train)
    model = DCGAN(CONFIG, config.aids).train()
    return model, Update(make_players(model, config, CPU), config, CPU)


def batches(n: int = 8) -> Iterator[Batch]:
    generator = torch.Generator().manual_seed(1)
    while True:
        yield Batch({"image": torch.rand(n, 3, 32, 32, generator=generator) * 2 - 1})


def changed(before: dict[str, torch.Tensor], model: DCGAN) -> set[str]:
    return {
        name.split(".")[0] for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])
    }


def weights(model: DCGAN) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def test_a_move_changes_the_mover_alone_and_leaves_no_gradient_elsewhere() -> None:
    model, update = make()
    batch = next(batches())
    before = weights(model)
    update.forward("G", model.draw_fakes, batch)
    assert changed(before, model) == set()
    update("D", model.d_loss, batch)
    assert changed(before, model) == {"discriminator"}
    assert all(parameter.grad is None for parameter in model.generator.parameters())
    before = weights(model)
    gradients = [parameter.grad.clone() for parameter in model.discriminator.parameters() if parameter.grad is not None]
    update("G", model.g_loss, batch)
    assert changed(before, model) == {"generator"}
    assert all(
        torch.equal(parameter.grad, gradient)
        for parameter, gradient in zip(model.discriminator.parameters(), gradients, strict=True)
        if parameter.grad is not None
    )


def test_accumulation_gives_the_gradient_of_the_whole_batch() -> None:
    # Without batch norm the mean over micro-batches is the mean over the batch.
    gradients = []
    for parts in (1, 4):
        model, update = make(accumulate=parts)
        model.eval()
        batch = next(batches())

        def loss(part: Batch, model: DCGAN = model) -> Loss:
            return Loss(model.discriminator(part.image).square().mean())

        update("D", loss, batch)
        gradients.append(torch.cat([p.grad.flatten() for p in model.discriminator.parameters() if p.grad is not None]))
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-7)


def test_micro_batches_keep_their_own_stash_from_loss_to_loss() -> None:
    model, update = make(accumulate=4)
    batch = next(batches())
    update.forward("G", model.draw_fakes, batch)
    parts = batch.split(4)
    assert [len(part) for part in parts] == [2, 2, 2, 2]
    assert [part.stash["fake"].shape[0] for part in parts] == [2, 2, 2, 2]
    assert parts[0] is batch.split(4)[0]
    assert not batch.stash


def test_the_meter_holds_means_over_micro_batches_under_their_names() -> None:
    model, update = make(accumulate=2)
    model.training_step(batches(), update)
    read = update.meter.read()
    assert read.keys() == {"D", "G", "D(x)", "D(G(z))"}
    assert 0 < read["D(x)"] < 1
    assert update.meter.counts["D"] == 2


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_precision_reaches_the_networks_and_the_weights_stay_fp32(precision: str, dtype: torch.dtype) -> None:
    model, update = make(precision=precision)
    seen = []

    def loss(batch: Batch) -> Loss:
        logits = model.discriminator(batch.image)
        seen.append(logits.dtype)
        return Loss(logits.float().square().mean())

    before = weights(model)
    update("D", loss, next(batches()))
    assert seen == [dtype]
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert changed(before, model) == {"discriminator"}


def test_an_overflow_in_fp16_skips_that_player_and_lowers_its_scale_alone() -> None:
    model, update = make(precision="fp16")
    before = weights(model)
    scale = update.players["D"].scaler.get_scale()
    update("D", lambda batch: Loss(model.discriminator(batch.image).float().mean() * 1e38), next(batches()))
    assert changed(before, model) == set()
    assert update.players["D"].scaler.get_scale() == scale / 2
    assert update.players["G"].scaler.get_scale() == scale


@pytest.mark.parametrize("options", [{}, {"precision": "fp16"}, {"precision": "fp16", "clip_gradients": 0.01}])
def test_the_watched_norm_is_that_of_the_true_gradient(options: dict[str, Any]) -> None:
    norms = []
    for given in ({}, options):
        model, update = make(**given)
        update.watched = True
        scores = model.discriminator
        update("D", lambda batch, scores=scores: Loss(scores(batch.image).float().mean() / 100), next(batches()))
        norms.append(update.meter.read()["watch D gradient"])
        if not given:
            found = torch.cat([p.grad.flatten() for p in model.discriminator.parameters() if p.grad is not None])
            assert norms[0] == pytest.approx(found.norm().item(), rel=1e-4)
    assert norms[0] > 0.01
    assert norms[1] == pytest.approx(norms[0], rel=0.05)


def test_gradients_are_clipped_to_the_norm() -> None:
    model, update = make(clip_gradients=0.01)
    update("D", lambda batch: Loss(model.discriminator(batch.image).square().mean() * 100), next(batches()))
    norm = torch.cat([p.grad.flatten() for p in model.discriminator.parameters() if p.grad is not None]).norm()
    assert norm.item() == pytest.approx(0.01, rel=1e-3)


def test_a_player_that_moves_every_third_round_is_measured_in_all() -> None:
    model, update = make(turns={"D": TurnConfig(every=3)})
    moved = []
    for step in range(6):
        update.begin(step, 0, 0.0, model.resolution)
        before = weights(model)
        model.training_step(batches(), update)
        moved.append(changed(before, model))
    both = {"discriminator", "generator"}
    assert moved == [both, {"generator"}, {"generator"}, both, {"generator"}, {"generator"}]
    assert update.meter.counts["D"] == update.meter.counts["G"] == 6


@pytest.mark.parametrize(
    ("turn", "losses", "moves"),
    [
        (TurnConfig(above=0.5), [1.0, 0.4, 0.6, 0.6], [True, True, False, True]),
        (TurnConfig(below=0.5), [0.4, 1.0, 0.6, 0.1, 0.1], [True, True, False, False, True]),
    ],
)
def test_a_player_rests_while_its_last_loss_is_out_of_bounds(
    turn: TurnConfig, losses: list[float], moves: list[bool]
) -> None:
    model, update = make(turns={"D": turn})
    found = []
    for step, value in enumerate(losses):
        update.begin(step, 0, 0.0, model.resolution)
        before = weights(model)

        def loss(batch: Batch, value: float = value) -> Loss:
            score = model.discriminator(batch.image).square().mean()
            return Loss(score - score.detach() + value)

        update("D", loss, next(batches()))
        found.append(bool(changed(before, model)))
    assert found == moves


def test_schedules_move_the_learning_rates_of_all_players() -> None:
    _, update = make(schedule={"kind": "linear", "start": 0.5})
    update.begin(0, 0, 0.75, 32)
    assert update.learning_rates() == {"D": pytest.approx(1e-4), "G": pytest.approx(1e-4)}


RAMP = {"start": 0.5, "end": 0.9, "kimg": 1}


@pytest.mark.parametrize(("images", "value"), [(0, 0.5), (250, 0.6), (500, 0.7), (1000, 0.9), (5000, 0.9)])
@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ({"kind": "sgd", "lr": {4: 0.1, 32: 0.2}, "momentum": RAMP}, lambda group: group["momentum"]),
        ({"kind": "adam", "lr": {4: 0.1, 32: 0.2}, "betas": (0.1, RAMP)}, lambda group: group["betas"][1]),
    ],
)
def test_a_step_begins_with_the_settings_that_hold_after_so_many_images(
    rule: dict[str, Any], found: Callable[[dict[str, Any]], float], images: int, value: float
) -> None:
    config = TrainConfig(steps=100, schedule={"kind": "milestones", "milestones": [0.5], "gamma": 0.1})
    model = DCGAN(DCGAN.Config(**{**dict(CONFIG), "optimizers": {"D": rule}}))
    update = Update(make_players(model, config, CPU), config, CPU)
    (group,) = update.players["D"].optimizer.param_groups
    assert found(group) == 0.5  # before the first step
    update.begin(7, images, 0.75, 16, epoch=3)
    assert (update.step, update.images_shown, update.epoch) == (7, images, 3)
    assert found(group) == pytest.approx(value)
    assert group["lr"] == pytest.approx(0.01)
    if rule["kind"] == "adam":
        assert group["betas"][0] == 0.1
    update.begin(8, images, 0.25, 32)
    assert group["lr"] == pytest.approx(0.2)
    (other,) = update.players["G"].optimizer.param_groups
    assert (other["lr"], other["betas"], other["eps"]) == (2e-4, (0.5, 0.999), 1e-8)


def test_a_run_reads_its_ramps_after_the_images_that_it_has_shown() -> None:
    half_life = {"start": 0.004, "end": 0.008, "kimg": 0.008}  # halved by a batch of 4, and by two after 8 images
    made = trainer(
        "wgan",  # two batches a step
        {"optimizers": {"G": {"kind": "sgd", "momentum": {"start": 0.0, "end": 0.5, "kimg": 0.016}}}},
        average={"half_life_kimg": half_life},
    )
    (group,) = made.players["G"].optimizer.param_groups
    weight = made.architecture.generator.layers[0].weight
    average = weight.detach().clone()
    for step in range(4):
        torch.nn.init.normal_(weight)
        made.play_round(data(made))
        assert group["momentum"] == min(0.5, step * 0.25)
        decay = 0.25 if step == 0 else 0.5
        average = weight.detach().clone() if step == 0 else decay * average + (1 - decay) * weight.detach()
        with made.averaging.applied():
            torch.testing.assert_close(made.architecture.generator.layers[0].weight, average)


def test_the_average_is_the_exponential_one_and_starts_as_a_copy() -> None:
    model = DCGAN(CONFIG)
    averaging = Averaging(model, AveragingConfig(decay=0.9, start=2))
    expected = None
    for step in range(1, 6):
        with torch.no_grad():
            for tensor in [*model.generator.parameters(), *model.generator.buffers()]:
                tensor.add_(1) if not tensor.is_floating_point() else tensor.add_(0.5).mul_(1.01)
        now = copy.deepcopy(model.generator.state_dict())
        averaging.update(step, 4)
        if step <= 3:  # steps 1 and 2 are plain copies, and the first average of step 3 begins with one
            expected = now if step <= 2 else expected
        if step >= 3:
            assert expected is not None
            expected = {
                key: 0.9 * expected[key] + 0.1 * value if value.is_floating_point() else value
                for key, value in now.items()
            }
        assert expected is not None
        with averaging.applied():
            for key, value in model.generator.state_dict().items():
                if value.is_floating_point():
                    torch.testing.assert_close(value, expected[key], rtol=1e-5, atol=1e-6)
        assert torch.equal(model.generator.layers[0].weight, now["layers.0.weight"])


class NoHostSync(TorchDispatchMode):
    """Refuses whatever reads a number out of a tensor: on a GPU that would wait for all work before it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default), func
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "options",
    [{}, {"precision": "bf16", "accumulate": 2, "clip_gradients": 1.0}, {"aids": {"replay": 0.5, "replay_size": 8}}],
)
def test_a_training_step_reads_nothing_from_the_device(options: dict[str, Any]) -> None:
    model, update = make(**options)
    update.watched = True
    with NoHostSync():
        model.training_step(batches(), update)
        with pytest.raises(AssertionError):
            next(model.parameters()).sum().item()


def test_a_second_loss_of_a_player_has_a_record_of_its_own_and_no_say_in_its_turns() -> None:
    model, update = make(turns={"D": TurnConfig(below=50)})
    update("D", lambda batch: Loss(model.discriminator(batch.image).square().mean()), next(batches()))
    update("D", lambda batch: Loss(model.discriminator(batch.image).mean() * 0 + 1000), next(batches()), record="R1")
    assert update.meter.read()["R1"] == 1000
    assert update.meter.read()["D"] < 50
    assert update.players["D"].loss is not None
    assert update.players["D"].loss.item() < 50


def test_networks_that_nobody_moves_are_frozen() -> None:
    model = DCGAN(CONFIG)
    model.features = torch.nn.Linear(2, 2)
    make_players(model, TrainConfig(steps=1), CPU)
    assert not any(parameter.requires_grad for parameter in model.features.parameters())
    assert network_names(model) == ["generator", "discriminator"]


@pytest.mark.parametrize(("architecture", "sets"), [("progan", {}), ("stylegan", {}), ("stylegan", {"r1_every": 2})])
def test_a_resting_player_measures_its_penalty_and_stays_as_it_is(architecture: str, sets: dict[str, int]) -> None:
    kind = load_architecture(architecture)
    sizes = {"resolution": 16, "width": 32, "max_width": 8, "latent_dim": 8, **sets}
    torch.manual_seed(0)
    model = kind(kind.Config(**sizes, **({"style_dim": 8} if architecture == "stylegan" else {}))).train()
    config = TrainConfig(steps=100, batch=4, turns={"D": TurnConfig(every=4)})
    update = Update(make_players(model, config, CPU), config, CPU)
    data = random_batches(model.inputs(model.config), 4)  # type: ignore[arg-type]
    for step in (1, 2):
        before = weights(model)  # type: ignore[arg-type]
        update.begin(step, 4 * step, 0.0, model.resolution)
        model.training_step(data, update)
        assert "discriminator" not in changed(before, model)  # type: ignore[arg-type]
        assert changed(before, model)  # type: ignore[arg-type]
    penalty = update.meter.read()["gp" if architecture == "progan" else "R1"]
    assert penalty > 0
