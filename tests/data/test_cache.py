from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gancli.data import cache
from gancli.data.cache import Decoded, decode_all
from gancli.data.preparation import Preparation
from gancli.data.source import BadImage, Pixels
from gancli.errors import GancliError, RunError
from gancli.schema import DataConfig


class Noise:
    """Images of given sizes; those in ``bad`` cannot be decoded."""

    def __init__(self, sizes: list[tuple[int, int]], bad: tuple[int, ...] = ()) -> None:
        self.sizes, self.bad, self.reads = sizes, bad, 0

    def __len__(self) -> int:
        return len(self.sizes)

    def name(self, index: int) -> str:
        return f"noise[{index}]"

    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        self.reads += 1
        if index in self.bad:
            raise BadImage("it is broken")
        rng = np.random.default_rng(index)
        return rng.integers(0, 256, (*self.sizes[index], channels), dtype=np.uint8)


def prepared(shape=(3, 8, 8), **config: object) -> Preparation:
    return Preparation.of(shape, DataConfig(**config))


def decode(images: Noise, prepare: Preparation | None = None, key: str = "key", **options: object) -> Decoded:
    settings = {"limit": 2**30, "shared": False, "stop_at_bad": False, **options}
    return decode_all(images, prepare or prepared(), key, **settings)


def same(one: Decoded, other: Decoded) -> bool:
    return (
        len(one) == len(other)
        and (one.indices == other.indices).all()
        and (one.sizes == other.sizes).all()
        and all((one.image(i) == other.image(i)).all() for i in range(len(one)))
        and one.bad == other.bad
    )


MIXED = [(8, 8), (20, 10), (10, 31), (64, 64), (5, 7)] * 20


# -- preparation ------------------------------------------------------------------------------------------------------


def test_an_image_of_the_right_size_is_left_alone():
    pixels = Noise([(8, 8)]).read(0, 3)
    assert (prepared()(pixels) == pixels).all()
    assert (prepared((1, 8, 8))(pixels[..., :1]) == pixels[..., :1]).all()


@pytest.mark.parametrize("size", [(16, 40), (40, 16), (16, 17)])
def test_cover_keeps_proportions_and_takes_the_middle(size):
    # A ramp along the long side: its middle stays where it is, and its slope becomes what the scale makes of it.
    height, width = size
    axis = 1 if width > height else 0
    ramp = np.linspace(0, 250, size[axis])
    pixels = np.broadcast_to(ramp[None, :] if axis else ramp[:, None], size).astype(np.uint8)[:, :, None]
    result = prepared((1, 8, 8))(pixels)[:, :, 0].mean(axis=1 - axis)
    assert result.mean() == pytest.approx(125, abs=2)
    step = 2 * 250 / (size[axis] - 1)
    assert np.diff(result)[1:-1] == pytest.approx(np.full(5, step), abs=1.5)


def test_stretch_uses_the_whole_image():
    ramp = np.broadcast_to(np.linspace(0, 250, 40)[None, :], (16, 40)).astype(np.uint8)[:, :, None]
    result = prepared((1, 8, 8), resize="stretch")(ramp)[0, :, 0]
    assert result[0] < 20
    assert result[-1] > 230


def test_load_size_is_the_size_before_the_crop():
    pixels = np.zeros((20, 20, 1), np.uint8)
    pixels[8:12, 8:12] = 255
    whole = prepared((1, 10, 10))(pixels)
    zoomed = prepared((1, 10, 10), load_size=20)(pixels)
    assert (zoomed == pixels[5:15, 5:15]).all()
    assert whole.sum() < zoomed.sum()
    with pytest.raises(GancliError, match="load_size is 8"):
        prepared((3, 16, 16), load_size=8)


def test_random_crop_keeps_what_can_be_cropped():
    prepare = prepared((3, 8, 8), crop="random", load_size=10)
    assert prepare(np.zeros((20, 40, 3), np.uint8)).shape == (10, 20, 3)
    assert prepare(np.zeros((33, 11, 3), np.uint8)).shape == (30, 10, 3)
    assert prepared((3, 8, 8), crop="random", load_size=10, resize="stretch")(
        np.zeros((20, 40, 3), np.uint8)
    ).shape == (10, 10, 3)
    assert prepared((3, 8, 12), crop="random")(np.zeros((20, 20, 3), np.uint8)).shape == (12, 12, 3)
    # A strip does not become an endless image.
    assert prepare(np.zeros((1, 100_000, 3), np.uint8)).shape == (10, 80, 3)


@pytest.mark.parametrize("interpolation", ["nearest", "box", "bilinear", "bicubic", "lanczos"])
def test_interpolation_is_pillows(interpolation):
    pixels = Noise([(33, 33)]).read(0, 3)
    expected = Image.fromarray(pixels).resize((8, 8), Image.Resampling[interpolation.upper()])
    assert (prepared(interpolation=interpolation)(pixels) == np.asarray(expected)).all()


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
@pytest.mark.parametrize("crop", ["center", "random"])
def test_channels_are_resized_each_on_its_own(channels, crop):
    pixels = Noise([(33, 21)]).read(0, channels)
    pixels[:16, :, -1] = 0  # were this alpha, the colours below it would count for nothing
    result = prepared((channels, 8, 8), crop=crop)(pixels)
    planes = [prepared((1, 8, 8), crop=crop)(pixels[:, :, channel : channel + 1]) for channel in range(channels)]
    assert (result == np.concatenate(planes, axis=2)).all()
    assert result.shape[2] == channels
    colour = prepared(crop=crop)(np.repeat(pixels[:, :, :1], 3, axis=2))
    assert (colour == np.repeat(result[:, :, :1], 3, axis=2)).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (7, 5000), (3, 3)])
@pytest.mark.parametrize("crop", ["center", "random"])
@pytest.mark.parametrize("resize", ["cover", "stretch"])
def test_any_size_of_image(size, crop, resize):
    result = prepared((3, 16, 12), crop=crop, resize=resize, load_size=18)(np.full((*size, 3), 7, np.uint8))
    assert result.shape[0] >= 16
    assert result.shape[1] >= 12
    assert (result == 7).all()


# -- decoding ---------------------------------------------------------------------------------------------------------


def test_images_come_in_order_and_bad_ones_are_named():
    images = Noise(MIXED, bad=(0, 37, 99))
    seen: list[tuple[int, int]] = []
    decoded = decode(images, progress=lambda done, total: seen.append((done, total)))
    assert decoded.indices.tolist() == [i for i in range(100) if i not in (0, 37, 99)]
    assert decoded.bad == [(f"noise[{i}]", "it is broken") for i in (0, 37, 99)]
    assert decoded.uniform().shape == (97, 8, 8, 3)
    for place in (0, 50, 96):
        expected = prepared()(images.read(int(decoded.indices[place]), 3))
        assert (decoded.image(place) == expected).all()
    assert seen[-1] == (100, 100)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_ragged_images():
    images = Noise(MIXED)
    prepare = prepared(crop="random")
    decoded = decode(images, prepare)
    assert decoded.uniform() is None
    for place in range(100):
        assert (decoded.image(place) == prepare(images.read(place, 3))).all()
    assert decoded.nbytes == sum(decoded.image(i).size for i in range(100))


def test_stop_at_the_first_bad_image():
    images = Noise([(8, 8)] * 1000, bad=(40, 41))
    with pytest.raises(GancliError, match=r"noise\[40\] cannot be read: it is broken") as caught:
        decode(images, stop_at_bad=True)
    assert "--set data.on_bad_image=skip" in caught.value.hint
    assert images.reads < 500


def test_no_good_image():
    with pytest.raises(GancliError, match=r"none of the 3 images .* noise\[0\]: it is broken"):
        decode(Noise([(8, 8)] * 3, bad=(0, 1, 2)))


def test_an_error_of_another_kind_is_not_hidden():
    class Broken(Noise):
        def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        decode(Broken(MIXED))


# -- the file ---------------------------------------------------------------------------------------------------------


def files(home: Path) -> list[Path]:
    return sorted(path for path in (home / "cache").glob("*") if path.suffix != ".lock")


@pytest.mark.parametrize("crop", ["center", "random"])
@pytest.mark.parametrize("limit", [0, 5000])
def test_file_holds_what_memory_would(gancli_home, crop, limit):
    images = Noise(MIXED, bad=(3, 4))
    prepare = prepared(crop=crop)
    in_memory = decode(images, prepare)
    assert in_memory.path is None
    assert not (gancli_home / "cache").exists()
    on_disk = decode(images, prepare, limit=limit)
    assert on_disk.path is not None
    assert same(in_memory, on_disk)
    assert files(gancli_home) == [on_disk.path]
    images.reads = 0
    again = decode(images, prepare, limit=limit)
    assert same(in_memory, again)
    assert images.reads == 0
    with pytest.raises(GancliError, match=r"noise\[3\] cannot be read"):
        decode(images, prepare, limit=limit, stop_at_bad=True)


def test_whatever_shapes_the_bytes_makes_another_file(gancli_home):
    images = Noise(MIXED)
    base = {"load_size": 10}
    variants = [
        {},
        {"load_size": 12},
        {"resize": "stretch"},
        {"interpolation": "box"},
        {"crop": "random"},
    ]
    for variant in variants:
        decode(images, prepared(**{**base, **variant}), limit=0)
    decode(images, prepared((1, 8, 8), **base), limit=0)
    decode(images, prepared((3, 8, 9), **base), limit=0)
    decode(images, prepared(**base), "other", limit=0)
    assert len(files(gancli_home)) == 8
    decode(images, prepared(**base, flip=True, on_bad_image="error", cache_gib=1), limit=0)
    assert len(files(gancli_home)) == 8


def test_damaged_file_is_rebuilt():
    images = Noise(MIXED, bad=(5,))
    expected = decode(images)
    path = decode(images, limit=0).path
    good = path.read_bytes()
    rest = len(good) - expected.nbytes
    damages = [
        b"",
        good[:-1],
        good[1:],
        good + b"x",
        b"something else entirely" * 100,
        good[: -rest + 5] + b"\xff" + good[-rest + 6 :],
        good[:-60] + b"\xff" + good[-59:],
        good[:-40] + b"\xff" * 8 + good[-32:],
        good[: -len(cache.MAGIC)] + b"gancli-pixels-0\n",
    ]
    for number, damaged in enumerate(damages):
        path.write_bytes(damaged)
        images.reads = 0
        assert same(decode(images, limit=0), expected), number
        assert images.reads > 0, number
        assert path.read_bytes() == good, number


def test_a_file_under_another_name_is_not_taken_for_it(gancli_home):
    images = Noise(MIXED)
    one = decode(images, limit=0).path
    other = decode(images, prepared(interpolation="box"), limit=0).path
    other.write_bytes(one.read_bytes())
    assert same(decode(images, prepared(interpolation="box"), limit=0), decode(images, prepared(interpolation="box")))


def test_failure_leaves_nothing_behind(gancli_home):
    with pytest.raises(GancliError):
        decode(Noise(MIXED, bad=(60,)), limit=0, stop_at_bad=True)
    assert files(gancli_home) == []

    def interrupted(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decode(Noise(MIXED), limit=0, progress=interrupted)
    assert files(gancli_home) == []


def test_open_readers_keep_their_pixels_when_the_file_is_replaced(gancli_home):
    images = Noise(MIXED)
    first = decode(images, limit=0)
    before = first.image(7).copy()
    first.path.unlink()
    decode(images, limit=0)
    assert (first.image(7) == before).all()


FULL = """
import resource, signal, sys
sys.path.insert(0, sys.argv[1])
from test_cache import MIXED, Noise, decode
from gancli.errors import RunError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    decode(Noise(MIXED), limit=0)
except RunError as error:
    print(error.message, "|", error.hint)
"""


def test_full_disk_names_place_size_and_setting(gancli_home):
    # The limit on a file's size stands in for the end of a disk: the same writes fail.
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )
    assert done.stdout.startswith("the disk is full: the decoded images need about 0.00 GiB in"), done.stderr
    assert str(gancli_home / "cache") in done.stdout
    assert "--set data.cache_gib=1" in done.stdout
    assert files(gancli_home) == []


def test_really_full_device(gancli_home):
    """Writes to /dev/full fail with ENOSPC like those to a full disk."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    store = cache._Store(gancli_home / "cache" / "x.pixels", "x", 0, 10)
    store._aside = Path("/dev/full")
    with pytest.raises(RunError, match=r"the disk is full: .* need about 0\.02 GiB"):
        store.add(0, np.zeros((2**11, 2**10, 1), np.uint8))


def test_no_place_for_the_file(gancli_home):
    gancli_home.rmdir()
    gancli_home.write_text("a file")
    with pytest.raises(GancliError, match="cannot be written") as caught:
        decode(Noise(MIXED), limit=0)
    assert not isinstance(caught.value, RunError)
    assert "GANCLI_HOME" in caught.value.hint


def test_two_at_a_time_decode_once(gancli_home):
    images = Noise(MIXED * 3)
    results: list[Decoded] = []
    threads = [threading.Thread(target=lambda: results.append(decode(images, limit=0))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert images.reads == 300
    assert same(results[0], results[1])
    assert same(results[0], results[2])


@pytest.mark.parametrize("limit", [0, 2**30])
def test_pixels_travel_to_other_processes_without_a_copy(limit):
    from multiprocessing.reduction import ForkingPickler

    decoded = decode(Noise(MIXED), limit=limit, shared=True)
    state = bytes(ForkingPickler.dumps(decoded))
    assert len(state) < decoded.nbytes / 2
    if limit == 0:
        assert same(pickle.loads(state), decoded)


def test_shared_memory_too_small_means_the_file(monkeypatch):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: cache.shutil._ntuple_diskusage(2**16, 0, 2**13))
    assert decode(Noise(MIXED), shared=True).path is not None
    assert decode(Noise(MIXED), prepared((1, 8, 8)), shared=False).path is None
