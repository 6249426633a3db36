"""What is remembered of a source frame to decide on cuts, repeats and overlays. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from interp_cli.engine.overlay import Luma, Overlays, luma
from interp_cli.engine.repeats import LONGEST, Cells, RepeatDetector, cells
from interp_cli.engine.scenes import CutDetector, Thumbnail, thumbnail
from interp_cli.media.types import PixelFormat, Planes
from interp_cli.options import Dedup, EngineOptions


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A frame that is only looked at."""

    pts: int  # ticks
    thumbnail: Thumbnail | None
    cells: Cells | None
    luma: Luma | None

    @property
    def nbytes(self) -> int:
        """Of memory."""
        arrays = (self.thumbnail, *(self.cells or ()), self.luma)
        return sum(array.nbytes for array in arrays if array is not None)


@dataclass(frozen=True, slots=True, eq=False)
class Seen(Planes):
    """A frame that was looked at already."""

    told: Look

    @property
    def nbytes(self) -> int:
        """Of memory, with what is remembered of it."""
        return sum(plane.nbytes for plane in self.data) + self.told.nbytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What is looked for, and how far around a frame.

    The frames within `back` before a segment's first frame, of which `used` may be shown again, and `ahead` after its
    last one decide what becomes of it, and no others.
    """

    cuts: bool  # by looking; cuts that are given need no look
    repeats: bool
    overlays: bool

    @classmethod
    def of(cls, options: EngineOptions, *, given_cuts: bool, hold_still: bool = True) -> Sight:
        """What `options` ask for."""
        return cls(
            cuts=options.scene_detect and not given_cuts,
            repeats=options.dedup is Dedup.AUTO,
            overlays=options.overlay_hold and hold_still,
        )

    @property
    def back(self) -> int:
        """Frames before."""
        drawings = self.repeats * RepeatDetector.LOOKBACK + self.cuts * CutDetector.LOOKBACK
        return max(drawings, self.overlays * Overlays.LOOKBACK, self.used)

    @property
    def used(self) -> int:
        """Frames before that may be made use of: a drawing may have begun there, and motion comes from before it."""
        return self.repeats * (LONGEST - 1) + 1

    @property
    def ahead(self) -> int:
        """Frames after: the next drawing, where motion goes on, is decided on like the one before it."""
        drawings = self.repeats * RepeatDetector.LOOKAHEAD + self.cuts * CutDetector.LOOKAHEAD
        return drawings + (LONGEST if self.repeats else 1)

    def look(self, planes: Planes) -> Look:
        """What is to be remembered of a frame; at once if it was `seen`."""
        if isinstance(planes, Seen):
            return planes.told
        planes = as_seen(planes)
        seen = cells(planes) if self.repeats else None
        return Look(
            planes.pts,
            thumbnail(planes, seen) if self.cuts else None,
            seen,
            luma(planes) if self.overlays else None,
        )

    def seen(self, planes: Planes) -> Seen:
        """The frame, looked at now."""
        return Seen(planes.pts, planes.data, planes.format, self.look(planes))


def as_seen(planes: Planes) -> Planes:
    """The frame over grey (see engine/alpha.py), to the nearest code value; without transparency, the same object."""
    format = planes.format
    if not format.alpha or planes.data[-1].min() == format.peak:
        return planes
    *colours, alpha = planes.data
    return Planes(planes.pts, (*(_over_grey(plane, alpha, format) for plane in colours), alpha), format)


def _over_grey(plane: NDArray[Any], alpha: NDArray[Any], format: PixelFormat) -> NDArray[Any]:
    grey, (height, width) = np.float32(1 << format.depth - 1), plane.shape
    share: NDArray[Any] = alpha.astype(np.float32) / np.float32(format.peak)
    if share.shape != plane.shape:
        share = cv2.resize(share, (width, height), interpolation=cv2.INTER_AREA)
    seen: NDArray[Any] = np.rint(grey + (plane.astype(np.float32) - grey) * share).astype(format.dtype, copy=False)
    return seen
