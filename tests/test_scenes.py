"""Cuts on made-up pictures whose cuts are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from interp_cli.engine.scenes import CutDetector, score, thumbnail
from interp_cli.media.types import Planes, pixel_format

Shot = list[NDArray[np.float32]]
THRESHOLD = 0.3


def scenery(seed: int, width: int = 256, height: int = 36) -> NDArray[np.float32]:
    """A wide smooth random picture, 0.1 to 0.9."""
    coarse = np.random.default_rng(seed).random((height // 6 + 2, width // 6 + 2))
    y, x = np.linspace(0, coarse.shape[0] - 1.001, height), np.linspace(0, coarse.shape[1] - 1.001, width)
    iy, ix = y.astype(int), x.astype(int)
    fy, fx = (y - iy)[:, None], (x - ix)[None]
    top = coarse[iy][:, ix] * (1 - fx) + coarse[iy][:, ix + 1] * fx
    bottom = coarse[iy + 1][:, ix] * (1 - fx) + coarse[iy + 1][:, ix + 1] * fx
    return (0.1 + 0.8 * (top * (1 - fy) + bottom * fy)).astype(np.float32)


def pan(seed: int, frames: int, step: int = 1) -> Shot:
    """A camera that moves `step` px of the thumbnail per frame."""
    wide = scenery(seed, width=64 + step * frames)
    return [wide[:, n * step : n * step + 64] for n in range(frames)]


def cuts(frames: Shot) -> list[int]:
    detector = CutDetector(THRESHOLD)
    for frame in frames:
        detector.add(frame)
    detector.end()
    return [n for n in range(len(frames) - 1) if detector.is_cut(n)]


@pytest.mark.parametrize("first", [1, 2, 3, 10])
@pytest.mark.parametrize("second", [1, 2, 3, 10])
@pytest.mark.parametrize("step", [0, 1])
def test_a_cut_is_found_wherever_it_is_even_at_the_first_and_last_pair(first: int, second: int, step: int) -> None:
    assert cuts(pan(1, first, step) + pan(2, second, step)) == [first - 1]


def test_a_shot_of_one_frame_has_a_cut_on_either_side() -> None:
    assert cuts(pan(1, 8) + pan(2, 1) + pan(3, 8)) == [7, 8]


@pytest.mark.parametrize("step", [1, 3, 6])
def test_a_pan_however_fast_is_not_a_cut(step: int) -> None:
    assert cuts(pan(4, 20, step)) == []


def test_a_camera_that_starts_with_a_jerk_is_not_a_cut() -> None:
    moving = pan(5, 12, 6)
    assert cuts([moving[0]] * 8 + moving + [moving[-1]] * 8) == []


@pytest.mark.parametrize("step", [2, 6])
def test_repeated_frames_in_a_moving_scene_are_not_cuts(step: int) -> None:
    assert cuts([frame for frame in pan(6, 12, step) for _ in range(2)]) == []


@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_is_not_a_cut(length: int) -> None:
    shot = pan(7, 20)
    for n in range(10, 10 + length):
        shot[n] = np.minimum(1, shot[n] + np.float32(0.6))
    assert cuts(shot) == []


@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_in_fast_motion_is_not_a_cut(length: int) -> None:
    shot = pan(30, 24, 4)
    for n in range(10, 10 + length):
        shot[n] = shot[n] * np.float32(0.2) + np.float32(0.75)
    assert cuts(shot) == []


def test_a_cut_between_two_dark_shots_is_found() -> None:
    dark = [np.float32(0.35) * frame for frame in pan(31, 10) + pan(32, 10)]
    assert cuts(dark) == [9]


def test_a_fade_to_black_and_a_cross_fade_are_not_cuts() -> None:
    a, b = scenery(8, width=64), scenery(9, width=64)
    share = [np.float32(n / 12) for n in range(13)]
    assert cuts([a] * 6 + [a * (1 - k) for k in share] + [a * 0] * 6) == []
    assert cuts([a] * 6 + [a * (1 - k) + b * k for k in share] + [b] * 6) == []


def test_noise_in_the_dark_is_not_a_cut_but_light_going_on_is() -> None:
    rng = np.random.default_rng(0)
    dark = [(0.02 + 0.01 * rng.random((36, 64))).astype(np.float32) for _ in range(10)]
    assert cuts(dark) == []
    assert cuts(dark + pan(10, 10)) == [9]


def test_a_lower_threshold_finds_what_a_higher_one_does_and_more() -> None:
    half = [np.concatenate((a[:18], b[:18])) for a, b in zip(pan(11, 8), pan(12, 8), strict=True)]
    frames = pan(11, 8) + half + pan(13, 8)
    found = []
    for threshold in (0.1, 0.3, 0.6, 1.0):
        detector = CutDetector(threshold)
        for frame in frames:
            detector.add(frame)
        detector.end()
        found.append({n for n in range(len(frames) - 1) if detector.is_cut(n)})
    assert found[0] >= found[1] >= found[2] >= found[3]
    assert found[0] > found[3]


def test_a_pair_is_decided_after_two_more_frames_and_never_before() -> None:
    detector = CutDetector(THRESHOLD)
    for n, frame in enumerate(pan(1, 5) + pan(2, 5)):
        detector.add(frame)
        if n > CutDetector.LOOKAHEAD:
            assert detector.is_cut(n - CutDetector.LOOKAHEAD - 1) is not None
        assert detector.is_cut(max(0, n - CutDetector.LOOKAHEAD)) is None
    detector.end()
    assert detector.is_cut(8) is False


def test_memory_does_not_grow_with_the_clip() -> None:
    detector = CutDetector(THRESHOLD)
    for frame in pan(1, 300):
        detector.add(frame)
    assert all(len(held) < 70 for held in vars(detector).values() if isinstance(held, dict))


def test_scores_are_0_for_equal_and_near_1_for_unrelated_pictures_whatever_their_contrast() -> None:
    a, b = scenery(20), scenery(21)
    assert score(a, a) == 0
    assert score(a, b) > 0.7
    assert score(a * np.float32(0.5), b * np.float32(0.5)) > 0.6


@pytest.mark.parametrize("name", ["yuv420p", "gray16le", "gbrp10le"])
@pytest.mark.parametrize("size", [(640, 360), (360, 640), (2, 2), (1, 1), (65, 3)])
def test_thumbnails_are_small_and_between_0_and_1(name: str, size: tuple[int, int]) -> None:
    format = pixel_format(name)
    data = tuple(np.full(shape, format.peak // 2, format.dtype) for shape in format.plane_shapes(*size))
    small = thumbnail(Planes(0, data, format))
    assert max(small.shape) <= 64
    np.testing.assert_allclose(small, 0.5, atol=0.003)
    assert cuts([small] * 5) == []
