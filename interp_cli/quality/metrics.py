"""How close a made frame is to the true one: PSNR and SSIM on numpy arrays."""

import math
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

IDENTICAL_DB: Final = 100.0
"""PSNR reported for equal frames, so that means over frames stay finite."""

SSIM_WINDOW: Final = 11  # px, side of the Gaussian window
SSIM_SIGMA: Final = 1.5  # px
_K1: Final = 0.01
_K2: Final = 0.03


def psnr(made: Array, true: Array, *, peak: float = 255.0) -> float:
    """Peak signal-to-noise ratio in dB over all values of two arrays of one shape.

    `peak` is the largest possible value (255 for 8 bits, 1023 for 10, 1.0 for floats). Equal arrays give IDENTICAL_DB,
    which is also the upper bound. Raises ValueError when the shapes differ.
    """
    error = mean_squared_error(made, true)
    if error == 0:
        return IDENTICAL_DB
    return min(IDENTICAL_DB, 10 * math.log10(peak * peak / error))


def mean_squared_error(made: Array, true: Array) -> float:
    """Mean of the squared differences, in squared code values. Raises ValueError when the shapes differ."""
    _same_shape(made, true)
    difference = made.astype(np.float64) - true.astype(np.float64)
    return float(np.mean(difference * difference))


def ssim(made: Array, true: Array, *, peak: float = 255.0) -> float:
    """Structural similarity in [-1, 1], as in Wang et al. 2004: Gaussian window 11 x 11, sigma 1.5, K1 0.01, K2 0.03.

    Arrays are (H, W) or (H, W, C); the result is the mean over channels and over the positions where the whole window
    lies inside the frame. Raises ValueError when the shapes differ or a side is shorter than the window.
    """
    _same_shape(made, true)
    if made.ndim == 3:
        channels = [ssim(made[..., c], true[..., c], peak=peak) for c in range(made.shape[2])]
        return float(np.mean(channels))
    if min(made.shape) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs at least {SSIM_WINDOW} x {SSIM_WINDOW} px, not {made.shape[1]} x {made.shape[0]}")
    x, y = made.astype(np.float64), true.astype(np.float64)
    mean_x, mean_y = _local_mean(x), _local_mean(y)
    var_x = _local_mean(x * x) - mean_x * mean_x
    var_y = _local_mean(y * y) - mean_y * mean_y
    covariance = _local_mean(x * y) - mean_x * mean_y
    c1, c2 = (_K1 * peak) ** 2, (_K2 * peak) ** 2
    above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    below = (mean_x * mean_x + mean_y * mean_y + c1) * (var_x + var_y + c2)
    return float(np.mean(above / below))


def _local_mean(plane: Array) -> Array:
    """Gaussian-weighted mean around each position whose window fits, (H - 10, W - 10)."""
    kernel = cv2.getGaussianKernel(SSIM_WINDOW, SSIM_SIGMA, cv2.CV_64F)
    edge = SSIM_WINDOW // 2
    return cv2.sepFilter2D(plane, cv2.CV_64F, kernel, kernel)[edge:-edge, edge:-edge]


def _same_shape(made: Array, true: Array) -> None:
    if made.shape != true.shape:
        raise ValueError(f"frames of different shape cannot be compared: {made.shape} and {true.shape}")
