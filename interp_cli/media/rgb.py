"""Planes as RGB in floating point: what scores and linear light are made of."""

import cv2
import numpy as np
from numpy.typing import NDArray

from interp_cli.media.types import Color, Family, Planes, luma_of_red_and_blue


def rgb(planes: Planes, color: Color) -> NDArray[np.float32]:
    """The frame as RGB, (H, W, 3) float32, black 0 and white 1; not clipped; chroma enlarged bilinearly."""
    peak = planes.format.peak
    if planes.format.family is Family.RGB:
        green, blue, red = planes.data[:3]
        return (np.stack([red, green, blue], axis=-1) / np.float32(peak)).astype(np.float32)
    unit = np.float32(1 << (planes.format.depth - 8))
    full = color.range == "pc"
    black, span, chroma_span = (0, peak, peak) if full else (16 * unit, 219 * unit, 224 * unit)
    y = (planes.data[0].astype(np.float32) - black) / span
    if planes.format.family is Family.GRAY:
        return np.stack([y, y, y], axis=-1)
    size = (planes.width, planes.height)
    u, v = (
        (cv2.resize(plane.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) - 128 * unit) / chroma_span
        for plane in planes.data[1:3]
    )
    kr, kb = luma_of_red_and_blue(color, planes.height)
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return np.stack([red, green, blue], axis=-1).astype(np.float32)
