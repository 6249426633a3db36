"""Long inputs: exact to the last frame, in memory that does not grow. Slow: `pytest -m slow`."""

import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import small_clips
from fakes import LinearBlend

from interp_cli.engine.interpolate import Interpolator
from interp_cli.job import job as room
from interp_cli.job.job import Job, run
from interp_cli.media.ffmpeg import find_ffmpeg
from interp_cli.options import Codec, EncodeOptions, EngineOptions, Scale
from interp_cli.progress import Silent
from interp_cli.weights import find

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def packets_of(path: Path) -> tuple[Fraction, list[int]]:
    """Time base (s/tick) and sorted pts of the video's packets, by ffmpeg's framecrc."""
    command = [find_ffmpeg().path, "-v", "error", "-i", str(path), "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "-"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    base = next(line.split()[2] for line in lines if line.startswith("#tb 0:"))
    rows = [[part.strip() for part in line.split(",")] for line in lines if not line.startswith("#")]
    # 0x4 marks packets outside the edit list
    shown = [row for row in rows if not any(p.startswith("F=") and int(p[2:], 16) & 4 for p in row[6:])]
    return Fraction(base), sorted(int(row[2]) for row in shown)


def test_an_hour_of_film_at_59_94_does_not_drift_by_one_tick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VFI_WEIGHTS", str(small_clips.weights(tmp_path / "weights")))

    def blend(options: EngineOptions, *, note: Callable[[str], None]) -> tuple[Interpolator, Any, str]:
        return Interpolator(LinearBlend(), options=options, hold_still=False), find("fast"), "cpu"

    monkeypatch.setattr(room, "make_interpolator", blend)
    source = small_clips.clip(tmp_path / "hour.mp4", rate="24000/1001", seconds="3600", size="16x16", sound=False)
    made = tmp_path / "hour_59.94fps.mp4"
    result = run(
        Job(
            input=str(source),
            output=str(made),
            rate="59.94",
            engine=EngineOptions(scene_detect=False),
            encode=EncodeOptions(codec=Codec.H264, preset="ultrafast"),
        )
    )
    source_base, source_pts = packets_of(source)
    base, pts = packets_of(made)
    frame = Fraction(1001, 60000)
    assert [p * base for p in (pts[0], pts[-1])] == [0, (len(pts) - 1) * frame]
    assert all((b - a) * base == frame for a, b in pairwise(pts))
    source_end = (source_pts[-1] - source_pts[0]) * source_base + Fraction(1001, 24000)
    assert 0 <= len(pts) * frame - source_end < frame
    assert result.frames == len(pts)
    # every second source frame falls on an output time: 5 output frames to 2 of the source
    assert result.copied == sum(1 for n in range(len(pts)) if n % 5 == 0 and n * 2 // 5 < len(source_pts)) + sum(
        1 for n in range(len(pts)) if n % 5 and n * frame >= source_pts[-1] * source_base
    )


class Watcher(Silent):
    """Looks at this process every so many frames: resident bytes, open files, threads."""

    def __init__(self, every: int) -> None:
        self.every, self.frames = every, 0
        self.seen: list[tuple[int, int, int]] = []

    def advance(self) -> None:
        self.frames += 1
        if self.frames % self.every == 0:
            status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            files = len(list(Path("/proc/self/fd").iterdir()))
            self.seen.append((int(status["VmRSS"].split()[0]) * 1024, files, int(status["Threads"])))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_an_hour_at_480p_takes_no_more_memory_files_or_threads_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VFI_WEIGHTS", str(small_clips.weights(tmp_path / "weights")))

    def blend(options: EngineOptions, *, note: Callable[[str], None]) -> tuple[Interpolator, Any, str]:
        return Interpolator(LinearBlend(), options=options), find("fast"), "cpu"

    monkeypatch.setattr(room, "make_interpolator", blend)
    short = small_clips.clip(tmp_path / "short.mp4", rate="10", seconds="20", size="854x480", sound=False)
    source = tmp_path / "hour.mkv"
    small_clips.ffmpeg("-stream_loop", "179", "-i", short, "-c", "copy", source)
    watcher = Watcher(every=600)
    options = EngineOptions(scale=Scale.QUARTER)
    encode = EncodeOptions(codec=Codec.H264, preset="ultrafast")
    out = tmp_path / "out.mp4"
    result = run(Job(input=str(source), output=str(out), rate="2x", engine=options, encode=encode), progress=watcher)
    assert result.duration >= 3599 and result.made > 30_000
    early, late = watcher.seen[5:20], watcher.seen[-20:]
    memory, files, threads = (max(column) for column in zip(*early, strict=True))
    for mine in late:
        assert mine[0] < memory * 1.05 and mine[1] <= files and mine[2] <= threads, (mine, memory, files, threads)
    print(f"resident MB: {[m >> 20 for m, _, _ in watcher.seen[::6]]}; files {files}, threads {threads}")


def peak_memory(*arguments: str) -> int:
    """Peak resident bytes of one run of vfi: the largest of its processes, which is vfi itself."""
    process = subprocess.Popen([sys.executable, "-m", "interp_cli", *arguments])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024


def test_peak_memory_at_720p_is_that_of_a_short_clip(tmp_path: Path) -> None:
    peaks = []
    for seconds in (10, 60):
        clip = small_clips.clip(tmp_path / f"{seconds}.mp4", rate="30", seconds=str(seconds), size="1280x720")
        out = tmp_path / f"{seconds}_out.mp4"
        options = ["--factor", "2", "--scale", "1/4", "--preset", "ultrafast", "-q"]
        peaks.append(peak_memory("upsample", str(clip), "-o", str(out), *options))
    short, long = peaks
    assert long < short * 1.05
