"""How a player has to turn the picture: read from the source, told to the result, or done once where it cannot be told.

ffmpeg prints only an angle, in which a mirrored picture looks like one that is turned by 180 degrees. But it writes the
whole display matrix into a MOV file, so one frame of 16 x 16 px in such a file tells it, whatever the source is.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import replace

from interp_cli.media import bounds
from interp_cli.media.ffmpeg import Ffmpeg, Output, Value, child, source
from interp_cli.media.streams import suffix_of
from interp_cli.media.types import MediaInfo, PixelFormat, VideoStream

_SAID = re.compile(r"display ?matrix: rotation of ", re.IGNORECASE)
_FRAMES_OWN = re.compile(r"side data - (?:3x3 )?displaymatrix: rotation of (-?[\d.]+) degrees")
_MATRIX_AT = 44  # bytes from a track header's name to its matrix, in a header of version 0
_RIGHT_ANGLES = {90: ("transpose=clock",), 180: ("hflip", "vflip"), 270: ("transpose=cclock",)}


def with_orientation(info: MediaInfo, *, ffmpeg: Ffmpeg, log: str) -> MediaInfo:
    """`info` with the rotation and mirroring of its video, if the `log` of its opening tells of any."""
    if not _SAID.search(log):
        return info
    options: dict[str, Value] = {
        "vf": "scale=16:16,format=rgb24",
        "frames:v": 1,
        "c:v": "rawvideo",
        "f": "mov",
        "movflags": "empty_moov",
    }
    inputs = [source(info.path, info.reading, max_pixels=info.max_pixels)]
    with child(ffmpeg, inputs, [Output("pipe:1", ("0:V:0",), options)], patience=bounds.SILENCE_S) as running:
        matrix = _matrix_of(running.read())
        running.finish()
    rotation, mirrored = info.video.rotation, False
    if matrix is not None:
        rotation, mirrored = orientation_of(*matrix)
    if (rotation, mirrored) == (0, False) and (own := _FRAMES_OWN.search(log)):
        rotation = round(-float(own[1])) % 360  # ffmpeg 5.1 does not hand on what only the video itself says
    return replace(info, video=replace(info.video, rotation=rotation, mirrored=mirrored))


def _matrix_of(file: bytes) -> tuple[float, float, float, float] | None:
    """a, b, c, d of the first track of a MOV file: (x, y) is shown at (a x + c y, b x + d y); y points down."""
    at = file.find(b"tkhd")
    if at < 0 or len(file) < at + _MATRIX_AT + 36 or file[at + 4]:
        return None
    a, b, _, c, d = (value / (1 << 16) for value in struct.unpack_from(">5i", file, at + _MATRIX_AT))
    return a, b, c, d


def orientation_of(a: float, b: float, c: float, d: float) -> tuple[int, bool]:
    """(degrees clockwise, whether left and right are then swapped) of a matrix as `_matrix_of` gives it."""
    mirrored = a * d - b * c < 0
    return round(math.degrees(math.atan2(b, -a if mirrored else a))) % 360, mirrored


def carries_orientation(video: VideoStream, container: str, ffmpeg: Ffmpeg) -> bool:
    """Whether a file of `container` (ffmpeg's muxer name) by this ffmpeg can tell players to turn the picture so.

    Measured: MP4 and MOV with all, Matroska and WebM with 9.0 (5.1 does not; taken as no for those between); an ffmpeg
    before 6.0 takes an angle only.
    """
    if container in ("mp4", "mov"):
        return not video.mirrored or ffmpeg.version >= (6, 0)
    return container in ("matroska", "webm") and ffmpeg.version >= (9, 0)


def orientation_options(video: VideoStream) -> dict[str, Value]:
    """Options of an input, for an ffmpeg from 6.0 on, by which its copy is shown like `video`."""
    return {"display_rotation": counter_clockwise(video), **({"display_hflip": None} if video.mirrored else {})}


def counter_clockwise(video: VideoStream) -> int:
    """The rotation as ffmpeg wants it, degrees."""
    return -video.rotation % 360


def turning(video: VideoStream, pixels: PixelFormat) -> tuple[str, ...]:
    """Filters that turn frames of `pixels` as players would; none for angles that are not right ones.

    4:2:2 on its side would be 4:4:0, so it is turned as 4:4:4; ffmpeg 5.1, left alone, squeezes full range there.
    """
    if video.rotation % 90:
        return ()
    turns = (*_RIGHT_ANGLES.get(video.rotation, ()), *(("hflip",) if video.mirrored else ()))
    if video.rotation not in (90, 270) or pixels.chroma_shift[0] == pixels.chroma_shift[1]:
        return turns
    kept = video.color.range or "tv"
    scaled = f"scale=in_range={kept}:out_range={kept}:flags=accurate_rnd+full_chroma_int+bitexact:sws_dither=none"
    whole = re.sub(r"4\d\dp", "444p", pixels.name)
    return (scaled, f"format={whole}", *turns, scaled, f"format={pixels.name}")


def turned_size(video: VideoStream) -> tuple[int, int]:
    """(width, height) of the picture as it is shown, px."""
    return (video.height, video.width) if video.rotation in (90, 270) else (video.width, video.height)


def orientation_note(video: VideoStream, container: str, ffmpeg: Ffmpeg) -> str | None:
    """What is to be said where the result cannot tell players to turn the picture; None where it can."""
    if not video.turned or carries_orientation(video, container, ffmpeg):
        return None
    version = ".".join(map(str, ffmpeg.version))
    why = f"ffmpeg {version} makes no {suffix_of(container)} file that tells players to do so"
    if video.rotation % 90 == 0:
        return f"the picture itself is {video.turned}, for {why}"
    return f"the picture is no longer shown {video.turned}: {why}; name the output .mp4 or .mov to keep that"
