from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
import threading
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import SPLIT, png, tarred, tree, values, zipped
from PIL import Image

from gancli.data.files import domain_names, natural
from gancli.data.opening import open_source
from gancli.data.source import BadImage
from gancli.errors import GancliError
from gancli.schema import DataConfig


def test_links_are_followed_and_loops_end(tmp_path):
    tree(tmp_path / "real", "1.png 2.png")
    data = tree(tmp_path / "data", "a/1.png")
    (data / "b").symlink_to(tmp_path / "real")
    (data / "a" / "loop").symlink_to(data)
    (data / "b" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    source = open_source(str(data))
    assert source.classes == ("a", "b")
    gone = next(i for i in range(len(source.domains["image"])) if "gone" in source.domains["image"].name(i))
    with pytest.raises(BadImage, match="No such file"):
        source.domains["image"].read(gone, 3)


def test_paths_that_are_not_utf_8(tmp_path):
    try:
        folders = [tree(tmp_path / os.fsdecode(name), "1.png") for name in (b"caf\xe9", b"caf\xe8")]
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    sources = [open_source(str(place)) for folder in folders for place in (folder, zipped(folder))]
    assert [values(source) for source in sources] == [[1]] * 4
    assert len({source.fingerprint for source in sources}) == 4
    inside = open_source(str(tree(tmp_path / "inside", ["1.png", os.fsdecode(b"caf\xe9.png")])))
    assert values(inside) == [1, 2]


@given(st.lists(st.text("ab019_.é²", max_size=6), unique=True))
def test_natural_order_is_total_and_compares_numbers(names):
    keys = [natural(name) for name in names]
    assert len({str(key) for key in keys}) == len(names)
    assert len(sorted(keys)) == len(names)  # any two can be compared
    assert sorted(["x10", "x9", "x1"], key=natural) == ["x1", "x9", "x10"]


@pytest.mark.parametrize(
    ("folder", "names"),
    [
        ("horse2zebra", ("horse", "zebra")),
        ("horse2zebra.zip", ("horse", "zebra")),
        ("horse2zebra.tar.gz", ("horse", "zebra")),
        ("vangogh2photo-256", ("vangogh", "photo")),
        ("iphone2dslr_v3", ("iphone", "dslr")),
        ("summer2winter_yosemite", ("summer", "winter")),
        ("summer2winter_yosemite_256.tar.gz", ("summer", "winter")),
        ("facades_label2photo", ("label", "photo")),
        ("wild-horse2zebra", ("wild-horse", "zebra")),
        ("Tag2Nacht (1)", ("Tag", "Nacht")),
        ("день2ночь", ("день", "ночь")),
        *(
            (other, ("A", "B"))
            for other in ("data", "2", "part2", "2zebra", "a2b", "x2y2z", "same2Same", "", "v2.5", "a_2_b")
        ),
    ],
)
def test_names_of_domains(folder, names):
    assert domain_names([folder]) == names
    assert domain_names(["trainA", folder, "night2day"]) == (names if names != ("A", "B") else ("night", "day"))


@given(st.text(max_size=20))
def test_names_of_domains_are_always_usable(folder):
    first, second = domain_names([folder])
    assert DataConfig(domains=(first, second)).domains == (first, second)


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2"])
def test_archives_hold_what_the_folder_holds(tmp_path, ending):
    folder = tree(tmp_path / "data", SPLIT + " train/.DS_Store __MACOSX/train/a/._1.png")
    archive = zipped(folder, "top/") if ending == ".zip" else tarred(folder, ending)
    before = sorted(path for path in tmp_path.rglob("*"))
    for split in ("train", "test", "all"):
        source, expected = open_source(str(archive), split), open_source(str(folder), split)
        assert (source.classes, source.labels.tolist()) == (expected.classes, expected.labels.tolist())
        assert values(source) == values(expected)
        assert source.layout == expected.layout
    assert sorted(path for path in tmp_path.rglob("*")) == before
    assert bool([note for note in source.notes if "temporary" in note]) == (ending not in (".zip", ".tar"))


def test_archive_of_any_ending_and_odd_names(tmp_path):
    archive = tmp_path / "data.bin"
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("../../outside.png", png(1))
        out.writestr("/etc/absolute.png", png(2))
        out.writestr("dir\\windows.png", png(3))
    source = open_source(str(archive))
    assert sorted(values(source)) == [1, 2, 3]
    assert list(tmp_path.iterdir()) == [archive]
    assert not any((parent / "outside.png").exists() for parent in tmp_path.parents)


def test_archives_are_read_from_threads(tmp_path):
    folder = tree(tmp_path / "data", [f"{i}.png" for i in range(60)])
    for archive in (zipped(folder), tarred(folder, ".tar"), tarred(folder, ".tar.gz")):
        source = open_source(str(archive))
        results: list[list[int]] = []
        threads = [threading.Thread(target=lambda s=source, r=results: r.append(values(s))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [list(range(1, 61))] * 4


def test_damaged_members_are_bad_images(tmp_path):
    folder = tree(tmp_path / "data", "1.png 2.png")
    archive = zipped(folder)
    content = bytearray(archive.read_bytes())
    content[content.find(png(1)) + 60] ^= 0xFF
    archive.write_bytes(content)
    images = open_source(str(archive)).domains["image"]
    with pytest.raises(BadImage, match="CRC"):
        images.read(0, 3)
    assert images.read(1, 3).shape == (4, 4, 3)


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz", ".tar.xz"])
def test_cut_off_archives(tmp_path, ending):
    folder = tmp_path / "data"
    for number in range(8):
        (folder / f"{number}.png").parent.mkdir(exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")
    archive = zipped(folder) if ending == ".zip" else tarred(folder, ending)
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(GancliError, match=r"is a damaged archive|neither"):
        open_source(str(archive))


def test_tar_cut_off_while_in_use(tmp_path):
    archive = tarred(tree(tmp_path / "data", "1.png 2.png"), ".tar")
    images = open_source(str(archive)).domains["image"]
    os.truncate(archive, 600)
    with pytest.raises(BadImage, match="the archive ends within this file"):
        images.read(1, 3)


def test_encrypted_zip(tmp_path):
    archive = zipped(tree(tmp_path / "data", "1.png"))
    content = bytearray(archive.read_bytes())
    content[content.rfind(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(GancliError, match="encrypted"):
        open_source(str(archive))


UNREADABLE = """
import os, sys
import gancli.data.opening  # before another user's rights may hide them
from gancli.data.opening import open_source
from gancli.errors import GancliError
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
for location in sys.argv[1:]:
    try:
        open_source(location)
    except GancliError as error:
        print(error.message)
"""


def test_unreadable_places(tmp_path):
    folder = tree(tmp_path / "data", "a/1.png b/2.png c/3.png")
    archive = zipped(folder)
    (folder / "b").chmod(0)
    archive.chmod(0)
    for parent in [tmp_path, *tmp_path.parents][:4]:  # pytest's own folders are closed to others
        if parent.stat().st_uid == os.getuid() and parent != Path("/tmp"):
            parent.chmod(0o755)
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", UNREADABLE, str(folder), str(archive)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    (folder / "b").chmod(0o755)
    assert done.stdout.splitlines() == [
        f"{folder}/b cannot be read: Permission denied",
        f"{archive} cannot be read: Permission denied",
    ], done.stderr


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_damaged_tar_is_named(tmp_path, kind):
    rng = np.random.default_rng(0)
    (tmp_path / "x").mkdir()
    for i in range(3):
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "x" / f"{i}.png")
    whole = tarred(tmp_path / "x", f".tar.{kind}").read_bytes()
    damaged = [whole[:-cut] for cut in (1, 5, 20, len(whole) // 2, len(whole) - 30)]
    damaged += [
        whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :] for at in range(20, len(whole), len(whole) // 7)
    ]
    for content in damaged:
        (tmp_path / f"damaged.tar.{kind}").write_bytes(content)
        with pytest.raises(GancliError, match="is a damaged archive"):
            open_source(str(tmp_path / f"damaged.tar.{kind}"))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_of_a_zip_is_a_bad_image(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "x.zip", "w", method) as archive:
        archive.writestr("1.png", png(side=64))
    content = bytearray((tmp_path / "x.zip").read_bytes())
    content[50:70] = b"\xff" * 20
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(BadImage, match="cannot be read from the zip"):
        open_source(str(tmp_path / "x.zip")).domains["image"].read(0, 3)
    (tmp_path / "cut.zip").write_bytes(content[:-10])
    with pytest.raises(GancliError, match="is a damaged archive"):
        open_source(str(tmp_path / "cut.zip"))


def test_no_more_is_unpacked_than_a_header_says(tmp_path):
    tracemalloc.start()
    with gzip.open(tmp_path / "train-images-idx3-ubyte.gz", "wb", 1) as file:
        file.write(b"\0\0\x08\3" + struct.pack(">3I", 10, 28, 28))
        for _ in range(200):
            file.write(bytes(2**20))
    with pytest.raises(GancliError, match="has more bytes, but its header says 7,856"):
        open_source(str(tmp_path))
    with (
        zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("1.png", "w") as member,
    ):
        for _ in range(200):
            member.write(bytes(2**20))
    content = bytearray((tmp_path / "x.zip").read_bytes())
    at = content.rindex(b"PK\1\2") + 24
    content[at : at + 4] = struct.pack("<I", 1000)
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(BadImage, match="cannot be read from the zip"):
        open_source(str(tmp_path / "x.zip")).domains["image"].read(0, 3)
    assert tracemalloc.get_traced_memory()[1] < 40 * 2**20
    tracemalloc.stop()
