"""A folder, a numbered pattern or a glob of still pictures as one video: gray or RGB, at a rate that someone gives."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from interp_cli.errors import InputError
from interp_cli.media.animation import is_animated_webp
from interp_cli.media.bounds import MOST_FRAMES, check_size
from interp_cli.media.exr_header import check_exr, exr_header
from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.media.float_pictures import is_float, why_not_read
from interp_cli.media.picture_size import SUFFIXES, Samples, picture_samples, picture_size
from interp_cli.media.types import PIXEL_FORMATS, Color, Family, MediaInfo, PixelFormat, Planes, VideoStream
from interp_cli.options import InputLimits
from interp_cli.timeline import Timeline

DEFAULT_RATE: Final = Fraction(24)  # frames/s: what renderers and animators mean if they say nothing
NUMBER: Final = re.compile(r"%(?:0([1-9]\d?))?d")  # in the name of a pattern; group 1: its digits at the least
_CODECS = {".jpg": "mjpeg", ".jpeg": "mjpeg", ".tif": "tiff"}


# ---- which they are


def find_pictures(text: str) -> tuple[str, ...] | None:
    """The pictures that an input text means, in the order of showing; None if it means one file.

    A folder means all pictures in it; otherwise a text that no file is called by may be a pattern with %d or %04d in
    its last part, or a glob. Numbers in names count as numbers. Raises InputError when there are none.
    """
    place = Path(text)
    try:
        if place.is_dir():
            return _in_folder(text)
        if place.exists() or place.is_symlink():
            return None
    except (OSError, ValueError):
        return None
    if NUMBER.search(place.name):
        return _numbered(text)
    if glob.has_magic(text):
        return _globbed(text)
    return None


def _in_folder(text: str) -> tuple[str, ...]:
    held = [path for path in Path(text).iterdir() if not path.name.startswith(".") and path.is_file()]
    pictures = [path for path in held if path.suffix.lower() in SUFFIXES]
    if not pictures:
        _refuse_floats(held)
        advice = f"give the files in it, such as {Path(text) / '*.mp4'}"
        raise InputError(f"{text} is a folder without png, jpg, webp, tiff or exr pictures: {advice}")
    kinds = sorted({_CODECS.get(path.suffix.lower(), path.suffix.lower()[1:]) for path in pictures})
    if len(kinds) > 1:
        one = Path(text) / f"*{pictures[0].suffix}"
        raise InputError(f"{text} holds pictures of several kinds ({', '.join(kinds)}): say which, such as '{one}'")
    return _in_order(text, map(str, pictures))


def _numbered(text: str) -> tuple[str, ...]:
    place = Path(text)
    if len(NUMBER.findall(place.name)) > 1:
        raise InputError(f"{text} has more than one number in its name: give one %d, or a glob in quotes")
    before, digits, after = NUMBER.split(place.name)
    before, after, width = before.replace("%%", "%"), after.replace("%%", "%"), int(digits or 0)
    found = []
    if place.parent.is_dir():
        shape = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
        for path in place.parent.iterdir():
            named = shape.fullmatch(path.name)
            if named and named[1] == f"{int(named[1]):0{width}d}" and path.is_file():
                found.append((int(named[1]), path))
    if not found:
        first = place.with_name(f"{before}{1:0{width}d}{after}")
        raise InputError(f"no file is named like {text}, such as {first}: check the name")
    found.sort()
    return _known(text, [str(path) for _, path in found])


def _globbed(text: str) -> tuple[str, ...]:
    found = [path for path in glob.iglob(text) if Path(path).is_file()]  # noqa: PTH207 - Path.glob takes no full name
    if not found:
        raise InputError(f"{text} does not exist, nor is any file named like that: check the name")
    return _known(text, found)


def _known(text: str, found: list[str]) -> tuple[str, ...]:
    _refuse_floats(map(Path, found))
    others = [path for path in found if Path(path).suffix.lower() not in SUFFIXES]
    if others:
        raise InputError(f"{others[0]}, one of {text}, is no png, jpg, webp, tiff or exr: give videos without quotes")
    return _in_order(text, found)


def _refuse_floats(found: Iterable[Path]) -> None:
    for path in found:
        if is_float(path):
            raise InputError(why_not_read(path))


def _in_order(text: str, found: Iterable[str]) -> tuple[str, ...]:
    pictures = sorted(found, key=lambda path: (_natural(path), path))
    if len(pictures) > MOST_FRAMES:
        raise InputError(f"{text} means {len(pictures)} pictures, and {MOST_FRAMES} are possible: give fewer")
    return tuple(pictures)


def _natural(path: str) -> list[tuple[int, int, str]]:
    """A key by which f_9 comes before f_10."""
    parts = re.split(r"(\d+)", path)
    return [(1, int(part), "") if n % 2 and len(part) < 4000 else (0, 0, part) for n, part in enumerate(parts)]


def missing_numbers(pictures: tuple[str, ...]) -> int:
    """How many numbers are left out between the first and the last picture; 0 for names without numbers."""
    numbers = []
    for path in pictures:
        found = re.findall(r"\d+", Path(path).stem)
        if not found or len(found[-1]) > 18:
            return 0
        numbers.append(int(found[-1]))
    steps = [b - a for a, b in pairwise(numbers)]
    return sum(step - 1 for step in steps) if steps and min(steps) == 1 else 0


# ---- what they are


def picture_info(
    text: str, pictures: tuple[str, ...], *, rate: Fraction, limits: InputLimits | None, ffmpeg: Ffmpeg
) -> MediaInfo:
    """What the pictures are as one video at `rate` frames/s: all their headers are read, and the first one is decoded.

    Its format is the least that holds each of them without loss. Raises InputError, for different sizes too.
    """
    from interp_cli.media.images import read_image  # brings OpenCV, which most inputs do without

    allowed = limits or InputLimits()
    first = read_image(pictures[0], max_pixels=allowed.max_pixels, ffmpeg=ffmpeg)
    size, samples = _header(pictures[0], allowed)
    for path in pictures[1:]:
        other, its = _header(path, allowed)
        if other != size:
            wanted, found = (f"{width} x {height}" for width, height in (size, other))
            raise InputError(f"{path} is {found} and {pictures[0]} is {wanted}: frames of a video have one size")
        samples = samples.with_(its)
    samples = samples.with_(_samples_of(first.format))
    pixels = _format(samples)
    rgb = pixels.family is Family.RGB
    suffix = Path(pictures[0]).suffix.lower()
    return MediaInfo(
        path=text,
        container="image2",
        video=VideoStream(
            index=0,
            codec=_CODECS.get(suffix, suffix[1:]),
            width=first.width,
            height=first.height,
            pix_fmt=pixels.name,
            bit_depth=pixels.depth,
            time_base=1 / rate,
            sar=_pixel_shape(pictures[0]),
            color=Color(range="pc", matrix="gbr" if rgb else None),
        ),
        limits=allowed,
        pictures=pictures,
    )


def picture_timeline(info: MediaInfo) -> Timeline:
    """Each picture is shown for one tick."""
    count = len(info.pictures)
    return Timeline(time_base=info.video.time_base, pts=tuple(range(count)), end_pts=count)


def read_pictures(info: MediaInfo, timeline: Timeline, wanted: range, *, ffmpeg: Ffmpeg) -> Iterator[Planes]:
    """The pictures with numbers `wanted`, all in the format of `info`. Raises InputError for one that does not fit."""
    from interp_cli.media.images import read_image

    pixels = PIXEL_FORMATS[info.video.pix_fmt]
    for i in wanted:
        path = info.pictures[i]
        planes = read_image(path, max_pixels=(info.limits or InputLimits()).max_pixels, ffmpeg=ffmpeg)
        if (planes.width, planes.height) != (info.video.width, info.video.height):
            wanted_size = f"{info.video.width} x {info.video.height}"
            raise InputError(f"{path} is {planes.width} x {planes.height} and not {wanted_size} like the others")
        yield _widened(planes, pixels, pts=timeline.pts[i], path=path)


def _header(path: str, limits: InputLimits) -> tuple[tuple[int, int], Samples]:
    try:
        with Path(path).open("rb") as file:
            size = picture_size(file)
            if size is None or min(size) < 1:
                raise InputError(f"{path} is not a picture that vfi can read: is it damaged?")
            check_size(path, *size, max_pixels=limits.max_pixels)
            check_exr(path, file, max_pixels=limits.max_pixels)
            if is_animated_webp(file):
                raise InputError(f"{path} is an animated WebP, and one of several pictures: give that file alone")
            file.seek(0)
            return size, picture_samples(file)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check its permissions") from None


def _pixel_shape(path: str) -> Fraction:
    """Width of a pixel to its height; of the formats that can say, EXR is the one where it is meant."""
    with Path(path).open("rb") as file:
        header = exr_header(file)
    return Fraction(1) if header is None else header.sar


def _samples_of(pixels: PixelFormat) -> Samples:
    return Samples(color=pixels.family is Family.RGB, alpha=pixels.alpha, deep=pixels.depth > 8)


def _format(samples: Samples) -> PixelFormat:
    bits = "16le" if samples.deep else ""
    if samples.alpha:
        return PIXEL_FORMATS[f"gbrap{bits}"]
    return PIXEL_FORMATS[f"{'gbrp' if samples.color else 'gray'}{bits}"]


def _widened(planes: Planes, pixels: PixelFormat, *, pts: int, path: str) -> Planes:
    """The same picture in `pixels`: gray three times, opaque, 8 bits as 16. Raises InputError where that would lose."""
    own = _samples_of(planes.format)
    if own.with_(_samples_of(pixels)) != _samples_of(pixels):
        raise InputError(
            f"{path} is {planes.format.name}, and the pictures before it are {pixels.name}: is it damaged?"
        )
    data = list(planes.data)
    if pixels.depth > planes.format.depth:
        data = [plane.astype(np.uint16) * 257 for plane in data]
    if pixels.family is Family.RGB and planes.format.family is Family.GRAY:
        data = [data[0]] * 3
    if pixels.alpha and not planes.format.alpha:
        data.append(np.full_like(data[0], pixels.peak))
    return Planes(pts, tuple(data), pixels)
