"""Decide first: from what the user asked for to everything that will be done, as one value. Nothing is written yet."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from interp_cli.errors import InputError
from interp_cli.job.output import check_input, check_output, is_folder, result_path
from interp_cli.media.encode import Encoding, choose_encoding
from interp_cli.media.ffmpeg import Ffmpeg, find_ffmpeg
from interp_cli.media.fields import cannot_deinterlace, is_interlaced
from interp_cli.media.mux import Fate, container_for, stream_fates
from interp_cli.media.probe import probe, scan
from interp_cli.media.types import MediaInfo
from interp_cli.options import (
    AudioInSlowMotion,
    Codec,
    Deinterlace,
    EncodeOptions,
    EngineOptions,
    InputLimits,
    Mode,
)
from interp_cli.timeline import Plan, Rate, Timeline, decimal, make_plan, parse_rate
from interp_cli.weights import WeightsEntry
from interp_cli.weights import find as find_weights

_END = 1 << 20  # bytes
_BITS_PER_PIXEL = {  # of usual footage at the default quality: for an estimate of disk space, no more
    Codec.H264: 0.20,
    Codec.HEVC: 0.12,
    Codec.AV1: 0.10,
    Codec.VP9: 0.12,
    Codec.PRORES: 2.2,
    Codec.FFV1: 6.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the user asked for, for one file. Nothing in it has been checked."""

    input: str
    output: str | None = None  # a file or a folder; None: a default name beside the input
    rate: str | None = None  # as `parse_rate` reads it; None: the source's own rate
    slow: Fraction = Fraction(1)  # how many times as long the result lasts
    start: Fraction | None = None  # s after the first frame
    end: Fraction | None = None  # s after the first frame
    audio: bool = True
    slow_audio: AudioInSlowMotion = AudioInSlowMotion.STRETCH
    deinterlace: Deinterlace = Deinterlace.AUTO
    overwrite: bool = False
    fresh: bool = False  # start over where an earlier run was ended
    protected: tuple[str, ...] = ()  # files that the result must not replace: the inputs of the same batch
    engine: EngineOptions = field(default_factory=EngineOptions)
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    limits: InputLimits = field(default_factory=InputLimits)
    ffmpeg: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """By what an input is known again."""

    size: int  # bytes
    mtime_ns: int
    ends_sha256: str  # of its first and last MiB

    @classmethod
    def of(cls, path: str, *, content: bool = True) -> Identity:
        """That of a file; without `content` only by its size and time. Raises OSError."""
        with Path(path).open("rb") as file:
            facts = os.fstat(file.fileno())
            digest = hashlib.sha256()
            if content:
                digest.update(file.read(_END))
                file.seek(max(0, facts.st_size - _END))
                digest.update(file.read(_END))
        return cls(size=facts.st_size, mtime_ns=facts.st_mtime_ns, ends_sha256=digest.hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Everything that is decided before the first frame is decoded."""

    job: Job
    identity: Identity  # of the input, taken before it was read
    ffmpeg: Ffmpeg
    info: MediaInfo
    stored: Timeline  # of all frames that the file holds
    timeline: Timeline  # the same; of their fields, where those become frames
    fields: bool  # every field of the source becomes a whole frame, and counts as a source frame
    part: Timeline  # of the frames that are used, at their own times
    numbers: range  # of those frames in the file
    rate: Rate
    plan: Plan  # over `part`, stretched for slow motion
    output: Path
    container: str  # ffmpeg's muxer name
    encoding: Encoding
    fates: tuple[Fate, ...]
    weights: WeightsEntry

    @property
    def source_rate(self) -> Fraction:
        """Of the frames that the file holds, frames/s."""
        return self.stored.rate

    @property
    def trim(self) -> tuple[Fraction, Fraction] | None:
        """(start, end) on the source's clock, s; None for the whole file."""
        return None if len(self.numbers) == len(self.timeline) else (self.part.start, self.part.end)

    @property
    def disk_bytes(self) -> int:
        """An estimate of the space that the work needs at its height: the frames twice, and what is copied."""
        video = self.info.video
        bits = _BITS_PER_PIXEL[self.encoding.codec] * video.width * video.height * self.plan.frames
        if self.encoding.codec is Codec.FFV1:
            bits *= max(1.0, video.bit_depth / 8)
        if self.job.encode.crf is not None and self.encoding.codec is Codec.H264:
            bits *= 2 ** ((16 - self.job.encode.crf) / 6)
        copied = self.identity.size if self.info.others else 0
        return int(2 * bits / 8) + copied

    def notes(self) -> list[str]:
        """What the user should know before the work begins, as sentences."""
        said = list(self.encoding.notes)
        if self.rate.snapped_from is not None:
            said.append(f"--fps {self.rate.snapped_from} is taken as {self.rate.value} frames per second")
        source = self.source_rate
        if self.job.slow == 1 and self.rate.value <= source:
            fewer = "no more" if self.rate.value == source else "fewer"
            said.append(f"{decimal(self.rate.value)} frames per second is {fewer} than the source's {decimal(source)}")
        for fate in self.fates:
            if fate.action == "convert":
                said.append(f"{fate.kind} stream {fate.index} ({fate.codec}) becomes {fate.to_codec}: {fate.reason}")
            elif fate.action == "drop":
                said.append(f"{fate.kind} stream {fate.index} ({fate.codec}) is left out: {fate.reason}")
        said += self._of_fields()
        free = shutil.disk_usage(self.output.parent).free
        if free < self.disk_bytes:
            need, have = size_text(self.disk_bytes), size_text(free)
            said.append(f"the work may need about {need} of disk space (an estimate), and {have} are free")
        return said

    def _of_fields(self) -> list[str]:
        if not is_interlaced(self.info.video):
            return []
        if self.fields:
            become = f"its fields become {decimal(self.timeline.rate)} whole frames per second (bwdif)"
            return [
                f"{self.info.path} is interlaced: {become}, from which all else is made; --deinterlace off keeps it"
            ]
        reason = cannot_deinterlace(self.info.video) if self.job.deinterlace is Deinterlace.AUTO else None
        why = f" ({reason})" if reason else ""
        return [f"{self.info.path} is interlaced: its frames are used as they are{why}, which may show combs"]


def prepare(job: Job) -> Prepared:
    """Look at the input and decide everything. Nothing is written and nothing decoded; torch is not needed.

    Raises InputError, OutputError, UsageError, MissingToolError, WeightsError, FfmpegError.
    """
    check_input(job.input)
    if job.output is not None and not is_folder(job.output):
        check_output(job.output, inputs=(job.input, *job.protected), overwrite=job.overwrite, fresh=job.fresh)
        container_for(job.output)
    weights = find_weights(job.engine.model)
    ffmpeg = find_ffmpeg(job.ffmpeg)
    identity = _identity(job.input)
    info = probe(job.input, ffmpeg=ffmpeg, limits=job.limits)
    whole = scan(info, ffmpeg=ffmpeg)
    fields = _takes_fields(job, info)
    timeline = whole.in_fields() if fields else whole
    part, numbers = timeline.between(job.start, job.end)
    rate = Rate(value=whole.rate) if job.rate is None else parse_rate(job.rate, whole.rate)
    plan = make_plan(part if job.slow == 1 else part.stretched(job.slow), rate.value)
    if job.engine.mode is Mode.BISECT:
        from interp_cli.engine.levels import check_mode

        check_mode(plan.targets(), job.engine.mode)
    output = result_path(job.input, job.output, rate=rate.value, slow=job.slow, codec=job.encode.codec)
    check_output(output, inputs=(job.input, *job.protected), overwrite=job.overwrite, fresh=job.fresh)
    container = container_for(output)
    return Prepared(
        job=job,
        identity=identity,
        ffmpeg=ffmpeg,
        info=info,
        stored=whole,
        timeline=timeline,
        fields=fields,
        part=part,
        numbers=numbers,
        rate=rate,
        plan=plan,
        output=output,
        container=container,
        encoding=choose_encoding(info, job.encode, container=container, ffmpeg=ffmpeg),
        fates=stream_fates(info, container=container, slow=job.slow, audio=job.audio, slow_audio=job.slow_audio),
        weights=weights,
    )


def _takes_fields(job: Job, info: MediaInfo) -> bool:
    wanted = job.deinterlace is Deinterlace.AUTO and is_interlaced(info.video)
    return wanted and cannot_deinterlace(info.video) is None


def _identity(path: str) -> Identity:
    try:
        return Identity.of(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check its permissions") from error


def size_text(count: int) -> str:
    """A number of bytes for people: "1.5 GB"."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
