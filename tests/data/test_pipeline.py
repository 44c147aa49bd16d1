from __future__ import annotations

import numpy as np
import pytest
import torch
from served import CPU, SHAPE, TWO, WIDE, Numbered, Places, inputs, numbers, pipeline, places, source, take, two_domains

from gancli.architectures.base import Batch
from gancli.data.opening import open_source
from gancli.data.pipeline import Pipeline, decoded_bytes, fixed_batch
from gancli.data.sampler import Portion
from gancli.data.source import Source
from gancli.errors import GancliError
from gancli.schema import DataConfig


def test_batches_are_floats_in_channels_last():
    batches = pipeline(source(labels=True), batch=10).batches(30, CPU)
    batch = next(batches)
    assert batch.image.shape == (10, 3, 8, 8)
    assert batch.image.dtype == torch.float32
    assert batch.image.is_contiguous(memory_format=torch.channels_last)
    assert (batch.image[:, 0, 0, 7] == torch.tensor(207 / 127.5 - 1)).all()
    assert batch.labels.dtype == torch.int64
    assert batch.labels.tolist() == [number % 7 for number in numbers(batch.image)]
    batches.close()
    assert list(batches) == []


def test_epochs_show_every_image_once_and_batches_straddle_them():
    shown = [number for images in take(pipeline(), 25) for number in numbers(images)]  # 400 = 8 epochs of 50
    for epoch in range(8):
        assert sorted(shown[50 * epoch : 50 * epoch + 50]) == list(range(50))
    assert shown[:50] != shown[50:100]


CONFIGS = [
    {"flip": True},
    {"flip": True, "crop": "random", "load_size": 10},
    {"flip": True, "crop": "random", "load_size": 10, "cache_gib": 0},
]


@pytest.mark.parametrize("config", CONFIGS)
def test_the_same_bytes_from_anywhere_with_any_workers_ranks_and_batch(config):
    data = source(size=(9, 14), labels=True)
    reference = torch.cat(take(pipeline(data, **config), 12))
    two_workers = pipeline(data, workers=2, **config)
    assert torch.equal(torch.cat(take(two_workers, 12)), reference)
    assert torch.equal(torch.cat(take(two_workers, 5, start=16 * 7)), reference[16 * 7 :])
    assert torch.equal(torch.cat(take(pipeline(data, **config), 3, start=37)), reference[37 : 37 + 48])
    assert torch.equal(torch.cat(take(pipeline(data, batch=64, **config), 3)), reference)
    ranks = [torch.cat(take(pipeline(data, rank=rank, world=2, **config), 12)).split(8) for rank in (0, 1)]
    assert torch.equal(torch.cat([torch.cat(pair) for pair in zip(*ranks, strict=True)]), reference)
    assert not torch.equal(torch.cat(take(pipeline(data, seed=4, **config), 12)), reference)


def test_bad_images_are_left_out_with_their_labels():
    pipe = pipeline(source(20, labels=True, bad=(0, 7, 19)), batch=17)
    assert pipe.length == 17
    assert pipe.bad == [(f"numbered[{i}]", "it is broken") for i in (0, 7, 19)]
    assert pipe.classes == tuple("abcdefg")
    batch = next(pipe.batches(0, CPU))
    assert sorted(numbers(batch.image)) == [i for i in range(20) if i not in (0, 7, 19)]
    assert batch.labels.tolist() == [number % 7 for number in numbers(batch.image)]
    with pytest.raises(GancliError, match=r"numbered\[0\] cannot be read"):
        pipeline(source(20, bad=(0,)), on_bad_image="error")


def test_pairs_stay_together_and_lose_both_halves():
    pipe = pipeline(two_domains(True, left=(2,), right=(5, 2)), TWO, batch=9, flip=True)
    assert pipe.length == 10
    assert [name for name, _ in pipe.bad] == ["numbered[2]", "numbered[5]"]
    batches = pipe.batches(0, CPU)
    shown: list[int] = []
    for _ in range(10):
        images = next(batches).images
        assert list(images) == ["A", "B"]
        assert torch.equal(images["A"], images["B"])
        shown += numbers(images["A"])
    assert sorted(shown[:10]) == [i for i in range(12) if i not in (2, 5)]


def test_no_pair_left():
    with pytest.raises(GancliError, match="no pair of two"):
        pipeline(two_domains(True, left=tuple(range(6)), right=tuple(range(6, 12))), TWO)


def test_pairs_are_drawn_apart_for_who_needs_none():
    data = two_domains(True, left=(2,), right=(5,))
    together, apart = (pipeline(data, TWO, batch=110, flip=True, paired=paired) for paired in (True, False))
    assert (together.length, apart.length) == (10, 11)
    assert together.domains == apart.domains == ("left", "right")
    images = next(apart.batches(0, CPU)).images
    a, b = numbers(images["A"]), numbers(images["B"])
    for epoch in range(0, 110, 11):  # every image of each, also those whose partner is broken
        assert sorted(a[epoch : epoch + 11]) == [i for i in range(12) if i != 2]
        assert sorted(b[epoch : epoch + 11]) == [i for i in range(12) if i != 5]
    assert a != b
    mirrored = [images[name][:, 0, 0, 0] > images[name][:, 0, 0, -1] for name in TWO]
    assert 20 < int((mirrored[0] != mirrored[1]).sum()) < 90
    # What is not paired stays so.
    assert pipeline(two_domains(False), TWO, paired=True).length == 12


@pytest.mark.parametrize("crop", ["center", "random"])
@pytest.mark.parametrize("load_size", [20, 32])
@pytest.mark.parametrize("resize", ["cover", "stretch"])
def test_crops_of_pairs_show_the_same(crop, load_size, resize):
    # Of other sizes, but the same proportions up to rounding.
    data = places(WIDE, [(16, 24), (64, 96), (65, 97), (32, 48)] * 3)
    shapes = dict.fromkeys(("A", "B"), (3, 16, 16))
    pipe = pipeline(data, shapes, batch=48, crop=crop, load_size=load_size, resize=resize, flip=True)
    assert pipe.bad == []
    images = next(pipe.batches(0, CPU)).images
    a, b = (((images[name] + 1) * 127.5).round() for name in shapes)
    assert torch.equal(a[:, 2], b[:, 2])
    assert (a - b)[:, :2].abs().max() <= 128 / load_size / 2 + 3  # half a pixel, and what the filters round
    if crop == "random" and load_size == 32:
        assert a[:, 0].amin(dim=(1, 2)).unique().numel() > 5
    apart = next(pipeline(data, shapes, batch=48, crop="random", load_size=32, flip=True, paired=False).batches(0, CPU))
    assert (apart.images["A"] - apart.images["B"]).abs().max() > 0.3


def test_pairs_of_other_proportions_are_named_and_left_out():
    sizes = list(WIDE)
    sizes[3], sizes[7] = (32, 32), (48, 32)
    data = places(WIDE, sizes)
    for crop in ("center", "random"):
        for cache_gib in (1, 0):
            pipe = pipeline(data, TWO, crop=crop, load_size=10, cache_gib=cache_gib)
            assert pipe.length == 10
            assert [name for name, _ in pipe.bad] == ["numbered[3]", "numbered[7]"]
            assert "it is 32 x 32 px, but its partner numbered[3] 48 x 32" in pipe.bad[0][1]
            assert "data.resize=stretch" in pipe.bad[0][1]
    # The first side comes from its file, so that nobody knows the sizes of its images.
    for side in pipe._gatherers.values():
        last = side._reduced[1].path
    last.unlink()
    assert pipeline(data, TWO, crop="random", load_size=10, cache_gib=0).bad == pipe.bad
    assert pipeline(data, TWO, resize="stretch", load_size=10, crop="random").bad == []
    assert pipeline(data, TWO, load_size=10, crop="random", paired=False).bad == []
    with pytest.raises(GancliError, match=r"numbered\[3\] cannot be read: it is 32 x 32 px"):
        pipeline(data, TWO, on_bad_image="error")
    with pytest.raises(GancliError, match=r"none of the 2 images can be read; the first is .*its partner"):
        pipeline(places(WIDE[:2], [(32, 32)] * 2), TWO)


def test_a_broken_partner_is_named_once():
    class Half(Places):
        def name(self, index: int) -> str:
            return f"{'left' if self.bad else 'right'}[{index}]"

    domains = {"left": Half(6, (8, 8), bad=(2,)), "right": Half(6, (8, 8))}
    domains["left"].read = lambda index, *rest: Numbered.read(domains["left"], index, 3)
    data = Source("half", "", domains, paired=True, fingerprint="half")
    pipe = pipeline(data, TWO)
    assert pipe.bad == [("left[2]", "it is broken")]
    assert pipe.length == 5


def fixed(data: Source, n: int, shapes: dict | None = None, paired: bool = True, **options: object) -> Batch:
    return fixed_batch(data, inputs(shapes or TWO, paired), DataConfig(**options), n)


def test_fixed_images_are_the_first_ones_undisturbed():
    batch = fixed(two_domains(True), 5, flip=True, crop="random", load_size=11)
    assert list(batch.images) == ["A", "B"]
    assert batch.labels is None
    for images in batch.images.values():
        assert images.shape == (5, 3, 8, 8)
        assert images.dtype == torch.float32
        assert images.is_contiguous()
        assert numbers(images) == [0, 1, 2, 3, 4]
        assert (images[:, 0, 0, 7] == torch.tensor(207 / 127.5 - 1)).all()
    assert len(fixed(two_domains(True), 99)) == 12
    assert {len(images) for images in fixed(two_domains(False), 99).images.values()} == {9}
    assert fixed(source(), 3, SHAPE).image.shape == (3, 3, 8, 8)


def test_fixed_images_are_whole():
    data = places([(32, 64)] * 4, [(32, 64)] * 4)
    shapes = dict.fromkeys(("A", "B"), (3, 16, 16))
    for resize, low, high in (("cover", 32, 96), ("stretch", 0, 128)):
        images = fixed(data, 4, shapes, resize=resize, load_size=30, crop="random").images["A"]
        down, across, _ = ((images + 1) * 127.5).round().unbind(1)
        assert (across.min(), across.max()) == (pytest.approx(low, abs=5), pytest.approx(high, abs=5))
        assert (down.min(), down.max()) == (pytest.approx(0, abs=5), pytest.approx(128, abs=5))


def test_fixed_images_pass_over_bad_ones():
    data = two_domains(True, left=(0, 3), right=(1,))
    batch = fixed(data, 4)
    assert numbers(batch.images["A"]) == numbers(batch.images["B"]) == [2, 4, 5, 6]
    apart = fixed(data, 4, paired=False)
    assert numbers(apart.images["A"]) == [1, 2, 4, 5]
    assert numbers(apart.images["B"]) == [0, 2, 3, 4]
    sizes = [(32, 32), *WIDE[1:]]
    assert len(fixed(places(WIDE, sizes), 99)) == 11
    assert len(fixed(places(WIDE, sizes), 99, resize="stretch")) == 12
    for paired, what in ((True, "pair"), (False, "image")):
        with pytest.raises(GancliError, match=f"no {what} of two can be read"):
            fixed(two_domains(True, left=tuple(range(12))), 4, paired=paired)


def test_fixed_images_of_the_test_part():
    test = open_source("shapes:domains", "test")
    batch = fixed(test, 6, dict.fromkeys(("A", "B"), (3, 32, 32)))
    plain, striped = batch.images["A"], batch.images["B"]
    expected = torch.from_numpy(test.domains["striped"].read(5, 3, 32)).permute(2, 0, 1) / 127.5 - 1
    assert torch.allclose(striped[5], expected)
    same = (plain == striped).all(dim=1).float().mean()
    assert 0.5 < same < 0.95


def test_unpaired_domains_have_orders_and_lengths_of_their_own():
    pipe = pipeline(two_domains(False), TWO, batch=36)
    assert pipe.length == 12
    images = next(pipe.batches(0, CPU)).images
    a, b = numbers(images["A"]), numbers(images["B"])
    assert sorted(a[:12]) == list(range(12))
    assert sorted(b[:9]) == list(range(9)) == sorted(b[9:18])
    assert a[:9] != b[:9]


def test_domains_can_differ_in_shape():
    pipe = pipeline(two_domains(True), {"edges": (1, 8, 8), "photo": (3, 16, 16)}, batch=4)
    images = next(pipe.batches(0, CPU)).images
    assert [tuple(image.shape) for image in images.values()] == [(4, 1, 8, 8), (4, 3, 16, 16)]


def test_attributes_as_labels():
    data = Source("a", "", {"image": Numbered(8)}, np.eye(8, dtype=np.float32), tuple("abcdefgh"), fingerprint="a")
    batch = next(pipeline(data, batch=4).batches(0, CPU))
    assert batch.labels.dtype == torch.float32
    assert batch.labels.argmax(dim=1).tolist() == numbers(batch.image)


def test_what_cannot_be_served():
    with pytest.raises(GancliError, match="a batch of 15 cannot be shared by 2") as caught:
        pipeline(batch=15, world=2)
    assert caught.value.hint == "--set train.batch=16"
    # Each of 2 processes would have 2 images for 4 parts.
    with pytest.raises(GancliError, match="a batch of 4 cannot be shared by 2 processes in 4 parts each") as caught:
        pipeline(batch=4, world=2, parts=4)
    assert caught.value.hint == "--set train.batch=8"
    pipeline(batch=8, world=2, parts=4)


@pytest.mark.parametrize("config", [{}, {"resize": "stretch", "load_size": 40, "crop": "random"}])
def test_the_expected_bytes_are_those_that_are_kept(config):
    data, shapes = two_domains(True), dict.fromkeys(("A", "B"), (3, 32, 32))
    one = sum(decoded_bytes(data, inputs(shapes), DataConfig(**config), [Portion(0, 16)])) // 2
    pipe = Pipeline(data, inputs(shapes), DataConfig(**config), portions=[Portion(0, 2)], seed=0)
    assert [domain._reduced[1].nbytes for domain in pipe._gatherers.values()] == [one, one]
    assert decoded_bytes(data, inputs(shapes), DataConfig(**config), [Portion(0, 16)]) == (2 * one, 0)
    assert decoded_bytes(data, inputs(shapes), DataConfig(cache_gib=1.5 * one / 2**30, **config), [Portion(0, 16)]) == (
        one,
        one,
    )
    assert decoded_bytes(data, inputs(shapes), DataConfig(**config), [Portion(0, 16)], world=2) == (0, 2 * one)


def test_progress_counts_all_domains():
    seen: list[tuple[int, int]] = []
    pipeline(two_domains(False), TWO, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(12, 21), (21, 21)]


def test_ranks_share_one_cache_file(gancli_home):
    for rank in (0, 1):
        pipeline(rank=rank, world=2)
    assert len(list((gancli_home / "cache").glob("*.pixels"))) == 1


def test_built_in_shapes_are_drawn_at_the_size_wanted():
    from gancli.data.shapes import draw, factors

    drawn = torch.from_numpy(draw(factors(0, 20_160), 16))
    image = take(pipeline(open_source("shapes"), {"image": (3, 16, 16)}, batch=8), 1)[0]
    pixels = ((image + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
    assert all((drawn == one).flatten(1).all(dim=1).any() for one in pixels)


@pytest.mark.gpu
def test_batches_reach_the_gpu():
    device = torch.device("cuda")
    for workers in (0, 2):
        pipe = pipeline(source(labels=True), flip=True, workers=workers)
        on_cpu, on_gpu = pipe.batches(0, CPU), pipe.batches(0, device)
        for _ in range(10):
            one, other = next(on_cpu), next(on_gpu)
            assert other.image.device.type == "cuda"
            assert other.image.is_contiguous(memory_format=torch.channels_last)
            assert torch.allclose(one.image, other.image.cpu(), atol=1e-6)
            assert torch.equal(one.labels, other.labels.cpu())
        on_cpu.close()
        on_gpu.close()
