"""Refinement at half size: the last correction of the flows, the mask at full size, and the residual R."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp_cli.model.flow import FLOW_UNIT, Estimate, conv, cost_volume, time_plane, unit_length
from interp_cli.model.warp import warp


class Refinement(nn.Module):
    """Sees detail features of both frames warped to time t at half size; writes full-size mask and residual.

    No full-size image enters it: full-size warps are what a CPU spends its time on, and composing needs one anyway.
    Its own small cost volume is what makes flows right to a fraction of a pixel, which fine texture needs.
    """

    def __init__(self, detail: int, hidden: int, channels: int, radius: int) -> None:
        super().__init__()
        self.radius = radius
        inputs = 2 * detail + 1 + 4 + 1 + hidden + (2 * radius + 1) ** 2
        self.body = nn.Sequential(conv(inputs, channels), conv(channels, channels))
        self.head = nn.Conv2d(channels, 4 + 4 * (1 + 3), 3, 1, 1)

    def forward(self, d0: Tensor, d1: Tensor, t: Tensor, half: Estimate) -> tuple[Tensor, Tensor, Tensor]:
        """Detail features (N, detail, H/2, W/2) and an estimate at that size to flow, mask logit and R.

        The flow (N, 4, H/2, W/2) is in pixels of half size; logit (N, 1, H, W) and R (N, 3, H, W) are at full size.
        """
        a, b = warp(d0, half.flow[:, :2]), warp(d1, half.flow[:, 2:])
        volume = cost_volume(unit_length(a), unit_length(b), self.radius)
        seen = torch.cat((a, b, time_plane(t, a), half.flow * FLOW_UNIT, half.logit, half.hidden, volume), 1)
        out = self.head(self.body(seen))
        full = F.pixel_shuffle(out[:, 4:], 2)
        logit = full[:, :1] + F.interpolate(half.logit, scale_factor=2, mode="bilinear", align_corners=False)
        return half.flow + out[:, :4], logit, full[:, 1:]
