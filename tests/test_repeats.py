"""Drawings that stand for several frames are found, and frames are made in place of their repeats by true times."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from fakes import LinearBlend
from hypothesis import given, settings
from hypothesis import strategies as st

from interp_cli.engine.interpolate import Interpolator
from interp_cli.engine.look import Sight
from interp_cli.engine.repeats import LONGEST
from interp_cli.media.types import Color, Planes, pixel_format
from interp_cli.options import Dedup, EngineOptions, Mode
from interp_cli.timeline import Target

GRAY = pixel_format("gray")
LIVELY = [1, 1, 1, 2, 2, 2, 1, 1, 3, 3, 1, 1, 1, 1]  # for how many frames each drawing stands


def drawing(number: int, *, noise: int = 0, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A bright bar before stripes, further to the right in each; up to `noise` code values are added or taken away."""
    picture = np.full((48, 96), 60, np.int16)
    picture[::4] += 20
    picture[:, 4 * number % 80 : 4 * number % 80 + 12] = 220
    if noise:
        picture += np.random.default_rng(seed).integers(-noise, noise + 1, picture.shape, np.int16)
    return picture.astype(np.uint8)


def shown(lengths: list[int], *, noise: int = 0) -> tuple[list[Planes], list[int]]:
    """Frames, and which drawing each shows."""
    which = [k for k, length in enumerate(lengths) for _ in range(length)]
    pictures = [drawing(k, noise=noise, seed=n) for n, k in enumerate(which)]
    return [Planes(n, (picture,), GRAY) for n, picture in enumerate(pictures)], which


def engine(*, dedup: Dedup = Dedup.AUTO, mode: Mode = Mode.AUTO, cuts: bool = False) -> Interpolator:
    options = EngineOptions(dedup=dedup, mode=mode, scene_detect=cuts, overlay_hold=False)
    return Interpolator(LinearBlend(), options=options, hold_still=False)


def own_times(count: int, *, factor: int = 1) -> list[Target]:
    """Every frame at its own time, and factor - 1 in between."""
    pairs = ((left, Fraction(k, factor)) for left in range(count) for k in range(factor if left + 1 < count else 1))
    return [Target(n=n, pts=n, left=left, t=t) for n, (left, t) in enumerate(pairs)]


def run(e: Interpolator, frames: list[Planes], targets: list[Target], *, first: int = 0) -> list[Planes]:
    return list(e.run(iter(frames), targets, color=Color(range="pc"), first_source=first))


@pytest.mark.parametrize("noise", [0, 2])
@pytest.mark.parametrize("length", range(2, LONGEST + 1))
def test_between_two_drawings_frames_are_made_at_their_true_times(length: int, noise: int) -> None:
    frames, which = shown([1, 1, length, 1, 1, 1], noise=noise)
    out = run(e := engine(), frames, own_times(len(frames)))
    assert e.repeated == set(range(3, 2 + length))
    a, b = frames[2].data[0].astype(float), frames[2 + length].data[0].astype(float)
    for n, (made, source) in enumerate(zip(out, frames, strict=True)):
        if n in e.repeated:
            share = (n - 2) / length
            assert np.abs(made.data[0] - ((1 - share) * a + share * b)).max() <= 1
        else:
            assert made.data[0] is source.data[0], which[n]
    assert (e.copied, e.made) == (len(frames) - length + 1, length - 1)


def test_a_clip_on_twos_moves_as_evenly_as_one_that_never_repeated() -> None:
    lengths = [2] * 8
    frames, _ = shown(lengths)
    twos = run(engine(), frames, own_times(len(frames)))
    single, _ = shown([1] * 8)
    ones = run(engine(dedup=Dedup.OFF), single, own_times(8, factor=2))
    inner = range(2, 2 * 7)  # whether the first and last drawings are holds cannot be told
    assert all((twos[n].data[0] == ones[n].data[0]).all() for n in inner)


@pytest.mark.parametrize("lengths", [[1] * 12, [1, 1, LONGEST + 1, 1, 1], [12], [6, 1, 1, 6]])
def test_single_frames_and_long_holds_are_left_as_they_are(lengths: list[int]) -> None:
    frames, _ = shown(lengths)
    targets = own_times(len(frames), factor=2)
    with_, without = (run(engine(dedup=dedup), frames, targets) for dedup in Dedup)
    assert all((a.data[0] == b.data[0]).all() for a, b in zip(with_, without, strict=True))


def test_a_still_shot_with_noise_holds_no_drawings() -> None:
    frames = [Planes(n, (drawing(0, noise=6, seed=n),), GRAY) for n in range(20)]
    run(e := engine(), frames, own_times(20))
    assert not e.repeated


def test_no_motion_is_made_across_a_cut_beside_a_drawing() -> None:
    rng = np.random.default_rng(1)
    before, _ = shown([1] * 8 + [2])
    after = [Planes(0, (rng.integers(0, 255, (6, 12), np.uint8).repeat(8, 0).repeat(8, 1),), GRAY)] * 10
    frames = [Planes(n, frame.data, GRAY) for n, frame in enumerate([*before, *after])]
    out = run(e := engine(cuts=True), frames, own_times(len(frames)))
    assert e.cuts == [9]
    assert not e.repeated
    assert all((a.data[0] == b.data[0]).all() for a, b in zip(out, frames, strict=True))


def test_a_drawing_that_stands_too_long_in_seconds_is_a_hold() -> None:
    frames, _ = shown([1, 1, 4, 1, 1])
    for longest, repeats in ((4, 3), (3, 0)):
        e = engine()
        list(e.run(iter(frames), own_times(len(frames)), color=Color(range="pc"), longest=longest))
        assert len(e.repeated) == repeats


def test_true_times_of_a_variable_rate_count_and_not_frame_numbers() -> None:
    frames, _ = shown([1, 1, 3, 1, 1])
    times = [0, 10, 20, 21, 29, 30, 40]
    frames = [Planes(pts, frame.data, GRAY) for pts, frame in zip(times, frames, strict=True)]
    network = LinearBlend()
    run(Interpolator(network, options=EngineOptions(scene_detect=False, overlay_hold=False)), frames, own_times(7))
    assert [t for asked in network.asked for t in asked] == pytest.approx([0.1, 0.9])


def test_bisection_reaches_a_repeat_by_the_nearest_time_that_it_can() -> None:
    frames, _ = shown([1, 1, 3, 1, 1])
    run(e := engine(mode=Mode.BISECT), frames, own_times(7))
    assert e.made == 2


@given(
    lengths=st.lists(st.sampled_from(LIVELY), min_size=4, max_size=12),
    first=st.integers(0, 30),
    count=st.integers(1, 12),
    factor=st.sampled_from([1, 2, 3]),
    overlay=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_a_part_is_made_as_within_the_whole(
    lengths: list[int], first: int, count: int, factor: int, overlay: bool
) -> None:
    frames, _ = shown(lengths, noise=1)
    options = EngineOptions(dedup=Dedup.AUTO, scene_detect=True, overlay_hold=overlay)
    first %= len(frames)
    targets = own_times(len(frames), factor=factor)
    wanted = [t for t in targets if first <= t.left < first + count]
    sight = Sight.of(options, given_cuts=False)
    last = wanted[-1].left + bool(wanted[-1].t)
    begin = max(0, first - sight.back)
    seen = frames[begin : last + sight.ahead + 1]
    part = run(Interpolator(LinearBlend(), options=options), seen, wanted, first=begin)
    whole = run(Interpolator(LinearBlend(), options=options), frames, targets)
    inside = [whole[t.n] for t in wanted]
    assert all((a.data[0] == b.data[0]).all() for a, b in zip(part, inside, strict=True))


def test_a_part_may_be_given_looks_in_place_of_frames_that_are_not_shown() -> None:
    frames, _ = shown(LIVELY, noise=1)
    options = EngineOptions(dedup=Dedup.AUTO, overlay_hold=True)
    sight = Sight.of(options, given_cuts=False)
    first = sight.back
    wanted = [t for t in own_times(len(frames)) if t.left >= first]
    looks = [sight.look(frame) for frame in frames[: first - sight.used]]
    e = Interpolator(LinearBlend(), options=options)
    out = list(e.run(iter([*looks, *frames[len(looks) :]]), wanted, color=Color(range="pc")))
    whole = run(Interpolator(LinearBlend(), options=options), frames, own_times(len(frames)))
    assert all((a.data[0] == whole[t.n].data[0]).all() for a, t in zip(out, wanted, strict=True))
    assert all(a.pts < b.pts for a, b in pairwise(out))
