"""What ffmpeg does not tell of GIF, APNG and WebP files: how often they play, exact delays; read from the file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Final

from interp_cli.media.bounds import MOST_FRAMES

GIF_TICK: Final = Fraction(1, 100)  # s, in which a GIF counts; players take less than two of them for ten
_HEAD = 4096  # bytes of a GIF in which its loop count stands, behind at most 768 of palette


def plays_of(path: str, container: str) -> int:
    """How often the animation is shown; 0 for ever, which is also said of files that are neither GIF nor APNG."""
    if container not in ("gif", "apng"):
        return 0
    try:
        with Path(path).open("rb") as file:
            return _gif_plays(file.read(_HEAD)) if container == "gif" else _apng_plays(file)
    except OSError:
        return 0


def _gif_plays(head: bytes) -> int:
    at = head.find(b"NETSCAPE2.0\x03\x01")
    if at < 0 or len(head) < at + 15:
        return 1
    repeats = int.from_bytes(head[at + 13 : at + 15], "little")
    return repeats + 1 if repeats else 0


def _apng_plays(file: BinaryIO) -> int:
    for name, length in _chunks(file):
        if name == b"acTL" and length == 8:
            file.seek(4, os.SEEK_CUR)
            return int.from_bytes(file.read(4), "big")
        if name == b"IDAT":
            break
    return 0


def apng_times(path: str) -> tuple[Fraction, ...] | None:
    """When each frame of an APNG begins, and when the last one ends, s after the first; None if it is not plainly said.

    ffmpeg rounds each delay to 10 microseconds, and the sum of many drifts.
    """
    times = [Fraction(0)]
    with Path(path).open("rb") as file:
        for name, length in _chunks(file):
            if name != b"fcTL":
                continue
            body = file.read(26) if length == 26 else b""
            delay, unit = int.from_bytes(body[20:22], "big"), int.from_bytes(body[22:24], "big") or 100
            if not delay or len(times) > MOST_FRAMES:
                return None
            times.append(times[-1] + Fraction(delay, unit))
    return tuple(times) if len(times) > 1 else None


def is_animated_webp(file: BinaryIO) -> bool:
    """Whether this is a WebP file of more than one picture."""
    file.seek(0)
    start = file.read(21)
    return start.startswith(b"RIFF") and start[8:16] == b"WEBPVP8X" and len(start) > 20 and bool(start[20] & 2)


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """(name, bytes) of each chunk, with `file` at its content."""
    at = 8
    while True:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        length = int.from_bytes(head[:4], "big")
        yield head[4:], length
        at += length + 12


def gif_rate(rate: Fraction) -> Fraction:
    """The rate nearest to `rate` (frames/s) whose frames last a whole number of a GIF's ticks, two at least."""
    ticks = max(2, round(1 / (rate * GIF_TICK)))
    better = min((max(2, ticks - 1), ticks, ticks + 1), key=lambda n: abs(1 / (n * GIF_TICK) - rate))
    return 1 / (better * GIF_TICK)
