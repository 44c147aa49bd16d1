"""Resizes and crops a decoded image to the size that networks take. Importable without torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from gancli.data.source import Pixels
from gancli.errors import GancliError
from gancli.schema import DataConfig

LONGEST = 8
"""Random crops keep an image at most this many times as long as wide, so that a stray strip cannot fill memory."""


@dataclass(frozen=True)
class Preparation:
    """How a decoded image is resized and cropped before it is kept.

    Attributes:
        channels, height, width: of the images that the networks take.
        load_height, load_width: size before the crop; at least height and width.
        resize, interpolation, crop: as in ``DataConfig``.
    """

    channels: int
    height: int
    width: int
    load_height: int
    load_width: int
    resize: str
    interpolation: str
    crop: str

    @classmethod
    def of(cls, shape: tuple[int, int, int], config: DataConfig) -> Preparation:
        """Returns the preparation that makes images of ``shape`` (C, H, W) as ``config`` says.

        Raises:
            GancliError: the size before the crop is smaller than the crop.
        """
        _, height, width = shape
        load = config.load_size
        if load is not None and load < max(height, width):
            raise GancliError(
                f"data.load_size is {load}, but the networks take images of {width} x {height} pixels",
                f"make it at least {max(height, width)}, or leave it out",
            )
        return cls(*shape, load or height, load or width, config.resize, config.interpolation, config.crop)

    @property
    def side(self) -> int:
        """The side in pixels at which drawn images are drawn."""
        return max(self.load_height, self.load_width)

    @property
    def least_bytes(self) -> int:
        """Bytes that one prepared image takes at least."""
        area = self.height * self.width if self.crop == "center" else self.load_height * self.load_width
        return area * self.channels

    def __call__(self, pixels: Pixels) -> Pixels:
        """Resizes, and crops unless the crop is random; returns uint8 [h, w, C]."""
        height, width = pixels.shape[:2]
        scale_y, scale_x = self.load_height / height, self.load_width / width
        if self.resize == "cover":
            scale_y = scale_x = max(scale_y, scale_x)
        if self.crop == "center":
            box_height, box_width = self.height / scale_y, self.width / scale_x
            size = (self.width, self.height)
        elif self.resize == "cover":
            box_height = min(height, LONGEST * self.load_height / scale_y)
            box_width = min(width, LONGEST * self.load_width / scale_x)
            size = (max(self.width, round(box_width * scale_x)), max(self.height, round(box_height * scale_y)))
        else:
            box_height, box_width = float(height), float(width)
            size = (self.load_width, self.load_height)
        if size == (width, height) == (box_width, box_height):
            return pixels
        # Rounding may put the box slightly outside the image, which Pillow refuses.
        left, top = max((width - box_width) / 2, 0.0), max((height - box_height) / 2, 0.0)
        box = (left, top, min(left + box_width, width), min(top + box_height, height))
        # Pillow would weight the colours of four channels by the last one, which is not alpha in every array.
        planes = [pixels] if self.channels == 3 else [pixels[:, :, channel] for channel in range(self.channels)]
        filter_ = Image.Resampling[self.interpolation.upper()]
        resized = [np.asarray(Image.fromarray(plane).resize(size, filter_, box)) for plane in planes]
        return resized[0] if self.channels == 3 else np.stack(resized, axis=-1)
