"""What is measured on: a clip of a certain size and length, how vfi would do it, and some of its frames in memory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

from interp_cli.errors import InputError, UsageError
from interp_cli.job.prepare import Job, Prepared, prepare
from interp_cli.job.segments import decoder_of
from interp_cli.job.stop import Stop
from interp_cli.media.bounds import SILENCE_S
from interp_cli.media.decode import decode
from interp_cli.media.ffmpeg import Ffmpeg, Output, child, failure, file_url, source
from interp_cli.media.probe import probe
from interp_cli.media.types import MediaInfo, Planes
from interp_cli.options import EncodeOptions, EngineOptions, Hwaccel, InputLimits
from interp_cli.timeline import Target

EXAMPLE = Path("examples/clip.mp4")
HELD_BYTES = 1 << 30  # of source frames and of those between them
_CUT = {"c:v": "libx264", "crf": "12", "preset": "fast"}  # near enough to the source, and quick


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to measure, beside the size."""

    clip: str
    seconds: Fraction  # of the clip, which is cut or repeated
    factor: Fraction
    engine: EngineOptions
    encode: EncodeOptions
    limits: InputLimits
    hwaccel: Hwaccel = Hwaccel.AUTO
    ffmpeg: Ffmpeg


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A clip to measure on."""

    folder: Path  # for results
    work: Prepared  # what `vfi upsample` does to the clip
    frames: tuple[Planes, ...]  # its first source frames
    targets: tuple[Target, ...]  # of all output frames between these

    @property
    def clip(self) -> str:
        """The clip's file."""
        return self.work.job.input


def default_clip() -> str:
    """The example of the checkout that is the current folder. Raises UsageError where there is none."""
    if not EXAMPLE.is_file():
        raise UsageError("say which video to measure with, for example vfi bench holiday.mp4")
    return str(EXAMPLE)


def look_at(asked: Asked) -> MediaInfo:
    """What the clip holds. Raises InputError, UsageError."""
    if asked.factor <= 1:
        raise UsageError(f"--factor {asked.factor} makes no frames: give a number above 1, such as 2")
    info = probe(asked.clip, ffmpeg=asked.ffmpeg, limits=asked.limits)
    if info.pictures:
        raise InputError(f"{asked.clip} is a row of pictures, and decoding is measured too: give a video")
    return info


@contextmanager
def material(asked: Asked, info: MediaInfo, *, lines: int, stop: Stop) -> Iterator[Material]:
    """The clip of `asked`, which `info` is of, at `lines` rows of pixels; gone when the block is left."""
    folder = Path(tempfile.mkdtemp(prefix="vfi-bench-"))

    def remove() -> None:
        shutil.rmtree(folder, ignore_errors=True)

    stop.before_the_end.append(remove)
    try:
        clip = folder / "source.mp4"
        _cut(asked, info, clip, lines)
        out = str(folder / "vfi.mkv")
        work = prepare(
            Job(
                input=str(clip),
                output=out,
                rate=f"{asked.factor}x",
                engine=asked.engine,
                encode=asked.encode,
                limits=asked.limits,
                hwaccel=asked.hwaccel,
                ffmpeg=asked.ffmpeg.path,
            )
        )
        work = replace(work, info=decoder_of(work))
        frames = _held(work, float(asked.factor))
        yield Material(folder=folder, work=work, frames=frames, targets=_between(work, len(frames)))
    finally:
        stop.before_the_end.remove(remove)
        remove()


def _cut(asked: Asked, info: MediaInfo, clip: Path, lines: int) -> None:
    """Write the clip's picture, `asked.seconds` of it and `lines` high, over and over if it is shorter.

    ffmpeg is ended if it writes nothing for a while: a file that gives no frames would be begun anew for ever.
    """
    read = source(info.path, {**info.reading, "stream_loop": "-1"}, max_pixels=info.max_pixels)
    options = {**_CUT, "t": str(float(asked.seconds)), "vf": f"scale=-2:{lines}:flags=area"}
    written = Output(file_url(clip), (f"0:{info.video.index}",), options)
    with child(asked.ffmpeg, [read], [written], flags=("-y",), grows=clip, patience=SILENCE_S, tied=True) as running:
        status, said = running.finish()
    if status:
        raise failure(f"make {asked.clip} {lines} lines high", status=status, lines=said)


def _held(work: Prepared, factor: float) -> tuple[Planes, ...]:
    """As many of the first source frames as fit into memory, with those that are made of them."""
    video = work.info.video
    with decode(work.info, work.timeline, ffmpeg=work.ffmpeg) as frames:
        first = next(frames)
        most = int(HELD_BYTES / (factor * first.format.frame_bytes(video.width, video.height)))
        held = (first, *islice(frames, max(most, 3) - 1))
    if len(held) < 2:
        raise InputError(f"{work.job.input} has {len(held)} frame, and two are needed: give --seconds more")
    return held


def _between(work: Prepared, frames: int) -> tuple[Target, ...]:
    return tuple(target for target in work.plan.targets() if target.left < frames - 1)
