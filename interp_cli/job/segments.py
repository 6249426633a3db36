"""Segment by segment: decode, make, encode, record. No frame of a segment depends on what was made before it.

So a run that goes on where another ended makes the same bytes. Source frames around a segment are looked at for cuts
exactly as in any other run; frames that two segments need are decoded once and given to both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from interp_cli.engine.scenes import CutDetector
from interp_cli.errors import FfmpegError, InputError
from interp_cli.job.key import check_unchanged
from interp_cli.job.pipeline import run_pipeline
from interp_cli.job.prepare import Prepared
from interp_cli.job.stop import Stop
from interp_cli.job.workdir import Done, WorkDirectory
from interp_cli.media.decode import decode, working_format
from interp_cli.media.encode import Encoder, count_frames
from interp_cli.media.types import Planes
from interp_cli.progress import Progress
from interp_cli.timeline import Segment
from interp_cli.weights import sha256_of

if TYPE_CHECKING:
    from interp_cli.engine.interpolate import Interpolator


def make_segments(
    work: Prepared, place: WorkDirectory, interpolator: Interpolator, *, progress: Progress, stop: Stop
) -> None:
    """Make every segment of the plan that is not done yet."""
    todo = [segment for segment in work.plan.segments if segment.k not in place.done]
    if not todo:
        return
    first, last = _seen(work, todo[0]).start, _seen(work, todo[-1]).stop
    wanted = range(work.numbers.start + first, work.numbers.start + last)
    whole = len(wanted) == len(work.timeline)
    maker = _Maker(work, interpolator, todo)
    run_pipeline(
        decode(work.info, work.timeline, ffmpeg=work.ffmpeg, frames=None if whole else wanted),
        lambda frames: maker.frames(frames, first),
        lambda frames: _encode(work, place, maker, frames, progress),
        stop=stop,
    )


class _Maker:
    """The output frames of several segments, and what is to be said of each segment."""

    def __init__(self, work: Prepared, interpolator: Interpolator, todo: list[Segment]) -> None:
        self.work, self.interpolator, self.todo = work, interpolator, todo
        self.told: dict[int, tuple[int, int, tuple[int, ...]]] = {}  # copied, made, cuts; before the last frame is out

    def frames(self, decoded: Iterator[Planes], first: int) -> Iterator[Planes]:
        """Every output frame of the segments in order; `decoded` begins with source frame `first`."""
        source = _Shared(decoded, first)
        starts = [_seen(self.work, segment).start for segment in self.todo[1:]]
        for segment, following in zip(self.todo, [*starts, len(self.work.part)], strict=True):
            yield from self._segment(segment, source.part(_seen(self.work, segment), following))

    def _segment(self, segment: Segment, frames: Iterator[Planes]) -> Iterator[Planes]:
        i = self.interpolator
        copied, made, cuts = i.copied, i.made, len(i.cuts)
        targets = self.work.plan.targets(segment.targets)
        seen = _seen(self.work, segment).start
        held: Planes | None = None
        for planes in i.run(frames, targets, color=self.work.info.video.color, first_source=seen):
            if held is not None:
                yield held
            held = planes
        self.told[segment.k] = (i.copied - copied, i.made - made, tuple(i.cuts[cuts:]))
        if held is not None:
            yield held


class _Shared:
    """Consecutive source frames, of which neighbouring segments need some both."""

    def __init__(self, frames: Iterator[Planes], first: int) -> None:
        self._frames, self._next = frames, first
        self._held: dict[int, Planes] = {}

    def part(self, numbers: range, following: int) -> Iterator[Planes]:
        """The frames of `numbers`; those from `following` on are kept for the next call."""
        self._held = {n: planes for n, planes in self._held.items() if n >= numbers.start}
        for number in numbers:
            while self._next <= number:
                planes = next(self._frames, None)
                if planes is None:
                    return
                if self._next >= numbers.start:
                    self._held[self._next] = planes
                self._next += 1
            yield self._held[number] if number >= following else self._held.pop(number)


def _seen(work: Prepared, segment: Segment) -> range:
    """The source frames, counted from the first one used, that decide the frames of `segment`, cuts included."""
    first = max(0, segment.first_source - CutDetector.LOOKBACK)
    return range(first, min(len(work.part), segment.last_source + CutDetector.LOOKAHEAD + 1))


def _times(work: Prepared, segment: Segment) -> list[int] | None:
    """When each frame of `segment` is shown, in the plan's ticks from its first; None at a constant rate."""
    plan = work.plan
    if plan.factor is None:
        return None
    written = [round(plan.time(n) / plan.tick) for n in segment.targets]
    return [ticks - written[0] for ticks in written]


def _encode(work: Prepared, place: WorkDirectory, maker: _Maker, frames: Iterator[Planes], progress: Progress) -> None:
    """Write every segment to a file of its own; one that is whole is recorded as done."""
    video = work.info.video
    for segment in maker.todo:
        part = place.part(segment.k)
        with Encoder(
            part,
            work.encoding,
            ffmpeg=work.ffmpeg,
            width=video.width,
            height=video.height,
            rate=work.plan.rate,
            sar=video.sar,
            color=video.color,
            format=working_format(video.pix_fmt),
            times=_times(work, segment),
            tick=work.plan.tick,
        ) as encoder:
            for _ in segment.targets:
                planes = next(frames, None)
                if planes is None:
                    raise InputError(f"{work.job.input} ended before its last frame: is the file complete?")
                encoder.write(planes)
                progress.advance()
        written = count_frames(part, ffmpeg=work.ffmpeg)
        if written != len(segment.targets):
            raise FfmpegError(f"ffmpeg wrote {written} frames of segment {segment.k} and not {len(segment.targets)}")
        check_unchanged(work)
        copied, made, cuts = maker.told[segment.k]
        size, digest = part.stat().st_size, sha256_of(part)
        place.keep(Done(k=segment.k, frames=written, bytes=size, sha256=digest, copied=copied, made=made, cuts=cuts))
