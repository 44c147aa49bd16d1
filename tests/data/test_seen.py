from __future__ import annotations

import numpy as np
import pytest
import torch
from made import tree
from PIL import Image

from gancli.data.opening import open_source
from gancli.data.seen import look_at
from gancli.errors import GancliError


def grey(image: torch.Tensor) -> int:
    return int(((image + 1) * 127.5).round().mean())


def test_one_domain_is_the_squarest_grid():
    seen = look_at(open_source("shapes"), 7)
    assert seen.images.shape == (7, 3, 64, 64)
    assert (seen.columns, seen.order) == (3, "")
    assert seen.names == list("0123456")
    expected = torch.from_numpy(open_source("shapes").domains["image"].read(6, 3, 64)).permute(2, 0, 1) / 127.5 - 1
    assert torch.allclose(seen.images[6], expected)
    assert look_at(open_source("shapes"), 2, resolution=16).images.shape == (2, 3, 16, 16)


def test_pairs_are_side_by_side(tmp_path):
    source = open_source(str(tree(tmp_path, "a/1.png a/2.png a/3.png b/1.png b/2.png b/3.png")), domains=("x", "y"))
    seen = look_at(source, 64)
    assert [grey(image) for image in seen.images] == [1, 4, 2, 5, 3, 6]
    assert seen.images.shape[1:] == (3, 4, 4)
    assert seen.names == ["0-x", "0-y", "1-x", "1-y", "2-x", "2-y"]
    assert (seen.columns % 2, seen.order) == (0, "columns in turn: x, y")


def test_classes_have_rows(tmp_path):
    source = open_source(str(tree(tmp_path, "ant/1.png ant/2.png ant/3.png bee/1.png cow/1.png cow/2.png cow/3.png")))
    seen = look_at(source, 9)
    assert [grey(image) for image in seen.images] == [1, 2, 3, 4, 0, 0, 5, 6, 7]
    assert seen.names == ["ant-0", "ant-1", "ant-2", "bee-0", None, None, "cow-0", "cow-1", "cow-2"]
    assert (seen.columns, seen.order) == (3, "rows: ant, bee, cow")
    few = look_at(source, 2)  # fewer images than classes
    assert ([grey(image) for image in few.images], few.order) == ([1, 4], "row by row: ant, bee")


def test_sizes(tmp_path):
    for number, size in enumerate([(300, 300), (40, 30)]):
        (tmp_path / str(number)).mkdir()
        Image.new("RGB", size).save(tmp_path / f"{number}/1.png")
        assert look_at(open_source(str(tmp_path / f"{number}")), 1).images.shape == (1, 3, 64, 64)
    (tmp_path / "0/0.png").write_text("broken")
    assert len(look_at(open_source(str(tmp_path / "0")), 5).images) == 1


def test_arrays(tmp_path):
    np.savez(tmp_path / "sat2map.npz", A=np.full((3, 8, 8, 6), 9, np.uint8), B=np.full((3, 8, 8), 7, np.uint8))
    seen = look_at(open_source(str(tmp_path / "sat2map.npz")), 3)
    assert [grey(image) for image in seen.images] == [9, 7, 9, 7, 9, 7]
    np.save(tmp_path / "points.npy", np.zeros((3, 2)))
    with pytest.raises(GancliError, match=r"points\.npy holds points, which are not images"):
        look_at(open_source(str(tmp_path / "points.npy")), 3)
