"""Exact time: where every output frame stands between two source frames. Integers and Fractions only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """When each source frame is shown, from its packets. `pts` rises strictly; `end_pts` is where the last frame ends."""

    time_base: Fraction  # s/tick
    pts: tuple[int, ...]  # ticks
    end_pts: int  # ticks


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One output frame: the source pair (left, left + 1) and the time t in [0, 1) between them; t = 0 is a copy."""

    n: int  # output frame number
    pts: int  # ticks of the output base
    left: int  # source frame number
    t: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A run of output frames that is made and written as one unit. `last_source` is shared with the next segment."""

    k: int
    first_source: int
    last_source: int
    targets: range  # output frame numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The output grid over a source: frame n is shown at `start + n / rate` seconds, n in range(frames)."""

    source: Timeline
    rate: Fraction  # frames/s of the output
    segments: tuple[Segment, ...]

    def targets(self) -> Iterator[Target]:
        """Every output frame in order."""
        raise NotImplementedError
