from __future__ import annotations

import socket

import pytest
from made import values

from gancli.data.named import NAMES
from gancli.data.opening import open_source
from gancli.errors import GancliError


def test_names_are_torchvisions():
    from torchvision import datasets

    assert all(issubclass(getattr(datasets, kind), datasets.VisionDataset) for kind in NAMES.values())


def no_network(*unused: object, **also: object) -> None:
    raise OSError("there is no network")


@pytest.mark.parametrize(
    ("name", "file", "folder"),
    [
        ("mnist", "train-images-idx3-ubyte.gz", "MNIST/raw"),
        ("fashion-mnist", "train-labels-idx1-ubyte.gz", "FashionMNIST/raw"),
        ("kmnist", "train-images-idx3-ubyte.gz", "KMNIST/raw"),
        ("usps", "usps.bz2", ""),
        ("cifar10", "cifar-10-python.tar.gz", ""),
        ("cifar100", "cifar-100-python.tar.gz", ""),
        ("svhn", "train_32x32.mat", ""),
        ("stl10", "stl10_binary.tar.gz", ""),
        ("celeba", "list_attr_celeba.txt", "celeba"),
    ],
)
def test_without_a_network_the_error_says_what_goes_where(name, file, folder, gancli_home, monkeypatch, capsys):
    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    with pytest.raises(GancliError, match=f"^{name} is not in .* and cannot be downloaded") as caught:
        open_source(name)
    assert file in caught.value.hint
    assert caught.value.hint.endswith(str(gancli_home / "data" / folder))
    assert "./" not in caught.value.hint
    assert capsys.readouterr().out == ""
    assert socket.getdefaulttimeout() is None


def test_without_a_network_the_hint_names_a_folder_of_the_same_name(gancli_home, monkeypatch, tmp_path):
    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnist").mkdir()
    with pytest.raises(GancliError) as caught:
        open_source("mnist")
    assert caught.value.hint.startswith("write ./mnist for the one here, or download train-images-idx3-ubyte.gz")


def test_mnist_by_name_from_files_put_there(gancli_home, real_data, monkeypatch, tmp_path):
    raw = gancli_home / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("images-idx3", "labels-idx1"):
        name = f"t10k-{part}-ubyte.gz"
        (raw / name).write_bytes((real_data / "mnist" / name).read_bytes())
    (tmp_path / "mnist").mkdir()
    monkeypatch.chdir(tmp_path)
    source = open_source("mnist", "test")
    assert len(source.domains["image"]) == 10000
    assert source.classes[3] == "3 - three"
    assert any("./mnist" in note for note in source.notes)
    with pytest.raises(GancliError, match=r"'\./mnist' is empty"):
        open_source("./mnist")


def test_svhn_like_torchvision_source(gancli_home, monkeypatch):
    """A data set that torchvision reads itself; USPS needs no other package and can be made here."""
    import bz2
    import hashlib

    from torchvision import datasets

    lines = [f"{label + 1} " + " ".join(f"{i + 1}:{value}" for i in range(256)) for label, value in ((3, -1), (9, 1))]
    content = bz2.compress("\n".join(lines).encode())
    root = gancli_home / "data"
    root.mkdir()
    (root / "usps.bz2").write_bytes(content)
    listed = dict(datasets.USPS.split_list)
    listed["train"] = [listed["train"][0], "usps.bz2", hashlib.md5(content).hexdigest()]
    monkeypatch.setattr(datasets.USPS, "split_list", listed)
    source = open_source("usps")
    assert source.labels.tolist() == [3, 9]
    assert len(source.classes) == 10
    assert values(source) == [0, 255]
    assert source.domains["image"].read(0, 3).shape == (16, 16, 3)
