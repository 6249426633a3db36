"""Where a result goes: its name, the checks before any work, and the step onto the final name."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

from interp_cli.errors import ExistsError, OutputError, UsageError
from interp_cli.job.sequence import check_sequence, is_sequence
from interp_cli.job.workdir import was_published
from interp_cli.media.encoding import holds
from interp_cli.media.float_pictures import is_float, why_not_written
from interp_cli.media.mux import container_for
from interp_cli.media.picture_size import SUFFIXES
from interp_cli.media.pictures import NUMBER, find_pictures
from interp_cli.media.streams import suffix_of
from interp_cli.media.unreadable import check_file
from interp_cli.options import Codec
from interp_cli.timeline import decimal

_LONGEST_NAME = 255  # bytes, on nearly every file system


def check_input(path: str) -> None:
    """Raises InputError or UsageError when `path` cannot be a media file, without reading it."""
    if path == "-":
        raise UsageError("standard input can be read by vfi upsample and vfi slowmo: give the name of a file here")
    if find_pictures(path) is None:
        check_file(path)


def is_folder(text: str) -> bool:
    """Whether an -o text means a folder: it is one, or ends in a slash."""
    return text.endswith(("/", os.sep)) or os.path.isdir(text)  # noqa: PTH112 - which never raises, unlike Path.is_dir


def make_folder(text: str) -> None:
    """Make the folder that an -o text means, if its parent is there. Raises OutputError."""
    try:
        Path(text).mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {text} cannot be made ({error.strerror}): choose another with -o") from error


def container_of(output: Path | str, asked: str | None) -> str:
    """ffmpeg's muxer name for the result: "image2" for a pattern of pictures. Raises UsageError."""
    if is_sequence(output):
        if asked is not None:
            raise UsageError(f"{output} means pictures, which are no {asked} file: leave -f out, or give another -o")
        return "image2"
    place = Path(output)
    many = place.with_name(f"{place.stem}_%05d{place.suffix}")
    if asked is None and is_float(place):
        raise UsageError(why_not_written(place if NUMBER.search(place.name) else many))
    if asked is None and place.suffix.lower() in SUFFIXES:
        raise UsageError(f"{output} would be one picture: give a pattern for many, such as {many}, or name it .apng")
    return container_for(output, asked)


def result_path(
    path: str, output: str | None, *, rate: Fraction, slow: Fraction, codec: Codec | None, format: str | None = None
) -> Path:
    """The final name: `output`, or a default name in that folder or beside the input (in_60fps.mp4, in_slow8x.mp4)."""
    if output is not None and not is_folder(output):
        return Path(output)
    what = f"slow{decimal(slow)}x" if slow != 1 else f"{decimal(rate)}fps"
    name = f"{_stem(path)}_{what}{_suffix(path, codec) if format is None else suffix_of(format)}"
    return (Path(path).parent if output is None else Path(output)) / name


def _stem(path: str) -> str:
    """What a result is named after: the file, the folder of pictures, or a pattern without its number."""
    place = Path(path)
    if place.is_dir():
        return place.resolve().name or "pictures"
    if find_pictures(path) is None:
        return place.stem
    return re.sub(r"%0?\d*d|[*?]|\[.*?\]", "", place.stem).strip("_-. ") or place.resolve().parent.name or "pictures"


def _suffix(path: str, codec: Codec | None) -> str:
    """The source's own extension if vfi can write that container and it takes the codec, else the next best."""
    own = Path(path).suffix
    try:
        container_for(path)
    except UsageError:
        own = ".mp4"
    if codec is None:
        return own
    return next(suffix for suffix in (own, ".mp4", ".mov", ".mkv") if holds(container_for(f"x{suffix}"), codec.plain))


def check_output(output: Path | str, *, inputs: tuple[str, ...], overwrite: bool, fresh: bool = False) -> None:
    """Raises OutputError or UsageError when the result could not get the name `output`; writes nothing."""
    if str(output) == "-":
        raise UsageError("standard output needs a format: add -f nut, or give the name of a file with -o")
    place = Path(output)
    if (length := len(os.fsencode(place.name))) > _LONGEST_NAME:
        raise OutputError(
            f"the name {place.name} has {length} bytes and may have {_LONGEST_NAME}: give another with -o"
        )
    if is_sequence(output):
        check_sequence(place, inputs=inputs, overwrite=overwrite, fresh=fresh)
        _check_folder(place.parent if place.parent.is_dir() else place.parent.parent)
        return
    try:
        taken = place.exists() or place.is_symlink()
        if place.exists() and any(place.samefile(path) for path in inputs if Path(path).exists()):
            raise OutputError(f"{output} is the input itself, or another input: choose another name with -o")
        if place.is_dir():
            raise OutputError(f"{output} is a folder: give the name of a file in it")
        if place.exists() and not place.is_file():
            raise OutputError(f"{output} is not a regular file: give the name of a file with -o")
    except OSError as error:
        raise OutputError(f"{output} cannot be written ({error.strerror}): choose another name with -o") from error
    if taken and not overwrite and (fresh or not was_published(place)):
        raise ExistsError(f"{output} exists already: add -y to replace it, or choose another name with -o", output)
    _check_folder(place.parent)


def _check_folder(folder: Path) -> None:
    if not folder.exists():
        raise OutputError(f"the folder {folder} does not exist: make it first, or choose another with -o")
    if not folder.is_dir():
        raise OutputError(f"{folder} is not a folder: choose another place with -o")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"the folder {folder} may not be written to: choose another with -o")


def publish(finished: Path, output: Path, *, overwrite: bool) -> None:
    """Give the finished file its final name, at once. Raises OutputError if a file of that name appeared meanwhile."""
    try:
        if not overwrite:
            with suppress(OSError):  # where the file system has no hard links, the check below is all there is
                os.link(finished, output)
                return
            if output.exists() or output.is_symlink():
                raise OutputError(
                    f"{output} appeared while vfi was working: add -y to replace it, or choose another name"
                )
        finished.replace(output)
    except IsADirectoryError as error:
        raise OutputError(f"{output} cannot be written ({error.strerror}): choose another name with -o") from error
