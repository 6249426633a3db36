"""The constant frame rate behind time stamps that a container rounded to its ticks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import gcd
from operator import lt

_FAST = (60, 72, 75, 80, 90, 96, 100, 120, 144, 165, 180, 200, 240, 300, 360, 480, 500, 600, 960, 1000)
_STANDARD_RATES = tuple(rate for n in (*range(5, 51), *_FAST) for rate in (Fraction(n), Fraction(1000 * n, 1001)))
_COARSE_STEP, _FINE_STEP = 3, 12  # ticks; see `_spread`


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A constant rate, how coarsely its times were rounded, and which of its places hold a frame."""

    rate: Fraction  # frames/s
    tick: int  # the rounding unit, in ticks of the time line
    places: Sequence[int]  # frame n stands at place places[n]; all but 0, 1, 2, ... means that frames are missing


def recognise_grid(pts: Sequence[int], *, time_base: Fraction, hint: Fraction | None) -> Grid | None:
    """The constant rate whose rounding to ticks gives `pts`; None for a variable rate, or when it cannot be told.

    `pts` (ticks of `time_base` s) rises strictly. `hint` (frames/s), a container's claim, is tried before the standard
    rates, and those before the simplest other rate that fits and the exact mean. Each fits or does not: see `_spread`.
    Last comes the thought that a known rate lost some of its frames.
    """
    if len(pts) < 2:
        return None
    everywhere = range(len(pts))
    offsets = [p - pts[0] for p in pts]
    regular = offsets == list(range(0, offsets[1] * len(pts), offsets[1]))
    exact = Fraction(1, offsets[1] * time_base)
    if regular and (exact in (hint, *_STANDARD_RATES) or hint == round(exact, 2)):  # ffmpeg tells two decimals
        return Grid(rate=exact, tick=1, places=everywhere)
    known = [Fraction(1, rate * time_base) for rate in _STANDARD_RATES]  # steps in ticks
    claim = [Fraction(1, hint * time_base)] if hint is not None and hint > 0 else []
    ticks = [1] if regular else sorted({1, gcd(*offsets)})  # an MKV remuxed to MP4 keeps its 1 ms on finer ticks
    for tick in ticks:
        step = _nearest(offsets, claim, tick) or _nearest(offsets, known, tick)
        if step is None and not regular:
            others = _uncommon_steps(offsets, time_base, tick)
            step = next((s for s in others if _spread(offsets, s, tick) is not None), None)
        if step is not None:
            return Grid(rate=Fraction(1, step * time_base), tick=tick, places=everywhere)
    if regular:
        return Grid(rate=exact, tick=1, places=everywhere)
    lossy = (_with_gaps(offsets, steps, tick, time_base=time_base) for tick in ticks for steps in (claim, known))
    return next((grid for grid in lossy if grid is not None), None)


def _with_gaps(offsets: list[int], steps: Iterable[Fraction], tick: int, *, time_base: Fraction) -> Grid | None:
    """The grid of which frames are missing here and there, while most still follow each other."""
    early = offsets[:50]  # enough to dismiss most steps
    found: list[tuple[Fraction, Fraction, list[int]]] = []
    for step in steps:
        if step < _FINE_STEP * tick or _spread(early, step, tick, _places(early, step)) is None:
            continue
        places = _places(offsets, step)
        neighbours = sum(b - a == 1 for a, b in pairwise(places))
        spread = _spread(offsets, step, tick, places)
        if spread is not None and 2 * neighbours >= len(places) - 1 and all(map(lt, places, places[1:])):
            found.append((spread, step, places))
    if not found:
        return None
    best = min(found)
    return Grid(rate=Fraction(1, best[1] * time_base), tick=tick, places=best[2])


def _places(offsets: list[int], step: Fraction) -> list[int]:
    """The multiple of `step` that each offset is nearest to."""
    a, b = step.numerator, step.denominator
    return [(2 * offset * b + a) // (2 * a) for offset in offsets]


def _nearest(offsets: list[int], steps: Iterable[Fraction], tick: int) -> Fraction | None:
    """The step (ticks) whose grid the frames are nearest to; None if none fits."""
    fits = [(spread, step) for step in steps if (spread := _spread(offsets, step, tick)) is not None]
    return min(fits)[1] if fits else None


def _spread(offsets: list[int], step: Fraction, tick: int, places: Sequence[int] | None = None) -> Fraction | None:
    """How far apart, in ticks, the distances from place * step lie; None if they are no rounding of that grid.

    Rounding in one way puts all distances into an interval of one rounding unit. A fiftieth more is allowed for times
    that were rounded twice (90 kHz, then 1 ms), except where a step has few ticks: there a jitter that is real could
    hide behind the rounding, as it always could below three ticks.
    """
    a, b = step.numerator, step.denominator
    unit = tick * b
    places = places or range(len(offsets))
    if abs(offsets[-1] * b - places[-1] * a) > unit or a < _COARSE_STEP * unit:
        return None
    distances = [offset * b - place * a for place, offset in zip(places, offsets, strict=True)]
    low, high = min(distances), max(distances)
    one_rounding = high - low < unit or (a >= _FINE_STEP * unit and 50 * (high - low) <= 51 * unit)
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
