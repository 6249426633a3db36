"""A file -> what it holds (MediaInfo) and when its frames are shown (Timeline), from the ffmpeg that will decode it.

One reader: ffmpeg's own banner for what the streams are, its framecrc muxer for exact times, its showinfo filter for
what a decoded frame really is. ffprobe may be missing, and PyAV would be another ffmpeg than the one that decodes.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import lcm

from interp_cli.errors import InputError, UsageError
from interp_cli.media import bounds
from interp_cli.media.animation import apng_times
from interp_cli.media.banner import Banner, StreamLine, parse_banner
from interp_cli.media.ffmpeg import Ffmpeg, Options, Output, child, has_decoder, source
from interp_cli.media.fields import with_fields
from interp_cli.media.formats import working_format
from interp_cli.media.hdr import is_dynamic, parse_mastering
from interp_cli.media.orientation import with_orientation
from interp_cli.media.packets import COPIED, Span, SpanCounter, framecrc, time_of
from interp_cli.media.pictures import DEFAULT_RATE, find_pictures, picture_info, picture_timeline
from interp_cli.media.types import Color, MediaInfo, VideoStream
from interp_cli.media.unreadable import cannot_open, check_file
from interp_cli.options import InputLimits
from interp_cli.timeline import Timeline

DISCARDED = 4  # framecrc's flag of a packet that the edit list cuts off: decoded, never shown
# Where packets are not frames: VP8's hidden reference frames, AVI's packed B-frames and padding, streams without times.
_COUNT_BY_DECODING = {"avi", "h264", "hevc", "m4v", "mpegvideo", "vc1", "vvc", "dirac", "cavsvideo", "obu", "av1"}
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # ffmpeg's own ones do not read the second picture
_SHOWN = re.compile(r"\bn:\s*\d+ pts:\s*(-?\d+|NOPTS) .*?fmt:(\S+) .*?s:(\d+)x(\d+) ")
_SHOWN_IN = re.compile(r"\bconfig in time_base: (\d+)/(\d+)")
_FRAME_COLOR = re.compile(r"color_range:(\S+) color_space:(\S+) color_primaries:(\S+) color_trc:(\S+)")


def probe(
    path: str, *, ffmpeg: Ffmpeg, limits: InputLimits | None = None, picture_rate: Fraction | None = None
) -> MediaInfo:
    """What `path` holds; opens it and decodes one frame. Raises InputError with one sentence.

    `limits` are for a file that others made: this and all further readings keep to them. A file of ours needs none.
    A folder, numbered pattern or glob of pictures is a video at `picture_rate` frames/s, for they have no rate.
    """
    if limits is not None and (pictures := find_pictures(path)) is not None:
        return picture_info(path, pictures, rate=picture_rate or DEFAULT_RATE, limits=limits, ffmpeg=ffmpeg)
    if picture_rate is not None:
        raise UsageError(f"--input-fps is for pictures, and {path} has times of its own: leave it out")
    check_file(path)
    header, lines = _opened(path, {}, ffmpeg=ffmpeg, limits=limits)
    banner = parse_banner(lines)
    if limits is not None and not _SHOWN.search("\n".join(lines)):
        bounds.check_refusals(path, "\n".join(lines), max_pixels=limits.max_pixels)
    if banner is None:
        raise cannot_open(path, lines)
    video = next((s for s in banner.streams if s.kind == "video" and not s.attached_picture), None)
    if video is None:
        held = ", ".join(sorted({"a picture" if s.attached_picture else s.kind for s in banner.streams}))
        only = f", only {held}" if held else " nor anything else"
        raise InputError(f"{path} has no video to interpolate{only}: give a file with a video stream")
    decoder = _ALPHA_DECODERS.get(video.codec) if ("alpha_mode", "1") in _small(video.tags) else None
    if decoder is not None and has_decoder(ffmpeg, decoder):
        header, lines = _opened(path, {f"c:{video.index}": decoder}, ffmpeg=ffmpeg, limits=limits)
    else:
        decoder = None
    info = _media_info(path, banner, video, header="\n".join(header.splitlines()), log="\n".join(lines))
    info = replace(info, video=replace(info.video, decoder=decoder), limits=limits)
    if limits is not None:
        bounds.check_size(path, info.video.width, info.video.height, max_pixels=limits.max_pixels)
        info = with_fields(info, ffmpeg=ffmpeg)
    return with_orientation(info, ffmpeg=ffmpeg, log="\n".join(lines))


def _opened(path: str, options: Options, *, ffmpeg: Ffmpeg, limits: InputLimits | None) -> tuple[str, tuple[str, ...]]:
    """(what framecrc says of the first packet, ffmpeg's log with what showinfo says of the first frame)."""
    first_packet = Output("pipe:1", ("0:V:0",), {"c": "copy", "frames:v": 1, "f": "framecrc"})
    first_frame = Output("-", ("0:V:0",), {"vf": "showinfo", "frames:v": 1, "fps_mode": "passthrough", "f": "null"})
    how = {"noautorotate": None, **options}
    inputs = [source(path, how, max_pixels=None if limits is None else limits.max_pixels)]
    outputs, kept = [first_packet, first_frame], bounds.LINES_KEPT
    patience, flags = bounds.SILENCE_S, ("-copyts",)
    with child(ffmpeg, inputs, outputs, flags=flags, loglevel="verbose", keep=kept, patience=patience) as running:
        header = running.read().decode(errors="replace")
        _, lines = running.finish()
    return header, lines


def _small(tags: tuple[tuple[str, str], ...]) -> set[tuple[str, str]]:
    return {(key.lower(), value) for key, value in tags}


def _media_info(path: str, banner: Banner, video: StreamLine, *, header: str, log: str) -> MediaInfo:
    base = re.search(r"^#tb 0: (\d+)/(\d+)", header, re.MULTILINE)
    packet = re.search(r"^0,", header, re.MULTILINE)
    shown = _SHOWN.search(log)
    if base is None or packet is None or shown is None:
        raise InputError(f"{path} has a {video.codec} video stream, but no frame of it can be decoded: is it damaged?")
    sar = re.search(r"^#sar 0: (\d+)/(\d+)", header, re.MULTILINE)
    pix_fmt = shown[2]
    ticks = Fraction(int(base[1]), int(base[2]))
    told = _SHOWN_IN.search(log)
    exact = told is not None and int(told[2]) and Fraction(int(told[1]), int(told[2])) == ticks
    return MediaInfo(
        path=path,
        container=banner.container,
        video=VideoStream(
            index=video.index,
            codec=video.codec,
            width=int(shown[3]),
            height=int(shown[4]),
            pix_fmt=pix_fmt,
            bit_depth=working_format(pix_fmt).depth,
            time_base=ticks,
            first_pts=int(shown[1]) if exact and shown[1] != "NOPTS" else None,
            sar=Fraction(int(sar[1]), int(sar[2])) if sar and int(sar[1]) and int(sar[2]) else Fraction(1),
            rotation=video.rotation,
            color=_color(video, _FRAME_COLOR.search(log, shown.end())),
            field_order=video.field_order,
            rate_from_header=video.rate,
            mastering=parse_mastering(log),
            dynamic_metadata=is_dynamic(log),
            tags=video.tags,
        ),
        others=tuple(s.other() for s in banner.streams if s is not video),
        chapters=banner.chapters,
        start=banner.start,
        tags=banner.tags,
    )


def _color(video: StreamLine, frame: re.Match[str] | None) -> Color:
    """The frame's own tags, and the container's where the frame has none."""
    own = [None if v in ("unknown", "reserved", "unspecified") else v for v in frame.groups()] if frame else [None] * 4
    stated = (video.color.range, video.color.matrix, video.color.primaries, video.color.transfer)
    merged = [a or b for a, b in zip(own, stated, strict=True)]
    return Color(
        range=merged[0], matrix=merged[1], primaries=merged[2], transfer=merged[3], location=video.color.location
    )


# ---- when its frames are shown


def scan(info: MediaInfo, *, ffmpeg: Ffmpeg) -> Timeline:
    """When each frame is shown: from its packets, so the whole file is read but (mostly) not decoded; snapped.

    Leaves out what the edit list cuts off and what precedes the first frame that can be decoded. Where packets are not
    frames (VP8, AVI, streams without times) all frames are decoded for their times. Raises InputError.
    """
    return scan_with(info, (), ffmpeg=ffmpeg)[0]


def scan_with(info: MediaInfo, indices: Sequence[int], *, ffmpeg: Ffmpeg) -> tuple[Timeline, dict[int, Span]]:
    """The same, and the spans of the streams `indices` as `packets.spans` gives them, from one pass over the file."""
    if info.pictures:
        timeline = picture_timeline(info)
        bounds.check_timeline(info, timeline)
        return timeline, {}
    mended = 0
    beside = SpanCounter(dict(enumerate(indices, start=1)))
    first = _first(info, ffmpeg=ffmpeg)
    packets = dict(bounds.bounded(info, _packets(info, indices, beside, ffmpeg=ffmpeg)))
    if first is None or _packets_are_not_frames(info, packets):
        shown = list(bounds.bounded(info, _frames(info, ffmpeg=ffmpeg)))
        told = [pts for pts, _ in shown]
        if _stands_still(told):
            advice = f"remux it with ffmpeg -i {info.path} -c copy OUT.mkv and try again"
            raise InputError(f"the clock of {info.path} jumps back, as in joined recordings: {advice}")
        times, last = _rising(told), shown[-1][1] if shown else 0
        mended = sum(time != pts for time, pts in zip(times, told, strict=True))
    else:
        times = sorted(pts for pts in packets if pts is not None and pts >= first)
        last = packets[times[-1]] if times else 0
    if not times:
        raise InputError(f"{info.path} has no frame that can be decoded: is it damaged?")
    end = times[-1] + (last if last > 0 else _usual_step(info, times))
    told_exactly = Timeline(time_base=info.video.time_base, pts=tuple(times), end_pts=end)
    if info.container == "apng":
        told_exactly = _apng(info, told_exactly)
    timeline = replace(told_exactly.snapped(info.video.rate_from_header), mended=mended)
    bounds.check_timeline(info, timeline)
    return timeline, beside.spans()


def _first(info: MediaInfo, *, ffmpeg: Ffmpeg) -> int | None:
    """The time of the first frame that can be decoded, ticks: known from its opening where that left times alone."""
    if info.video.first_pts is not None and not info.offset:
        return info.video.first_pts
    return next(_frames(info, ffmpeg=ffmpeg, limit=1), (None, 0))[0]


def _apng(info: MediaInfo, rounded: Timeline) -> Timeline:
    """The same frames at the times that the file says, where it says them."""
    times = apng_times(info.path)
    if times is None or len(times) != len(rounded) + 1:
        return rounded
    base = 1 / Fraction(lcm(*{time.denominator for time in times}))
    if base.denominator > 1 << 40:
        return rounded
    *pts, end = (int(time / base) for time in times)
    return Timeline(time_base=base, pts=tuple(pts), end_pts=end)


def _packets_are_not_frames(info: MediaInfo, packets: dict[int | None, int]) -> bool:
    return info.video.codec == "vp8" or bool(_COUNT_BY_DECODING & set(info.container.split(","))) or None in packets


def _stands_still(times: list[int | None]) -> bool:
    """Whether the clock jumps back: ffmpeg then gives every frame the latest time so far until the clock is past it.

    One or two such frames are a flaw of the file, or of the way its B-frames are stored, that _rising() mends.
    """
    known = [t for t in times if t is not None]
    latest, row = None, 0
    for time in known:
        row = row + 1 if latest is not None and time <= latest else 0
        latest = time if latest is None else max(latest, time)
        if row > 2:
            return True
    return False


def _usual_step(info: MediaInfo, times: list[int]) -> int:
    """Ticks from one frame to the next, for a last frame of which nobody says how long it is shown."""
    steps = sorted(b - a for a, b in pairwise(times))
    rate = info.video.rate_from_header or Fraction(25)
    return max(1, steps[len(steps) // 2] if steps else round(1 / (rate * info.video.time_base)))


def _rising(times: list[int | None]) -> list[int]:
    """`times` in the decoder's order, made to rise strictly: a missing or earlier one follows the one before it."""
    known = [t for t in times if t is not None]
    steps = sorted(b - a for a, b in pairwise(known) if b > a)
    step = steps[len(steps) // 2] if steps else 1
    risen: list[int] = []
    for time in times:
        if risen and (time is None or time <= risen[-1]):
            risen.append(risen[-1] + (step if time is None else 1))
        else:
            risen.append(time or 0)
    return risen


def _packets(
    info: MediaInfo, indices: Sequence[int], beside: SpanCounter, *, ffmpeg: Ffmpeg
) -> Iterator[tuple[int | None, int]]:
    """(pts, duration) in ticks of every packet that is shown, in decoding order; a second one at one time has None.

    `beside` is told of all packets, those of the streams `indices` too.
    """
    seen: set[int | None] = set()
    for fields in framecrc(info, (info.video.index, *indices), COPIED, ffmpeg=ffmpeg):
        beside.add(fields)
        if fields[0] != "0":
            continue
        flags = next((int(f[2:], 16) for f in fields[5:] if f.startswith("F=0x")), 0)
        pts = time_of(fields[2])
        if not flags & DISCARDED:
            yield None if pts in seen else pts, int(fields[3])
            seen.add(pts)


def _frames(info: MediaInfo, *, ffmpeg: Ffmpeg, limit: int | None = None) -> Iterator[tuple[int | None, int]]:
    """(pts, duration) in ticks of the first `limit` decoded frames, in the order of showing."""
    base = info.video.time_base
    options: dict[str, str | int] = {
        "c:v": "wrapped_avframe",  # nothing is encoded
        "fps_mode": "passthrough",
        "enc_time_base": f"{base.numerator}:{base.denominator}",  # the default rounds times to frames
        "f": "framecrc",
        **({"frames:v": limit} if limit else {}),
    }
    for fields in framecrc(info, (info.video.index,), options, ffmpeg=ffmpeg):
        if fields[0] != "0":
            continue
        yield time_of(fields[2]), int(fields[3])
