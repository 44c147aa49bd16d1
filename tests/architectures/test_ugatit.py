"""U-GAT-IT's norms against their formulas, and its order of play."""

from __future__ import annotations

from math import log1p

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from gancli.architectures.base import Batch, Way
from gancli.architectures.ugatit import LIN, UGATIT, AdaLIN, Discriminator, Generator
from gancli.schema import TrainConfig
from gancli.training.update import Update, make_players

CPU = torch.device("cpu")
AB, BA = Way("A", "B"), Way("B", "A")
SMALL = {
    "resolution": 32,
    "generator_width": 2,
    "discriminator_width": 2,
    "residual_blocks": 1,
    "local_layers": 3,
    "global_layers": 5,
}


def small(**settings: object) -> UGATIT:
    torch.manual_seed(0)
    return UGATIT(UGATIT.Config(**{**SMALL, **settings}))


def noise(batch: int = 1, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch({domain: torch.rand(batch, 3, 32, 32, generator=generator) * 2 - 1 for domain in ("A", "B")})


def step(model: UGATIT, batch: Batch) -> dict[str, float]:
    config = TrainConfig(steps=2, batch=len(batch))
    update = Update(make_players(model, config, CPU), config, CPU)
    model.training_step(iter([batch]), update)
    return update.meter.read()


def test_published_parameter_counts() -> None:
    # Counted on the official networks with ch 64, n_res 4, 256 px.
    def count(network: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in network.parameters())

    with torch.device("meta"):
        assert count(Generator(3, 64, 4, 256, light=False)) == 278_959_808
        assert count(Generator(3, 64, 4, 256, light=True)) == 10_589_888
        assert count(Discriminator(3, 64, 5)) == 3_290_560
        assert count(Discriminator(3, 64, 7)) == 53_130_176


def equation_1(x: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """AdaLIN as the paper writes it, with the unbiased variances of the official code."""

    def normalised(axes: tuple[int, ...]) -> Tensor:
        return (x - x.mean(axes, keepdim=True)) / torch.sqrt(x.var(axes, keepdim=True) + 1e-5)

    rho, gamma, beta = rho[:, None, None], gamma[..., None, None], beta[..., None, None]
    return gamma * (rho * normalised((2, 3)) + (1 - rho) * normalised((1, 2, 3))) + beta


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("adaptive", [False, True])
def test_norms_and_their_gradients_are_those_of_the_formula(adaptive: bool, channels_last: bool) -> None:
    torch.manual_seed(0)
    # Small values, whose variance epsilon changes; few pixels, where biased and unbiased variances differ.
    x = (torch.randn(2, 3, 3, 4, dtype=torch.float64) * 0.01 + 0.1).requires_grad_()
    given = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    norm = (AdaLIN(3) if adaptive else LIN(3)).double()
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.copy_(torch.rand_like(parameter))
    if adaptive:
        modulation = tuple(torch.randn(2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
        found, expected = norm(given, *modulation), equation_1(x, norm.rho, *modulation)
    else:
        modulation = (norm.gamma, norm.beta)
        found, expected = norm(given), equation_1(x, norm.rho, *modulation)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    direction = torch.randn_like(expected)
    inputs = (x, norm.rho, *modulation)
    for ours, plain in zip(
        torch.autograd.grad(found, inputs, direction), torch.autograd.grad(expected, inputs, direction), strict=True
    ):
        torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-9)


def test_norms_begin_as_the_official_ones() -> None:
    assert torch.equal(AdaLIN(4).rho, torch.full((4,), 0.9))
    lin = LIN(4)
    assert not lin.rho.any()
    assert not lin.beta.any()
    assert torch.equal(lin.gamma, torch.ones(4))


def test_weights_are_drawn_as_torch_draws_them() -> None:
    weight = small(generator_width=16).generator_ab.encoder[4 + 1].weight  # 3x3 on 16 channels
    bound = (9 * 16) ** -0.5
    assert 0.98 * bound < weight.abs().max().item() <= bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)


def test_the_attention_of_a_discriminator_weighs_with_weights_that_are_not_normalised() -> None:
    attention = small().discriminator_local_a.attention.eval()
    x = torch.rand(2, attention.average.in_features, 5, 5)
    inner = attention.merge.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    seen: list[Tensor] = []
    _, logits = attention(x)
    with torch.no_grad():
        attention.average.parametrizations.weight.original.mul_(10)
    _, scaled_logits = attention(x)
    inner.remove()
    torch.testing.assert_close(scaled_logits, logits)  # divided by the norm, which is ten times as large
    averages, maxima = seen[0].chunk(2, 1)
    scaled_averages, scaled_maxima = seen[1].chunk(2, 1)
    torch.testing.assert_close(scaled_averages, 10 * averages)
    assert torch.equal(scaled_maxima, maxima)


def test_all_of_a_discriminator_but_the_merging_convolution_has_a_spectral_norm_of_one() -> None:
    discriminator = small(discriminator_width=4).discriminator_global_b
    for _ in range(300):
        discriminator(noise().images["B"])  # a power iteration each
    discriminator.eval()
    layers = {n: m for n, m in discriminator.named_modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))}
    norms = {name: torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() for name, layer in layers.items()}
    assert len(norms) == 4 + 3 + 1
    merge = norms.pop("attention.merge.0")
    assert abs(merge - 1) > 0.01
    assert all(norm == pytest.approx(1, abs=1e-3) for norm in norms.values()), norms


def test_networks_run_once_for_both_players_and_d_sends_nothing_into_g() -> None:
    model, batch = small(), noise(2)
    calls: list[tuple[str, int, bool]] = []
    for name, network in model.named_children():
        network.register_forward_pre_hook(
            lambda _, inputs, name=name: calls.append((name, len(inputs[0]), inputs[0].requires_grad))
        )
    step(model, batch)
    # Translation, and behind D's turn identity and cycle.
    for name in ("generator_ab", "generator_ba"):
        assert [call[1:] for call in calls if call[0] == name] == [(2, False), (2, False), (2, True)]
    # D's own turn without the gradient of the fakes, G's with it.
    for name in model.players["D"]:
        assert [call[1:] for call in calls if call[0] == name] == [(2, False), (2, False), (2, True)]
    assert {name for name, *_ in calls[:2]} == {"generator_ab", "generator_ba"}
    assert {name for name, *_ in calls[2:10]} == set(model.players["D"])


def test_a_player_learns_from_its_own_loss_alone() -> None:
    model, batch = small(), noise()
    config = TrainConfig(steps=2, batch=1)
    update = Update(make_players(model, config, CPU), config, CPU)
    update.forward("G", model.translate_batch, batch)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}

    def moved() -> set[str]:
        return {name.split(".")[0] for name, value in model.named_parameters() if not torch.equal(value, before[name])}

    update("D", model.d_loss, batch)
    assert moved() == set(model.players["D"])
    assert all(parameter.grad is None for parameter in model.generator_ab.parameters())
    update("G", model.g_loss, batch)
    assert moved() == {*model.players["D"], "generator_ab", "generator_ba"}


def test_rho_stays_in_its_bounds() -> None:
    model = small()
    norms = [module for module in model.modules() if isinstance(module, (AdaLIN, LIN))]
    assert len(norms) == 2 * (2 + 2)
    with torch.no_grad():
        for norm in norms:
            norm.rho.copy_(torch.linspace(-0.5, 1.5, len(norm.rho)))
    step(model, noise())
    rho = torch.cat([norm.rho for norm in norms])
    assert rho.min() == 0
    assert rho.max() == 1
    assert ((rho > 0) & (rho < 1)).any()


def test_every_part_compares_what_its_name_says(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small()

    def stand_in(factor: float) -> object:
        def forward(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return image * factor, 4 * image.mean((1, 2))[:, :2], image.sum(1, keepdim=True)

        return forward

    monkeypatch.setattr(model.generator_ab, "forward", stand_in(-0.25))
    monkeypatch.setattr(model.generator_ba, "forward", stand_in(0.5))
    batch = Batch({"A": torch.full((1, 3, 32, 32), 0.5), "B": torch.full((1, 3, 32, 32), -0.5)})
    model.translate_batch(batch)
    total, parts = model.g_loss(batch)
    softplus = {sign: log1p(torch.tensor(sign * 2.0).exp().item()) for sign in (-1, 1)}
    expected = {
        "identity_a": 10 * abs(0.25 - 0.5),  # G_ba(A) against A
        "identity_b": 10 * abs(0.125 + 0.5),
        "cycle_a": 10 * abs(-0.0625 - 0.5),  # A -> B -> A against A
        "cycle_b": 10 * abs(0.0625 + 0.5),
        "cam_b": 1000 * 2 * softplus[-1],  # of G_ab: A is its source, and its logit is 2; B's is -2
        "cam_a": 1000 * 2 * softplus[1],  # of G_ba: B is its source
    }
    assert {name: parts[name].item() for name in expected} == pytest.approx(expected)
    model.eval()  # spectral norms as they were
    for domain, fake in (("a", -0.25), ("b", -0.125)):
        logits = [
            part
            for scale in ("global", "local")
            for part in getattr(model, f"discriminator_{scale}_{domain}")(torch.full((1, 3, 32, 32), fake))
        ]
        adversarial = sum(((part - 1) ** 2).mean().item() for part in logits)
        assert parts[f"adv_{domain}"].item() == pytest.approx(adversarial, rel=0.05)
    assert total.item() == pytest.approx(sum(part.item() for part in parts.values()))


def test_d_judges_each_domain_with_both_discriminators() -> None:
    model, batch = small().eval(), noise()
    fakes = noise(seed=1).images
    batch.stash.update(fake_a=fakes["A"], fake_b=fakes["B"])
    total, parts = model.d_loss(batch)
    for domain in ("a", "b"):
        expected = 0.0
        for scale in ("global", "local"):
            discriminator = getattr(model, f"discriminator_{scale}_{domain}")
            for real, fake in zip(
                discriminator(batch.images[domain.upper()]), discriminator(fakes[domain.upper()]), strict=True
            ):
                expected += ((real - 1) ** 2).mean().item() + (fake**2).mean().item()
        assert parts[f"D_{domain}"].item() == pytest.approx(expected, rel=1e-5)
    assert total.item() == pytest.approx(sum(part.item() for part in parts.values()))


@pytest.mark.parametrize(
    ("weight", "names"),
    [
        ("adversarial_weight", {"adv_a", "adv_b", "D_a", "D_b"}),
        ("cycle_weight", {"cycle_a", "cycle_b"}),
        ("identity_weight", {"identity_a", "identity_b"}),
        ("cam_weight", {"cam_a", "cam_b"}),
    ],
)
def test_each_weight_moves_its_own_parts(weight: str, names: set[str]) -> None:
    def parts(model: UGATIT) -> dict[str, float]:
        batch = noise()
        model.eval().translate_batch(batch)
        found = {**model.d_loss(batch).parts, **model.g_loss(batch).parts}
        return {name: value.item() for name, value in found.items()}

    plain, tripled = parts(small()), parts(small(**{weight: 3 * getattr(small().config, weight)}))
    assert tripled == pytest.approx({name: value * (3 if name in names else 1) for name, value in plain.items()})
    assert all(plain.values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resolution": 98, "global_layers": 5}, "98 must be a multiple of 4"),
        ({"resolution": 92, "global_layers": 7}, "with 92, local_layers and global_layers are at most 6"),
        (
            {"resolution": 20, "local_layers": 5, "global_layers": 3},
            "24 or more; with 20, local_layers and global_layers are at most 4",
        ),
        ({"resolution": 4}, "greater than or equal to 8"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        UGATIT.Config(**settings)


@pytest.mark.parametrize(("resolution", "layers"), [(8, 3), (12, 4), (24, 5), (28, 5), (48, 6), (96, 7), (100, 7)])
def test_the_smallest_sizes_fit(resolution: int, layers: int) -> None:
    model = small(resolution=resolution, global_layers=layers, local_layers=3, light=resolution % 8 != 0)
    images = torch.rand(1, 3, resolution, resolution)
    assert model.discriminator_global_a(images)[0].shape[2:].numel() >= 1
    assert model.translate(images, AB).shape == images.shape
    with pytest.raises(ValidationError, match="too small"):
        UGATIT.Config(**{**SMALL, "resolution": resolution, "global_layers": resolution.bit_length() + 1})


def test_light_takes_any_size_and_full_its_own() -> None:
    light, full = small(light=True).eval(), small().eval()
    assert light.fixed_size is None
    assert full.fixed_size == (32, 32)
    assert light.translate(torch.rand(1, 3, 20, 44), BA).shape == (1, 3, 20, 44)
    with pytest.raises(RuntimeError):
        full.translate(torch.rand(1, 3, 20, 44), BA)


def test_grey_images() -> None:
    model = small(channels=1).eval()
    assert model.translate(torch.rand(2, 1, 32, 32), AB).shape == (2, 1, 32, 32)


def test_the_heat_map_is_the_sum_of_the_attended_features() -> None:
    model = small().eval()
    image = noise(2).images["B"]
    attended: list[Tensor] = []
    model.generator_ba.attention.register_forward_hook(lambda _, inputs, outputs: attended.append(outputs[0]))
    translation, attention = model.translate_with_attention(image, BA)
    torch.testing.assert_close(attention[:, 0], attended[0].sum(1))
    assert attention.shape == (2, 1, 8, 8)
    assert attention.min() >= 0
    assert attention.std() > 0
    assert torch.equal(translation, model.translate(image, BA))


def test_one_direction_is_enough_to_translate() -> None:
    model = small()
    assert model.ways() == (BA, AB)
    del model.generator_ba
    assert model.ways() == (AB,)
    assert model.translate(noise().images["A"], AB).shape == (1, 3, 32, 32)


@torch.no_grad()
def test_preview_shows_both_directions() -> None:
    model, batch = small().eval(), noise(2)
    there, back = model.preview(batch)
    assert list(there) == list(back) == ["input", "translation", "reconstruction", "identity"]
    a, b = batch.images["A"], batch.images["B"]
    assert torch.equal(there["input"], a)
    assert torch.equal(there["translation"], model.translate(a, AB))
    assert torch.equal(there["reconstruction"], model.translate(there["translation"], BA))
    assert torch.equal(there["identity"], model.translate(a, BA))
    assert torch.equal(back["input"], b)
    assert torch.equal(back["translation"], model.translate(b, BA))
    assert torch.equal(back["identity"], model.translate(b, AB))
