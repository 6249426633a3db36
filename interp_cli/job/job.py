"""A job from beginning to end: prepare, make and encode the frames, join them with the rest, check, publish."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import interp_cli
from interp_cli.job.facts import exact, stream_facts
from interp_cli.job.faults import outside_faults
from interp_cli.job.key import check_unchanged, key_of, stored
from interp_cli.job.network import device_text, make_interpolator
from interp_cli.job.notes import notes_of
from interp_cli.job.output import publish
from interp_cli.job.prepare import Job, Prepared, prepare
from interp_cli.job.scenes import Cut, cuts_of, write_table
from interp_cli.job.segments import make_segments
from interp_cli.job.sequence import make_folder_of, publish_frames
from interp_cli.job.sound import SourceSound, sound_read_beside
from interp_cli.job.stop import Stop
from interp_cli.job.verify import verify, verify_pictures
from interp_cli.job.workdir import WorkDirectory, work_directory
from interp_cli.media.mux import UNLABELLED, Fate, mux
from interp_cli.media.rendering import PICTURES, render
from interp_cli.media.types import VideoStream
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
    scenes: tuple[Cut, ...]  # the same cuts, as they are written
    repeated: int  # source frames that show the drawing of the frame before
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
            "repeated": self.repeated,
            "seconds": round(self.seconds, 3),
            "frames_per_s": round(self.frames_per_s, 2),
            "device": self.device,
            "streams": stream_facts(self.fates),
            "weights": {"name": self.weights.name, "sha256": self.weights.sha256},
            "vfi": interp_cli.__version__,
        }


def run(job: Job, *, progress: Progress | None = None, stop: Stop | None = None) -> Result:
    """Do `job`: the result appears under its final name, whole, or an error is raised."""
    return execute(prepare(job), progress=progress, stop=stop)


def execute(work: Prepared, *, progress: Progress | None = None, stop: Stop | None = None) -> Result:
    """Do what was prepared, or the rest of it where an earlier run was ended. Raises any VfiError.

    After an error the finished segments, if there are any, stay in the work directory, and the error says so.
    """
    progress, stop = progress or Silent(), stop or Stop()
    begun = time.monotonic()
    asked = stored(replace(work.job, output=os.path.abspath(work.output)))  # noqa: PTH100 - a text
    how: dict[str, Any] = {"job": asked, "fresh": work.job.fresh, "segments": len(work.plan.segments), "stop": stop}
    how |= {"last": work.last_file, "kept": not work.job.temporary}
    done = made = False
    try:
        with stop.deferred():  # torch is imported, whose C code would print what interrupts it
            key = key_of(work, device=device_text(work.job.engine))
        stop.check()
        if work.container == "image2":
            made = make_folder_of(work.output)
        with (
            work_directory(work.output, key=key, **how) as place,
            outside_faults(work.output, place.folder),
        ):
            result = _make(work, place, progress, stop, begun)
            if work.job.scenes_out is not None:
                write_table(work.job.scenes_out, result.scenes)
            done = True
    finally:
        progress.end(done=done)
        if made and not done:
            with suppress(OSError):  # something is kept in it
                work.output.parent.rmdir()
    return result


def _make(work: Prepared, place: WorkDirectory, progress: Progress, stop: Stop, begun: float) -> Result:
    if place.published:
        progress.note("an earlier run had finished all but the tidying up")
        return _result(work, place, begun, device="none", entry=work.weights)
    for note in notes_of(work):
        progress.note(note)
    with stop.deferred():
        interpolator, entry, device = make_interpolator(work.job.engine, note=progress.note)
    stop.check()
    before = sum(done.frames for done in place.done.values())
    if before:
        progress.note(f"going on after {before} of {work.plan.frames} frames, which an earlier run has finished")
    told = {"input": work.job.input, "output": str(work.output), "rate": exact(work.plan.rate)}
    progress.start(frames=work.plan.frames, done=before, **told)
    with sound_read_beside(work) as sound_of:
        make_segments(work, place, interpolator, progress=progress, stop=stop)
        sound = sound_of()
    suffix = work.output.suffix if re.fullmatch(r"\.\w+", work.output.suffix) else ""
    finished = place.folder / (PICTURES if work.container == "image2" else f"result{suffix or '.video'}")
    _join(work, place, finished, sound)
    check_unchanged(work)
    if work.container == "image2":
        _publish_pictures(work, place, finished, stop)
        return _result(work, place, begun, device=device, entry=entry)
    if work.job.verify:
        verify(work, finished, sound=sound)
    stop.check()
    place.about_to_publish(finished)
    publish(finished, work.output, overwrite=work.job.overwrite)
    return _result(work, place, begun, device=device, entry=entry)


def _publish_pictures(work: Prepared, place: WorkDirectory, folder: Path, stop: Stop) -> None:
    finished = sorted(folder.iterdir())
    if work.job.verify:
        verify_pictures(work, finished)
    stop.check()
    with stop.deferred():  # all of them or none
        place.about_to_publish(*finished)
        publish_frames(finished, work.output, overwrite=work.job.overwrite)


def _result(work: Prepared, place: WorkDirectory, begun: float, *, device: str, entry: WeightsEntry) -> Result:
    segments, per_frame, first = place.done.values(), 2 if work.fields else 1, work.numbers.start
    scores = {
        (first + left) // per_frame: score
        for done in segments
        for left, score in zip(done.cuts, done.scores, strict=True)
    }
    return Result(
        input=work.job.input,
        output=work.output,
        source_rate=work.source_rate,
        rate=work.plan.rate,
        source_frames=-(-len(work.part) // per_frame),
        frames=work.plan.frames,
        duration=work.plan.duration,
        copied=sum(done.copied for done in segments),
        made=sum(done.made for done in segments),
        cuts=tuple(sorted(scores)),
        scenes=cuts_of(work.stored, scores),
        repeated=len({frame for done in segments for frame in done.repeated}),
        seconds=time.monotonic() - begun,
        device=device,
        fates=work.fates,
        weights=entry,
    )


def _join(work: Prepared, place: WorkDirectory, finished: Path, sound: SourceSound) -> None:
    segments = [(place.segment(segment.k), len(segment.targets)) for segment in work.plan.segments]
    if work.rendering is not None:
        render(segments, work.rendering, finished, ffmpeg=work.ffmpeg, rate=work.plan.rate)
        return
    mux(
        segments,
        work.info,
        finished,
        ffmpeg=work.ffmpeg,
        container=work.container,
        fates=work.fates,
        rate=work.plan.rate,
        video_start=work.part.start,
        slow=work.job.slow,
        trim=work.trim,
        rhythm=work.plan,
        color=work.encoding.color,
        coded=_coded(work),
        sound=sound.whole,
    )


def _coded(work: Prepared) -> VideoStream | None:
    """The stream in the segments, as far as joining them asks; None where it has to be looked at for its labels."""
    how = work.encoding
    if how.codec in UNLABELLED:
        return None
    return replace(work.info.video, codec=str(how.codec), pix_fmt=how.pix_fmt, color=how.color)
