"""The self-check: the finished result is read again and held against the plan before it gets its name.

`differences` and `picture_differences` are pure; `verify` and `verify_pictures` read the files and raise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Final

from interp_cli.errors import InputError, VfiError
from interp_cli.job.prepare import TICK, Prepared
from interp_cli.job.sound import SourceSound, read_sound, zero_of
from interp_cli.media.chapters import retimed_chapters
from interp_cli.media.formats import working_format
from interp_cli.media.orientation import carries_orientation, turned_size
from interp_cli.media.packets import PRIMING, Span
from interp_cli.media.picture_size import picture_size
from interp_cli.media.probe import probe, scan_with
from interp_cli.media.streams import Fate, chapters_lost
from interp_cli.media.tracks import without_padding
from interp_cli.media.types import MediaInfo, VideoStream
from interp_cli.timeline import Timeline, decimal

_SHAPED: Final = frozenset({"mp4", "mov", "matroska"})  # that hold the shape of pixels, with every codec
_ALSO_CALLED: Final = {"ssa": "ass", "mp2": "mp3"}  # MP4 does not tell MPEG audio's layers apart
_JOINING: Final = Fraction(2, 1_000_000)  # s: offsets and joins are told to ffmpeg in whole microseconds
_LEAST_SHARE: Final = Fraction(1, 100)  # by which a pixel's shape is another: Matroska keeps whole pixels of a frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a finished file holds, and what its source does."""

    info: MediaInfo
    timeline: Timeline  # of its video
    sound: Mapping[int, Span]  # by stream number
    source_sound: Mapping[int, Span]  # of the streams that were kept; from where the part begins
    chapters: int  # that it should have


def verify(work: Prepared, finished: Path, *, sound: SourceSound | None = None) -> None:
    """Raises VfiError when `finished` is not what `work` says: a difference is a bug. Costs a pass over its packets.

    `sound` is what `read_sound` says of `work`, if it is known.
    """
    try:
        found = _found(work, finished, sound or read_sound(work))
    except InputError as error:
        raise _rejected(work, [f"it cannot be read again: {error}"], finished) from error
    if wrong := list(differences(work, found)):
        raise _rejected(work, wrong, finished)


def verify_pictures(work: Prepared, finished: Sequence[Path]) -> None:
    """The same for a row of pictures: their number and sizes."""
    sizes = []
    for path in finished:
        with path.open("rb") as file:
            sizes.append((path.name, picture_size(file)))
    if wrong := list(picture_differences(work, sizes)):
        raise _rejected(work, wrong, finished[0].parent if finished else work.output)


def _rejected(work: Prepared, wrong: Sequence[str], place: Path) -> VfiError:
    more = f"; and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    where = "was removed" if work.job.temporary else f"lies in {place}"
    return VfiError(
        f"the result for {work.job.input} is not as planned ({wrong[0]}{more}), so it did not get its name and {where}:"
        " please report this bug with the output of vfi upsample -v and vfi doctor, or add --no-verify to take the"
        " result as it is"
    )


def _found(work: Prepared, finished: Path, sound: SourceSound) -> Found:
    info = probe(str(finished), ffmpeg=work.ffmpeg)
    heard = [stream.index for stream in info.others if stream.kind == "audio"]
    timeline, spans = scan_with(info, heard, ffmpeg=work.ffmpeg)
    chapters = 0
    if work.info.chapters and chapters_lost(work.info, work.container) is None:
        zero, end = zero_of(work), None if work.trim is None else (work.trim[1] - work.trim[0]) * work.job.slow
        text = retimed_chapters(work.info, ffmpeg=work.ffmpeg, zero=zero, slow=work.job.slow, end=end)
        chapters = text.splitlines().count("[CHAPTER]")
    return Found(
        info=info,
        timeline=timeline,
        sound=spans,
        source_sound=sound.used,
        chapters=chapters,
    )


def differences(work: Prepared, found: Found) -> Iterator[str]:
    """What is not as planned, as the ends of sentences that begin with "it"; nothing if all is."""
    yield from _of_times(work, found.timeline)
    yield from _of_the_picture(work, found.info.video)
    if work.rendering is None:
        streams = list(_of_streams(work, found.info))
        yield from streams
        if not streams:
            yield from _of_sound(work, found)
        if found.info.chapters != found.chapters:
            yield f"it has {found.info.chapters} chapters and not {found.chapters}"


def picture_differences(work: Prepared, sizes: Sequence[tuple[str, tuple[int, int] | None]]) -> Iterator[str]:
    """The same for pictures: (name, (width, height)) of each."""
    if len(sizes) != work.plan.frames:
        yield f"there are {len(sizes)} pictures and not {work.plan.frames}"
    width, height = _size(work)
    for name, size in sizes:
        if size != (width, height):
            yield f"{name} is not {width} x {height}"


def _kept(work: Prepared) -> list[Fate]:
    return [fate for fate in work.fates if fate.action != "drop"]


def _of_times(work: Prepared, timeline: Timeline) -> Iterator[str]:
    plan = work.plan
    rounding = max(TICK.get(work.container, Fraction(0)), timeline.time_base) + _JOINING
    if len(timeline) != plan.frames:
        yield f"it has {len(timeline)} frames and not {plan.frames}"
        return
    base, first = timeline.time_base, timeline.pts[0]
    for n, pts in enumerate(timeline.pts):
        shown, planned = (pts - first) * base, plan.time(n)
        if abs(shown - planned) > rounding:
            yield f"its frame {n} comes after {decimal(shown, 4)} s and not {decimal(planned, 4)} s"
            break
    # Some muxers move all streams together: Matroska, which cannot begin before 0 as primed AAC does, by its
    # priming; MPEG-TS and NUT, whose decoding times cannot be negative, by the frames that B-frames are put off.
    start, most = (work.part.start - zero_of(work)) * work.job.slow, max(PRIMING, 4 * plan.steps[1])
    if not -rounding <= timeline.start - start <= most:
        yield f"it begins at {decimal(timeline.start, 4)} s and not {decimal(start, 4)} s"
    if abs(timeline.duration - plan.duration) > plan.steps[1]:
        yield f"it lasts {decimal(timeline.duration, 4)} s and not {decimal(plan.duration, 4)} s"


def _size(work: Prepared) -> tuple[int, int]:
    """(width, height) of the result, px: filled up where the codec takes no odd sizes, and turned if frames are."""
    right, bottom = work.encoding.padding
    video = replace(work.info.video, width=work.info.video.width + right, height=work.info.video.height + bottom)
    return turned_size(video) if work.rendering is not None or work.encoding.turning else (video.width, video.height)


def _of_the_picture(work: Prepared, video: VideoStream) -> Iterator[str]:
    source = work.info.video
    width, height = _size(work)
    if (video.width, video.height) != (width, height):
        yield f"its frames are {video.width} x {video.height} and not {width} x {height}"
    if work.rendering is not None:
        return
    if video.codec != work.encoding.codec:
        yield f"its video is {video.codec} and not {work.encoding.codec}"
    told = carries_orientation(source, work.container, work.ffmpeg)
    if told and (video.rotation, video.mirrored) != (source.rotation, source.mirrored):
        yield f"it is shown {video.turned or 'as it is stored'} and not {source.turned or 'as it is stored'}"
    sar = 1 / source.sar if work.encoding.turning and source.rotation in (90, 270) else source.sar
    if abs(video.sar / sar - 1) > _LEAST_SHARE and work.container in _SHAPED:
        yield f"its pixels are {video.sar} and not {sar}"
    family = working_format(source.pix_fmt).family
    if working_format(video.pix_fmt).family is family:
        for name in ("range", "matrix", "primaries", "transfer"):
            was, now = getattr(source.color, name), getattr(video.color, name)
            if was and now and was != now:
                yield f"its colour {name} is {now} and not {was}"


def _of_streams(work: Prepared, info: MediaInfo) -> Iterator[str]:
    """The kept streams in their order; covers and attachments, which Matroska puts last, by their number."""
    covers = {stream.index for stream in work.info.others if stream.attached_picture}
    kept = _kept(work)
    planned = [fate for fate in kept if fate.kind in ("audio", "subtitle", "video") and fate.index not in covers]
    there = [s for s in info.others if s.kind in ("audio", "subtitle", "video") and not s.attached_picture]
    for n, fate in enumerate(planned):
        codec = fate.to_codec or fate.codec
        what = f"{fate.kind} stream {fate.index} of the source"
        if n >= len(there):
            yield f"it lacks {what} ({codec})"
        elif there[n].kind != fate.kind or _name(there[n].codec) != _name(codec):
            yield f"it has {there[n].kind} ({there[n].codec}) in the place of {what} ({codec})"
    if len(there) > len(planned):
        yield f"it has {len(there) - len(planned)} streams more than planned"
    aside = sum(fate.kind == "attachment" or fate.index in covers for fate in kept)
    held = sum(stream.kind == "attachment" or stream.attached_picture for stream in info.others)
    if held != aside:
        yield f"it has {held} attachments and covers and not {aside}"


def _name(codec: str) -> str:
    return _ALSO_CALLED.get(codec, codec)


def _of_sound(work: Prepared, found: Found) -> Iterator[str]:
    """When each stream of sound begins and ends, from the first frame on; both files' streams are in one order."""
    fates = [fate for fate in _kept(work) if fate.kind == "audio"]
    streams = [stream.index for stream in found.info.others if stream.kind == "audio"]
    for fate, index in zip(fates, streams, strict=True):
        source, now = found.source_sound.get(fate.index), found.sound.get(index)
        if source is None:
            continue  # it has no packet in this part, or none at all
        begin, end, early, late = _planned_sound(work, fate, source, now)
        if end <= begin:
            continue
        what = f"audio stream {fate.index} of the source"
        if now is None:
            yield f"{what} has no sound in it"
            continue
        starts, ends = now.start - found.timeline.start, now.end - found.timeline.start
        if abs(starts - begin) > early + now.tick + found.timeline.time_base:
            yield f"{what} begins {_lag(starts)} the first frame and not {_lag(begin)} it"
        elif abs(ends - end) > late + now.tick + found.timeline.time_base:
            yield f"{what} ends {_lag(ends)} the first frame and not {_lag(end)} it"


def _planned_sound(
    work: Prepared, fate: Fate, source: Span, now: Span | None
) -> tuple[Fraction, Fraction, Fraction, Fraction]:
    """(begin, end, tolerance of either) of a stream of sound, s from the first frame.

    A copy is exact to the ticks of both files, and to a packet where a part is cut out. An encoder begins up to a
    packet earlier (it is primed) and fills its last packet, and what is stretched or cut begins with the new clock.
    """
    slow, trim, video = work.job.slow, work.trim, work.part.start
    anew = fate.action == "convert"
    packet = max(source.longest, now.longest if now and anew else Fraction(0))
    begun_anew = trim is not None or work.container == "avi"
    begin = zero_of(work) if anew and (begun_anew or slow != 1) else source.start
    end = without_padding(source.end, video + work.plan.duration / slow) if anew and slow != 1 else source.end
    end = end if trim is None else min(end, trim[1])
    ticks = source.tick + work.info.video.time_base + TICK.get(work.container, Fraction(0)) + _JOINING
    exact = not anew and not begun_anew
    return (begin - video) * slow, (end - video) * slow, ticks + (0 if exact else packet), slow * ticks + 2 * packet


def _lag(time: Fraction) -> str:
    return f"{decimal(abs(time), 4)} s {'before' if time < 0 else 'after'}"
