"""Chapters moved to the new time line, as the text of an ffmetadata file."""

import re
from collections.abc import Iterator
from fractions import Fraction

from interp_cli.media.ffmpeg import Ffmpeg, Output, run, source
from interp_cli.media.types import MediaInfo


def retimed_chapters(
    info: MediaInfo, *, ffmpeg: Ffmpeg, zero: Fraction, slow: Fraction = Fraction(1), end: Fraction | None = None
) -> str:
    """The chapters of `info` with times (t - zero) * slow, cut to [0, end] s; those outside are left out.

    Titles and other tags are kept as ffmpeg escapes them. Raises FfmpegError.
    """
    output = Output("pipe:1", (), {"f": "ffmetadata", "map_metadata:g": -1})
    text = run(
        ffmpeg, [source(info.path, max_pixels=info.max_pixels)], [output], doing=f"read the chapters of {info.path}"
    )
    return retime(text, zero=zero, slow=slow, end=end)


def retime(text: str, *, zero: Fraction, slow: Fraction, end: Fraction | None) -> str:
    """The same for the text of an ffmetadata file."""
    kept = [";FFMETADATA1"]
    for lines in _chapters(text):
        times = {
            key: int(value)
            for line in lines
            if (m := re.fullmatch(r"(START|END)=(-?\d+)", line))
            for key, value in [m.groups()]
        }
        base = next(
            (Fraction(m[1]) for line in lines if (m := re.fullmatch(r"TIMEBASE=(\d+/\d+)", line))), Fraction(1, 10**9)
        )
        start, stop = ((times.get(key, 0) * base - zero) * slow for key in ("START", "END"))
        start, stop = max(start, Fraction(0)), stop if end is None else min(stop, end)
        if stop > start:
            micro = [f"{key}={round(t * 1_000_000)}" for key, t in (("START", start), ("END", stop))]
            tags = [line for line in lines if not re.fullmatch(r"(START|END|TIMEBASE)=[-\d/]+", line)]
            kept += ["[CHAPTER]", "TIMEBASE=1/1000000", *micro, *tags]
    return "\n".join(kept) + "\n"


def _chapters(text: str) -> Iterator[list[str]]:
    """The logical lines of each [CHAPTER] section; a value with escaped line ends stays in one piece."""
    section: list[str] | None = None
    for line in re.findall(r"(?:[^\\\n]|\\[\s\S])+", text):
        if line == "[CHAPTER]":
            if section is not None:
                yield section
            section = []
        elif section is not None:
            section.append(line)
    if section is not None:
        yield section
