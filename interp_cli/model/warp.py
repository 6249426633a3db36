"""Backward warping: look up, for every pixel of the result, where in the source frame it comes from."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from interp_cli import kernels


def warp(
    image: Tensor, flow: Tensor, mode: str = "bilinear", unit: tuple[float, float] = (1.0, 1.0), finer: int = 1
) -> Tensor:
    """`image` (N, C, H, W) sampled at x + unit * flow(x), of the same shape.

    `flow` is (N, 2, H, W), channel 0 = x; times `unit` (x, y) it is in pixels of the image, pixel centres at whole
    numbers. Outside the image the border is repeated. `mode` is "bilinear" or "bicubic" (sharper on fine texture,
    may overshoot the range of the input). With `finer` = n the image has n samples for every pixel, (N, C, n * H,
    n * W), the first of them at the pixel itself.
    """
    count, channels = image.shape[:2]
    height, width = flow.shape[-2:]
    if mode == "bilinear" and image.shape[-2:] == (height, width) and kernels.usable(image, flow):
        return kernels.warp(image, flow, unit)
    # Coordinates are never below float32: bfloat16 places a pixel only to within half a pixel.
    per_pixel = [2 * finer / max(image.shape[-1] - 1, 1), 2 * finer / max(image.shape[-2] - 1, 1)]
    to_unit = torch.tensor([unit[0] * per_pixel[0], unit[1] * per_pixel[1]], device=flow.device)
    centres = _centres(height, width, per_pixel[0], per_pixel[1], flow.device)
    where = torch.addcmul(centres, flow.float(), to_unit.view(1, 2, 1, 1))
    if mode == "bicubic":  # which would overshoot between the border and what repeats it
        where = where.clamp(-1, 1)
    # On a CPU, torch deals the images of a batch out to threads, but not the rows of one image.
    parts = _parts(height) if count == 1 and image.device.type == "cpu" and not flow.requires_grad else 1
    rows = height // parts
    where = where.view(count, 2, parts, rows, width).permute(0, 2, 3, 4, 1).reshape(count * parts, rows, width, 2)
    many = image.float() if parts == 1 else image.float().expand(parts, *image.shape[1:])
    out = F.grid_sample(many, where, mode=mode, padding_mode="border", align_corners=True)
    return (out if parts == 1 else out.transpose(0, 1).reshape(1, channels, height, width)).to(image.dtype)


def outside(flow: Tensor, margin: float) -> Tensor:
    """Whether `flow` (N, 2, H, W; px) leads more than `margin` px beyond the outermost pixels, (N, 1, H, W)."""
    height, width = flow.shape[-2:]
    x = flow[:, :1] + torch.arange(width, device=flow.device)
    y = flow[:, 1:] + torch.arange(height, device=flow.device)[:, None]
    return (x < -margin) | (x > width - 1 + margin) | (y < -margin) | (y > height - 1 + margin)


def _parts(rows: int) -> int:
    return next(k for k in range(min(torch.get_num_threads(), rows), 0, -1) if rows % k == 0)


@lru_cache(maxsize=16)
def _centres(height: int, width: int, step_x: float, step_y: float, device: torch.device) -> Tensor:
    """(1, 2, H, W): x and y of every pixel centre, from -1 at the first, `step_x` and `step_y` apart."""
    with torch.inference_mode(False):  # it is kept, and may serve training next
        x = torch.arange(width, device=device, dtype=torch.float32) * step_x - 1
        y = torch.arange(height, device=device, dtype=torch.float32) * step_y - 1
        return torch.stack((x.expand(height, width), y[:, None].expand(height, width)))[None]
