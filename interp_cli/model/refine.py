"""Refinement at half size: the mask at full size and the residual R, for networks that can afford it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp_cli.model.flow import FLOW_UNIT, conv, time_plane
from interp_cli.model.warp import warp


class Refinement(nn.Module):
    """Sees detail features of both frames warped to time t at half size; writes full-size mask and residual.

    No full-size image enters it: full-size warps are what a CPU spends its time on, and composing needs one anyway.
    """

    def __init__(self, detail: int, channels: int) -> None:
        super().__init__()
        self.enter = conv(3, detail, stride=2)
        self.body = nn.Sequential(conv(2 * detail + 1 + 4 + 1, channels), conv(channels, channels))
        self.head = nn.Conv2d(channels, 4 * (1 + 3), 3, 1, 1)

    def forward(self, d0: Tensor, d1: Tensor, t: Tensor, flow: Tensor, logit: Tensor) -> tuple[Tensor, Tensor]:
        """Detail features (N, detail, H/2, W/2), flow (N, 4, ...) and mask logit (N, 1, ...) of that size.

        Gives the mask logit (N, 1, H, W) and R (N, 3, H, W) at full size.
        """
        a, b = warp(d0, flow[:, :2]), warp(d1, flow[:, 2:])
        seen = torch.cat((a, b, time_plane(t, a), flow * FLOW_UNIT, logit), 1)
        full = F.pixel_shuffle(self.head(self.body(seen)), 2)
        logit = full[:, :1] + F.interpolate(logit, scale_factor=2, mode="bilinear", align_corners=False)
        return logit, full[:, 1:]
