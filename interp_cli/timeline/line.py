"""The source's time line: when each of its frames is shown."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from operator import lt

from interp_cli.errors import InputError, UsageError
from interp_cli.timeline.cadence import fraction_gcd, recognise_grid
from interp_cli.timeline.text import decimal, simple, writable


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """When each source frame is shown, from its packets. `pts` rises strictly; `end_pts` is where the last frame ends.

    Of a part that is `followed`, the source's next frame appears there.

    Raises InputError for no frames at all, or for times that do not rise.
    """

    time_base: Fraction  # s/tick
    pts: tuple[int, ...]  # ticks
    end_pts: int  # ticks
    followed: bool = False
    mended: int = 0  # frames whose time was missing or not after that of the frame before, and was made up

    def __post_init__(self) -> None:
        if not self.pts:
            raise InputError("the video has no frames: choose a file with a playable video stream")
        if not all(map(lt, self.pts, self.pts[1:])) or self.end_pts <= self.pts[-1] or self.time_base <= 0:
            raise InputError("the video's time stamps do not rise: remux it with ffmpeg -fflags +genpts and try again")

    def __len__(self) -> int:
        return len(self.pts)

    def __repr__(self) -> str:
        """A short form: an hour of video has 100,000 pts."""
        kind = "CFR" if self.is_cfr else "VFR"
        ticks = f"pts={self.pts[0]}..{self.pts[-1]}, end_pts={self.end_pts}, time_base={self.time_base}"
        return f"Timeline({len(self)} frames, {kind} {self.rate}, {ticks})"

    @property
    def start(self) -> Fraction:
        """When the first frame appears, s."""
        return self.pts[0] * self.time_base

    @property
    def end(self) -> Fraction:
        """When the last frame ends, s."""
        return self.end_pts * self.time_base

    @property
    def duration(self) -> Fraction:
        """From the first frame's appearance to the last one's end, s."""
        return (self.end_pts - self.pts[0]) * self.time_base

    @property
    def is_cfr(self) -> bool:
        """Whether the frames are equally spaced. The last one may be shown for longer or shorter than the rest."""
        step = self._first_step
        return self.pts == tuple(range(self.pts[0], self.pts[0] + step * len(self), step))

    @property
    def rate(self) -> Fraction:
        """Frames/s: exact for a constant rate, even if it lost some frames or stumbled now and then; else the mean.

        That is the most common step's rate if nine steps in ten are that, or half are and the rest are multiples of
        it; else frames / duration, as a ratio whose lower number is 1001 or less. No rate has numbers too large to be
        written to a file.
        """
        if self.is_cfr:
            return writable(Fraction(1, self._first_step * self.time_base))
        gaps = Counter(b - a for a, b in pairwise(self.pts))
        step, count = gaps.most_common(1)[0]
        of_ten = 10 * count // (len(self) - 1)
        if of_ten >= 9 or (of_ten >= 5 and all(gap % step == 0 for gap in gaps)):
            return writable(Fraction(1, step * self.time_base))
        mean = Fraction(len(self), self.duration)
        return simple(mean) or writable(mean)

    @property
    def _first_step(self) -> int:
        return (self.pts[1] if len(self) > 1 else self.end_pts) - self.pts[0]  # ticks

    def snapped(self, rate_hint: Fraction | None = None) -> Timeline:
        """The exact grid behind pts that a container rounded to its ticks (Matroska and FLV: 1 ms); else self.

        The grid starts at the first pts exactly, and every pts lies within one tick of it; a grid may have lost frames
        here and there, and is then exact but not constant. `rate_hint` (frames/s, the header's claim) is tried first.
        A rate whose multiples no file can be given is taken for the nearest simple one, if that moves the last frame by
        a hundredth of a frame at most: else hardly any frame of a result would fall on one of the source's. The last
        frame's end moves to the grid only if it is within two ticks of it.
        """
        found = recognise_grid(self.pts, time_base=self.time_base, hint=rate_hint)
        if found is None:
            return self
        rate = simple(found.rate)
        if abs(Fraction(rate, found.rate) - 1) * found.places[-1] > Fraction(1, 100):
            rate = found.rate
        if self.is_cfr and rate == Fraction(1, self._first_step * self.time_base):
            return self
        base = fraction_gcd(self.time_base, Fraction(1, rate))
        scale, step = int(Fraction(self.time_base, base)), int(Fraction(1, rate * base))
        first, end = self.pts[0] * scale, self.end_pts * scale
        pts = tuple(first + step * place for place in found.places)
        if abs(end - pts[-1] - step) <= min(2 * found.tick * scale, step >> 1):
            end = pts[-1] + step
        exact = Timeline(time_base=base, pts=pts, end_pts=max(end, pts[-1] + 1))
        return self if exact == self else exact

    def in_fields(self) -> Timeline:
        """The times of the two fields of every frame: that of the frame, and half a usual step later.

        The usual step is the most common one; where a frame follows sooner, it is half way to that.
        """
        ends = [*self.pts[1:], self.end_pts]
        gaps = [end - pts for pts, end in zip(self.pts, ends, strict=True)]
        usual = Counter(gaps).most_common(1)[0][0]
        pts = [2 * begin + late for begin, gap in zip(self.pts, gaps, strict=True) for late in (0, min(gap, usual))]
        return Timeline(time_base=Fraction(self.time_base, 2), pts=tuple(pts), end_pts=2 * self.end_pts)

    def stretched(self, factor: Fraction) -> Timeline:
        """Slow motion: every time moves to start + (time - start) * factor; the start stays."""
        if factor <= 0:
            raise UsageError(f"the slow-motion factor {factor} cannot be meant: give a number above 0, such as 4")
        base = fraction_gcd(self.time_base, self.time_base * factor)
        scale, stretch = int(Fraction(self.time_base, base)), int(Fraction(self.time_base * factor, base))
        offset = self.pts[0] * (scale - stretch)
        return Timeline(
            time_base=base,
            pts=tuple(p * stretch + offset for p in self.pts),
            end_pts=self.end_pts * stretch + offset,
            followed=self.followed,
        )

    def between(self, start: Fraction | None, end: Fraction | None) -> tuple[Timeline, range]:
        """The frames on screen in [start, end), whole and at their own times, and their source frame numbers.

        Seconds relative to the first frame's time; None means no limit. Since frames are not cut up, the result may
        begin up to one frame before `start` and end up to one frame after `end`. Raises UsageError if nothing is left.
        """
        begin, stop = start or Fraction(0), self.duration if end is None else end
        if begin >= self.duration:
            limit = f"give less than its length, {decimal(self.duration)} s"
            raise UsageError(f"--start {decimal(begin)} is past the end of the video: {limit}")
        if begin < 0 or stop <= begin:
            raise UsageError(f"--start {decimal(begin)} is not before --end {decimal(stop)}: give a later --end")
        first = bisect_right(self.pts, self.pts[0] + Fraction(begin, self.time_base)) - 1
        last = bisect_left(self.pts, self.pts[0] + Fraction(stop, self.time_base))
        followed = last < len(self)
        end_pts = self.pts[last] if followed else self.end_pts
        part = Timeline(time_base=self.time_base, pts=self.pts[first:last], end_pts=end_pts, followed=followed)
        return part, range(first, last)
