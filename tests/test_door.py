"""The Python door: the same images as the commands, what goes in and comes out, errors, and docs/python.md."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import gancli
from gancli import config
from gancli.architectures.base import Way
from gancli.cli.app import run
from gancli.domains import Inputs
from gancli.door import Model
from gancli.modelfile import describe, to_bytes
from gancli.registry import load_architecture

FIXTURES = Path(__file__).parent / "fixtures" / "version_1"
PAGE = (Path(__file__).parents[1] / "docs" / "python.md").read_text()
STYLES = ("model.resolution=16", "model.latent_dim=8", "model.style_dim=12", "model.width=64", "model.max_width=8")
TRANSLATORS = ("model.resolution=32", "model.generator_width=2")


def save(
    path: Path, architecture: str, *sets: str, domains: tuple[str, ...] = (), classes: tuple[str, ...] = ()
) -> None:
    """Writes the model file of an untrained model whose output has some contrast."""
    resolved = config.resolve(architecture, sets=[*sets, *([f"model.classes={len(classes)}"] if classes else [])])
    kind = load_architecture(architecture)
    torch.manual_seed(0)
    model = kind(resolved.model)
    for parameter in model.parameters():
        parameter.data.mul_(8 if parameter.ndim > 1 and architecture != "stylegan" else 1)
    inputs = kind.inputs(resolved.model)
    inputs = Inputs(dict(zip(domains or inputs.domains, inputs.domains.values(), strict=True)), inputs.paired)
    info = describe(architecture, resolved, networks=list(model.averaged), inputs=inputs, classes=classes, step=7)
    kept = {name: value for name, value in model.state_dict().items() if name.partition(".")[0] in model.averaged}
    path.write_bytes(to_bytes(info, kept))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models in runs/ and a photograph."""
    here = tmp_path_factory.mktemp("door")
    (here / "runs").mkdir()
    save(here / "runs/faces.safetensors", "stylegan", *STYLES, classes=("young", "old"))
    save(here / "runs/plain.safetensors", "dcgan", "model.resolution=32", "model.generator_width=4")
    save(here / "runs/horse2zebra.safetensors", "cyclegan", *TRANSLATORS, "model.blocks=1", domains=("horse", "zebra"))
    save(here / "runs/maps.safetensors", "pix2pix", "model.generator_width=2", "model.resolution=64", "model.depth=6")
    y, x = np.mgrid[:40, :52]
    pixels = np.stack([128 + 100 * np.sin(y / 9 + x / 11 + c) for c in range(3)], -1).astype(np.uint8)
    Image.fromarray(pixels).save(here / "horse.png")
    Image.fromarray(pixels).save(here / "horse.jpg")
    return here


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def faces(here: Path) -> Model:
    return gancli.load("faces", device="cpu")


@pytest.fixture
def horses(here: Path) -> Model:
    return gancli.load("horse2zebra", device="cpu")


def pixels(image: Image.Image) -> np.ndarray[Any, Any]:
    return np.asarray(image).astype(int)


def test_the_page_runs(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    for name in ("runs", "horse.jpg"):
        (tmp_path / name).symlink_to(here / name)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6
    values: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), values)
    assert values["model"].classes == ["young", "old"]
    assert len(values["frames"]) == 90
    assert Image.open("film.gif").n_frames == 90
    assert values["zebra"].size == Image.open("zebra.png").size == (52, 40)
    assert capsys.readouterr().out.splitlines() == [
        "horse2zebra has no domain 'zebr' - did you mean 'zebra'?",
        "stylegan 7 torch.Size([4, 12])",
    ]


def test_images_are_those_of_the_commands(faces: Model) -> None:
    options = ["--class", "old", "--trunc", "0.5", "--cutoff", "2", "--noise", "random"]
    assert run(["sample", "faces", "--seeds", "3,5", *options, "-o", "sampled"]) == 0
    drawn = faces.sample(seeds=[3, 5], classes="old", trunc=0.5, cutoff=2, noise="random")
    for image, name in zip(drawn, ("seed0003-old", "seed0005-old"), strict=True):
        assert np.array_equal(pixels(image), pixels(Image.open(f"sampled/{name}.png")))
    assert run(["interpolate", "faces", "--seeds", "3,5", "--frames", "3", "--smooth", "-o", "x.npy"]) == 0
    frames = faces.interpolate(seeds=[3, 5], frames=3, smooth=True, as_arrays=True)
    assert np.array_equal(np.stack(frames), np.load("x.npy"))
    mix = ["--rows", "0,1", "--cols", "2,3,4", "--styles", "0-1"]
    assert run(["style-mix", "faces", *mix, "-o", "mixed"]) == 0
    rows = faces.style_mix(rows=[0, 1], cols=[2, 3, 4], layers=range(2))
    assert faces.style_mix(rows=[0, 1], cols=[2, 3, 4], layers="0-1") == rows
    assert [len(row) for row in rows] == [3, 3]
    assert abs(pixels(rows[1][2]) - pixels(Image.open("mixed/seed0001-old-seed0004-young-0-1.png"))).max() <= 1
    assert run(["translate", "horse2zebra", "horse.png", "--to", "horse", "-o", "translated.png"]) == 0
    (translated,) = gancli.load("horse2zebra").translate(Image.open("horse.png"), to="horse")
    assert np.array_equal(pixels(translated), pixels(Image.open("translated.png")))
    assert pixels(translated).std() > 3


def test_latents_without_styles_and_classes(here: Path) -> None:
    plain = gancli.load(here / "runs/plain.safetensors", device="cpu")
    free, cut = (plain.sample(seeds=range(3), trunc=trunc, as_arrays=True) for trunc in (None, 0.3))
    assert np.stack(free).shape == (3, 3, 32, 32)
    assert free[0].dtype == np.float32
    assert abs(free[0] - cut[0]).mean() > 1e-4
    assert plain.classes == []
    assert [image.size for image in plain.sample()] == [(32, 32)]
    curved, straight = (plain.interpolate(seeds=[0, 1], frames=2, path=path, as_arrays=True) for path in (None, "lerp"))
    assert np.array_equal(curved[0], straight[0])
    assert abs(curved[1] - straight[1]).mean() > 1e-4


def test_classes(faces: Model) -> None:
    in_turn = faces.sample(seeds=[4, 5], as_arrays=True)
    chosen = faces.sample(seeds=[4, 5], classes=["young", 1], as_arrays=True)
    assert np.array_equal(in_turn, chosen)
    one_seed = faces.sample(seeds=[4], classes=["young", "old"], as_arrays=True)
    np.testing.assert_allclose(one_seed[0], in_turn[0], atol=1e-5)
    assert abs(one_seed[0] - one_seed[1]).mean() > 1e-3


def test_inputs_of_every_kind_are_the_same_image(horses: Model) -> None:
    image = Image.open("horse.png")
    array = np.asarray(image)
    floats = array.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
    results = horses.translate([image, array, floats, image.convert("RGBA")])
    assert [result.size for result in results] == [(52, 40)] * 4
    assert [result.mode for result in results] == ["RGB"] * 4
    for result in results:
        assert abs(pixels(result) - pixels(results[0])).max() <= 1
    (network,) = horses.translate(floats, as_arrays=True)
    with torch.inference_mode():
        expected = horses.network.translate(torch.from_numpy(floats)[None], Way("A", "B"))[0].numpy()  # type: ignore[operator]
    np.testing.assert_allclose(network, expected, atol=1e-5)
    assert len(horses.translate(np.stack([floats, floats]))) == 2
    grey = array[:, :, 0]
    both = horses.translate([grey, np.repeat(grey[:, :, None], 3, 2)])
    assert np.array_equal(*map(pixels, both))
    clear = image.convert("RGB")
    clear.putalpha(100)
    (result,) = horses.translate([clear])
    assert result.mode == "RGBA"
    assert (pixels(result)[..., 3] == 100).all()
    (small,) = horses.translate(image, size=20)
    assert small.size == (26, 20)


def test_noise_depends_on_the_seed(here: Path) -> None:
    maps = gancli.load("maps", device="cpu")
    image = Image.open("horse.png")
    first, again, other = (maps.translate(image, seed=seed, as_arrays=True)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert abs(first - other).mean() > 1e-4


@pytest.mark.parametrize(
    ("call", "message", "hint"),
    [
        (lambda: gancli.load("face"), "no model 'face'", "did you mean 'faces'?"),
        (lambda: gancli.load("faces", device="tpu"), "no device 'tpu'", "auto, cpu"),
        (lambda: gancli.load("faces").sample([-1]), "seed -1", ""),
        (lambda: gancli.load("faces").sample([]), "no seeds", "seeds=[0, 1]"),
        (lambda: gancli.load("faces").sample([0], classes="ol"), "no class 'ol'", "did you mean 'old'?"),
        (lambda: gancli.load("faces").sample([0], classes=2), "no class 2", "its 2 classes are: young, old"),
        (lambda: gancli.load("faces").sample([0, 1, 2], classes=["old"] * 2), "2 classes given for 3 images", "one"),
        (lambda: gancli.load("faces").sample(noise="loud"), "noise loud: unknown", "const, random, none"),
        (lambda: gancli.load("faces").sample(batch=0), "batch 0", ""),
        (lambda: gancli.load("faces").sample(cutoff=1), "there is no trunc", "add trunc"),
        (lambda: gancli.load("faces").interpolate([1]), "at least two seeds", "seeds=[0, 1, 2]"),
        (lambda: gancli.load("faces").interpolate(frames=0), "frames 0: must be at least 1", ""),
        (lambda: gancli.load("faces").interpolate(path="zigzag"), "path zigzag: unknown", "slerp, lerp"),
        (lambda: gancli.load("faces").style_mix([0], [1], [6]), "layers [6]", ""),
        (lambda: gancli.load("faces").style_mix([0], [1], "rough"), "layers rough: 'rough' is not a layer", "coarse"),
        (lambda: gancli.load("faces").translate([]), "faces is a stylegan, which translates no images", "sample"),
        (lambda: gancli.load("plain").sample(classes="old"), "plain was not trained with classes", "leave classes out"),
        (lambda: gancli.load("plain").sample(trunc=-1), "trunc -1: must be greater than 0", "trunc 0.5"),
        (lambda: gancli.load("plain").sample(noise="none"), "noise none: DCGAN has no styles", "leave noise out"),
        (lambda: gancli.load("plain").interpolate(space="w"), "space w: DCGAN has no styles", "leave space out"),
        (lambda: gancli.load("plain").style_mix([0], [1], [0]), "plain is a dcgan, which has no styles", "sample"),
        (lambda: gancli.load("horse2zebra").sample(), "which makes no images from latents", "use translate"),
        (lambda: gancli.load("horse2zebra").translate([], tile=10), "tile 10: must be at least 64", ""),
        (
            lambda: gancli.load("horse2zebra").translate([np.zeros((3, 8, 8)), np.zeros((4, 8, 8))]),
            "images[1]: holds float64 [4, 8, 8]",
            "",
        ),
        (lambda: gancli.load("horse2zebra").translate(np.full((3, 8, 8), 2.0)), "values outside [-1, 1]", ""),
        (lambda: gancli.load("horse2zebra").translate(np.zeros((8, 8, 7), np.uint8)), "images[0]: ", ""),
    ],
)
def test_what_does_not_suit(here: Path, call: Callable[[], object], message: str, hint: str) -> None:
    with pytest.raises(gancli.GancliError) as caught:
        call()
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.hint in str(caught.value)
    assert "--" not in str(caught.value)


def test_importing_gancli_imports_nothing_heavy() -> None:
    """50 ms is the limit; what is imported says more on a busy machine than a clock."""
    script = "import sys; before = set(sys.modules); import gancli; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert not imported & {"torch", "numpy", "PIL", "pydantic", "rich", "typer", "yaml", "safetensors"}
    assert {name for name in imported if name.startswith("gancli")} == {"gancli", "gancli.errors", "gancli.version"}
    script = "import time; begin = time.process_time(); import gancli; print(time.process_time() - begin)"
    times = [float(subprocess.check_output([sys.executable, "-c", script])) for _ in range(3)]
    assert min(times) < 0.05


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seeds": ["a"]}, "seed 'a': must be an integer"),
        ({"seeds": [1.5]}, "seed 1.5: must be an integer"),
        ({"seeds": [True]}, "seed True: must be an integer"),
        ({"trunc": "a"}, "trunc 'a': must be a number"),
    ],
)
def test_values_of_the_wrong_type_are_said_in_words(given: dict[str, Any], said: str) -> None:
    model = gancli.load(str(FIXTURES / "dcgan" / "run"))
    with pytest.raises(gancli.GancliError, match=re.escape(said)):
        model.sample(**given)


def test_one_seed_needs_no_list_and_numpy_may_count() -> None:
    model = gancli.load(str(FIXTURES / "dcgan" / "run"))
    (one,), (other,) = model.sample(seeds=3), model.sample(seeds=np.array([3]))  # type: ignore[arg-type]
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("image", ["x.png", np.zeros((0, 64, 3), np.uint8), None])
def test_what_is_not_an_image_is_said_in_words(image: Any) -> None:
    with pytest.raises(gancli.GancliError, match="not a Pillow image or an array with pixels"):
        gancli.load(str(FIXTURES / "cyclegan" / "run")).translate([image])
