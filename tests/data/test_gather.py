from __future__ import annotations

import numpy as np
import pytest
import torch
from served import CPU, SHAPE, Numbered, inputs, numbers, pipeline, take

from gancli.data.opening import open_source
from gancli.data.pipeline import Pipeline
from gancli.data.sampler import Portion
from gancli.data.source import Pixels, Source
from gancli.errors import GancliError
from gancli.schema import DataConfig

GROWING = [Portion(0, 8, 4), Portion(16, 6, 2), Portion(30, 4, 1)]


class Random(Numbered):
    def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
        return np.random.default_rng(index).integers(0, 256, (*self.size, channels), np.uint8)


def growing(workers: int = 0, rank: int = 0, world: int = 1, **options: object) -> Pipeline:
    data = Source("random", "", {"image": Random(20, (10, 10))}, fingerprint="r")
    config = DataConfig(flip=True, **options)
    return Pipeline(data, inputs(SHAPE), config, portions=GROWING, seed=3, workers=workers, rank=rank, world=world)


@pytest.mark.parametrize("options", [{}, {"load_size": 10, "crop": "random"}, {"cache_gib": 0}])
def test_growing_networks_get_the_same_images_smaller(options):
    def positions(portions):
        pipe = growing(**options)
        pipe._portions = portions
        return pipe.batches(0, CPU)

    grown, whole = positions(GROWING), positions([Portion(0, 2)])
    shown = 0
    for batch, side in [(8, 2), (8, 2), (6, 4), (6, 4), (6, 4), (4, 8), (4, 8)]:
        assert grown.images_shown == shown
        image = next(grown).image
        assert image.shape == (batch, 3, side, side)
        full = torch.cat([next(whole).image for _ in range(batch // 2)])
        averaged = torch.nn.functional.avg_pool2d(full, 8 // side)
        # Every halving rounds to a grey level.
        assert ((image - averaged).abs() * 127.5).max() <= {8: 0, 4: 0.51, 2: 1.01}[side]
        shown += batch
    grown.close()
    whole.close()


def test_growing_batches_do_not_depend_on_workers_ranks_or_the_start():
    alone = take(growing(), 7)
    assert all(map(torch.equal, alone, take(growing(workers=2), 7)))
    shares = [take(growing(rank=rank, world=2), 7) for rank in range(2)]
    assert all(torch.equal(one, torch.cat(parts)) for one, *parts in zip(alone, *shares, strict=True))
    assert all(map(torch.equal, alone[3:], take(growing(), 4, start=22)))


def test_range_of_values_is_exact():
    class Extremes(Numbered):
        def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
            return np.full((8, 8, channels), 255 * index, np.uint8)

    data = Source("extremes", "", {"image": Extremes(2)}, fingerprint="x")
    image = take(pipeline(data, batch=2), 1)[0]
    assert sorted(image[:, 0, 0, 0].tolist()) == [-1.0, 1.0]


def test_flip_mirrors_about_half_of_the_images():
    plain, flipped = torch.cat(take(pipeline(), 30)), torch.cat(take(pipeline(flip=True), 30))
    mirrored = (plain != flipped).flatten(1).any(dim=1)
    assert torch.equal(flipped[mirrored], plain[mirrored].flip(3))
    assert torch.equal(flipped[~mirrored], plain[~mirrored])
    assert 190 < int(mirrored.sum()) < 290
    # The choice belongs to the position, not to the image.
    again = mirrored[[i for i, number in enumerate(numbers(plain)) if number == 7]]
    assert again.any()
    assert not again.all()


def test_grey_images_are_mirrored_too():
    shape = {"image": (1, 8, 8)}
    plain, flipped = take(pipeline(shapes=shape), 1)[0], take(pipeline(shapes=shape, flip=True), 1)[0]
    mirrored = (plain != flipped).flatten(1).any(dim=1)
    assert plain.shape == (16, 1, 8, 8)
    assert torch.equal(flipped[mirrored], plain[mirrored].flip(3))
    assert 0 < int(mirrored.sum()) < 16


def test_random_crops_reach_every_place():
    class Ramp(Numbered):
        def read(self, index: int, channels: int, size: int | None = None) -> Pixels:
            y, x = np.mgrid[:10, :12]
            return np.stack([y, x, y * 0], axis=-1).astype(np.uint8)

    data = Source("ramp", "", {"image": Ramp(40)}, fingerprint="ramp")
    images = torch.cat(take(pipeline(data, crop="random", load_size=10), 40))
    corners = ((images[:, :2, 0, 0] + 1) * 127.5).round().int()
    found = {tuple(corner) for corner in corners.tolist()}
    assert found == {(top, left) for top in range(3) for left in range(5)}
    step = ((images[:, 1, 0, 7] - images[:, 1, 0, 0]) * 127.5).round()
    assert (step == 7).all()


def test_any_number_of_channels(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"A": rng.integers(0, 256, (8, 12, 16, 6), np.uint8), "B": rng.integers(0, 256, (8, 12, 16), np.uint8)}
    np.savez(tmp_path / "sat2map.npz", **arrays)
    data = open_source(str(tmp_path / "sat2map.npz"))
    shapes = {"A": (6, 8, 8), "B": (2, 8, 8)}
    pipe = pipeline(data, shapes, batch=8, crop="random", flip=True)
    assert pipe.domains == ("sat", "map")
    images = next(pipe.batches(0, CPU)).images
    assert [tuple(image.shape) for image in images.values()] == [(8, 6, 8, 8), (8, 2, 8, 8)]
    assert (images["B"][:, 1] == 1).all()
    with pytest.raises(GancliError, match=r"sat2map\.npz:A\[0\]: it has 6 channels and not 3"):
        pipeline(data, {"A": (3, 8, 8), "B": (1, 8, 8)})
