"""Segments and the original, joined into the final file: sound, subtitles, chapters, attachments and tags kept.

All times are brought to one clock here: the source's own (-copyts) minus `zero`, which is its earliest time stamp, or
the start of the trimmed part. ffmpeg does not shift them itself: how it does depends on its version and on the maps.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from interp_cli.media.beside import Cover, covers_of, is_converted_first, write_covers, write_subtitles
from interp_cli.media.chapters import retimed_chapters
from interp_cli.media.conversion import color_options
from interp_cli.media.ffmpeg import Ffmpeg, Input, Output, Value, file_url, run, source
from interp_cli.media.formats import working_format
from interp_cli.media.orientation import carries_orientation, counter_clockwise, orientation_options
from interp_cli.media.packets import Span, spans
from interp_cli.media.probe import probe
from interp_cli.media.streams import Fate, container_for, stream_fates
from interp_cli.media.tracks import (
    has_edit_lists,
    hidden_sound,
    needs_experimental,
    slowed_subtitle,
    stream_options,
    stream_tags,
    stretched_ends,
)
from interp_cli.media.types import Color, Family, MediaInfo, VideoStream
from interp_cli.timeline import Plan

__all__ = ["Fate", "clock_zero", "container_for", "mux", "stream_fates"]

_STALE = ("BPS", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "DURATION", "timecode", "encoder", "vendor_id")
UNLABELLED = {"ffv1", "vp9"}  # that have no place for all labels, nor has NUT
_LEAST_TIMESCALE = 90_000  # ticks/s of an MP4 video track
_APPLE = "com."  # tags such as com.apple.quicktime.location.ISO6709, which need MP4's other kind of tags


def mux(
    segments: Sequence[tuple[Path, int]],
    info: MediaInfo,
    out: Path,
    *,
    ffmpeg: Ffmpeg,
    container: str,
    fates: Sequence[Fate],
    rate: Fraction,
    video_start: Fraction,
    slow: Fraction = Fraction(1),
    trim: tuple[Fraction, Fraction] | None = None,
    rhythm: Plan | None = None,
    color: Color | None = None,
    coded: VideoStream | None = None,
    sound: Mapping[int, Span] | None = None,
) -> None:
    """Join `segments` ((NUT file, frames), all in one directory) and the kept streams of `info` into `out`.

    `rate` is the output's, frames/s. `video_start` is the source time of the first frame, s, on the source's own clock
    (`timeline.start`, of the sub-timeline if trimmed). `trim` is (start, end) on the same clock, s (`sub.start`,
    `sub.end`); sound and subtitles are cut to it, in whole packets. `slow` is the factor by which time is stretched.
    `rhythm` says when each frame is shown if that is not at `rate`. `color` is what the frames are labelled with, if
    not as the source's are. `coded` is the segments' stream and `sound` the spans of the source's sound, where they are
    known: else they are read.
    Overwrites `out`, which should be a temporary name. Raises FfmpegError.
    """
    folder = segments[0][0].resolve().parent
    zero = clock_zero(info, container=container, video_start=video_start, trim=trim)
    kept = tuple(fate for fate in fates if fate.action != "drop")
    heard = [fate.index for fate in kept if fate.kind == "audio"] if slow != 1 or has_edit_lists(info) else []
    sound = spans(info, heard, ffmpeg=ffmpeg) if sound is None else sound
    frames = sum(count for _, count in segments)
    rhythm = rhythm if rhythm is not None and rhythm.factor else None
    time = _regular(rate) if rhythm is None else rhythm.time
    shown, stop = video_start + time(frames) / slow, trim[1] if trim else None
    covers = covers_of(info, kept, container)
    plan = _Plan(
        info=info,
        container=container,
        kept=tuple(fate for fate in kept if fate.index not in {cover.index for cover in covers}),
        covers=covers,
        frames=frames,
        rate=rate,
        rhythm=rhythm,
        time=time,
        color=color or info.video.color,
        slow=slow,
        zero=zero,
        span=None if trim is None else trim[1] - trim[0],
        ends=stretched_ends(kept, sound, zero=zero, slow=slow, stop=stop, shown=shown),
        old=ffmpeg.version < (6, 0),
        hidden=hidden_sound(info, kept, sound, zero=zero),
        tells_orientation=bool(info.video.turned) and carries_orientation(info.video, container, ffmpeg),
        coded=coded or probe(str(segments[0][0].resolve()), ffmpeg=ffmpeg).video,
    )
    listing, chapters = folder / "segments.ffconcat", folder / "chapters.ffmetadata"
    beside = [listing, chapters]
    try:
        listing.write_text(concat_list(segments, rate, plan.time), encoding="utf-8")
        inputs = [plan.joined(listing, video_start), *([] if info.pictures else [plan.original()])]
        if info.chapters:
            text = retimed_chapters(info, ffmpeg=ffmpeg, zero=plan.zero, slow=slow, end=plan.length)
            chapters.write_text(text, encoding="utf-8")
            inputs.append(Input(file_url(chapters.name), {"f": "ffmetadata"}))
        if first := plan.converted_first:
            cut = trim is not None
            beside.append(write_subtitles(info, first, folder, container=container, zero=zero, cut=cut, ffmpeg=ffmpeg))
            inputs.append(Input(file_url(beside[-1].name), plan.scale))
        beside += write_covers(info, covers, folder, ffmpeg=ffmpeg)
        output = Output(file_url(out.resolve()), tuple(plan.maps()), plan.options())
        run(ffmpeg, inputs, [output], doing=f"write {out.name}", cwd=folder, grows=out.resolve())
    finally:
        for path in beside:
            path.unlink(missing_ok=True)


def clock_zero(
    info: MediaInfo, *, container: str, video_start: Fraction, trim: tuple[Fraction, Fraction] | None
) -> Fraction:
    """The time on the source's clock, s, that is 0 in the new file: its earliest, or where the part begins.

    In AVI everything begins at 0, so that is where the video does.
    """
    if container == "avi":
        return video_start
    return trim[0] if trim else min(video_start, max(info.start, Fraction(0)))  # sound may start just below 0


def concat_list(
    segments: Sequence[tuple[Path, int]], rate: Fraction, time: Callable[[int], Fraction] | None = None
) -> str:
    """The concat demuxer's list. Without the durations, a frame's time would be missing at every join.

    They are read as whole microseconds, so each is cut where the exact time of its end is: errors do not add up. The
    names are relative (ffmpeg runs in the segments' directory), so that no character of a path needs quoting. `time`
    says when a frame is shown, s, if that is not at `rate`.
    """
    time = time or _regular(rate)
    lines, done = ["ffconcat version 1.0"], 0
    for path, frames in segments:
        begin, done = round(time(done) * 1_000_000), done + frames
        length = round(time(done) * 1_000_000) - begin
        lines += [f"file 'file:{path.name}'", f"duration {length}us"]
    return "\n".join(lines) + "\n"


def _regular(rate: Fraction) -> Callable[[int], Fraction]:
    return lambda n: n / rate


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What goes where. Output stream 0 is the new video; the kept streams follow in their old order."""

    info: MediaInfo
    container: str
    kept: tuple[Fate, ...]  # but for covers
    covers: tuple[Cover, ...]  # that are attached
    frames: int
    rate: Fraction  # frames/s
    rhythm: Plan | None  # when frames are shown if that is not at `rate`
    time: Callable[[int], Fraction]  # when output frame n is shown, s after the first; n = frames is the end
    color: Color  # what the frames are labelled with
    slow: Fraction
    zero: Fraction  # s, the source time that becomes 0
    span: Fraction | None  # s of source, if trimmed
    old: bool  # an ffmpeg before 6
    tells_orientation: bool  # players are to turn the picture
    coded: VideoStream  # the segments' stream
    hidden: frozenset[int]  # streams of sound of which an edit list cuts off the beginning
    ends: Mapping[int, Fraction]  # s of the output, by stream number: where stretched sound ends

    @property
    def length(self) -> Fraction | None:
        """Of the trimmed output, s; never so short that it cuts off a frame of video."""
        if self.span is None:
            return None
        return max(self.span * self.slow, self.time(self.frames - 1) + Fraction(1, 1000))

    def joined(self, listing: Path, video_start: Fraction) -> Input:
        """The segments, as one input that starts when the video does."""
        options: dict[str, Value] = {"f": "concat", "safe": 0, "protocol_whitelist": "file,pipe"}
        if self.tells_orientation and not self.old:
            options |= orientation_options(self.info.video)
        return Input(file_url(listing.name), {**options, "itsoffset": seconds((video_start - self.zero) * self.slow)})

    def original(self) -> Input:
        """The source, for all that is not its video."""
        options: dict[str, Value] = {"itsoffset": seconds(self.info.offset - self.zero), **self.scale}
        return source(str(Path(self.info.path).resolve()), options, max_pixels=self.info.max_pixels)

    @property
    def scale(self) -> dict[str, Value]:
        """What slows the subtitles of an input down: (time + itsoffset) * itsscale."""
        return {"itsscale:s": f"{float(self.slow):.12f}"} if self.slow != 1 else {}

    @property
    def converted_first(self) -> tuple[Fate, ...]:
        """Streams that are read from a file beside the segments: the last input."""
        return tuple(fate for fate in self.kept if is_converted_first(fate, self.slow))

    def maps(self) -> Iterator[str]:
        """Stream specifiers in the order of the output's streams."""
        yield "0:v:0"
        converted, last = iter(range(len(self.kept))), 3 if self.info.chapters else 2
        for fate in self.kept:
            first = is_converted_first(fate, self.slow)
            yield f"{last}:{next(converted)}" if first else f"1:{fate.index}"

    def options(self) -> dict[str, Value]:
        """All options of the output."""
        tags = {"map_metadata": "1", "map_metadata:s:0": f"1:s:{self.info.video.index}"}
        options: dict[str, Value] = {
            **({"map_metadata": -1} if self.info.pictures else {**tags, "metadata": "timecode="}),
            "map_chapters": 2 if self.info.chapters else -1,
            "c": "copy",
            "metadata:s:0": self._stale(),
            "disposition:0": "default",
        }
        named = {stream.index: stream for stream in self.info.others}
        for n, fate in enumerate(self.kept, start=1):
            options[f"map_metadata:s:{n}"] = f"1:s:{fate.index}"
            options[f"metadata:s:{n}"] = stream_tags(named[fate.index], self.container)
            options.update({f"{key}:{n}": value for key, value in self._stream(fate).items()})
        options["attach"] = [cover.file for cover in self.covers]
        for n, cover in enumerate(self.covers, start=1 + len(self.kept)):
            options[f"metadata:s:{n}"] = cover.tags
        if any(needs_experimental(fate, self.container) for fate in self.kept):
            options["strict"] = "experimental"
        options.update(self._video())
        if self.length is not None:
            options["t"] = seconds(self.length)
        return {**options, **self._container()}

    def _stream(self, fate: Fate) -> dict[str, str]:
        if is_converted_first(fate, self.slow):
            return slowed_subtitle(self.slow)
        end, cut = self.ends.get(fate.index), self.span is not None or fate.index in self.hidden
        rate = next(stream.sample_rate for stream in self.info.others if stream.index == fate.index)
        return stream_options(fate, container=self.container, slow=self.slow, cut=cut, end=end, rate=rate, old=self.old)

    def _video(self) -> dict[str, Value]:
        options: dict[str, Value] = {}
        if self.old and self.info.video.turned:  # it reads the angle into a tag as well, and writes it from one
            angle = counter_clockwise(self.info.video) if self.tells_orientation else ""
            options["metadata:s:0"] = [*self._stale(), f"rotate={angle}"]
        if self.coded.codec == "hevc" and self.container in ("mp4", "mov"):
            options["tag:0"] = "hvc1"  # the tag that Apple's players know
        coded, color = self.coded.color, self.color
        if self.coded.codec in UNLABELLED and None in (coded.matrix, coded.primaries, coded.transfer):
            if working_format(self.coded.pix_fmt).family is Family.RGB:
                color = replace(color, range="pc", matrix="gbr", location=None)
            options.update({f"{key}:0": value for key, value in color_options(color).items()})
        if self.rhythm is not None:  # how long the last frame is shown follows from no other
            before, last, end = (round(self.time(self.frames - n) * 1_000_000) for n in (2, 1, 0))  # microseconds
            is_last = f"gt((PTS-STARTPTS)*TB*1000000\\,{(before + last) // 2})"
            options["bsf:0"] = f"setts=pts=PTS:dts=DTS:duration=if({is_last}\\,{end - last}/(TB*1000000)\\,DURATION)"
        return options

    def _stale(self) -> list[str]:
        """Tags of the old video that are not true of the new one, as options that remove them (in any case).

        With VP9, `alpha_mode` says that there is alpha.
        """
        alpha = working_format(self.coded.pix_fmt).alpha
        kept = ["alpha_mode=1"] if alpha and self.coded.codec == "vp9" else ["alpha_mode="]
        return [*(f"{tag}=" for tag in _STALE), *kept]

    def _container(self) -> dict[str, Value]:
        if self.container == "mpegts":
            return {"f": self.container, "muxdelay": 0, "muxpreload": 0}  # the default is to begin at 1.4 s
        if self.container in ("matroska", "webm"):
            return {"f": self.container, "fflags": "+bitexact"}  # else it carries random numbers: never the same twice
        if self.container == "avi":  # which has no times of beginning: all that is moved is what has frames
            return {"f": self.container, "avoid_negative_ts": "disabled"}
        if self.container not in ("mp4", "mov"):
            return {"f": self.container}
        ticks = self.rate.numerator if self.rhythm is None else self.rhythm.tick.denominator
        ticks *= -(-_LEAST_TIMESCALE // ticks)
        pictured = any(fate.kind == "video" for fate in self.kept)  # ffmpeg writes no cover beside tags of that kind
        tagged = any(key.startswith(_APPLE) for key, _ in self.info.tags) and not pictured
        return {
            "f": self.container,
            "movflags": "+faststart+use_metadata_tags" if tagged else "+faststart",
            "video_track_timescale": ticks,  # so that every frame stands on a whole tick
            "movie_timescale": ticks,  # in which edit lists say when a track starts; the default is 1 ms
            "write_tmcd": 0,
        }


def seconds(value: Fraction) -> str:
    """`value` for ffmpeg, to the microsecond, which is as exact as it reads."""
    return f"{round(value * 1_000_000)}us"
