"""The laws of the timeline, each recomputed here by brute force with plain Fractions."""

import ast
import re
import time
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import interp_cli.timeline
from interp_cli.errors import InputError, UsageError
from interp_cli.timeline import Plan, Timeline, make_plan
from interp_cli.timeline.text import parse_rate

NTSC_FILM, NTSC, NTSC_60 = Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001)
MS = Fraction(1, 1000)

time_bases = st.sampled_from([MS, Fraction(1, 90000), Fraction(1, 15360), Fraction(1, 600), Fraction(1001, 30000)])
rates = st.one_of(
    st.sampled_from([Fraction(n) for n in (12, 24, 25, 30, 50, 60, 120)] + [NTSC_FILM, NTSC, NTSC_60]),
    st.fractions(min_value=1, max_value=240, max_denominator=1001),
)
common_rates = st.sampled_from([*map(Fraction, (10, 24, 25, 30, 48, 50, 60, 120)), NTSC_FILM, NTSC, NTSC_60])


def for_all(*strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """`given`, with few examples and the same ones every time: a busy machine must not make a law look broken."""
    return lambda law: settings(max_examples=40, deadline=None, derandomize=True)(given(*strategies)(law))


@st.composite
def sources(draw: st.DrawFn) -> Timeline:
    """Any time line: first pts anywhere (before zero too), every gap anything."""
    first = draw(st.integers(-100_000, 100_000))
    gaps = draw(st.lists(st.integers(1, 5000), min_size=1, max_size=40))
    pts = [first]
    for gap in gaps:
        pts.append(pts[-1] + gap)
    return Timeline(time_base=draw(time_bases), pts=tuple(pts[:-1]), end_pts=pts[-1])


def cfr(rate: Fraction, frames: int, *, start: Fraction = Fraction(0)) -> Timeline:
    """The exact grid, on a time base that holds it exactly."""
    base = Fraction(1, rate.numerator * start.denominator)
    first, step = start / base, 1 / rate / base
    return Timeline(
        time_base=base, pts=tuple(int(first + n * step) for n in range(frames)), end_pts=int(first + frames * step)
    )


def rounded(times: list[Fraction], *, tick: Fraction = MS, half: Fraction = Fraction(1, 2)) -> Timeline:
    """What a container with coarse ticks stores of these times (the last one is the end); half=0 cuts instead."""
    ticks = [(t / tick + half) // 1 for t in times]
    return Timeline(time_base=tick, pts=tuple(ticks[:-1]), end_pts=ticks[-1])


def grid_times(rate: Fraction, frames: int, *, start: Fraction = Fraction(0)) -> list[Fraction]:
    return [start + n / rate for n in range(frames + 1)]


def brute_force(source: Timeline, rate: Fraction) -> list[tuple[int, Fraction]]:
    """(left, t) of every output frame, by search over all source frames in seconds."""
    shown = [p * source.time_base for p in source.pts]
    end, found, n = source.end_pts * source.time_base, [], 0
    while shown[0] + n / rate < end:
        now = shown[0] + n / rate
        left = max(i for i, s in enumerate(shown) if s <= now)
        gap = shown[left + 1] - shown[left] if left + 1 < len(shown) else None
        found.append((left, (now - shown[left]) / gap if gap else Fraction(0)))
        n += 1
    return found


# --- the laws ---------------------------------------------------------------------------------------------------


@for_all(sources(), rates)
def test_every_target_is_where_a_brute_force_search_in_seconds_puts_it(source: Timeline, rate: Fraction) -> None:
    assume(source.duration * rate < 2000)
    plan = make_plan(source, rate)
    assert [(t.left, t.t) for t in plan.targets()] == brute_force(source, rate)
    assert [t.n for t in plan.targets()] == list(range(plan.frames))


@for_all(sources(), rates)
def test_output_pts_rise_strictly_and_t_is_at_least_zero_and_below_one(source: Timeline, rate: Fraction) -> None:
    assume(source.duration * rate < 2000)
    targets = list(make_plan(source, rate).targets())
    assert all(a.pts < b.pts for a, b in pairwise(targets))
    assert all(0 <= target.t < 1 and isinstance(target.t, Fraction) for target in targets)


@for_all(sources(), rates)
def test_every_target_lies_between_its_two_source_frames(source: Timeline, rate: Fraction) -> None:
    assume(source.duration * rate < 2000)
    edges = [*source.pts, source.end_pts]
    for target in make_plan(source, rate).targets():
        now = source.start + Fraction(target.pts) / rate
        assert edges[target.left] * source.time_base <= now < edges[target.left + 1] * source.time_base


@for_all(sources(), rates)
def test_the_output_covers_the_whole_source_and_less_than_one_frame_more(source: Timeline, rate: Fraction) -> None:
    plan = make_plan(source, rate)
    assert plan.start == source.start
    assert 0 <= plan.duration - source.duration < 1 / rate


@for_all(common_rates, st.integers(1, 50), st.integers(1, 9), st.fractions(0, 5, max_denominator=1000))
def test_a_multiple_of_a_constant_rate_shows_each_source_frame_once_and_untouched(
    rate: Fraction, frames: int, k: int, start: Fraction
) -> None:
    source = cfr(rate, frames, start=start)
    plan = make_plan(source, k * rate)
    assert plan.frames == k * frames
    copies = [(t.n, t.left) for t in plan.targets() if t.t == 0 and t.left < frames - 1]
    assert copies == [(k * i, i) for i in range(frames - 1)]
    assert [(t.left, t.t) for t in plan.targets()][-k:] == [(frames - 1, 0)] * k  # then the last frame is held


@for_all(sources(), rates, st.fractions(Fraction(1, 100), 40, max_denominator=100))
def test_the_segments_joined_are_the_plan(source: Timeline, rate: Fraction, seconds: Fraction) -> None:
    assume(source.duration * rate < 2000)
    plan = make_plan(source, rate, segment_seconds=seconds)
    assert [n for s in plan.segments for n in s.targets] == list(range(plan.frames))
    assert [t for s in plan.segments for t in plan.targets(s.targets)] == list(plan.targets())
    assert [s.k for s in plan.segments] == list(range(len(plan.segments)))


@for_all(sources(), rates, st.fractions(Fraction(1, 100), 40, max_denominator=100))
def test_a_segment_names_exactly_the_source_frames_that_it_needs(
    source: Timeline, rate: Fraction, seconds: Fraction
) -> None:
    assume(source.duration * rate < 500)
    for segment in (plan := make_plan(source, rate, segment_seconds=seconds)).segments:
        targets = [plan.target(n) for n in segment.targets]
        needed = {t.left for t in targets} | {t.left + 1 for t in targets if t.t}
        assert (segment.first_source, segment.last_source) == (min(needed), max(needed))


@for_all(sources(), rates)
def test_copied_and_made_are_the_counts_of_the_targets(source: Timeline, rate: Fraction) -> None:
    assume(source.duration * rate < 2000)
    plan = make_plan(source, rate)
    copies = sum(target.t == 0 for target in plan.targets())
    assert (plan.copied, plan.made) == (copies, plan.frames - copies)


@pytest.mark.parametrize(("source", "wanted"), [(30, 60), (25, 60), (24, 120), (50, 60)])
def test_segments_begin_with_source_frames_where_the_rates_allow_it(source: int, wanted: int) -> None:
    plan = make_plan(cfr(Fraction(source), source * 40), Fraction(wanted))
    assert len(plan.segments) > 5
    assert all(plan.target(s.targets.start).t == 0 for s in plan.segments)


def test_segments_are_about_as_long_as_asked_and_none_is_a_stub() -> None:
    lengths = [len(s.targets) for s in make_plan(cfr(Fraction(30), 30 * 95), Fraction(60)).segments]
    assert lengths == [300] * 19
    plan = make_plan(cfr(Fraction(30), 30 * 95), Fraction(60), segment_seconds=Fraction(4))
    assert {len(s.targets) for s in plan.segments} == {236, 238}
    assert max(len(s.targets) for s in make_plan(cfr(Fraction(30), 3000), Fraction(240)).segments) <= 300 + 16
    assert len(make_plan(cfr(Fraction(30), 60), Fraction(60)).segments) == 1


def test_no_float_can_appear_in_the_timeline_module() -> None:
    folder = Path(interp_cli.timeline.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not isinstance(node, ast.Div), f"{path.name} divides with /, which makes floats of integers"
            assert not (isinstance(node, ast.Constant) and isinstance(node.value, float | complex)), path.name
            assert not (isinstance(node, ast.Name | ast.Attribute) and "float" in ast.unparse(node)), path.name
            if isinstance(node, ast.ImportFrom) and node.module == "math":
                assert [a.name for a in node.names] == ["gcd"], "only gcd stays among the integers"
            assert not (isinstance(node, ast.Import) and any(a.name in ("math", "numpy") for a in node.names)), (
                path.name
            )


# --- known cases, worked out by hand ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "output", "pattern"),
    [
        (Fraction(24), Fraction(60), [(0, "0"), (0, "2/5"), (0, "4/5"), (1, "1/5"), (1, "3/5"), (2, "0")]),
        (Fraction(25), Fraction(60), [(0, "0"), (0, "5/12"), (0, "5/6"), (1, "1/4"), (1, "2/3"), (2, "1/12")]),
        (Fraction(30), Fraction(60), [(0, "0"), (0, "1/2"), (1, "0"), (1, "1/2"), (2, "0")]),
        (NTSC, NTSC_60, [(0, "0"), (0, "1/2"), (1, "0"), (1, "1/2")]),
        (NTSC_FILM, NTSC_60, [(0, "0"), (0, "2/5"), (0, "4/5"), (1, "1/5"), (1, "3/5"), (2, "0")]),
        (NTSC, Fraction(60), [(0, "0"), (0, "500/1001"), (0, "1000/1001"), (1, "499/1001"), (1, "999/1001")]),
        (Fraction(60), Fraction(24), [(0, "0"), (2, "1/2"), (5, "0"), (7, "1/2"), (10, "0")]),
    ],
)
def test_common_conversions_have_their_known_cadence(
    source: Fraction, output: Fraction, pattern: list[tuple[int, str]]
) -> None:
    targets = list(make_plan(cfr(source, 100), output).targets())
    assert [(t.left, t.t) for t in targets[: len(pattern)]] == [(left, Fraction(t)) for left, t in pattern]


def test_an_hour_of_23_976_becomes_59_94_with_no_drift_at_all() -> None:
    frames = 86_314  # just over 3600 s
    source = rounded(grid_times(NTSC_FILM, frames)).snapped(NTSC_FILM)
    plan = make_plan(source, NTSC_60)
    assert source.rate == NTSC_FILM
    assert plan.frames == frames * 5 // 2
    assert plan.duration == source.duration == frames / NTSC_FILM
    copies = [(t.n, t.left) for t in plan.targets(range(0, plan.frames, 5))]
    assert copies == [(5 * i, 2 * i) for i in range(frames // 2)]  # every second source frame, to the very end
    last = plan.target(plan.frames - 1)
    assert (last.left, last.t) == (frames - 1, 0)
    assert plan.target(plan.frames - 3).t == Fraction(4, 5)
    assert plan.target(plan.frames - 3).left == frames - 2


def test_an_hour_at_60_frames_per_second_is_snapped_and_planned_well_under_a_second() -> None:
    source = rounded(grid_times(Fraction(60), 216_000))
    begin = time.process_time()
    plan = make_plan(source.snapped(), NTSC_60)
    assert plan.copied + plan.made == plan.frames
    assert time.process_time() - begin < 1


def test_slow_motion_plays_the_same_frames_for_longer() -> None:
    source = cfr(Fraction(30), 20, start=Fraction(7, 5))
    slow = source.stretched(Fraction(8))
    assert (slow.start, slow.duration, slow.rate) == (source.start, 8 * source.duration, Fraction(30, 8))
    plan = make_plan(slow, Fraction(30))
    assert plan.frames == 160
    assert [t.t for t in plan.targets()][:9] == [Fraction(i % 8, 8) for i in range(9)]


@for_all(sources(), st.fractions(Fraction(1, 10), 20, max_denominator=30))
def test_stretching_moves_every_time_away_from_the_start_in_proportion(source: Timeline, factor: Fraction) -> None:
    slow = source.stretched(factor)
    for before, after in zip((*source.pts, source.end_pts), (*slow.pts, slow.end_pts), strict=True):
        assert after * slow.time_base - source.start == (before * source.time_base - source.start) * factor


# --- variable rate, parts, single frames ------------------------------------------------------------------------


def test_a_variable_source_keeps_its_duration_and_its_own_frame_times() -> None:
    source = Timeline(time_base=MS, pts=(0, 33, 67, 500, 541, 600), end_pts=900)
    assert not source.is_cfr
    assert source.rate == Fraction(6000, 900)
    plan = make_plan(source, Fraction(60))
    assert plan.frames == 54
    frozen = [t for t in plan.targets() if t.left == 2]  # the long gap: time runs evenly from frame 2 to frame 3
    assert [t.t for t in frozen] == [(Fraction(t.n, 60) - Fraction(67, 1000)) / Fraction(433, 1000) for t in frozen]


def test_a_long_last_frame_is_held_and_does_not_spoil_the_constant_rate() -> None:
    source = Timeline(time_base=Fraction(1, 30), pts=(0, 1, 2, 3), end_pts=7)
    assert (source.is_cfr, source.rate) == (True, 30)
    targets = [(t.left, t.t) for t in make_plan(source, Fraction(60)).targets()]
    half = Fraction(1, 2)
    assert targets == [(0, 0), (0, half), (1, 0), (1, half), (2, 0), (2, half)] + [(3, 0)] * 8


def test_one_frame_is_held_for_its_duration() -> None:
    source = Timeline(time_base=MS, pts=(40,), end_pts=140)
    assert (source.is_cfr, source.rate, source.snapped(Fraction(25))) == (True, 10, source)
    assert [(t.left, t.t) for t in make_plan(source, Fraction(60)).targets()] == [(0, 0)] * 6


@for_all(sources(), st.fractions(0, 10, max_denominator=100), st.fractions(0, 10, max_denominator=100))
def test_a_part_holds_the_frames_that_are_on_screen_in_it(source: Timeline, a: Fraction, b: Fraction) -> None:
    begin, end = min(a, b), max(a, b)
    assume(begin < end and begin < source.duration)
    part, numbers = source.between(begin, end)
    edges = [(p - source.pts[0]) * source.time_base for p in (*source.pts, source.end_pts)]
    expected = [i for i in range(len(source)) if edges[i] < end and edges[i + 1] > begin]
    assert list(numbers) == expected
    assert part.pts == tuple(source.pts[i] for i in expected)
    assert part.end - source.start == edges[expected[-1] + 1]


@for_all(sources(), st.integers(0, 98), st.integers(1, 100), st.integers(2, 9))
def test_a_part_has_the_frames_that_the_whole_has_there(source: Timeline, begin: int, length: int, factor: int) -> None:
    start, end = (source.duration * percent / 100 for percent in (begin, begin + length))
    part, numbers = source.between(start, end)
    whole, own = (Plan(source=line, rate=Fraction(60), segments=(), factor=factor) for line in (source, part))
    there, here = range(numbers.start * factor, numbers.stop * factor), range(len(part) * factor)
    assert [(t.left + numbers.start, t.t) for t in own.targets(here)] == [(t.left, t.t) for t in whole.targets(there)]
    assert own.copied == sum(not t.t for t in own.targets(here))


def test_what_follows_a_part_is_made_use_of_at_a_constant_rate() -> None:
    part, _ = cfr(Fraction(30), 8).between(Fraction(2, 30), Fraction(4, 30))
    plan = make_plan(part.stretched(Fraction(2)), Fraction(60))
    targets = [(0, 0), (0, 0.25), (0, 0.5), (0, 0.75), (1, 0), (1, 0.25), (1, 0.5), (1, 0.75)]
    assert [(t.left, float(t.t)) for t in plan.targets()] == targets
    assert (plan.copied, plan.made, plan.segments[-1].last_source) == (2, 6, 2)


def test_a_part_with_no_limits_is_the_whole() -> None:
    source = cfr(NTSC, 10, start=Fraction(3))
    assert source.between(None, None) == (source, range(10))
    assert source.between(Fraction(0), Fraction(100)) == (source, range(10))


# --- rounded time stamps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [2, 10, 33])
def test_a_rate_that_a_header_tells_to_two_decimals_does_not_move_exact_times(frames: int) -> None:
    """A GIF of three hundredths a frame is said to have 33.33 frames/s, which a short one cannot gainsay."""
    gif = Timeline(time_base=Fraction(1, 100), pts=tuple(range(0, 3 * frames, 3)), end_pts=3 * frames)
    assert gif.snapped(Fraction(3333, 100)) == gif
    assert gif.rate == Fraction(100, 3)


@for_all(
    common_rates,
    st.integers(40, 400),
    st.fractions(0, 3, max_denominator=1000),
    st.sampled_from([Fraction(1, 2), Fraction(0)]),
    st.booleans(),
)
def test_a_constant_rate_is_recognised_behind_milliseconds(
    rate: Fraction, frames: int, start: Fraction, half: Fraction, told: bool
) -> None:
    stored = rounded(grid_times(rate, frames, start=start), half=half)
    snapped = stored.snapped(rate if told else None)
    assert snapped.is_cfr
    assert snapped.start == stored.start
    assert snapped.duration == len(stored) / snapped.rate
    off = [abs(a * snapped.time_base - b * MS) for a, b in zip(snapped.pts, stored.pts, strict=True)]
    assert max(off) <= MS
    if told or frames > 150:  # shorter, 29.97 and 30 may both round to the same milliseconds
        assert snapped.rate == rate


@pytest.mark.parametrize("rate", [NTSC_FILM, NTSC, NTSC_60, Fraction(60), Fraction(24)])
@pytest.mark.parametrize("tick", [MS, Fraction(1, 600), Fraction(1, 90000), Fraction(1, 1_000_000)])
def test_every_coarse_time_base_is_seen_through_without_a_hint(rate: Fraction, tick: Fraction) -> None:
    assert rounded(grid_times(rate, 2000), tick=tick).snapped().rate == rate


def test_an_hour_of_matroska_is_exactly_23_976_and_every_frame_within_a_tick() -> None:
    stored = rounded(grid_times(NTSC_FILM, 86_314))
    snapped = stored.snapped()
    assert (snapped.is_cfr, snapped.rate, snapped.duration) == (True, NTSC_FILM, 86_314 / NTSC_FILM)
    ratio = snapped.time_base / MS
    assert all(abs(a * ratio - b) <= 1 for a, b in zip(snapped.pts, stored.pts, strict=True))


def test_milliseconds_are_recognised_after_a_remux_to_finer_ticks() -> None:
    stored = rounded(grid_times(NTSC, 500))
    remuxed = Timeline(time_base=Fraction(1, 16000), pts=tuple(16 * p for p in stored.pts), end_pts=16 * stored.end_pts)
    assert remuxed.snapped().rate == NTSC


def test_times_rounded_to_90_khz_and_then_to_milliseconds_are_recognised() -> None:
    once = rounded(grid_times(NTSC_FILM, 20_000), tick=Fraction(1, 90000))
    twice = rounded([p * once.time_base for p in (*once.pts, once.end_pts)])
    assert twice.snapped(NTSC_FILM).rate == NTSC_FILM


def test_thirty_frames_per_second_are_recognised_behind_the_hundredths_of_a_gif() -> None:
    source = Timeline(time_base=Fraction(1, 100), pts=(0, 3, 7, 10, 13, 17, 20, 23, 27), end_pts=30)
    assert (source.snapped().rate, source.snapped().duration) == (30, Fraction(3, 10))


def test_an_uncommon_constant_rate_is_recognised() -> None:
    assert rounded(grid_times(Fraction(173, 10), 600)).snapped().rate == Fraction(173, 10)


@for_all(common_rates, st.sets(st.integers(1, 299), max_size=100), st.booleans())
def test_a_constant_rate_that_lost_frames_gets_its_exact_times_and_keeps_its_gaps(
    rate: Fraction, lost: set[int], told: bool
) -> None:
    assume(rate < 100 and lost)  # at 120 frames/s a gap of milliseconds could be anything
    kept = [n for n in range(300) if n not in lost]
    assume(sum(b - a == 1 for a, b in pairwise(kept)) * 2 >= len(kept))
    snapped = rounded([Fraction(n) / rate for n in [*kept, kept[-1] + 1]]).snapped(rate if told else None)
    assert (snapped.rate, snapped.duration) == (rate, (kept[-1] + 1) / rate)
    assert [p * snapped.time_base for p in snapped.pts] == [n / rate for n in kept]
    assert snapped.is_cfr == (kept == list(range(len(kept))))
    twice = make_plan(snapped, 2 * rate)
    assert [t.left for t in twice.targets() if t.t == 0][: len(kept)] == list(range(len(kept)))


def test_milliseconds_with_a_frame_missing_are_recognised_on_finer_ticks() -> None:
    stored = rounded([n / NTSC_FILM for n in [*range(90), *range(91, 200)]])
    remuxed = Timeline(time_base=MS / 90, pts=tuple(90 * p for p in stored.pts), end_pts=90 * stored.end_pts)
    snapped = remuxed.snapped()
    assert (snapped.is_cfr, snapped.rate, snapped.duration) == (False, NTSC_FILM, 199 / NTSC_FILM)


def test_the_rate_is_the_usual_one_when_nine_steps_in_ten_agree() -> None:
    pts = (0, 224, *range(544, 544 + 320 * 50, 320))
    assert Timeline(time_base=Fraction(1, 19200), pts=pts, end_pts=pts[-1] + 320).rate == 60


def test_the_rate_of_exact_ticks_with_a_frame_missing_is_that_of_the_rest() -> None:
    source = Timeline(time_base=Fraction(1, 12800), pts=(0, 1024, 1536, 2048, 2560), end_pts=3072)
    assert (source.is_cfr, source.rate, source.snapped() is source) == (False, 25, True)


def test_a_wrong_hint_does_no_harm() -> None:
    assert rounded(grid_times(Fraction(25), 300)).snapped(Fraction(50)).rate == 25
    assert rounded(grid_times(NTSC, 300)).snapped(Fraction(30)).rate == NTSC
    assert rounded(grid_times(NTSC, 300)).snapped(Fraction(0)).rate == NTSC


@for_all(common_rates, st.integers(2, 60), st.sampled_from([1, 3, 512]))
def test_exact_ticks_are_left_exactly_as_they_are(rate: Fraction, frames: int, finer: int) -> None:
    exact = cfr(rate, frames)
    source = Timeline(
        time_base=exact.time_base / finer, pts=tuple(p * finer for p in exact.pts), end_pts=exact.end_pts * finer
    )
    assert source.snapped(rate) is source
    assert source.snapped() is source


@pytest.mark.parametrize(
    "pts",
    [
        (0, 31, 69, 100, 131, 170, 200),  # jitter of 3 ms
        (0, 40, 81, 119, 160, 201, 239, 280),  # 25 fps, a millisecond early and late
        (0, 33, 67, 100, 150, 200, 250),  # 30 fps, then 20
    ],
    ids=["jitter", "small jitter", "two rates"],
)
def test_a_source_that_truly_varies_stays_so(pts: tuple[int, ...]) -> None:
    source = Timeline(time_base=MS, pts=pts, end_pts=pts[-1] + 33)
    for hint in (None, Fraction(30), Fraction(25)):
        assert source.snapped(hint) is source


@pytest.mark.parametrize("pts", [(0, 2, 5, 7, 10, 12), (0, 1, 3, 4, 6, 7), (0, 1, 2, 4, 5, 6)])
def test_a_cadence_on_a_time_base_of_whole_frames_is_not_taken_for_rounding(pts: tuple[int, ...]) -> None:
    source = Timeline(time_base=Fraction(1, 60), pts=pts, end_pts=pts[-1] + 1)
    assert source.snapped(Fraction(24)) is source


@for_all(sources())
def test_whatever_is_snapped_stays_within_a_tick_of_what_the_file_says(source: Timeline) -> None:
    snapped = source.snapped(Fraction(30))
    tick = source.time_base * max(
        1, min(b - a for a, b in zip(source.pts, (*source.pts[1:], source.end_pts), strict=True)) // 3
    )
    off = [abs(a * snapped.time_base - b * source.time_base) for a, b in zip(snapped.pts, source.pts, strict=True)]
    assert len(snapped) == len(source)
    assert max(off) <= tick
    assert snapped.end > snapped.pts[-1] * snapped.time_base


def test_a_last_frame_that_lasts_longer_keeps_its_end_when_the_rest_is_snapped() -> None:
    stored = rounded([*grid_times(NTSC, 100)[:-1], Fraction(5)])
    snapped = stored.snapped()
    assert (snapped.rate, snapped.end) == (NTSC, 5)


@pytest.mark.parametrize(
    ("base", "step"), [(Fraction(1, 141_255_000), 4_783_721), (Fraction(1, 1_000_000), 33_367), (MS, 33)]
)
@pytest.mark.parametrize("factor", [2, 3, 8])
def test_multiples_of_a_constant_rate_show_every_frame_whatever_its_ticks(
    base: Fraction, step: int, factor: int
) -> None:
    """A telephone counts in 1/141255000 s: twice its rate is nothing that a file can be given."""
    count = 300
    pts = tuple(range(0, step * count, step))
    source = Timeline(time_base=base, pts=pts, end_pts=step * count).snapped(Fraction(2953, 100))
    plan = make_plan(source, parse_rate(f"{factor}x", source.rate).value)
    inside = [t.t for t in plan.targets() if t.left < count - 1]
    assert inside == [Fraction(n % factor, factor) for n in range(factor * (count - 1))]
    assert abs(source.pts[-1] * source.time_base - pts[-1] * base) < Fraction(step * base, 100)


def test_such_a_rate_is_left_alone_where_the_difference_would_show() -> None:
    step, count = 4_783_721, 2_000_000
    pts = tuple(range(0, step * count, step))
    source = Timeline(time_base=Fraction(1, 141_255_000), pts=pts, end_pts=step * count)
    assert source.snapped() is source


# --- values, and bad ones ---------------------------------------------------------------------------------------


def test_a_plan_is_a_frozen_value_that_prints_briefly() -> None:
    source = cfr(NTSC, 100_000)
    plan = make_plan(source, NTSC_60, segment_seconds=Fraction(3600))
    assert plan == make_plan(source, NTSC_60, segment_seconds=Fraction(3600))
    assert isinstance(plan, Plan)
    assert hash(plan) == hash(make_plan(source, NTSC_60, segment_seconds=Fraction(3600)))
    assert "100000 frames, CFR 30000/1001" in repr(plan)
    assert len(repr(plan)) < 600
    with pytest.raises(AttributeError):
        plan.rate = Fraction(1)  # type: ignore[misc]


def test_a_frame_outside_the_plan_is_an_index_error() -> None:
    plan = make_plan(cfr(Fraction(30), 3), Fraction(60))
    for n in (-1, 6):
        with pytest.raises(IndexError):
            plan.target(n)


@pytest.mark.parametrize(("pts", "end"), [((), 0), ((0, 0), 1), ((0, 2, 1), 3), ((0, 1), 1)])
def test_times_that_do_not_rise_are_refused_with_a_sentence(pts: tuple[int, ...], end: int) -> None:
    with pytest.raises(InputError, match=r"no frames|do not rise"):
        Timeline(time_base=MS, pts=pts, end_pts=end)


@pytest.mark.parametrize(
    ("start", "end", "sentence"),
    [
        (Fraction(4), None, "--start 4 is past the end of the video: give less than its length, 2 s"),
        (Fraction(1), Fraction(1, 2), "--start 1 is not before --end 0.5"),
        (Fraction(1), Fraction(1), "--start 1 is not before --end 1"),
        (Fraction(0), Fraction(0), "--start 0 is not before --end 0"),
    ],
)
def test_a_part_without_frames_is_refused_with_a_sentence(start: Fraction, end: Fraction | None, sentence: str) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)):
        cfr(Fraction(30), 60).between(start, end)


def test_a_rate_or_factor_of_nothing_is_refused() -> None:
    for rate in (Fraction(0), Fraction(-60)):
        with pytest.raises(UsageError, match="such as --fps 60"):
            make_plan(cfr(Fraction(30), 3), rate)
    with pytest.raises(UsageError, match="above 0"):
        cfr(Fraction(30), 3).stretched(Fraction(0))
