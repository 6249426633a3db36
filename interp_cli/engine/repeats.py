"""Where a source shows one drawing for several frames: animation on twos and threes, telecine, captures of a screen.

Definition. Frames are seen as cells: every plane made smaller by area averages, the picture to at most 256 px on its
longer side, in code values of 8 bits. The difference of a pair is the mean of the largest 64th of all squared
differences of cells, in the plane where that is largest: noise of compression averages out in a cell, and a mouth that
moves in a still face does not get lost among cells that stand still. Frames a to b - 1 are one drawing, and b is the
next, if all of these hold:

1. They are equal but for noise: each pair among them differs by at most 128 (11 code values), and by at most a
   twentieth of the two pairs that bound them, (a - 1, a) and (b - 1, b).
2. The picture moves on either side: both bounding pairs differ by at least 64, and neither is a cut.
3. b - a is 2 to 6 frames. What stands longer is a hold, and is left alone.

Both sides are asked at once and right beside the run, so neither a still shot with noise (all pairs alike), nor motion
that begins, ends or slows down (the differences change step by step) looks like repeats. Of 68 real clips, pairs that
do not repeat had 0.17 of the smaller bounding pair's difference at the least in 61, and 0.037 once; repeated frames had
0.02 at the most after x264 at crf 16 to 28 (0.1 where next to nothing moved). Drawings that the definition finds cannot
overlap, and where one lies within another, the longer one counts.

A decision looks at `LOOKBACK` frames before a frame and at `LOOKAHEAD` after it, and at no more of them than it needs:
where a pair moves, there is nothing to wait for.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from interp_cli.media.types import Planes

LONGEST: Final = 6  # frames from one drawing to the next
_CELLS: Final = 256  # on the longer side
_SHARE: Final = 64
_MOST_NOISE: Final = 128.0  # squared code values of 8 bits
_LEAST_MOTION: Final = 64.0
_CONTRAST: Final = 20.0
_KEPT: Final = 64  # pairs

Cells = tuple[NDArray[np.float32], ...]


def cells(planes: Planes, *, first_only: bool = False) -> Cells:
    """Every plane (or only the first one), made smaller by one factor, in code values of 8 bits."""
    shrink = max(1.0, max(planes.data[0].shape) / _CELLS)
    unit = np.float32(255 / planes.format.peak)
    seen = planes.data[:1] if first_only else planes.data
    return tuple(_smaller(plane, shrink).astype(np.float32) * unit for plane in seen)


def _smaller(plane: NDArray[Any], shrink: float) -> NDArray[Any]:
    size = (max(1, round(plane.shape[1] / shrink)), max(1, round(plane.shape[0] / shrink)))
    return cv2.resize(plane, size, interpolation=cv2.INTER_AREA) if shrink > 1 else plane


def difference(a: Cells, b: Cells) -> float:
    """How unlike two frames are where they differ most, in squared code values of 8 bits (see the definition above)."""
    return max(_largest(x, y) for x, y in zip(a, b, strict=True))


def _largest(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    squares = np.square(a - b).ravel()
    count = max(1, squares.size // _SHARE)
    return float(np.sort(squares)[-count:].mean())  # by vector instructions, unlike np.partition


class RepeatDetector:
    """Tells drawings from cells of frames that come in order; frames are counted from the first one it saw.

    A drawing before which no frame was seen is none: whether it is a hold cannot be told.
    """

    LOOKBACK = LONGEST  # frames
    LOOKAHEAD = LONGEST

    def __init__(self) -> None:
        self._differences: dict[int, float] = {}  # of the pair (i, i + 1)
        self._last: Cells | None = None
        self._count = 0
        self._ended = False

    def add(self, frame: Cells) -> None:
        """The next frame."""
        if self._last is not None:
            self._differences[self._count - 1] = difference(self._last, frame)
            self._differences.pop(self._count - 1 - _KEPT, None)
        self._last = frame
        self._count += 1

    def end(self) -> None:
        """No frame follows."""
        self._ended = True

    def drawing(self, number: int) -> range | None:
        """The frames of the drawing that frame `number` shows, or that frame alone; None while that is open.

        The frame after a drawing's last one is the next drawing.
        """
        if number >= self._count and not self._ended:
            return None
        for length in range(LONGEST, 1, -1):
            for first in range(number - length + 1, number + 1):
                found = self._is_drawing(first, first + length)
                if found is None:
                    return None
                if found:
                    return range(first, first + length)
        return range(number, number + 1)

    def _is_drawing(self, first: int, following: int) -> bool | None:
        before = self._differences.get(first - 1)
        if before is None or before < _LEAST_MOTION:
            return False
        inside = [self._differences[n] for n in range(first, following - 1) if n in self._differences]
        noise = max(inside, default=0.0)
        if noise > min(_MOST_NOISE, before / _CONTRAST):
            return False
        after = self._differences.get(following - 1)
        if after is None:
            return False if self._ended else None
        return after >= max(_LEAST_MOTION, noise * _CONTRAST)
