"""When each step of making frames is done: batches on several threads, bisection, retries with less memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from typing import Any, TypeVar

import torch
from torch import nn

from interp_cli.engine.levels import last_use, levels
from interp_cli.engine.making import Maker
from interp_cli.engine.source import Pair, Source
from interp_cli.engine.tasks import Tasks
from interp_cli.engine.way import Way, auto_batch, out_of_memory, thriftier
from interp_cli.errors import DeviceError
from interp_cli.media.types import Color, Planes
from interp_cli.model.network import lowered

Item = TypeVar("Item")


@dataclass(eq=False)
class Begun:
    """Frames that are being made, for `jobs`."""

    jobs: Sequence[Pair]
    color: Color
    tasks: Tasks | None = None  # that make them
    runs: list[tuple[list[list[int]], Future[list[list[Planes]]]]] = field(default_factory=list)
    """What is made together: the numbers of the jobs that each frame is shown for, and the frames as shown."""


class Schedule:
    """Lets `maker` make frames, in another way where memory runs out. `Way.workers` threads make a batch each.

    On a CPU that beats giving every operation several threads: small operations wait for each other longer than they
    take, all the more so beside a busy decoder and encoder. With `halves` every time is reached by halving; else the
    network is asked for each directly.
    """

    def __init__(self, maker: Maker, *, halves: bool, on_less_memory: Callable[[str], None] | None) -> None:
        self._maker, self._halves, self._tell = maker, halves, on_less_memory
        self._asked_scale = maker.way.scale
        self._tasks: Tasks | None = None
        self._under_way: list[Begun] = []
        self._news: dict[str, str] = {}
        self._told: set[str] = set()

    @property
    def way(self) -> Way:
        """How frames are made now."""
        return self._maker.way

    def batch_for(self, planes: Planes) -> int:
        """Frames per network call, chosen at the first frame unless it was given."""
        if self.way.batch is None:
            shrink = self.way.shrink((planes.height, planes.width))
            batch = auto_batch(max(1, planes.width * planes.height // shrink**2), self.way.device)
            self._maker = replace(self._maker, way=replace(self.way, batch=batch))
        return self.way.batch or 1

    def begin(self, jobs: Sequence[Pair], color: Color) -> Begun:
        """Begin to make the frames of `jobs`, each shown once. What is begun has to be finished, in that order."""
        begun = Begun(jobs, color)
        self._under_way.append(begun)
        self._start(begun)
        return begun

    def finish(self, begun: Begun) -> list[Planes]:
        """The frames, in order of the jobs; out of memory, the same ones with less of it. Raises DeviceError."""
        while True:
            try:
                made = [(shows, run.result()) for shows, run in begun.runs]
                break
            except (RuntimeError, MemoryError, CancelledError) as error:
                if begun.tasks is self._tasks:  # else what failed was begun before it, and has been seen to
                    if not out_of_memory(error):
                        raise
                    self._be_thrifty(error, begun.jobs)
            self._start(begun)
        self._under_way.remove(begun)
        self._say()
        out: dict[int, Planes] = {}
        for shows, frames in made:
            for numbers, shown in zip(shows, frames, strict=True):
                out.update(zip(numbers, shown, strict=True))
        return [out[n] for n in range(len(begun.jobs))]

    def drop(self) -> None:
        """Drop what was begun and not finished, once nothing of it is being computed."""
        if self._under_way and self._tasks is not None:
            self._tasks.end()
            self._tasks = None
        self._under_way = []

    def _start(self, begun: Begun) -> None:
        begun.tasks = self._running()
        begun.runs = []
        if self._halves:
            self._halve(begun)
        else:
            count = len(begun.jobs)
            self._make(begun, begun.jobs, [[n] for n in range(count)], [None] * count)

    def _halve(self, begun: Begun) -> None:
        """All halves in one call, then all quarters, and so on.

        Made frames stay unrounded on the device as long as a finer level looks at them. Motion is taken as uniform.
        """
        jobs = begun.jobs
        times: dict[tuple[Source, Source], list[Fraction]] = {}
        overlays = {job.ends: job.overlay for job in jobs}
        for job in jobs:
            times.setdefault(job.ends, []).append(job.t)
        plans = {ends: levels(ts) for ends, ts in times.items()}
        nodes = {(ends, Fraction(k)): ends[k] for ends in plans for k in (0, 1)}
        wanted: dict[tuple[tuple[Source, Source], Fraction], list[int]] = {}
        for n, job in enumerate(jobs):
            wanted.setdefault((job.ends, job.t), []).append(n)
        for depth in range(max(map(len, plans.values()), default=0)):
            steps = [
                (ends, step) for ends, plan in plans.items() for level in plan[depth : depth + 1] for step in level
            ]
            pairs, kept = list[Pair](), list[Source | None]()
            for ends, s in steps:
                pts = tuple(jobs[n].pts[0] for n in wanted.get((ends, s.t), ()))
                pairs.append(Pair(nodes[ends, s.before], nodes[ends, s.after], Fraction(1, 2), pts, overlays[ends]))
                used = last_use(plans[ends]).get(s.t, -1) > depth
                kept.append(Source(nodes[ends, s.before].planes) if used else None)
            self._make(begun, pairs, [wanted.get((ends, s.t), []) for ends, s in steps], kept)
            nodes |= {(ends, s.t): node for (ends, s), node in zip(steps, kept, strict=True) if node is not None}

    def _make(self, begun: Begun, pairs: Sequence[Pair], shows: list[list[int]], kept: Sequence[Source | None]) -> None:
        """Features of every source frame once, then the frame of every pair, each step dealt out to the workers.

        A frame is shown for the jobs `shows`, and put into `kept` if others are made from it.
        """
        tasks, color = self._running(), begun.color
        moves = self.way.tiles == 1 and self._maker.network.limits.halfway
        ends = [ends for pair in pairs for ends in (pair.ends, *(pair.ends_beside if moves else ()))]
        self._ask(
            "ready", {(source, None): source for end in ends for source in end}, partial(self._maker.ready, color=color)
        )
        if moves:
            self._ask("motion", {end: end for end in ends}, self._maker.move)
            self._ask("likeliest", {pair.ends: pair for pair in pairs}, self._maker.let_last)
        for span in self._dealt(range(len(pairs))):
            run, into = [pairs[n] for n in span], [kept[n] for n in span]
            future = tasks.begin(partial(self._maker.shown, run, into, color), _steps(*(pair.sources for pair in run)))
            begun.runs.append(([shows[n] for n in span], future))
            for source in into:
                if source is not None:
                    source.steps["made", None] = future

    def _ask(
        self, name: str, wanted: Mapping[tuple[Source, Source | None], Item], work: Callable[[list[Item]], None]
    ) -> None:
        """Let the workers do `work`, called `name`, for what was not asked for yet: see `Source.steps`."""
        new = [key for key in wanted if (name, key[1]) not in key[0].steps]
        for keys in self._dealt(new):
            items = [wanted[key] for key in keys]
            beside = [item.sources if isinstance(item, Pair) else key for item, key in zip(items, keys, strict=True)]
            future = self._running().begin(partial(work, items), _steps(*beside))
            for source, right in keys:
                source.steps[name, right] = future

    def _running(self) -> Tasks:
        if self._tasks is None:
            self._tasks = Tasks(self.way.workers)
        return self._tasks

    def _dealt(self, items: Sequence[Item]) -> list[Sequence[Item]]:
        """Runs of at most a batch of `items`, in order."""
        size = self.way.batch or 1
        return [items[start : start + size] for start in range(0, len(items), size)]

    def _be_thrifty(self, error: Exception, jobs: Sequence[Pair]) -> None:
        """Go over to the next way of making frames. Raises DeviceError when there is none."""
        old, network = self.way, self._maker.network
        step = thriftier(old, asked=self._asked_scale, count=len(jobs), size=jobs[0].left.size, limits=network.limits)
        if step is None:
            raise DeviceError(
                "there is too little memory for one frame of this size, even in tiles and at --scale 1/4; "
                "close other programs, or make the video smaller first"
            ) from error
        way, words = step
        self._running().end()  # whoever has not failed yet holds memory, and writes to the sources
        self._tasks, self._maker = None, replace(self._maker, way=way)
        known = {source for begun in self._under_way for job in begun.jobs for source in job.sources}
        if old.at_once > 1:
            self._news["batch"] = words  # in place of that of the batch before
            for source in known:
                source.settle()
        else:
            self._news[words] = words
            for source in known:
                source.forget()
        if way.device != old.device and isinstance(network, nn.Module):
            lowered(network.to(way.device), way.dtype)
        if old.device.type == "cuda":
            torch.cuda.empty_cache()

    def _say(self) -> None:
        """Tell of each way to use less memory, once, when frames have been made."""
        for key, words in self._news.items():
            if self._tell is not None and key not in self._told:
                self._tell(f"memory ran out: going on {words}")
            self._told.add(key)
        self._news = {}


def _steps(*groups: Iterable[Source | None]) -> set[Future[Any]]:
    """All that is computed of these sources."""
    return {step for group in groups for source in group if source is not None for step in source.steps.values()}
