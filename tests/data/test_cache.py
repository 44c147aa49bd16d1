from __future__ import annotations

import fcntl
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from noise import Noise, prepared

from gancli.data import cache
from gancli.data.cache import Cache, Decoded, Progress
from gancli.data.preparation import Preparation
from gancli.data.source import Pixels
from gancli.errors import GancliError, RunError


def decode(
    images: Noise,
    prepare: Preparation | None = None,
    key: str = "key",
    *,
    limit: int = 2**30,
    shared: bool = False,
    stop_at_bad: bool = False,
    progress: Progress | None = None,
) -> Decoded:
    return Cache(limit, shared, stop_at_bad).decode(images, prepare or prepared(), key, progress)


def same(one: Decoded, other: Decoded) -> bool:
    return (
        len(one) == len(other)
        and (one.indices == other.indices).all()
        and (one.sizes == other.sizes).all()
        and all((one.image(i) == other.image(i)).all() for i in range(len(one)))
        and one.bad == other.bad
    )


MIXED = [(8, 8), (20, 10), (10, 31), (64, 64), (5, 7)] * 20


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


def test_a_run_has_one_limit_for_all_its_images():
    store = Cache(50_000, shared=False, stop_at_bad=False)
    first, second, third = (store.decode(Noise(MIXED), prepared((3, 8, side)), "key") for side in (8, 24, 16))
    assert [decoded.path is None for decoded in (first, second, third)] == [True, False, False]
    assert store.left == 50_000 - first.nbytes
    assert store.decode(Noise(MIXED), prepared((1, 8, 8)), "key").path is None


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
    return sorted((home / "cache").glob("*"))


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


def test_what_a_killed_process_left_is_removed(gancli_home):
    (gancli_home / "cache").mkdir()
    for name in ("a.lock", "a.part", "b.lock", "b.part"):
        (gancli_home / "cache" / name).touch()
    with (gancli_home / "cache/b.lock").open("rb") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        decode(Noise(MIXED), limit=0)
    assert [path.name for path in files(gancli_home) if path.suffix in (".lock", ".part")] == ["b.lock", "b.part"]


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
from noise import Noise
from test_cache import MIXED, decode
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
    store = cache._Store(gancli_home / "cache" / "x.pixels", 0, 10)
    store._aside = Path("/dev/full")
    with pytest.raises(RunError, match=r"the disk is full: .* need about 0\.02 GiB"):
        store.add(0, np.zeros((2**11, 2**10, 1), np.uint8))


def test_no_place_for_the_file(gancli_home):
    (gancli_home / "cache").write_text("a file")
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
