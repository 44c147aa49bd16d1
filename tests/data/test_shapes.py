from __future__ import annotations

import hashlib

import numpy as np
import pytest

from gancli.data import shapes
from gancli.data.shapes import (
    COLOURS,
    KINDS,
    LENGTH,
    RECOGNISED,
    TEST_LENGTH,
    Drawn,
    draw,
    factors,
    open_shapes,
    recognise,
)
from gancli.data.source import BadImage
from gancli.errors import GancliError

MODES = len(KINDS) * len(COLOURS)


@pytest.mark.parametrize(
    ("style", "digest"),
    [("plain", "5238e428aec5965d"), ("striped", "d0febcebceb28a23"), ("outline", "7ce4c185485f98b6")],
)
def test_pixels_never_change(style, digest):
    # New pixels need a new number in open_shapes's fingerprint.
    assert hashlib.sha256(draw(factors(0, 72), 32, style).tobytes()).hexdigest()[:16] == digest


def test_modes_are_even():
    f = factors(0, LENGTH)
    counts = np.bincount(f.kind * len(COLOURS) + f.colour, minlength=MODES)
    assert (counts == LENGTH // MODES).all()
    assert LENGTH % MODES == 0
    first = factors(100, MODES)
    assert len(set(zip(first.kind, first.colour, strict=True))) == MODES


@pytest.mark.parametrize("side", [8, 31, 32, 64])
@pytest.mark.parametrize("style", ["plain", "striped", "outline"])
def test_one_image_is_the_same_as_among_many(side, style):
    images = Drawn("shapes", style)
    many = draw(factors(0, 24), side, style)
    assert many.shape == (24, side, side, 3)
    for index in (0, 5, 23):
        assert (images.read(index, 3, side) == many[index]).all()


def test_the_centre_has_the_colour_and_the_corners_the_background():
    images = draw(factors(0, 360), 64)
    f = factors(0, 360)
    x, y = (f.x * 64).astype(int), (f.y * 64).astype(int)
    assert (images[np.arange(360), y, x] == np.rint(shapes.RGB[f.colour])).all()
    for corner in (images[:, 0, 0], images[:, -1, 0], images[:, 0, -1], images[:, -1, -1]):
        assert (corner == np.rint(f.background)[:, None]).all()


def test_every_shape_stays_inside():
    f = factors(0, 3600)
    images = draw(f, 64).astype(int)
    border = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1)
    assert (border == np.rint(f.background)[:, None, None]).all()


def test_size_and_place_are_what_factors_say():
    drawn = Drawn("shapes")
    for index in range(0, 36 * 4, 6):  # circles
        shape = drawn._factors
        assert KINDS[shape.kind[index]] == "circle"
        image = drawn.read(index, 3, 128).astype(float)
        inside = np.abs(image - image[0, 0]).sum(axis=2)
        inside /= inside.max()
        grid = (np.arange(128) + 0.5) / 128
        assert (inside.sum(axis=0) @ grid) / inside.sum() == pytest.approx(shape.x[index], abs=0.002)
        assert (inside.sum(axis=1) @ grid) / inside.sum() == pytest.approx(shape.y[index], abs=0.002)
        assert np.sqrt(inside.mean() / np.pi) == pytest.approx(0.92 * shape.size[index], abs=0.002)


def test_edges_are_antialiased():
    # The mean of a picture does not depend on its resolution, as it would with jagged edges.
    small, large = draw(factors(0, 360), 16).mean(axis=(1, 2)), draw(factors(0, 360), 128).mean(axis=(1, 2))
    assert np.abs(small - large).mean() < 0.6


def test_stripes_are_a_texture_and_not_another_shape():
    plain, striped = (draw(factors(0, 36), 64, style).astype(int) for style in ("plain", "striped"))
    background = plain[:, :1, :1]
    covered = np.abs(plain - background).sum(axis=3) > 0
    assert (striped[~covered] == plain[~covered]).all()
    changed = (striped != plain).any(axis=3).sum(axis=(1, 2)) / covered.sum(axis=(1, 2))
    assert (changed > 0.3).all()
    assert (changed < 0.8).all()


def test_grey_is_pillows_luma():
    from PIL import Image

    colour = Drawn("shapes").read(7, 3, 32)
    grey = Drawn("shapes").read(7, 1, 32)
    assert grey.shape == (32, 32, 1)
    luma = np.asarray(Image.fromarray(colour).convert("L")).astype(int)
    assert np.abs(grey[:, :, 0] - luma).max() <= 1


@pytest.mark.parametrize(("side", "count"), [(32, 3600), (64, 720)])
@pytest.mark.parametrize("style", ["plain", "striped"])
def test_true_images_are_recognised(side, count, style):
    f = factors(5000, count)
    found = recognise(draw(f, side, style))
    assert ((found.kind == f.kind) & (found.colour == f.colour)).mean() >= 0.995
    assert (found.confidence >= RECOGNISED).mean() >= 0.995


def test_noisy_and_pale_images_are_recognised():
    f = factors(0, 720)
    images = draw(f, 32).astype(np.float32) / 127.5 - 1
    noisy = images + np.random.default_rng(0).normal(0, 0.12, images.shape)
    pale = 0.8 * images
    for changed in (noisy, pale):
        found = recognise(changed.clip(-1, 1))
        assert ((found.kind == f.kind) & (found.colour == f.colour)).mean() >= 0.995
        assert (found.confidence >= RECOGNISED).mean() >= 0.95


def test_float_and_uint8_agree():
    images = draw(factors(0, 72), 32)
    one, other = recognise(images), recognise(images.astype(np.float32) / 127.5 - 1)
    assert (one.kind == other.kind).all()
    assert one.confidence == pytest.approx(other.confidence, abs=1e-3)


def test_what_is_no_shape_has_low_confidence():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (300, 32, 32, 3), dtype=np.uint8)
    flat = np.full((3, 32, 32, 3), 90, np.uint8)
    grey = np.repeat(draw(factors(0, 300), 32).mean(axis=-1, keepdims=True), 3, axis=-1)
    grey_blobs = np.clip(grey + rng.normal(0, 6, grey.shape), 0, 255).astype(np.uint8)
    two = draw(factors(0, 300), 32)
    two[:, :, 16:] = draw(factors(18, 300), 32)[:, :, 16:]  # another colour from the middle on
    for images, limit in ((noise, 0.6), (flat, 0.01), (grey_blobs, 0.3)):
        assert recognise(images).confidence.max() < limit
    assert recognise(two).confidence.mean() < 0.7


def test_recognising_nothing():
    found = recognise(np.empty((0, 32, 32, 3), np.uint8))
    assert [len(part) for part in found] == [0, 0, 0]


def test_variants():
    plain = open_shapes("shapes")
    assert list(plain.domains) == ["image"]
    assert plain.labels is None

    classes = open_shapes("shapes:classes")
    assert classes.classes == KINDS
    drawn = classes.domains["image"]
    assert (drawn._factors.kind == classes.labels).all()

    pairs = open_shapes("shapes:pairs")
    assert pairs.paired
    outline, filled = pairs.domains.values()
    assert all(map(np.array_equal, outline._factors, filled._factors))
    assert outline.read(17, 3, 64).var() < filled.read(17, 3, 64).var()

    domains = open_shapes("shapes:domains")
    assert not domains.paired
    a, b = domains.domains["plain"], domains.domains["striped"]
    assert (a._style, b._style) == ("plain", "striped")
    assert (a._factors.x != b._factors.x).any()
    assert len({source.fingerprint for source in (plain, classes, pairs, domains)}) == 4


@pytest.mark.parametrize("variant", ["pairs", "domains"])
def test_test_part(variant):
    train, test, both = (open_shapes(f"shapes:{variant}", split) for split in ("train", "test", "all"))
    assert (train.has_test, test.has_test, both.has_test) == (True, False, False)
    assert len({source.fingerprint for source in (train, test, both)}) == 3
    assert open_shapes(f"shapes:{variant}").fingerprint == train.fingerprint
    for name, images in test.domains.items():
        assert len(images) == TEST_LENGTH
        assert TEST_LENGTH % MODES == 0
        assert len(both.domains[name]) == LENGTH + TEST_LENGTH
        assert (both.domains[name].read(LENGTH + 5, 3, 16) == images.read(5, 3, 16)).all()
        assert (both.domains[name].read(5, 3, 16) == train.domains[name].read(5, 3, 16)).all()
        assert "test" in images.name(3)
    places = [
        {(images._factors.x[i], images._factors.y[i]) for i in range(len(images))}
        for source in (train, test)
        for images in source.domains.values()
    ]
    assert not (places[0] | places[1]) & (places[2] | places[3])
    # The truth of each translation is known.
    assert test.paired
    one, other = test.domains.values()
    assert all(map(np.array_equal, one._factors, other._factors))
    assert (one.read(17, 3, 32) != other.read(17, 3, 32)).any()


@pytest.mark.parametrize("variant", ["shapes", "shapes:classes"])
def test_variants_without_a_test_part(variant):
    one, other = open_shapes(variant), open_shapes(variant, "test")
    assert not one.has_test
    assert one.fingerprint == other.fingerprint
    assert len(other.domains["image"]) == LENGTH


def test_other_numbers_of_channels():
    images = Drawn("shapes")
    assert (images.read(7, 4, 32)[..., :3] == images.read(7, 3, 32)).all()
    assert (images.read(7, 4, 32)[..., 3] == 255).all()
    assert images.read(7, 2, 32).shape == (32, 32, 2)
    with pytest.raises(BadImage, match="not 6"):
        images.read(7, 6, 32)


def test_unknown_variant():
    with pytest.raises(GancliError, match="no built-in data 'shapes:clases'") as caught:
        open_shapes("shapes:clases")
    assert "'shapes:classes'" in caught.value.hint
