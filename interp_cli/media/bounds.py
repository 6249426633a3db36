"""What a file may cost: each promise of its header is compared with InputLimits before anything is spent on it."""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final

from interp_cli.errors import InputError
from interp_cli.media.ffmpeg import MOST_STREAMS
from interp_cli.media.types import MediaInfo
from interp_cli.timeline import Timeline, decimal

MOST_FRAMES: Final = 10_000_000  # whose times are kept, some 150 bytes each: 46 hours at 60 frames/s
FASTEST: Final = 10_000  # frames/s
SILENCE_S: Final = 60  # in which a file is opened, and a frame of it decoded
PAUSE_S: Final = 600  # between two packets: where sound goes on alone, a slow disk may take long
LINES_KEPT: Final = 50_000  # of ffmpeg's banner
_FFMPEG_PIXELS: Final = 1 << 28  # of one frame; more than that it refuses whatever it is told
_ASIDE: Final = 1 << 16  # frames after which their mean rate is looked at, so that all of a flood need not be kept
_SIZES = re.compile(
    r"Picture size (\d+)x(\d+) (?:exceeds|is invalid)|^  Stream #0:.*: Video: .*?, (\d+)x(\d+)", re.MULTILINE
)


def check_size(path: str, width: int, height: int, *, max_pixels: int) -> None:
    """Raises InputError for a frame of more than `max_pixels`."""
    if width * height > max_pixels:
        size = f"{width} x {height}, which is {width * height} pixels a frame"
        advice = "raise --max-pixels if that is so" if width * height < _FFMPEG_PIXELS else "is it damaged?"
        raise InputError(f"{path} says that it is {size}, and {max_pixels} are allowed: {advice}")


def check_refusals(path: str, log: str, *, max_pixels: int) -> None:
    """Raises InputError if ffmpeg's `log`, in which no frame is shown, names a size or a count that is too large."""
    for found in _SIZES.finditer(log):
        check_size(path, int(found[1] or found[3]), int(found[2] or found[4]), max_pixels=max_pixels)
    if "Number of streams exceeds max_streams" in log:
        raise InputError(f"{path} says that it holds more than {MOST_STREAMS} streams: is it damaged?")


def bounded(info: MediaInfo, times: Iterator[tuple[int | None, int]]) -> Iterator[tuple[int | None, int]]:
    """`times`, (pts, duration) in ticks each, as far as the limits of `info` reach. Raises InputError there."""
    if info.limits is None:
        yield from times
        return
    most = info.limits.max_duration // info.video.time_base  # ticks
    try:
        size = Path(info.path).stat().st_size
    except OSError as error:
        raise InputError(f"{info.path} went away while vfi was reading it ({error.strerror})") from error
    low = high = None
    for count, (pts, duration) in enumerate(times):
        if count >= size:  # an index may name the same bytes over and over
            raise InputError(f"{info.path} says that it has more frames than bytes ({size}): is it damaged?")
        if count >= MOST_FRAMES:
            raise InputError(f"{info.path} has more than {MOST_FRAMES} frames: cut it into parts and do each by itself")
        if pts is not None:
            low, high = min(pts, pts if low is None else low), max(pts, pts if high is None else high)
            if high - low > most:
                raise _too_long(info, (high - low) * info.video.time_base)
            if count % _ASIDE == _ASIDE - 1 and count > 2 * FASTEST * (high - low) * info.video.time_base:
                raise _too_fast(info, Fraction(count, max(high - low, 1) * info.video.time_base))
        yield pts, duration


def check_timeline(info: MediaInfo, timeline: Timeline) -> None:
    """Raises InputError for one that is too long or too fast."""
    if info.limits is None:
        return
    if timeline.duration > info.limits.max_duration:
        raise _too_long(info, timeline.duration)
    if timeline.rate > FASTEST:
        raise _too_fast(info, timeline.rate)


def _too_fast(info: MediaInfo, rate: Fraction) -> InputError:
    shown = f"{decimal(rate)} frames per second, and vfi takes {FASTEST} at most"
    return InputError(f"{info.path} says that it has {shown}: are its time stamps damaged?")


def _too_long(info: MediaInfo, duration: Fraction) -> InputError:
    assert info.limits is not None
    length, allowed = decimal(duration, 0), decimal(info.limits.max_duration)
    return InputError(
        f"{info.path} says that it lasts {length} s, and {allowed} s are allowed: raise --max-duration if that is so"
    )
