"""Backward warping: look up, for every pixel of the result, where in the source frame it comes from."""

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(image: Tensor, flow: Tensor, mode: str = "bilinear") -> Tensor:
    """`image` sampled at x + flow(x): (N, C, H, W).

    `image` is (N, C, H, W) and `flow` (N, 2, H, W) in pixels of this size, channel 0 = x, pixel centres at whole
    numbers. Outside the image the border is repeated. `mode` is "bilinear" or "bicubic" (sharper on fine texture,
    may overshoot the range of the input).
    """
    height, width = flow.shape[-2:]
    grid = pixel_grid(flow)
    x = (grid[..., 0] + flow[:, 0]) * (2 / max(width - 1, 1)) - 1
    y = (grid[..., 1] + flow[:, 1]) * (2 / max(height - 1, 1)) - 1
    where = torch.stack((x, y), -1)  # never below float32: bfloat16 places a pixel only to within half a pixel
    sampled = F.grid_sample(image.to(where.dtype), where, mode=mode, padding_mode="border", align_corners=True)
    return sampled.to(image.dtype)


def pixel_grid(like: Tensor) -> Tensor:
    """(1, H, W, 2): the x and y of every pixel of `like` (N, C, H, W), in float32 or wider."""
    height, width = like.shape[-2:]
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    y, x = torch.meshgrid(
        torch.arange(height, device=like.device, dtype=dtype),
        torch.arange(width, device=like.device, dtype=dtype),
        indexing="ij",
    )
    return torch.stack((x, y), -1)[None]
