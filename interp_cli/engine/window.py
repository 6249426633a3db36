"""The source frames that are in use, and what is decided by looking at those around them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from fractions import Fraction

from interp_cli.engine.look import Look, Sight
from interp_cli.engine.overlay import Overlay, Overlays
from interp_cli.engine.repeats import RepeatDetector
from interp_cli.engine.scenes import CutDetector
from interp_cli.engine.source import Neighbour, Source
from interp_cli.engine.still import same
from interp_cli.media.types import Planes
from interp_cli.timeline import Target

_KEPT = 64  # times


class Window:
    """The source frames that are in use, read as far as needed.

    `given_cuts` are the left frames of all cuts, where they are known; else they are looked for if `sight` says so. A
    drawing that stands for more than `longest` ticks is a hold.
    """

    def __init__(
        self,
        frames: Iterator[Planes | Look],
        first: int,
        *,
        sight: Sight,
        threshold: float,
        given_cuts: Collection[int] | None = None,
        longest: int | None = None,
    ) -> None:
        self._frames, self._next, self._sight = frames, first, sight
        self._first = first  # number of the detectors' first frame
        self._cuts = CutDetector(threshold) if sight.cuts else None
        self._drawings = RepeatDetector() if sight.repeats else None
        self._overlays = Overlays() if sight.overlays else None
        self._given_cuts, self._longest = given_cuts, longest
        self._held: dict[int, Source] = {}
        self._pts: dict[int, int] = {}
        self._same: dict[tuple[int, int], bool] = {}
        self._drawing = self._previous = range(0)  # that were asked for last
        self._beside: tuple[int, tuple[Neighbour | None, Neighbour | None]] = (-1, (None, None))
        self._wanted: int | None = None
        self._next_pair = 0
        self._ended = False

    def at(self, number: int) -> Source | None:
        """Source frame `number`, not forgotten yet; None after the end."""
        while self._next <= number and not self._ended:
            self._read()
        return self._held.get(number)

    def is_cut(self, left: int) -> bool:
        """Whether a cut lies between frames `left` and `left + 1`; reads ahead until that is certain."""
        if self._given_cuts is not None:
            return left in self._given_cuts
        if self._cuts is None:
            return False
        while (cut := self._cuts.is_cut(left - self._first)) is None and not self._ended:
            self._read()
        return bool(cut)

    def new_pairs(self, until: int) -> range:
        """The pairs before number `until` that this did not give yet, from the first frame on that was wanted."""
        pairs = range(self._next_pair, max(self._next_pair, until))
        self._next_pair = pairs.stop
        return pairs

    def cut_score(self, left: int) -> float | None:
        """How unlike the frames on either side of a cut are; None where nobody looked."""
        return None if self._cuts is None else self._cuts.cut_score(left - self._first)

    def equal(self, first: int, second: int) -> bool:
        """Whether two frames that are held are the same, bit for bit; looked at once."""
        if (first, second) not in self._same:
            left, right = self._held[first].planes, self._held[second].planes
            self._same[first, second] = left is not None and right is not None and same(left, right)
        return self._same[first, second]

    def drawing(self, number: int) -> range:
        """The frames of the drawing that frame `number` shows, or that frame alone; reads ahead until that is certain.

        The frame after the last one is the next drawing. Repeated frames within are let go of.
        """
        if number in self._drawing:
            return self._drawing
        self._previous = self._drawing
        self._drawing = self._look_for_drawing(number)
        for repeat in self._drawing[1:]:
            self._held.pop(repeat, None)
        return self._drawing

    def overlay(self, drawing: range) -> Overlay | None:
        """Where something stands still before what moves, between `drawing` and the next one, which was read."""
        return None if self._overlays is None else self._overlays.between(drawing.stop - 1)

    def beside(self, drawing: range) -> tuple[Neighbour | None, Neighbour | None]:
        """The pairs before and after that of `drawing` and the next one, which was read; None where no motion goes on.

        Reads ahead until it is certain how long the next drawing stands.
        """
        if drawing.start != self._beside[0]:
            before = self._before(drawing)
            after = self._look_for_drawing(drawing.stop) if self.at(drawing.stop + 1) else range(0)
            span = self._pts[drawing.stop] - self._pts[drawing.start]
            self._beside = drawing.start, (self._neighbour(before, span), self._neighbour(after, span))
        return self._beside[1]

    def _before(self, drawing: range) -> range:
        """The drawing before it, as far as is known."""
        known = self._previous.stop == drawing.start
        return range(self._previous.start if known else drawing.start - 1, drawing.start)

    def _neighbour(self, drawing: range, span: int) -> Neighbour | None:
        """`drawing` and the next one, beside a pair of `span` ticks; None across a cut, or if they are equal."""
        left, right = self.at(drawing.start), self.at(drawing.stop)
        if left is None or right is None:
            return None
        begin, end = self._pts[drawing.start], self._pts[drawing.stop]
        if end <= begin or span <= 0 or self.is_cut(drawing.stop - 1) or self.equal(drawing.start, drawing.stop):
            return None
        return Neighbour(left, right, (end - begin) / span)

    def within(self, drawing: range, target: Target) -> Fraction:
        """The time of `target`, whose left frame is one of `drawing`, between that and the next drawing, in [0, 1)."""
        if len(drawing) == 1:
            return target.t
        now = self._pts[target.left] + target.t * (self._pts[target.left + 1] - self._pts[target.left])
        begin, end = self._pts[drawing.start], self._pts[drawing.stop]
        return Fraction(now - begin) / (end - begin)

    def want(self, number: int) -> None:
        """Frame `number` is the next that is asked for: let go of those before it and before its drawing."""
        if self._wanted is None:
            self._next_pair = number
        self._wanted = number
        self._forget_before(number - self._sight.used)
        self._forget_before(self._before(self.drawing(number)).start)

    def _forget_before(self, number: int) -> None:
        if self._overlays is not None:
            self._overlays.forget_before(number)
        self._held = {n: source for n, source in self._held.items() if n >= number}
        self._same = {pair: equal for pair, equal in self._same.items() if pair[0] >= number}

    def _look_for_drawing(self, number: int) -> range:
        alone = range(number, number + 1)
        if self._drawings is None:
            return alone
        while (found := self._drawings.drawing(number - self._first)) is None:
            self._read()
        drawing = range(found.start + self._first, found.stop + self._first)
        if len(drawing) == 1 or self.is_cut(drawing.start - 1) or self.is_cut(drawing.stop - 1):
            return alone
        while self._next <= drawing.stop and not self._ended:
            self._read()
        times = [self._pts[n] for n in range(drawing.start, drawing.stop + 1)]
        if sorted(set(times)) != times or (self._longest is not None and times[-1] - times[0] > self._longest):
            return alone
        return drawing

    def _read(self) -> None:
        frame = next(self._frames, None)
        if frame is None:
            self._ended = True
            for detector in (self._cuts, self._drawings):
                if detector is not None:
                    detector.end()
            return
        if isinstance(frame, Planes) and self._next >= (self._wanted or 0) - self._sight.used:
            self._held[self._next] = Source(frame)
        self._pts[self._next] = frame.pts
        self._pts.pop(self._next - _KEPT, None)
        self._next += 1
        seen = self._sight.look(frame) if isinstance(frame, Planes) else frame
        if self._cuts is not None and seen.thumbnail is not None:
            self._cuts.add(seen.thumbnail)
        if self._drawings is not None and seen.cells is not None:
            self._drawings.add(seen.cells)
        if self._overlays is not None and seen.luma is not None:
            self._overlays.add(self._next - 1, seen.luma)
