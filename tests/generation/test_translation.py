"""Images of any size and number through a translator."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from translators import build, scene

from gancli.architectures.base import AttentiveTranslator, Translator, Way
from gancli.architectures.cyclegan import CycleGAN
from gancli.architectures.pix2pix import Pix2Pix
from gancli.architectures.ugatit import UGATIT
from gancli.data.source import BadImage
from gancli.generation.translation import Picture, Translated, Translation, translate_all

CPU = torch.device("cpu")
FORTH, BACK = Way("A", "B"), Way("B", "A")


@pytest.fixture(scope="module")
def local() -> Translator:
    """A network without statistics of an image: batch norm in evaluation."""
    return build(CycleGAN, blocks=1, norm="batch")


@pytest.fixture(scope="module")
def light() -> Translator:
    return build(UGATIT, residual_blocks=1, light=True, local_layers=3, global_layers=5)


@pytest.mark.parametrize("shape", [(600, 280), (301, 150), (64, 811), (270, 700)])
def test_a_local_network_does_the_same_in_tiles(local: Translator, shape: tuple[int, int]) -> None:
    image = scene(*shape)
    (whole,) = Translation(local, FORTH, CPU)([image])
    for batch in (1, 3):
        (tiled,) = Translation(local, FORTH, CPU, tile=256, batch=batch)([image])
        assert tiled.images.shape == whole.images.shape == (1, *shape, 3)
        assert abs(tiled.images.astype(int) - whole.images).max() <= 1
    assert whole.images.std() > 10
    (floats,) = Translation(local, FORTH, CPU, tile=256, floats=True)([image])
    assert abs((floats.images.transpose(0, 2, 3, 1) + 1) * 127.5 - tiled.images).max() <= 0.51


def test_attention_and_fixed_size_in_tiles(light: Translator) -> None:
    assert isinstance(light, AttentiveTranslator)
    image = scene(150, 260)
    (whole,) = Translation(light, FORTH, CPU, attention=True)([image])
    (tiled,) = Translation(light, FORTH, CPU, attention=True, tile=96)([image])
    assert tiled.attention is not None
    assert whole.attention is not None
    assert tiled.attention.shape == whole.attention.shape == (1, 150, 260)
    assert np.corrcoef(tiled.attention.ravel(), whole.attention.ravel())[0, 1] > 0.9
    full = build(UGATIT, residual_blocks=1, light=False, local_layers=3, global_layers=5)
    assert full.fixed_size == (64, 64)
    (result,) = Translation(full, BACK, CPU, tile=64)([scene(50, 200)])
    assert result.images.shape == (1, 50, 200, 3)


def test_rows_are_counted(local: Translator) -> None:
    counted: list[tuple[int, int]] = []
    Translation(local, FORTH, CPU, tile=64, on_rows=lambda *rows: counted.append(rows))([scene(200, 80)])
    assert [total for _, total in counted] == [200] * len(counted)
    assert [done for done, _ in counted] == sorted({done for done, _ in counted})
    assert counted[-1] == (200, 200)


def test_many_images_come_in_order_and_few_at_a_time(local: Translator) -> None:
    """Of 60 images, the third of which is none, never more than a few have been read before their time."""
    read: list[int] = []
    lock = threading.Lock()

    def read_one(index: int) -> Picture:
        with lock:
            read.append(index)
        if index % 3 == 2:
            raise BadImage(f"{index} is bad")
        return Picture(np.full((1, 3, 16, 16 + 4 * (index // 10 % 2)), index * 4, np.uint8))

    def write(index: int, picture: Picture, translated: Translated) -> int:
        assert picture.values[0, 0, 0, 0] == index * 4
        if index == 31:
            raise BadImage("its name is too long")
        return int(translated.images[0].mean())

    ahead = []
    results: list[tuple[int, int | BadImage]] = []
    for index, result in translate_all(range(60), read_one, Translation(local, FORTH, CPU), write):
        ahead.append(len(read) - index)
        results.append((index, result))
    assert [index for index, _ in results] == list(range(60))
    assert [index for index, result in results if isinstance(result, BadImage)] == sorted({*range(2, 60, 3), 31})
    assert max(ahead) <= 8 + 3 * 8 + 2
    single = [Translation(local, FORTH, CPU)([read_one(index).values])[0].images.mean() for index in (0, 10, 33)]
    assert [results[index][1] for index in (0, 10, 33)] == [int(mean) for mean in single]


@pytest.mark.parametrize("where", ["read", "write"])
def test_other_exceptions_end_everything(local: Translator, where: str) -> None:
    begun: list[int] = []

    def read_one(index: int) -> Picture:
        begun.append(index)
        if where == "read" and index == 5:
            raise MemoryError
        return Picture(np.zeros((1, 3, 16, 16), np.uint8))

    def write(index: int, picture: Picture, translated: Translated) -> int:
        if where == "write" and index == 5:
            raise MemoryError
        return index

    done = []
    results = translate_all(range(1000), read_one, Translation(local, FORTH, CPU), write)
    with pytest.raises(MemoryError):
        done.extend(index for index, _ in results)
    assert len(done) <= 5
    assert len(begun) < 60
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("gancli-images")]


def test_batches(local: Translator) -> None:
    """Images of one padded size go through the network together, up to the batch."""
    seen: list[int] = []
    translation = Translation(local, FORTH, CPU, batch=3)
    network: Callable[[torch.Tensor], torch.Tensor] = translation._network
    translation._network = lambda images: (seen.append(len(images)), network(images))[1]  # type: ignore[method-assign]
    sizes = [(20, 20), (18, 19), (17, 20), (20, 18), (30, 20), (20, 20)]
    results = list(
        translate_all(
            sizes,
            lambda size: Picture(np.zeros((1, 3, *size), np.uint8)),
            translation,
            lambda size, picture, translated: translated.images.shape[1:3],
        )
    )
    assert results == [(size, size) for size in sizes]
    assert seen == [3, 1, 1, 1]
    assert Translation(local, FORTH, CPU).batch_of((64, 64)) == 1
    assert Translation(local, FORTH, torch.device("cuda")).batch_of((256, 256)) == 8
    assert Translation(local, FORTH, torch.device("cuda")).batch_of((2048, 2048)) == 1
    assert Translation(build(Pix2Pix), FORTH, CPU, batch=5).batch_of((64, 64)) == 1
