"""Segments and the original, joined into the final file: sound, subtitles, chapters, attachments and tags kept.

All times are first brought to one clock: the source's own (-copyts), minus its earliest time stamp, or minus the start
of the trimmed part. ffmpeg's automatic shift is not used: it depends on which streams are mapped, and on the version.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from interp_cli.media.encoding import color_options
from interp_cli.media.ffmpeg import Ffmpeg, Input, Output, Value, file_url, run, source
from interp_cli.media.formats import working_format
from interp_cli.media.streams import Fate, container_for, stream_fates
from interp_cli.media.types import Family, MediaInfo

__all__ = ["Fate", "container_for", "mux", "stream_fates"]

_ENCODERS: Mapping[str, Mapping[str, str]] = {  # how converted streams are encoded
    "aac": {"c": "aac", "b": "256k"},
    "ac3": {"c": "ac3", "b": "448k"},
    "opus": {"c": "libopus", "b": "192k"},
    "flac": {"c": "flac"},
    "alac": {"c": "alac"},
    "pcm_s16le": {"c": "pcm_s16le"},
    "mov_text": {"c": "mov_text"},
    "subrip": {"c": "srt"},
    "webvtt": {"c": "webvtt"},
}
_STALE = ("BPS", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "DURATION", "timecode", "encoder", "_STATISTICS_TAGS")
_LEAST_TIMESCALE = 10_000  # ticks/s of an MP4 video track


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
) -> None:
    """Joins `segments` ((NUT file, frames), all in one directory) and the kept streams of `info` into `out`.

    `rate` is the output's, frames/s. `video_start` is the source time of the first frame, s, on the source's own clock
    (`timeline.start`, of the sub-timeline if trimmed). `trim` is (start, end) on the same clock, s (`sub.start`,
    `sub.end`); sound and subtitles are cut to it, in whole packets. `slow` is the factor by which time is stretched.
    Overwrites `out`, which should be a temporary name. Raises FfmpegError.
    """
    folder = segments[0][0].resolve().parent
    listing = _write_list(folder, segments, rate)
    zero = trim[0] if trim else min(info.start, video_start)  # this source time becomes 0
    kept = [fate for fate in fates if fate.action != "drop"]
    plan = _Plan(info=info, container=container, kept=kept, rate=rate, slow=slow, zero=zero)
    try:
        inputs = [plan.joined(listing, video_start, ffmpeg), *plan.originals(trim)]
        chapters = _chapters(plan, folder, ffmpeg=ffmpeg, trim=trim) if info.chapters else None
        if chapters:
            inputs.append(Input(file_url(chapters), {"f": "ffmetadata"}))
        options = plan.options(ffmpeg, chapters_from=len(inputs) - 1 if chapters else -1)
        output = Output(file_url(out.resolve()), tuple(plan.maps()), options)
        run(ffmpeg, inputs, [output], doing=f"write {out.name}", cwd=folder)
    finally:
        listing.unlink(missing_ok=True)
        (folder / _CHAPTERS).unlink(missing_ok=True)
