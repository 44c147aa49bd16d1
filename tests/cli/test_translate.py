"""gancli translate: which inputs, which outputs, colours, sizes, pipes, what is kept, and what goes wrong."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from streams import closed_pipe, full_disk

from gancli import modelfile
from gancli.architectures.base import Architecture, Way
from gancli.architectures.cyclegan import CycleGAN
from gancli.architectures.dcgan import DCGAN
from gancli.architectures.pix2pix import Pix2Pix
from gancli.architectures.ugatit import UGATIT
from gancli.cli.app import run
from gancli.data.formats import EXTENSIONS
from gancli.modelfile import ModelInfo

NAMES = {CycleGAN: "cyclegan", Pix2Pix: "pix2pix", UGATIT: "ugatit", DCGAN: "dcgan"}
TINY: dict[str, Any] = {"resolution": 32, "generator_width": 4, "discriminator_width": 4}


def save(path: Path, kind: type[Architecture], networks: tuple[str, ...] = (), **config: Any) -> None:
    """Writes the model file of an untrained model whose output is not just grey."""
    torch.manual_seed(0)
    settings = kind.Config(**{**TINY, **config})
    model = kind(settings)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(10)
    inputs = kind.inputs(settings)
    names = ("horse", "zebra") if len(inputs.domains) == 2 else ("image",)
    inputs = replace(inputs, domains=dict(zip(names, inputs.domains.values(), strict=True)))
    kept = list(networks or model.averaged)
    info = ModelInfo(
        architecture=NAMES[kind],
        config={"model": settings.model_dump(mode="json")},
        networks=kept,
        domains=list(names),
        inputs=inputs,
    )
    tensors = {name: value for name, value in model.state_dict().items() if name.partition(".")[0] in kept}
    path.write_bytes(modelfile.to_bytes(info, tensors))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models."""
    folder = tmp_path_factory.mktemp("models")
    small: dict[str, Any] = {"receptive_field": 16}
    save(folder / "m.safetensors", CycleGAN, blocks=1, **small)
    save(folder / "forth.safetensors", CycleGAN, ("generator_ab",), blocks=1, **small)
    save(folder / "grey.safetensors", CycleGAN, blocks=1, channels=1, **small)
    save(folder / "bands.safetensors", CycleGAN, blocks=1, channels=5, channels_b=6, identity_weight=0, **small)
    save(folder / "la.safetensors", CycleGAN, blocks=1, channels=2, **small)
    save(folder / "rgba.safetensors", CycleGAN, blocks=1, channels=4, **small)
    save(folder / "cut.safetensors", CycleGAN, blocks=1, channels_b=4, identity_weight=0, **small)  # RGB to RGBA
    save(folder / "p.safetensors", Pix2Pix, resolution=64, depth=6, **small)
    save(folder / "u.safetensors", UGATIT, residual_blocks=1, local_layers=3, global_layers=5, light=False)
    save(folder / "d.safetensors", DCGAN)
    return folder


@pytest.fixture
def there(here: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with images, in which the models have names."""
    home = here.parent / f"{here.name}-home"
    home.mkdir()
    (home / "models").symlink_to(models)
    monkeypatch.setenv("GANCLI_HOME", str(home))
    (here / "photos/deep/er").mkdir(parents=True)
    for index, (name, size) in enumerate(
        {"10.jpg": (40, 28), "2.png": (33, 47), "deep/a.png": (32, 32), "deep/er/2.png": (36, 36)}.items()
    ):
        picture(index, size).save(here / "photos" / name)
    (here / "photos/notes.txt").write_text("no image")
    return here


def picture(index: int, size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    """A smooth colourful image."""
    x, y = np.meshgrid(np.linspace(0, 3, size[0]), np.linspace(0, 3, size[1]))
    channels = [np.sin(x * (c + 1) + y + index) * 120 + 128 for c in range(3)]
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8)).convert(mode)


def new_files(here: Path) -> list[str]:
    paths = (str(path.relative_to(here)) for path in here.rglob("*") if path.is_file())
    return sorted(path for path in paths if not path.startswith("photos/"))


def pixels(path: str | Path) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(path)).astype(int)


# ---- inputs and outputs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        (["photos/10.jpg"], ["10-zebra.png"]),
        (["photos/10.jpg", "--to", "horse"], ["10-horse.png"]),
        (["photos/10.jpg", "--to", "A"], ["10-horse.png"]),
        (["photos/10.jpg", "photos/deep/a.png", "--format", "webp"], ["10-zebra.webp", "a-zebra.webp"]),
        (["photos"], ["2-zebra.png", "10-zebra.png"]),
        (["photos", "-o", "out"], ["out/2.png", "out/10.png"]),
        (["photos/", "-r", "-o", "out"], ["out/2.png", "out/10.png", "out/deep/a.png", "out/deep/er/2.png"]),
        (["photos/*.jpg", "photos/deep"], ["10-zebra.png", "a-zebra.png"]),
        (["photos/**/*.*g", "photos/deep/a.png", "-o", "x.d/", "--format", "jpg"], None),
        (["photos/10.jpg", "./photos/10.jpg", "photos", "-o", "o"], ["o/10.jpg".replace("jpg", "png"), "o/2.png"]),
        (["photos/10.jpg", "-o", "x.jpeg"], ["x.jpeg"]),
        (["photos/10.jpg", "-o", "x.npy"], ["x.npy"]),
    ],
)
def test_what_is_written_where(
    there: Path, arguments: list[str], written: list[str] | None, capfd: pytest.CaptureFixture[str]
) -> None:
    code = run(["translate", "m", *arguments])
    out, err = capfd.readouterr()
    if written is None:  # both are called 2
        assert code == 2
        assert "photos/2.png and photos/deep/er/2.png would both be written to x.d/2.jpg" in err
        written = []
    else:
        assert (code, err) == (0, "")
    assert out.split() == written
    assert new_files(there) == sorted(written)


def test_lists_of_paths(there: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("photos/with space.png").write_bytes(Path("photos/2.png").read_bytes())
    Path("list").write_text("photos/with space.png\r\n\n\nphotos/10.jpg\n")
    assert run(["translate", "m", "photos/deep/a.png", "--from-file", "list"]) == 0
    assert capfd.readouterr().out.splitlines() == ["a-zebra.png", "with space-zebra.png", "10-zebra.png"]


def process(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, "-m", "gancli", "translate", *arguments], **pipes, **options)


def test_pipes(there: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    out, err = process("m", "-", "-o", "-").communicate(Path("photos/10.jpg").read_bytes(), timeout=120)
    assert err == b""
    assert Image.open(io.BytesIO(out)).size == (40, 28)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"photos/10.jpg\nphotos/2.png")))
    assert run(["translate", "m", "--from-file", "-", "-o", "out/"]) == 0
    assert capfd.readouterr() == ("out/10.png\nout/2.png\n", "")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"no image")))
    assert run(["translate", "m", "-", "-o", "-"]) == 1
    said, error = capfd.readouterr()
    assert said == ""
    assert "stdin: not an image" in error


def test_two_inputs_with_one_output_and_inputs_that_are_outputs(there: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["translate", "m", "photos/2.png", "photos/deep/er/2.png"]) == 2
    assert "photos/2.png and photos/deep/er/2.png would both be written to 2-zebra.png" in capfd.readouterr().err
    before = {path: path.read_bytes() for path in Path("photos").rglob("*.*g")}
    for extra in ([], ["--overwrite"], ["-r"]):
        assert run(["translate", "m", "photos", "-o", "photos", *extra]) == 2
        assert "would be overwritten, but it is an input" in capfd.readouterr().err
    Path("link.png").symlink_to("photos/2.png")
    assert run(["translate", "m", "link.png", "-o", "photos", "--overwrite", "--format", "png"]) == 0
    assert run(["translate", "m", "link.png", "-o", "photos/2.png", "--overwrite"]) == 2
    assert {path: path.read_bytes() for path in before} == before


def test_a_folder_that_gets_its_own_results_is_not_translated_twice(
    there: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    os.chdir("photos")
    for overwrite in ([], ["--overwrite"]):
        for _ in range(2):
            assert run(["translate", "m", ".", *overwrite]) == 0
    assert sorted(path.name for path in Path().glob("*-*")) == ["10-zebra.png", "2-zebra.png"]
    assert (
        "left out 2 images (2-zebra.png, 10-zebra.png) that earlier runs made of the others" in capfd.readouterr().err
    )
    for _ in range(2):
        assert run(["translate", "m", ".", "-r", "-o", "out"]) == 0
    assert not Path("out/out").exists()


def test_what_is_there_is_kept(there: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    Path("out/2.png").write_text("mine")
    assert run(["translate", "m", "photos", "-o", "out"]) == 0
    out, err = capfd.readouterr()
    assert out == "out/10.png\n"
    assert "skipped 1 existing file (out/2.png); --overwrite replaces them" in err
    assert Path("out/2.png").read_text() == "mine"
    assert run(["translate", "m", "photos", "-o", "out", "--overwrite"]) == 0
    assert pixels("out/2.png").shape == (47, 33, 3)


def test_one_bad_file_among_many(there: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("photos/3.png").write_bytes(Path("photos/2.png").read_bytes()[:200])
    Path("list").write_text("photos/gone.png\nphotos/deep\n")
    assert run(["translate", "m", "photos", "--from-file", "list", "-o", "out"]) == 1
    out, err = capfd.readouterr()
    assert out.split() == ["out/2.png", "out/10.png"]
    assert [line.partition(": ")[2].partition(": ")[0] for line in err.splitlines()] == [
        *("photos/3.png", "photos/gone.png", "photos/deep", "3 of 5 images could not be translated"),
    ]
    assert "photos/gone.png: No such file or directory" in err


# ---- what the pictures are ---------------------------------------------------------------------------------


def direct(models: Path, name: str, image: np.ndarray[Any, Any], to: str = "B") -> np.ndarray[Any, Any]:
    """What the network itself makes of pixels [H, W, C], in grey levels."""
    model, _ = modelfile.load_model(models / f"{name}.safetensors", torch.device("cpu"))
    x = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    way = {"A": Way("B", "A"), "B": Way("A", "B")}[to]
    with torch.inference_mode():
        return ((model.translate(x, way)[0] + 1) * 127.5).permute(1, 2, 0).numpy()  # type: ignore[operator]


def test_the_result_is_what_the_network_makes(there: Path, models: Path) -> None:
    picture(0, (40, 32)).save("fits.png")
    picture(0, (39, 30)).save("odd.png")
    for to, domain in (("zebra", "B"), ("horse", "A")):
        assert run(["translate", "m", "fits.png", "odd.png", "--to", to]) == 0
        image = np.asarray(picture(0, (40, 32)))
        assert abs(pixels(f"fits-{to}.png") - direct(models, "m", image, domain)).max() <= 0.51
        image = np.pad(np.asarray(picture(0, (39, 30))), ((0, 2), (0, 1), (0, 0)), "reflect")
        assert abs(pixels(f"odd-{to}.png") - direct(models, "m", image, domain)[:30, :39]).max() <= 0.51
    assert pixels("fits-zebra.png").std() > 5


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (17, 5), (129, 65)])
@pytest.mark.parametrize("name", ["m", "p", "u", "grey"])
def test_any_size(there: Path, name: str, size: tuple[int, int]) -> None:
    picture(1, size).save("x.png")
    assert run(["translate", name, "x.png"]) == 0
    assert Image.open("x-zebra.png").size == size


def test_size_is_the_short_side(there: Path) -> None:
    assert run(["translate", "m", "photos/10.jpg", "--size", "14", "--side-by-side"]) == 0
    assert Image.open("10-zebra.png").size == (2 * 20, 14)
    left = np.asarray(Image.open("10-zebra.png"))[:, :20].astype(int)
    assert abs(left - np.asarray(Image.open("photos/10.jpg").resize((20, 14), Image.Resampling.BICUBIC))).max() <= 2


@pytest.mark.parametrize(("size", "expected"), [((70, 50), (1, 1)), ((50, 70), (1, 1)), ((80, 10), (8, 1))])
@pytest.mark.parametrize("name", ["m", "u", "grey", "rgba"])
def test_a_size_of_one_pixel(there: Path, name: str, size: tuple[int, int], expected: tuple[int, int]) -> None:
    picture(1, size).save("x.png")
    assert run(["translate", name, "x.png", "--size", "1"]) == 0
    assert Image.open("x-zebra.png").size == expected


def test_fixed_size(there: Path, models: Path) -> None:
    """U-GAT-IT full takes one size: others are resized to it and back."""
    small = picture(0, (32, 32))
    small.save("s.png")
    assert run(["translate", "u", "s.png"]) == 0
    assert abs(pixels("s-zebra.png") - direct(models, "u", np.asarray(small))).max() <= 0.51
    picture(0, (80, 60)).save("l.png")
    assert run(["translate", "u", "l.png"]) == 0
    shrunk = np.asarray(Image.open("l.png").resize((32, 32), Image.Resampling.BICUBIC))
    made = Image.fromarray(direct(models, "u", shrunk).round().clip(0, 255).astype(np.uint8))
    difference = abs(pixels("l-zebra.png") - np.asarray(made.resize((80, 60), Image.Resampling.BICUBIC)))
    assert difference.mean() < 2


def test_grey_and_colour(there: Path, models: Path) -> None:
    colour = picture(2, (32, 32))
    colour.save("c.png")
    colour.convert("L").save("g.png")
    assert run(["translate", "grey", "c.png", "g.png"]) == 0
    assert Image.open("c-zebra.png").mode == "L"
    assert np.array_equal(pixels("c-zebra.png"), pixels("g-zebra.png"))
    assert run(["translate", "m", "g.png", "-o", "g3.png"]) == 0
    image = np.repeat(np.asarray(colour.convert("L"))[..., None], 3, 2)
    assert abs(pixels("g3.png") - direct(models, "m", image)).max() <= 0.51


def test_orientation(there: Path) -> None:
    upright = picture(3, (40, 24))
    upright.save("up.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    upright.transpose(Image.Transpose.ROTATE_90).save("turned.png", exif=exif)
    assert run(["translate", "m", "up.png", "turned.png"]) == 0
    assert np.array_equal(pixels("up-zebra.png"), pixels("turned-zebra.png"))
    assert 0x0112 not in Image.open("turned-zebra.png").getexif()


def test_alpha_comes_back(there: Path) -> None:
    alpha = Image.linear_gradient("L").resize((40, 32))
    clear = picture(4, (40, 32))
    clear.putalpha(alpha)
    clear.save("clear.png")
    white = Image.new("RGB", clear.size, "white")
    white.paste(clear, mask=alpha)
    white.save("white.png")
    for suffix, arguments in (("png", []), ("webp", ["--format", "webp"])):
        assert run(["translate", "m", "clear.png", "white.png", *arguments]) == 0
        assert Image.open(f"white-zebra.{suffix}").mode == "RGB"
        assert np.array_equal(pixels(f"clear-zebra.{suffix}")[..., 3], np.asarray(alpha))
    assert np.array_equal(pixels("clear-zebra.png")[..., :3], pixels("white-zebra.png"))
    assert run(["translate", "m", "clear.png", "--size", "16", "-o", "c16.png"]) == 0
    assert pixels("c16.png").shape == (16, 20, 4)
    assert run(["translate", "grey", "clear.png", "-o", "la.png"]) == 0
    assert Image.open("la.png").mode == "LA"
    assert run(["translate", "m", "clear.png", "-o", "c.jpg"]) == 0  # which has no alpha
    assert run(["translate", "m", "white.png", "-o", "w.jpg"]) == 0
    assert Path("c.jpg").read_bytes() == Path("w.jpg").read_bytes()
    assert run(["translate", "m", "clear.png", "--side-by-side", "-o", "sbs.png"]) == 0
    assert np.array_equal(pixels("sbs.png")[..., 3], np.tile(np.asarray(alpha), (1, 2)))


@pytest.fixture
def clear() -> Image.Image:
    """An image that is transparent at the top and opaque at the bottom."""
    image = picture(4, (40, 32))
    image.putalpha(Image.linear_gradient("L").resize((40, 32)))
    return image


@pytest.mark.parametrize(("name", "mode"), [("la", "LA"), ("rgba", "RGBA")])
def test_a_model_of_images_with_alpha_gets_and_makes_it(
    there: Path, models: Path, clear: Image.Image, name: str, mode: str
) -> None:
    image = clear.convert(mode)
    image.save("photos/clear.png")
    made = direct(models, name, np.asarray(image)).clip(0, 255)
    assert made[..., -1].std() > 1
    assert run(["translate", name, "photos", "-o", "out"]) == 0
    assert {path.name for path in Path("out").iterdir()} == {"2.png", "10.png", "clear.png"}
    assert Image.open("out/clear.png").mode == mode
    assert abs(pixels("out/clear.png") - made).max() <= 0.51
    # What has no alpha is opaque.
    opaque = Image.open("photos/2.png").convert("L" if name == "la" else "RGB")
    opaque.putalpha(255)
    padded = np.pad(np.asarray(opaque), ((0, 1), (0, 3), (0, 0)), "reflect")
    assert abs(pixels("out/2.png") - direct(models, name, padded)[:47, :33].clip(0, 255)).max() <= 0.51
    # The other formats show the same.
    assert run(["translate", name, "photos/clear.png", "-o", "c.webp"]) == 0
    assert np.array_equal(pixels("c.webp"), np.asarray(Image.open("out/clear.png").convert("RGBA")))
    assert run(["translate", name, "photos/clear.png", "-o", "c.jpg"]) == 0
    shown = Image.alpha_composite(Image.new("RGBA", image.size, "white"), Image.open("c.webp").convert("RGBA"))
    assert Image.open("c.jpg").mode == mode[:-1]
    lightness = [np.asarray(seen.convert("L")).astype(int) for seen in (Image.open("c.jpg"), shown)]
    assert abs(lightness[0] - lightness[1]).mean() < 4
    assert run(["translate", name, "photos/clear.png", "--side-by-side", "-o", "both.png"]) == 0
    both = pixels("both.png")
    assert both.shape == (32, 80, 3)
    assert np.array_equal(
        both[:, :40], np.asarray(image.getchannel(0).convert("RGB") if name == "la" else image)[..., :3]
    )


def test_alpha_on_one_side(there: Path, models: Path, clear: Image.Image) -> None:
    """Where the network makes alpha, that of the input does not come back; where it gets it, neither."""
    clear.save("clear.png")
    white = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    assert run(["translate", "cut", "clear.png", "-o", "cut.png"]) == 0
    assert abs(pixels("cut.png") - direct(models, "cut", np.asarray(white)).clip(0, 255)).max() <= 4
    assert run(["translate", "cut", "clear.png", "--to", "horse", "-o", "back.png"]) == 0
    assert abs(pixels("back.png") - direct(models, "cut", np.asarray(clear), "A").clip(0, 255)).max() <= 0.51
    assert Image.open("back.png").mode == "RGB"
    assert run(["translate", "cut", "clear.png", "--side-by-side", "-o", "both.png"]) == 0
    assert np.array_equal(pixels("both.png")[..., 3], np.tile(np.asarray(clear)[..., 3], (1, 2)))


def test_arrays(there: Path, models: Path, capfd: pytest.CaptureFixture[str]) -> None:
    values = np.random.default_rng(0).uniform(-1, 1, (3, 5, 20, 24)).astype(np.float32)
    np.save("all.npy", values)
    np.save("one.npy", values[1].astype(np.float64))
    assert run(["translate", "bands", "all.npy", "one.npy"]) == 0
    out = np.load("all-zebra.npy")
    assert (out.shape, out.dtype) == ((3, 6, 20, 24), np.float32)
    assert abs(out).max() <= 1
    assert np.allclose(out[1], np.load("one-zebra.npy")[0], atol=1e-5)
    assert run(["translate", "bands", "one.npy", "-o", "one.png"]) == 2
    assert "6 channels, which no png file can hold" in capfd.readouterr().err
    assert run(["translate", "bands", "one.npy", "-o", "seen.png", "--side-by-side"]) == 0
    assert pixels("seen.png").shape == (20, 48, 3)
    assert run(["translate", "bands", "photos/2.png"]) == 1
    assert "5 channels, which only float arrays (.npy) can hold" in capfd.readouterr().err
    # the usual ones take them as well, and agree with pictures
    np.save("p.npy", np.asarray(picture(0, (24, 20))).transpose(2, 0, 1) / np.float32(127.5) - 1)
    picture(0, (24, 20)).save("q.png")
    assert run(["translate", "m", "p.npy", "q.png"]) == 0
    assert np.array_equal(pixels("p-zebra.png"), pixels("q-zebra.png"))
    assert run(["translate", "m", "q.png", "-o", "q.npy"]) == 0
    assert abs((np.load("q.npy")[0].transpose(1, 2, 0) + 1) * 127.5 - pixels("q-zebra.png")).max() <= 0.51
    for name, array in {
        "wrong": values[:, :2],
        "large": values[0, :3] * 255,
        "nan": values[0, :3] * np.nan,
        "whole": np.zeros((3, 8, 8), np.uint8),
        "several": values[:, :3],
    }.items():
        np.save(f"{name}.npy", array)
        assert run(["translate", "m", f"{name}.npy"]) == 1
        assert f"{name}.npy: holds" in capfd.readouterr().err


def test_noise_belongs_to_the_image_and_the_seed(there: Path) -> None:
    assert run(["translate", "p", "photos", "-o", "all", "--batch", "4"]) == 0
    assert run(["translate", "p", "photos/10.jpg", "--seed", "0", "-o", "alone.png"]) == 0
    assert run(["translate", "p", "photos/10.jpg", "--seed", "1", "-o", "other.png"]) == 0
    assert np.array_equal(pixels("all/10.png"), pixels("alone.png"))
    assert not np.array_equal(pixels("alone.png"), pixels("other.png"))


def test_batches_of_like_images_give_what_single_ones_give(there: Path) -> None:
    for index, size in enumerate([(30, 30), (32, 32), (31, 29), (50, 30), (32, 32)]):
        picture(index, size).save(f"photos/n{index}.png")
    assert run(["translate", "m", "photos/n*.png", "-o", "one"]) == 0
    assert run(["translate", "m", "photos/n*.png", "-o", "four", "--batch", "4"]) == 0
    for path in Path("one").iterdir():
        assert abs(pixels(path) - pixels(Path("four") / path.name)).max() <= 1
    assert run(["translate", "m", "photos/n*.png", "-o", "bf16", "--precision", "bf16"]) == 0
    difference = abs(pixels("one/n0.png") - pixels("bf16/n0.png"))
    assert 0 < difference.mean() < 6


def test_attention(there: Path, capfd: pytest.CaptureFixture[str]) -> None:
    picture(0, (64, 48)).save("x.png")
    assert run(["translate", "u", "x.png", "--attention"]) == 0
    assert capfd.readouterr().out.split() == ["x-zebra.png", "x-zebra-attention.png"]
    heat = pixels("x-zebra-attention.png")
    assert heat.shape == (48, 64, 3)
    # Half of each pixel is the input's; the other half runs through all of the colours, from dark to light.
    rest = 2 * heat - pixels("x.png")
    assert rest.min() >= -1
    assert rest.max() <= 256
    light = rest @ [0.21, 0.72, 0.07]
    assert light.min() < 50
    assert light.max() > 200
    assert run(["translate", "u", "x.png", "--attention", "--side-by-side", "-o", "both.png"]) == 0
    both = pixels("both.png")
    assert np.array_equal(both, np.concatenate([pixels("x.png"), heat, pixels("x-zebra.png")], axis=1))
    Path("x-zebra-attention.png").unlink()
    capfd.readouterr()
    assert run(["translate", "u", "x.png", "--attention"]) == 0
    assert capfd.readouterr().out.split() == ["x-zebra-attention.png"]  # what was missing
    assert run(["translate", "u", "x.png", "--attention", "-o", "x.npy"]) == 0
    assert new_files(there) == sorted(
        ["both.png", "x-attention.png", "x-zebra-attention.png", "x-zebra.png", "x.npy", "x.png"]
    )


# ---- what goes wrong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["m"], "no IMAGE given"),
        (["m", "photos/2.pgn"], "did you mean 'photos/2.png'?"),
        (["m", "photos/*.webp"], "no file matches 'photos/*.webp'"),
        (["m", ""], "there is no image ''"),
        (["m", "empty"], "there is no image in empty"),
        (["m", "only"], "--recursive"),
        (["m", "-", "-"], "only once"),
        (["m", "-", "--from-file", "-"], "only once"),
        (["m", "--from-file", "gone"], "gone"),
        (["m", "--from-file", "photos/2.png"], "photos/2.png:1: not UTF-8 text"),
        (["m", "--from-file", "blank"], "the list is empty"),
        (["m", "photos/2.png", "--to", "zebr"], "did you mean 'zebra'?"),
        (["m", "photos/2.png", "--to", "cow"], "m has no domain 'cow'\nhint: choose horse or zebra"),
        (
            ["forth", "photos/2.png", "--to", "horse"],
            "forth does not translate into horse, only from it\nhint: choose zebra",
        ),
        (["d", "photos/2.png"], "gancli sample d"),
        (["m", "photos", "-o", "x.png"], "is for one image, but there are 2"),
        (["m", "photos", "-o", "-"], "is for one image, but there are 2"),
        (["m", "photos", "-o", "x.tiff"], ".tiff"),
        (["m", "photos", "--format", "bmp"], "bmp"),
        (["m", "photos", "--format", "npy", "--side-by-side"], "--side-by-side"),
        (["m", "photos", "--attention"], "--attention needs a model with attention, such as ugatit; m is a cyclegan"),
        (["u", "photos/2.png", "--attention", "-o", "-"], "--side-by-side"),
        (["m", "photos", "--size", "0"], "--size 0"),
        (["m", "photos", "--tile", "63"], "--tile 63"),
        (["u", "photos", "--tile", "64"], "32x32"),
        (["m", "photos", "--batch", "0"], "--batch 0"),
        (["m", "photos", "--seed", "-1"], "--seed -1"),
        (["m", "photos", "--precision", "fp8"], "fp8"),
        (["m", "photos", "--device", "tpu"], "tpu"),
        (["nobody", "photos"], "nobody"),
    ],
)
def test_wrong_input(there: Path, arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    Path("only/deep").mkdir(parents=True)
    Path("blank").write_text("\n\n")
    before = new_files(there)
    assert run(["translate", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert new_files(there) == before


def test_a_full_disk(there: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with full_disk():
        assert run(["translate", "m", "photos/2.png", "-o", "-"]) == 1
    assert capfd.readouterr().err.startswith("error: no space left")


def test_a_closed_pipe(there: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with closed_pipe():
        assert run(["translate", "m", "photos"]) == 141
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_runs_leave_whole_files_and_can_be_repeated(there: Path, number: int, code: int) -> None:
    Path("many").mkdir()
    for index in range(80):
        picture(index, (128, 128)).save(f"many/{index}.jpg")
    running = process("m", "many", "-o", "out", start_new_session=True)
    assert running.stdout is not None
    first = running.stdout.readline()
    os.kill(running.pid, number)
    rest, _ = running.communicate(timeout=120)
    assert running.returncode == code
    printed = [first, *rest.splitlines(keepends=True)]
    assert len(printed) < 80
    assert {f"{path}\n".encode() for path in Path("out").iterdir()} >= set(printed)
    for path in Path("out").iterdir():
        assert Image.open(path).convert("RGB").size == (128, 128)
    start = time.monotonic()
    assert run(["translate", "m", "many", "-o", "out"]) == 0
    assert len(list(Path("out").iterdir())) == 80
    assert time.monotonic() - start < 60


def test_what_has_no_end_is_refused(
    there: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gancli.generation.inputs.LARGEST_FILE", 2**16)
    Path("endless.png").symlink_to("/dev/zero")
    assert run(["translate", "m", "endless.png"]) == 1
    assert "endless.png: the file is too large to be an image" in capfd.readouterr().err
    assert run(["translate", "m", "--from-file", "/dev/zero"]) == 2
    assert "too large for a list of paths" in capfd.readouterr().err


def test_images_of_more_than_eight_bits(there: Path, models: Path, capfd: pytest.CaptureFixture[str]) -> None:
    values = np.asarray(picture(0, (24, 20)).convert("L")).astype(np.uint16)
    for name, factor in (("eight", 1), ("deep", 257), ("twelve", 16)):
        kind = np.uint8 if factor == 1 else np.uint16
        Image.fromarray((values * factor).astype(kind)).save(f"{name}.png")
    Path("phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    assert run(["translate", "m", "eight.png", "deep.png"]) == 0
    assert "note" not in capfd.readouterr().err
    assert abs(pixels("eight-zebra.png") - pixels("deep-zebra.png")).max() == 0
    assert run(["translate", "m", "twelve.png"]) == 1
    assert "--range 0,4095" in capfd.readouterr().err
    assert run(["translate", "m", "twelve.png", "--range", "0,4080"]) == 0
    assert "1 image: numbers from 0 to 4,080 become black to white" in capfd.readouterr().err
    assert abs(pixels("twelve-zebra.png") - pixels("eight-zebra.png")).max() <= 2
    assert run(["translate", "m", "phone.heic"]) == 1
    assert run(["translate", "m", ".", "-o", "out", "--range", "0,4080"]) == 0
    if ".heic" not in EXTENSIONS:
        assert "1 file is not read (HEIC: phone.heic); pip install 'gancli[formats]'" in capfd.readouterr().err
