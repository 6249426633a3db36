"""(Pair, t) to frames: features encoded once, batches, test-time augmentation, bisection, retries with less memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from interp_cli.engine import composing, tiles
from interp_cli.engine import planes as on_device
from interp_cli.engine.alpha import unweighted, weighted
from interp_cli.engine.bend import along_their_ways
from interp_cli.engine.blend import blended
from interp_cli.engine.composing import Apart
from interp_cli.engine.doubt import second_thoughts
from interp_cli.engine.lasting import lasting_motion
from interp_cli.engine.levels import last_use, levels
from interp_cli.engine.planes import Frames
from interp_cli.engine.source import Flip, Motion, Pair, Source
from interp_cli.engine.still import hold_overlays, hold_still
from interp_cli.engine.tasks import Tasks
from interp_cli.engine.way import Way, auto_batch, out_of_memory, thriftier
from interp_cli.errors import DeviceError
from interp_cli.media.types import Color, Planes
from interp_cli.model.network import lowered
from interp_cli.model.seam import Features, Network, Synthesis
from interp_cli.options import Scale, Tta

Item = TypeVar("Item")

_FLIPS: dict[Tta, tuple[Flip, ...]] = {Tta.NONE: ((),), Tta.FLIP: ((), (2, 3)), Tta.FULL: ((), (3,), (2,), (2, 3))}

_FINE_PIXELS = 2_100_000  # up to here frames are sampled from a doubled copy; larger ones hold their detail otherwise


@dataclass(eq=False)
class Begun:
    """Frames that are being made, for `jobs`."""

    jobs: Sequence[Pair]
    color: Color
    tasks: Tasks | None = None  # that make them
    runs: list[tuple[list[list[int]], Future[list[list[Planes]]]]] = field(default_factory=list)
    """What is made together: the numbers of the jobs that each frame is shown for, and the frames as shown."""


class Maker:
    """Makes frames on one device. Holds no frames itself: what is computed of a source frame lives in its `Source`.

    `workers` threads make that many batches side by side. On a CPU that beats giving every operation several threads:
    small operations wait for each other longer than they take, all the more so beside a busy decoder and encoder.
    With `halves` every time is reached by halving; else the network is asked for each directly.
    """

    def __init__(
        self,
        network: Network,
        *,
        device: str | torch.device,
        dtype: torch.dtype,
        tta: Tta = Tta.NONE,
        scale: Scale = Scale.AUTO,
        batch: int | None = None,
        halves: bool = False,
        still: bool = True,
        workers: int = 1,
        on_less_memory: Callable[[str], None] | None = None,
    ) -> None:
        self.network, self.halves, self.still = network, halves, still
        self.flips, self.reversed_too = _FLIPS[tta], tta is Tta.FULL
        self.way = Way(device=torch.device(device), dtype=dtype, scale=scale, workers=workers, batch=batch)
        self._asked_scale = scale
        self._tasks: Tasks | None = None
        self._under_way: list[Begun] = []
        self._tell = on_less_memory
        self._news: dict[str, str] = {}
        self._told: set[str] = set()

    def batch_for(self, planes: Planes) -> int:
        """Frames per network call, chosen at the first frame unless it was given."""
        if self.way.batch is None:
            shrink = self.way.shrink((planes.height, planes.width))
            batch = auto_batch(max(1, planes.width * planes.height // shrink**2), self.way.device)
            self.way = replace(self.way, batch=batch)
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
        if self.halves:
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
        moves = self.way.tiles == 1 and self.network.limits.halfway
        ends = [ends for pair in pairs for ends in (pair.ends, *(pair.ends_beside if moves else ()))]
        self._ask(
            "ready", {(source, None): source for end in ends for source in end}, partial(self._ready, color=color)
        )
        if moves:
            self._ask("motion", {end: end for end in ends}, self._move)
            self._ask("likeliest", {pair.ends: pair for pair in pairs}, self._let_last)
        for span in self._dealt(range(len(pairs))):
            run, into = [pairs[n] for n in span], [kept[n] for n in span]
            future = tasks.begin(partial(self._shown, run, into, color), _steps(*(pair.sources for pair in run)))
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
        old, limits = self.way, self.network.limits
        step = thriftier(old, asked=self._asked_scale, count=len(jobs), size=jobs[0].left.size, limits=limits)
        if step is None:
            raise DeviceError(
                "there is too little memory for one frame of this size, even in tiles and at --scale 1/4; "
                "close other programs, or make the video smaller first"
            ) from error
        self.way, words = step
        self._running().end()  # whoever has not failed yet holds memory, and writes to the sources
        self._tasks = None
        known = {source for begun in self._under_way for job in begun.jobs for source in job.sources}
        if old.at_once > 1:
            self._news["batch"] = words  # in place of that of the batch before
            for source in known:
                source.settle()
        else:
            self._news[words] = words
            for source in known:
                source.forget()
        if self.way.device != old.device and isinstance(self.network, nn.Module):
            lowered(self.network.to(self.way.device), self.way.dtype)
        if old.device.type == "cuda":
            torch.cuda.empty_cache()

    def _say(self) -> None:
        """Tell of each way to use less memory, once, when frames have been made."""
        for key, words in self._news.items():
            if self._tell is not None and key not in self._told:
                self._tell(f"memory ran out: going on {words}")
            self._told.add(key)
        self._news = {}

    def _ready(self, sources: Sequence[Source], color: Color) -> None:
        """Frames on the device, and their features."""
        for source in sources:
            if source.frames is not None:
                source.frames = source.frames.on(self.way.device)
            elif source.planes is not None:
                source.frames = weighted(on_device.upload([source.planes], self.way.device))
        for flip in self.flips if self.way.tiles == 1 else ():
            new = [source for source in sources if flip not in source.features]
            if new:
                self._encode(new, flip, color)

    def _shown(self, pairs: Sequence[Pair], kept: Sequence[Source | None], color: Color) -> list[list[Planes]]:
        """The frame of every pair, for every time at which it is shown."""
        made = self._batch(pairs, color)
        for source, one in zip(kept, made, strict=True):
            if source is not None:
                source.frames = one
        return [_planes(one, pair) for one, pair in zip(made, pairs, strict=True)]

    @torch.inference_mode()
    def _batch(self, pairs: Sequence[Pair], color: Color) -> list[Frames]:
        size = pairs[0].left.uploaded.size
        scale = self.way.shrink(size)
        versions: list[list[Frames]] = []
        for flip in self.flips:
            for back in (False, True) if self.reversed_too else (False,):
                s = self._synthesise(pairs, flip, color, back=back)
                s = on_device.crop(s.enlarged() if flip else s, (-(-size[0] // scale), -(-size[1] // scale)))
                s = _mirrored(s, flip)
                versions.append(self._composed(pairs, s, color, scale))
        means = [on_device.mean(same) for same in zip(*versions, strict=True)]
        return [one for frames in means for one in frames.each()]

    @torch.inference_mode()
    def _encode(self, sources: Sequence[Source], flip: Flip, color: Color) -> None:
        I = self._input(sources, flip, color)
        with self._precision():
            features = self.network.encode(I)
        for k, source in enumerate(sources):
            self._refine(source)
            source.features[flip] = tuple(f[k : k + 1] for f in features) if len(sources) > 1 else features

    @torch.inference_mode()
    def _move(self, ends: Sequence[tuple[Source, Source]]) -> None:
        """The motion of pairs of sources."""
        f0, f1 = (_together([source.features[()] for source in end]) for end in zip(*ends, strict=True))
        with self._precision():
            motion = self.network.halfway(f0, f1)
        for k, (left, right) in enumerate(ends):
            left.motions[right] = Motion(motion[k : k + 1])

    @torch.inference_mode()
    def _let_last(self, pairs: Sequence[Pair]) -> None:
        """Try the motion beside `pairs`, once for all times of each."""
        for pair in pairs:
            motion = pair.left.motion_to(pair.right)
            if motion is not None:
                motion.likeliest = lasting_motion(self.network, pair, motion)

    def _input(self, sources: Sequence[Source], flip: Flip, color: Color) -> Tensor:
        """What the network sees of `sources`, mirrored by `flip`, padded."""
        frames = [source.uploaded for source in sources]
        limits, scale = self.network.limits, self.way.shrink(frames[0].size)
        I = on_device.network_input(on_device.stack(frames), color, scale=scale, colour=limits.colour)
        return on_device.pad(torch.flip(I, flip) if flip else I, limits)

    def _refine(self, source: Source) -> None:
        height, width = source.size
        if self.network.limits.sampling == "bicubic" and source.fine is None and height * width <= _FINE_PIXELS:
            source.fine = composing.doubled(source.uploaded)

    def _synthesise(self, pairs: Sequence[Pair], flip: Flip, color: Color, *, back: bool) -> Synthesis:
        """At the padded size. `back` lets time run backwards for the network and turns its answer round again."""
        ends = [[pair.left for pair in pairs], [pair.right for pair in pairs]]
        t = torch.tensor([float(pair.t) for pair in pairs], device=self.way.device)
        if back:
            ends, t = ends[::-1], 1 - t
        if self.way.tiles > 1:
            for source in ends[0] + ends[1]:
                self._refine(source)
            I0, I1 = (self._input(end, flip, color) for end in ends)
            with self._precision():
                s = tiles.synthesise(self.network, I0, I1, t, parts=self.way.tiles)
        else:
            f0, f1 = (_together([source.features[flip] for source in end]) for end in ends)
            known = [] if flip or back else [pair.left.motion_to(pair.right) for pair in pairs]
            motions = [motion.likeliest for motion in known if motion is not None and motion.likeliest is not None]
            with self._precision():
                s = self.network.synthesise(f0, f1, t, _joined(motions))
        return replace(s, F_t0=s.F_t1, F_t1=s.F_t0, M=1 - s.M) if back else s

    def _composed(self, pairs: Sequence[Pair], s: Synthesis, color: Color, scale: int) -> list[Frames]:
        """A CPU composes frame by frame, which stays in its cache; a GPU composes the batch."""
        size = 1 if self.way.device.type == "cpu" else len(pairs)
        out = []
        for n in range(0, len(pairs), size):
            some, part = pairs[n : n + size], _part(s, n, size)
            t = torch.tensor([float(pair.t) for pair in some])
            frames0 = on_device.stack([pair.left.uploaded for pair in some])
            frames1 = on_device.stack([pair.right.uploaded for pair in some])
            fine = _fine(some)
            sampling = self.network.limits.sampling
            learned = self.network.limits.blends
            apart: list[Apart] | None = [] if self.still or learned else None
            part = along_their_ways(part, some, t)
            made = composing.compose(
                frames0,
                frames1,
                part,
                color=color,
                scale=scale,
                sampling=sampling,
                fine=fine,
                apart=apart,
            )
            if learned and apart:
                made = blended(self.network, made, apart[0], some, part, t, scale=scale)
            if self.still and apart:
                made = second_thoughts(made, apart[0].full[:, :1], frames0, frames1, part, t=t, scale=scale, fine=fine)
                made = hold_still(made, frames0, frames1, part, t=t, scale=scale)
                masks = [None if pair.overlay is None else pair.overlay.mask for pair in some]
                made = hold_overlays(made, frames0, frames1, masks, t=t)
            out.append(made)
        return out

    def _precision(self) -> AbstractContextManager[object]:
        if self.way.dtype is torch.float32:
            return nullcontext()
        return torch.autocast(self.way.device.type, dtype=self.way.dtype)


def _steps(*groups: Iterable[Source | None]) -> set[Future[Any]]:
    """All that is computed of these sources."""
    return {step for group in groups for source in group if source is not None for step in source.steps.values()}


@torch.inference_mode()
def _planes(made: Frames, pair: Pair) -> list[Planes]:
    """`made` as raw planes for every time at which it is shown."""
    near = (pair.right if pair.t > Fraction(1, 2) else pair.left).planes
    straight = made if near is None else unweighted(made, near)
    return [on_device.download(straight, [pts])[0] for pts in pair.pts]


def _fine(pairs: Sequence[Pair]) -> tuple[Tensor, Tensor] | None:
    """The doubled frames of both ends, where they were made."""
    left = [pair.left.fine for pair in pairs if pair.left.fine is not None]
    right = [pair.right.fine for pair in pairs if pair.right.fine is not None]
    if not (left and right):
        return None
    return (left[0], right[0]) if len(pairs) == 1 else (torch.cat(left), torch.cat(right))


def _joined(parts: list[Tensor]) -> Tensor | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    return torch.cat(parts)


def _together(features: Sequence[Features]) -> Features:
    return features[0] if len(features) == 1 else tuple(torch.cat(same) for same in zip(*features, strict=True))


def _part(s: Synthesis, n: int, size: int) -> Synthesis:
    span = slice(n, n + size)
    return replace(s, F_t0=s.F_t0[span], F_t1=s.F_t1[span], M=s.M[span], R=None if s.R is None else s.R[span])


def _mirrored(s: Synthesis, flip: Flip) -> Synthesis:
    """`s` of mirrored frames as that of the frames themselves: mirrored back, flow turned round along those axes."""
    if not flip:
        return s
    sign = torch.tensor([-1.0 if 3 in flip else 1.0, -1.0 if 2 in flip else 1.0], device=s.M.device).view(1, 2, 1, 1)

    def back(x: Tensor) -> Tensor:
        return torch.flip(x, flip)

    return Synthesis(back(s.F_t0) * sign, back(s.F_t1) * sign, back(s.M), None if s.R is None else back(s.R))
