"""Interlaced video: found by its frames as well as by its header, and how its fields become whole frames."""

from __future__ import annotations

import re
from dataclasses import replace

from interp_cli.media import bounds
from interp_cli.media.ffmpeg import Ffmpeg, Output, child, source
from interp_cli.media.formats import working_format
from interp_cli.media.types import MediaInfo, VideoStream

LOOKED_AT = 12  # frames
NEIGHBOURS = 2  # frames on either side that decide a deinterlaced one: bwdif looks at one
_NEVER = {"vp8", "vp9", "av1", "hevc", "vvc", "gif", "apng", "png", "theora", "webp"}  # frames are whole, or one field
_SCANNED = re.compile(r"\bn: *\d+ pts:.*? i:([PTB])\b")
# What bwdif does not take, in 5.1 and in 9.0: ffmpeg would convert the frames there and back.
_CANNOT = re.compile(r"gray(9|10|12|14)le|gbrap1[024]le|yuva\d+p12le|yuv440p1[02]le")
_LEAST = (3, 4)  # columns, rows


def with_fields(info: MediaInfo, *, ffmpeg: Ffmpeg) -> MediaInfo:
    """`info` with the field order that its first frames are marked with, where the codec can be interlaced at all."""
    if info.video.codec in _NEVER:
        return info
    shown = Output("-", (f"0:{info.video.index}",), {"vf": "showinfo", "frames:v": LOOKED_AT, "f": "null"})
    inputs = [source(info.path, info.reading, max_pixels=info.max_pixels)]
    how = {"loglevel": "info", "keep": bounds.LINES_KEPT, "patience": bounds.SILENCE_S}
    with child(ffmpeg, inputs, [shown], **how) as running:  # type: ignore[arg-type]
        running.read()
        _, lines = running.finish()
    marks = "".join(_SCANNED.findall("\n".join(lines))).replace("P", "")
    if not marks:
        return info
    order = "tt" if marks.count("T") >= marks.count("B") else "bb"
    return replace(info, video=replace(info.video, field_order=order, fields_marked=True))


def is_interlaced(video: VideoStream) -> bool:
    """Whether frames hold two fields, of two moments."""
    return video.field_order not in ("progressive", "unknown")


def cannot_deinterlace(video: VideoStream) -> str | None:
    """Why the fields of `video` cannot be made whole frames; None if they can."""
    if _CANNOT.fullmatch(working_format(video.pix_fmt).name):
        return f"ffmpeg's bwdif does not take {working_format(video.pix_fmt).name}"
    if video.width < _LEAST[0] or video.height < _LEAST[1]:
        return f"frames of {video.width} x {video.height} are too small for it"
    return None


def deinterlacer(video: VideoStream) -> str:
    """ffmpeg's filter that makes a whole frame of every field: two of each frame, for N frames exactly 2 N.

    Frames that are not marked are taken in the order that the header names: the first of its two letters is that of the
    field shown first, as ffmpeg and Apple's programs write it.
    """
    parity = "auto" if video.fields_marked else {"t": "tff", "b": "bff"}[video.field_order[0]]
    return f"bwdif=mode=send_field:parity={parity}:deint=all"
