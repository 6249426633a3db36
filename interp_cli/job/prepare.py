"""Decide first: from what the user asked for to everything that will be done, as one value. Nothing is written yet."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from interp_cli.errors import InputError, UsageError
from interp_cli.job.output import check_input, check_output, is_folder, result_path
from interp_cli.media.encode import Encoding, choose_encoding
from interp_cli.media.ffmpeg import Ffmpeg, find_ffmpeg
from interp_cli.media.mux import Fate, container_for, stream_fates
from interp_cli.media.probe import probe, scan
from interp_cli.media.types import MediaInfo
from interp_cli.options import AudioInSlowMotion, Codec, EncodeOptions, EngineOptions, InputLimits, Mode, Rhythm
from interp_cli.timeline import FINEST_TICK, Plan, Rate, Timeline, decimal, keep_plan, make_plan, parse_rate
from interp_cli.weights import WeightsEntry
from interp_cli.weights import find as find_weights

_END = 1 << 20  # bytes
_TICK = {"matroska": Fraction(1, 1000), "webm": Fraction(1, 1000), "mpegts": Fraction(1, 90_000)}  # s
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
    vfr: Rhythm = Rhythm.CFR  # keep: as many frames for each source frame as `rate` ("3x"), or `slow`, says
    start: Fraction | None = None  # s after the first frame
    end: Fraction | None = None  # s after the first frame
    audio: bool = True
    slow_audio: AudioInSlowMotion = AudioInSlowMotion.STRETCH
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
    timeline: Timeline  # of the whole file
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
        source = self.timeline.rate
        if self.job.slow == 1 and self.rate.value <= source:
            fewer = "no more" if self.rate.value == source else "fewer"
            said.append(f"{decimal(self.rate.value)} frames per second is {fewer} than the source's {decimal(source)}")
        if self.job.vfr is Rhythm.KEEP:
            kept = f"the source's own rhythm is kept, with {self.plan.factor} frames for each of its"
            said.append(kept if self.plan.factor else "the source's rate is constant, so --vfr keep changes nothing")
        elif not self.part.is_cfr:
            said.append("the source's frames are not equally spaced; those of the result are (--vfr keep: neither are)")
        for fate in self.fates:
            if fate.action == "convert":
                said.append(f"{fate.kind} stream {fate.index} ({fate.codec}) becomes {fate.to_codec}: {fate.reason}")
            elif fate.action == "drop":
                said.append(f"{fate.kind} stream {fate.index} ({fate.codec}) is left out: {fate.reason}")
        if self.info.video.field_order not in ("progressive", "unknown"):
            said.append(f"{self.info.path} is interlaced: its frames are used as they are, which may show combs")
        free = shutil.disk_usage(self.output.parent).free
        if free < self.disk_bytes:
            need, have = size_text(self.disk_bytes), size_text(free)
            said.append(f"the work may need about {need} of disk space (an estimate), and {have} are free")
        return said


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
    timeline = scan(info, ffmpeg=ffmpeg)
    part, numbers = timeline.between(job.start, job.end)
    rate = Rate(value=timeline.rate) if job.rate is None else parse_rate(job.rate, timeline.rate)
    plan = _plan(job, part if job.slow == 1 else part.stretched(job.slow), rate)
    if job.engine.mode is Mode.BISECT:
        from interp_cli.engine.levels import check_mode

        check_mode(plan.targets(), job.engine.mode)
    output = result_path(job.input, job.output, rate=rate.value, slow=job.slow, codec=job.encode.codec)
    check_output(output, inputs=(job.input, *job.protected), overwrite=job.overwrite, fresh=job.fresh)
    container = container_for(output)
    check_rhythm(plan, container, output)
    return Prepared(
        job=job,
        identity=identity,
        ffmpeg=ffmpeg,
        info=info,
        timeline=timeline,
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


def _plan(job: Job, timeline: Timeline, rate: Rate) -> Plan:
    """What frames there will be of `timeline`, at their times. Raises UsageError."""
    if job.vfr is Rhythm.CFR:
        return make_plan(timeline, rate.value)
    return keep_plan(timeline, _frames_per_gap(job), rate=rate.value)


def _frames_per_gap(job: Job) -> int:
    """By how much `job` multiplies frames while it keeps their rhythm. Raises UsageError."""
    if job.slow == 1:
        factor = re.fullmatch(r"0*([0-9]{1,6})[xX]", job.rate or "")
        if factor is None:
            raise UsageError("--vfr keep puts whole frames into each gap: give a whole --factor, such as --factor 2")
        return int(factor[1])
    if job.rate is not None:
        raise UsageError("--vfr keep follows the source's own rhythm, which a rate would change: leave --fps out")
    if job.slow.denominator != 1:
        raise UsageError(f"--vfr keep puts whole frames into each gap: give a whole --factor, not {job.slow}")
    return int(job.slow)


def check_rhythm(plan: Plan, container: str, output: Path) -> None:
    """Raises UsageError when a file of `container` (ffmpeg's muxer name) cannot show frames when `plan` says."""
    if plan.factor is None:
        return
    if container == "avi":
        raise UsageError(f"an AVI file such as {output} has one rate: with --vfr keep name it .mp4, .mov, .mkv or .nut")
    if plan.least_step < _TICK.get(container, FINEST_TICK):
        raise UsageError(
            f"some frames are nearer to each other than a {output.suffix} file can tell ({decimal(plan.least_step, 6)}"
            f" s): name the output .mp4 or .nut, or give a smaller --factor"
        )


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
