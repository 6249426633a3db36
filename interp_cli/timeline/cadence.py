"""The constant frame rate behind time stamps that a container rounded to its ticks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd

_FAST = (60, 72, 75, 80, 90, 96, 100, 120, 144, 165, 180, 200, 240, 300, 360, 480, 500, 600, 960, 1000)
_STANDARD_RATES = tuple(rate for n in (*range(5, 51), *_FAST) for rate in (Fraction(n), Fraction(1000 * n, 1001)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A constant rate, and how coarsely its times were rounded."""

    rate: Fraction  # frames/s
    tick: int  # the rounding unit, in ticks of the time line


def recognise_grid(pts: Sequence[int], *, time_base: Fraction, hint: Fraction | None) -> Grid | None:
    """The constant rate whose rounding to ticks gives `pts`; None for a variable rate, or when it cannot be told.

    `pts` (ticks of `time_base` s) rises strictly. `hint` (frames/s), a container's claim, is tried before the standard
    rates, and those before the simplest other rate that fits and the exact mean. Each fits or does not: see `_spread`.
    """
    if len(pts) < 2:
        return None
    offsets = [p - pts[0] for p in pts]
    regular = offsets == list(range(0, offsets[1] * len(pts), offsets[1]))
    exact = Fraction(1, offsets[1] * time_base)
    if regular and exact in (hint, *_STANDARD_RATES):
        return Grid(rate=exact, tick=1)
    known = [Fraction(1, rate * time_base) for rate in _STANDARD_RATES]  # steps in ticks
    claim = [Fraction(1, hint * time_base)] if hint is not None and hint > 0 else []
    for tick in [1] if regular else sorted({1, gcd(*offsets)}):  # an MKV remuxed to MP4 keeps its 1 ms on finer ticks
        step = _nearest(offsets, claim, tick) or _nearest(offsets, known, tick)
        if step is None and not regular:
            others = _uncommon_steps(offsets, time_base, tick)
            step = next((s for s in others if _spread(offsets, s, tick) is not None), None)
        if step is not None:
            return Grid(rate=Fraction(1, step * time_base), tick=tick)
    return Grid(rate=exact, tick=1) if regular else None


def _nearest(offsets: list[int], steps: Iterable[Fraction], tick: int) -> Fraction | None:
    """The step (ticks) whose grid the frames are nearest to; None if none fits."""
    fits = [(spread, step) for step in steps if (spread := _spread(offsets, step, tick)) is not None]
    return min(fits)[1] if fits else None


def _spread(offsets: list[int], step: Fraction, tick: int) -> Fraction | None:
    """How far apart, in ticks, the distances from the grid n * step lie; None if they are no rounding of that grid.

    Rounding in one way puts all distances into an interval of one rounding unit. A fiftieth more is allowed for times
    that were rounded twice (90 kHz, then 1 ms), except where a step has few ticks: there a jitter that is real could
    hide behind the rounding, as it always could below three ticks.
    """
    a, b = step.numerator, step.denominator
    unit = tick * b
    if abs(offsets[-1] * b - (len(offsets) - 1) * a) > unit or a < 3 * unit:
        return None
    distances = [offset * b - n * a for n, offset in enumerate(offsets)]
    low, high = min(distances), max(distances)
    one_rounding = high - low < unit or (a >= 12 * unit and 50 * (high - low) <= 51 * unit)
    return Fraction(high - low, unit) if one_rounding and high <= unit and low >= -unit else None


def _uncommon_steps(offsets: list[int], time_base: Fraction, tick: int) -> Iterator[Fraction]:
    """Steps in ticks of rates that are on no list: the simplest ones that fit, then the mean."""
    for early, late in ((-1, 1), (-2, 0), (0, 2), (-2, 2)):  # rounded to the nearest, down, up, or not known
        between = _steps_within(offsets, early * tick, late * tick)
        if between is not None:
            slowest, fastest = (Fraction(1, step * time_base) for step in reversed(between))
            yield Fraction(1, _simplest(slowest, fastest) * time_base)
    yield Fraction(offsets[-1], len(offsets) - 1)


def _steps_within(offsets: list[int], early: int, late: int) -> tuple[Fraction, Fraction] | None:
    """The smallest and largest step that leave every frame at most `early` and `late` half ticks off the grid."""
    low, high = (2 * offsets[1] - late, 2), (2 * offsets[1] - early, 2)  # ratios, for integers are fast
    for n, offset in enumerate(offsets[2:], start=2):
        soonest, latest = 2 * offset - late, 2 * offset - early
        if soonest * low[1] > low[0] * 2 * n:
            low = (soonest, 2 * n)
        if latest * high[1] < high[0] * 2 * n:
            high = (latest, 2 * n)
        if low[0] * high[1] > high[0] * low[1]:
            return None
    return (Fraction(*low), Fraction(*high)) if low[0] > 0 else None


def _simplest(low: Fraction, high: Fraction) -> Fraction:
    """The fraction in [low, high] with the smallest denominator; 0 < low <= high."""
    if (whole := ceil(low)) <= high:
        return Fraction(whole)
    below = whole - 1  # the continued fraction's next digit
    return below + Fraction(1, _simplest(Fraction(1, high - below), Fraction(1, low - below)))


def fraction_gcd(a: Fraction, b: Fraction) -> Fraction:
    """The largest fraction of which both are integer multiples."""
    return Fraction(gcd(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator)


def ceil(value: Fraction) -> int:
    """The smallest integer that is not below `value`."""
    return -(-value.numerator // value.denominator)
