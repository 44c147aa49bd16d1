"""Moving pictures read back: frames, sizes, speed, colours, what is enlarged, and that frames are not hoarded."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from gancli.errors import GancliError
from gancli.generation.video import write_film

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (10, 100, 200), (255, 255, 255), (0, 0, 0), (128, 128, 128)]


def frames(height: int = 64, width: int = 96) -> list[NDArray[np.uint8]]:
    return [np.full((height, width, 3), colour, np.uint8) for colour in COLOURS]


def read_film(file: str | BinaryIO) -> tuple[Fraction | None, NDArray[np.uint8]]:
    """Returns frames per second, and frames [F, H, W, 3]."""
    with av.open(file) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        # Both said, as PyAV 16 reads BT.709 wrongly otherwise.
        pixels = [
            frame.reformat(format="rgb24", src_colorspace="ITU709", dst_colorspace="ITU601").to_ndarray()
            for frame in container.decode(stream)
        ]
        return stream.average_rate, np.stack(pixels)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_film_has_its_frames_speed_and_colours(tmp_path: Path, streamed: bool) -> None:
    with (tmp_path / "film.mp4").open("wb") as file:
        write_film(file, iter(frames(256, 320)), "mp4", 25, streamed=streamed)
    fps, pixels = read_film(str(tmp_path / "film.mp4"))
    assert fps == 25
    assert pixels.shape == (7, 256, 320, 3)
    assert abs(pixels.mean(axis=(1, 2)) - COLOURS).max() < 2
    with av.open(str(tmp_path / "film.mp4")) as container:  # players need not guess
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_range) == (1, 1, 1)


@pytest.mark.parametrize(
    ("size", "shown"),
    [((32, 32), (256, 256)), ((28, 60), (280, 600)), ((100, 257), (300, 772)), ((257, 301), (258, 302))],
)
def test_small_and_odd_frames_are_enlarged(size: tuple[int, int], shown: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (-(-size[0] // 4), -(-size[1] // 4), 1)).repeat(4, 0).repeat(4, 1)
    frame = blocks[: size[0], : size[1]].astype(np.uint8)  # grey
    out = io.BytesIO()
    write_film(out, [frame] * 3, "mp4", 30)
    out.seek(0)
    _, pixels = read_film(out)
    assert pixels.shape == (3, *shown, 3)
    factor = shown[0] // size[0]
    inside = pixels[0, : size[0] * factor, : size[1] * factor].mean(axis=2)
    middles = inside[factor // 2 :: factor, factor // 2 :: factor]
    assert abs(middles - frame[:, :, 0]).mean() < 4


@pytest.mark.parametrize("kind", ["webp", "gif"])
@pytest.mark.parametrize(("fps", "seconds"), [(30, 7 / 30), (7, 1.0)])
def test_an_animation_loops_and_lasts(kind: str, fps: int, seconds: float) -> None:
    out = io.BytesIO()
    write_film(out, iter(frames(256, 320)), kind, fps)
    image = Image.open(io.BytesIO(out.getvalue()))
    assert image.format == kind.upper()
    assert image.info["loop"] == 0
    durations, colours = [], []
    for frame in ImageSequence.Iterator(image):
        colours.append(np.asarray(frame.convert("RGB")).astype(int))
        durations.append(frame.info["duration"])
    assert len(colours) == 7
    assert sum(durations) == pytest.approx(1000 * seconds, abs=10)
    assert max(durations) - min(durations) <= 10
    assert abs(np.stack(colours) - np.asarray(COLOURS)[:, None, None]).max() <= 3


def test_frames_are_written_as_they_come() -> None:
    """An encoder looks some frames ahead, but does not keep them."""
    out = io.BytesIO()
    rng = np.random.default_rng(0)
    written = []

    def noise() -> Iterator[NDArray[np.uint8]]:
        for _ in range(90):
            written.append(len(out.getvalue()))
            yield rng.integers(0, 256, (256, 256, 3), np.uint8)

    write_film(out, noise(), "mp4", 30)
    assert written[-1] > 0.2 * len(out.getvalue()) > 10_000


@pytest.mark.parametrize(("kind", "side"), [("mp4", 9000), ("webp", 17_000), ("gif", 66_000)])
def test_what_is_too_large_for_a_format_is_said(kind: str, side: int) -> None:
    with pytest.raises(GancliError, match="pixels on a side"):
        write_film(io.BytesIO(), [np.zeros((256, side, 3), np.uint8)], kind, 30)
