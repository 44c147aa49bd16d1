"""A translator's pictures: files, images and arrays become values for the network, and its values become pixels."""

from __future__ import annotations

import io
import tokenize
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from gancli.data.formats import decode, to_pixels
from gancli.data.source import BadImage, Pixels
from gancli.generation import writers
from gancli.generation.writers import as_rgb, heat_map

Values = NDArray[Any]
"""Images [N, C, H, W]: uint8, or float32 in [-1, 1]."""

NPY_MAGIC = b"\x93NUMPY"


@dataclass(frozen=True)
class Picture:
    """One input, decoded.

    Attributes:
        values: the images for the network; several only if they come from a ``.npy`` file.
        alpha: alpha channel for the output, uint8 [H, W]; None for opaque images.
    """

    values: Values
    alpha: NDArray[np.uint8] | None = None


class Translated(NamedTuple):
    """A network's results: images float32 [N, C, H, W] in [-1, 1] or uint8 [N, H, W, C], and attention [N, H, W]."""

    images: Values
    attention: NDArray[np.float32] | None


def read_picture(data: bytes, channels: int, size: int | None = None, *, alpha: bool = True) -> Picture:
    """Decodes an image file or a ``.npy`` file.

    Args:
        data: the file's content. A ``.npy`` file holds float [C, H, W] or [N, C, H, W] in [-1, 1].
        channels: of the network's input. Image files become grey (1) or RGB (3), with transparent parts over white;
            with 2 and 4, alpha is the last channel.
        size: length of the short side of the result; None: as stored.
        alpha: keep for the output an alpha channel that the network does not get.

    Raises:
        BadImage: this is not an image, or does not suit this network.
    """
    if not data.startswith(NPY_MAGIC):
        return _resized(_from_pixels(decode(data, 2 if channels == 2 else 4), channels, alpha), size)
    try:
        values = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, MemoryError, OverflowError, SyntaxError, tokenize.TokenError) as error:
        raise BadImage("this .npy file is damaged, or does not hold numbers") from error
    return _resized(Picture(_checked(values, channels)), size)


def picture_of(image: Image.Image | NDArray[Any], channels: int, size: int | None = None) -> Picture:
    """Takes an image from Python code, as ``read_picture`` takes a file.

    Args:
        image: a Pillow image, uint8 [H, W] or [H, W, C], or float [C, H, W] in [-1, 1].
        channels, size: see ``read_picture``.

    Raises:
        BadImage: it is something else, or does not suit this network.
    """
    if not isinstance(image, Image.Image | np.ndarray) or (isinstance(image, np.ndarray) and not image.size):
        raise BadImage("it is not a Pillow image or an array with pixels")
    if not isinstance(image, Image.Image) and image.dtype != np.uint8:
        return _resized(Picture(_checked(image, channels)), size)
    try:
        if not isinstance(image, Image.Image):
            image = Image.fromarray(image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image)
        image.load()
        pixels = to_pixels(image, 2 if channels == 2 else 4)
    except (OSError, TypeError, ValueError) as error:
        raise BadImage(str(error)) from error
    return _resized(_from_pixels(pixels, channels, keep_alpha=True), size)


def _from_pixels(pixels: Pixels, channels: int, keep_alpha: bool) -> Picture:
    """Makes a picture of grey and alpha, uint8 [H, W, 2], or RGB and alpha, [H, W, 4]."""
    if channels > 4:
        raise BadImage(f"this model's images have {channels} channels, which only float arrays (.npy) can hold")
    alpha = pixels[:, :, 3] if channels in (1, 3) and (pixels[:, :, 3] < 255).any() else None
    if alpha is not None or channels == 1:
        shown = Image.fromarray(pixels)
        if alpha is not None:
            white = Image.new("RGB", shown.size, "white")
            white.paste(shown.convert("RGB"), mask=shown.getchannel("A"))
            shown = white
        pixels = np.asarray(shown.convert("L" if channels == 1 else "RGB"))
    values = pixels.reshape(*pixels.shape[:2], -1)[None, :, :, :channels].transpose(0, 3, 1, 2)
    # Copies, so that the rest does not stay in memory.
    return Picture(values.copy(), alpha.copy() if alpha is not None and keep_alpha else None)


def _checked(values: NDArray[Any], channels: int) -> NDArray[np.float32]:
    if values.dtype.kind != "f" or values.ndim not in (3, 4) or values.shape[-3] != channels or not values.size:
        raise BadImage(
            f"holds {values.dtype} {list(values.shape)}, but this model takes float32 [{channels}, H, W] "
            f"or [N, {channels}, H, W]"
        )
    if not (abs(values) <= 1.001).all():  # false for NaN, too
        raise BadImage("holds values outside [-1, 1]")
    images: NDArray[np.float32] = values.reshape(-1, *values.shape[-3:]).astype(np.float32).clip(-1, 1)
    return images


def _resized(picture: Picture, size: int | None) -> Picture:
    if size is None:
        return picture
    height, width = picture.values.shape[2:]
    short = min(height, width)
    wanted = (max(1, round(height * size / short)), max(1, round(width * size / short)))
    values, alpha = resize(torch.from_numpy(picture.values), wanted).numpy(), picture.alpha
    if alpha is not None:
        alpha = resize(torch.from_numpy(alpha)[None, None], wanted)[0, 0].numpy()
    return Picture(values, alpha)


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes images [N, C, H, W], uint8 or float, with an antialiased bicubic filter (which may overshoot)."""
    if images.shape[2:] == size:
        return images
    if size[1] > 1:
        return F.interpolate(images, size, mode="bicubic", antialias=True)
    # For a single column, torch 2.15 on a CPU gives all rows of floats the value of the first, and fails for a pixel of
    # uint8 RGB. A single row comes out right, channel by channel and from memory in order.
    turned = images.flatten(0, 1).transpose(1, 2)[:, None].clone(memory_format=torch.contiguous_format)
    row = F.interpolate(turned, (1, size[0]), mode="bicubic", antialias=True)
    return row.reshape(*images.shape[:2], *size)


def output_pixels(picture: Picture, translated: Translated, *, side_by_side: bool = False) -> Pixels:
    """Returns the picture to write, uint8 [H, W, C]: the translation, with the input's alpha if it has none itself.

    Args:
        picture, translated: one image, and its translation as uint8.
        side_by_side: show input, attention if there is one, and translation in a row, without the network's own alpha
            channels.
    """
    panels = [translated.images[0]]
    if side_by_side:
        panels = [_shown(picture), *([] if translated.attention is None else [attention_pixels(picture, translated)])]
        panels.append(as_rgb(translated.images)[0])
    pixels: Pixels = np.concatenate(panels, axis=1)
    if picture.alpha is None or pixels.shape[2] in (2, 4):
        return pixels
    with_alpha: Pixels = np.concatenate([pixels, np.tile(picture.alpha, (1, len(panels)))[:, :, None]], axis=2)
    return with_alpha


def attention_pixels(picture: Picture, translated: Translated) -> Pixels:
    """Returns the attention of one image as colours over it, uint8 [H, W, 3]."""
    assert translated.attention is not None
    return heat_map(translated.attention[0], _shown(picture))


def _shown(picture: Picture) -> Pixels:
    values = picture.values
    pixels = values.transpose(0, 2, 3, 1) if values.dtype == np.uint8 else writers.to_pixels(torch.from_numpy(values))
    shown: Pixels = as_rgb(pixels)[0]
    return shown
