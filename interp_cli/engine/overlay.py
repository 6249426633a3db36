"""What stands still on top of a moving picture (logos, subtitles, HUD) stays as it is in made frames.

Definition, on the first plane in 8 bits, of the source frames from `Overlays.LOOKBACK` before a pair up to its right
frame. A pixel is still if its values in all of them lie within 3 plus a tenth of the contrast around it (5 x 5 px:
compression disturbs edges more). It belongs to an overlay if

1. its 3 x 3 neighbourhood is still, and the contrast around it is at least 60: flat areas need no holding;
2. the picture moves around it, and has done so all the while: in the older half of the frames, in the newer half and
   between the two frames of the pair, a fifth of the pixels within 12 px change by 16 or more. What passes quickly
   before a wall that stands still is not cut off that way.

Still pixels within 4 px of such a pixel belong to it too: smoothed edges, and the inside of letters. There the two
source frames are mixed by t and never moved (`hold_overlays` in engine/still.py). Only source frames decide, in a
bounded window, so a pair has the same overlays in any run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from threading import Lock
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from interp_cli.media.types import Planes

Luma = NDArray[np.uint8]
Mask = NDArray[Any]
"""(H, W) bool: where an overlay is."""

_NOISE: Final = 3
_NOISE_OF_CONTRAST: Final = 0.1
_MOST_CHANGE: Final = (_NOISE + np.arange(256) * _NOISE_OF_CONTRAST + 1e-6).astype(np.uint8)  # by the contrast around
_CONTRAST: Final = 60
_MOVES: Final = 16
_SHARE: Final = 51  # a fifth of 255
_AROUND: Final = 25  # px, a square's side
_LEAST_MOVING: Final = math.ceil((_SHARE - 0.5) / 255 * _AROUND**2)  # px of them, which is what rounds to that share
_GROWS: Final = 9  # px, a square's side


def luma(planes: Planes) -> Luma:
    """The first plane (luma, or green) in 8 bits."""
    return (planes.data[0] >> (planes.format.depth - 8)).astype(np.uint8)


class Overlay:
    """What stands still between two frames; looked for when it is asked for, by the thread that makes a frame there."""

    def __init__(self, older: Sequence[Luma], newer: Sequence[Luma], pair: Sequence[Luma]) -> None:
        self._lumas = (older, newer, pair)
        self._mask: Mask | None = None
        self._looked = False
        self._looking = Lock()  # its own, where cached_property of Python 3.11 has one for all overlays

    @property
    def mask(self) -> Mask | None:
        """Where it is; None where there is none."""
        with self._looking:
            if not self._looked:
                self._mask, self._looked = _mask(*self._lumas), True
            return self._mask


class Overlays:
    """Finds overlays from source frames that are added in order. Holds the first plane of the last few, in 8 bits."""

    LOOKBACK = 8  # frames before the left one

    def __init__(self) -> None:
        self._lumas: dict[int, Luma] = {}
        self._found: dict[int, Overlay] = {}
        self._wanted = 0

    def add(self, number: int, luma: Luma) -> None:
        """Source frame `number`, as `luma` gives it."""
        if number >= self._wanted - self.LOOKBACK:
            self._lumas[number] = luma

    def forget_before(self, left: int) -> None:
        """Let go of the frames that no pair from `left` on looks back to."""
        self._wanted = left
        for old in [n for n in self._lumas if n < left - self.LOOKBACK]:
            del self._lumas[old]

    def between(self, left: int) -> Overlay:
        """The overlay of frames `left` and `left + 1`, both of which were added and not forgotten."""
        if left not in self._found:
            self._found = {left: Overlay(*self._windows(left))}
        return self._found[left]

    def _windows(self, left: int) -> tuple[list[Luma], list[Luma], list[Luma]]:
        """The older half of the frames, the newer one and the pair; each begins with the last of the one before."""
        half = left - self.LOOKBACK // 2
        spans = (range(left - self.LOOKBACK, half + 1), range(half, left + 1), range(left, left + 2))
        older, newer, pair = ([self._lumas[n] for n in span if n in self._lumas] for span in spans)
        return older, newer, pair


def _mask(older: Sequence[Luma], newer: Sequence[Luma], pair: Sequence[Luma]) -> Mask | None:
    if min(len(older), len(newer), len(pair)) < 2:
        return None
    from interp_cli import kernels  # which imports torch

    if kernels.available():
        limits = {"contrast": _CONTRAST, "moves": _MOVES, "share": _LEAST_MOVING}
        return kernels.overlay((older, newer, pair), _MOST_CHANGE, **limits)
    return _mask_by_opencv(older, newer, pair)


def _mask_by_opencv(older: Sequence[Luma], newer: Sequence[Luma], pair: Sequence[Luma]) -> Mask | None:
    ends = [_lowest_and_highest(lumas) for lumas in (older, newer, pair)]
    low, high = _lowest_and_highest([luma for both in ends for luma in both])
    around = np.ones((5, 5), np.uint8)
    contrast = cv2.subtract(cv2.dilate(pair[0], around), cv2.erode(pair[0], around))
    excess = cv2.subtract(cv2.subtract(high, low), cv2.LUT(contrast, _MOST_CHANGE))
    still = cv2.bitwise_not(_at_least(1, excess))
    sure = cv2.bitwise_and(cv2.erode(still, np.ones((3, 3), np.uint8)), _at_least(_CONTRAST, contrast))
    for low, high in ends:
        if not cv2.hasNonZero(sure):
            return None
        share = cv2.blur(_at_least(_MOVES, cv2.subtract(high, low)), (_AROUND, _AROUND))
        sure = cv2.bitwise_and(sure, _at_least(_SHARE, share))
    if not cv2.hasNonZero(sure):
        return None
    grown = cv2.dilate(sure, np.ones((_GROWS, _GROWS), np.uint8))
    return cv2.bitwise_and(grown, still).astype(bool)


def _lowest_and_highest(lumas: Sequence[Luma]) -> tuple[Luma, Luma]:
    low = high = lumas[0]
    for luma in lumas[1:]:
        low, high = np.minimum(low, luma), np.maximum(high, luma)
    return low, high


def _at_least(least: int, values: NDArray[Any]) -> NDArray[Any]:
    """255 where uint8 `values` are at least that, else 0."""
    return cv2.threshold(values, least - 1, 255, cv2.THRESH_BINARY)[1]
