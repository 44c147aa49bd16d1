"""What the contract carries for papers to come: kinds of data, optimizers, styles, settled averages."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_testing import SMALL_MODELS, VARIANTS
from torch import Tensor, nn
from toys import Attributes, Layouts, Spectral, Toy2D

from gancli import config as configuration
from gancli.architectures.base import Architecture, Batch
from gancli.architectures.cdcgan import CDCGAN
from gancli.architectures.gan_toy import GANToy
from gancli.architectures.pix2pix import Pix2Pix
from gancli.errors import GancliError
from gancli.nn.norm import batch_norms
from gancli.registry import load_architecture
from gancli.schema import AveragingConfig, ModelConfig, RunConfig, TrainConfig
from gancli.testing import check_architecture, random_batches
from gancli.training.averaging import Averaging, settled
from gancli.training.length import estimated_length, portions
from gancli.training.plan import make_plan
from gancli.training.session import check_train
from gancli.training.state import Progress, RunState
from gancli.training.trainer import Trainer
from gancli.training.update import Update, make_players

CPU = torch.device("cpu")
TOYS = [Toy2D, Spectral, Attributes, Layouts]


def run_config(model: ModelConfig, **train: Any) -> RunConfig:
    return RunConfig(architecture="toy", model=model, train=TrainConfig(**{"steps": 4, "batch": 4, **train}))


class Endless:
    """As much of a pipeline as a trainer asks for: noise in the shapes of the inputs."""

    length, classes = 100, ("a", "b", "c")

    def __init__(self, architecture: Architecture) -> None:
        self.inputs = architecture.inputs(architecture.config)
        self.domains = tuple(self.inputs.domains)


@pytest.mark.parametrize("toy", TOYS)
def test_check_architecture_knows_every_kind_of_data(toy: type[Architecture]) -> None:
    check_architecture(toy)


@pytest.mark.parametrize("toy", TOYS)
def test_a_plan_counts_every_kind_of_data_and_optimizer(toy: type[Architecture]) -> None:
    config = toy.Config(classes=3) if toy in (Spectral, Attributes) else toy.Config()
    model = toy(config)
    plan = make_plan(model, run_config(config), epoch=100)
    moved = {name: sum(p.numel() for p in model.get_submodule(name).parameters()) for name in plan.parameters}
    assert dict(plan.parameters) == moved
    assert plan.memory.activations is not None
    # Adam keeps two moments of each weight, RMSprop and SGD with momentum one; steps are counted besides.
    moments = 1 if toy is Toy2D else 2
    assert plan.memory.optimizers == pytest.approx(4 * moments * sum(moved.values()), abs=200)
    assert plan.epochs == 4 * 4 * model.draws / 100


@pytest.mark.parametrize("replay", [0.0, 0.5])
def test_a_plan_counts_snapshots_of_the_networks(replay: float) -> None:
    aids = {"replay": replay, "replay_size": 8}

    def weights(**more: float) -> int:
        config = run_config(GANToy.Config(width=8), aids={**aids, **more})
        return make_plan(GANToy(config.model, config.train.aids), config, epoch=100).memory.weights

    networks = GANToy(GANToy.Config(width=8)).state_dict().values()
    size = 4 * sum(tensor.numel() for tensor in networks)
    pool = (8 * 2 * 4 + 8) if replay else 0  # points of two numbers, and which places are filled
    assert weights() == weights(old_networks_kept=3) == size + pool
    assert weights(old_networks=0.5) == 3 * size + pool  # of two snapshots
    assert weights(old_networks=0.5, old_networks_kept=5) == 6 * size + pool


def test_what_needs_another_player_is_refused() -> None:
    class Alone(GANToy):
        players = {"G": ("generator", "discriminator")}

    alone, both = Alone(Alone.Config()), GANToy(GANToy.Config())
    plain, older, noise = (
        TrainConfig(steps=1, aids=aids) for aids in ({}, {"old_networks": 0.1}, {"instance_noise": 0.1})
    )
    for train in (plain, older, noise):
        check_train(both, train)
    check_train(alone, plain)
    for train, said in ((older, "old_networks needs two players"), (noise, "no player of this architecture is called")):
        with pytest.raises(GancliError, match=said) as caught:
            check_train(alone, train)
        assert caught.value.hint.endswith("=0")


def test_lengths_count_every_batch_that_a_step_draws() -> None:
    model = Toy2D(Toy2D.Config(critic_steps=5))
    epochs = TrainConfig(epochs=3, batch=10)
    drawn = portions(model, epochs)
    assert estimated_length(epochs, 100, drawn, model)[0] == 6  # 300 images, 50 a step
    assert estimated_length(TrainConfig(kimg=1, batch=10), 100, drawn, model, step=2, images_shown=100)[0] == 20
    assert estimated_length(TrainConfig(steps=7, batch=10), 100, drawn, model)[1] == 350


@pytest.mark.parametrize("kimg", [0.1, 10, 10.02, 30, 100])
def test_lengths_count_the_warm_up(kimg: float) -> None:
    """100 batches of 4 images in each of 25 steps and in every 500th, else 5."""
    model = load_architecture("wgan")(configuration.resolve("wgan-mnist").model)
    train = TrainConfig(kimg=kimg, batch=4)
    estimated = estimated_length(train, 100, portions(model, train), model)[0]
    shown = counted = 0
    while shown < kimg * 1000:
        shown += 4 * (100 if counted < 25 or counted % 500 == 0 else 5)
        counted += 1
    assert estimated == pytest.approx(counted, rel=0.02)


def test_each_player_has_the_optimizer_of_its_rule() -> None:
    players = make_players(Toy2D(Toy2D.Config()), TrainConfig(steps=1), CPU)
    critic, generator = players["D"].optimizer, players["G"].optimizer
    assert isinstance(critic, torch.optim.RMSprop)
    assert isinstance(generator, torch.optim.SGD)
    assert (critic.param_groups[0]["lr"], critic.param_groups[0]["alpha"]) == (5e-5, 0.99)
    assert generator.param_groups[0]["momentum"] == 0.5


@pytest.mark.parametrize("toy", TOYS)
def test_a_run_resumes_exactly_whatever_its_data_and_optimizers(toy: type[Architecture]) -> None:
    config = toy.Config(classes=3) if toy in (Spectral, Attributes) else toy.Config()
    run = run_config(config, average={"decay": 0.9})

    def trainer() -> Trainer:
        torch.manual_seed(0)
        model = toy(config)
        return Trainer(model, run, Endless(model), CPU)  # type: ignore[arg-type]

    def play(made: Trainer, steps: int) -> dict[str, bytes]:
        for _ in range(steps):
            made.play_round(random_batches(made.pipeline.inputs, 4))  # type: ignore[attr-defined]
        return made.state.files()

    whole, first, second = trainer(), trainer(), trainer()
    expected = play(whole, 4)
    second.state.load(play(first, 2))
    assert play(second, 2) == expected


# ---- settled averages --------------------------------------------------------------------------------------


def train_spectral(steps: int) -> tuple[Spectral, Averaging]:
    """A generator whose weights Adam moves about, and its average."""
    torch.manual_seed(0)
    model = Spectral(Spectral.Config(classes=3)).train()
    averaging = Averaging(model, AveragingConfig(decay=0.99))
    optimizer = torch.optim.Adam(model.generator.parameters(), lr=0.03)
    for step in range(1, steps + 1):
        z, labels = torch.randn(16, 4), torch.randint(3, (16,))
        optimizer.zero_grad()
        (model.decode(z, labels) - torch.randn(16, 1, 4, 4).sign()).square().mean().backward()
        optimizer.step()
        averaging.update(step, 16)
    return model, averaging


def norms(network: nn.Module) -> list[float]:
    network.eval()
    return [torch.linalg.matrix_norm(layer.weight, 2).item() for layer in network if isinstance(layer, nn.Linear)]


def test_the_spectral_norm_of_an_averaged_network_is_one_where_it_is_used() -> None:
    model, averaging = train_spectral(400)
    with settled(model, averaging) as unsettled:
        assert norms(model.generator) == pytest.approx([1, 1], abs=0.05)
    assert {name.rpartition(".")[2] for name in unsettled} == {"_u", "_v"}
    # What AveragedModel alone would hold: averages of the vectors.
    with averaging.applied():
        for name, vector in unsettled.items():
            assert vector.norm() == pytest.approx(1, abs=1e-5), name


def test_batch_norms_of_an_averaged_network_have_the_statistics_of_its_own_images() -> None:
    torch.manual_seed(0)
    model = CDCGAN(CDCGAN.Config(classes=3, resolution=16, generator_width=8, discriminator_width=8)).train()
    averaging = Averaging(model, AveragingConfig(decay=0.99))
    optimizer = torch.optim.Adam(model.generator.parameters(), lr=0.01)
    for step in range(1, 61):
        fake, _ = model.draw_fakes(Batch({"image": torch.zeros(16, 1, 16, 16)}))
        optimizer.zero_grad()
        (fake - 0.5).square().mean().backward()
        optimizer.step()
        averaging.update(step, 16)

    def worst() -> float:
        """The largest logarithm of a channel's true variance over the one that its batch norm divides by."""
        ratios: list[Tensor] = []
        hooks = [
            norm.register_forward_hook(lambda norm, x, _: ratios.append((x[0].var((0, 2, 3)) / norm.running_var).log()))
            for norm in batch_norms(model.generator)
        ]
        model.eval()
        with torch.no_grad():
            model.decode(model.latents(900), torch.arange(900) % 3)
        for hook in hooks:
            hook.remove()
        return torch.cat(ratios).abs().max().item()

    random = torch.get_rng_state()
    with settled(model, averaging) as unsettled:
        assert torch.equal(torch.get_rng_state(), random)
        right = worst()
    assert {name.rpartition(".")[2] for name in unsettled} == {"running_mean", "running_var", "num_batches_tracked"}
    with averaging.applied():
        wrong = worst()
    assert right < 0.1 < 2 < wrong


def test_settling_for_a_model_file_changes_nothing_for_the_run() -> None:
    model, averaging = train_spectral(20)
    with averaging.applied():
        before = {name: value.clone() for name, value in model.state_dict().items()}
    progress = Progress(images=10, domains=["image"])
    update = Update(make_players(model, TrainConfig(steps=1), CPU), TrainConfig(steps=1), CPU)
    state = RunState(run_config(model.config), model, update, averaging, progress, ("a", "b", "c"))
    files = state.files()
    with averaging.applied():
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    state.load(files)  # the settled vectors are in the model file, the others come back for the run
    with averaging.applied():
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert state.files() == files


# ---- who gets what -----------------------------------------------------------------------------------------


def test_instance_noise_falls_on_the_judged_image_and_not_on_its_condition() -> None:
    config = configuration.resolve(
        "pix2pix",
        sets=["model.resolution=32", "model.generator_width=2", "train.batch=2", "train.aids.instance_noise=0.5"],
    )
    torch.manual_seed(0)
    model = Pix2Pix(config.model)  # type: ignore[arg-type]
    trainer = Trainer(model, config, Endless(model), CPU)  # type: ignore[arg-type]
    seen: list[Tensor] = []
    model.discriminator.layers.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    batch = next(random_batches(model.inputs(config.model), 2))
    trainer.play_round(iter([batch]))
    x, y = batch.images["A"], batch.images["B"]
    assert len(seen) == 3  # fake and real for D, fake for G
    assert all(torch.equal(pair[:, :3], x) for pair in seen)
    noise = seen[1][:, 3:] - y
    assert 0.4 < noise.std() < 0.6


@pytest.mark.parametrize("name", SMALL_MODELS)
def test_networks_whose_gradients_are_differentiated_are_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, found = load_architecture(name), set()
    differentiate = torch.autograd.grad

    def noticed(*args: Any, **given: Any) -> Any:
        gradients = differentiate(*args, **given)
        if given.get("create_graph"):
            found.update(names[weight].partition(".")[0] for weight in leaves(*gradients) if weight in names)
        return gradients

    monkeypatch.setattr(torch.autograd, "grad", noticed)
    for keys in ({}, *(keys for other, keys in VARIANTS if other == name)):
        config = configuration.validate_model(name, SMALL_MODELS[name] | keys)
        inputs = kind.inputs(config)
        if inputs.labels == "class" and inputs.classes is None:
            config = config.model_copy(update={"classes": 3})
        model = kind(config)
        names = {weight: key for key, weight in model.named_parameters()}
        train = TrainConfig(steps=100, batch=4)
        update = Update(make_players(model, train, CPU), train, CPU)
        update.begin(0, 0, 0.0, model.resolution)
        model.training_step(random_batches(model.inputs(model.config)), update)
    assert found == set(kind.second_order)


def leaves(*tensors: Tensor) -> set[Tensor]:
    """The tensors that gradients can reach."""
    nodes = [tensor.grad_fn for tensor in tensors]
    seen = set(nodes)
    for node in nodes:  # grows
        further = {after for after, _ in getattr(node, "next_functions", ())} - seen
        seen |= further
        nodes += further
    return {node.variable for node in seen if hasattr(node, "variable")}


@pytest.mark.parametrize("name", ["progan", "stylegan"])
def test_networks_with_penalties_are_not_compiled_and_it_is_said(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # aot_eager has the limits of the default backend on derivatives, without a C++ compiler.
    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function: compiled(function, backend="aot_eager"))
    kind = load_architecture(name)
    sizes = {"resolution": 8, "width": 16, "latent_dim": 4, **({"style_dim": 4} if name == "stylegan" else {})}
    model = kind(kind.Config(**sizes))
    run = RunConfig(architecture=name, model=model.config, train=TrainConfig(steps=4, batch=4, compile=True))
    trainer = Trainer(model, run, Endless(model), CPU)  # type: ignore[arg-type]
    inputs = model.inputs(model.config)
    small = Batch({"image": torch.zeros(4, 3, model.resolution, model.resolution)})
    assert inputs.domains["image"].shape == (3, 8, 8)
    trainer.play_round(iter([small]))
    trainer.update.meter.read()
    assert "not compiled: discriminator" in capsys.readouterr().err
