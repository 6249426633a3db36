"""Awkward times: every source frame is found again at its own time, and sound keeps its distance from the picture."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from conftest import MakeClip, Proved, chosen, tool
from whole_files import convert

from interp_cli.errors import InputError
from interp_cli.job.job import Job, prepare
from interp_cli.job.notes import notes_of
from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.options import Dedup, EngineOptions, Rhythm

pytestmark = pytest.mark.usefixtures("blending")

MOVING = ("-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=1")  # a counter and moving shapes: no frame like another
TONE = ("-f", "lavfi", "-i", "sine=d=1:r=48000")
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "12")
PLAIN, B_FRAMES = (*X264, "-bf", "0"), (*X264, "-bf", "3")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-pix_fmt", "yuv420p")
SOUND = {"webm": "libopus", "avi": "mp3", "ts": "mp2"}


def how(suffix: str) -> tuple[str, ...]:
    """The codecs of a file of this kind."""
    return (*(VP9 if suffix == "webm" else B_FRAMES), "-c:a", SOUND.get(suffix, "aac"))


@dataclass(frozen=True)
class Shown:
    """What a person would see and hear, by PyAV."""

    times: list[Fraction]  # of frames, s
    sums: list[str]  # of their planes
    tick: Fraction  # s
    sound: Fraction | None  # when the first packet of sound begins, s


def shown(path: Path) -> Shown:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        seen = [(frame.pts, _sum(frame)) for frame in container.decode(stream)]
        tick = Fraction(stream.time_base)
        if container.format.name == "avi":  # which has no times, only a rate
            seen = [(round(n / (stream.average_rate * tick)), text) for n, (_, text) in enumerate(seen)]
    sound = None
    with av.open(str(path)) as container:
        if container.streams.audio:
            heard = container.streams.audio[0]
            begun = [p.pts * Fraction(heard.time_base) for p in container.demux(heard) if p.pts is not None]
            priming = Fraction(15, 100)  # what an edit list cuts off before that is not heard
            sound = min(t for t in begun if t >= 0) if min(begun) < -priming else min(begun)
    return Shown([Fraction(pts or 0) * tick for pts, _ in seen], [text for _, text in seen], tick, sound)


def _sum(frame: av.VideoFrame) -> str:
    planes = frame.to_ndarray(format="yuv420p" if "420" in frame.format.name else "rgb24")
    return hashlib.md5(planes.tobytes()).hexdigest()


def same_moments(source: Shown, result: Shown, *, factor: int, codec_delay: Fraction = Fraction(0)) -> int:
    """How many source frames, which all differ, are in the result at their own times; asserts that it is each of them.

    Times count from the first frame. Asserts that sound is as far from it as it was, to the ticks of both files.
    """
    assert len(set(source.sums)) == len(source.sums)
    assert len(result.sums) == factor * len(source.sums)
    near = source.tick + max(result.tick, Fraction(1, 1000))
    for k, (time, text) in enumerate(zip(source.times, source.sums, strict=True)):
        assert result.sums[factor * k] == text, f"source frame {k} is not output frame {factor * k}"
        late = (result.times[factor * k] - result.times[0]) - (time - source.times[0])
        assert abs(late) <= near, f"source frame {k} is {float(late)} s late"
    assert all(a < b for a, b in pairwise(result.times))
    if source.sound is not None:
        assert result.sound is not None
        moved = (result.sound - result.times[0]) - (source.sound - source.times[0])
        assert abs(moved) <= near + codec_delay + Fraction(1, 48000), f"sound is {float(moved)} s late"
    return len(source.sums)


Make = Callable[[MakeClip], Path]
NO_REPEATS = EngineOptions(dedup=Dedup.OFF)


def late(suffix: str, picture: str, sound: str) -> Make:
    """A file whose picture and sound begin at these times, s."""
    begins = ("-itsoffset", picture, *MOVING, "-itsoffset", sound, *TONE)
    return lambda make: make(f"late.{suffix}", *begins, *how(suffix))


def trimmed(suffix: str) -> Make:
    """A copy of a part of a file, from between two keyframes on: an edit list hides what is before."""

    def cut(make: MakeClip) -> Path:
        whole = make(f"whole.{suffix}", *MOVING, *TONE, *how(suffix))
        return make(f"trimmed.{suffix}", "-ss", "0.3", "-i", whole, "-c", "copy")

    return cut


def written(suffix: str, *options: str, codec: tuple[str, ...] = B_FRAMES) -> Make:
    return lambda make: make(f"clip.{suffix}", *MOVING, *codec, *options)


def uneven(suffix: str) -> Make:
    """Gaps of 20 to 59 ms."""
    times = ("-vf", "settb=1/1000,setpts='40*N+mod(N*N*7,20)'", "-fps_mode", "passthrough", "-enc_time_base", "1:1000")
    return written(suffix, *times, codec=VP9 if suffix == "webm" else B_FRAMES)


def gappy(suffix: str) -> Make:
    holes = ("-vf", "select='not(between(n,8,11)+eq(n,17))'", "-fps_mode", "passthrough")
    return written(suffix, *holes, codec=VP9 if suffix == "webm" else B_FRAMES)


def claiming(suffix: str) -> Make:
    """Frames at 25 frames/s in a file whose header says 30."""

    def claim(make: MakeClip) -> Path:
        fast = make("fast.mkv", "-f", "lavfi", "-i", "testsrc2=s=160x90:r=30:d=1", *PLAIN)
        return make(f"claims.{suffix}", "-i", fast, "-c", "copy", "-bsf:v", "setts=ts=TS*30/25")

    return claim


CASES: dict[str, tuple[Make, dict[str, Any]]] = {
    **{
        f"{name}, {suffix}": (late(suffix, *begins), {})
        for name, begins in (("video late", ("0.32", "0")), ("sound late", ("0", "0.3")), ("both late", ("1.2", "1.5")))
        for suffix in ("mp4", "mov", "mkv", "webm", "ts", "flv")
    },
    **{f"edit list of a trimmed copy, {suffix}": (trimmed(suffix), {}) for suffix in ("mp4", "mov")},
    **{f"three B-frames, {s}": (written(s), {}) for s in ("mp4", "mov", "mkv", "ts", "flv", "avi")},
    **{f"frames missing, {s}": (gappy(s), {"vfr": Rhythm.KEEP}) for s in ("mp4", "mkv", "webm", "ts", "flv")},
    **{f"variable rate, {s}": (uneven(s), {"vfr": Rhythm.KEEP}) for s in ("mp4", "mov", "mkv", "webm", "ts", "flv")},
    **{f"a header that claims 30 for 25, {s}": (claiming(s), {}) for s in ("mkv", "flv")},
    "clock that wraps at 33 bits, ts": (written("ts", "-output_ts_offset", "95443.2"), {}),
    "y4m": (written("y4m", codec=("-pix_fmt", "yuv420p")), {}),
    "gif": (written("gif", codec=()), {}),
}
QUICK = {"edit list of a trimmed copy, mp4"}
WITH_ONE_FFMPEG = {"video late, ts", "sound late, mp4", "variable rate, mkv"}


@pytest.mark.parametrize("case", chosen(CASES, always=QUICK, once=WITH_ONE_FFMPEG))
def test_every_source_frame_is_found_at_its_own_time(
    case: str, make_clip: MakeClip, tmp_path: Path, ffmpeg: Ffmpeg, proved: Proved
) -> None:
    make, options = CASES[case]
    source, out = make(make_clip), tmp_path / "out.mkv"
    convert(source, out, ffmpeg=ffmpeg, rate="2x", codec="ffv1", engine=NO_REPEATS, **options)
    count = same_moments(shown(source), shown(out), factor=2)
    proved(
        "Times", case, "PyAV: md5 and time of each frame", f"all {count} source frames at their times", ffmpeg=ffmpeg
    )


@pytest.mark.slow
@pytest.mark.parametrize("begins", [("0.32", "0"), ("0", "0.3")], ids=["video late", "sound late"])
@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "ts", "avi", "nut"])
def test_sound_keeps_its_distance_in_every_container(
    suffix: str, begins: tuple[str, str], make_clip: MakeClip, tmp_path: Path, ffmpeg: Ffmpeg, proved: Proved
) -> None:
    """Measured where the tone is heard: PyAV decodes it, and it is silent before."""
    source, out = late("mp4", *begins)(make_clip), tmp_path / f"out.{suffix}"
    codec = "vp9" if suffix == "webm" else "h264"
    convert(source, out, ffmpeg=ffmpeg, rate="2x", codec=codec, preset="8" if suffix == "webm" else "ultrafast")
    moved = heard_from(out) - heard_from(source)
    if suffix == "avi" and begins[0] != "0":
        assert heard_from(out) < Fraction(3, 100)
        result = "what is before the picture is cut"
    else:
        near = Fraction(32 if suffix == "avi" else 3, 1000)  # AC-3 in AVI: a packet
        assert abs(moved) < near, float(moved)
        result = f"within {near * 1000} ms of where it was"
    case = f"{'video' if begins[1] == '0' else 'sound'} late, mp4 to {suffix}"
    proved("Times", case, "PyAV: where the tone begins", result, ffmpeg=ffmpeg)


@pytest.mark.parametrize("suffix", ["webm", pytest.param("mkv", marks=pytest.mark.slow)])
@pytest.mark.parametrize("to", ["mkv", pytest.param("mp4", marks=pytest.mark.slow)])
def test_frames_before_zero_are_kept_with_their_sound(
    suffix: str, to: str, make_clip: MakeClip, tmp_path: Path, ffmpeg: Ffmpeg, proved: Proved
) -> None:
    """Picture and sound begin 0.2 s before the file's 0; the tone is heard from 0.1 s after the first frame on."""
    begins = (*MOVING, "-itsoffset", "0.1", *TONE, *VP9, "-c:a", "libopus")
    source = make_clip(f"negative.{suffix}", *begins, "-output_ts_offset", "-0.2", "-avoid_negative_ts", "disabled")
    was = shown(source)
    assert was.times[0] == first_packet(source) == Fraction(-1, 5)
    out = tmp_path / f"out.{to}"
    convert(source, out, ffmpeg=ffmpeg, rate="2x", codec="ffv1" if to == "mkv" else None, engine=NO_REPEATS)
    now, moved = shown(out), heard_from(out) - heard_from(source)
    assert Fraction(95, 1000) < heard_from(source) < Fraction(105, 1000)
    assert abs(moved) < Fraction(3, 1000), float(moved)
    if to == "mkv":
        assert same_moments(replace(was, sound=None), replace(now, sound=None), factor=2) == 25
    assert len(now.times) == 50 and now.times[0] >= 0
    result = "all 25 source frames at their times from the first; sound within 3 ms of where it was"
    proved("Times", f"first frame 0.2 s before 0, {suffix} to {to}", "PyAV, ffprobe", result, ffmpeg=ffmpeg)


def first_packet(path: Path) -> Fraction:
    """When the first packet of the picture is shown, s, by ffprobe; by PyAV where there is none."""
    if (ffprobe := shutil.which("ffprobe")) is None:
        return min(pts for pts, _ in packets(path))
    entry = ("-select_streams", "v:0", "-show_entries", "packet=pts_time", "-of", "csv=p=0", "-read_intervals", "%+#1")
    told = subprocess.run([ffprobe, "-v", "error", *entry, path], capture_output=True, text=True, check=True)
    return Fraction(told.stdout.strip().strip(","))


def heard_from(path: Path) -> Fraction:
    """When the tone begins, s after the first frame: the first sample that is not silent."""
    with av.open(str(path)) as container:
        first = next(container.decode(video=0))
        begin = Fraction(first.pts or 0) * Fraction(first.time_base or 1)
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray().astype(np.float64)).max(0) > LOUD[frame.format.name[:3]])
            if len(loud):
                at = Fraction(frame.pts or 0) * Fraction(frame.time_base) + Fraction(int(loud[0]), frame.sample_rate)
                return at - begin
    raise AssertionError(f"nothing is heard in {path}")


LOUD = {"flt": 0.02, "s16": 650.0}  # a sixth of the tone's height


@pytest.mark.once
@pytest.mark.parametrize(("case", "shift"), [("a time that repeats", "0.04"), ("a step back of one frame", "0.08")])
def test_times_that_do_not_rise_are_mended_and_said(
    case: str, shift: str, make_clip: MakeClip, tmp_path: Path, ffmpeg: Ffmpeg, proved: Proved
) -> None:
    plain = make_clip("plain.mkv", *MOVING, *PLAIN)
    source = tmp_path / "back.mkv"
    tool("-i", plain, "-c", "copy", "-bsf:v", f"setts=pts=PTS-eq(N\\,10)*{shift}/TB:dts=DTS-1/TB", source)
    pts = [pts for pts, _ in packets(source)]
    assert sum(b <= a for a, b in pairwise(pts)) == 1
    out = tmp_path / "out.nut"
    said = notes_of(prepare(Job(input=str(source), output=str(out), rate="2x", ffmpeg=ffmpeg.path)))
    assert [note for note in said if note.startswith(f"1 frame has no time of its own in {source}, or one that is not")]
    convert(source, out, ffmpeg=ffmpeg, rate="2x", codec="ffv1", engine=NO_REPEATS, vfr=Rhythm.KEEP)
    was, now = shown(source), shown(out)
    assert now.sums[::2] == was.sums
    assert all(a < b for a, b in pairwise(now.times))
    proved("Times", f"{case}, mkv", "PyAV: md5 of each frame", "all frames in their order, and said", ffmpeg=ffmpeg)


def packets(path: Path) -> list[tuple[Fraction, int]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [(p.pts * Fraction(stream.time_base), p.size) for p in container.demux(stream) if p.pts is not None]


def test_a_clock_that_jumps_back_is_refused_with_one_sentence(
    make_clip: MakeClip, tmp_path: Path, ffmpeg: Ffmpeg, proved: Proved
) -> None:
    parts = [make_clip(f"{n}.ts", *MOVING, *B_FRAMES, "-output_ts_offset", n) for n in ("10", "0")]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(InputError, match=r"the clock of .*joined\.ts jumps back, .*: remux it with ffmpeg") as caught:
        prepare(Job(input=str(joined), output=str(tmp_path / "out.mkv"), rate="2x", ffmpeg=ffmpeg.path))
    assert caught.value.exit_code == 3 and "\n" not in str(caught.value)
    proved("Times", "a clock that jumps back, ts", "exit code", "refused with code 3 and one sentence", ffmpeg=ffmpeg)


@pytest.mark.parametrize(
    ("source", "asked", "told"),
    [
        ("24000/1001", "60", "60000/1001 (59.94)"),
        ("24", "59.94", "60"),
        ("24000/1001", "60000/1001", None),
        ("25", "60", None),
        ("24000/1001", "2x", None),
    ],
)
def test_a_rate_that_misses_nearly_every_source_frame_is_told_of_the_one_beside_it(
    source: str, asked: str, told: str | None, make_clip: MakeClip, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    clip = make_clip("clip.mp4", "-f", "lavfi", "-i", f"testsrc2=s=160x90:r={source}:d=2", *PLAIN)
    said = notes_of(prepare(Job(input=str(clip), output=str(tmp_path / "o.mp4"), rate=asked, ffmpeg=ffmpeg.path)))
    beside = [note for note in said if "stay as they are" in note]
    assert [note.partition("--fps ")[2].partition(" would")[0] for note in beside] == ([told] if told else [])
