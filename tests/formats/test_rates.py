"""The rates table: every usual rate to every usual rate, by arithmetic on plans and by PyAV on small results."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from conftest import MakeClip, chosen
from numpy.typing import NDArray

from interp_cli.job.job import Job, run
from interp_cli.media.ffmpeg import Ffmpeg
from interp_cli.options import AudioInSlowMotion, Codec, EncodeOptions
from interp_cli.timeline import Plan, Timeline, make_plan, parse_rate

pytestmark = pytest.mark.usefixtures("blending")

SOURCES = {
    "23.976": Fraction(24000, 1001), "24": Fraction(24), "25": Fraction(25), "29.97": Fraction(30000, 1001),
    "30": Fraction(30), "48": Fraction(48), "50": Fraction(50), "59.94": Fraction(60000, 1001), "60": Fraction(60),
}  # fmt: skip
RESULTS = {
    "24": Fraction(24), "50": Fraction(50), "59.94": Fraction(60000, 1001), "60": Fraction(60), "90": Fraction(90),
    "119.88": Fraction(120000, 1001), "120": Fraction(120), "144": Fraction(144), "240": Fraction(240),
}  # fmt: skip
PAIRS = [(source, result) for source in (*SOURCES, "VFR") for result in RESULTS]
IN_EVERY_RUN = {("23.976", "59.94")}
WITH_ONE_FFMPEG = {("VFR", "60"), ("25", "60"), ("60", "24")}
FACTORS, SLOWER = range(2, 17), range(2, 33)
FRAMES = 8  # of a small clip
MILLISECONDS = (37, 11, 90, 20, 20, 333, 5, 64)  # between the frames of the variable clip
UNEVEN = "setpts='st(0,N);" + "+".join(f"{ms}*gt(ld(0),{n})" for n, ms in enumerate(MILLISECONDS)) + "'"


def line(name: str, seconds: int = 8) -> Timeline:
    """The exact time line of a source of that rate."""
    if name == "VFR":
        steps = [MILLISECONDS[n % len(MILLISECONDS)] for n in range(40 * seconds // 3)]
        pts = (0, *accumulate(steps))
        return Timeline(time_base=Fraction(1, 1000), pts=pts[:-1], end_pts=pts[-1])
    rate, frames = SOURCES[name], seconds * 25
    step = rate.denominator
    pts = tuple(range(0, frames * step, step))
    return Timeline(time_base=Fraction(1, rate.numerator), pts=pts, end_pts=frames * step)


def by_arithmetic(plan: Plan, source: Timeline, rate: Fraction) -> str:
    """What is said of `plan` after each of its frames was held against plain fractions."""
    shown = [(p - source.pts[0]) * source.time_base for p in (*source.pts, source.end_pts)]
    length = shown[-1]
    frames = -(-length * rate // 1)
    targets = list(plan.targets())
    assert plan.frames == len(targets) == frames
    assert [t.pts * plan.base for t in targets] == [n / rate for n in range(frames)]
    for target in targets:
        assert shown[target.left] <= target.n / rate < shown[target.left + 1] or target.left == len(source) - 1
        if target.left < len(source) - 1:
            gap = shown[target.left + 1] - shown[target.left]
            assert shown[target.left] + target.t * gap == target.n / rate
    assert 0 <= plan.duration - length < 1 / rate
    on_grid = {i for i, t in enumerate(shown[:-1]) if (t * rate).denominator == 1}
    held = {t.left for t in targets if t.t == 0 and shown[t.left] == t.n / rate}
    assert held == on_grid
    return f"{len(on_grid)} of {len(source)} source frames on their own times, {frames} frames, last at {targets[-1].n}"


@pytest.mark.parametrize(("name", "wanted"), PAIRS)
def test_every_frame_of_the_plan_is_where_arithmetic_puts_it(
    name: str, wanted: str, proved: Callable[..., None]
) -> None:
    source = line(name)
    rate = parse_rate(wanted, source.rate).value
    assert rate == RESULTS[wanted]
    said = by_arithmetic(make_plan(source, rate), source, rate)
    proved("Rates", f"{name} to {wanted}, plan of {len(source)} frames", "fractions", f"{said}/({rate})")


@pytest.mark.parametrize("factor", FACTORS)
def test_factors_show_every_source_frame_at_its_own_time(factor: int, proved: Callable[..., None]) -> None:
    for name in SOURCES:
        source = line(name, -(-16 // factor))  # so that the result is of several segments
        rate = parse_rate(f"{factor}x", source.rate).value
        assert rate == factor * SOURCES[name]
        said = by_arithmetic(make_plan(source, rate), source, rate)
        assert said.startswith(f"{len(source)} of {len(source)} source frames on their own times")
    proved("Rates", f"factor {factor}, plans of every constant rate", "fractions", "all source frames, same duration")


@pytest.mark.parametrize("factor", SLOWER)
def test_slow_motion_shows_every_source_frame_at_its_own_time(factor: int, proved: Callable[..., None]) -> None:
    for name, rate in SOURCES.items():
        source = line(name, -(-16 // factor))  # so that the result is of several segments
        slow = source.stretched(Fraction(factor))
        assert slow.duration == factor * source.duration
        said = by_arithmetic(make_plan(slow, rate), slow, rate)
        assert said.startswith(f"{len(source)} of {len(source)} source frames on their own times")
    proved("Rates", f"slow motion {factor}, plans of every constant rate", "fractions", f"{factor} times the duration")


# ---- end to end: what PyAV sees in results


def small(make_clip: MakeClip, name: str) -> Path:
    """A clip of FRAMES frames, 48x32, lossless, with exact times."""
    rate = SOURCES.get(name, Fraction(25))
    picture = f"testsrc2=s=48x32:r={rate},trim=end_frame={FRAMES}"
    times = ("-vf", f"settb=1/1000,{UNEVEN}", "-enc_time_base", "1:1000") if name == "VFR" else ()
    return make_clip(
        f"{name}.nut", "-f", "lavfi", "-i", picture, *times, "-fps_mode", "passthrough", "-c:v", "ffv1", "-pix_fmt",
        "yuv420p",
    )  # fmt: skip


def seen(path: Path) -> list[tuple[Fraction, NDArray[np.uint8]]]:
    """(s after the first frame, picture) of every frame, decoded by PyAV."""
    with av.open(str(path)) as container:
        base = container.streams.video[0].time_base
        frames = [(f.pts * base, f.to_ndarray()) for f in container.decode(video=0) if f.pts is not None]
    return [(time - frames[0][0], picture) for time, picture in frames]


def check(job: Job, source: Path, *, rate: Fraction, slow: int = 1) -> str:
    """What is said of the result of `job` after a look at every frame."""
    run(job)
    before, after = seen(source), seen(Path(str(job.output)))
    assert [time for time, _ in after] == [n / rate for n in range(len(after))]
    last = before[-1][0] * slow
    step = slow / SOURCES.get(source.stem, Fraction(25))  # how long the last is shown
    assert 0 <= len(after) / rate - (last + step) < 1 / rate
    found = dict(after)
    same = [np.array_equal(found[time * slow], picture) for time, picture in before if time * slow in found]
    assert all(same)
    end = float(after[-1][0])
    return f"{len(after)} frames, last at {end:.4f} s; {len(same)} of {FRAMES} source frames at their own times, equal"


def lossless(source: Path, out: Path, ffmpeg: Ffmpeg, **changes: Any) -> Job:
    encode = EncodeOptions(codec=Codec.FFV1)
    return Job(input=str(source), output=str(out), encode=encode, ffmpeg=ffmpeg.path, **changes)


ORACLE = "PyAV: times and pixels"


@pytest.mark.parametrize(("name", "wanted"), chosen(PAIRS, always=IN_EVERY_RUN, once=WITH_ONE_FFMPEG))
def test_results_have_every_frame_at_its_time_and_source_frames_untouched(
    name: str, wanted: str, make_clip: MakeClip, tmp_path: Path, ffmpeg: Ffmpeg, proved: Callable[..., None]
) -> None:
    source = small(make_clip, name)
    said = check(lossless(source, tmp_path / "out.nut", ffmpeg, rate=wanted), source, rate=RESULTS[wanted])
    proved("Rates", f"{name} to {wanted}", ORACLE, said, ffmpeg=ffmpeg)


@pytest.mark.parametrize("factor", chosen(FACTORS, once=(5,)))
def test_results_of_factors_have_all_source_frames(
    factor: int, make_clip: MakeClip, tmp_path: Path, ffmpeg: Ffmpeg, proved: Callable[..., None]
) -> None:
    source, rate = small(make_clip, "23.976"), factor * SOURCES["23.976"]
    said = check(lossless(source, tmp_path / "out.nut", ffmpeg, rate=f"{factor}x"), source, rate=rate)
    assert f"; {FRAMES} of {FRAMES} source frames" in said
    proved("Rates", f"factor {factor}", ORACLE, said, ffmpeg=ffmpeg)


@pytest.mark.parametrize("factor", chosen(SLOWER, once=(8,)))
def test_results_of_slow_motion_have_all_source_frames(
    factor: int, make_clip: MakeClip, tmp_path: Path, ffmpeg: Ffmpeg, proved: Callable[..., None]
) -> None:
    source, rate = small(make_clip, "29.97"), SOURCES["29.97"]
    job = lossless(source, tmp_path / "out.nut", ffmpeg, slow=Fraction(factor), slow_audio=AudioInSlowMotion.DROP)
    said = check(job, source, rate=rate, slow=factor)
    assert f"; {FRAMES} of {FRAMES} source frames" in said
    proved("Rates", f"slow motion {factor}", ORACLE, said, ffmpeg=ffmpeg)
