"""gancli style-mix: which layers come from whom, the sources along the edges, and models without styles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gancli.cli.app import run

pytestmark = pytest.mark.usefixtures("named")

ROWS, COLUMNS = "1,2", "5,6,7"


def load(*arguments: str) -> NDArray[np.float32]:
    assert run([*arguments, "-o", "x.npy"]) == 0
    images: NDArray[np.float32] = np.load("x.npy")
    return images


def mix(*arguments: str, bands: int = 1) -> NDArray[np.float32]:
    """Returns the grid, [1 + bands * 2, 1 + 3, C, H, W]."""
    images = load("style-mix", "stylegan", "--rows", ROWS, "--cols", COLUMNS, *arguments)
    return images.reshape(1 + 2 * bands, 4, *images.shape[1:])


def test_the_sources_are_along_the_edges_and_the_corner_is_black() -> None:
    cells = mix("--styles", "0-1")
    np.testing.assert_allclose(cells[1:, 0], load("sample", "stylegan", "--seeds", ROWS), atol=1e-4)
    np.testing.assert_allclose(cells[0, 1:], load("sample", "stylegan", "--seeds", COLUMNS), atol=1e-4)
    assert (cells[0, 0] == -1).all()


def test_all_layers_make_the_column_and_some_make_neither() -> None:
    whole = mix("--styles", "0-5")
    for row in (1, 2):
        np.testing.assert_allclose(whole[row, 1:], whole[0, 1:], atol=1e-4)
    some = mix("--styles", "coarse")
    for row in (1, 2):
        for column in (1, 2, 3):
            assert abs(some[row, column] - some[0, column]).mean() > 1e-3
            assert abs(some[row, column] - some[row, 0]).mean() > 1e-3


@pytest.mark.parametrize("truncation", [[], ["--trunc", "0.5"], ["--trunc", "0.5", "--cutoff", "3"]])
def test_layers_are_those_of_their_sources(truncation: list[str]) -> None:
    """Against styles that were written, mixed here, and read again."""
    cells = mix("--styles", "1-2,5", *truncation)
    assert run(["sample", "stylegan", "--seeds", "1,2,5,6,7", "--space", "w", *truncation, "-o", "w.npy"]) == 0
    w = np.load("w.npy")
    ws = w if w.ndim == 3 else w[:, None].repeat(6, axis=1)
    mixed = np.stack([ws[row] for row in (0, 1) for _ in range(3)])
    mixed[:, [1, 2, 5]] = np.concatenate([ws[2:], ws[2:]])[:, [1, 2, 5]]
    np.save("mixed.npy", mixed)
    expected = load("sample", "stylegan", "--latents", "mixed.npy").reshape(2, 3, 3, 16, 16)
    np.testing.assert_allclose(cells[1:, 1:], expected, atol=1e-4)


def test_each_set_of_layers_is_a_band_of_rows() -> None:
    bands = mix(bands=3)
    for index, styles in enumerate(("coarse", "middle", "fine")):
        np.testing.assert_allclose(bands[1 + 2 * index : 3 + 2 * index], mix("--styles", styles)[1:], atol=1e-4)
    two = mix("--styles", "fine", "--styles", "0", bands=2)
    np.testing.assert_allclose(two[1:3], bands[5:7], atol=1e-4)


def test_noise_goes_by_the_seed_of_the_row() -> None:
    cells = mix("--styles", "0-5", "--noise", "random")
    assert abs(cells[1, 1:] - cells[0, 1:]).mean() > 1e-3
    np.testing.assert_allclose(
        cells[1:, 0], load("sample", "stylegan", "--seeds", ROWS, "--noise", "random"), atol=1e-4
    )


def test_the_picture_and_the_files(capfd: pytest.CaptureFixture[str]) -> None:
    wanted = ["style-mix", "stylegan3", "--rows", "0", "--cols", "1,5", "--class", "cat,dog,big cow"]
    assert run([*wanted, "--noise", "none"]) == 0
    assert capfd.readouterr().out == "stylegan3-style-mix-seeds0+2.png\n"
    assert Image.open("stylegan3-style-mix-seeds0+2.png").size == (3 * 18 - 2, 4 * 18 - 2)
    assert run([*wanted, "--styles", "0-1,5", "--styles", "fine", "-o", "out"]) == 0
    row, columns = "seed0000-cat", ("seed0001-dog", "seed0005-big_cow")
    mixed = [f"out/{row}-{column}-{styles}.png" for styles in ("0-1,5", "fine") for column in columns]
    edges = [f"out/{name}.png" for name in (*columns, row)]
    assert capfd.readouterr().out.split() == [*edges, *mixed]
    assert sorted(str(path) for path in Path("out").iterdir()) == sorted([*edges, *mixed])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--styles", "6"], "there are no layers 6; the model has 6 layers, 0 to 5"),
        (["--styles", "rough"], "'rough' is not a layer"),
        (["--rows", "a"], "--rows 'a'"),
        (["--cols", ""], "--cols ''"),
        (["--cutoff", "2"], "there is no --trunc"),
        (["--class", "cat"], "was not trained with classes"),
    ],
)
def test_wrong_input(here: Path, arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["style-mix", "stylegan", "--rows", "0", "--cols", "1", *arguments]) == 2
    out, err = capfd.readouterr()
    assert (out, list(here.iterdir())) == ("", [here / "runs"])
    assert err.startswith("error: ")
    assert said in err


def test_layers_that_have_not_grown_yet_are_said_to_change_nothing(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--set", "model.width=16", "--set", "model.resolution=16", "--set", "train.samples=2"]
    assert run(["train", "stylegan-shapes", "--data", "shapes", "--steps", "1", "--out", "young", *sizes]) == 0
    assert run(["style-mix", "young", "--rows", "0", "--cols", "1", "-o", "x.png"]) == 0
    assert "grown to 8 px so far: fine has no effect yet" in " ".join(capfd.readouterr().err.split())


@pytest.mark.parametrize("name", ["dcgan", "progan"])
def test_a_model_without_styles_is_said_to_have_other_commands(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["style-mix", name, "--rows", "0", "--cols", "1"]) == 2
    assert capfd.readouterr().err == (
        f"error: {name} is a {name}, which has no styles to mix\n"
        f"hint: gancli sample {name}, or gancli interpolate {name}, or gancli truncate {name}\n"
    )
