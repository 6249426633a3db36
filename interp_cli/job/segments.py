"""Segment by segment: decode, make, encode, record. No frame of a segment depends on what was made before it.

So a run that goes on where another ended makes the same bytes. Source frames around a segment are looked at for cuts
exactly as in any other run; frames that two segments need are decoded once and given to both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from interp_cli.engine.look import Look, Sight
from interp_cli.errors import FfmpegError, InputError
from interp_cli.job.key import check_unchanged
from interp_cli.job.network import choose_device
from interp_cli.job.pipeline import run_pipeline
from interp_cli.job.prepare import Prepared, gpu_of
from interp_cli.job.stop import Stop
from interp_cli.job.workdir import Done, WorkDirectory
from interp_cli.media.decode import decode, why_not_on_gpu, working_format
from interp_cli.media.encode import Encoder, count_frames
from interp_cli.media.types import MediaInfo, Planes
from interp_cli.options import Hwaccel
from interp_cli.progress import Progress
from interp_cli.timeline import Segment
from interp_cli.weights import sha256_of

if TYPE_CHECKING:
    from interp_cli.engine.interpolate import Interpolator

LONGEST_DRAWING = Fraction(1, 3)  # s; what stands longer is a hold, which no motion should be made of


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
    info = decoder_of(work)
    decoded = decode(info, work.timeline, ffmpeg=work.ffmpeg, frames=None if whole else wanted, fields=work.fields)
    needed = len(work.part) - first if work.part.followed else None
    run_pipeline(
        _looked_at(decoded, _sight(work), needed),
        lambda frames: maker.frames(frames, first),
        lambda frames: _encode(work, place, maker, frames, progress),
        stop=stop,
    )


def decoder_of(work: Prepared) -> MediaInfo:
    """What the file holds, with the GPU that decodes it: one that was asked for, or that makes the frames and can."""
    device = choose_device(work.job.engine.device)
    if work.job.hwaccel is not Hwaccel.AUTO or not device.startswith("cuda"):
        return work.info
    info = replace(work.info, gpu=gpu_of(device) or 0)
    return work.info if why_not_on_gpu(info, work.stored, ffmpeg=work.ffmpeg) else info


@contextmanager
def _looked_at(
    source: AbstractContextManager[Iterator[Planes]], sight: Sight, needed: int | None
) -> Iterator[Iterator[Planes]]:
    """The frames of `source`, looked at where they are decoded: whoever makes frames waits for no look.

    Those after `needed` frames (None: all are) only follow the part that is wanted: what cannot be read is left out.
    """
    with source as frames:
        yield map(sight.seen, _and_what_follows(frames, needed))


def _and_what_follows(frames: Iterator[Planes], needed: int | None) -> Iterator[Planes]:
    yield from islice(frames, needed)
    if needed is not None:
        with suppress(InputError):
            yield from frames


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What is to be said of a segment; known before its last frame is out."""

    copied: int
    made: int
    cuts: tuple[int, ...]
    scores: tuple[float | None, ...]
    repeated: tuple[int, ...]


class _Maker:
    """The output frames of several segments, and what is to be said of each segment."""

    def __init__(self, work: Prepared, interpolator: Interpolator, todo: list[Segment]) -> None:
        self.work, self.interpolator, self.todo = work, interpolator, todo
        self.told: dict[int, _Told] = {}
        self._longest = LONGEST_DRAWING // work.part.time_base

    def frames(self, decoded: Iterator[Planes], first: int) -> Iterator[Planes]:
        """Every output frame of the segments in order; `decoded` begins with source frame `first`."""
        sight = _sight(self.work)
        source = _Shared(decoded, first, sight)
        for segment, following in zip(self.todo, [*self.todo[1:], None], strict=True):
            seen = _seen(self.work, segment)
            shared = seen.stop if following is None else _seen(self.work, following).start
            used = shared if following is None else following.first_source - sight.used
            yield from self._segment(segment, source.part(seen, shared=shared, used=used))

    def _segment(self, segment: Segment, frames: Iterator[Planes | Look]) -> Iterator[Planes]:
        i, work = self.interpolator, self.work
        copied, made, cuts = i.copied, i.made, len(i.cuts)
        i.repeated = set()
        held: Planes | None = None
        for planes in i.run(
            frames,
            work.plan.targets(segment.targets),
            color=work.info.video.color,
            first_source=_seen(work, segment).start,
            cuts=work.cuts,
            pairs_until=_following(work, segment),
            longest=self._longest,
        ):
            if held is not None:
                yield held
            held = planes
        within = [left for left in i.cuts[cuts:] if left < len(work.part) - 1]
        self.told[segment.k] = _Told(
            copied=i.copied - copied,
            made=i.made - made,
            cuts=tuple(within),
            scores=tuple(i.scores.get(left) for left in within),
            repeated=tuple(sorted(i.repeated & set(range(len(work.part))))),
        )
        if held is not None:
            yield held


class _Shared:
    """Consecutive source frames, of which neighbouring segments need some both."""

    def __init__(self, frames: Iterator[Planes], first: int, sight: Sight) -> None:
        self._frames, self._next, self._sight = frames, first, sight
        self._held: dict[int, Planes | Look] = {}

    def part(self, numbers: range, *, shared: int, used: int) -> Iterator[Planes | Look]:
        """The frames of `numbers`. Those from `shared` on are kept for the next call, as their look before `used`."""
        self._held = {n: frame for n, frame in self._held.items() if n >= numbers.start}
        for number in numbers:
            while self._next <= number:
                planes = next(self._frames, None)
                if planes is None:
                    return
                if self._next >= numbers.start:
                    self._held[self._next] = planes
                self._next += 1
            frame = self._held[number] if number >= shared else self._held.pop(number)
            if number in self._held and number < used and isinstance(frame, Planes):
                self._held[number] = self._sight.look(frame)
            yield frame


def _sight(work: Prepared) -> Sight:
    return Sight.of(work.job.engine, given_cuts=work.cuts is not None)


def _following(work: Prepared, segment: Segment) -> int:
    """The first source frame of the next segment, or the last frame: cuts before it are noted with this one."""
    last = segment.k + 1 == len(work.plan.segments)
    return len(work.part) - 1 if last else work.plan.segments[segment.k + 1].first_source


def _seen(work: Prepared, segment: Segment) -> range:
    """The source frames, counted from the first one of the part, that decide the frames of `segment`, cuts included.

    Those around a part decide as well: it looks as it does in the whole.
    """
    sight = _sight(work)
    first = max(-work.numbers.start, segment.first_source - sight.back)
    last = max(segment.last_source, _following(work, segment))
    return range(first, min(len(work.timeline) - work.numbers.start, last + sight.ahead + 1))


def _times(work: Prepared, segment: Segment) -> list[int] | None:
    """When each frame of `segment` is shown, in the plan's ticks from its first; None at a constant rate."""
    plan = work.plan
    if plan.factor is None:
        return None
    written = [round(plan.time(n) / plan.tick) for n in segment.targets]
    return [ticks - written[0] for ticks in written]


def encoder_of(work: Prepared, out: Path, *, times: list[int] | None = None) -> Encoder:
    """What writes frames to `out`; they are shown at `times` (the plan's ticks), or at a constant rate."""
    video = work.info.video
    return Encoder(
        out,
        work.encoding,
        ffmpeg=work.ffmpeg,
        width=video.width,
        height=video.height,
        rate=work.plan.rate,
        sar=video.sar,
        color=video.color,
        format=working_format(video.pix_fmt),
        times=times,
        tick=work.plan.tick,
    )


def _encode(work: Prepared, place: WorkDirectory, maker: _Maker, frames: Iterator[Planes], progress: Progress) -> None:
    """Write every segment to a file of its own; one that is whole is recorded as done."""
    for segment in maker.todo:
        part = place.part(segment.k)
        with encoder_of(work, part, times=_times(work, segment)) as encoder:
            for _ in segment.targets:
                planes = next(frames, None)
                if planes is None:
                    raise InputError(f"{work.job.input} ended before its last frame: is the file complete?")
                encoder.write(planes)
                progress.advance()
        written = count_frames(part, ffmpeg=work.ffmpeg, kind=work.encoding.segments)
        if written != len(segment.targets):
            raise FfmpegError(f"ffmpeg wrote {written} frames of segment {segment.k} and not {len(segment.targets)}")
        check_unchanged(work)
        told = maker.told[segment.k]
        place.keep(
            Done(
                k=segment.k,
                frames=written,
                bytes=part.stat().st_size,
                sha256=sha256_of(part),
                copied=told.copied,
                made=told.made,
                cuts=told.cuts,
                scores=told.scores,
                repeated=told.repeated,
            )
        )
