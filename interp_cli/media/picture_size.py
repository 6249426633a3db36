"""How large a picture says it is, from its header alone: OpenCV tells only after it has decoded the whole.

No library among the dependencies reads headers only, and ffmpeg would cost a process per picture and read other formats
than OpenCV does. The formats that vfi takes say it in a known place, so those few bytes are read here.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO, Final

from interp_cli.media.exr_header import MAGIC, exr_header

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".exr"})  # that vfi reads and writes

_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 322, 323  # tags of TIFF
_BITS, _PHOTOMETRIC, _SAMPLES, _EXTRA = 258, 262, 277, 338
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG's "start of frame" markers
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})  # JPEG's markers without content
_MOST_TAGS: Final = 4096
_MOST_STEPS: Final = 1 << 16  # from marker to marker, or from byte to byte where there is none


def picture_size(file: BinaryIO) -> tuple[int, int] | None:
    """(width, height) in px of a png, jpeg, webp, tiff or exr; of a tiled tiff what its tiles take, if that is more.

    None for everything else, damaged headers included.
    """
    start = file.read(32)
    try:
        if start.startswith(b"\x89PNG\r\n\x1a\n") and start[12:16] == b"IHDR":
            width, height = struct.unpack(">II", start[16:24])
            return width, height
        if start.startswith(b"\xff\xd8"):
            return _jpeg(file)
        if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
            return _webp(start)
        if start[:4] in (b"II*\0", b"II+\0", b"MM\0*", b"MM\0+"):
            return _tiff(file, start)
        if start.startswith(MAGIC) and (light := exr_header(file)):
            return light.width, light.height
    except (struct.error, ValueError):  # cut off, or pointing where no file reaches
        pass
    return None


@dataclass(frozen=True, slots=True)
class Samples:
    """What a picture's header says of its samples: whether there are colours, transparency, more than 8 bits."""

    color: bool
    alpha: bool
    deep: bool

    def with_(self, other: Samples) -> Samples:
        """What holds both."""
        return Samples(self.color or other.color, self.alpha or other.alpha, self.deep or other.deep)


def picture_samples(file: BinaryIO) -> Samples:
    """What the samples of a png, jpeg, webp, tiff or exr are. A header that says too little counts as RGB of 8 bits."""
    start = file.read(32)
    try:
        if start.startswith(b"\x89PNG"):
            kind = start[25]  # bits: palette, colour, alpha
            return Samples(bool(kind & 3), bool(kind & 4) or _png_has(file, b"tRNS"), start[24] == 16)
        if start.startswith(b"\xff\xd8"):
            found = _jpeg_frame(file)
            return Samples(found is None or found[2] > 1, alpha=False, deep=False)
        if start[8:12] == b"WEBP":
            alpha = bool(start[20] & 0x10 if start[12:16] == b"VP8X" else start[12:16] == b"VP8L" and start[24] & 0x10)
            return Samples(color=True, alpha=alpha, deep=False)
        if start.startswith(MAGIC) and (light := exr_header(file)):
            return Samples(color=len(light.used) > 1, alpha="A" in light.used, deep=True)
        tags = _tiff_tags(file, start, (_BITS, _PHOTOMETRIC, _SAMPLES, _EXTRA))
        samples, deep = tags.get(_SAMPLES, 1), 8 < tags.get(_BITS, 8) <= 16
        return Samples(samples > 2 or tags.get(_PHOTOMETRIC, 1) > 1, alpha=samples in (2, 4), deep=deep)
    except (struct.error, ValueError, IndexError):
        return Samples(color=True, alpha=False, deep=False)


def _png_has(file: BinaryIO, name: bytes) -> bool:
    """Whether a chunk of that name stands before the pixels."""
    file.seek(8)
    for _ in range(_MOST_TAGS):
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IDAT":
            return False
        if head[4:] == name:
            return True
        file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
    return False


def _jpeg(file: BinaryIO) -> tuple[int, int] | None:
    found = _jpeg_frame(file)
    return None if found is None else found[:2]


def _jpeg_frame(file: BinaryIO) -> tuple[int, int, int] | None:
    """(width, height, components)."""
    file.seek(2)
    for _ in range(_MOST_STEPS):
        lead = file.read(2)
        if len(lead) < 2:
            return None
        if lead[0] != 0xFF:
            file.seek(-1, os.SEEK_CUR)  # bytes before a marker are skipped, as decoders do
        elif lead[1] == 0xFF:
            file.seek(-1, os.SEEK_CUR)
        elif lead[1] in _FRAMES:
            _, _, height, width, components = struct.unpack(">HBHHB", file.read(8))
            return width, height, components
        elif lead[1] == 0xD9:
            return None
        elif lead[1] not in _ALONE and lead[1] != 0:
            (length,) = struct.unpack(">H", file.read(2))
            file.seek(max(0, length - 2), os.SEEK_CUR)
    return None


def _webp(start: bytes) -> tuple[int, int] | None:
    match start[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(start[24:27], "little"), 1 + int.from_bytes(start[27:30], "little")
        case b"VP8L" if start[20:21] == b"\x2f":
            bits = int.from_bytes(start[21:25], "little")
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 " if start[23:26] == b"\x9d\x01\x2a":
            width, height = struct.unpack("<HH", start[26:30])
            return width & 0x3FFF, height & 0x3FFF
    return None


def _tiff(file: BinaryIO, start: bytes) -> tuple[int, int] | None:
    found = _tiff_tags(file, start, (_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT))
    if _WIDTH not in found or _HEIGHT not in found:
        return None
    return max(found[_WIDTH], found.get(_TILE_WIDTH, 0)), max(found[_HEIGHT], found.get(_TILE_HEIGHT, 0))


def _tiff_tags(file: BinaryIO, start: bytes, wanted: tuple[int, ...]) -> dict[int, int]:
    """The largest first value of each `wanted` tag in the first directory; values that stand elsewhere are fetched."""
    order = "<" if start.startswith(b"I") else ">"
    big = b"+" in start[:4]  # BigTIFF
    offset_at, offset_kind, count_kind, entry = (8, "Q", "Q", "HHQ8s") if big else (4, "I", "H", "HHI4s")
    (offset,) = struct.unpack_from(order + offset_kind, start, offset_at)
    file.seek(offset)
    (count,) = struct.unpack(order + count_kind, file.read(struct.calcsize("=" + count_kind)))
    found: dict[int, int] = {}
    for _ in range(min(count, _MOST_TAGS)):
        tag, kind, values, value = struct.unpack(order + entry, file.read(struct.calcsize("=" + entry)))
        whole = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(kind)
        if tag not in wanted or whole is None:
            continue
        if values * struct.calcsize("=" + whole) > len(value):  # they stand elsewhere
            back = file.tell()
            file.seek(*struct.unpack(order + offset_kind, value))
            value = file.read(8).ljust(8, b"\0")
            file.seek(back)
        found[tag] = max(found.get(tag, 0), *struct.unpack_from(order + whole, value))
    return found
