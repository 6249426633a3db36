"""What the header of an EXR picture says, and whether ffmpeg's decoder makes of it what it holds.

Measured with ffmpeg 5.1 and 9.0 against OpenEXR: half and float of every compression are the same values, with one
exception; but a file that is cut off has black lines without a word, and so has one whose display window begins
elsewhere than at 0, 0. Both are found here, before ffmpeg is asked.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO, Final

from interp_cli.errors import InputError
from interp_cli.media.bounds import check_size

MAGIC: Final = b"\x76\x2f\x31\x01"
HALF, FLOAT = 1, 2  # kinds of samples; 0 are whole numbers

_TILED, _DEEP, _PARTS = 0x200, 0x800, 0x1000  # flags beside the version
_LINES: Final = (
    1,
    1,
    1,
    16,
    32,
    16,
    32,
    32,
    32,
    256,
)  # of a chunk: none, rle, zips, zip, piz, pxr24, b44(a), dwa(a/b)
_DWA: Final = (8, 9)
_MOST_ATTRIBUTES: Final = 4096
_MOST_PARTS: Final = 256
_LONGEST_NAME: Final = 256  # bytes
_LONGEST_VALUE: Final = 1 << 16  # bytes
_WANTED: Final = frozenset(
    {"channels", "compression", "dataWindow", "displayWindow", "pixelAspectRatio", "tiles", "type"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExrHeader:
    """The first part of an EXR file."""

    width: int  # px, of the display window
    height: int
    origin: tuple[int, int]  # where that begins
    stored: tuple[int, int]  # width and height of the data window, px
    channels: Mapping[str, tuple[int, bool]]  # name: (kind of its samples, whether there are fewer than pixels)
    compression: int
    tile: tuple[int, int] | None  # px
    deep: bool
    chunks_at: int  # where the offsets of the chunks stand, bytes
    chunk_head: int  # bytes of a chunk before its size
    sar: Fraction

    @property
    def used(self) -> tuple[str, ...]:
        """The channels that make the picture, in the order of ffmpeg's planes; empty if there is none."""
        if all(name in self.channels for name in "GBR"):
            return (*"GBR", *("A" if "A" in self.channels else ""))
        return ("Y",) if "Y" in self.channels and not self.channels.keys() & {"A", "RY", "BY"} else ()

    @property
    def half(self) -> bool:
        """Whether the samples are of 16 bits."""
        return all(self.channels[name][0] == HALF for name in self.used)

    @property
    def chunks(self) -> int:
        """How many hold the picture in its full size."""
        width, height = self.stored
        if self.tile is not None:
            return -(-width // self.tile[0]) * -(-height // self.tile[1])
        return -(-height // _LINES[self.compression])


def exr_header(file: BinaryIO) -> ExrHeader | None:
    """The header of an EXR file; None for everything else, damaged headers included."""
    file.seek(0)
    try:
        magic, version = struct.unpack("<4sI", file.read(8))
        if magic != MAGIC or version & 0xFF != 2:
            return None
        found = _attributes(file)
        if version & _PARTS:
            for _ in range(_MOST_PARTS):
                if not _attributes(file):
                    break
        left, top, right, bottom = struct.unpack("<4i", found["displayWindow"])
        x0, y0, x1, y1 = struct.unpack("<4i", found["dataWindow"])
        kind = found.get("type", b"").rstrip(b"\0")
        tiled = kind == b"tiledimage" or (not kind and bool(version & _TILED))
        tile = struct.unpack_from("<2I", found["tiles"]) if tiled else None
        if min(right - left, bottom - top, x1 - x0, y1 - y0) < 0 or (tile is not None and min(tile) < 1):
            return None
        (aspect,) = struct.unpack("<f", found.get("pixelAspectRatio", struct.pack("<f", 1)))
        return ExrHeader(
            width=right - left + 1,
            height=bottom - top + 1,
            origin=(left, top),
            stored=(x1 - x0 + 1, y1 - y0 + 1),
            channels=_channels(found["channels"]),
            compression=found["compression"][0],
            tile=tile,
            deep=bool(version & _DEEP) or kind.startswith(b"deep"),
            chunks_at=file.tell(),
            chunk_head=(16 if tiled else 4) + (4 if version & _PARTS else 0),
            sar=Fraction(aspect).limit_denominator(1000) if 0.01 < aspect < 100 else Fraction(1),
        )
    except (struct.error, ValueError, KeyError, IndexError):  # cut off, or not what it should be
        return None


def _attributes(file: BinaryIO) -> dict[str, bytes]:
    """The `_WANTED` attributes of the header that `file` is at, which it leaves at that header's end."""
    found: dict[str, bytes] = {}
    for _ in range(_MOST_ATTRIBUTES):
        name = _name(file)
        if not name:
            return found
        _name(file)  # of its type
        (length,) = struct.unpack("<I", file.read(4))
        if name in _WANTED and length <= _LONGEST_VALUE:
            found[name] = file.read(length)
        else:
            file.seek(length, os.SEEK_CUR)
    raise ValueError("too many attributes")


def _name(file: BinaryIO) -> str:
    taken = bytearray()
    while (byte := file.read(1)) != b"\0":
        if not byte or len(taken) > _LONGEST_NAME:
            raise ValueError("no end of a name")
        taken += byte
    return taken.decode("latin-1")


def _channels(text: bytes) -> dict[str, tuple[int, bool]]:
    found, at = {}, 0
    while text[at]:
        end = text.index(0, at)
        kind, _, x, y = struct.unpack_from("<iIii", text, end + 1)
        found[text[at:end].decode("latin-1")] = (kind, (x, y) != (1, 1))
        at = end + 17
    return found


def check_exr(path: str, file: BinaryIO, *, max_pixels: int) -> None:
    """Raises InputError for an EXR picture that cannot be read, by its header; nothing for other files."""
    header = exr_header(file)
    if header is None:
        return
    check_size(path, *header.stored, max_pixels=max_pixels)
    if (why := _why_not(header)) is not None:
        raise InputError(f"{path} {why}")


def _why_not(header: ExrHeader) -> str | None:
    """What it has that vfi, or ffmpeg, cannot read."""
    kinds = {header.channels[name][0] for name in header.used}
    if header.deep:
        return "holds deep samples: flatten it first"
    if not header.used:
        held = ", ".join(ascii(name)[1:-1][:40] for name in sorted(header.channels)[:6])
        return f"has no channels R, G, B (or Y alone) in its first part, but {held}: write those first"
    if kinds not in ({HALF}, {FLOAT}) or any(header.channels[name][1] for name in header.used):
        return f"has channels {', '.join(header.used)} that are not all half or all float, one sample a pixel each"
    if header.compression >= len(_LINES):
        return "is compressed in a way that ffmpeg does not read: save it with zip or piz"
    if header.compression in _DWA and kinds == {FLOAT}:
        return "holds float compressed with dwaa or dwab, which ffmpeg reads wrongly: save it as half, or with zip"
    if header.origin != (0, 0):
        return "has a display window that does not begin at 0, 0, which ffmpeg reads wrongly: move it there"
    return None


def is_whole(header: ExrHeader, stored: memoryview) -> bool:
    """Whether the bytes of a readable picture hold all chunks that its header promises."""
    table = stored[header.chunks_at : header.chunks_at + 8 * header.chunks]
    if len(table) < 8 * header.chunks:
        return False
    for (at,) in struct.iter_unpack("<Q", table):
        size_at = at + header.chunk_head
        if at < header.chunks_at or size_at + 4 > len(stored):
            return False  # a program that was ended while it wrote leaves zeros
        (size,) = struct.unpack_from("<i", stored, size_at)
        if size < 0 or size_at + 4 + size > len(stored):
            return False
    return True
