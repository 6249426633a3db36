"""Still pictures <-> Planes, through OpenCV, EXR through exr.py: gray, RGB, RGB with alpha; 8 and 16 bits."""

import os
import tempfile
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from interp_cli.errors import InputError, OutputError, UsageError
from interp_cli.media.animation import is_animated_webp
from interp_cli.media.bounds import check_size
from interp_cli.media.exr import exr_of, read_exr
from interp_cli.media.exr_header import MAGIC, check_exr
from interp_cli.media.ffmpeg import Ffmpeg, find_ffmpeg
from interp_cli.media.float_pictures import is_float, why_not_read
from interp_cli.media.light import light_of
from interp_cli.media.picture_size import SUFFIXES, picture_size
from interp_cli.media.types import PIXEL_FORMATS, Family, Planes
from interp_cli.options import InputLimits

_DEEP: Final = {".png", ".tif", ".tiff"}  # hold 16 bits
_CLEAR: Final = {".png", ".tif", ".tiff", ".webp"}  # hold transparency
_MOST_PER_PIXEL: Final = 16  # bytes in a file: an uncompressed picture of 4 samples has 8


def read_image(path: str, *, max_pixels: int = InputLimits().max_pixels, ffmpeg: Ffmpeg | None = None) -> Planes:
    """The picture in `path` as gray, gbrp or gbrap Planes of 8 or 16 bits (gray16le, ...), pts 0; values as stored.

    A JPEG's orientation tag is applied, as viewers do; other formats have none that matters. EXR is decoded by `ffmpeg`
    (None: the one that is found) and becomes 16 bits by the curve of sRGB. Raises InputError, for a picture of more
    than `max_pixels` before any memory is taken.
    """
    try:
        stored = _stored(path, max_pixels)  # not cv2.imread, which cannot say what is wrong with a file
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: check the name") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder: give one picture") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check its permissions") from None
    if stored[:4].tobytes() == MAGIC:
        return read_exr(path, stored.data, ffmpeg=ffmpeg or find_ffmpeg())
    picture = _decode(stored)
    if picture is None or picture.dtype not in (np.uint8, np.uint16):
        raise _no_picture(path)
    return _to_planes(picture)


def _stored(path: str, max_pixels: int) -> NDArray[np.uint8]:
    """The bytes of the file, once its header is known to promise no more than is allowed."""
    with Path(path).open("rb") as file:
        size = picture_size(file)
        length = file.seek(0, os.SEEK_END)
        if not length:
            raise InputError(f"{path} is empty: it holds 0 bytes")
        if size is None or min(size) < 1:
            raise _no_picture(path)
        if is_animated_webp(file):
            raise InputError(f"{path} is an animated WebP, and one picture is needed: vfi upsample takes such files")
        check_size(path, *size, max_pixels=max_pixels)
        check_exr(path, file, max_pixels=max_pixels)
        if length > _MOST_PER_PIXEL * max_pixels + (1 << 26):  # and a profile, a preview, ...
            raise InputError(f"{path} holds {length} bytes, more than a picture of its size: is it damaged?")
        file.seek(0)
        return np.frombuffer(file.read(), np.uint8)


def _no_picture(path: str) -> InputError:
    if is_float(path):
        return InputError(why_not_read(path))
    return InputError(f"{path} is not a picture that vfi can read: give a png, jpg, webp, tiff or exr")


def _decode(stored: NDArray[np.uint8]) -> NDArray[Any] | None:
    jpeg = stored[:2].tobytes() == b"\xff\xd8"
    try:  # IMREAD_UNCHANGED keeps depth and alpha but ignores orientation; only JPEGs have neither and need the latter
        return cv2.imdecode(stored, cv2.IMREAD_ANYCOLOR if jpeg else cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None


def _to_planes(picture: NDArray[Any]) -> Planes:
    bits = "16le" if picture.dtype == np.uint16 else ""
    if picture.ndim == 2:
        return Planes(0, (np.ascontiguousarray(picture),), PIXEL_FORMATS[f"gray{bits}"])
    blue, green, red, *alpha = (np.ascontiguousarray(picture[..., c]) for c in range(picture.shape[2]))
    return Planes(0, (green, blue, red, *alpha), PIXEL_FORMATS[f"gbr{'a' if alpha else ''}p{bits}"])


def write_image(path: str, planes: Planes, *, quality: int = 95) -> None:
    """Write gray, gbrp or gbrap Planes of 8 or 16 bits as png, jpg, webp, tiff or exr, chosen by the name of `path`.

    PNG and TIFF keep every value, EXR as half floats; `quality` (1-100; WebP: 101 is lossless) is for the others, which
    get 8 bits. JPEG drops transparency. The file appears complete or not at all. Raises UsageError, OutputError.
    """
    out = Path(path)
    suffix = out.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{path} is not named as a picture: end it with {', '.join(sorted(SUFFIXES))}")
    _check_kind(planes)
    try:
        _replace(out, exr_of(light_of(planes)) if suffix == ".exr" else _encoded(path, planes, suffix, quality))
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}): check the folder and its space") from None


def _check_kind(planes: Planes) -> None:
    kind = planes.format
    if kind.family is Family.YUV or kind.depth not in (8, 16):
        raise UsageError(f"{kind.name} cannot be written as a picture: only gray and RGB of 8 or 16 bits can")


def _encoded(path: str, planes: Planes, suffix: str, quality: int) -> bytes:
    ok, stored = cv2.imencode(suffix, _to_picture(planes, suffix), _parameters(suffix, quality))
    if not ok:
        raise OutputError(f"{path} cannot be written as {suffix}: try .png")
    return bytes(stored.tobytes())


def _to_picture(planes: Planes, suffix: str) -> NDArray[Any]:
    kind, data = planes.format, list(planes.data)
    if kind.depth == 16 and suffix not in _DEEP:
        data = [((p.astype(np.uint32) + 128) // 257).astype(np.uint8) for p in data]
    if kind.family is Family.GRAY:
        return data[0]
    green, blue, red, *alpha = data
    return np.dstack([blue, green, red, *(alpha if suffix in _CLEAR else [])])


def _parameters(suffix: str, quality: int) -> list[int]:
    match suffix:
        case ".jpg" | ".jpeg":
            return [cv2.IMWRITE_JPEG_QUALITY, min(quality, 100)]
        case ".webp":
            return [cv2.IMWRITE_WEBP_QUALITY, quality]
        case ".png":
            return [cv2.IMWRITE_PNG_COMPRESSION, 6]
        case _:
            return []


def _replace(out: Path, content: bytes) -> None:
    """Write beside `out`, then rename."""
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.stem[:40]}.", suffix=out.suffix)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)  # mkstemp's files are for the owner alone
        Path(name).replace(out)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
