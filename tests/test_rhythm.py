"""`--vfr keep`: made frames between the source's, and every frame at a time of the source's own rhythm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import small_clips
from conftest import MakeClip, chosen
from hypothesis import given, settings
from hypothesis import strategies as st

from interp_cli.errors import UsageError, VfiError
from interp_cli.job.job import Job, prepare, run
from interp_cli.media.encode import Encoder, choose_encoding
from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.media.formats import working_format
from interp_cli.media.probe import probe
from interp_cli.media.types import Planes
from interp_cli.options import Codec, EncodeOptions, Rhythm
from interp_cli.timeline import Plan, Timeline, keep_plan, make_plan

pytestmark = pytest.mark.usefixtures("blending")

TICK_US = Fraction(1, 1_000_000)  # s
# 40 frames at uneven times, in ticks of 1/90000 s: gaps of 3000 to 5499, the second after 1 s of nothing
UNEVEN = ("-vf", "settb=1/90000,setpts='N*3000+mod(N*N*317,2500)+if(gt(N,1),90000,0)'", "-fps_mode", "passthrough",
          "-enc_time_base", "1:90000", "-video_track_timescale", "90000")  # fmt: skip
PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=160x90:r=30:d=1.33")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-pix_fmt", "yuv420p")


def for_all(*strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return lambda law: settings(max_examples=60, deadline=None, derandomize=True)(given(*strategies)(law))


@st.composite
def uneven(draw: st.DrawFn) -> Timeline:
    """A time line whose first two gaps differ: a variable rate."""
    first = draw(st.integers(-100_000, 100_000))
    gaps = draw(st.lists(st.integers(1, 5000), min_size=3, max_size=40).filter(lambda g: g[0] != g[1]))
    pts = [first]
    for gap in gaps:
        pts.append(pts[-1] + gap)
    base = draw(st.sampled_from([Fraction(1, 1000), Fraction(1, 90000), Fraction(1001, 30000), Fraction(1, 10**9)]))
    return Timeline(time_base=base, pts=tuple(pts[:-1]), end_pts=pts[-1])


factors = st.integers(2, 40)


def kept(source: Timeline, factor: int, seconds: Fraction = Fraction(5)) -> Plan:
    return keep_plan(source, factor, rate=factor * source.rate, segment_seconds=seconds)


def times(plan: Plan) -> list[Fraction]:
    """When each output frame is shown, s from the first."""
    return [target.pts * plan.base for target in plan.targets()]


# ---- laws


@for_all(uneven(), factors)
def test_each_gap_holds_as_many_frames_as_the_factor_says_at_equal_fractions_of_it(source: Timeline, n: int) -> None:
    edges = [(p - source.pts[0]) * source.time_base for p in (*source.pts, source.end_pts)]
    expected = [a + (b - a) * Fraction(k, n) for a, b in pairwise(edges) for k in range(n)]
    assert times(kept(source, n)) == expected


@for_all(uneven(), factors)
def test_every_source_frame_is_shown_at_its_own_time_untouched_and_the_last_is_held(source: Timeline, n: int) -> None:
    targets = list(kept(source, n).targets())
    assert [t.left for t in targets] == [i for i in range(len(source)) for _ in range(n)]
    assert [t.t for t in targets[:-n]] == [Fraction(k, n) for _ in range(len(source) - 1) for k in range(n)]
    assert all(t.t == 0 for t in targets[-n:])


@for_all(uneven(), factors)
def test_the_duration_is_the_sources_and_times_rise_strictly(source: Timeline, n: int) -> None:
    plan = kept(source, n)
    assert plan.duration == source.duration
    assert plan.start == source.start
    assert all(a < b for a, b in pairwise([*times(plan), plan.duration]))
    steps = [b - a for a, b in pairwise([*times(plan), plan.duration])]
    assert plan.steps == (min(steps), max(steps))


@for_all(uneven(), factors)
def test_copied_and_made_are_the_counts_of_the_targets(source: Timeline, n: int) -> None:
    plan = kept(source, n)
    copies = sum(target.t == 0 for target in plan.targets())
    assert (plan.copied, plan.made, plan.frames) == (copies, n * len(source) - copies, n * len(source))


@for_all(uneven(), factors, st.fractions(Fraction(1, 100), 40, max_denominator=100))
def test_the_segments_joined_are_the_plan_and_name_what_they_need(source: Timeline, n: int, seconds: Fraction) -> None:
    plan = kept(source, n, seconds)
    assert [f for s in plan.segments for f in s.targets] == list(range(plan.frames))
    assert [t for s in plan.segments for t in plan.targets(s.targets)] == list(plan.targets())
    for segment in plan.segments:
        targets = [plan.target(f) for f in segment.targets]
        needed = {t.left for t in targets} | {t.left + 1 for t in targets if t.t}
        assert (segment.first_source, segment.last_source) == (min(needed), max(needed))


@for_all(st.integers(2, 30), st.sampled_from([Fraction(24), Fraction(30000, 1001), Fraction(25)]), st.integers(2, 16))
def test_a_constant_source_gets_the_plan_that_it_gets_without_keep(frames: int, rate: Fraction, n: int) -> None:
    base = Fraction(1, rate.numerator)
    pts = tuple(k * rate.denominator for k in range(frames))
    source = Timeline(time_base=base, pts=pts, end_pts=frames * rate.denominator)
    assert kept(source, n) == make_plan(source, n * rate)


@for_all(uneven(), factors)
def test_source_frames_are_written_on_whole_ticks_which_are_never_shorter_than_a_microsecond(
    source: Timeline, n: int
) -> None:
    plan = kept(source, n)
    assert plan.tick >= TICK_US
    if source.time_base >= TICK_US:
        assert (source.time_base / plan.tick).denominator == 1
    if source.time_base / n >= TICK_US:
        assert plan.tick == plan.base  # then every frame is


@pytest.mark.parametrize("factor", [1, 0, -3])
def test_keep_needs_a_factor_of_two_or_more(factor: int) -> None:
    with pytest.raises(UsageError, match="whole --factor of 2 or more"):
        keep_plan(Timeline(time_base=Fraction(1, 1000), pts=(0, 3, 5), end_pts=9), factor, rate=Fraction(60))


# ---- on disk


@pytest.fixture
def source(make_clip: MakeClip) -> Path:
    return make_clip("uneven.mp4", *PICTURE, *UNEVEN, *H264)


def shown(path: Path) -> list[Fraction]:
    """When frames are shown, s, by PyAV, after a look at the decoding times: they rise, and none is too late."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [p for p in container.demux(stream) if p.pts is not None and not p.is_discard]
        decoded = [p.dts for p in packets if p.dts is not None]
        assert all(a < b for a, b in pairwise(decoded))
        assert all(p.dts is None or p.dts <= p.pts for p in packets)
        return [p * stream.time_base for p in sorted(p.pts for p in packets if p.pts is not None)]


def ideal(source: Path, factor: int) -> list[Fraction]:
    """Where keep should put frames, from the first on, up to the last source frame."""
    own = [t - shown(source)[0] for t in shown(source)]
    return [a + (b - a) * Fraction(k, factor) for a, b in pairwise(own) for k in range(factor)] + [own[-1]]


def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(timeline: Timeline, factor: int, *, rate: Fraction) -> Plan:
        return keep_plan(timeline, factor, rate=rate, segment_seconds=Fraction(2, 5))

    monkeypatch.setattr("interp_cli.job.prepare.keep_plan", short)


FILES = [
    ("out.mp4", Codec.H264, Fraction(0)),
    ("out.mov", Codec.HEVC, Fraction(0)),
    ("out.nut", Codec.FFV1, Fraction(0)),
    ("out.ts", Codec.H264, Fraction(1, 180_000)),
    ("out.mkv", Codec.FFV1, Fraction(1, 2000)),
    ("out.webm", Codec.VP9, Fraction(1, 2000)),
]


@pytest.mark.parametrize(("name", "codec", "worst"), chosen(FILES, always=FILES[:1], once=(FILES[1], *FILES[3:])))
def test_every_frame_of_the_file_is_shown_when_planned(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ffmpeg: Ffmpeg, name: str, codec: Codec,
    worst: Fraction,
) -> None:  # fmt: skip
    short_segments(monkeypatch)
    encode = EncodeOptions(codec=codec, preset=None if codec is Codec.FFV1 else "ultrafast")
    job = Job(
        input=str(source), output=str(tmp_path / name), rate="3x", vfr=Rhythm.KEEP, encode=encode, ffmpeg=ffmpeg.path
    )
    work = prepare(job)
    assert len(work.plan.segments) > 5
    result = run(job)
    found = shown(tmp_path / name)
    late = [abs(t - found[0] - wanted) for t, wanted in zip(found, ideal(source, 3), strict=False)]
    assert len(found) == result.frames == 3 * 40
    assert max(late) <= worst
    assert max(late[::3]) <= (0 if name == "out.ts" else worst)  # 90 kHz holds the source's times, not their thirds


def test_every_source_frame_is_in_the_result_at_its_own_time(source: Path, tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    out = tmp_path / "out.nut"
    encode = EncodeOptions(codec=Codec.FFV1)
    run(Job(input=str(source), output=str(out), rate="2x", vfr=Rhythm.KEEP, encode=encode, ffmpeg=ffmpeg.path))
    before = dict(zip(shown(source), small_clips.frame_sums(source), strict=True))
    after = dict(zip(shown(out), small_clips.frame_sums(out), strict=True))
    assert len(after) == 2 * len(before)
    shift = min(after) - min(before)
    assert {time: after[time + shift] for time in before} == before


def test_slow_motion_keeps_the_rhythm_too(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    run(Job(input=str(source), output=str(out), slow=Fraction(4), vfr=Rhythm.KEEP))
    found = shown(out)
    assert [t - found[0] for t in found[: 4 * 39 + 1]] == [4 * t for t in ideal(source, 4)]


def test_a_constant_source_becomes_the_same_file_with_and_without_keep(make_clip: MakeClip, tmp_path: Path) -> None:
    constant = make_clip("constant.mp4", *PICTURE, *H264)
    for name, vfr in (("a.mp4", Rhythm.CFR), ("b.mp4", Rhythm.KEEP)):
        run(Job(input=str(constant), output=str(tmp_path / name), rate="2x", vfr=vfr))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": "60"}, "give a whole --factor, such as --factor 2"),
        ({"rate": "5/2x"}, "give a whole --factor, such as --factor 2"),
        ({"rate": "1x"}, "whole --factor of 2 or more"),
        ({"rate": "60", "slow": Fraction(2)}, "leave --fps out"),
        ({"slow": Fraction(5, 2)}, "give a whole --factor, not 5/2"),
        ({"rate": "2x", "output": "out.avi"}, "an AVI file such as out.avi has one rate"),
        ({"rate": "40x", "output": "out.mkv"}, r"nearer to each other than a .mkv file can tell \(0\.000\d+ s\)"),
    ],
)
def test_what_keep_cannot_do_is_said(source: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    job = Job(**{"input": str(source), "output": str(tmp_path / "out.mp4"), "vfr": Rhythm.KEEP, **changes})
    with pytest.raises(UsageError, match=message):
        prepare(job)


def test_a_result_whose_frames_are_shown_at_other_times_is_thrown_away(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interp_cli.job.segments._times", lambda work, segment: None)  # equally spaced
    with pytest.raises(VfiError, match=r"not as planned.*its frame 1 comes after"):
        run(Job(input=str(source), output=str(tmp_path / "out.mp4"), rate="2x", vfr=Rhythm.KEEP))
    assert not (tmp_path / "out.mp4").exists()


def written_times(source: Path, out: Path, ffmpeg: Ffmpeg, times: Sequence[int], tick: Fraction) -> list[Fraction]:
    """The times of the packets of a segment that was written with these times, s."""
    info = probe(str(source), ffmpeg=ffmpeg)
    encoding = choose_encoding(info, EncodeOptions(codec=Codec.FFV1), container="nut", ffmpeg=ffmpeg)
    pixels, size = working_format(info.video.pix_fmt), {"width": info.video.width, "height": info.video.height}
    gray = Planes(0, tuple(np.full(s, 128, pixels.dtype) for s in pixels.plane_shapes(**size)), pixels)
    with Encoder(
        out, encoding, ffmpeg=ffmpeg, rate=Fraction(60), color=info.video.color, format=pixels, times=times, tick=tick,
        **size,
    ) as encoder:  # fmt: skip
        for _ in times:
            encoder.write(gray)
    return shown(out)


@pytest.mark.parametrize("tick", [Fraction(1, 90000), Fraction(1001, 480000), Fraction(1, 999_983), Fraction(3, 7000)])
def test_a_segment_of_hundreds_of_frames_has_exact_times_in_any_time_base(
    source: Path, tmp_path: Path, ffmpeg: Ffmpeg, tick: Fraction
) -> None:
    times = [n * 40 + n * n * 317 % 39 for n in range(316)]
    assert written_times(source, tmp_path / "s.nut", ffmpeg, times, tick) == [t * tick for t in times]
