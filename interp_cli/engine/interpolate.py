"""Source frames and targets in, output frames out: one per target, in order, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator

import torch

from interp_cli.engine.levels import check_mode, choose_mode, level, nearest
from interp_cli.engine.look import Look, Sight
from interp_cli.engine.making import Maker
from interp_cli.engine.schedule import Begun, Schedule
from interp_cli.engine.source import Pair
from interp_cli.engine.way import Way, network_dtype
from interp_cli.engine.window import Window
from interp_cli.errors import InputError, UsageError
from interp_cli.media.types import Color, Planes
from interp_cli.model.seam import Network
from interp_cli.options import EngineOptions, Mode
from interp_cli.timeline import Target

__all__ = ["Interpolator", "check_mode", "network_dtype"]


class Interpolator:
    """Makes the frames of targets from source frames. Works on arrays alone: no files, no ffmpeg.

    `cuts` are the source frames after which the picture cuts, and `scores` those that were looked for, with their
    score; `repeated` are those that show the drawing of the frame before. `copied` and `made` count output frames.
    `workers` threads make frames side by side (see `Schedule`). Where memory runs out, the same frames are made with
    less of it, and `on_less_memory` is told in a sentence, once for each way out: smaller batches, tiles, a smaller
    scale, the CPU. `network` is then moved. `hold_still=False` makes every pixel of every frame that stands between two
    source frames, for measurements.
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
        self._bends = self.mode is Mode.DIRECT and network.limits.halfway
        self.cuts: list[int] = []
        self.scores: dict[int, float] = {}
        self.repeated: set[int] = set()
        self.copied = self.made = 0
        way = Way(device=torch.device(device), dtype=dtype, scale=options.scale, workers=workers, batch=options.batch)
        maker = Maker(network=network, way=way, tta=options.tta, still=hold_still)
        self._schedule = Schedule(maker, halves=self.mode is Mode.BISECT, on_less_memory=on_less_memory)

    def run(
        self,
        frames: Iterator[Planes | Look],
        targets: Iterable[Target],
        *,
        color: Color,
        first_source: int = 0,
        cuts: Collection[int] | None = None,
        pairs_until: int = 0,
        longest: int | None = None,
    ) -> Iterator[Planes]:
        """One output frame per target, in order; `Planes.pts` is the target's.

        `frames` are consecutive source frames of one size and format from number `first_source` on; `targets` rise in
        time. At t = 0 the source's own arrays come out, except of a frame that repeats the one before it (see
        engine/repeats.py). Frames before the first target's and after the last one's are only looked at, by `Sight`,
        and those further before than `Sight.used` may be given as their `Look`. Of the source, the current drawing and
        the next, what waits for its batch and `Sight.ahead` frames are held. `cuts`, if given, are the source frames
        after which the picture cuts, in place of looking for them. Pairs before number `pairs_until` are looked at for
        cuts even if no target needs them. A drawing that stands for more than `longest` (ticks of the frames' pts) is a
        hold. Raises InputError when the source ends before a target's left frame, UsageError when bisection cannot
        reach a target's t, DeviceError when there is no memory for one frame.
        """
        sight = Sight.of(self.options, given_cuts=cuts is not None, hold_still=self.hold_still)
        threshold = self.options.scene_threshold
        window = Window(frames, first_source, sight=sight, threshold=threshold, given_cuts=cuts, longest=longest)
        yield from self._ahead(self._batches(window, targets, pairs_until), color)

    def _ahead(self, batches: Iterator[list[Planes | Pair]], color: Color) -> Iterator[Planes]:
        """The frames of all batches; the next ones are decided on while the workers make some."""
        waiting: deque[tuple[list[Planes | Pair], Begun | None]] = deque()
        try:
            for batch in batches:
                jobs = [item for item in batch if isinstance(item, Pair)]
                waiting.append((batch, self._schedule.begin(jobs, color) if jobs else None))
                while self._enough(waiting):
                    yield from self._finished(*waiting.popleft())
            for batch, begun in waiting:
                yield from self._finished(batch, begun)
        finally:
            self._schedule.drop()

    def _enough(self, waiting: Collection[tuple[list[Planes | Pair], Begun | None]]) -> bool:
        """Whether the first batch that waits is to be finished before another one is decided on."""
        begun = [work is not None for _, work in waiting]
        workers = self._schedule.way.workers
        return bool(begun) and (not begun[0] or sum(begun) > workers or len(begun) > 2 * workers + 1)

    def _finished(self, batch: list[Planes | Pair], begun: Begun | None) -> Iterator[Planes]:
        made = iter(() if begun is None else self._schedule.finish(begun))
        for item in batch:
            yield next(made) if isinstance(item, Pair) else item

    def _batches(self, window: Window, targets: Iterable[Target], pairs_until: int) -> Iterator[list[Planes | Pair]]:
        """What is to be shown, in runs that are made together."""
        waiting: list[Planes | Pair] = []
        jobs = 0
        for target in targets:
            item = self._decide(window, target)
            if self._is_full(waiting, jobs, item):
                yield waiting
                waiting, jobs = [], 0
            waiting.append(item)
            jobs += isinstance(item, Pair)
            batch = self._schedule.way.batch or 1
            # A copy after work ends its pair, so flushing there is safe for bisection too; it keeps a long still
            # passage from being held in memory until the next frame has to be made.
            idle = not isinstance(item, Pair) and len(waiting) > 2 * batch
            if jobs == 0 or idle or (self.mode is Mode.DIRECT and jobs >= batch):
                yield waiting
                waiting, jobs = [], 0
        self._note_cuts(window, pairs_until)
        yield waiting

    def _decide(self, window: Window, target: Target) -> Planes | Pair:
        """A copy where there is nothing to make, else the job of making the target's frame."""
        window.want(target.left)
        self._note_cuts(window, target.left + bool(target.t))
        drawing = window.drawing(target.left)
        self.repeated.update(drawing[1:])
        left = window.at(drawing.start)
        if left is None or left.planes is None:
            raise InputError(f"the video ended before frame {target.left}; it is shorter than its packets promise")
        t = window.within(drawing, target)
        right = window.at(drawing.stop) if t else None
        if right is None or (len(drawing) == 1 and self._hold(window, target.left)):
            self.copied += 1
            return Planes(target.pts, left.planes.data, left.planes.format)
        if self.mode is Mode.BISECT:
            level(target.t)
            t = nearest(t)
        self._schedule.batch_for(left.planes)
        self.made += 1
        sides = window.beside(drawing) if self._bends else (None, None)
        return Pair(left, right, t, (target.pts,), window.overlay(drawing), *sides)

    def _hold(self, window: Window, number: int) -> bool:
        return window.is_cut(number) or (self.hold_still and window.equal(number, number + 1))

    def _note_cuts(self, window: Window, until: int) -> None:
        """Remember the cuts among the pairs before number `until` that were not asked for yet."""
        for left in window.new_pairs(until):
            if window.is_cut(left):
                self.cuts.append(left)
                if (score := window.cut_score(left)) is not None:
                    self.scores[left] = score

    def _is_full(self, waiting: list[Planes | Pair], jobs: int, item: Planes | Pair) -> bool:
        """Whether to bisect what waits before `item` joins: all times of a pair stay together."""
        if self.mode is Mode.DIRECT or jobs < (self._schedule.way.batch or 1):
            return False
        last = next(w for w in reversed(waiting) if isinstance(w, Pair))
        return not (isinstance(item, Pair) and item.left is last.left)
