"""Scores agree with independent implementations: skimage and ffmpeg's psnr filter."""

import re
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from interp_cli.quality.metrics import IDENTICAL_DB, psnr, ssim


def noisy_pair(shape: tuple[int, ...], *, peak: int = 255, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    true = (0.5 + 0.4 * np.sin(rows / 7 + rng.random(shape))) * peak
    made = np.clip(true + rng.normal(0, peak / 40, shape), 0, peak)
    dtype = np.uint8 if peak < 256 else np.uint16
    return made.astype(dtype), true.astype(dtype)


@pytest.mark.parametrize(("shape", "peak"), [((48, 64), 255), ((33, 47, 3), 255), ((48, 64), 1023)])
def test_psnr_equals_skimage(shape: tuple[int, ...], peak: int) -> None:
    made, true = noisy_pair(shape, peak=peak)
    assert psnr(made, true, peak=peak) == pytest.approx(peak_signal_noise_ratio(true, made, data_range=peak), abs=1e-9)


@pytest.mark.parametrize(("shape", "peak"), [((48, 64), 255), ((33, 47, 3), 255), ((11, 11), 255), ((48, 64), 1023)])
def test_ssim_equals_skimage_with_the_papers_window(shape: tuple[int, ...], peak: int) -> None:
    made, true = noisy_pair(shape, peak=peak)
    expected = structural_similarity(
        true,
        made,
        data_range=peak,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=2 if len(shape) == 3 else None,
    )
    assert ssim(made, true, peak=peak) == pytest.approx(expected, abs=1e-9)


def test_luma_psnr_equals_ffmpegs_psnr_filter(tmp_path: Path) -> None:
    made, true = noisy_pair((90, 160))
    raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-video_size", "160x90"]
    paths = []
    for name, frame in (("made.raw", made), ("true.raw", true)):
        path = tmp_path / name
        path.write_bytes(frame.tobytes())
        paths.append(f"file:{path}")
    argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", *raw, "-i", paths[0], *raw, "-i", paths[1]]
    child = subprocess.run([*argv, "-lavfi", "psnr", "-f", "null", "-"], capture_output=True, text=True, check=True)
    found = re.search(r"PSNR y:([0-9.]+)", child.stderr)
    assert found, child.stderr
    assert psnr(made, true) == pytest.approx(float(found[1]), abs=1e-5)


def test_equal_frames_score_the_upper_bounds() -> None:
    made, _ = noisy_pair((20, 20))
    assert psnr(made, made) == IDENTICAL_DB
    assert ssim(made, made) == pytest.approx(1.0)


def test_an_8_bit_difference_does_not_wrap_around() -> None:
    dark, bright = np.zeros((16, 16), np.uint8), np.full((16, 16), 255, np.uint8)
    assert psnr(dark, bright) == 0.0


def test_ssim_is_symmetric_and_falls_with_noise() -> None:
    made, true = noisy_pair((40, 40))
    worse = np.clip(made.astype(int) + np.random.default_rng(1).integers(-60, 60, made.shape), 0, 255).astype(np.uint8)
    assert ssim(made, true) == pytest.approx(ssim(true, made))
    assert ssim(worse, true) < ssim(made, true)


def test_frames_of_different_shape_are_refused() -> None:
    made, true = noisy_pair((20, 20))
    for score in (psnr, ssim):
        with pytest.raises(ValueError, match="different shape"):
            score(made[:-1], true)


def test_ssim_refuses_frames_smaller_than_its_window() -> None:
    made, true = noisy_pair((10, 20))
    with pytest.raises(ValueError, match="at least 11 x 11"):
        ssim(made, true)
