"""The output grid over a source: which pair of frames, and which t, each output frame is made from."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

from interp_cli.errors import UsageError
from interp_cli.timeline.cadence import ceil
from interp_cli.timeline.line import Timeline
from interp_cli.timeline.text import writable

MOST_FRAMES = 100_000_000  # that one plan may have: 19 days at 60 frames/s
SEGMENT_SECONDS = Fraction(5)  # of output: what a job that is ended loses at most; an encoder's keyframes are as far
SEGMENT_FRAMES = 300  # what a segment has at most, to a few frames
FINEST_TICK = Fraction(1, 1_000_000)  # s; ffmpeg joins segments by whole microseconds
_FINEST_SCALE = 10_000_000  # ticks/s that every container's header surely holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One output frame: the source pair (left, left + 1) and the time t in [0, 1) between them; t = 0 is a copy."""

    n: int  # output frame number
    pts: int  # ticks of the plan's base, from the plan's start; equal to n at a constant rate
    left: int  # source frame number
    t: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A run of output frames that is made and written as one unit. `last_source` may be shared with the next segment.

    [first_source, last_source] are exactly the source frames that the targets need; the last may be the one that
    follows a part.
    """

    k: int
    first_source: int
    last_source: int
    targets: range  # output frame numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The output over a source: frame n is shown at `start + time(n)` seconds, n in range(frames).

    At a constant rate that is n / rate. With `factor` the source's own rhythm is kept: each source frame stands at its
    own time and is followed by factor - 1 frames at equal fractions of its gap, or of its own time if it is the last.
    """

    source: Timeline
    rate: Fraction  # frames/s of the output; with `factor` a nominal one, which no time follows from
    segments: tuple[Segment, ...] = field(repr=False)
    factor: int | None = None  # output frames for each source frame

    @property
    def frames(self) -> int:
        """How many output frames there are."""
        return self.segments[-1].targets.stop

    @property
    def start(self) -> Fraction:
        """When output frame 0 is shown, s: the source's own start."""
        return self.source.start

    @property
    def base(self) -> Fraction:
        """The time base of the targets' pts, s/tick."""
        return Fraction(1, self.rate) if self.factor is None else Fraction(self.source.time_base, self.factor)

    @property
    def tick(self) -> Fraction:
        """The time base in which frames are written, s/tick: `base`, or what is nearest to it above a microsecond.

        Source frames stand on whole ticks of it unless the source's own ticks are shorter than that.
        """
        if self.factor is None:
            return self.base
        own = self.source.time_base
        for parts in range(self.factor, 0, -1):
            tick = Fraction(own, parts)
            if tick >= FINEST_TICK and tick.denominator <= _FINEST_SCALE:
                return tick
        return FINEST_TICK

    def pts(self, n: int) -> int:
        """When output frame `n` is shown, ticks of `base` from the start; n = frames is the end."""
        if self.factor is None:
            return n
        pts, (left, part) = self.source.pts, divmod(n, self.factor)
        here, then = ((pts[i] if i < len(pts) else self.source.end_pts) for i in (left, left + 1))
        return (here - pts[0]) * self.factor + (then - here) * part

    def time(self, n: int) -> Fraction:
        """When output frame `n` is shown, s from the start; n = frames is the end."""
        return self.pts(n) * self.base

    @property
    def steps(self) -> tuple[Fraction, Fraction]:
        """The shortest and the longest time from one output frame to the next, s."""
        if self.factor is None:
            return self.base, self.base
        gaps = [b - a for a, b in pairwise((*self.source.pts, self.source.end_pts))]
        return min(gaps) * self.base, max(gaps) * self.base

    @property
    def duration(self) -> Fraction:
        """How long the output lasts, s: as long as the source, or up to one output frame longer."""
        return self.time(self.frames)

    @property
    def copied(self) -> int:
        """Output frames with t = 0, if there are no scene cuts."""
        if self.factor is not None:
            return len(self.source) + (0 if self.source.followed else self.factor - 1)
        step, unit = _output_step(self.source, self.rate)
        first, last = self.source.pts[0], self.source.pts[-1]
        on_grid = sum(1 for p in self.source.pts if (p - first) * unit % step == 0)
        if self.source.followed:
            return on_grid
        holds = self.frames - 1 - (last - first) * unit // step  # output frames after the last source frame's time
        return on_grid + holds

    @property
    def made(self) -> int:
        """Output frames with t > 0, if there are no scene cuts."""
        return self.frames - self.copied

    def target(self, n: int) -> Target:
        """Output frame `n`. Raises IndexError outside range(frames)."""
        if not 0 <= n < self.frames:
            raise IndexError(f"output frame {n} is not one of {self.frames}")
        return next(self.targets(range(n, n + 1)))

    def targets(self, numbers: range | None = None) -> Iterator[Target]:
        """Every output frame in order, or those of `numbers` (a segment's `targets`, for example; rising)."""
        numbers = range(self.frames) if numbers is None else numbers
        if self.factor is not None:
            yield from self._rhythmic(numbers, self.factor)
            return
        step, unit = _output_step(self.source, self.rate)
        pts, first, last = self.source.pts, self.source.pts[0], len(self.source) - 1
        left = bisect_right(pts, first + numbers.start * step // unit) - 1
        for n in numbers:
            now = n * step  # ticks * unit since the first source frame
            while left < last and (pts[left + 1] - first) * unit <= now:
                left += 1
            past = now - (pts[left] - first) * unit
            then = self._next(left)
            t = Fraction(0) if then is None else _fraction(past, (then - pts[left]) * unit)
            yield Target(n=n, pts=n, left=left, t=t)

    def _next(self, left: int) -> int | None:
        """When the frame after source frame `left` appears, ticks of the source; None after the last one there is."""
        if left + 1 < len(self.source):
            return self.source.pts[left + 1]
        return self.source.end_pts if self.source.followed else None

    def _rhythmic(self, numbers: range, factor: int) -> Iterator[Target]:
        for n in numbers:
            left, part = divmod(n, factor)
            t = Fraction(0) if self._next(left) is None else _fraction(part, factor)
            yield Target(n=n, pts=self.pts(n), left=left, t=t)


def make_plan(timeline: Timeline, rate: Fraction, *, segment_seconds: Fraction = SEGMENT_SECONDS) -> Plan:
    """The plan that shows all of `timeline` at `rate` frames/s, in segments of about `segment_seconds` of output.

    No segment has many more frames than SEGMENT_FRAMES. They begin with source frames where that is possible near by.
    Frames = the smallest count whose last frame ends no earlier than the source. Raises UsageError for rate <= 0 and
    for more than MOST_FRAMES.
    """
    if rate <= 0 or segment_seconds <= 0:
        raise UsageError(f"{rate} frames per second cannot be meant: give a rate above 0, such as --fps 60")
    whole = _whole(Plan(source=timeline, rate=rate, segments=()), ceil(timeline.duration * rate))
    return _cut_up(whole, segment_seconds)


def keep_plan(timeline: Timeline, factor: int, *, rate: Fraction, segment_seconds: Fraction = SEGMENT_SECONDS) -> Plan:
    """The plan that keeps the rhythm of `timeline` and shows `factor` frames for each of its frames, the last included.

    `rate` (frames/s) is what to call the result's rate. A constant source gives what `make_plan` does at `factor` times
    its rate. Raises UsageError for a factor below 2 and for more than MOST_FRAMES.
    """
    if factor < 2:
        raise UsageError(f"--vfr keep makes whole frames in each gap: give a whole --factor of 2 or more, not {factor}")
    if timeline.is_cfr:
        return make_plan(timeline, writable(timeline.rate * factor), segment_seconds=segment_seconds)
    plan = Plan(source=timeline, rate=rate, segments=(), factor=factor)
    return _cut_up(_whole(plan, len(timeline) * factor), segment_seconds)


def _whole(plan: Plan, frames: int) -> Plan:
    """`plan` as one segment."""
    if frames > MOST_FRAMES:
        raise UsageError(f"the result would have {frames} frames, and {MOST_FRAMES} are possible: ask for fewer")
    everything = Segment(k=0, first_source=0, last_source=len(plan.source) - 1, targets=range(frames))
    return replace(plan, segments=(everything,))


def _cut_up(whole: Plan, segment_seconds: Fraction) -> Plan:
    """`whole` in segments of nearly equal numbers of frames."""
    frames, rate = whole.frames, whole.rate
    length = min(max(Fraction(1), segment_seconds * rate), Fraction(SEGMENT_FRAMES))
    count = max(1, round(Fraction(frames, length)))
    # equal lengths, to a few frames: no tiny last segment
    cuts = [0, *(_copy_near(whole, k * frames // count, reach=length // 2) for k in range(1, count)), frames]
    segments = []
    for k in range(count):
        first, last = whole.target(cuts[k]), whole.target(cuts[k + 1] - 1)
        last_source = last.left + (1 if last.t else 0)
        segments.append(
            Segment(k=k, first_source=first.left, last_source=last_source, targets=range(cuts[k], cuts[k + 1]))
        )
    return replace(whole, segments=tuple(segments))


def _copy_near(plan: Plan, n: int, *, reach: int) -> int:
    """Output frame `n`, or one a few before it that is a source frame: then no pair belongs to two segments."""
    near = range(n - min(max(16, (plan.factor or 1) - 1), reach), n + 1)
    return next((t.n for t in reversed(list(plan.targets(near))) if t.t == 0), n)


def _output_step(source: Timeline, rate: Fraction) -> tuple[int, int]:
    """(step, unit): output frames are step / unit source ticks apart."""
    ticks = Fraction(1, rate * source.time_base)
    return ticks.numerator, ticks.denominator


@lru_cache(maxsize=1024)
def _fraction(numerator: int, denominator: int) -> Fraction:
    """A constant cadence repeats a handful of t for hours: reduce each once."""
    return Fraction(numerator, denominator)
