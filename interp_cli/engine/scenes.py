"""Where the picture changes so much between two frames that nothing can be made between them.

Definition. Frames are seen as luma thumbnails a and b of at most 64 px (area averages, 0 to 1). Their score is

    mean((a - b)^2) / spread,    spread = var(a) + var(b) + (mean(a) - mean(b))^2 + floor,    at most 1

which is 0 for equal frames and about 1 for unrelated ones, whatever their contrast. The floor is 0.0064 (a contrast of
8 %) less twice the smaller variance, and at least 0.0016 (4 %): it keeps noise in the dark and the end of a fade from
counting, and lets cuts between two dark shots count. Their matched score allows for motion: each block of 8 x 8 of
one frame is looked for in the other within 8 px, what remains counts at most 0.5 spread per block (so that one lamp is
not a scene), averaged over the blocks; the worse of both directions. The pair (i, i + 1) is a cut if all of these hold:

1. It is large: its score is at least `threshold`, its matched score at least 0.4 `threshold`. A fast pan is not.
2. It stands out: its matched score is at least twice that of its surroundings, which is the larger of the second
   largest of the four pairs before it (one of them may be a cut of its own) and the smaller of the two after it.
   Sustained fast motion, repeated frames in a moving scene, and the onset of motion do not.
3. It lasts: neither of the two frames after i + 1 looks like frame i again, and neither of the two before i like frame
   i + 1 (a score, or a matched score, under 0.4 of the pair's own). A flash does not, in fast motion either.

At the first and last pairs the sides that exist are used. `--scene-threshold` is `threshold` in rule 1: lower finds
more cuts, 1 next to none. Only pairs that pass the first half of rule 1 cost more than one score.
"""

from __future__ import annotations

from itertools import product
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from interp_cli.engine.repeats import Cells, cells
from interp_cli.media.types import Planes

THUMBNAIL: Final = 64  # px, longer side
_NOISE: Final = 0.08**2
_LEAST_NOISE: Final = 0.04**2
_BLOCK: Final = 8  # px
_REACH: Final = 8  # px
_MOST_PER_BLOCK: Final = 0.5
_MATCHED: Final = 0.4  # of the threshold
_STANDS_OUT: Final = 2.0
_BEFORE: Final = 4  # pairs
_RETURNS: Final = 0.4

Thumbnail = NDArray[np.float32]


def thumbnail(planes: Planes, seen: Cells | None = None) -> Thumbnail:
    """The first plane (luma, or green), 0 to 1, at most 64 px on its longer side.

    It is made from the frame's cells: `seen`, if they are there, which saves most of the time and changes nothing.
    """
    luma = (seen or cells(planes, first_only=True))[0]
    height, width = planes.data[0].shape
    shrink = max(1.0, max(height, width) / THUMBNAIL)
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    small = cv2.resize(luma, size, interpolation=cv2.INTER_AREA) if shrink > 1 else luma
    return (small / np.float32(255)).astype(np.float32, copy=False)


def score(a: Thumbnail, b: Thumbnail) -> float:
    """How unlike two thumbnails are, 0 to 1 (see the definition above)."""
    return float(min(1.0, np.square(a - b).mean() / _spread(a, b)))


def matched_score(a: Thumbnail, b: Thumbnail) -> float:
    """How unlike two thumbnails are where motion does not explain it, 0 to 0.5 (see the definition above)."""
    spread = _spread(a, b)
    return max(float(np.minimum(_unmatched(*ends) / spread, _MOST_PER_BLOCK).mean()) for ends in ((a, b), (b, a)))


def _spread(a: Thumbnail, b: Thumbnail) -> float:
    va, vb = float(a.var()), float(b.var())
    return va + vb + float(a.mean() - b.mean()) ** 2 + max(_LEAST_NOISE, _NOISE - 2 * min(va, vb))


def _unmatched(a: Thumbnail, b: Thumbnail) -> Thumbnail:
    """Mean squared difference of each block of `a` from what is most like it in `b`, every second px searched."""
    side = min(_BLOCK, *a.shape)
    rows, columns = a.shape[0] // side, a.shape[1] // side
    h, w = rows * side, columns * side
    around = np.pad(b, _REACH, mode="edge")
    best = np.full((rows, columns), np.inf, np.float32)
    for y, x in product(range(0, 2 * _REACH + 1, 2), repeat=2):
        error = np.square(a[:h, :w] - around[y : y + h, x : x + w])
        np.minimum(best, error.reshape(rows, side, columns, side).mean((1, 3)), out=best)
    return best


class CutDetector:
    """Decides pair by pair from thumbnails in order; needs `LOOKAHEAD` frames beyond the pair, or `end`.

    `LOOKBACK` frames before the pair decide too: the same frames around a pair give the same answer in any run.
    """

    LOOKAHEAD = 2  # frames
    LOOKBACK = _BEFORE  # frames

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self._thumbnails: dict[int, Thumbnail] = {}
        self._scores: dict[int, float] = {}  # of the pair (i, i + 1)
        self._matched_scores: dict[int, float] = {}
        self._decided: dict[int, float | None] = {}  # the score of a cut
        self._count = 0
        self._next_pair = 0
        self._ended = False

    def add(self, frame: Thumbnail) -> None:
        """The next frame."""
        if self._count:
            self._scores[self._count - 1] = score(self._thumbnails[self._count - 1], frame)
        self._thumbnails[self._count] = frame
        self._count += 1
        self._decide()

    def end(self) -> None:
        """No frame follows."""
        self._ended = True
        self._decide()

    def is_cut(self, left: int) -> bool | None:
        """Whether a cut lies between frames `left` and `left + 1`, counted from 0; None while that is open.

        False after the end, and for pairs more than 64 back, which are forgotten.
        """
        if left < self._next_pair:
            return self._decided.get(left) is not None
        return False if self._ended else None

    def cut_score(self, left: int) -> float | None:
        """The score of the cut between frames `left` and `left + 1`; None where none is known."""
        return self._decided.get(left)

    def _decide(self) -> None:
        beyond = 0 if self._ended else self.LOOKAHEAD
        while self._next_pair + 1 + beyond < self._count:
            i = self._next_pair
            self._decided[i] = self._scores[i] if self._test(i) else None
            self._decided.pop(i - 64, None)
            for old in (self._thumbnails, self._scores, self._matched_scores):
                old.pop(i - _BEFORE, None)
            self._next_pair += 1

    def _test(self, i: int) -> bool:
        own = self._scores[i]
        if own < self.threshold:
            return False
        matched = self._matched(i)
        if matched < max(_MATCHED * self.threshold, _STANDS_OUT * self._surroundings(i)):
            return False
        back = self._returns(i, (i + 2, i + 3), own=own, matched=matched)
        return not back and not self._returns(i + 1, (i - 1, i - 2), own=own, matched=matched)

    def _surroundings(self, i: int) -> float:
        before = sorted(self._matched(n) for n in range(max(0, i - _BEFORE), i))
        after = [self._matched(n) for n in range(i + 1, min(i + 1 + self.LOOKAHEAD, self._count - 1))]
        return max(before[-2] if len(before) > 1 else sum(before), min(after, default=0.0))

    def _matched(self, i: int) -> float:
        if i not in self._matched_scores:
            self._matched_scores[i] = matched_score(self._thumbnails[i], self._thumbnails[i + 1])
        return self._matched_scores[i]

    def _returns(self, frame: int, others: tuple[int, int], *, own: float, matched: float) -> bool:
        """Whether one of `others` looks like `frame`."""
        look, seen = self._thumbnails[frame], [self._thumbnails[n] for n in others if n in self._thumbnails]
        if any(score(look, other) < _RETURNS * own for other in seen):
            return True
        return any(matched_score(look, other) < _RETURNS * matched for other in seen)
