"""A job from beginning to end: prepare, make and encode the frames, join them with the rest, check, publish."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import interp_cli
from interp_cli.errors import InputError, VfiError
from interp_cli.job.facts import exact, stream_facts
from interp_cli.job.network import make_interpolator
from interp_cli.job.output import disk_full_stops, publish, work_directory
from interp_cli.job.pipeline import run_pipeline
from interp_cli.job.prepare import Job, Prepared, prepare
from interp_cli.job.stop import Stop
from interp_cli.media.decode import decode, working_format
from interp_cli.media.encode import Encoder
from interp_cli.media.mux import Fate, mux
from interp_cli.media.probe import probe, scan
from interp_cli.media.types import Planes
from interp_cli.progress import Progress, Silent
from interp_cli.weights import WeightsEntry

__all__ = ["Job", "Prepared", "Result", "execute", "prepare", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a job did."""

    input: str
    output: Path
    source_rate: Fraction  # frames/s
    rate: Fraction  # frames/s
    source_frames: int
    frames: int
    duration: Fraction  # s
    copied: int
    made: int
    cuts: tuple[int, ...]  # source frames after which the picture cuts
    seconds: float  # of wall time
    device: str
    fates: tuple[Fate, ...]
    weights: WeightsEntry

    @property
    def frames_per_s(self) -> float:
        """Output frames per second of wall time."""
        return self.frames / max(self.seconds, 1e-9)

    def facts(self) -> dict[str, Any]:
        """The result as plain values for JSON."""
        return {
            "input": self.input,
            "output": str(self.output),
            "source_rate": exact(self.source_rate),
            "rate": exact(self.rate),
            "source_frames": self.source_frames,
            "frames": self.frames,
            "duration": exact(self.duration),
            "copied": self.copied,
            "made": self.made,
            "cuts": list(self.cuts),
            "seconds": round(self.seconds, 3),
            "frames_per_s": round(self.frames_per_s, 2),
            "device": self.device,
            "streams": stream_facts(self.fates),
            "weights": {"name": self.weights.name, "sha256": self.weights.sha256},
            "vfi": interp_cli.__version__,
        }


def run(job: Job, *, progress: Progress | None = None, stop: Stop | None = None) -> Result:
    """Do `job`: the result appears under its final name, whole, or an error is raised and nothing is left."""
    return execute(prepare(job), progress=progress, stop=stop)


def execute(work: Prepared, *, progress: Progress | None = None, stop: Stop | None = None) -> Result:
    """Do what was prepared. Raises any VfiError; nothing is left behind then."""
    progress, stop = progress or Silent(), stop or Stop()
    begun = time.monotonic()
    done = False
    try:
        with disk_full_stops(work.output), work_directory(work.output, stop=stop) as folder:
            for note in work.notes():
                progress.note(note)
            result = _make(work, folder, progress, stop, begun)
            stop.check()
            publish(folder / _result_name(work), work.output, overwrite=work.job.overwrite)
            done = True
    finally:
        progress.end(done=done)
    return result


def _make(work: Prepared, folder: Path, progress: Progress, stop: Stop, begun: float) -> Result:
    interpolator, entry, device = make_interpolator(work.job.engine, note=progress.note)
    progress.start(frames=work.plan.frames, input=work.job.input, output=str(work.output), rate=exact(work.plan.rate))
    color = work.info.video.color
    run_pipeline(
        decode(work.info, work.timeline, ffmpeg=work.ffmpeg, frames=None if work.trim is None else work.numbers),
        lambda frames: interpolator.run(frames, work.plan.targets(), color=color),
        lambda frames: _encode(work, folder, frames, progress),
        stop=stop,
    )
    _join(work, folder)
    _check(work, folder / _result_name(work))
    return Result(
        input=work.job.input,
        output=work.output,
        source_rate=work.timeline.rate,
        rate=work.plan.rate,
        source_frames=len(work.part),
        frames=work.plan.frames,
        duration=work.plan.duration,
        copied=interpolator.copied,
        made=interpolator.made,
        cuts=tuple(work.numbers.start + left for left in interpolator.cuts),
        seconds=time.monotonic() - begun,
        device=device,
        fates=work.fates,
        weights=entry,
    )


def _segment_path(folder: Path, k: int) -> Path:
    return folder / f"segment-{k}.nut"


def _result_name(work: Prepared) -> str:
    return f"result{work.output.suffix}"


def _encode(work: Prepared, folder: Path, frames: Iterator[Planes], progress: Progress) -> None:
    """Write every segment of the plan to a file of its own."""
    video = work.info.video
    for segment in work.plan.segments:
        with Encoder(
            _segment_path(folder, segment.k),
            work.encoding,
            ffmpeg=work.ffmpeg,
            width=video.width,
            height=video.height,
            rate=work.plan.rate,
            sar=video.sar,
            color=video.color,
            format=working_format(video.pix_fmt),
        ) as encoder:
            for _ in segment.targets:
                planes = next(frames, None)
                if planes is None:
                    raise InputError(f"{work.job.input} ended before its last frame: is the file complete?")
                encoder.write(planes)
                progress.advance()


def _join(work: Prepared, folder: Path) -> None:
    mux(
        [(_segment_path(folder, segment.k), len(segment.targets)) for segment in work.plan.segments],
        work.info,
        folder / _result_name(work),
        ffmpeg=work.ffmpeg,
        container=work.container,
        fates=work.fates,
        rate=work.plan.rate,
        video_start=work.part.start,
        slow=work.job.slow,
        trim=work.trim,
    )


def _check(work: Prepared, finished: Path) -> None:
    """Read the finished file again and compare it with the plan. Raises VfiError: a difference is a bug."""
    timeline = scan(probe(str(finished), ffmpeg=work.ffmpeg), ffmpeg=work.ffmpeg)
    plan, frame = work.plan, 1 / work.plan.rate
    rounding = Fraction(1, 1000) + timeline.time_base  # Matroska has 1 ms
    last = (timeline.pts[-1] - timeline.pts[0]) * timeline.time_base
    wrong = []
    if len(timeline) != plan.frames:
        wrong.append(f"it has {len(timeline)} frames and not {plan.frames}")
    elif abs(last - (plan.frames - 1) * frame) > rounding:
        wrong.append(f"its last frame comes after {float(last):.4f} s and not {float((plan.frames - 1) * frame):.4f} s")
    zero = work.trim[0] if work.trim else min(max(work.info.start, Fraction(0)), work.part.start)  # what mux makes 0
    first = (work.part.start - zero) * work.job.slow
    # Some muxers move all streams together: Matroska, which cannot begin before 0 as primed AAC does, by some 20 ms;
    # MPEG-TS, whose decoding times cannot be negative, by the frames that B-frames are put off.
    if not -rounding <= timeline.start - first <= max(Fraction(1, 10), 4 * frame):
        wrong.append(f"it begins at {float(timeline.start):.4f} s and not {float(first):.4f} s")
    if abs(timeline.duration - plan.duration) > frame:
        wrong.append(f"it lasts {float(timeline.duration):.4f} s and not {float(plan.duration):.4f} s")
    if wrong:
        message = f"the result for {work.job.input} is not as planned ({'; '.join(wrong)}), so it was thrown away"
        raise VfiError(f"{message}: please report this with the output of vfi upsample -v and vfi doctor")
