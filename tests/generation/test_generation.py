"""Latents by seed, seeds as text, targets, pixels, grids and files."""

from __future__ import annotations

import io
from math import erf
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gancli.architectures.dcgan import DCGAN
from gancli.cli.seeds import parse_seeds
from gancli.cli.targets import choose_target
from gancli.errors import GancliError
from gancli.generation.latents import Points, Renderer, latents_of_seeds
from gancli.generation.writers import columns_for, encode, grid, npy, to_pixels

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> DCGAN:
    torch.manual_seed(0)
    dcgan = DCGAN(DCGAN.Config(resolution=32, generator_width=8, latent_dim=16))
    dcgan.train()
    with torch.no_grad():  # running statistics of a network that has seen something
        for _ in range(50):
            dcgan.decode(torch.randn(32, 16))
    return dcgan.eval()


def test_a_seed_means_the_same_latent_in_any_company(model: DCGAN) -> None:
    alone = latents_of_seeds(model, [7])
    among = latents_of_seeds(model, [3, 7, 1])
    assert torch.equal(alone[0], among[1])
    assert not torch.equal(among[0], among[1])
    assert torch.equal(alone[0], torch.randn(1, 16, generator=torch.Generator().manual_seed(7))[0])


def test_a_seed_means_the_same_image_in_any_batch_to_one_grey_level(model: DCGAN) -> None:
    points = Points(latents_of_seeds(model, range(20)), range(20))
    pixels = [
        to_pixels(torch.cat(list(Renderer(model, CPU, batch).images(points)))).astype(int) for batch in (1, 7, 20)
    ]
    assert pixels[0].std() > 1
    assert abs(pixels[0] - pixels[1]).max() <= 1
    assert abs(pixels[0] - pixels[2]).max() <= 1


def test_truncation_draws_again_and_keeps_what_lies_within(model: DCGAN) -> None:
    free, cut = latents_of_seeds(model, range(50)), latents_of_seeds(model, range(50), 0.5)
    inside = free.abs() <= 0.5
    assert torch.equal(free[inside], cut[inside])
    assert cut.abs().max() <= 0.5
    # Redrawn, not clamped: the values spread over the interval as a truncated normal does (std 0.2839 for t = 0.5).
    assert cut.std().item() == pytest.approx(0.2839, rel=0.05)


@pytest.mark.parametrize("level", [3.0, 1.0, 0.3, 1e-9])
def test_truncated_latents_are_spread_as_drawing_again_would(model: DCGAN, level: float) -> None:
    z = torch.randn(1, 100_000, generator=torch.Generator().manual_seed(0))
    cut = model.resample(z, level, torch.Generator().manual_seed(1)).double()
    assert cut.abs().max() <= torch.tensor(level)  # both as float32 can say it
    assert cut.std() > level / 5
    # The distribution of a truncated normal, at the quartiles of the interval.
    for part in (-0.5, 0.0, 0.5):
        below, whole = erf(part * level / 2**0.5), erf(level / 2**0.5)
        assert (cut < part * level).double().mean().item() == pytest.approx((below + whole) / (2 * whole), abs=0.01)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0", [0]), ("0,1,4-6", [0, 1, 4, 5, 6]), (" 3 , 2-2,2", [3, 2, 2]), ("9223372036854775807", [2**63 - 1])],
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text", ["", ",", "a", "1,,2", "3-1", "-1", "1-2-3", "1.5", "0-99999999999", "9223372036854775808", "²"]
)
def test_what_is_no_list_of_seeds(text: str) -> None:
    with pytest.raises(GancliError):
        parse_seeds(text)


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 20)), min_size=1, max_size=8))
def test_any_list_of_ranges(ranges: list[tuple[int, int]]) -> None:
    text = ",".join(str(a) if not n else f"{a}-{a + n}" for a, n in ranges)
    assert parse_seeds(text) == [seed for a, n in ranges for seed in range(a, a + n + 1)]


@given(st.text(max_size=30))
def test_any_text_gives_seeds_or_an_error_in_words(text: str) -> None:
    try:
        assert all(0 <= seed < 2**63 for seed in parse_seeds(text))
    except GancliError:
        assert True


def test_pixels_are_rounded_and_clipped() -> None:
    images = torch.tensor([-2, -1, -0.996, 0, 0.0039, 1, 1.5]).view(1, 1, 1, 7)
    assert to_pixels(images)[0, 0, :, 0].tolist() == [0, 0, 1, 128, 128, 255, 255]


def test_a_grid_places_images_row_by_row() -> None:
    pixels = np.arange(1, 6, dtype=np.uint8)[:, None, None, None] * np.ones((5, 4, 3, 1), np.uint8)
    canvas = grid(pixels, columns=3, gap=2)
    assert canvas.shape == (4 + 2 + 4, 3 * 3 + 2 * 2, 1)
    assert [canvas[0, x, 0] for x in (0, 5, 10)] == [1, 2, 3]
    assert [canvas[6, x, 0] for x in (0, 5, 10)] == [4, 5, 0]
    assert canvas[4:6].max() == 0
    assert grid(pixels, columns=9, gap=2).shape == (4, 5 * 3 + 4 * 2, 1)  # no wider than five images
    assert [columns_for(n) for n in (1, 2, 4, 5, 64)] == [1, 2, 2, 3, 8]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("kind", "exact"), [("png", True), ("webp", True), ("jpg", False)])
def test_files_hold_what_was_written(channels: int, kind: str, exact: bool) -> None:
    ramp = np.linspace(0, 255, 32 * 32).astype(np.uint8).reshape(32, 32, 1).repeat(channels, 2)
    image = Image.open(io.BytesIO(encode(ramp, kind)))
    read = np.asarray(image.convert("L" if channels == 1 else "RGB")).reshape(ramp.shape).astype(int)
    assert image.mode == ("RGB" if channels == 3 or kind == "webp" else "L")
    assert abs(read - ramp).max() <= (0 if exact else 8)


@pytest.mark.parametrize("channels", [2, 4])
def test_files_hold_alpha_or_lie_over_white(channels: int) -> None:
    y, x = np.mgrid[:32, :32] * 8
    ramps = np.stack([x] * (channels - 1) + [y], axis=2).astype(np.uint8)
    png = Image.open(io.BytesIO(encode(ramps, "png")))
    assert png.mode == ("LA" if channels == 2 else "RGBA")
    assert np.array_equal(np.asarray(png), ramps)
    webp = np.asarray(Image.open(io.BytesIO(encode(ramps, "webp"))))  # also the colours of what is transparent
    assert np.array_equal(webp, ramps if channels == 4 else ramps[..., [0, 0, 0, 1]])
    jpg = Image.open(io.BytesIO(encode(ramps, "jpg")))
    assert jpg.mode == ("L" if channels == 2 else "RGB")
    white = 255 - (255 - x) * y / 255
    assert abs(np.asarray(jpg).reshape(32, 32, -1) - white[:, :, None]).max() <= 8


def test_npy_is_float32_nchw() -> None:
    images = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    read = np.load(io.BytesIO(npy(images)))
    assert (read.dtype, read.shape) == (np.float32, (2, 3, 4, 5))
    assert np.array_equal(read, images.numpy())


def test_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.d").mkdir()
    (tmp_path / "plain").write_text("mine")
    found = {
        output: (target.kind, str(target.path), target.format)
        for output in (None, "-", "a.png", "a.JPEG", "a.npy", "new", "new.dir/", "here.d")
        for target in [choose_target(output, None, default="m-seed0.png")]
    }
    assert found == {
        None: ("file", "m-seed0.png", "png"),
        "-": ("stream", "-", "png"),
        "a.png": ("file", "a.png", "png"),
        "a.JPEG": ("file", "a.JPEG", "jpg"),
        "a.npy": ("file", "a.npy", "npy"),
        "new": ("directory", "new", "png"),
        "new.dir/": ("directory", "new.dir", "png"),
        "here.d": ("directory", "here.d", "png"),
    }
    assert choose_target("-", "npy", default="x.png").format == "npy"
    assert choose_target(None, "webp", default="x.png").path == Path("x.webp")
    for output, kind in (("a.xyz", None), ("a.png", "jpg"), ("-", "tiff"), ("plain", None), ("no/where/a.png", None)):
        with pytest.raises(GancliError):
            choose_target(output, kind, default="x.png")
    assert (tmp_path / "plain").read_text() == "mine"
