"""Source frames and targets in, output frames out: one per target, in order, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch

from interp_cli.engine.levels import check_mode, choose_mode, level
from interp_cli.engine.making import Job, Maker, Source
from interp_cli.engine.overlay import Mask, Overlays
from interp_cli.engine.scenes import CutDetector, thumbnail
from interp_cli.engine.still import same
from interp_cli.engine.way import network_dtype
from interp_cli.errors import InputError, UsageError
from interp_cli.media.types import Color, Planes
from interp_cli.model.network import Network
from interp_cli.options import EngineOptions, Mode
from interp_cli.timeline import Target

__all__ = ["Interpolator", "check_mode", "network_dtype"]


class Interpolator:
    """Makes the frames of targets from source frames. Works on arrays alone: no files, no ffmpeg.

    `cuts` are the source frames after which a cut kept frames from being made; `copied` and `made` count output frames.
    `workers` threads make frames side by side (see `Maker`). Where memory runs out, the same frames are made with less
    of it, and `on_less_memory` is told in a sentence, once for each way out: smaller batches, tiles, a smaller scale,
    the CPU. `network` is then moved. `hold_still=False` makes every pixel of every frame that stands between two source
    frames, for measurements.
    """

    def __init__(
        self,
        network: Network,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        options: EngineOptions | None = None,
        hold_still: bool = True,
        workers: int = 1,
        on_less_memory: Callable[[str], None] | None = None,
    ) -> None:
        options = options or EngineOptions()
        if options.batch is not None and options.batch < 1:
            raise UsageError(f"--batch {options.batch} is not possible; give auto or a number from 1")
        self.options, self.hold_still = options, hold_still
        self.mode = choose_mode(options.mode, any_t=network.limits.any_t)
        self.cuts: list[int] = []
        self.copied = self.made = 0
        self._maker = Maker(
            network,
            device=device,
            dtype=dtype,
            tta=options.tta,
            scale=options.scale,
            batch=options.batch,
            still=hold_still,
            workers=workers,
            on_less_memory=on_less_memory,
        )

    def run(
        self, frames: Iterator[Planes], targets: Iterable[Target], *, color: Color, first_source: int = 0
    ) -> Iterator[Planes]:
        """One output frame per target, in order; `Planes.pts` is the target's.

        `frames` are consecutive source frames of one size and format from number `first_source` on; `targets` rise in
        time. At t = 0 the source's own arrays come out. Frames before the first target's and after the last one's
        are only looked at for cuts. Of the source, the current pair, what waits for its batch and
        `CutDetector.LOOKAHEAD` frames are held. Raises InputError when the source ends before a target's left frame,
        UsageError when bisection cannot reach a target's t, DeviceError when there is no memory for one frame.
        """
        window = _Window(frames, first_source, self._detector(), self._overlays())
        waiting: list[Planes | Job] = []
        jobs = 0
        for target in targets:
            item = self._decide(window, target)
            if self._is_full(waiting, jobs, item):
                yield from self._flush(waiting, color)
                waiting, jobs = [], 0
            waiting.append(item)
            jobs += isinstance(item, Job)
            batch = self._maker.way.at_once
            # A copy after work ends its pair, so flushing there is safe for bisection too; it keeps a long still
            # passage from being held in memory until the next frame has to be made.
            idle = not isinstance(item, Job) and len(waiting) > 2 * batch
            if jobs == 0 or idle or (self.mode is Mode.DIRECT and jobs >= batch):
                yield from self._flush(waiting, color)
                waiting, jobs = [], 0
        yield from self._flush(waiting, color)

    def _detector(self) -> CutDetector | None:
        return CutDetector(self.options.scene_threshold) if self.options.scene_detect else None

    def _overlays(self) -> Overlays | None:
        return Overlays() if self.hold_still and self.options.overlay_hold else None

    def _decide(self, window: _Window, target: Target) -> Planes | Job:
        """A copy where there is nothing to make, else the job of making the target's frame."""
        window.forget_before(target.left)
        left = window.at(target.left)
        if left is None or left.planes is None:
            raise InputError(f"the video ended before frame {target.left}; it is shorter than its packets promise")
        right = window.at(target.left + 1) if target.t else None
        if right is None or self._hold(window, target.left, left, right):
            self.copied += 1
            return Planes(target.pts, left.planes.data, left.planes.format)
        if self.mode is Mode.BISECT:
            level(target.t)
        self._maker.batch_for(left.planes)
        self.made += 1
        return Job(left, right, target.t, target.pts, window.overlay(target.left))

    def _hold(self, window: _Window, number: int, left: Source, right: Source) -> bool:
        if window.is_cut(number):
            if self.cuts[-1:] != [number]:
                self.cuts.append(number)
            return True
        return self.hold_still and window.repeats(number, left, right)

    def _is_full(self, waiting: list[Planes | Job], jobs: int, item: Planes | Job) -> bool:
        """Whether to bisect what waits before `item` joins: all times of a pair stay together."""
        if self.mode is Mode.DIRECT or jobs < self._maker.way.at_once:
            return False
        last = next(w for w in reversed(waiting) if isinstance(w, Job))
        return not (isinstance(item, Job) and item.left is last.left)

    def _flush(self, waiting: list[Planes | Job], color: Color) -> Iterator[Planes]:
        jobs = [item for item in waiting if isinstance(item, Job)]
        make = self._maker.direct if self.mode is Mode.DIRECT else self._maker.bisect
        made = iter(make(jobs, color))
        for item in waiting:
            yield next(made) if isinstance(item, Job) else item


class _Window:
    """The source frames that are in use, read as far as needed."""

    def __init__(
        self, frames: Iterator[Planes], first: int, detector: CutDetector | None, overlays: Overlays | None
    ) -> None:
        self._frames, self._next, self._detector = frames, first, detector
        self._overlays = overlays
        self._first = first  # number of the detector's first frame
        self._held: dict[int, Source] = {}
        self._repeats: dict[int, bool] = {}
        self._wanted = first
        self._ended = False

    def at(self, number: int) -> Source | None:
        """Source frame `number`, not forgotten yet; None after the end."""
        while self._next <= number and not self._ended:
            self._read()
        return self._held.get(number)

    def is_cut(self, left: int) -> bool:
        """Whether a cut lies between frames `left` and `left + 1`; reads ahead until that is certain."""
        if self._detector is None:
            return False
        while (cut := self._detector.is_cut(left - self._first)) is None and not self._ended:
            self._read()
        return bool(cut)

    def repeats(self, number: int, left: Source, right: Source) -> bool:
        """Whether frame `number + 1` is frame `number` again; looked at once per pair."""
        if number not in self._repeats:
            equal = left.planes is not None and right.planes is not None and same(left.planes, right.planes)
            self._repeats = {number: equal}
        return self._repeats[number]

    def overlay(self, left: int) -> Mask | None:
        """Where something stands still before what moves, between frames `left` and `left + 1`."""
        return None if self._overlays is None else self._overlays.between(left)

    def forget_before(self, number: int) -> None:
        """Let go of the frames before `number`."""
        for old in [n for n in self._held if n < number]:
            del self._held[old]
        self._wanted = number
        if self._overlays is not None:
            self._overlays.forget_before(number)

    def _read(self) -> None:
        planes = next(self._frames, None)
        if planes is None:
            self._ended = True
            if self._detector is not None:
                self._detector.end()
            return
        if self._next >= self._wanted:
            self._held[self._next] = Source(planes)
        if self._overlays is not None:
            self._overlays.add(self._next, planes)
        self._next += 1
        if self._detector is not None:
            self._detector.add(thumbnail(planes))
