"""What timings mean: rates and ratios with their spread, which stage holds the others up, and how much is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from interp_cli.speed.stages import DECODE, ENCODE, ENGINE, ONE_BY_ONE, RIVAL, WHOLE
from interp_cli.speed.timing import Spread, Stage, Timing, rates, times_as_fast

PARTS = (DECODE, ENGINE, ENCODE)
RATIOS = ((ENGINE, ONE_BY_ONE), (WHOLE, RIVAL))


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one part needs for the whole clip, alone on the machine; s."""

    seconds: float
    processor_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The parts against the time that they take side by side."""

    needs: Mapping[str, Need]
    processors: int
    seconds: float  # side by side

    @property
    def shared(self) -> float:
        """Seconds that all processors together need for all parts."""
        return sum(need.processor_seconds for need in self.needs.values()) / self.processors

    @property
    def slowest(self) -> str:
        """The part that takes longest alone."""
        return max(self.needs, key=lambda name: self.needs[name].seconds)

    @property
    def heaviest(self) -> str:
        """The part that takes most of the processors' time."""
        return max(self.needs, key=lambda name: self.needs[name].processor_seconds)

    @property
    def waits_for_processors(self) -> bool:
        """Whether the processors are what is short, and not one part what the others wait for."""
        return self.shared > self.needs[self.slowest].seconds

    @property
    def bottleneck(self) -> str:
        """The part that would have to be faster for the whole to be faster."""
        return self.heaviest if self.waits_for_processors else self.slowest

    @property
    def least(self) -> float:
        """Seconds below which no arrangement of the same parts can come."""
        return max(self.shared, self.needs[self.slowest].seconds)

    def lines(self) -> Iterator[str]:
        """In words."""
        name = self.bottleneck
        if self.waits_for_processors:
            need = self.needs[self.bottleneck].processor_seconds / (self.shared * self.processors)
            many = f"{self.processors} processor{'s' * (self.processors != 1)}"
            yield (
                f"bottleneck: {name}, with {need:.0%} of the work; all parts together keep {many} busy for"
                f" {self.shared:.2f} s"
            )
        else:
            others = " and ".join(f"{o} {self.needs[o].seconds:.2f} s" for o in self.needs if o != self.bottleneck)
            yield f"bottleneck: {name}, which alone takes {self.needs[self.bottleneck].seconds:.2f} s ({others})"
        yield f"side by side: {self.seconds:.2f} s, {self.seconds / self.least:.2f} times the least that is possible"

    def facts(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "bottleneck": self.bottleneck,
            "waits_for": "processors" if self.waits_for_processors else self.slowest,
            "alone": {name: asdict(need) for name, need in self.needs.items()},
            "seconds": self.seconds,
            "least_seconds": self.least,
            "times_the_least": self.seconds / self.least,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All timings of one size."""

    stages: Sequence[Stage]
    timings: Mapping[str, Sequence[Timing]]
    processors: int

    @property
    def balance(self) -> Balance:
        """The parts, each for as many frames as the whole clip has."""
        whole = self.timings[WHOLE]
        by_name = {stage.name: stage for stage in self.stages}
        made, out = whole[0].facts["made"], by_name[WHOLE].frames
        of_all = {DECODE: 1.0, ENGINE: made / by_name[ENGINE].frames, ENCODE: out / by_name[ENCODE].frames}
        return Balance(
            needs={name: self._need(name, share) for name, share in of_all.items()},
            processors=self.processors,
            seconds=median(timing.facts["working_seconds"] for timing in whole),
        )

    def _need(self, name: str, times: float) -> Need:
        runs = self.timings[name]
        return Need(
            seconds=times * median(run.seconds for run in runs),
            processor_seconds=times * median(run.processor_seconds for run in runs),
        )

    @property
    def start_up(self) -> float:
        """Seconds before vfi makes its first frame, and after the last one."""
        return median(timing.seconds - timing.facts["working_seconds"] for timing in self.timings[WHOLE])

    @property
    def ratios(self) -> dict[tuple[str, str], Spread]:
        """How many times as fast one is as the other, within each run."""
        by_name = {stage.name: stage for stage in self.stages}
        return {
            (ours, other): times_as_fast(by_name[ours], self.timings[ours], by_name[other], self.timings[other])
            for ours, other in RATIOS
            if other in by_name
        }

    def _peak(self, stage: str, fact: str) -> int | None:
        """The largest value of a fact in bytes; None where nobody told it."""
        return max(int(timing.facts.get(fact, 0)) for timing in self.timings[stage]) or None

    def lines(self) -> Iterator[str]:
        """A table of rates, then ratios, the bottleneck and memory in words."""
        for stage in self.stages:
            rate = rates(stage, self.timings[stage.name])
            span = f"{rate.lowest:.2f} to {rate.highest:.2f}"
            yield f"  {stage.name:14} {rate.median:9.2f} {stage.counts} frames/s ({span})"
        for (ours, other), ratio in self.ratios.items():
            span = f"{ratio.lowest:.2f} to {ratio.highest:.2f}"
            yield f"{ours} is {ratio.median:.2f} times as fast as {other} ({span})"
        yield from self.balance.lines()
        yield f"starting vfi: {self.start_up:.2f} s"
        if peak := self._peak(WHOLE, "peak_bytes"):
            yield f"memory at its height: {peak / 1e6:.0f} MB for vfi and its ffmpegs"
        if peak := self._peak(ENGINE, "gpu_bytes"):
            yield f"memory of the GPU at its height: {peak / 1e6:.0f} MB"

    def facts(self) -> dict[str, Any]:
        """As JSON values, with every single timing."""
        rows = {}
        for stage in self.stages:
            seen = self.timings[stage.name]
            rows[stage.name] = {
                "frames": stage.frames,
                "counts": stage.counts,
                "frames_per_s": asdict(rates(stage, seen)),
                "runs": [asdict(timing) for timing in seen],
            }
        return {
            "stages": rows,
            "times_as_fast": [{"this": a, "than": b, **asdict(ratio)} for (a, b), ratio in self.ratios.items()],
            "balance": self.balance.facts(),
            "start_up_seconds": self.start_up,
            "peak_bytes": self._peak(WHOLE, "peak_bytes"),
            "gpu_peak_bytes": self._peak(ENGINE, "gpu_bytes"),
        }
