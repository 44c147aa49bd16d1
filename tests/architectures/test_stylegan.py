"""StyleGAN: published sizes, the scale of activations, fades, mixing, the mean of w, truncation, noise, R1, classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from math import sqrt

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from gancli.architectures.base import Batch, Loss
from gancli.architectures.progan import EqualizedConv2d, EqualizedLinear, upsample
from gancli.architectures.stylegan import StyleGAN, blur
from gancli.nn.stage import Stage
from gancli.schema import TrainConfig
from gancli.testing import check_architecture
from gancli.training.update import make_players

SMALL = {"resolution": 16, "latent_dim": 8, "style_dim": 6, "mapping_layers": 2, "width": 32, "max_width": 8}


def small(**changes: object) -> StyleGAN:
    torch.manual_seed(0)
    return StyleGAN(StyleGAN.Config(**SMALL | changes))


def noisy(model: StyleGAN) -> StyleGAN:
    for name, parameter in model.named_parameters():
        if "noise_strength" in name:
            nn.init.constant_(parameter, 0.5)
    return model


def root_mean_square(x: Tensor) -> float:
    return x.square().mean().sqrt().item()


@pytest.mark.parametrize("changes", [{"classes": 3}, {"r1_every": 4}])
def test_it_keeps_the_contract(changes: dict[str, int]) -> None:
    check_architecture(StyleGAN, StyleGAN.Config(**SMALL | changes))


def test_published_parameter_counts() -> None:
    with torch.device("meta"):
        model = StyleGAN(StyleGAN.Config())
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in model.named_children()}
    assert counts == {"mapping": 2_101_248, "synthesis": 24_118_379, "discriminator": 23_087_249}
    assert counts["mapping"] + counts["synthesis"] == 26_219_627  # table 1 of the paper: 26.2M
    assert model.layers == 18


@pytest.mark.parametrize("resolution", [8, 32])
def test_every_layer_keeps_the_scale_of_activations(resolution: int) -> None:
    torch.manual_seed(0)
    sizes = {"latent_dim": 64, "style_dim": 64, "width": 1024, "max_width": 64}
    model = StyleGAN(StyleGAN.Config(resolution=resolution, **sizes))
    gains: dict[str, float] = {}
    scales: dict[str, float] = {}

    def measure(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            gains[name] = root_mean_square(output) / root_mean_square(inputs[0])
            scales[name] = root_mean_square(output)

        return hook

    for name, layer in [*model.mapping.named_modules(), *model.synthesis.named_modules()]:
        if isinstance(layer, EqualizedLinear | EqualizedConv2d) or name.endswith("epilogue"):
            layer.register_forward_hook(measure(name))
    with torch.no_grad():
        w = model.map(torch.randn(64, 64))
        image = model.synthesize(model.truncate(w))
    # lr_mul divides the drawn weights and multiplies them again; eight layers keep the scale.
    assert 0.7 < root_mean_square(w) < 1.4
    assert image.shape == (64, 3, resolution, resolution)
    for name, gain in gains.items():
        if "style" in name:
            assert gain == pytest.approx(1, rel=0.15), name
        elif "conv" in name:
            size = 3 * 4 * 2 ** (int(name.split(".")[1]) // 2)  # see the test of ProGAN
            assert gain == pytest.approx(sqrt(2) * (size - 2) / size, rel=0.1), name
        elif "to_rgb" in name:
            assert gain == pytest.approx(1, rel=0.35), name
        elif name == "layers.0.epilogue":
            # A constant has no variation: what is left is the shift.
            assert scales[name] == pytest.approx(root_mean_square(w), rel=0.15)
        elif "epilogue" in name:
            # Normalised x, times 1 + a scale, plus a shift, both with the scale of w.
            assert scales[name] == pytest.approx(sqrt(1 + 2 * root_mean_square(w) ** 2), rel=0.15), name
        else:
            assert gain == pytest.approx(sqrt(2), rel=0.15), name


# ---- the synthesis network ---------------------------------------------------------------------------------


def test_fades_of_the_generator_begin_and_end_at_its_stages() -> None:
    model = noisy(small()).double()
    ws, noise = torch.randn(3, 6, 6, dtype=torch.float64), model.synthesis.constant_noise()
    begun = model.synthesis(ws, noise, Stage(16, 0.0))
    ended = model.synthesis(ws, noise, Stage(16, 1 - 1e-12))
    torch.testing.assert_close(begun, upsample(model.synthesis(ws, noise, Stage(8))))
    torch.testing.assert_close(ended, model.synthesis(ws, noise, Stage(16)))
    torch.testing.assert_close(model.synthesis(ws, noise, Stage(16, 0.5)), (begun + ended) / 2)


def test_an_epilogue_adds_noise_bends_normalises_and_styles_in_this_order() -> None:
    model = noisy(small()).double()
    x, w, noise = (torch.randn(*shape, dtype=torch.float64) for shape in ((2, 8, 4, 4), (2, 6), (2, 1, 4, 4)))
    epilogue = model.synthesis.layers[1].epilogue
    y = F.leaky_relu(x + 0.5 * noise, 0.2)
    y = (y - y.mean(dim=(2, 3), keepdim=True)) / (y.var(dim=(2, 3), correction=0, keepdim=True) + 1e-8).sqrt()
    style = F.linear(w, epilogue.style.weight / sqrt(6), epilogue.style.bias)
    expected = y * (1 + style[:, :8, None, None]) + style[:, 8:, None, None]
    torch.testing.assert_close(epilogue(x, w, noise), expected)


@pytest.mark.parametrize("before", [False, True])
def test_the_bias_before_or_after_the_blur_differs_at_the_border_only(before: bool) -> None:
    model = small(bias_before_blur=before).double()
    layer = model.synthesis.layers[2]
    nn.init.normal_(layer.bias)
    seen: list[Tensor] = []
    layer.epilogue.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.randn(1, 8, 4, 4, dtype=torch.float64)
    layer(x, torch.randn(1, 6, dtype=torch.float64), None)
    convolved, bias = layer.conv(x), layer.bias.view(1, -1, 1, 1)
    torch.testing.assert_close(seen[0], blur(convolved + bias) if before else blur(convolved) + bias)
    difference = (seen[0] - blur(convolved) - bias).abs()
    assert (difference[:, :, 1:-1, 1:-1] < 1e-12).all()
    assert bool(difference.max() > 1e-3) == before


def test_noise_is_constant_absent_or_given() -> None:
    model = noisy(small())
    ws = model.truncate(model.map(model.latents(2, torch.Generator().manual_seed(0))))
    constant, none = model.synthesize(ws), model.synthesize(ws, "none")
    assert torch.equal(constant, model.synthesize(ws, "const"))
    assert torch.equal(constant, model.synthesize(ws, model.synthesis.constant_noise()))
    zeros = [torch.zeros(1, 1, size, size) for size in (4, 4, 8, 8, 16, 16)]
    assert torch.equal(none, model.synthesize(ws, zeros))
    drawn = model.draw_noise(2, torch.Generator().manual_seed(3))
    assert [list(layer.shape) for layer in drawn] == [[2, 1, size, size] for size in (4, 4, 8, 8, 16, 16)]
    assert all(
        torch.equal(a, b) for a, b in zip(drawn, model.draw_noise(2, torch.Generator().manual_seed(3)), strict=True)
    )
    images = [constant, none, model.synthesize(ws, drawn)]
    assert all(
        not torch.allclose(a, b) for a, b in ((images[0], images[1]), (images[1], images[2]), (images[0], images[2]))
    )
    # At the beginning noise has no strength.
    fresh = small()
    assert torch.equal(fresh.synthesize(ws), fresh.synthesize(ws, "none"))
    # The noise is a part of the model, and of every model another.
    assert torch.equal(fresh.synthesis.noise_3, model.state_dict()["synthesis.noise_3"])
    assert not torch.equal(StyleGAN(model.config).synthesis.noise_3, model.synthesis.noise_3)


def test_truncation_pulls_towards_the_mean() -> None:
    model = small()
    model.mapping.mean.copy_(torch.randn(6))
    w = model.map(model.latents(3, torch.Generator().manual_seed(0)))
    each, mean = w[:, None].expand(-1, 6, -1), model.mean_w
    assert torch.equal(model.truncate(w), each)
    assert torch.equal(model.truncate(w, 1.0, 2), each)
    torch.testing.assert_close(model.truncate(w, 0.0), mean.expand(3, 6, -1))
    torch.testing.assert_close(model.truncate(w, -1.0), 2 * mean - each)
    cut = model.truncate(w, 0.5, 2)
    torch.testing.assert_close(cut[:, :2], (each[:, :2] + mean) / 2)
    torch.testing.assert_close(cut[:, 2:], each[:, 2:])
    ws = torch.randn(3, 6, 6)
    torch.testing.assert_close(model.truncate(ws, 0.7), mean + 0.7 * (ws - mean))
    assert torch.equal(model.decode(z := torch.randn(2, 8)), model.synthesize(model.truncate(model.map(z))))


# ---- training ----------------------------------------------------------------------------------------------


def cutoffs(model: StyleGAN, draws: int) -> Counter[int]:
    """Counts from which layer on fakes take another style: the number of layers present where they take one only."""
    ws_given: list[Tensor] = []
    model.synthesis.register_forward_pre_hook(lambda _, inputs: ws_given.append(inputs[0]))
    batch = Batch({"image": torch.zeros(2, 3, 8, 8)})
    counts: Counter[int] = Counter()
    with torch.no_grad():
        for _ in range(draws):
            model.draw_fakes(batch)
            ws = ws_given.pop()
            same = (ws == ws[:, :1]).all(dim=2).all(dim=0).tolist()
            cutoff = same.index(False) if False in same else len(same)
            assert same == [layer < cutoff for layer in range(len(same))]
            assert torch.equal(ws[:, cutoff:], ws[:, -1:].expand(-1, len(same) - cutoff, -1))
            counts[cutoff] += 1
    return counts


@pytest.mark.parametrize("stage", [Stage(8, 0.2), Stage(8)])
def test_styles_are_mixed_within_the_present_depth(stage: Stage) -> None:
    model = small(mixing=0.9)
    model.stage = stage
    counts = cutoffs(model, 200)
    assert set(counts) == {1, 2, 3, 4}
    assert 0.04 < counts[4] / 200 < 0.16  # not mixed
    assert all(0.2 < counts[cutoff] / 200 < 0.4 for cutoff in (1, 2, 3))


def test_mixing_always_or_never() -> None:
    model = small(mixing=0.0)
    model.stage = Stage(8)
    assert set(cutoffs(model, 30)) == {4}
    model = small(mixing=1.0)
    model.stage = Stage(8)
    assert set(cutoffs(model, 30)) == {1, 2, 3}


def test_the_mean_of_w_follows_the_first_latents_of_each_batch() -> None:
    model = small(mean_decay=0.9)
    made: list[Tensor] = []
    model.mapping.register_forward_hook(lambda _, __, output: made.append(output.detach()))
    old = torch.randn(6)
    model.mapping.mean.copy_(old)
    batch = Batch({"image": torch.zeros(5, 3, 16, 16)})
    for loss in (model.d_loss, model.g_loss):
        made.clear()
        loss(batch)
        old = 0.9 * old + 0.1 * made[0].mean(dim=0)
        torch.testing.assert_close(model.mean_w, old)
    assert StyleGAN.Config().mean_decay == 0.995


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("stage", [Stage(8, 0.4), Stage(16)])
def test_losses_equal_their_formulas(stage: Stage, classes: int) -> None:
    model = small(r1_gamma=3.0, classes=classes).double()
    model.stage = stage
    real = torch.randn(4, 3, stage.resolution, stage.resolution, dtype=torch.float64)
    fake = torch.randn_like(real)
    labels = torch.tensor([0, 2, 1, 1]) if classes else None
    batch = Batch({"image": real}, labels)
    object.__setattr__(model, "draw_fakes", lambda _: fake)
    found, of_g = model.d_loss(batch), model.g_loss(batch)

    def scores(images: Tensor) -> Tensor:
        outputs = model.discriminator(images, stage)
        picked = labels if labels is not None else torch.zeros(4, dtype=torch.int64)
        return outputs[torch.arange(4), picked]  # Mescheder et al. 2018: of the label's output only

    shown = real
    if stage.fade < 1:
        shown = stage.fade * real + (1 - stage.fade) * upsample(F.avg_pool2d(real, 2))
    shown = shown.detach().requires_grad_()
    of_reals = scores(shown)
    (gradient,) = torch.autograd.grad(of_reals.sum(), shown, retain_graph=True)
    # As official networks see it: repeated to the full size, see the test of ProGAN.
    ratio = 16 // stage.resolution
    repeated = gradient.repeat_interleave(ratio, 2).repeat_interleave(ratio, 3) / ratio**2
    r1 = repeated.square().sum(dim=(1, 2, 3)).mean()
    torch.testing.assert_close(found.parts["R1"], r1)
    sigmoid_of_reals, sigmoid_of_fakes = of_reals.sigmoid(), scores(fake).sigmoid()
    expected = -(sigmoid_of_reals.log() + (1 - sigmoid_of_fakes).log()).mean() + 3 / 2 * r1
    torch.testing.assert_close(found.total, expected)
    torch.testing.assert_close(of_g.total, -sigmoid_of_fakes.log().mean())
    # Once every r1_every steps it weighs as much more.
    lazy = small(r1_gamma=3.0, r1_every=8, classes=classes).double()
    lazy.stage = stage
    torch.testing.assert_close(lazy.r1_loss(batch).total, 8 * 3 / 2 * r1)
    torch.testing.assert_close(lazy.r1_loss(batch).parts["R1"], r1)  # recorded as without laziness
    object.__setattr__(lazy, "draw_fakes", lambda _: fake)
    torch.testing.assert_close(lazy.d_loss(batch).total, expected - 3 / 2 * r1)
    assert "R1" not in lazy.d_loss(batch).parts


class Recorder:
    """An update that only writes down who would have moved."""

    def __init__(self) -> None:
        self.step = 0
        self.images_shown = 0
        self.moves: list[tuple[int, str, str]] = []

    def __call__(
        self, player: str, loss_function: Callable[[Batch], Loss], batch: Batch, *, record: str | None = None
    ) -> None:
        self.moves.append((self.step, player, loss_function.__name__))

    def forward(self, player: str, function: Callable[[Batch], None], batch: Batch) -> None:
        raise AssertionError("nothing is drawn beforehand")


def batches() -> Iterator[Batch]:
    while True:
        yield Batch({"image": torch.zeros(2, 3, 16, 16)})


@pytest.mark.parametrize(("every", "steps_with_r1"), [(1, []), (3, [0, 3, 6])])
def test_the_order_of_play(every: int, steps_with_r1: list[int]) -> None:
    model, update = small(r1_every=every), Recorder()
    for step in range(7):
        update.step = step
        model.training_step(batches(), update)
    expected = []
    for step in range(7):
        expected += [(step, "D", "d_loss")]
        expected += [(step, "D", "r1_loss")] * (step in steps_with_r1)
        expected += [(step, "G", "g_loss")]
    assert update.moves == expected


def test_lazy_r1_slows_adam_down() -> None:
    optimizers = {"D": {"lr": {4: 1e-3, 8: 2e-3}, "betas": (0.5, 0.99)}, "G": {"lr": 1e-3, "betas": (0.0, 0.99)}}
    eager, lazy = (small(r1_every=every, optimizers=optimizers) for every in (1, 16))
    assert eager.optimizers()["D"].rule == eager.config.optimizers.D
    adam = lazy.optimizers()["D"].rule
    assert adam.lr == pytest.approx({4: 1e-3 * 16 / 17, 8: 2e-3 * 16 / 17})
    assert adam.betas == pytest.approx((0.5 ** (16 / 17), 0.99 ** (16 / 17)))
    assert lazy.optimizers()["G"].rule == lazy.config.optimizers.G
    one = small(r1_every=4)
    assert one.optimizers()["D"].rule.lr == pytest.approx(1e-3 * 4 / 5)
    players = make_players(one, TrainConfig(steps=1, batch=2), torch.device("cpu"))
    assert players["D"].optimizer.param_groups[0]["betas"] == pytest.approx((0.0, 0.99**0.8))


# ---- classes and sizes -------------------------------------------------------------------------------------


def test_classes_as_indices_and_as_weights_are_the_same() -> None:
    model = small(classes=3)
    z, labels = model.latents(3, torch.Generator().manual_seed(0)), torch.tensor([2, 0, 2])
    weights = F.one_hot(labels, 3).float()
    assert torch.equal(model.map(z, labels), model.map(z, weights))
    assert not torch.equal(model.map(z, labels), model.map(z, torch.tensor([1, 0, 2])))
    assert torch.equal(model.decode(z, labels), model.decode(z, weights))
    images = torch.randn(3, 3, 16, 16)
    assert torch.equal(model.judge(images, labels), model.judge(images, weights))
    outputs = model.discriminator(images, model.stage)
    assert torch.equal(model.judge(images, labels), outputs[torch.arange(3), labels])
    # The class is a vector beside the latent, and both are normalised together.
    x = torch.cat([z, model.mapping.embedding[labels]], dim=1)
    x = x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    for layer in model.mapping.layers:
        x = F.leaky_relu(layer(x), 0.2)
    torch.testing.assert_close(model.map(z, labels), x)


def test_labels_of_the_data_are_ignored_without_classes() -> None:
    model = small()
    losses = []
    for given in (None, torch.tensor([0, 1, 2, 3])):
        torch.manual_seed(1)
        batch = Batch({"image": torch.randn(4, 3, 16, 16)}, given)
        losses.append((model.d_loss(batch).total, model.g_loss(batch).total))
    assert losses[0] == losses[1]


def test_images_of_every_stage_have_the_full_size() -> None:
    model = small()
    z = model.latents(2, torch.Generator().manual_seed(0))
    stages = []
    for images_shown in (0, 700_000, 1_300_000, 10**8):
        model.stage = model.stage_at(images_shown)
        stages.append(model.stage)
        images = model.decode(z)
        assert images.shape == (2, 3, 16, 16)
        assert images.abs().max() <= 1
    assert stages == [Stage(8), Stage(16, 1 / 6), Stage(16), Stage(16)]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"resolution": 48}, "power of two"),
        ({"growth": {"initial_resolution": 12}}, "power of two"),
        ({"resolution": 4}, "growth begins at 8 px"),
        ({"mean_decay": 1.0}, "less than 1"),
    ],
)
def test_sizes_that_networks_cannot_grow_to_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        StyleGAN.Config.model_validate(wrong)
