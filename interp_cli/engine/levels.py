"""Which mode reaches which times, and the levels of bisection. A plan can be checked by it before torch is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from interp_cli.errors import UsageError
from interp_cli.options import Mode
from interp_cli.timeline import Target

MOST_LEVELS = 6


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """The frame at `t` is the middle of those at `before` and `after`."""

    t: Fraction
    before: Fraction
    after: Fraction


def choose_mode(mode: Mode, *, any_t: bool) -> Mode:
    """BISECT or DIRECT: `mode` itself, or for AUTO what a network with `limits.any_t` does best.

    Raises UsageError when DIRECT is asked of a network that only knows t = 1/2.
    """
    if mode is Mode.DIRECT and not any_t:
        raise UsageError("this model only makes the middle of two frames; choose --mode bisect or another --model")
    if mode is Mode.AUTO:
        return Mode.DIRECT if any_t else Mode.BISECT
    return mode


def check_mode(targets: Iterable[Target], mode: Mode, *, any_t: bool = True) -> Mode:
    """`choose_mode`, after making sure that every target's time can be reached; the first that cannot is named.

    Raises UsageError: bisection reaches only t = k / 2 ** n with n <= 6.
    """
    chosen = choose_mode(mode, any_t=any_t)
    if chosen is Mode.BISECT:
        for target in targets:
            level(target.t)
    return chosen


def level(t: Fraction) -> int:
    """n of t = k / 2 ** n in lowest terms. Raises UsageError where there is none, or more than 6."""
    n = _depth(t)
    if n is None:
        raise UsageError(
            f"bisection cannot reach the time {t} between two frames (only k/2, k/4 ... k/{1 << MOST_LEVELS}); "
            "use --mode direct, or a factor of 2, 4 or 8"
        )
    return n


def nearest(t: Fraction) -> Fraction:
    """`t` in (0, 1) itself where bisection reaches it, else the nearest k/16 in between: finer ones cost too much."""
    return t if _depth(t) is not None else Fraction(min(max(1, round(t * 16)), 15), 16)


def _depth(t: Fraction) -> int | None:
    n = t.denominator.bit_length() - 1
    return n if t.denominator == 1 << n and n <= MOST_LEVELS else None


def levels(times: Iterable[Fraction]) -> tuple[tuple[Step, ...], ...]:
    """Steps that reach all `times` in (0, 1), level by level, each level needing only those before it (and 0 and 1)."""
    needed: set[Fraction] = set()
    todo = {t for t in times if 0 < t < 1}
    while todo:
        t = todo.pop()
        needed.add(t)
        todo |= {x for x in _ends(t) if 0 < x < 1} - needed
    by_level: list[list[Step]] = [[] for _ in range(max(map(level, needed), default=0))]
    for t in sorted(needed):
        by_level[level(t) - 1].append(Step(t, *_ends(t)))
    return tuple(tuple(steps) for steps in by_level)


def last_use(plan: Sequence[Sequence[Step]]) -> dict[Fraction, int]:
    """For every time that later steps look at, the last level (from 0) that does."""
    return {x: n for n, steps in enumerate(plan) for step in steps for x in (step.before, step.after)}


def _ends(t: Fraction) -> tuple[Fraction, Fraction]:
    half = Fraction(1, 1 << level(t))
    return t - half, t + half
