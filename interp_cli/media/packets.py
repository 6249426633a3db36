"""The packets of a file's streams, as ffmpeg's framecrc muxer lists them: read, but not decoded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from interp_cli.errors import InputError
from interp_cli.media import bounds
from interp_cli.media.ffmpeg import Ffmpeg, Options, Output, child, failure, source
from interp_cli.media.types import MediaInfo

PRIMING: Final = Fraction(15, 100)  # s before its start in which sound gets its decoder going; HE-AAC takes 0.12
COPIED: Final[Options] = {"c": "copy", "copyinkf": None, "f": "framecrc"}  # every packet, key frame or not


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From when to when a stream lasts, by its packets, s on the file's own clock."""

    start: Fraction
    end: Fraction
    longest: Fraction  # s, of one packet
    tick: Fraction  # s, of its time stamps


class SpanCounter:
    """The spans of streams, from the lines of `framecrc` that pass by; `streams` has their index by the line's number.

    Packets before `since` (s), if that is given, do not count.
    """

    def __init__(self, streams: Mapping[int, int], *, since: Fraction | None = None) -> None:
        self._streams, self._since = streams, since
        self._ticks: dict[int, Fraction] = {}
        self._found: dict[int, tuple[int, int, int]] = {}  # start, end, longest in ticks

    def add(self, fields: list[str]) -> None:
        """The fields of a line, of whatever stream."""
        if fields[0].startswith("#tb "):
            number, base = fields[0].removeprefix("#tb ").split(":")
            self._ticks[int(number)] = Fraction(base.strip())
        elif fields[0].isdecimal() and int(fields[0]) in self._streams and (pts := time_of(fields[2])) is not None:
            n, duration = int(fields[0]), int(fields[3])
            if self._since is None or pts * self._ticks[n] >= self._since:
                start, end, longest = self._found.get(n, (pts, pts, 0))
                self._found[n] = min(start, pts), max(end, pts + duration), max(longest, duration)

    def spans(self) -> dict[int, Span]:
        """The span of each stream that has a packet with a time, so far."""
        return {
            self._streams[n]: Span(start=start * tick, end=end * tick, longest=longest * tick, tick=tick)
            for n, (start, end, longest) in self._found.items()
            for tick in [self._ticks[n]]
        }


def spans(info: MediaInfo, indices: Sequence[int], *, ffmpeg: Ffmpeg, since: Fraction | None = None) -> dict[int, Span]:
    """The span of each stream of `indices` that has a packet with a time, at `since` (s) or later if that is given.

    Packets that an edit list cuts off count: a copy keeps them. One pass over the file. Raises InputError.
    """
    return spans_since(info, indices, (since,), ffmpeg=ffmpeg)[0]


def spans_since(
    info: MediaInfo, indices: Sequence[int], times: Sequence[Fraction | None], *, ffmpeg: Ffmpeg
) -> list[dict[int, Span]]:
    """`spans` for each of several `times` (s; None: from the beginning), in one pass over the file."""
    counters = [SpanCounter(dict(enumerate(indices)), since=since) for since in times]
    for fields in framecrc(info, indices, COPIED, ffmpeg=ffmpeg) if indices else ():
        for counter in counters:
            counter.add(fields)
    return [counter.spans() for counter in counters]


def framecrc(info: MediaInfo, indices: Sequence[int], options: Options, *, ffmpeg: Ffmpeg) -> Iterator[list[str]]:
    """The fields of each line of the muxer: number among `indices`, dts, pts, duration, size, checksum, flags."""
    inputs = [source(info.path, info.reading, max_pixels=info.max_pixels)]
    output = Output("pipe:1", tuple(f"0:{index}" for index in indices), options)
    with child(ffmpeg, inputs, [output], flags=("-copyts",), patience=bounds.PAUSE_S) as running:
        for raw in running.lines():
            yield [text.strip() for text in raw.decode(errors="replace").split(",")]
        status, lines = running.finish()
        if status:
            raise InputError(str(failure(f"read {info.path}", status=status, lines=lines)))


def time_of(text: str) -> int | None:
    """A time stamp of a line, ticks; None where there is none."""
    return None if text == "NOPTS" or int(text) <= -(1 << 62) else int(text)
