"""Decide first: from what the user asked for to everything that will be done, as one value. Nothing is written yet."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from interp_cli.errors import DeviceError, UsageError
from interp_cli.job.identity import Identity, identity_of
from interp_cli.job.output import check_input, check_output, container_of, is_folder, result_path
from interp_cli.job.scenes import check_table, read_cuts
from interp_cli.job.sequence import frame_path
from interp_cli.media.animation import gif_rate, plays_of
from interp_cli.media.choice import chosen_streams, parse_spec
from interp_cli.media.decode import why_not_on_gpu
from interp_cli.media.encode import Encoding, choose_encoding
from interp_cli.media.ffmpeg import Ffmpeg, find_ffmpeg
from interp_cli.media.fields import cannot_deinterlace, is_interlaced
from interp_cli.media.mux import Fate, stream_fates
from interp_cli.media.packets import spans
from interp_cli.media.probe import probe, scan
from interp_cli.media.rendering import Rendering, choose_rendering
from interp_cli.media.streams import RENDERED, begun_together
from interp_cli.media.types import MediaInfo
from interp_cli.options import (
    AudioInSlowMotion,
    Codec,
    Deinterlace,
    EncodeOptions,
    EngineOptions,
    Hwaccel,
    InputLimits,
    Mode,
    Rhythm,
)
from interp_cli.timeline import FINEST_TICK, Plan, Rate, Timeline, decimal, keep_plan, make_plan, parse_rate
from interp_cli.weights import WeightsEntry
from interp_cli.weights import find as find_weights

TICK = {"matroska": Fraction(1, 1000), "webm": Fraction(1, 1000), "mpegts": Fraction(1, 90_000)}  # s
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
    output: str | None = None  # a file, a folder or a pattern for pictures; None: a default name beside the input
    format: str | None = None  # of the result's container; None: what its name says
    picture_rate: Fraction | None = None  # frames/s of still pictures; None: the default
    temporary: bool = False  # the input or the output is a pipe, so there is nothing to go on with later
    rate: str | None = None  # as `parse_rate` reads it; None: the source's own rate
    slow: Fraction = Fraction(1)  # how many times as long the result lasts
    vfr: Rhythm = Rhythm.CFR  # keep: as many frames for each source frame as `rate` ("3x"), or `slow`, says
    start: Fraction | None = None  # s after the first frame
    end: Fraction | None = None  # s after the first frame
    audio: bool = True
    map: tuple[str, ...] = ()  # which other streams are wanted, as `parse_spec` reads it; empty: all
    slow_audio: AudioInSlowMotion = AudioInSlowMotion.STRETCH
    deinterlace: Deinterlace = Deinterlace.AUTO
    overwrite: bool = False
    fresh: bool = False  # start over where an earlier run was ended
    verify: bool = True  # read the result again, and hold it against the plan, before it gets its name
    protected: tuple[str, ...] = ()  # files that the result must not replace: the inputs of the same batch
    engine: EngineOptions = field(default_factory=EngineOptions)
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    scenes_in: str | None = None  # a list of cuts, to be believed
    scenes_out: str | None = None  # where the cuts are written
    limits: InputLimits = field(default_factory=InputLimits)
    hwaccel: Hwaccel = Hwaccel.AUTO
    ffmpeg: str | None = None


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
    cuts: frozenset[int] | None = None  # frames of `part` before a cut, where they were given
    rendering: Rendering | None = None  # the last step, for results that are not muxed

    @property
    def last_file(self) -> Path:
        """The file that gets its name last: the result, or the last of many pictures."""
        return frame_path(self.output, self.plan.frames - 1) if self.container == "image2" else self.output

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


def prepare(job: Job) -> Prepared:
    """Look at the input and decide everything. Nothing is written; torch is not needed.

    A GPU that is asked to decode or to encode is tried on a few frames. Raises InputError, OutputError, UsageError,
    MissingToolError, DeviceError, WeightsError, FfmpegError.
    """
    check_input(job.input)
    checks: dict[str, Any] = {"inputs": (job.input, *job.protected), "overwrite": job.overwrite, "fresh": job.fresh}
    if job.output is not None and not is_folder(job.output):
        check_output(job.output, **checks)
        container_of(job.output, job.format)
    weights = find_weights(job.engine.model)
    ffmpeg = find_ffmpeg(job.ffmpeg)
    identity = identity_of(job.input)
    info = probe(job.input, ffmpeg=ffmpeg, limits=job.limits, picture_rate=job.picture_rate)
    chosen = chosen_streams(info, [parse_spec(text) for text in job.map])  # what is wrong is said before a long read
    whole = scan(info, ffmpeg=ffmpeg)
    if job.hwaccel is Hwaccel.CUDA:
        info = replace(info, gpu=gpu_of(job.engine.device) or 0)
        if reason := why_not_on_gpu(info, whole, ffmpeg=ffmpeg):
            raise DeviceError(f"--hwaccel cuda does not work for {job.input} ({reason}): give auto or none")
    fields = _takes_fields(job, info)
    timeline = whole.in_fields() if fields else whole
    part, numbers = timeline.between(job.start, job.end)
    rate = Rate(value=whole.rate) if job.rate is None else parse_rate(job.rate, whole.rate)
    output, container, rate, said = _result_of(job, rate)
    check_output(output, **checks)
    plan = _plan(job, part if job.slow == 1 else part.stretched(job.slow), rate, fields=fields)
    _check_rhythm(plan, container, output)
    if job.engine.mode is Mode.BISECT:
        from interp_cli.engine.levels import check_mode

        check_mode(plan.targets(), job.engine.mode)
    check_table(
        job.scenes_out, inputs=(job.input, job.scenes_in, *job.protected), overwrite=job.overwrite, result=output
    )
    encoding, rendering = _how(job, info, output, container=container, ffmpeg=ffmpeg)
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
        encoding=replace(encoding, notes=(*said, *encoding.notes)),
        fates=_fates(job, info, part, container=container, chosen=chosen, ffmpeg=ffmpeg),
        weights=weights,
        cuts=_given_cuts(job, whole, numbers, per_frame=2 if fields else 1),
        rendering=rendering,
    )


def _fates(
    job: Job, info: MediaInfo, part: Timeline, *, container: str, chosen: frozenset[int] | None, ffmpeg: Ffmpeg
) -> tuple[Fate, ...]:
    """What becomes of the other streams."""
    fates = stream_fates(
        info, container=container, slow=job.slow, audio=job.audio, slow_audio=job.slow_audio, chosen=chosen
    )
    copied = [fate.index for fate in fates if fate.kind == "audio" and fate.action == "copy"]
    if container != "avi" or not copied:
        return fates
    begun = spans(info, copied, ffmpeg=ffmpeg, since=None if job.start is None else part.start)
    lags = {index: span.start - part.start for index, span in begun.items()}
    return begun_together(fates, lags, container=container)


def _plan(job: Job, timeline: Timeline, rate: Rate, *, fields: bool) -> Plan:
    """What frames there will be of `timeline`, at their times. Raises UsageError."""
    if job.vfr is Rhythm.CFR:
        return make_plan(timeline, rate.value)
    if fields and not timeline.is_cfr:
        raise UsageError(f"{job.input} is interlaced and of a variable rate: --vfr keep needs --deinterlace off there")
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


def _check_rhythm(plan: Plan, container: str, output: Path) -> None:
    """Raises UsageError when a file of `container` (ffmpeg's muxer name) cannot show frames when `plan` says."""
    if plan.factor is None:
        return
    if container == "avi" or container in RENDERED:
        kind = {"avi": "an AVI file", "image2": "a row of pictures"}.get(container, f"a {container.upper()} file")
        raise UsageError(f"{kind} such as {output} has one rate: with --vfr keep name it .mp4, .mov, .mkv or .nut")
    least, _ = plan.steps
    if least < TICK.get(container, FINEST_TICK):
        raise UsageError(
            f"some frames are nearer to each other than a {output.suffix} file can tell ({decimal(least, 6)}"
            f" s): name the output .mp4 or .nut, or give a smaller --factor"
        )


def _takes_fields(job: Job, info: MediaInfo) -> bool:
    wanted = job.deinterlace is Deinterlace.AUTO and is_interlaced(info.video)
    return wanted and cannot_deinterlace(info.video) is None


def _given_cuts(job: Job, stored: Timeline, numbers: range, *, per_frame: int) -> frozenset[int] | None:
    """The left frames of the cuts that were given, from the first one used; `per_frame` are made of each stored one."""
    if job.scenes_in is None:
        return None
    if not job.engine.scene_detect:
        raise UsageError("--scenes-in names cuts, and --no-scene-detect makes frames across them: give one of the two")
    lefts = read_cuts(job.scenes_in, stored)
    return frozenset((left + 1) * per_frame - 1 - numbers.start for left in lefts)


def _result_of(job: Job, rate: Rate) -> tuple[Path, str, Rate, tuple[str, ...]]:
    """(name, container, rate that it can hold, what is to be said of that) of the result."""

    def name(at: Fraction) -> Path:
        return result_path(job.input, job.output, rate=at, slow=job.slow, codec=job.encode.codec, format=job.format)

    output = name(rate.value)
    container = container_of(output, job.format)
    if container != "gif" or gif_rate(rate.value) == rate.value:
        return output, container, rate, ()
    able = Rate(value=gif_rate(rate.value))
    why = "a GIF counts in hundredths of a second, and players show none for less than two"
    said = f"{why}: {decimal(rate.value)} frames per second become {decimal(able.value)}, and the duration stays"
    return name(able.value), container, able, (said,)


def _how(
    job: Job, info: MediaInfo, output: Path, *, container: str, ffmpeg: Ffmpeg
) -> tuple[Encoding, Rendering | None]:
    """How the segments are compressed, and the last step if the result is made of them anew."""
    if container not in RENDERED:
        return choose_encoding(info, _on_its_gpu(job), container=container, ffmpeg=ffmpeg), None
    plays = plays_of(info.path, info.container)
    suffix = output.suffix.lower()
    last = choose_rendering(info, job.encode, container=container, suffix=suffix, plays=plays, ffmpeg=ffmpeg)
    upright = replace(info, video=replace(info.video, rotation=0, mirrored=False))  # the last step turns the picture
    encoding = choose_encoding(upright, EncodeOptions(codec=Codec.FFV1), container="nut", ffmpeg=ffmpeg)
    return replace(encoding, description=last.description, notes=(*encoding.notes, *last.notes)), last


def gpu_of(device: str) -> int | None:
    """The number in "cuda:1"; None where none is named."""
    kind, _, number = device.partition(":")
    return int(number) if kind == "cuda" and number else None


def _on_its_gpu(job: Job) -> EncodeOptions:
    """How to encode; by NVENC of the GPU that makes the frames, if that has a number."""
    gpu, codec = gpu_of(job.engine.device), job.encode.codec
    if gpu is None or codec is None or codec is codec.plain:
        return job.encode
    return replace(job.encode, ffmpeg_args=(("gpu", str(gpu)), *job.encode.ffmpeg_args))
