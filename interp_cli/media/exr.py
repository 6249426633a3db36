"""EXR pictures <-> Planes: read by ffmpeg, which knows every compression, and written by us, as half floats with ZIP.

ffmpeg's own ways between linear light and code are not exact (no curve in its newer decoders, 14 of 65536 steps off by
zscale), nor does its encoder round to half; so it is used for the decoding alone, and light.py does the rest.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from interp_cli.errors import InputError
from interp_cli.media.bounds import SILENCE_S
from interp_cli.media.exr_header import HALF, MAGIC, ExrHeader, exr_header, is_whole
from interp_cli.media.ffmpeg import Ffmpeg, Input, Output, Value, child, failure, file_url
from interp_cli.media.light import planes_of
from interp_cli.media.types import Planes

_ZIP: Final = 3  # of 16 lines at a time, which every program reads
_LINES: Final = 16
_LEVEL: Final = 4  # of zlib, as OpenEXR's own


def read_exr(path: str, stored: bytes | memoryview, *, ffmpeg: Ffmpeg) -> Planes:
    """The picture of the file `path`, which holds the bytes `stored`, as gray or RGB of 16 bits, pts 0.

    Its header is known to be readable. Raises InputError.
    """
    header = exr_header(io.BytesIO(stored))
    if header is None or not is_whole(header, memoryview(stored)):
        raise InputError(f"{path} is incomplete: part of the picture is missing, as after a cut-off copy or rendering")
    samples = header.width * header.height * len(header.used)
    raw = _decoded(path, header, size=len(stored), most=4 * samples, ffmpeg=ffmpeg)
    light = np.frombuffer(raw, "<f4" if len(raw) == 4 * samples else "<f2")
    if header.half:
        light = light.astype(np.float16)  # ffmpeg 5.1 widens them
    return planes_of(tuple(light.reshape(len(header.used), header.height, header.width)))


def _decoded(path: str, header: ExrHeader, *, size: int, most: int, ffmpeg: Ffmpeg) -> bytes:
    """The samples as the decoder gives them, plane by plane: `most` bytes, or half as many of half floats."""
    pixels = max(header.width * header.height, header.stored[0] * header.stored[1], 1 << 20)
    options: dict[str, Value] = {
        "protocol_whitelist": "file",
        "max_pixels": pixels,
        "max_alloc": 64 * pixels + (1 << 28),  # bytes
        "f": "exr_pipe",
        "frame_size": size,
    }
    output = Output("pipe:1", ("0:v:0",), {"frames:v": 1, "f": "rawvideo"})
    raw = bytearray(most)
    with child(ffmpeg, [Input(file_url(path), options)], [output], patience=SILENCE_S) as running:
        got = running.fill(memoryview(raw))
        status, lines = running.finish()
    if status or lines or got not in (most, most // 2):  # it goes on after an error, with black where that was
        why = str(failure("decode it", status=status, lines=lines)).split(": ", 1)[1]
        raise InputError(f"{path} is damaged, or an EXR that ffmpeg cannot read: {why}")
    return bytes(raw[:got])


# ---- writing


def exr_of(light: Sequence[NDArray[np.float16]], *, sar: Fraction = Fraction(1)) -> bytes:
    """A file of half floats, (rows, columns) each: Y, or G, B, R and perhaps alpha. `sar` is the shape of a pixel."""
    (height, width), names = light[0].shape, "Y" if len(light) == 1 else "GBRA"
    order = sorted(range(len(light)), key=names.__getitem__)  # the format wants them by name
    lines = np.stack([light[n] for n in order], axis=1)  # (rows, channels, columns)
    head = _head([names[n] for n in order], width, height, sar)
    chunks = [_chunk(y, lines[y : y + _LINES]) for y in range(0, height, _LINES)]
    begins = np.cumsum([len(head) + 8 * len(chunks), *map(len, chunks[:-1])])
    return b"".join([head, begins.astype("<u8").tobytes(), *chunks])


def _head(channels: list[str], width: int, height: int, sar: Fraction) -> bytes:
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    listed = b"".join(name.encode() + b"\0" + struct.pack("<iIii", HALF, 0, 1, 1) for name in channels)
    attributes = (
        ("channels", "chlist", listed + b"\0"),
        ("compression", "compression", bytes([_ZIP])),
        ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", window),
        ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", float(sar))),
        ("screenWindowCenter", "v2f", bytes(8)),
        ("screenWindowWidth", "float", struct.pack("<f", 1)),
    )
    told = (f"{name}\0{kind}\0".encode() + struct.pack("<I", len(value)) + value for name, kind, value in attributes)
    return MAGIC + struct.pack("<I", 2) + b"".join(told) + b"\0"


def _chunk(y: int, lines: NDArray[np.float16]) -> bytes:
    """Lines from `y` on: low bytes before high ones, each as its difference from the one before, then zlib."""
    raw = np.frombuffer(lines.astype("<f2").tobytes(), np.uint8)
    parted = np.concatenate([raw[::2], raw[1::2]])
    steps = np.concatenate([parted[:1], parted[1:] - parted[:-1] + np.uint8(128)])
    packed = zlib.compress(steps.tobytes(), _LEVEL)
    content = packed if len(packed) < len(raw) else raw.tobytes()
    return struct.pack("<ii", y, len(content)) + content
