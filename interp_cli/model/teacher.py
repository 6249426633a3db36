"""The privileged teacher: sees the true middle frame and corrects the student's flows. Training only."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp_cli.model.blend import LEAST_SHARE
from interp_cli.model.flow import FLOW_UNIT, Decoder, conv, resize
from interp_cli.model.seam import Synthesis
from interp_cli.model.warp import warp


class Teacher(nn.Module):
    """Flows and mask for a known I_t, found at 1/4 of the frame, starting from the student's."""

    def __init__(self, channels: int = 48, blocks: int = 3) -> None:
        super().__init__()
        self.enter = conv(3 + 3 + 3 + 4 + 1, channels, stride=2)
        self.decoder = Decoder(channels, channels, blocks, 5)
        nn.init.normal_(self.decoder.head.weight, std=2e-3)

    def forward(self, I0: Tensor, I1: Tensor, I_t: Tensor, student: Synthesis) -> Synthesis:
        """Frames (N, 3, H, W), H and W multiples of 4, and the student's synthesis (not followed back) to a better one.

        R is None: the teacher is scored on what its flows and mask explain.
        """
        F_t0, F_t1, M = student.F_t0.detach(), student.F_t1.detach(), student.M.detach()
        full = torch.cat((warp(I0, F_t0), warp(I1, F_t1), I_t, F_t0 * FLOW_UNIT, F_t1 * FLOW_UNIT, M), 1)
        out = resize(self.decoder(self.enter(F.avg_pool2d(full, 2))), 4).float()
        logit = torch.logit(M, eps=LEAST_SHARE) + out[:, 4:]
        return replace(student, F_t0=F_t0 + 4 * out[:, :2], F_t1=F_t1 + 4 * out[:, 2:4], M=torch.sigmoid(logit), R=None)
