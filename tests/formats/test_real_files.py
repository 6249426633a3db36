"""Clips from phones, cameras and the web, in turn by every kind of job: the self-check passes, and so does ffprobe.

Slow, and only where the clips are: `../shared/data/clips` beside the checkout, or the folder that VFI_CLIPS names.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import Proved
from whole_files import convert

from interp_cli.job import job as room
from interp_cli.job.verify import verify
from interp_cli.media.ffmpeg import find_ffmpeg
from interp_cli.media.probe import probe, scan
from interp_cli.options import InputLimits, Rhythm, Scale

FOLDER = Path(os.environ.get("VFI_CLIPS", Path(__file__).resolve().parents[3] / "shared" / "data" / "clips"))
CLIPS = sorted(path for path in FOLDER.glob("*") if path.suffix in (".mp4", ".mov", ".mkv", ".avi", ".webm"))
VARIABLE = ("ahmetozlu-input_video", "ethanlongmedia-training", "ethanlongmedia-viral")
HOW: list[dict[str, Any]] = [
    {"rate": "60"},
    {"rate": "2x"},
    {"rate": "2x", "vfr": Rhythm.KEEP},
    {"slow": Fraction(4), "rate": None},
]
SUFFIXES = ["mp4", "mkv", "mov", "webm"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("blending"),
    pytest.mark.skipif(not CLIPS or shutil.which("ffprobe") is None, reason="no clips, or no ffprobe, on this machine"),
]


def told(path: Path) -> list[dict[str, Any]]:
    """Every stream as ffprobe tells it, with its packets and their md5."""
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_streams", "-show_packets", "-show_data_hash", "md5"]
    said = json.loads(subprocess.run([*command, path], capture_output=True, check=True).stdout)
    for stream in said["streams"]:
        stream["packets"] = [packet for packet in said["packets"] if packet["stream_index"] == stream["index"]]
    streams: list[dict[str, Any]] = said["streams"]
    return streams


def shown_times(stream: dict[str, Any]) -> list[Fraction]:
    """s, in order, without what is never shown."""
    shown = [p for p in stream["packets"] if "D" not in p["flags"]]
    return sorted(int(p["pts"]) * Fraction(stream["time_base"]) for p in shown)


def sums(stream: dict[str, Any]) -> str:
    return " ".join(packet["data_hash"] for packet in stream["packets"])


@pytest.mark.parametrize("n", range(len(CLIPS)), ids=[path.stem for path in CLIPS])
def test_a_real_clip_is_converted_as_planned(
    n: int, tmp_path: Path, proved: Proved, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, how, ffmpeg = CLIPS[n], HOW[n % 4], find_ffmpeg()
    if clip.stem in VARIABLE:
        how = HOW[2]
    out = tmp_path / f"out.{SUFFIXES[(n + n // 4) % 4]}"
    checked: list[Any] = []
    monkeypatch.setattr(room, "verify", lambda work, path, **how: (verify(work, path, **how), checked.append(work)))
    encoder = {"codec": "vp9", "preset": "8"} if out.suffix == ".webm" else {"preset": "ultrafast"}
    engine = room.Job(input="").engine
    quick = type(engine)(scale=Scale.QUARTER, scene_detect=False)
    end = Fraction(6, 5) if clip.stem in VARIABLE else Fraction(1, 5)
    result = convert(clip, out, ffmpeg=ffmpeg, end=end, engine=quick, **encoder, **how)
    assert len(checked) == 1
    work, slow = checked[0], how.get("slow", Fraction(1))
    line = scan(probe(str(clip), ffmpeg=ffmpeg, limits=InputLimits()), ffmpeg=ffmpeg)
    assert all(a < b for a, b in pairwise(line.pts))
    was, now = told(clip), told(out)
    picture = next(s for s in now if s["codec_type"] == "video")
    times = shown_times(picture)
    assert len(times) == result.frames
    usual = Fraction(picture["packets"][-1].get("duration", 0)) * Fraction(picture["time_base"])
    length = times[-1] - times[0] + usual
    source_times = [t - min(shown_times(was[work.info.video.index])) for t in shown_times(was[work.info.video.index])]
    until = next((t for t in source_times if t >= end), line.duration)
    assert abs(length - until * slow) <= max(Fraction(1, 10), 2 * Fraction(1, result.rate)) * slow, float(length)
    if work.plan.factor:
        places = [round((t - times[0]) * 500) for t in times[:: work.plan.factor]]
        sought = [round(t * 500) for t in source_times[: len(places)]]
        assert all(abs(a - b) <= 1 for a, b in zip(places, sought, strict=True))
    heard = [s for s in now if s["codec_type"] == "audio"]
    kept = [fate for fate in work.fates if fate.kind == "audio" and fate.action != "drop"]
    assert len(heard) == len(kept)
    for stream, fate in zip(heard, kept, strict=True):
        if fate.action == "copy":
            assert sums(stream) and sums(stream) in sums(was[fate.index])
    what = "--vfr keep" if "vfr" in how else "slow motion 4" if slow != 1 else f"to {how['rate']}"
    case = f"{clip.name}, {what}, {out.suffix[1:]}"
    proved("Real files", case, "ffprobe: times, packets", f"{result.frames} frames as planned", ffmpeg=ffmpeg)
