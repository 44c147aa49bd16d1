"""gancli interpolate: the ends of a path are what sample draws, every kind of file, and all ways to type it wrong."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from streams import closed_pipe, full_disk

from gancli.cli.app import run

pytestmark = pytest.mark.usefixtures("named")


def film(file: str | io.BytesIO) -> tuple[float, NDArray[np.uint8]]:
    """Returns frames per second and frames [F, H, W, 3]."""
    with av.open(file) as container:
        stream = container.streams.video[0]
        # Both said, as PyAV 16 reads BT.709 wrongly otherwise.
        frames = [
            frame.reformat(format="rgb24", src_colorspace="ITU709", dst_colorspace="ITU601").to_ndarray()
            for frame in container.decode(stream)
        ]
        return float(stream.average_rate or 0), np.stack(frames)


def interpolate(*arguments: str) -> NDArray[np.float32]:
    """Returns the frames, [F, C, H, W]."""
    assert run(["interpolate", *arguments, "-o", "path.npy"]) == 0
    frames: NDArray[np.float32] = np.load("path.npy")
    return frames


def sample(*arguments: str) -> NDArray[np.float32]:
    assert run(["sample", *arguments, "-o", "sampled.npy"]) == 0
    images: NDArray[np.float32] = np.load("sampled.npy")
    return images


@pytest.mark.parametrize("name", ["dcgan", "progan", "stylegan", "stylegan3"])
@pytest.mark.parametrize("way", [[], ["--smooth"], ["--space", "z"], ["--path", "lerp"], ["--trunc", "0.5"]])
def test_a_path_goes_through_what_sample_draws(name: str, way: list[str]) -> None:
    truncation = way if "--trunc" in way else []
    frames, stops = (
        interpolate(name, "--seeds", "4,2,9", "--frames", "5", *way),
        sample(name, "--seeds", "4,2,9", *truncation),
    )
    assert (frames.shape, frames.dtype) == ((11, *stops.shape[1:]), np.float32)
    np.testing.assert_allclose(frames[[0, 5, 10]], stops, atol=1e-4)
    changes = abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
    assert changes.min() > 1e-4
    assert abs(stops[0] - stops[1]).mean() > 1.5 * abs(frames[0] - frames[1]).mean()  # not all at once


def test_a_loop_comes_back_without_its_first_frame_again() -> None:
    frames = interpolate("stylegan", "--seeds", "1,2,3", "--frames", "4", "--loop")
    assert len(frames) == 12
    np.testing.assert_allclose(frames[[0, 4, 8]], sample("stylegan", "--seeds", "1,2,3"), atol=1e-4)
    assert abs(frames[-1] - frames[0]).mean() > 1e-3
    way_back = interpolate("stylegan", "--seeds", "3,1", "--frames", "4")
    np.testing.assert_allclose(frames[8:], way_back[:4], atol=1e-4)


def test_styles_go_straight_and_latents_on_the_sphere() -> None:
    straight = interpolate("stylegan", "--seeds", "1,2", "--frames", "2")
    assert run(["sample", "stylegan", "--seeds", "1,2", "--space", "w", "-o", "w.npy"]) == 0
    w = np.load("w.npy")
    np.save("middle.npy", w.mean(axis=0, keepdims=True))
    np.testing.assert_allclose(straight[1:2], sample("stylegan", "--latents", "middle.npy"), atol=1e-4)
    np.testing.assert_allclose(interpolate("stylegan", "--latents", "w.npy", "--frames", "2"), straight, atol=1e-4)

    assert run(["sample", "dcgan", "--seeds", "1,2", "--space", "z", "-o", "z.npy"]) == 0
    z = np.load("z.npy").astype(float)
    norms = np.linalg.norm(z, axis=1)
    middle = z[0] / norms[0] + z[1] / norms[1]
    np.save("middle.npy", middle[None] / np.linalg.norm(middle) * norms.mean())
    curved = interpolate("dcgan", "--latents", "z.npy", "--frames", "2")
    np.testing.assert_allclose(curved[1:2], sample("dcgan", "--latents", "middle.npy"), atol=1e-4)
    assert abs(interpolate("dcgan", "--seeds", "1,2", "--frames", "2", "--path", "lerp")[1] - curved[1]).mean() > 1e-3


@pytest.mark.parametrize("name", ["progan", "stylegan3"])
def test_one_seed_goes_between_classes(name: str) -> None:
    frames = interpolate(name, "--seeds", "5", "--class", "cat,big cow", "--frames", "4")
    assert len(frames) == 5
    for frame, class_ in ((frames[0], "cat"), (frames[4], "2")):
        np.testing.assert_allclose(frame[None], sample(name, "--seeds", "5", "--class", class_), atol=1e-4)
    assert abs(frames[0] - frames[4]).mean() > 1e-3
    one = interpolate(name, "--seeds", "5,6", "--class", "dog", "--frames", "1")
    np.testing.assert_allclose(one, sample(name, "--seeds", "5,6", "--class", "dog"), atol=1e-4)


def test_the_noise_is_constant_unless_it_should_not_be() -> None:
    still = interpolate("stylegan", "--seeds", "1,1", "--frames", "3")
    assert np.ptp(still, axis=0).max() < 1e-5
    none = interpolate("stylegan", "--seeds", "1,1", "--frames", "3", "--noise", "none")
    assert np.ptp(none, axis=0).max() < 1e-5
    assert abs(none - still).mean() > 1e-3
    random = interpolate("stylegan", "--seeds", "1,1", "--frames", "3", "--noise", "random")
    assert np.ptp(random, axis=0).mean() > 1e-3


def test_without_anything_it_makes_a_film(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["interpolate", "stylegan"]) == 0
    out, err = capfd.readouterr()
    assert out == "stylegan-interpolate-seeds0-2.mp4\n"
    assert err == ""
    fps, frames = film("stylegan-interpolate-seeds0-2.mp4")
    assert (fps, frames.shape) == (30, (121, 256, 256, 3))
    images = sample("stylegan", "--seeds", "0,2").transpose(0, 2, 3, 1).repeat(16, 1).repeat(16, 2)
    assert abs(frames[[0, -1]] - (images + 1) * 127.5).mean() < 6


def test_a_grid_plays_paths_of_their_own() -> None:
    wanted = ["--seeds", "0-3", "--frames", "4", "--noise", "none"]
    assert run(["interpolate", "stylegan", *wanted, "--grid", "2x1", "-o", "frames"]) == 0
    files = sorted(path.name for path in Path("frames").iterdir())
    assert files == [f"frame0000{index}.png" for index in range(5)]
    for column, seeds in enumerate(("0,1", "2,3")):
        alone = interpolate("stylegan", "--seeds", seeds, *wanted[2:]).transpose(0, 2, 3, 1)
        for index, file in enumerate(files):
            cell = np.asarray(Image.open(f"frames/{file}")).astype(float)[:, column * 18 : column * 18 + 16]
            assert abs(cell - (alone[index] + 1) * 127.5).max() <= 1.01
    # In a strip every path has a row.
    assert run(["interpolate", "stylegan", *wanted, "--grid", "2x1", "-o", "strip.png"]) == 0
    strip = np.asarray(Image.open("strip.png"))
    assert strip.shape == (2 * 18 - 2, 5 * 18 - 2, 3)
    for index, file in enumerate(files):
        frame = np.asarray(Image.open(f"frames/{file}")).astype(int)
        for row in range(2):
            shown = strip[row * 18 : row * 18 + 16, index * 18 : index * 18 + 16]
            assert abs(shown - frame[:, row * 18 : row * 18 + 16]).max() <= 1


@pytest.mark.parametrize(("kind", "factor"), [("gif", 1), ("webp", 8)])
def test_animations(kind: str, factor: int) -> None:
    assert run(["interpolate", "dcgan", "--seeds", "1,2", "--frames", "8", "--fps", "20", "-o", f"a.{kind}"]) == 0
    image = Image.open(f"a.{kind}")
    assert (image.n_frames, image.size, image.info["loop"]) == (9, (32 * factor, 32 * factor), 0)
    image.load()
    assert image.info["duration"] == 50
    first = sample("dcgan", "--seeds", "1")[0].transpose(1, 2, 0)
    shown = np.asarray(image.convert("RGB"))[factor // 2 :: factor, factor // 2 :: factor]
    assert abs(shown - (first + 1) * 127.5).mean() < 8


def test_speed_is_that_of_the_file() -> None:
    assert run(["interpolate", "dcgan", "--seeds", "1,2", "--frames", "8", "--fps", "12", "-o", "a.mp4"]) == 0
    fps, frames = film("a.mp4")
    assert (fps, len(frames)) == (12, 9)


def test_batches_make_no_difference() -> None:
    one, many = (interpolate("stylegan", "--seeds", "1,2", "--frames", "6", "--batch", batch) for batch in ("1", "5"))
    np.testing.assert_allclose(one, many, atol=1e-4)
    for batch in ("1", "5"):
        grid = ["--seeds", "0-5", "--grid", "3x1", "--frames", "2"]
        assert run(["interpolate", "stylegan", *grid, "--batch", batch, "-o", f"b{batch}/"]) == 0
    for index in range(3):
        one, many = (np.asarray(Image.open(f"b{batch}/frame0000{index}.png")).astype(int) for batch in ("1", "5"))
        assert abs(one - many).max() <= 1


def test_a_pipe_gets_a_film(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    wanted = ["interpolate", "stylegan", "--seeds", "1,2", "-o", "-"]
    assert run([*wanted, "--frames", "10"]) == 0
    out, err = capfdbinary.readouterr()
    assert err == b""
    fps, frames = film(io.BytesIO(out))
    assert (fps, frames.shape) == (30, (11, 256, 256, 3))
    for kind, count in (("gif", 4), ("webp", 4), ("png", 1)):
        assert run([*wanted, "--frames", "3", "--format", kind]) == 0
        image = Image.open(io.BytesIO(capfdbinary.readouterr().out))
        assert (image.format, getattr(image, "n_frames", 1)) == (kind.upper(), count)
    assert run([*wanted, "--frames", "3", "--format", "npy"]) == 0
    assert np.load(io.BytesIO(capfdbinary.readouterr().out)).shape == (4, 3, 16, 16)


def test_a_closed_pipe_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    with closed_pipe():
        assert run(["interpolate", "stylegan", "--frames", "400", "-o", "-"]) == 141
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", ["mp4", "webp", "gif", "npy"])
def test_a_full_disk_is_said_in_words(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    with full_disk():
        assert run(["interpolate", "dcgan", "--format", kind, "-o", "-"]) == 1
    assert capfd.readouterr().err.startswith("error: no space left")


@pytest.mark.parametrize("kind", ["mp4", "gif", "webp", "npy", "png"])
def test_what_fails_leaves_the_old_file(here: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from gancli.generation.latents import Renderer

    Path(f"film.{kind}").write_bytes(b"old")
    before = sorted(here.iterdir())
    whole = Renderer.images

    def some(self: Renderer, points: object) -> object:
        for index, part in enumerate(whole(self, points)):  # type: ignore[arg-type]
            if index == 20:
                raise KeyboardInterrupt
            yield part

    monkeypatch.setattr(Renderer, "images", some)
    arguments = ["interpolate", "stylegan", "--seeds", "1,2", "--frames", "60", "--batch", "2", "-o", f"film.{kind}"]
    assert run(arguments) == 130
    assert Path(f"film.{kind}").read_bytes() == b"old"
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("dcgan", ["--seeds", "1"], "a path needs at least two seeds, but --seeds gives 1"),
        (
            "dcgan",
            ["--seeds", "0-4", "--grid", "2x1"],
            "2 paths need the same number of seeds each, at least two",
        ),
        ("dcgan", ["--grid", "2"], "--grid 2: must be columns x rows"),
        ("dcgan", ["--grid", "0x2"], "--grid 0x2"),
        ("dcgan", ["--grid", "9999x9999"], "--grid 9999x9999: its paths need more than 1,000,000 seeds"),
        ("dcgan", ["--grid", "2x1", "-o", "x.npy"], "--grid 2x1"),
        ("dcgan", ["--frames", "0"], "--frames 0"),
        ("dcgan", ["--fps", "0"], "--fps 0"),
        ("dcgan", ["--fps", "60", "-o", "x.gif"], "at most 50"),
        ("dcgan", ["--path", "zigzag"], "--path zigzag: unknown"),
        ("dcgan", ["--space", "w"], "--space w: DCGAN has no styles"),
        ("dcgan", ["--space", "q"], "--space q: unknown"),
        ("dcgan", ["--noise", "none"], "--noise none: DCGAN has no styles"),
        ("dcgan", ["--trunc", "0"], "--trunc 0"),
        ("dcgan", ["--class", "cat"], "--class cat: dcgan was not trained with classes"),
        ("dcgan", ["--seeds", "1,2", "--latents", "z.npy"], "--seeds and --latents"),
        ("dcgan", ["--latents", "z.npy"], "cannot read z.npy"),
        ("dcgan", ["-o", "x.avi"], ".avi"),
        ("dcgan", ["-o", "dir/", "--format", "mp4"], "--format mp4: a directory"),
        ("progan", ["--class", "cow"], "no class 'cow'"),
        ("progan", ["--class", "cat,dog"], "2 classes given for 3 images"),
        ("stylegan", ["--cutoff", "2"], "there is no --trunc"),
        ("stylegan", ["--cutoff", "7", "--trunc", "0.5"], "has 6 layers"),
        ("stylegan", ["--trunc", "inf"], "--trunc inf"),
    ],
)
def test_wrong_input(here: Path, name: str, arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["interpolate", name, *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "error: " in err
    assert said in err
    assert list(here.iterdir()) == [here / "runs"]
