"""Stages that are timed in turns, and what several runs of them say."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Facts = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Something to time. `run` does it once, and may give numbers of its own."""

    name: str
    frames: int  # of one run
    counts: str  # which frames these are: "source", "made" or "output"
    run: Callable[[], Facts | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One run of a stage."""

    seconds: float  # of wall time
    processor_seconds: float  # of this process and of the children that ended in that time
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The middle and the ends of several values."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Of at least one value."""
        seen = sorted(values)
        return cls(median=statistics.median(seen), lowest=seen[0], highest=seen[-1])


def timed(stage: Stage) -> Timing:
    """How long one run of `stage` takes."""
    worked, begun = _processor_seconds(), time.perf_counter()
    facts = stage.run()
    seconds = time.perf_counter() - begun
    return Timing(seconds=seconds, processor_seconds=_processor_seconds() - worked, facts=facts or {})


def alternate(stages: Sequence[Stage], runs: int, *, after: Callable[[Stage, Timing], None]) -> dict[str, list[Timing]]:
    """`runs` timings of every stage, all stages in turns: a machine that slows down slows all of them.

    `after` is told of every timing as it comes.
    """
    timings: dict[str, list[Timing]] = {stage.name: [] for stage in stages}
    for _ in range(runs):
        for stage in stages:
            timing = timed(stage)
            timings[stage.name].append(timing)
            after(stage, timing)
    return timings


def rates(stage: Stage, timings: Sequence[Timing]) -> Spread:
    """Frames of `stage` per second."""
    return Spread.of(stage.frames / timing.seconds for timing in timings)


def times_as_fast(stage: Stage, timings: Sequence[Timing], than: Stage, slower: Sequence[Timing]) -> Spread:
    """How many times as many frames `stage` does in a second as `than`; compared within each run of both."""
    same_work = stage.frames / than.frames
    return Spread.of(same_work * b.seconds / a.seconds for a, b in zip(timings, slower, strict=True))


def _processor_seconds() -> float:
    return sum(os.times()[:4])  # ours and that of children that have ended, each for user and system
