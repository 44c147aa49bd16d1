"""Films from frames: ``.mp4`` and ``.webp`` through PyAV, ``.gif`` through Pillow."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray
from PIL import Image

from gancli.errors import GancliError
from gancli.generation.writers import LARGEST_SIDE, as_rgb, check_size

SHORT_SIDE = 256
"""Smallest height and width of a film in pixels: players show smaller ones tiny, or not at all."""

BT_709 = 1
"""The colour primaries and the transfer curve, nearly the same as sRGB's; the number is H.264's."""
CODECS = {
    "mp4": ("libx264", {"crf": "17"}, Colorspace.ITU709),
    "webp": ("libwebp_anim", {"quality": "90"}, Colorspace.ITU601),
}
"""By format: PyAV's codec, its options, and the matrix that makes YUV of RGB."""


class _Output:
    """A file for PyAV, which may seek in it if ``seekable``; keeps the errors of writing, some of which PyAV loses."""

    def __init__(self, file: BinaryIO, seekable: bool) -> None:
        self._file = file
        self.error: Exception | None = None
        if seekable:
            self.seek, self.tell = file.seek, file.tell

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except Exception as error:
            self.error = error
            raise


def write_film(
    file: BinaryIO, frames: Iterable[NDArray[np.uint8]], kind: str, fps: int, *, streamed: bool = False
) -> None:
    """Writes moving pictures, encoding frames one at a time.

    ``mp4``: H.264. ``webp``: loops forever; the compressed frames stay in memory until the end. Both store colours at
    half the resolution, so frames whose shorter side has fewer than 256 pixels are enlarged by the smallest whole
    factor that reaches it, which also suits players. Their sizes must be even: an odd last row or column is repeated.
    ``gif``: loops forever, with 256 colours per frame; one byte per pixel stays in memory until the end.

    Args:
        file: seekable, unless ``streamed``.
        frames: uint8 [H, W, C], all of one size.
        kind: ``mp4``, ``webp`` or ``gif``.
        fps: frames per second; at most 50 for a ``gif``, which counts in hundredths of a second, and viewers slow
            down frames of a single one.
        streamed: write ``mp4`` in fragments, which works for a pipe. More players understand the other kind.

    Raises:
        GancliError: the frames are too large, or PyAV was built without the encoder.
    """
    if kind == "gif":
        images = _gif_frames(frames, fps)
        next(images).save(file, "GIF", save_all=True, append_images=images, loop=0)
        return
    codec, codec_options, matrix = CODECS[kind]
    if codec not in av.codecs_available:
        raise GancliError(f"the installed PyAV cannot write {kind} files: it was built without {codec}", "-o x.gif")
    output = _Output(file, seekable=kind == "mp4" and not streamed)
    fragments = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    options = {"loop": "0"} if kind == "webp" else fragments if streamed else {}
    frames = map(_enlarged, frames)
    first = next(frames)
    height, width, _ = first.shape
    check_size(kind, height, width)
    try:
        with av.open(output, "w", format=kind, container_options=options) as container:
            stream = container.add_stream(codec, rate=fps, options=codec_options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            context = stream.codec_context
            # Stated in the film, since players otherwise guess from its size.
            context.colorspace, context.color_range = matrix, ColorRange.MPEG
            context.color_primaries = context.color_trc = BT_709
            for frame in itertools.chain([first], frames):
                picture = av.VideoFrame.from_ndarray(as_rgb(frame[None])[0], format="rgb24")
                picture = picture.reformat(format="yuv420p", dst_colorspace=matrix, dst_color_range=ColorRange.MPEG)
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
    except av.FFmpegError:
        if output.error is None:
            raise
        raise output.error from None


def _gif_frames(frames: Iterable[NDArray[np.uint8]], fps: int) -> Iterator[Image.Image]:
    for index, frame in enumerate(frames):
        check_size("gif", *frame.shape[:2])
        image = Image.fromarray(frame[:, :, 0] if frame.shape[2] == 1 else as_rgb(frame[None])[0])
        # Whole hundredths that add up to the right time, in milliseconds.
        image.info["duration"] = 10 * (100 * (index + 1) // fps - 100 * index // fps)
        yield image


def _enlarged(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Makes a frame [H, W, C] large enough and of even sizes."""
    height, width, _ = frame.shape
    factor = max(1, min(-(-SHORT_SIDE // min(height, width)), LARGEST_SIDE["mp4"] // max(height, width)))
    frame = frame.repeat(factor, axis=0).repeat(factor, axis=1)
    return np.pad(frame, ((0, height * factor % 2), (0, width * factor % 2), (0, 0)), mode="edge")
