"""Cuts as files: a table that people and scripts read, and lists of cuts that others have made. Imports no torch.

A cut is told by the number of the first frame after it, counted from 0 in the file. Inside vfi it goes by the frame
before it, as the left frame of a pair.
"""

from __future__ import annotations

import csv
import io
import os
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from interp_cli.engine.scenes import CutDetector, thumbnail
from interp_cli.errors import InputError, OutputError, UsageError
from interp_cli.job.workdir import was_published
from interp_cli.media.decode import decode
from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.media.types import MediaInfo
from interp_cli.timeline import Timeline, decimal, parse_time

_HEAD = ("frame", "seconds", "time", "score")
_MOST_BYTES = 16 << 20  # of a list of cuts: half a million of them
_LONGEST_LINE = 60  # characters that are shown of a line

Reader = Callable[[str], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A change of shot. `frame` is the first one after it."""

    frame: int
    time: Fraction  # s, on the file's own clock
    score: float | None  # how unlike the frames on either side are, 0 to 1; None where the cut was given


def cuts_of(timeline: Timeline, scores: dict[int, float | None]) -> tuple[Cut, ...]:
    """The cuts after the left frames `scores`, in order."""
    return tuple(
        Cut(frame=left + 1, time=timeline.pts[left + 1] * timeline.time_base, score=score)
        for left, score in sorted(scores.items())
    )


def find_cuts(info: MediaInfo, timeline: Timeline, *, ffmpeg: Ffmpeg, threshold: float) -> tuple[Cut, ...]:
    """The cuts of a whole file, found as while making frames; every frame is decoded."""
    detector = CutDetector(threshold)
    found: dict[int, float | None] = {}
    asked = 0
    with decode(info, timeline, ffmpeg=ffmpeg) as frames:
        for frame in frames:
            detector.add(thumbnail(frame))
            while (cut := detector.is_cut(asked)) is not None:
                if cut:
                    found[asked] = detector.cut_score(asked)
                asked += 1
    detector.end()
    found.update((left, detector.cut_score(left)) for left in range(asked, len(timeline)) if detector.is_cut(left))
    return cuts_of(timeline, found)


def table(cuts: Iterable[Cut]) -> str:
    """The text of a file of cuts: the first frame after each, its time in seconds and exactly, and the score."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_HEAD)
    for cut in cuts:
        score = "" if cut.score is None else f"{cut.score:.4f}"
        writer.writerow((cut.frame, decimal(cut.time, 6), str(cut.time), score))
    return out.getvalue()


def check_table(path: str | None, *, inputs: tuple[str | None, ...], overwrite: bool, result: Path | None) -> None:
    """Raises OutputError or UsageError where cuts cannot be written to `path`; writes nothing."""
    if path is None:
        return
    if path == "-":
        raise UsageError("--scenes-out - is not possible: give the name of a file, such as --scenes-out cuts.csv")
    place, again = Path(path), "choose another name with --scenes-out"
    try:
        if result is not None and os.path.abspath(place) == os.path.abspath(result):  # noqa: PTH100
            raise OutputError(f"{path} is the result itself: {again}")
        if any(place.exists() and other and Path(other).exists() and place.samefile(other) for other in inputs):
            raise OutputError(f"{path} is an input: {again}")
        taken = place.exists() or place.is_symlink()
        if taken and not place.is_file():
            raise OutputError(f"{path} is not a regular file: {again}")
    except (OSError, ValueError) as error:
        raise OutputError(f"{path} cannot be written ({getattr(error, 'strerror', None) or error}): {again}") from error
    if taken and not overwrite and not (result is not None and was_published(result)):
        raise OutputError(f"{path} exists already: add -y to replace it, or {again}")
    if not place.parent.is_dir():
        raise OutputError(f"the folder {place.parent} does not exist: make it first, or {again}")
    if not os.access(place.parent, os.W_OK | os.X_OK):
        raise OutputError(f"the folder {place.parent} may not be written to: {again}")


def write_table(path: str, cuts: Iterable[Cut]) -> None:
    """Write `table` to `path` at once. Raises OutputError."""
    place = Path(path)
    beside = place.with_name(f".{place.name[:100]}.{os.getpid()}.tmp")
    try:
        beside.write_text(table(cuts), encoding="utf-8")
        beside.replace(place)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        message = f"the cuts cannot be written to {path} ({error.strerror}): choose another name with --scenes-out"
        raise OutputError(message) from error


def read_cuts(path: str, timeline: Timeline) -> frozenset[int]:
    """The left frames of the cuts that `path` names, of the file whose whole time line this is.

    The file is vfi's own table, a scene list of PySceneDetect, or has a frame number (the first frame after the cut) or
    a time (seconds with a point, or 1:02.5, after the first frame) in each line. Raises InputError with the line.
    """
    read: Reader | None = None
    cuts: set[int] = set()
    for number, line in enumerate(_lines(path), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            if read is None:
                read = _reader(text, timeline)
                if read is not None and not _is_entry(text):
                    continue
            frame = None if read is None else read(text)
        except (ValueError, csv.Error) as error:
            raise InputError(f"{path}, line {number}: {error}") from None
        if frame is None:
            continue  # PySceneDetect's list of time codes, above its head
        if not 0 <= frame < len(timeline):
            last = f"the video has frames 0 to {len(timeline) - 1}"
            raise InputError(
                f"{path}, line {number}: there is no frame {frame}: {last}, so is it another video's list?"
            )
        cuts.add(frame - 1)
    return frozenset(cuts - {-1})


def _lines(path: str) -> Iterator[str]:
    try:
        place = Path(path)
        if place.is_dir():
            raise InputError(f"{path} is a folder: give a list of cuts with --scenes-in")
        if not place.is_file():
            raise InputError(f"{path} does not exist, or is no regular file: give a list of cuts with --scenes-in")
        with place.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if len(raw) > _MOST_BYTES:
        raise InputError(f"{path} has more than {_MOST_BYTES >> 20} MiB, which no list of cuts has: give another file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InputError(f"{path} is not a text file: give a list of cuts with --scenes-in")
    yield from io.StringIO(text, newline=None)


def _is_entry(text: str) -> bool:
    return text[0].isdigit() or text[0] in "-+."


def _reader(text: str, timeline: Timeline) -> Reader | None:
    """How the lines after (and, without a head, from) this one are read; None for a line that only comes before."""
    columns = [column.strip().lower() for column in _columns(text)]
    if columns[0].startswith("timecode list"):
        return None
    if "start frame" in columns:
        at = columns.index("start frame")
        return lambda line: _integer(_field(line, at), least=1) - 1  # PySceneDetect counts from 1
    if columns[0] == "frame":
        return lambda line: _integer(_field(line, 0))
    if _is_entry(text):
        if len(columns) > 1:
            raise ValueError("this has columns but no head above them: begin the file with a line such as frame,score")
        return lambda line: _frame_or_time(line, timeline)
    shown = _shown(text)
    raise ValueError(f"{shown} is no frame number or time, and no head of a table: write lines such as 48, or 2.002")


def _columns(line: str) -> list[str]:
    """The fields of a line of a table; at least one."""
    return next(csv.reader([line], strict=True), None) or [""]


def _field(line: str, number: int) -> str:
    return (*_columns(line), *[""] * number)[number]


def _integer(text: str, *, least: int = 0) -> int:
    text = text.strip()
    if not re.fullmatch(r"[0-9]{1,12}", text) or int(text) < least:
        raise ValueError(f"{_shown(text)} is not the number of a frame: write a whole number from {least}")
    return int(text)


def _frame_or_time(text: str, timeline: Timeline) -> int:
    if re.fullmatch(r"[0-9]{1,12}", text):
        return int(text)
    try:
        time = parse_time(text)
    except UsageError:
        raise ValueError(
            f"{_shown(text)} is no frame number or time: write a number such as 48, or a time such as 2.002 or 1:02.5"
        ) from None
    if not 0 <= time < timeline.duration:
        raise ValueError(f"{_shown(text)} lies outside the video, which lasts {decimal(timeline.duration)} s")
    ticks = timeline.pts[0] + time / timeline.time_base
    after = bisect_left(timeline.pts, ticks)
    near = range(max(0, after - 1), min(after + 1, len(timeline)))
    return min(near, key=lambda n: abs(timeline.pts[n] - ticks))


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_LINE else f"{text[:_LONGEST_LINE]}...")
