"""Two still pictures -> the pictures between them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from interp_cli.errors import InputError, OutputError, UsageError
from interp_cli.job.network import make_interpolator
from interp_cli.job.output import check_input, check_output, is_folder
from interp_cli.job.stop import Stop
from interp_cli.media.float_pictures import is_float, why_not_written
from interp_cli.media.images import read_image, write_image
from interp_cli.media.light import CLIPPED
from interp_cli.media.picture_size import SUFFIXES
from interp_cli.media.types import Color, Family, Planes
from interp_cli.options import EngineOptions, InputLimits
from interp_cli.progress import Progress
from interp_cli.timeline import Target, decimal

_NUMBER = re.compile(r"%(0[1-9])?d")


def even_times(count: int) -> tuple[Fraction, ...]:
    """`count` times that divide the way from one picture to the next into equal parts."""
    return tuple(Fraction(k, count + 1) for k in range(1, count + 1))


def names_for(first: str, second: str, times: Sequence[Fraction], output: str | None) -> list[Path]:
    """The file of every time. Raises UsageError when several times have one name only.

    `output` is a file for one time; a numbered pattern (out_%03d.png, counted from 1) or a folder for several. Without
    it, and in a folder, the names are made of the inputs' own.
    """
    a, b = Path(first), Path(second)
    if output is not None and not is_folder(output):
        if _NUMBER.search(Path(output).name):
            return [Path(output).with_name(_numbered(Path(output).name, k)) for k in range(1, len(times) + 1)]
        if len(times) > 1:
            raise UsageError(
                f"{len(times)} pictures cannot all become {output}: give a pattern (f_%03d.png) or a folder/"
            )
        return [Path(output)]
    folder = a.parent if output is None else Path(output)
    if len(times) == 1:
        return [folder / f"{a.stem}_{b.stem}_{decimal(times[0], 4)}{a.suffix}"]
    digits = max(3, len(str(len(times))))
    return [folder / f"{a.stem}_{b.stem}_{k:0{digits}d}{a.suffix}" for k in range(1, len(times) + 1)]


def _numbered(pattern: str, number: int) -> str:
    return _NUMBER.sub(lambda found: f"{number:{found[1] or ''}d}", pattern)


def make_stills(
    first: str,
    second: str,
    times: Sequence[Fraction],
    output: str | None,
    *,
    engine: EngineOptions,
    limits: InputLimits | None = None,
    overwrite: bool,
    progress: Progress,
    stop: Stop,
) -> list[Path]:
    """Write the pictures at `times` in (0, 1) between `first` and `second`; their names, in the order of `times`.

    Raises InputError, OutputError, UsageError, WeightsError, DeviceError.
    """
    for path in (first, second):
        check_input(path)
    places = names_for(first, second, times, output)
    folder = _folder_to_make(output, places)
    for place in places:
        if is_float(place):
            raise UsageError(why_not_written(place))
        if place.suffix.lower() not in SUFFIXES:
            kinds = ", ".join(sorted(SUFFIXES))
            raise UsageError(f"{place} cannot be written as {place.suffix or 'that'}: name it with one of {kinds}")
        if folder is None:
            check_output(place, inputs=(first, second), overwrite=overwrite)
    if any(Path(path).suffix.lower() == ".exr" for path in (first, second)):
        progress.note(CLIPPED)
    a, b = _pair(first, second, limits or InputLimits())
    interpolator, _, _ = make_interpolator(engine, note=progress.note)
    order = sorted(range(len(times)), key=lambda k: times[k])
    targets = [Target(n=k, pts=k, left=0, t=times[k]) for k in order]
    color = Color(range="pc", matrix=None if a.format.family is Family.GRAY else "gbr")
    progress.start(frames=len(times), input=[first, second], output=[str(place) for place in places])
    done = False
    try:
        if folder is not None:
            folder.mkdir()
        for planes in interpolator.run(iter((a, b)), targets, color=color):
            stop.check()
            write_image(str(places[planes.pts]), planes)
            progress.advance()
        done = True
    finally:
        progress.end(done=done)
    return places


def _folder_to_make(output: str | None, places: Sequence[Path]) -> Path | None:
    """A folder that -o asks for with a slash at its end and that is not there yet."""
    folder = places[0].parent
    if output is None or not is_folder(output) or folder.exists():
        return None
    if not folder.parent.is_dir():
        raise OutputError(f"the folder {folder.parent} does not exist: make it first, or choose another with -o")
    return folder


def _pair(first: str, second: str, limits: InputLimits) -> tuple[Planes, Planes]:
    """Both pictures, which must be alike. `pts` are 0 and 1."""
    a, b = (read_image(path, max_pixels=limits.max_pixels) for path in (first, second))
    if (a.width, a.height) != (b.width, b.height):
        sizes = f"{first} is {a.width} x {a.height} and {second} is {b.width} x {b.height}"
        raise InputError(f"{sizes}: pictures of one size are needed, so scale or crop one of them first")
    if a.format != b.format:
        kinds = f"{first} is {_kind(a)} and {second} is {_kind(b)}"
        raise InputError(f"{kinds}: pictures of one kind are needed, so convert one of them first")
    return a, Planes(1, b.data, b.format)


def _kind(planes: Planes) -> str:
    what = "grey" if planes.format.family is Family.GRAY else "RGB"
    return f"{planes.format.depth}-bit {what}{' with alpha' if planes.format.alpha else ''}"
