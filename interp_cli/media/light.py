"""Linear light, which EXR pictures hold, <-> code values of 16 bits by the curve of sRGB.

EXR's colours are multiplied by their alpha, as light; those of Planes are not. Alpha itself has no curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from interp_cli.media.types import PIXEL_FORMATS, Color, Family, Planes

_PEAK: Final = 65535
_CODE: Final = Color(range="pc")
_NAMES: Final = {1: "gray16le", 3: "gbrp16le", 4: "gbrap16le"}  # by the number of planes
CLIPPED: Final = "EXR holds linear light: it is read by the curve of sRGB, and light below 0 or above 1 is clipped"

Light = NDArray[np.floating[Any]]


def planes_of(light: Sequence[Light]) -> Planes:
    """Planes of 16 bits, pts 0, of (rows, columns) float16 or float32 each: Y, or G, B, R and perhaps alpha."""
    *colors, last = light
    if len(light) != 4:
        return Planes(0, tuple(map(_coded, light)), PIXEL_FORMATS[_NAMES[len(light)]])
    alpha = np.nan_to_num(last.astype(np.float32)).clip(0, 1)
    shown = np.where(alpha > 0, alpha, np.float32(1))  # light of its own where nothing covers stays what it is
    opaque = bool((shown == 1).all())
    straight = colors if opaque else [(color.astype(np.float32) / shown) for color in colors]
    planes = (*map(_coded, straight), np.rint(alpha * _PEAK).astype(np.uint16))
    return Planes(0, planes, PIXEL_FORMATS[_NAMES[4]])


def light_of(planes: Planes, color: Color = _CODE) -> tuple[NDArray[np.float16], ...]:
    """(rows, columns) half floats of Planes of 8 to 16 bits with chroma of full size: Y, or G, B, R and perhaps alpha.

    `color` says what YUV and gray mean; for RGB it says nothing.
    """
    colors = _lit(planes, color)
    if not planes.format.alpha:
        return tuple(light.astype(np.float16) for light in colors)
    alpha = planes.data[-1].astype(np.float32) / np.float32(planes.format.peak)
    return (*((light * alpha).astype(np.float16) for light in colors), alpha.astype(np.float16))


def _lit(planes: Planes, color: Color) -> tuple[Light, ...]:
    """The light of the colours, not multiplied by alpha."""
    family, colors = planes.format.family, planes.data[:-1] if planes.format.alpha else planes.data
    if family is Family.RGB or (family is Family.GRAY and color.range == "pc"):
        table = _lights(planes.format.peak)
        return tuple(table[plane] for plane in colors)
    from interp_cli.media.rgb import rgb  # brings OpenCV, which most jobs do without

    red, green, blue = np.moveaxis(_light(rgb(planes, color).clip(0, 1)), -1, 0)
    return (green,) if family is Family.GRAY else (green, blue, red)


def _coded(light: Light) -> NDArray[np.uint16]:
    if light.dtype == np.float16:
        codes: NDArray[np.uint16] = _codes_of_halves()[light.view(np.uint16)]
        return codes
    return _codes(light)


def _codes(light: Light) -> NDArray[np.uint16]:
    """The curve of sRGB (IEC 61966-2-1), from light; what is no number is dark."""
    light = np.where(light > 0, light, 0).clip(max=1)
    curved = 1.055 * light ** (1 / 2.4) - 0.055
    codes: NDArray[np.uint16] = np.rint(np.where(light <= 0.0031308, 12.92 * light, curved) * _PEAK).astype(np.uint16)
    return codes


@lru_cache(maxsize=1)
def _codes_of_halves() -> NDArray[np.uint16]:
    """The code of each of the 65536 half floats: the same by every ffmpeg, and faster than the curve."""
    with np.errstate(invalid="ignore"):
        return _codes(np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float64))


@lru_cache(maxsize=2)
def _lights(peak: int) -> NDArray[np.float32]:
    """The light of each code from 0 to `peak`."""
    return _light(np.arange(peak + 1) / peak).astype(np.float32)


def _light(code: Light) -> Light:
    """The inverse of the curve of sRGB, from code, 0 to 1."""
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
