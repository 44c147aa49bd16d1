"""gancli data, as users type it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gancli.cli.app import run


def test_data_says_what_is_there_and_what_is_broken(
    here: Path, photos: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for kind in ("cats", "dogs", "cows"):
        shutil.copytree(photos, here / "set" / kind)
    (here / "set/cats/bad.png").write_text("no picture")
    Image.new("L", (50, 30)).save(here / "set/dogs/grey.png")
    assert run(["data", "set"]) == 0
    out = capfd.readouterr().out
    for said in (
        "class folders",
        "images        73",
        "2 sizes from 50 x 30 to 40 x 40 px",
        "72 colour, 1 grey",
        "3: cats, cows, dogs",
        "bad.png",
        "dcgan: can train",
    ):
        assert said in out, said
    assert run(["data", "set", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["domains"][0]["images"] == 73
    assert [bad["name"].endswith("bad.png") for bad in report["bad"]] == [True]
    assert report["classes"] == ["cats", "cows", "dogs"]
    assert report["architectures"]["dcgan"] is None


def test_two_folders_numbered_alike_are_pairs_or_two_classes(
    here: Path, photos: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for kind in ("cats", "dogs"):
        shutil.copytree(photos, here / "set" / kind)
    assert run(["data", "set", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["paired"]
    assert report["architectures"]["dcgan"] is None
    assert run(["train", "dcgan-shapes", "--data", "set", "--dry-run"]) == 0
    out, err = capfd.readouterr()
    assert "class folders, 48 images" in out
    assert "read as two classes" in err


def test_data_says_why_an_architecture_cannot_train(capfd: pytest.CaptureFixture[str], real_data: Path) -> None:
    assert run(["data", str(real_data / "monet2photo"), "--split", "test", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert [(domain["name"], domain["images"]) for domain in report["domains"]] == [("monet", 21), ("photo", 21)]
    assert "two domains: monet and photo" in report["architectures"]["dcgan"]
    assert report["architectures"]["cyclegan"] is None
    assert "nothing pairs monet and photo" in report["architectures"]["pix2pix"]


def test_data_can_be_read_in_several_ways(here: Path, photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(photos, here / "cats")
    (here / "set/dogs").mkdir(parents=True)
    for index, path in enumerate(sorted(photos.iterdir())):
        shutil.copy(path, here / f"set/dogs/dog{index}.png")
    (here / "cats").rename(here / "set/cats")
    (here / "set/dogs/dog0.png").write_text("no picture")
    assert run(["data", "set"]) == 0
    lines = [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]
    assert "layout class folders" in lines
    assert "architecture dcgan: can train on it" in lines
    assert "architecture cyclegan: can train on it, read as two folders, a domain each: cats 24, dogs 23" in lines
    assert lines.count("broken 1") == 1
    (pix2pix,) = (line for line in lines if line.startswith("architecture pix2pix"))
    assert "nothing pairs cats and dogs of set" in pix2pix


def test_data_side_by_side(here: Path, photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "edges2cats/train").mkdir(parents=True)
    for path in photos.iterdir():
        with Image.open(path) as image:
            wide = Image.new("RGB", (80, 40))
            wide.paste(image, (40, 0))
        wide.save(here / "edges2cats/train" / path.name)
    shutil.copytree(here / "edges2cats/train", here / "edges2cats/val")
    shutil.copy(photos / "0.png", here / "edges2cats/train/single.png")
    (here / "edges2cats/train/text.png").write_text("no picture")
    shutil.make_archive("edges2cats", "zip", "edges2cats")
    for source in ("edges2cats", "edges2cats.zip"):
        assert run(["data", source]) == 0
        lines = [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]
        at = lines.index("or train: pairs side by side, A left and B right")
        assert lines[at + 1 : at + 3] == ["images edges: 24, 40 x 40 px, grey", "images cats: 24, 40 x 40 px, colour"]
        assert lines[at + 3 : at + 5] == [
            "broken 1",
            f"{source}/train/single.png: it is 40 x 40 px, not two images side by side",
        ]
        assert lines[at - 2 : at] == ["broken 1", f"{source}/train/text.png: not an image, or an unknown format"]
        assert "test part yes (--split test shows it)" in lines
        assert "cyclegan: it needs two domains" in "".join(lines)
        (pix2pix,) = (line for line in lines if line.startswith("architecture pix2pix"))
        assert pix2pix.endswith(
            "can train on it, read as train: pairs side by side, A left and B right: edges 24, cats 24"
        )
    assert run(["data", "edges2cats", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    (reading,) = report["other_readings"]
    assert (len(report["bad"]), len(reading["bad"])) == (1, 2)
    assert report["architectures"]["pix2pix"] is None


def test_data_that_hold_no_pairs(here: Path, photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["data", str(photos), "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert "24 of 24 are not twice as wide as high" in report["architectures"]["pix2pix"]
    assert report["architectures"]["dcgan"] is None
    assert report["other_readings"] == []


def test_data_of_unequal_pairs(here: Path, photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for side in ("edges", "photos"):
        shutil.copytree(photos, here / "set" / side)
    Image.new("RGB", (60, 40)).save(here / "set/photos/3.png")
    Image.new("L", (80, 80)).save(here / "set/photos/4.png")
    Image.new("RGB", (60, 40)).save(here / "set/photos/alone.png")
    assert run(["data", "set"]) == 0
    lines = [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]
    at = lines.index("unequal pairs 1")
    assert lines[at + 1] == "set/edges/3.png: 40 x 40 px, but 60 x 40 in photos (needs data.resize=stretch)"
    assert "note 1 images without a partner are left out: photos/alone.png" in lines


def test_data_with_one_empty_side(here: Path, photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(photos, here / "horse2zebra/trainA")
    (here / "horse2zebra/trainB").mkdir()
    assert run(["data", "horse2zebra"]) == 2
    assert capfd.readouterr().err == (
        "error: horse2zebra holds 24 images in trainA, but none in trainB\n"
        "hint: put the images of the other domain into trainB\n"
    )


def test_data_of_many_channels(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    np.savez("sat2map.npz", A=np.zeros((3, 6, 8, 9), np.uint8), B=np.zeros((3, 8, 9), np.uint8))
    assert run(["data", "sat2map.npz", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert [(domain["name"], domain["colours"]) for domain in report["domains"]] == [
        ("sat", "6 channels"),
        ("map", "grey"),
    ]
    assert report["bad"] == []


@pytest.mark.parametrize(
    ("source", "said"),
    [("nothing", "'nothing' does not exist"), ("mnits", "did you mean 'mnist'?"), ("empty", "empty")],
)
def test_data_that_are_none(here: Path, source: str, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "empty").mkdir()
    assert run(["data", source]) == 2
    assert said in capfd.readouterr().err


def test_data_of_points(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    np.savez("gauss.npz", x=np.array([[0.5, -1], [2, 0]]), y=[0, 1])
    assert run(["data", "gauss.npz"]) == 0
    lines = [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]
    assert "points 2, 2 numbers each, from -1 to 2" in lines
    assert "classes 2: 0, 1" in lines
    assert "architecture dcgan: it needs images, but gauss.npz holds points (an npz file)" in lines


def test_data_writes_what_the_networks_see(here: Path, photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["data", str(photos), "-o", "seen.png", "-n", "6"]) == 0
    assert capfd.readouterr().out == "seen.png\n"
    with Image.open("seen.png") as image:  # 3 x 2 images of 40 px, 2 px apart
        assert image.size == (3 * 42 - 2, 2 * 42 - 2)
        first = image.crop((0, 0, 40, 40))
    with Image.open(photos / "0.png") as image:
        assert first.tobytes() == image.tobytes()
    assert run(["data", "shapes:pairs", "--split", "test", "-n", "4", "--resolution", "16", "-o", "seen.webp"]) == 0
    assert capfd.readouterr().err == "columns in turn: outline, filled\n"
    with Image.open("seen.webp") as image:
        assert image.size == (2 * 18 - 2, 4 * 18 - 2)
    assert run(["data", "shapes:classes", "-n", "12", "--resolution", "8", "-o", "seen.npy"]) == 0
    assert capfd.readouterr().err == "rows: circle, square, triangle, diamond, cross, star\n"
    assert np.load("seen.npy").shape == (12, 3, 8, 8)
    assert run(["data", "shapes:pairs", "-n", "2", "-o", "seen/"]) == 0
    assert capfd.readouterr().out.split() == [
        f"seen/{name}.png" for name in ("0-outline", "0-filled", "1-outline", "1-filled")
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-n", "3"], "-n needs -o"),
        (["--resolution", "32"], "--resolution needs -o"),
        (["-o", "seen.png", "-n", "0"], "-n 0: must be at least 1"),
        (["-o", "seen.png", "--resolution", "3"], "--resolution 3: must be between 4 and 2048"),
        (["-o", "seen.png", "--json"], "leave one of them out"),
        (["-o", "seen.mp4"], ".mp4 files cannot be written"),
        (["--split", "half"], "choose train, test or all"),
    ],
)
def test_data_options_that_fit_nothing(
    here: Path, arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "shapes", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert said in err
    assert list(here.iterdir()) == []


def test_data_of_broken_images_only_and_of_deep_ones(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "set").mkdir()
    for i in range(3):
        (here / "set" / f"{i}.png").write_text("no picture")
    assert run(["data", "set", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["domains"][0]["images"] == 0
    assert report["architectures"]["dcgan"] == "no image of set can be read"
    for i in range(3):
        Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(here / "set" / f"{i}.png")
    first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    first.save(here / "set" / "moving.gif", save_all=True, append_images=[second])
    for words, good, said in ((["--range", "0,4095"], 4, "numbers from 0 to 4,095"), ([], 1, "data.range=[0,4095]")):
        assert run(["data", "set", *words]) == 0
        out = " ".join(capfd.readouterr().out.split())
        assert f"images {good}," in out
        assert said in out
        assert "1 image: only the first of several frames or pages is used" in out
    for wrong in ("4095", "9,1", "a,b", "0,inf"):
        assert run(["data", "set", "--range", wrong]) == 2
        assert "must be two numbers" in capfd.readouterr().err
    assert run(["train", "dcgan-shapes", "--data", "set", "--dry-run", "--set", "data.range=[5,1]"]) == 2
    assert "the smaller one first" in capfd.readouterr().err
