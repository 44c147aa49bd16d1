"""gancli sample: what comes out where, the same image for a seed anywhere, pipes, and every way to type it wrong."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from streams import full_disk

from gancli import config
from gancli.cli.app import run
from gancli.modelfile import describe, to_bytes
from gancli.registry import load_architecture


@pytest.fixture
def trained(here: Path, model: Path) -> str:
    """A trained model that is found by its name in ./runs."""
    (here / "runs/m").mkdir(parents=True)
    shutil.copy(model, here / "runs/m/model.safetensors")
    return "m"


def outputs(here: Path) -> list[str]:
    return sorted(str(p.relative_to(here)) for p in here.rglob("*") if p.is_file() and "runs" not in p.parts)


@pytest.mark.parametrize(
    ("arguments", "written", "size"),
    [
        ([], ["m-seed0.png"], (32, 32)),
        (["-n", "4"], ["m-seeds0-3.png"], (66, 66)),
        (["--seeds", "0,1,4-6", "--columns", "5"], ["m-seeds0+4.png"], (5 * 34 - 2, 32)),
        (["-n", "3", "--seed", "7", "-o", "x.jpg"], ["x.jpg"], (66, 66)),
        (["-n", "2", "-o", "out"], ["out/seed0000.png", "out/seed0001.png"], (32, 32)),
        (["--seeds", "12345", "-o", "out/", "--format", "webp"], ["out/seed12345.webp"], (32, 32)),
    ],
)
def test_what_is_written_where(
    here: Path,
    trained: str,
    arguments: list[str],
    written: list[str],
    size: tuple[int, int],
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(["sample", trained, *arguments]) == 0
    assert capfd.readouterr().out.split() == written
    assert outputs(here) == written
    assert Image.open(here / written[0]).size == size


def test_a_seed_always_gives_the_same_image_and_npy_is_what_png_shows(here: Path, trained: str) -> None:
    assert run(["sample", trained, "-n", "9", "-o", "all.npy", "--batch", "4"]) == 0
    assert run(["sample", trained, "--seeds", "5,2", "-o", "two"]) == 0
    images = np.load("all.npy")
    assert (images.dtype, images.shape) == (np.float32, (9, 3, 32, 32))
    assert abs(images).max() <= 1
    for seed in (5, 2):
        pixels = np.asarray(Image.open(f"two/seed000{seed}.png")).astype(float)
        assert abs(pixels - (images[seed].transpose(1, 2, 0) + 1) * 127.5).max() <= 1.01


def test_the_model_can_be_named_by_its_checkpoint_run_or_file(here: Path, trained: str, model: Path) -> None:
    step = model.parent / "checkpoints/4"
    for index, name in enumerate((str(model), str(model.parent), str(step), trained)):
        assert run(["sample", name, "-o", f"{index}.npy"]) == 0
    first, *others = (Path(f"{index}.npy").read_bytes() for index in range(4))
    assert all(other == first for other in others)


def test_latents_from_a_file(here: Path, trained: str) -> None:
    import torch

    z = torch.randn(1, 8, generator=torch.Generator().manual_seed(3)).numpy()
    np.save("z.npy", z.astype(np.float64))
    assert run(["sample", trained, "--latents", "z.npy", "-o", "z-image.npy"]) == 0
    assert run(["sample", trained, "--seed", "3", "-o", "seed.npy"]) == 0
    assert np.array_equal(np.load("z-image.npy"), np.load("seed.npy"))


def test_truncation_changes_the_images_and_a_large_one_does_not(here: Path, trained: str) -> None:
    for name, trunc in (("free", []), ("wide", ["--trunc", "100"]), ("tight", ["--trunc", "0.3"])):
        assert run(["sample", trained, "-n", "4", "-o", f"{name}.npy", *trunc]) == 0
    free, wide, tight = (np.load(f"{name}.npy") for name in ("free", "wide", "tight"))
    assert np.array_equal(free, wide)
    assert not np.array_equal(free, tight)


def test_a_grid_that_is_too_large_is_refused_before_it_is_drawn(
    trained: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from gancli.generation.latents import Points, Renderer

    drawn = []
    whole = Renderer._images

    def counted(self: Renderer, points: Points) -> torch.Tensor:
        drawn.append(len(points))
        return whole(self, points)

    monkeypatch.setattr(Renderer, "_images", counted)
    assert run(["sample", trained, "-n", "600", "--columns", "600", "-o", "x.webp"]) == 2
    assert "would be 20398x32, but a webp has at most 16383" in capfd.readouterr().err
    assert drawn == [64]
    assert not Path("x.webp").exists()


def process(*arguments: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "gancli", *arguments]
    return subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE)


def test_a_pipe_gets_the_bytes_and_a_closed_one_is_quiet(
    here: Path, trained: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    out, err = process("sample", trained, "-n", "16", "-o", "-").communicate(timeout=120)
    assert Image.open(io.BytesIO(out)).size == (4 * 34 - 2, 4 * 34 - 2)
    assert err == b""
    assert run(["sample", trained, "-n", "2", "-o", "-", "--format", "npy"]) == 0
    assert np.load(io.BytesIO(capfdbinary.readouterr().out)).shape == (2, 3, 32, 32)
    reading, writing = os.pipe()
    closed = process("sample", trained, "-n", "400", "-o", "-", "--format", "npy", stdout=writing)
    os.close(writing)
    os.close(reading)
    _, err = closed.communicate(timeout=120)
    assert err == b""
    assert closed.returncode == 141


def test_a_full_disk_is_said_in_words(trained: str, capfd: pytest.CaptureFixture[str]) -> None:
    with full_disk():
        assert run(["sample", trained, "-n", "400", "-o", "-", "--format", "npy"]) == 1
    err = capfd.readouterr().err
    assert err.startswith("error: no space left")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-n", "0"], "-n 0: must be between 1"),
        (["-n", "9223372036854775806"], "must be between 1 and 1,000,000"),
        (["--seeds", "9" * 5000], "is neither a number nor a range"),
        (["--trunc", "1e39"], "must be between -1,000,000 and 1,000,000"),
        (["--seed", "-1"], "--seed -1"),
        (["--seeds", "1-"], "neither a number nor a range"),
        (["-n", "3", "--seeds", "1"], "-n and --seeds"),
        (["--seeds", "1", "--latents", "z.npy"], "--seeds and --latents"),
        (["--trunc", "0"], "--trunc 0"),
        (["--trunc", "nan"], "--trunc nan"),
        (["--latents", "missing.npy"], "missing.npy"),
        (["--latents", "wrong.npy"], "[N, 8]"),
        (["--latents", "text.npy"], "text.npy"),
        (["--latents", "nan.npy"], "not finite"),
        (["--latents", "large.npy"], "too large for float32"),
        (["--latents", "zip.npy"], "zip.npy is not a .npy file"),
        (["--latents", "wrong.npy", "--trunc", "0.5"], "--trunc"),
        (["-o", "x.tiff"], ".tiff"),
        (["-o", "no/dir/x.png"], "no/dir"),
        (["-o", "x.png", "--format", "jpg"], "--format"),
        (["--format", "bmp"], "bmp"),
        (["--batch", "0"], "--batch 0"),
        (["--columns", "0"], "--columns 0"),
        (["--device", "tpu"], "tpu"),
    ],
)
def test_wrong_input(
    here: Path, trained: str, arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    np.save("wrong.npy", np.zeros((2, 9), np.float32))
    np.save("nan.npy", np.full((2, 8), np.nan, np.float32))
    np.save("large.npy", np.full((2, 8), 1e300))
    Path("text.npy").write_text("no array")
    Path("zip.npy").write_bytes(b"PK\x03\x04 and no more")
    before = outputs(here)
    assert run(["sample", trained, *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert outputs(here) == before


@pytest.mark.parametrize("architecture", ["cyclegan", "pix2pix"])
def test_a_translator_is_said_to_translate(here: Path, architecture: str, capfd: pytest.CaptureFixture[str]) -> None:
    resolved = config.resolve(architecture, sets=["model.generator_width=2", "model.resolution=32"])
    kind = load_architecture(architecture)
    model = kind(resolved.model)
    inputs = kind.inputs(resolved.model)
    info = describe(architecture, resolved, networks=list(model.averaged), inputs=inputs)
    kept = {name: value for name, value in model.state_dict().items() if name.partition(".")[0] in model.averaged}
    Path("t.safetensors").write_bytes(to_bytes(info, kept))
    for command in (["sample"], ["interpolate"], ["truncate"], ["style-mix", "--rows", "0", "--cols", "1"]):
        assert run([*command, "t.safetensors"]) == 2
        out, err = capfd.readouterr()
        assert out == ""
        assert f"t.safetensors is a {architecture}, which makes no images from latents" in err
        assert "hint: gancli translate t.safetensors IMAGE" in err
    assert outputs(here) == ["t.safetensors"]


def test_models_that_are_none(here: Path, trained: str, capfd: pytest.CaptureFixture[str]) -> None:
    Path("photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    Path("empty.d").mkdir()
    for name, said in (
        ("mm", "did you mean 'm'?"),
        ("photo.png", "not a model file"),
        ("empty.d", "no model.safetensors"),
    ):
        assert run(["sample", name]) == 2
        assert said in capfd.readouterr().err


# ---- styles and classes: the models of conftest.py -----------------------------------------------------------


def load(*arguments: str) -> NDArray[np.float32]:
    assert run(["sample", *arguments, "-o", "x.npy"]) == 0
    values: NDArray[np.float32] = np.load("x.npy")
    return values


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize("name", ["progan", "stylegan3"])
def test_classes(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    seeds = ["--seeds", "4,6"]
    cat, dog, cow = (load(name, *seeds, "--class", class_) for class_ in ("cat", "1", "big cow"))
    assert abs(cat - dog).mean() > 1e-3
    assert capfd.readouterr().err == ""
    # Every class with every seed, row by row; by the seed, where nothing is said: 4 is a dog, 6 a cat.
    every = load(name, *seeds, "--class", "all")
    np.testing.assert_allclose(every, np.concatenate([cat, dog, cow]), atol=1e-4)
    assert capfd.readouterr().err == ""
    np.testing.assert_allclose(load(name, *seeds), np.stack([dog[0], cat[1]]), atol=1e-4)
    assert "classes take turns, starting with cat for seed 0" in capfd.readouterr().err
    np.testing.assert_allclose(load(name, *seeds, "--class", "big cow,dog"), np.stack([cow[0], dog[1]]), atol=1e-4)
    assert run(["sample", name, *seeds, "--class", "all", "-o", "grid.png"]) == 0
    assert Image.open("grid.png").size == (2 * 18 - 2, 3 * 18 - 2)  # a row for each class


@pytest.mark.usefixtures("named")
def test_files_say_seed_and_class(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["sample", "progan", "-n", "1", "--class", "all", "-o", "out"]) == 0
    assert capfd.readouterr().out.split() == [f"out/seed0000-{name}.png" for name in ("cat", "dog", "big_cow")]
    np.save("z.npy", np.ones((2, 8)))
    assert run(["sample", "progan", "--latents", "z.npy", "-o", "out"]) == 0
    assert capfd.readouterr().out.split() == ["out/latent0000-cat.png", "out/latent0001-dog.png"]


@pytest.mark.usefixtures("named")
def test_noise_of_style_models() -> None:
    const, none, random = (load("stylegan", "-n", "3", "--noise", kind) for kind in ("const", "none", "random"))
    np.testing.assert_array_equal(load("stylegan", "-n", "3"), const)
    assert abs(const - none).mean() > 1e-3
    assert abs(random - const).mean() > 1e-3
    np.testing.assert_allclose(load("stylegan", "--seeds", "2", "--noise", "random")[0], random[2], atol=1e-4)


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize("truncation", [[], ["--trunc", "-0.5"], ["--trunc", "0.5", "--cutoff", "2"]])
@pytest.mark.parametrize("name", ["stylegan", "stylegan3"])
def test_styles_are_written_and_read(name: str, truncation: list[str]) -> None:
    images = load(name, "-n", "4", *truncation)
    w = load(name, "-n", "4", "--space", "w", *truncation)
    assert w.dtype == np.float32
    assert w.shape == ((4, 6, 12) if "--cutoff" in truncation else (4, 12))
    np.save("w.npy", w)
    np.testing.assert_allclose(load(name, "--latents", "w.npy"), images, atol=1e-4)
    np.testing.assert_allclose(load(name, "--latents", "w.npy", "--space", "w"), images, atol=1e-4)
    if not truncation:
        again = load(name, "--latents", "w.npy", "--trunc", "0.5", "--cutoff", "2")
        np.testing.assert_allclose(again, load(name, "-n", "4", "--trunc", "0.5", "--cutoff", "2"), atol=1e-4)
        assert abs(again - images).mean() > 1e-3


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize(("name", "more"), [("dcgan", ["--trunc", "0.5"]), ("stylegan", []), ("progan", [])])
def test_latents_are_written_and_read(name: str, more: list[str]) -> None:
    z = load(name, "-n", "3", "--space", "z", *more)
    assert z.shape == (3, 8)
    np.save("z.npy", z)
    np.testing.assert_allclose(load(name, "--latents", "z.npy"), load(name, "-n", "3", *more), atol=1e-4)
    assert (abs(z).max() <= 0.5) == bool(more)


@pytest.mark.usefixtures("named")
def test_numbers_have_a_name_of_their_own_and_go_anywhere(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(["sample", "stylegan", "-n", "2", "--space", "w"]) == 0
    assert capfdbinary.readouterr().out == b"stylegan-w-seeds0-1.npy\n"
    assert run(["sample", "stylegan", "-n", "2", "--space", "w", "-o", "out", "--format", "npy"]) == 0
    assert capfdbinary.readouterr().out == b"out/seed0000.npy\nout/seed0001.npy\n"
    assert np.load("out/seed0001.npy").shape == (1, 12)
    assert run(["sample", "stylegan", "-n", "2", "--space", "w", "-o", "-", "--format", "npy"]) == 0
    assert np.load(io.BytesIO(capfdbinary.readouterr().out)).shape == (2, 12)


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("dcgan", ["--noise", "none"], "--noise none: DCGAN has no styles"),
        ("dcgan", ["--cutoff", "1", "--trunc", "1"], "--cutoff 1: DCGAN has no styles"),
        ("dcgan", ["--space", "w", "-o", "w.npy"], "--space w: DCGAN has no styles"),
        ("dcgan", ["--class", "cat"], "dcgan was not trained with classes"),
        ("dcgan", ["--class", "all"], "dcgan was not trained with classes"),
        ("dcgan", ["--trunc", "-1"], "--trunc -1: must be greater than 0"),
        ("progan", ["--class", "catt"], "did you mean 'cat'?"),
        ("progan", ["--class", "3"], "its 3 classes are: cat, dog, big cow"),
        ("progan", ["-n", "3", "--class", "cat,dog"], "2 classes given for 3 images"),
        ("stylegan", ["--noise", "loud"], "--noise loud: unknown"),
        ("stylegan", ["--cutoff", "1"], "there is no --trunc"),
        ("stylegan", ["--cutoff", "7", "--trunc", "1"], "this model has 6 layers"),
        ("stylegan", ["--space", "w", "-o", "w.png"], "--space w writes numbers, not pictures"),
        ("stylegan", ["--space", "w", "--noise", "none"], "--noise none has no effect"),
        ("stylegan", ["--space", "z", "--trunc", "1"], "--space z writes latents"),
        ("stylegan", ["--space", "x"], "--space x: unknown"),
        ("stylegan", ["--latents", "wrong.npy"], "[N, 8] or [N, 12] or [N, 6, 12]"),
        ("stylegan", ["--latents", "wrong.npy", "--space", "z"], "takes float [N, 8]"),
        ("stylegan3", ["--latents", "w.npy", "--class", "cat"], "holds styles, which already depend on a class"),
    ],
)
def test_wrong_input_of_styles_and_classes(
    here: Path, name: str, arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    np.save("wrong.npy", np.zeros((2, 9), np.float32))
    np.save("w.npy", np.zeros((2, 12), np.float32))
    assert run(["sample", name, *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert sorted(path.name for path in here.iterdir()) == ["runs", "w.npy", "wrong.npy"]
