"""The output grid over a source: which pair of frames, and which t, each output frame is made from."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

from interp_cli.errors import UsageError
from interp_cli.timeline.cadence import ceil
from interp_cli.timeline.line import Timeline

MOST_FRAMES = 100_000_000  # that one plan may have: 19 days at 60 frames/s
SEGMENT_SECONDS = Fraction(5)  # of output: what a job that is ended loses at most; an encoder's keyframes are as far
SEGMENT_FRAMES = 300  # what a segment has at most, to a few frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One output frame: the source pair (left, left + 1) and the time t in [0, 1) between them; t = 0 is a copy."""

    n: int  # output frame number
    pts: int  # ticks of the output base, which is 1 / rate and begins at the plan's start: equal to n
    left: int  # source frame number
    t: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A run of output frames that is made and written as one unit. `last_source` may be shared with the next segment.

    [first_source, last_source] are exactly the source frames that the targets need.
    """

    k: int
    first_source: int
    last_source: int
    targets: range  # output frame numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The output grid over a source: frame n is shown at `start + n / rate` seconds, n in range(frames)."""

    source: Timeline
    rate: Fraction  # frames/s of the output
    segments: tuple[Segment, ...] = field(repr=False)

    @property
    def frames(self) -> int:
        """How many output frames there are."""
        return self.segments[-1].targets.stop

    @property
    def start(self) -> Fraction:
        """When output frame 0 is shown, s: the source's own start."""
        return self.source.start

    @property
    def duration(self) -> Fraction:
        """frames / rate, s: the source's duration, or up to one output frame more."""
        return Fraction(self.frames, self.rate)

    @property
    def copied(self) -> int:
        """Output frames with t = 0, if there are no scene cuts."""
        step, unit = _output_step(self.source, self.rate)
        first, last = self.source.pts[0], self.source.pts[-1]
        on_grid = sum(1 for p in self.source.pts if (p - first) * unit % step == 0)
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
        step, unit = _output_step(self.source, self.rate)
        pts, first, last = self.source.pts, self.source.pts[0], len(self.source) - 1
        left = bisect_right(pts, first + numbers.start * step // unit) - 1
        for n in numbers:
            now = n * step  # ticks * unit since the first source frame
            while left < last and (pts[left + 1] - first) * unit <= now:
                left += 1
            past = now - (pts[left] - first) * unit
            t = _fraction(past, (pts[left + 1] - pts[left]) * unit) if left < last else Fraction(0)
            yield Target(n=n, pts=n, left=left, t=t)


def make_plan(timeline: Timeline, rate: Fraction, *, segment_seconds: Fraction = SEGMENT_SECONDS) -> Plan:
    """The plan that shows all of `timeline` at `rate` frames/s, in segments of about `segment_seconds` of output.

    No segment has many more frames than SEGMENT_FRAMES. They begin with source frames where that is possible near by.
    Frames = the smallest count whose last frame ends no earlier than the source. Raises UsageError for rate <= 0 and
    for more than MOST_FRAMES.
    """
    if rate <= 0 or segment_seconds <= 0:
        raise UsageError(f"{rate} frames per second cannot be meant: give a rate above 0, such as --fps 60")
    frames = ceil(timeline.duration * rate)
    if frames > MOST_FRAMES:
        raise UsageError(f"the result would have {frames} frames, and {MOST_FRAMES} are possible: ask for fewer")
    length = min(max(Fraction(1), segment_seconds * rate), Fraction(SEGMENT_FRAMES))
    count = max(1, round(Fraction(frames, length)))
    whole = Plan(source=timeline, rate=rate, segments=(_segment_of_all(timeline, frames),))
    # equal lengths, to a few frames: no tiny last segment
    cuts = [0, *(_copy_near(whole, k * frames // count, reach=length // 2) for k in range(1, count)), frames]
    segments = []
    for k in range(count):
        first, last = whole.target(cuts[k]), whole.target(cuts[k + 1] - 1)
        last_source = last.left + (1 if last.t else 0)
        segments.append(
            Segment(k=k, first_source=first.left, last_source=last_source, targets=range(cuts[k], cuts[k + 1]))
        )
    return Plan(source=timeline, rate=rate, segments=tuple(segments))


def _copy_near(plan: Plan, n: int, *, reach: int) -> int:
    """Output frame `n`, or one up to 16 before it that is a source frame: then no pair belongs to two segments."""
    near = range(n - min(16, reach), n + 1)
    return next((t.n for t in reversed(list(plan.targets(near))) if t.t == 0), n)


def _segment_of_all(timeline: Timeline, frames: int) -> Segment:
    return Segment(k=0, first_source=0, last_source=len(timeline) - 1, targets=range(frames))


def _output_step(source: Timeline, rate: Fraction) -> tuple[int, int]:
    """(step, unit): output frames are step / unit source ticks apart."""
    ticks = Fraction(1, rate * source.time_base)
    return ticks.numerator, ticks.denominator


@lru_cache(maxsize=1024)
def _fraction(numerator: int, denominator: int) -> Fraction:
    """A constant cadence repeats a handful of t for hours: reduce each once."""
    return Fraction(numerator, denominator)
