"""Interlaced video: every field becomes a whole frame, at its own time, without combs."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import small_clips
from conftest import MakeClip, Proved, chosen, tool
from numpy.typing import NDArray
from whole_files import convert, convert_in_two_runs, planes, short_segments

from interp_cli.job.job import Job, prepare
from interp_cli.job.notes import notes_of
from interp_cli.media.decode import decode
from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.media.probe import probe, scan
from interp_cli.media.types import MediaInfo, Planes
from interp_cli.options import Deinterlace, InputLimits
from interp_cli.timeline import Timeline

pytestmark = pytest.mark.usefixtures("blending")

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "0", "-flags", "+ilme+ildct")
MPEG2 = ("-c:v", "mpeg2video", "-q:v", "1", "-flags", "+ilme+ildct")
FFV1 = ("-c:v", "ffv1")


def moving(pix_fmt: str) -> str:
    """50 frames/s, 1 s: soft-edged stripes and a disc that move 3 px a frame; nothing finer than a field can show."""
    x, y = "(X-3*N-40)", "(Y-72)"
    luma = f"125+60*sin((X-3*N)/11)+40*cos(Y/13)*gt(1\\,0)-30*lt(hypot({x}\\,{y})\\,20)"
    return f"color=s=192x144:r=50:d=1,format=yuv444p,geq=lum='{luma}':cb='128+30*sin(X/40)':cr='128',format={pix_fmt}"


def pair(make_clip: MakeClip, name: str, first: str, codec: tuple[str, ...], pix_fmt: str) -> tuple[Path, Path]:
    """(progressive 50p original, the same interlaced as 25i with `first` ("top" or "bottom") field first)."""
    order = {"top": "tff", "bottom": "bff"}[first]
    original = make_clip("original.mkv", "-f", "lavfi", "-i", moving(pix_fmt), "-c:v", "ffv1")
    woven = (
        "-vf",
        f"tinterlace=interleave_{first},setfield={order}",
        "-field_order",
        {"top": "tt", "bottom": "bb"}[first],
    )
    return original, make_clip(name, "-i", original, *woven, *codec, "-pix_fmt", pix_fmt)


def psnr(one: Path, other: Path) -> list[float]:
    """Of every frame's luma, by ffmpeg's psnr filter."""
    text = tool(
        "-i", one, "-i", other, "-lavfi", "[0:v]setpts=N[a];[1:v]setpts=N[b];[a][b]psnr=stats_file=-", "-f", "null", "-"
    )
    return [float(line.split("psnr_y:")[1].split()[0]) for line in text.decode().splitlines()]


def combs(luma: NDArray[Any]) -> float:
    """How much more lines differ from their neighbours than from the next but one: above 1 means combs."""
    x = luma.astype(float)
    return float(np.abs(x[1:-1] - (x[:-2] + x[2:]) / 2).mean() / (np.abs(x[2:] - x[:-2]).mean() / 2 + 0.5))


CASES = [
    ("h264, top field first, mp4", "i.mp4", "top", H264, "yuv420p"),
    ("h264, bottom field first, mkv", "i.mkv", "bottom", H264, "yuv420p"),
    ("mpeg2, top field first, ts", "i.ts", "top", MPEG2, "yuv420p"),
    ("mpeg2 4:2:2, bottom field first, mkv", "i422.mkv", "bottom", MPEG2, "yuv422p"),
    ("ffv1 10 bits 4:2:2, top field first, mkv", "i10.mkv", "top", FFV1, "yuv422p10le"),
    ("prores 10 bits, marked in the container alone, mov", "i.mov", "top", ("-c:v", "prores_ks"), "yuv422p10le"),
    ("ffv1 gray, bottom field first, mkv", "igray.mkv", "bottom", FFV1, "gray"),
]


@pytest.mark.parametrize(
    ("case", "name", "first", "codec", "pix_fmt"),
    chosen(CASES, always=CASES[:1], once=(CASES[1], CASES[2], CASES[4], CASES[5])),
    ids=[c[1] + c[2] for c in CASES],
)
def test_25_interlaced_frames_become_the_50_that_they_were_made_of(
    case: str,
    name: str,
    first: str,
    codec: tuple[str, ...],
    pix_fmt: str,
    ffmpeg: Ffmpeg,
    make_clip: MakeClip,
    tmp_path: Path,
    proved: Proved,
) -> None:
    original, source = pair(make_clip, name, first, codec, pix_fmt)
    done = convert(source, tmp_path / "out.mkv", ffmpeg=ffmpeg, rate="50", codec="ffv1")
    assert (done.frames, done.copied, done.made) == (50, 50, 0)
    assert (done.source_rate, done.source_frames) == (25, 25)
    scores = psnr(tmp_path / "out.mkv", original)
    assert len(scores) == 50 and min(scores[1:-1]) > 38, sorted(scores)[:5]
    was = [combs(frame[0]) for frame in planes(source)]
    now = [combs(frame[0]) for frame in planes(tmp_path / "out.mkv")]
    assert max(now[1:-1]) < 1 < np.mean(was)
    proved(
        "Interlaced",
        case,
        "50p original, psnr filter",
        f"50 frames, at least {int(min(scores[1:-1]))} dB",
        ffmpeg=ffmpeg,
    )


@pytest.fixture(scope="module")
def decoded(ffmpeg: Ffmpeg, make_clip: MakeClip) -> tuple[MediaInfo, Timeline, list[Planes]]:
    """An interlaced file, its fields' times, and all of its fields."""
    _, source = pair(make_clip, "i.mp4", "top", H264, "yuv420p")
    info = probe(str(source), ffmpeg=ffmpeg, limits=InputLimits())
    line = scan(info, ffmpeg=ffmpeg).in_fields()
    with decode(info, line, ffmpeg=ffmpeg, fields=True) as every:
        return info, line, list(every)


@pytest.mark.parametrize("wanted", [range(0, 1), range(1, 2), range(7, 20), range(24, 31), range(43, 50)])
def test_a_field_looks_the_same_whatever_part_is_decoded(
    wanted: range, ffmpeg: Ffmpeg, decoded: tuple[MediaInfo, Timeline, list[Planes]]
) -> None:
    info, line, whole = decoded
    with decode(info, line, ffmpeg=ffmpeg, frames=wanted, fields=True) as some:
        part = list(some)
    assert len(whole) == 50 and [p.pts for p in part] == [line.pts[i] for i in wanted]
    for planes_, i in zip(part, wanted, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(planes_.data, whole[i].data, strict=True))


@pytest.mark.once
def test_a_part_of_interlaced_video_is_the_same_part_of_its_fields(
    ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path, proved: Proved
) -> None:
    _, source = pair(make_clip, "i.mp4", "top", H264, "yuv420p")
    convert(source, tmp_path / "all.mkv", ffmpeg=ffmpeg, rate="50", codec="ffv1")
    part = {"start": Fraction(3, 10), "end": Fraction(7, 10)}
    convert(source, tmp_path / "part.mkv", ffmpeg=ffmpeg, rate="50", codec="ffv1", **part)
    every, some = small_clips.frame_sums(tmp_path / "all.mkv"), small_clips.frame_sums(tmp_path / "part.mkv")
    assert some == every[15:35]
    proved("Interlaced", "--start and --end", "framemd5", "the same 20 frames as of the whole", ffmpeg=ffmpeg)


def test_a_factor_counts_from_the_frames_that_the_file_says_it_has(
    wheel: Ffmpeg, make_clip: MakeClip, tmp_path: Path
) -> None:
    _, source = pair(make_clip, "i.mp4", "top", H264, "yuv420p")
    work = prepare(Job(input=str(source), output=str(tmp_path / "o.mp4"), rate="4x", ffmpeg=wheel.path))
    assert (work.rate.value, work.plan.frames, work.plan.copied) == (100, 100, 51)  # the last field is shown twice
    assert any("interlaced" in note and "50 whole frames per second" in note for note in notes_of(work))
    slow = prepare(Job(input=str(source), output=str(tmp_path / "o.mp4"), slow=Fraction(2), ffmpeg=wheel.path))
    assert (slow.rate.value, slow.plan.frames, slow.plan.copied) == (25, 50, 50)


def test_off_uses_the_frames_as_they_are_and_says_so(wheel: Ffmpeg, make_clip: MakeClip, tmp_path: Path) -> None:
    _, source = pair(make_clip, "i10.mkv", "top", FFV1, "yuv422p10le")
    off = {"deinterlace": Deinterlace.OFF}
    done = convert(source, tmp_path / "o.mkv", ffmpeg=wheel, rate="1x", codec="ffv1", **off)
    assert done.frames == 25
    assert small_clips.frame_sums(tmp_path / "o.mkv") == small_clips.frame_sums(source)
    work = prepare(Job(input=str(source), output=str(tmp_path / "p.mkv"), rate="2x", ffmpeg=wheel.path, **off))
    assert any("may show combs" in note for note in notes_of(work))


@pytest.mark.parametrize(
    ("pix_fmt", "reason"), [("gray10le", "bwdif does not take gray10le"), ("yuv440p10le", "yuv440p10le")]
)
def test_a_format_that_bwdif_cannot_take_is_told_of(
    pix_fmt: str, reason: str, ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path, proved: Proved
) -> None:
    _, source = pair(make_clip, f"{pix_fmt}.mkv", "top", FFV1, pix_fmt)
    work = prepare(Job(input=str(source), output=str(tmp_path / "p.mkv"), rate="2x", ffmpeg=ffmpeg.path))
    assert not work.fields and len(work.timeline) == 25
    assert any(reason in note and "may show combs" in note for note in notes_of(work))
    proved("Interlaced", f"{pix_fmt}, which bwdif does not take", "the note", "used as it is, and said", ffmpeg=ffmpeg)


def test_frames_that_say_so_are_believed_though_the_header_does_not(
    ffmpeg: Ffmpeg, make_clip: MakeClip, tmp_path: Path
) -> None:
    _, source = pair(make_clip, "i.mkv", "bottom", H264, "yuv420p")
    lying = make_clip("lying.mkv", "-i", source, "-c", "copy", "-field_order", "progressive")
    with av.open(str(lying)) as container:
        assert next(container.decode(video=0)).interlaced_frame
    video = probe(str(lying), ffmpeg=ffmpeg, limits=InputLimits()).video
    assert video.fields_marked and video.field_order == "bb"


def test_progressive_video_is_left_alone(ffmpeg: Ffmpeg, plain_mp4: Path, tmp_path: Path) -> None:
    work = prepare(Job(input=str(plain_mp4), output=str(tmp_path / "p.mkv"), rate="2x", ffmpeg=ffmpeg.path))
    assert work.info.video.field_order == "progressive" and not work.fields and work.timeline == work.stored
    assert not any("interlaced" in note for note in notes_of(work))


def test_fields_stand_half_a_step_apart_even_where_frames_are_missing() -> None:
    line = Timeline(time_base=Fraction(1, 25), pts=(0, 1, 2, 5, 6), end_pts=7).in_fields()
    assert line.pts == (0, 1, 2, 3, 4, 5, 10, 11, 12, 13) and line.end_pts == 14
    assert (line.time_base, line.rate, line.duration) == (Fraction(1, 50), 50, Fraction(7, 25))
    uneven = Timeline(time_base=Fraction(1, 1000), pts=(0, 40, 80, 81, 120), end_pts=160).in_fields()
    assert uneven.pts == (0, 40, 80, 120, 160, 161, 162, 201, 240, 280)


def test_a_resumed_run_makes_the_same_fields(
    wheel: Ffmpeg, make_clip: MakeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Segments of half a second: the second run begins in the middle of the file."""
    _, source = pair(make_clip, "i.ts", "top", MPEG2, "yuv420p")
    short_segments(monkeypatch, Fraction(1, 3))
    convert(source, tmp_path / "whole.mkv", ffmpeg=wheel, rate="60", codec="ffv1")
    convert_in_two_runs(monkeypatch, source, tmp_path / "twice.mkv", ffmpeg=wheel, rate="60", codec="ffv1")
    assert (tmp_path / "twice.mkv").read_bytes() == (tmp_path / "whole.mkv").read_bytes()
