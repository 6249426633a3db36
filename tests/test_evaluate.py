"""Scoring takes the right frames out, shows methods nothing else, and reads luma and RGB as other tools do."""

from fractions import Fraction
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp_cli.errors import InputError
from interp_cli.media.ffmpeg import find_ffmpeg
from interp_cli.media.rgb import rgb
from interp_cli.media.types import Color, Planes, pixel_format
from interp_cli.quality.evaluate import Score, mean_score, pairwise, score_frame, score_sample, table
from interp_cli.quality.frames import choose_runs, clip_samples, find_material, limit_size, luma, triplet_sample

YUV420 = pixel_format("yuv420p")


def grey_frame(value: int, *, width: int = 32, height: int = 16, pts: int = 0) -> Planes:
    data = [np.full(shape, value, np.uint8) for shape in YUV420.plane_shapes(width, height)]
    return Planes(pts, tuple(data), YUV420)


def write_clip(path: Path, frames: list[np.ndarray]) -> Path:
    """A lossless clip of grey-level frames."""
    height, width = frames[0].shape[:2]
    writer = imageio_ffmpeg.write_frames(
        str(path), (width, height), pix_fmt_in="gray", pix_fmt_out="yuv420p", codec="ffv1", macro_block_size=1, fps=25
    )
    writer.send(None)
    for frame in frames:
        writer.send(np.ascontiguousarray(frame))
    writer.close()
    return path


@given(
    count=st.integers(1, 400),
    gap=st.integers(2, 8),
    frames=st.none() | st.integers(1, 60),
    run=st.integers(1, 6),
    context=st.integers(0, 2),
)
def test_runs_lie_inside_the_clip_and_score_each_pair_once(
    count: int, gap: int, frames: int | None, run: int, context: int
) -> None:
    runs = choose_runs(count, gap=gap, frames=frames, run=run, context=context)
    pairs = [chosen.first // gap + left for chosen in runs for left in chosen.scored]
    total = (count - 1) // gap
    assert pairs == sorted(set(pairs))
    assert len(pairs) == (total if frames is None else min(total, -(-frames // (gap - 1))))
    for chosen in runs:
        assert chosen.first % gap == 0
        assert chosen.first + (chosen.kept - 1) * gap < count
        assert 0 <= chosen.scored.start <= context
        assert 1 <= len(chosen.scored) <= run
        assert chosen.scored.stop < chosen.kept


def test_runs_of_a_long_clip_are_spread_over_it() -> None:
    firsts = [run.first for run in choose_runs(101, gap=2, frames=8)]
    assert firsts == [18, 68]


def test_a_method_sees_only_kept_frames_and_is_compared_with_those_taken_out(tmp_path: Path) -> None:
    ramp = [np.full((32, 48), 20 + 5 * n, np.uint8) for n in range(21)]
    clip = write_clip(tmp_path / "ramp.mkv", ramp)
    decoded = list(clip_samples(clip, ffmpeg=find_ffmpeg(), gap=4, frames=6))
    levels = [int(value) for sample in decoded for value in np.unique([planes.data[0] for planes in sample.kept])]
    true = [int(planes.data[0][0, 0]) for sample in decoded for planes in sample.true]
    assert len(true) == 6
    assert not set(levels) & set(true)
    steps = np.diff(sorted(set(levels)))
    assert set(steps) <= {17, 18}  # 4 frames of 5 grey levels, seen in limited range (219 / 255)
    for sample in decoded:
        assert [target.t for target in sample.targets] == [Fraction(k, 4) for k in (1, 2, 3)] * (
            len(sample.targets) // 3
        )


def test_the_mean_of_neighbours_rebuilds_a_linear_fade(tmp_path: Path) -> None:
    ramp = [np.full((32, 48), 20 + 10 * n, np.uint8) for n in range(9)]
    clip = write_clip(tmp_path / "fade.mkv", ramp)

    def middle(first: Planes, second: Planes, t: Fraction) -> Planes:
        pairs = zip(first.data, second.data, strict=True)
        data = tuple(np.rint((1 - float(t)) * a + float(t) * b).astype(a.dtype) for a, b in pairs)
        return Planes(first.pts, data, first.format)

    scores = [s for sample in clip_samples(clip, ffmpeg=find_ffmpeg()) for s in score_sample(pairwise(middle), sample)]
    assert len(scores) == 4
    assert min(score.luma_psnr for score in scores) > 47  # at most one code value off


def test_a_clip_that_is_too_short_is_refused_in_words(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "short.mkv", [np.zeros((32, 48), np.uint8)] * 2)
    with pytest.raises(InputError, match="needs at least 3"):
        list(clip_samples(clip, ffmpeg=find_ffmpeg(), gap=2))


def test_a_triplet_is_three_images_with_the_middle_one_as_truth(tmp_path: Path) -> None:
    folder = tmp_path / "Beanbags"
    folder.mkdir()
    for name, level in (("frame10.png", 10), ("frame10i11.png", 20), ("frame11.png", 30)):
        cv2.imwrite(str(folder / name), np.full((20, 24, 3), level, np.uint8))
    sample = triplet_sample(folder)
    assert [int(planes.data[0][0, 0]) for planes in (*sample.kept, *sample.true)] == [10, 30, 20]
    assert [target.t for target in sample.targets] == [Fraction(1, 2)]
    assert find_material(folder) == ([], [folder])
    assert find_material(tmp_path) == ([], [folder])


def test_a_folder_with_nothing_to_score_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to score"):
        find_material(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        find_material(tmp_path / "missing")


def test_frames_are_made_smaller_only_above_the_limit_and_keep_their_shape() -> None:
    frame = grey_frame(77, width=854, height=480)
    assert limit_size(frame, None) is frame
    assert limit_size(frame, 480) is frame
    small = limit_size(frame, 240)
    assert (small.width, small.height) == (428, 240)
    assert [plane.shape for plane in small.data] == list(YUV420.plane_shapes(428, 240))
    assert {int(value) for plane in small.data for value in np.unique(plane)} == {77}
    portrait = limit_size(grey_frame(1, width=480, height=854), 240)
    assert (portrait.width, portrait.height) == (240, 428)


@pytest.mark.parametrize(("matrix", "red", "blue"), [("bt709", 0.2126, 0.0722), ("smpte170m", 0.299, 0.114)])
@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("full", [False, True])
def test_rgb_inverts_the_textbook_conversion_to_yuv(
    *, matrix: str, red: float, blue: float, depth: int, full: bool
) -> None:
    form = pixel_format("yuv444p" if depth == 8 else "yuv444p10le")
    colours = np.random.default_rng(3).random((6, 8, 3))
    y = red * colours[..., 0] + (1 - red - blue) * colours[..., 1] + blue * colours[..., 2]
    u, v = (colours[..., 2] - y) / (2 - 2 * blue), (colours[..., 0] - y) / (2 - 2 * red)
    unit = 1 << (depth - 8)
    peak = (1 << depth) - 1
    scaled = (
        (y * peak, u * peak + 128 * unit, v * peak + 128 * unit)
        if full
        else (y * 219 * unit + 16 * unit, u * 224 * unit + 128 * unit, v * 224 * unit + 128 * unit)
    )
    planes = Planes(0, tuple(np.clip(np.rint(plane), 0, peak).astype(form.dtype) for plane in scaled), form)
    seen = rgb(planes, Color(matrix=matrix, range="pc" if full else "tv"))
    assert np.abs(seen - colours).max() < 2.5 / peak * 255 / 219


def test_luma_of_an_rgb_frame_is_that_of_opencv() -> None:
    image = np.random.default_rng(5).integers(0, 256, (9, 7, 3), np.uint8)
    blue, green, red = cv2.split(image)
    frame = Planes(0, (green, blue, red), pixel_format("gbrp"))
    assert np.abs(luma(frame) - cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)).max() <= 0.5 + 1e-3


def test_frames_of_different_formats_are_not_compared() -> None:
    other = Planes(0, (np.zeros((16, 32), np.uint8),), pixel_format("gray"))
    with pytest.raises(ValueError, match="different formats"):
        score_frame(grey_frame(1), other, Color())


def test_a_method_that_gives_too_few_frames_is_an_error(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", [np.full((32, 48), n, np.uint8) for n in range(5)])
    (sample,) = clip_samples(clip, ffmpeg=find_ffmpeg())
    with pytest.raises(ValueError, match="longer than argument 1"):
        score_sample(lambda sample: iter(sample.true[:-1]), sample)


def test_the_table_ends_with_the_mean_over_clips() -> None:
    one = Score(frames=8, luma_psnr=30, luma_ssim=0.75, rgb_psnr=29, rgb_ssim=0.75)
    two = Score(frames=2, luma_psnr=40, luma_ssim=1.0, rgb_psnr=39, rgb_ssim=1.0)
    assert mean_score([one, two]) == Score(frames=10, luma_psnr=35, luma_ssim=0.875, rgb_psnr=34, rgb_ssim=0.875)
    last = table([("one", one), ("two", two)]).splitlines()[-1]
    assert last.split() == ["mean", "10", "35.00", "dB", "0.8750", "34.00", "dB", "0.8750"]
