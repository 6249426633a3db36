"""Linear light, which EXR pictures hold, <-> code values of 16 bits by the curve of sRGB.

EXR's colours are multiplied by their alpha, as light; those of Planes are not. Alpha itself has no curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from interp_cli.media.types import PIXEL_FORMATS, Planes

_PEAK: Final = 65535
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


def light_of(planes: Planes) -> tuple[NDArray[np.float16], ...]:
    """(rows, columns) half floats for each of gray or RGB Planes of 8 to 16 bits, in their order."""
    peak = planes.format.peak
    if not planes.format.alpha:
        table = _lights(peak).astype(np.float16)
        return tuple(table[plane] for plane in planes.data)
    *colors, last = planes.data
    alpha = last.astype(np.float32) / np.float32(peak)
    table = _lights(peak).astype(np.float32)
    return (*((table[color] * alpha).astype(np.float16) for color in colors), alpha.astype(np.float16))


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
def _lights(peak: int) -> NDArray[np.float64]:
    """The light of each code from 0 to `peak`."""
    code = np.arange(peak + 1) / peak
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
