"""What stands still on top of a moving picture, and frames whose flow is in doubt, with networks that are wrong."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from fakes import FakeNetwork, LinearBlend

from interp_cli.engine.interpolate import Interpolator
from interp_cli.engine.overlay import Overlays, luma
from interp_cli.job.key import restored, stored
from interp_cli.job.prepare import Job
from interp_cli.media.types import Color, Planes, pixel_format
from interp_cli.options import EngineOptions, Mode, Tta
from interp_cli.timeline import Target

WIDTH, HEIGHT, SPEED = 160, 96, 6  # px, px per frame
BOX = (slice(40, 64), slice(64, 104))  # rows, columns
COUNT, LEFT = 12, 9  # frames, and one with a full look-back
Proved = Callable[..., None]
FORMATS = ["yuv420p", "yuv422p10le", "yuv444p12le", "gray", "gray16le", "gbrp", "gbrap12le", "yuva420p", "yuv411p"]


def texture(height: int, width: int, *, seed: int = 0, cell: int = 4) -> np.ndarray[Any, Any]:
    """Squares of `cell` px, 0 to 1."""
    coarse = np.random.default_rng(seed).random((-(-height // cell), -(-width // cell)))
    return np.kron(coarse, np.ones((cell, cell)))[:height, :width]


def clip(
    name: str = "yuv420p", *, box: bool = True, box_speed: int = 0, noise: int = 0, speed: int = SPEED
) -> list[Planes]:
    """A texture that moves right by `speed` px a frame, wrapping, behind a checked box that moves by `box_speed`."""
    format, rng = pixel_format(name), np.random.default_rng(5)
    behind = 0.1 + 0.5 * texture(HEIGHT, WIDTH)
    checked = np.where(texture(HEIGHT, WIDTH, seed=3) > 0.5, 0.95, 0.05)
    frames = []
    for n in range(COUNT):
        picture = np.roll(behind, speed * n, 1)
        if box:
            rows, columns = BOX
            columns = slice(columns.start + box_speed * n, columns.stop + box_speed * n)
            picture[rows, columns] = checked[BOX]
        data = []
        for h, w in format.plane_shapes(WIDTH, HEIGHT):
            is_alpha = format.alpha and len(data) == len(format.plane_shapes(WIDTH, HEIGHT)) - 1
            shown = 0.8 + 0.2 * picture if is_alpha else picture  # what is hardly seen would be judged as such
            plane = shown[:: HEIGHT // h, :: WIDTH // w][:h, :w] * format.peak
            plane = plane + rng.integers(-noise, noise + 1, plane.shape) * (1 << format.depth - 8)
            data.append(np.ascontiguousarray(plane.clip(0, format.peak).round().astype(format.dtype)))
        frames.append(Planes(n, tuple(data), format))
    return frames


def made(frames: list[Planes], network: Any = None, *, times: int = 2, **options: Any) -> list[Planes]:
    """The frames between LEFT and LEFT + 1. The network says that everything moves with the texture."""
    e = Interpolator(network or FakeNetwork((SPEED, 0)), options=EngineOptions(scene_detect=False, **options))
    targets = [Target(n=k, pts=k, left=LEFT, t=Fraction(k, times)) for k in range(1, times)]
    return list(e.run(iter(frames), targets, color=Color(range="pc")))


def in_box(plane: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The samples of `plane` that lie within BOX."""
    down, across = HEIGHT // plane.shape[0], WIDTH // plane.shape[1]
    rows, columns = (slice(-(-s.start // by), s.stop // by) for s, by in zip(BOX, (down, across), strict=True))
    return plane[rows, columns].astype(np.int64)


@pytest.mark.parametrize("name", FORMATS)
def test_a_still_box_over_a_moving_texture_is_the_sources_own(name: str, proved: Proved) -> None:
    frames = clip(name)
    for mode in (Mode.DIRECT, Mode.BISECT):
        for out in made(frames, times=4, mode=mode):
            for plane, source in zip(out.data, frames[LEFT].data, strict=True):
                np.testing.assert_array_equal(in_box(plane), in_box(source))
    proved("Overlays and doubt", f"still box before a moving texture, {name}", "the source's own samples", "equal")


def test_without_holding_the_same_box_is_not_the_sources_own(proved: Proved) -> None:
    frames = clip()
    e = Interpolator(FakeNetwork((SPEED, 0)), options=EngineOptions(scene_detect=False), hold_still=False)
    target = Target(n=0, pts=0, left=LEFT, t=Fraction(1, 2))
    (out,) = e.run(iter(frames), [target], color=Color())
    assert np.abs(in_box(out.data[0]) - in_box(frames[LEFT].data[0])).max() > 50
    proved("Overlays and doubt", "the same box with the flow alone", "the source's own samples", "differs")


@pytest.mark.parametrize("noise", [1, 2])
def test_noise_of_a_code_value_or_two_does_not_let_the_box_move(noise: int, proved: Proved) -> None:
    frames = clip(noise=noise)
    for out in made(frames, times=4):
        wrong = np.abs(in_box(out.data[0]) - in_box(clip()[LEFT].data[0]))
        assert wrong.max() <= noise + 1
    proved("Overlays and doubt", f"noise of {noise} code values", "the box without noise", f"within {noise + 1}")


def test_a_moving_box_is_not_held(proved: Proved) -> None:
    for speed in (3, 4):
        finder = Overlays()
        for n, frame in enumerate(clip(box_speed=speed)):
            finder.add(n, luma(frame))
            assert n == 0 or finder.between(n - 1).mask is None
    frames = clip(box_speed=4)
    (held,), (free,) = made(frames), made(frames, overlay_hold=False)
    np.testing.assert_array_equal(held.data[0], free.data[0])
    proved("Overlays and doubt", "a box that moves", "the frame made without holding", "equal")


def test_the_moving_texture_beside_a_held_box_is_made_as_without_it(proved: Proved) -> None:
    frames = clip()
    (held,), (free,) = made(frames), made(frames, overlay_hold=False)
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[BOX] = False
    np.testing.assert_array_equal(held.data[0][outside], free.data[0][outside])
    (true,) = made(clip(box=False))
    far = np.s_[:, : BOX[1].start - 16]
    np.testing.assert_array_equal(held.data[0][far], true.data[0][far])
    proved("Overlays and doubt", "the picture beside a held box", "the frame made without holding", "equal")


def test_a_camera_that_moves_finds_no_overlay_in_texture_or_sky(proved: Proved) -> None:
    finder = Overlays()
    for n, frame in enumerate(clip(box=False)):
        sky = frame.data[0].copy()
        sky[:40] = 200
        finder.add(n, luma(Planes(n, (sky, *frame.data[1:]), frame.format)))
        mask = finder.between(n - 1).mask if n else None
        assert mask is None or (not mask[:34].any() and not mask[46:].any())
    proved("Overlays and doubt", "a pan under a flat sky", "where the overlay is known not to be", "nothing held")


def test_what_was_still_for_too_short_a_time_is_no_overlay(proved: Proved) -> None:
    boxed, plain = clip(), clip(box=False)
    finder = Overlays()
    for n in range(LEFT + 2):
        finder.add(n, luma(boxed[n] if n > LEFT - 4 else plain[n]))
    assert finder.between(LEFT).mask is None
    proved("Overlays and doubt", "a box that came four frames ago", "its own history", "not held")


def test_the_history_is_the_same_wherever_reading_began(proved: Proved) -> None:
    frames, answers = clip(noise=2), []
    for first in (0, LEFT - Overlays.LOOKBACK):
        finder = Overlays()
        for n in range(first, LEFT + 2):
            finder.add(n, luma(frames[n]))
        answers.append(finder.between(LEFT).mask)
    assert answers[0] is not None
    np.testing.assert_array_equal(*answers)
    proved("Overlays and doubt", "reading from the first frame and from the look-back", "each other", "equal masks")


def test_threads_batches_and_flips_keep_the_box_still(proved: Proved) -> None:
    frames = clip()
    reference = made(frames, times=8)
    for options in ({"batch": 3}, {"batch": 8}):
        for a, b in zip(made(frames, times=8, **options), reference, strict=True):
            np.testing.assert_array_equal(a.data[0], b.data[0])
    for out in made(frames, times=4, tta=Tta.FLIP):
        np.testing.assert_array_equal(in_box(out.data[0]), in_box(frames[LEFT].data[0]))
    proved("Overlays and doubt", "batches of 1, 3 and 8; flipped copies", "each other; the source", "equal")


@pytest.mark.parametrize("name", FORMATS)
def test_a_network_that_sees_motion_in_a_still_picture_is_not_believed(name: str, proved: Proved) -> None:
    frames = clip(name, speed=0, box=False, noise=1)
    (out,) = made(frames)
    for plane, source in zip(out.data, frames[LEFT].data, strict=True):
        wrong = np.abs(plane.astype(np.int64) - source.astype(np.int64)) >> (out.format.depth - 8)
        assert np.quantile(wrong, 0.99) <= 3
    proved(
        "Overlays and doubt", f"false motion of {SPEED} px, {name}", "the still picture", "99 % within 3 code values"
    )


class Wrong(FakeNetwork):
    """Right about most of the frame, and wrong within BOX, where it says that nothing moves."""

    def synthesise(self, f0: Any, f1: Any, t: Any, halfway: Any = None) -> Any:
        s = super().synthesise(f0, f1, t)
        F_t0, F_t1 = s.F_t0.clone(), s.F_t1.clone()
        F_t0[(..., *BOX)] = 0
        F_t1[(..., *BOX)] = 0
        return type(s)(F_t0, F_t1, s.M, s.R)


@pytest.mark.parametrize("name", FORMATS)
def test_where_the_flow_fails_the_motion_of_most_of_the_frame_is_taken(name: str, proved: Proved) -> None:
    frames = clip(name, box=False, speed=8)
    (out,) = made(frames, Wrong((8, 0)))
    (right,) = made(frames, FakeNetwork((8, 0)))
    for plane, expected in zip(out.data, right.data, strict=True):
        wrong = np.abs(in_box(plane) - in_box(expected)) >> (out.format.depth - 8)
        assert np.quantile(wrong, 0.9) <= 1
    proved("Overlays and doubt", f"a hole in the flow of a pan, {name}", "the pan, known on paper", "90 % within 1")


def test_unrelated_frames_are_blended_as_before(proved: Proved) -> None:
    rng = np.random.default_rng(0)
    frames = [
        Planes(n, (rng.integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8),), pixel_format("gray")) for n in range(COUNT)
    ]
    (out,) = made(frames, LinearBlend())
    mean = (frames[LEFT].data[0].astype(int) + frames[LEFT + 1].data[0]) / 2
    np.testing.assert_allclose(out.data[0], mean, atol=0.5)
    proved("Overlays and doubt", "two frames that nothing explains", "their mean", "the nearest code values")


@pytest.mark.parametrize("mode", [Mode.DIRECT, Mode.BISECT])
def test_a_segment_that_begins_at_its_look_back_makes_the_same_frames(mode: Mode, proved: Proved) -> None:
    frames, results = clip(noise=2), []
    wanted = [Target(n=k, pts=k, left=LEFT + k // 4, t=Fraction(k % 4, 4)) for k in range(8)]
    for first in (0, LEFT - Overlays.LOOKBACK):
        e = Interpolator(FakeNetwork((SPEED, 0)), options=EngineOptions(mode=mode))
        results.append(list(e.run(iter(frames[first:]), wanted, color=Color(), first_source=first)))
    for a, b in zip(*results, strict=True):
        for x, y in zip(a.data, b.data, strict=True):
            np.testing.assert_array_equal(x, y)
    assert e.made == 6
    proved("Overlays and doubt", f"a run from the look-back on, {mode}", "the run from the first frame on", "equal")


def test_the_option_is_in_the_key_of_a_job_and_comes_back_on_resume(proved: Proved) -> None:
    job = Job(input="a.mp4", output=None, engine=EngineOptions(overlay_hold=False))
    again = restored(stored(job))
    assert again.engine.overlay_hold is False
    assert "overlay_hold" in stored(job)["engine"]
    proved("Overlays and doubt", "--no-overlay-hold in a kept job", "the option given", "the same")


def test_no_more_than_the_look_back_is_held_in_a_long_passage_of_copies(proved: Proved) -> None:
    frames, finder = clip(), Overlays()
    for n in range(100):
        finder.forget_before(n)
        finder.add(n, luma(frames[n % COUNT]))
        assert len(finder._lumas) <= Overlays.LOOKBACK + 1
    proved("Overlays and doubt", "a hundred frames of which none is asked for", "the look-back", "9 planes held")
