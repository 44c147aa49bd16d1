"""Computes the colours of heat maps, ``HEAT_COLORS`` in gancli/generation/writers.py, and prints them as base64.

The lightness of the 256 colours rises evenly, so hotter values look hotter in greyscale and to the colour-blind too.
The hue goes from blue through red to yellow. The colours are computed in Oklab (Ottosson 2020), each with the highest
chroma that sRGB can show, up to a limit.
"""

from __future__ import annotations

import base64
import textwrap

import numpy as np

LAB_TO_CONE_ROOTS = [
    [1, 0.3963377774, 0.2158037573],
    [1, -0.1055613458, -0.0638541728],
    [1, -0.0894841775, -1.2914855480],
]
CONES_TO_LINEAR = [
    [4.0767416621, -3.3077115913, 0.2309699292],
    [-1.2684380046, 2.6097574011, -0.3413193965],
    [-0.0041960863, -0.7034186147, 1.7076147010],
]


def main() -> None:
    lightness = np.linspace(0.25, 0.95, 256)[:, None]
    hue = np.deg2rad(np.linspace(-95, 105, 256))[:, None]
    chroma = np.linspace(0, 0.2, 101)[None]
    lab = np.stack(np.broadcast_arrays(lightness, chroma * np.cos(hue), chroma * np.sin(hue)), axis=-1)
    linear = (lab @ np.array(LAB_TO_CONE_ROOTS).T) ** 3 @ np.array(CONES_TO_LINEAR).T
    shown = ((linear >= 0) & (linear <= 1)).all(axis=-1)
    most = np.argmin(np.concatenate([shown, np.zeros((256, 1), bool)], axis=1), axis=1) - 1
    rgb = linear[np.arange(256), most].clip(0, 1)
    srgb = np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055)
    print(textwrap.fill(base64.b64encode(np.rint(255 * srgb).astype(np.uint8).tobytes()).decode(), 108))


if __name__ == "__main__":
    main()
