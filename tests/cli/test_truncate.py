"""gancli truncate: a cell is what sample draws of this seed at this level, and levels that cannot be are said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tiny import script

from gancli.cli.app import run

pytestmark = pytest.mark.usefixtures("named")


def load(*arguments: str) -> NDArray[np.float32]:
    assert run([*arguments, "-o", "x.npy"]) == 0
    images: NDArray[np.float32] = np.load("x.npy")
    return images


@pytest.mark.parametrize(
    ("name", "levels", "more"),
    [
        ("stylegan", "1,0.5,0,-1", []),
        ("stylegan", "0.7,-0.3", ["--cutoff", "2", "--noise", "random"]),
        ("stylegan3", "1,0.5", ["--class", "dog"]),
        ("progan", "3,0.4", []),
        ("dcgan", "2,1,1e-9", []),
    ],
)
def test_every_cell_is_what_sample_draws_at_its_level(name: str, levels: str, more: list[str]) -> None:
    count = len(levels.split(","))
    cells = load("truncate", name, "--seeds", "3,8", "--levels", levels, *more)
    assert len(cells) == 2 * count
    for column, level in enumerate(levels.split(",")):
        expected = load("sample", name, "--seeds", "3,8", "--trunc", level, *more)
        np.testing.assert_allclose(cells[column::count], expected, atol=1e-4)
    assert abs(np.diff(cells[:count], axis=0)).mean(axis=(1, 2, 3)).min() > 1e-3


def test_psi_0_is_the_same_for_all_and_its_opposites_lie_around_it() -> None:
    assert run(["sample", "stylegan", "-n", "2", "--space", "w", "--trunc", "-1", "-o", "anti.npy"]) == 0
    assert run(["sample", "stylegan", "-n", "2", "--space", "w", "-o", "w.npy"]) == 0
    assert run(["sample", "stylegan", "-n", "2", "--space", "w", "--trunc", "0", "-o", "mean.npy"]) == 0
    anti, w, mean = (np.load(f"{name}.npy") for name in ("anti", "w", "mean"))
    np.testing.assert_allclose((anti + w) / 2, mean, atol=1e-5)
    np.testing.assert_allclose(mean[0], mean[1], atol=1e-6)
    cells = load("truncate", "stylegan", "--seeds", "0,1", "--levels", "0,1")
    np.testing.assert_allclose(cells[0], cells[2], atol=1e-5)
    assert abs(cells[1] - cells[3]).mean() > 0.01


@pytest.mark.parametrize(
    ("name", "size", "side"), [("stylegan", (5, 4), 16), ("progan", (4, 4), 16), ("dcgan", (4, 4), 32)]
)
def test_the_grid_by_default(name: str, size: tuple[int, int], side: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["truncate", name]) == 0
    assert capfd.readouterr().out == f"{name}-truncate-seeds0-3.png\n"
    shown = Image.open(f"{name}-truncate-seeds0-3.png")
    assert shown.size == tuple(count * (side + 2) - 2 for count in size)


def test_files_say_seed_class_and_level(capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["--seeds", "2", "--class", "cat,big cow", "--levels", "0.5,-1", "-o", "out/"]
    assert run(["truncate", "stylegan3", *arguments]) == 0
    files = [
        *("out/seed0002-cat-trunc0.5.png", "out/seed0002-cat-trunc-1.png"),
        *("out/seed0002-big_cow-trunc0.5.png", "out/seed0002-big_cow-trunc-1.png"),
    ]
    assert capfd.readouterr().out.split() == files
    assert all(Path(file).is_file() for file in files)


def test_metrics_that_cannot_be_are_said_before_the_picture(capfd: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["--metrics", "nope"], "there is no metric 'nope'"),
        (["--metrics", "fid", "--features", "no.pt"], "no such network or file"),
        (["--metrics", "swd", "-n", "4", "-o", "-"], "would both write to stdout"),
        (["--levels", "1e38"], "must be between"),
    ):
        assert (
            run(
                ["truncate", "stylegan", "--data", "shapes", *words]
                if "--metrics" in words
                else ["truncate", "stylegan", *words]
            )
            == 2
        )
        assert said in " ".join(capfd.readouterr().err.split())
    assert not list(Path().glob("*.png"))


def test_levels_that_differ_little_have_files_of_their_own(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["truncate", "stylegan", "--seeds", "0", "--levels", "0.5,0.5000001,1", "-o", "out/"]) == 0
    assert capfd.readouterr().out.split() == [f"out/seed0000-trunc{level}.png" for level in ("0.5", "0.5000001", "1")]


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("dcgan", ["--levels", "1,0"], "--levels 0: must be greater than 0"),
        ("dcgan", ["--levels", "-1"], "--levels -1: must be greater than 0"),
        ("dcgan", ["--cutoff", "2"], "--cutoff 2: DCGAN has no styles"),
        ("stylegan", ["--levels", "1,nan"], "--levels nan"),
        ("stylegan", ["--levels", "1,,2"], "--levels 1,,2"),
        ("stylegan", ["--levels", "all"], "--levels all"),
        ("stylegan", ["--cutoff", "0"], "--cutoff 0: this model has 6 layers"),
        ("stylegan", ["--seeds", "x"], "--seeds 'x'"),
        ("stylegan", ["-o", "x.mp4"], ".mp4 files cannot be written"),
    ],
)
def test_wrong_input(here: Path, name: str, arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["truncate", name, *arguments]) == 2
    out, err = capfd.readouterr()
    assert (out, list(here.iterdir())) == ("", [here / "runs"])
    assert err.startswith("error: ")
    assert said in err


def test_metrics_by_level_say_what_is_won_and_lost(here: Path, named: None, capfd: pytest.CaptureFixture[str]) -> None:
    script(here / "tiny.pt")
    words = ["--data", "shapes", "-n", "40", "--features", "tiny.pt", "--levels", "1,0.5,0"]
    assert run(["truncate", "stylegan", "--metrics", "prc,fid", *words, "-o", "grid.png"]) == 0
    path, header, *rows = capfd.readouterr().out.splitlines()
    assert path == "grid.png"
    assert header.split() == ["level", "precision", "recall", "fid"]
    assert [row.split()[0] for row in rows] == ["1", "0.5", "0"]
    values = [[float(cell) for cell in row.split()[1:]] for row in rows]
    # What truncate says of a level is what evaluate says.
    asked = ["evaluate", "stylegan", "--metrics", "prc,fid", *words[:-2], "--trunc", "0.5", "--json"]
    assert run(asked) == 0
    found = json.loads(capfd.readouterr().out)["metrics"]
    assert values[1] == pytest.approx([*found["prc"].values(), *found["fid"].values()], rel=1e-4)
    assert values[0] != values[1] != values[2]
    assert run(["truncate", "stylegan", "-n", "3", "-o", "grid.png"]) == 2
    assert "-n 3 has no effect without --metrics" in capfd.readouterr().err
