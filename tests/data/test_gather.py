from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from served import CPU, SHAPE, Numbered, inputs, numbers, pipeline, take

from gancli.data.opening import open_source
from gancli.data.pipeline import Pipeline, decoded_bytes, fixed_batch
from gancli.data.sampler import Portion
from gancli.data.source import Pixels, Source, check
from gancli.domains import Domain, Inputs
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
    for batch, side in [(8, 2), (8, 2), (6, 4), (6, 4), (6, 4), (4, 8), (4, 8)]:
        image = next(grown).image
        assert image.shape == (batch, 3, side, side)
        full = torch.cat([next(whole).image for _ in range(batch // 2)])
        averaged = torch.nn.functional.avg_pool2d(full, 8 // side)
        # Every halving rounds to a grey level.
        assert ((image - averaged).abs() * 127.5).max() <= {8: 0, 4: 0.51, 2: 1.01}[side]
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


# -- masks ------------------------------------------------------------------------------------------------------------

MASKED = Inputs({"mask": Domain((16, 16), "mask"), "image": Domain((3, 16, 16))}, paired=True)


def masks_and_photos(root: Path, count: int = 6, block: int = 1, sizes: tuple[tuple[int, int], ...] = ((24, 36),)):
    """Writes A, palette PNGs of the ids 0 to 11, and B, photos of grey levels that are 20 times the id."""
    rng = np.random.default_rng(0)
    for folder in ("A", "B"):
        (root / folder).mkdir(parents=True)
    for number in range(count):
        height, width = sizes[number % len(sizes)]
        small = rng.integers(0, 12, (-(-height // block), -(-width // block)), dtype=np.uint8)
        ids = np.repeat(np.repeat(small, block, axis=0), block, axis=1)[:height, :width]
        mask = Image.fromarray(ids)
        mask.putpalette(rng.integers(0, 256, 256 * 3, dtype=np.uint8).tobytes())
        assert mask.mode == "P"
        mask.save(root / f"A/{number}.png")
        Image.fromarray(20 * ids).convert("RGB").save(root / f"B/{number}.png")
    return open_source(str(root), inputs=MASKED)


def masked(data: Source, count: int = 4, **options: object) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Returns batches of (mask, grey levels of the photo)."""
    portions = options.pop("portions", [Portion(0, 12)])
    pipe = Pipeline(data, MASKED, DataConfig(**options), portions=portions, seed=3)
    batches = pipe.batches(0, CPU)
    found = [next(batches).images for _ in range(count)]
    return [(images["mask"], ((images["image"] + 1) * 127.5).round()) for images in found]


@pytest.mark.parametrize("resize", ["cover", "stretch"])
@pytest.mark.parametrize("cache_gib", [1, 0])
def test_masks_keep_their_ids_through_resize_crop_and_flip(tmp_path, resize, cache_gib):
    data = masks_and_photos(tmp_path)
    for crop, load_size in (("center", None), ("random", 20), ("random", 30)):
        options = {"resize": resize, "crop": crop, "load_size": load_size, "flip": True, "cache_gib": cache_gib}
        plain = torch.cat([mask for mask, _ in masked(data, **{**options, "flip": False})])
        batches = masked(data, interpolation="nearest", **options)
        for mask, grey in batches:
            assert mask.dtype == torch.int64
            assert mask.shape == (12, 16, 16)
            # The photo lost the same parts and was mirrored with it: pixel by pixel it still shows 20 times the id.
            assert torch.equal(20 * mask, grey[:, 0].long())
        flipped = torch.cat([mask for mask, _ in batches])
        mirrored = (flipped != plain).flatten(1).any(dim=1)
        assert torch.equal(flipped[mirrored], plain[mirrored].flip(2))
        assert 8 < int(mirrored.sum()) < 40


def test_photos_are_smoothed_and_masks_never(tmp_path):
    data = masks_and_photos(tmp_path, block=8, sizes=((48, 48), (64, 64)))
    for mask, grey in masked(data, interpolation="bicubic", resize="stretch"):
        assert set(mask.unique().tolist()) <= set(range(12))
        assert set(grey.unique().tolist()) - {20 * number for number in range(12)}
        # Apart from the edges of blocks the two agree.
        assert ((20 * mask - grey[:, 0]).abs() <= 10).float().mean() > 0.6


def test_growing_networks_get_masks_of_single_pixels(tmp_path):
    data = masks_and_photos(tmp_path)
    for crop, load_size in (("center", None), ("random", 20)):
        options = {"crop": crop, "load_size": load_size, "interpolation": "nearest", "flip": True}
        ((small, _),) = masked(data, 1, portions=[Portion(0, 12, 4)], **options)
        ((whole, _),) = masked(data, 1, **options)
        assert small.shape == (12, 4, 4)
        blocks = whole.unfold(1, 4, 4).unfold(2, 4, 4).flatten(3)
        assert (blocks == small[..., None]).any(dim=3).all()


def test_masks_do_not_depend_on_workers_and_are_whole_in_fixed_batches(tmp_path):
    data = masks_and_photos(tmp_path)
    config = DataConfig(flip=True, crop="random", load_size=20)

    def take_masks(workers: int) -> torch.Tensor:
        pipe = Pipeline(data, MASKED, config, portions=[Portion(0, 12)], seed=3, workers=workers)
        batches = pipe.batches(0, CPU)
        masks = torch.cat([next(batches).images["mask"] for _ in range(3)])
        batches.close()
        return masks

    assert torch.equal(take_masks(0), take_masks(1))
    fixed = fixed_batch(data, MASKED, DataConfig(interpolation="nearest", flip=True), 5)
    assert fixed.images["mask"].dtype == torch.int64
    assert torch.equal(20 * fixed.images["mask"], ((fixed.images["image"][:, 0] + 1) * 127.5).round().long())
    assert len(fixed) == 5


def test_images_that_are_no_masks_are_named(tmp_path):
    data = masks_and_photos(tmp_path)
    rgb = tmp_path / "A/2.png"
    Image.open(rgb).convert("RGB").save(rgb)
    pipe = Pipeline(data, MASKED, DataConfig(), portions=[Portion(0, 4)], seed=0)
    assert pipe.length == 5
    ((name, reason),) = pipe.bad
    assert name == str(rgb)
    assert reason == "its colours (RGB) are not ids of classes; a mask is a grey or palette image"
    with pytest.raises(GancliError, match=r"A/2\.png cannot be read: its colours \(RGB\) are not ids"):
        Pipeline(data, MASKED, DataConfig(on_bad_image="error"), portions=[Portion(0, 4)], seed=0)


# -- points -----------------------------------------------------------------------------------------------------------


def test_points_come_as_they_are_stored(tmp_path):
    values = np.random.default_rng(0).normal(size=(40, 2))
    np.savez(tmp_path / "gauss.npz", x=values, y=np.arange(40) % 8)
    inputs = Inputs({"points": Domain((2,), "points")}, labels="class", classes=8)
    data = open_source(str(tmp_path / "gauss.npz"), inputs=inputs)
    assert check(data, inputs) is None
    for workers in (0, 1):
        pipe = Pipeline(data, inputs, DataConfig(flip=True), portions=[Portion(0, 20, 2)], seed=3, workers=workers)
        assert (pipe.length, pipe.bad, pipe.classes) == (40, [], tuple("01234567"))
        batches = pipe.batches(0, CPU)
        two = [next(batches) for _ in range(2)]
        batches.close()
        shown = torch.cat([batch.images["points"] for batch in two])
        assert shown.dtype == torch.float32
        rows = [values.astype(np.float32).tolist().index(row) for row in shown.tolist()]
        assert sorted(rows) == list(range(40))
        assert rows != sorted(rows)
        assert torch.cat([batch.labels for batch in two]).tolist() == [row % 8 for row in rows]
    assert torch.equal(fixed_batch(data, inputs, DataConfig(), 3).images["points"], torch.tensor(values[:3]).float())
    assert decoded_bytes(data, inputs, DataConfig(), [Portion(0, 20, 2)]) == (40 * 2 * 4, 0)


def test_images_are_no_points_and_points_no_images(tmp_path):
    with pytest.raises(GancliError, match="these networks take points, but the data are images"):
        fixed_batch(open_source("shapes"), Inputs({"points": Domain((2,), "points")}), DataConfig(), 3)
    np.save(tmp_path / "x.npy", np.zeros((5, 2), np.float32))
    points = open_source(str(tmp_path / "x.npy"))
    with pytest.raises(GancliError, match=r"none of the 5 images .*/x\.npy\[0\]: it is a point, not an image"):
        Pipeline(points, inputs(SHAPE), DataConfig(), portions=[Portion(0, 4)], seed=0)
