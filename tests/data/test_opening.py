from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
from made import SIDES, domains, tree
from pydantic import ValidationError

from gancli.data.opening import absolute, open_source
from gancli.errors import GancliError
from gancli.schema import DataConfig


def test_names_can_be_given(tmp_path):
    location = str(tree(tmp_path / "horse2zebra", SIDES))
    source = open_source(location, domains=("pony", "okapi"))
    assert list(source.domains) == ["pony", "okapi"]
    assert source.fingerprint == open_source(location).fingerprint
    assert list(open_source("shapes:pairs", domains=("a", "b")).domains) == ["a", "b"]
    with pytest.raises(GancliError, match="names a and b, but shapes holds one set") as caught:
        open_source("shapes", domains=("a", "b"))
    assert "data.domains" in caught.value.hint
    with pytest.raises(GancliError, match=r"names a and b and c, but .* holds horse and zebra"):
        open_source(location, domains=("a", "b", "c"))


def test_names_in_another_order_put_the_domains_into_it(tmp_path):
    location = str(tree(tmp_path / "horse2zebra", SIDES))
    source = open_source(location, domains=("zebra", "horse"))
    assert domains(source) == {"zebra": [4, 3], "horse": [1, 2]}
    # The cache must not take one for the other.
    assert source.fingerprint != open_source(location).fingerprint
    assert open_source(location, domains=("horse", "zebra")).fingerprint == open_source(location).fingerprint


@pytest.mark.parametrize(
    "names", [["a"], [], ["a", "a"], ["a", "b", "a"], ["", "b"], [" ", "b"], ["a/b", "c"], [1, 2], "ab", ["a", "\\"]]
)
def test_names_that_are_none(names):
    with pytest.raises(ValidationError, match="domains"):
        DataConfig(domains=names)
    assert DataConfig(domains=["horse", "zebra"]).domains == ("horse", "zebra")
    assert DataConfig(domains=["a", "b", "c"]).domains == ("a", "b", "c")


def test_cifar10_zip(real_data):
    started = time.perf_counter()
    source = open_source(str(real_data / "cifar10.zip"))
    assert time.perf_counter() - started < 5
    assert source.classes == (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )
    assert np.bincount(source.labels).tolist() == [500] * 10
    assert source.domains["image"].read(4999, 3).shape == (32, 32, 3)
    assert np.bincount(open_source(str(real_data / "cifar10.zip"), "test").labels).tolist() == [100] * 10
    assert np.bincount(open_source(str(real_data / "cifar10.zip"), "all").labels).tolist() == [600] * 10


def test_real_folders(real_data):
    monet = open_source(str(real_data / "monet2photo"))
    assert {name: len(images) for name, images in monet.domains.items()} == {"monet": 100, "photo": 100}
    test = open_source(str(real_data / "monet2photo"), "test")
    assert {name: len(images) for name, images in test.domains.items()} == {"monet": 21, "photo": 21}
    for name, expected in (("facades", ["label", "photo"]), ("maps", ["map", "sat"])):
        pairs = open_source(str(real_data / name))
        assert pairs.paired
        assert list(pairs.domains) == expected
        assert [len(images) for images in pairs.domains.values()] == [50, 50]
    assert len(open_source(str(real_data / "horses")).domains["image"]) == 50


def test_real_mnist(real_data):
    train, test = open_source(str(real_data / "mnist")), open_source(str(real_data / "mnist"), "test")
    assert (len(train.domains["image"]), len(test.domains["image"])) == (60000, 10000)
    assert np.bincount(train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert len(open_source(str(real_data / "mnist"), "all").domains["image"]) == 70000
    assert len(open_source(str(real_data / "fashion-mnist"), "test").domains["image"]) == 10000
    with pytest.raises(GancliError, match="no train part, only test"):
        open_source(str(real_data / "fashion-mnist"))


def test_shapes_and_unknown_names():
    assert open_source("shapes").layout.startswith("built-in")
    with pytest.raises(GancliError, match="no built-in data"):
        open_source("shapes:nothing")
    with pytest.raises(GancliError, match="'mnst' does not exist") as caught:
        open_source("mnst")
    assert caught.value.hint == "did you mean 'mnist'?"


def test_missing_path_names_its_neighbour(tmp_path):
    (tmp_path / "horses").mkdir()
    with pytest.raises(GancliError, match="hoses' does not exist") as caught:
        open_source(str(tmp_path / "hoses"))
    assert caught.value.hint == f"did you mean {str(tmp_path / 'horses')!r}?"
    with pytest.raises(GancliError, match="does not exist") as caught:
        open_source(str(tmp_path / "completely" / "else"))
    assert caught.value.hint.startswith("SOURCE is")


@pytest.mark.parametrize("location", ["", "\0", "x" * 5000])
def test_impossible_paths(location):
    with pytest.raises(GancliError):
        open_source(location)


def test_no_torch_for_files(tmp_path):
    tree(tmp_path, "1.png")
    code = (
        "import sys; from gancli.data.opening import open_source; open_source(sys.argv[1]); open_source('shapes');"
        "print([name for name in ('torch', 'torchvision') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_absolute_locations(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [absolute(name) for name in ("shapes", "shapes:pairs", "mnist")] == ["shapes", "shapes:pairs", "mnist"]
    (tmp_path / "mnist").mkdir()
    assert absolute("./mnist") == absolute("mnist/../mnist") == str(tmp_path / "mnist")
    assert absolute("not/there") == "not/there"
