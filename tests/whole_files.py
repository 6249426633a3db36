"""Whole jobs with a network whose answers are known, and the frames of a file as PyAV decodes them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fakes import FakeNetwork
from numpy.typing import NDArray

from interp_cli.engine.interpolate import Interpolator
from interp_cli.job import job as room
from interp_cli.job import prepare as preparing
from interp_cli.job.job import Job, Result, run
from interp_cli.job.workdir import Done, WorkDirectory
from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.options import Codec, EncodeOptions, EngineOptions
from interp_cli.weights import find

Convert = Callable[..., Result]


def use_network(monkeypatch: pytest.MonkeyPatch, network: FakeNetwork, *, hold_still: bool = True) -> None:
    """Let jobs of this test make their frames with `network`."""

    def make(options: EngineOptions, *, note: Callable[[str], None]) -> tuple[Interpolator, Any, str]:
        return Interpolator(network, options=options, hold_still=hold_still), find("fast"), "cpu"

    monkeypatch.setattr(room, "make_interpolator", make)
    monkeypatch.setattr("interp_cli.job.stills.make_interpolator", make)


def convert(
    source: Path, out: Path, *, ffmpeg: Ffmpeg, rate: str = "2x", codec: str | None = None, **more: Any
) -> Result:
    """The result of a job; `more` are fields of Job and of EncodeOptions. Asserts that nothing else is left behind."""
    said = {key: more.pop(key) for key in ("crf", "preset", "pix_fmt", "ffmpeg_args") if key in more}
    options = EncodeOptions(codec=Codec(codec) if codec else None, **said)
    job = Job(input=str(source), output=str(out), rate=rate, encode=options, ffmpeg=ffmpeg.path, **more)
    done = run(job)
    assert done.output == out and not list(out.parent.glob(".*.vfi"))
    return done


def short_segments(monkeypatch: pytest.MonkeyPatch, seconds: Fraction) -> None:
    """Let jobs of this test work in segments of `seconds` of output."""
    plan = preparing.make_plan
    monkeypatch.setattr(preparing, "make_plan", lambda line, rate: plan(line, rate, segment_seconds=seconds))


def convert_in_two_runs(monkeypatch: pytest.MonkeyPatch, source: Path, out: Path, **how: Any) -> None:
    """A job that is ended when its first segment is finished, and run again; asserts that it went on from there."""
    keep, kept = WorkDirectory.keep, list[int]()

    def keep_one(self: WorkDirectory, done: Done) -> None:
        keep(self, done)
        kept.append(done.k)
        if len(kept) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(WorkDirectory, "keep", keep_one)
    with pytest.raises(KeyboardInterrupt):
        convert(source, out, **how)
    convert(source, out, **how)
    assert len(kept) > 2 and kept == list(range(len(kept)))


def frames(path: Path, pix_fmt: str | None = None) -> list[NDArray[Any]]:
    """Every frame as PyAV decodes it, as an array of `pix_fmt` (None: its own)."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [frame.to_ndarray(format=pix_fmt) for frame in container.decode(stream)]


def planes(path: Path) -> list[tuple[NDArray[Any], ...]]:
    """Every frame as PyAV decodes it, in its own format: the samples of each plane without the padding of its rows."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [tuple(_plane(p, _bytes(frame)) for p in frame.planes) for frame in container.decode(stream)]


def _bytes(frame: av.VideoFrame) -> int:
    return 2 if max(c.bits for c in frame.format.components) > 8 else 1


def _plane(plane: Any, size: int) -> NDArray[Any]:
    packed = plane.line_size // (plane.width * size) if plane.line_size >= 3 * plane.width * size else 1
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width * size * packed].view(np.uint16 if size == 2 else np.uint8)
