"""Files that lie beside the segments while they are joined: covers for Matroska, subtitles converted beforehand."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from interp_cli.media.ffmpeg import Ffmpeg, Input, Options, Output, Value, file_url, run, source
from interp_cli.media.streams import Fate
from interp_cli.media.tracks import DROP_NEGATIVE, encoder_options
from interp_cli.media.types import MediaInfo

_PICTURES = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png")}  # ending and MIME type by codec
_LONGEST_NAME = 255  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """A cover picture as Matroska keeps it: an attachment."""

    index: int  # stream number in the original
    file: str  # its name beside the segments
    tags: tuple[str, ...]  # KEY=VALUE


def covers_of(info: MediaInfo, kept: Sequence[Fate], container: str) -> tuple[Cover, ...]:
    """The covers among `kept` that become attachments, under the names that Matroska's players look for."""
    covers: list[Cover] = []
    streams = {stream.index: stream for stream in info.others}
    for fate in kept if container == "matroska" else ():
        if not (fate.index in streams and streams[fate.index].attached_picture):
            continue
        ending, mime = _PICTURES[fate.codec]
        number = "" if not covers else f"_{len(covers) + 1}"
        named = {key.lower(): value for key, value in streams[fate.index].tags}.get("filename")
        name = named if named and len(named) <= _LONGEST_NAME else f"cover{number}.{ending}"
        tags = (f"filename={name}", f"mimetype={mime}")
        covers.append(Cover(index=fate.index, file=f"cover-{fate.index}.{ending}", tags=tags))
    return tuple(covers)


def write_covers(info: MediaInfo, covers: Sequence[Cover], folder: Path, *, ffmpeg: Ffmpeg) -> list[Path]:
    """The pictures as they are stored, as files in `folder`. Raises FfmpegError."""
    paths = [folder / cover.file for cover in covers]
    outputs = [
        Output(file_url(path), (f"0:{cover.index}",), {"c": "copy", "frames": 1, "f": "image2pipe"})
        for cover, path in zip(covers, paths, strict=True)
    ]
    if outputs:
        run(ffmpeg, [_original(info)], outputs, doing=f"read the cover of {info.path}")
    return paths


def is_converted_first(fate: Fate, slow: Fraction) -> bool:
    """Whether this stream is converted in a step before it is slowed down.

    In one step ffmpeg leaves the durations as they were, and 5.1 loses the last subtitle.
    """
    return fate.kind == "subtitle" and fate.action == "convert" and slow != 1


def write_subtitles(
    info: MediaInfo, fates: Sequence[Fate], folder: Path, *, container: str, zero: Fraction, cut: bool, ffmpeg: Ffmpeg
) -> Path:
    """A file in `folder` of the subtitles `fates`, converted, in this order, at their own speed.

    `zero` is the source's time that is 0 in it, s; with `cut` what begins before that is left out. Raises FfmpegError.
    """
    path = folder / ("subtitles.mp4" if container in ("mp4", "mov") else "subtitles.mkv")
    options: dict[str, Value] = {"f": "mp4" if path.suffix == ".mp4" else "matroska"}
    for n, fate in enumerate(fates):
        options |= {f"{key}:{n}": value for key, value in encoder_options(fate).items()}
        options |= {f"bsf:{n}": DROP_NEGATIVE} if cut else {}
    output = Output(file_url(path), tuple(f"0:{fate.index}" for fate in fates), options)
    inputs = [_original(info, {"itsoffset": f"{round((info.offset - zero) * 1_000_000)}us"})]
    run(ffmpeg, inputs, [output], doing=f"convert the subtitles of {info.path}")
    return path


def _original(info: MediaInfo, options: Options | None = None) -> Input:
    return source(str(Path(info.path).resolve()), options, max_pixels=info.max_pixels)
