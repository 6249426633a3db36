"""Alignment: a few steps of classical variational flow, steered by the network, that make flows smooth and exact.

A network's flow is right to about a quarter of a pixel and noisy from pixel to pixel; fine texture needs better. What
is known about the last fraction of a pixel needs no learning: brightness is constant along the motion, and motion is
smooth. The combined local-global method (Bruhn, Weickert and Schnörr, IJCV 61, 2005) solves for that; how much to trust
brightness, how smooth to be and across which borders not to smooth is what the network says, pixel by pixel.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp_cli.model.warp import warp

GUIDES = 3  # maps that steer the alignment
BOLDEST = 3.0  # logarithm of the most that a guide multiplies or divides by
MOST = 2.0  # px: the most that one linearisation moves a flow


class Alignment(nn.Module):
    """Corrects both flows by +-dv, the change of velocity that makes the two warped frames equal.

    Motion is taken as uniform between the frames, so F_t0 changes by -t * dv and F_t1 by (1 - t) * dv.
    """

    def __init__(self, steps: int, sweeps: int) -> None:
        super().__init__()
        self.steps, self.sweeps = steps, sweeps
        # Logarithms of the weight of smoothness and of the brightness difference (full scale = 1) that counts as noise.
        self.smoothness = nn.Parameter(torch.tensor(0.7))
        self.noise = nn.Parameter(torch.tensor(-4.6))

    def forward(self, y0: Tensor, y1: Tensor, t: Tensor, flow: Tensor, guide: Tensor) -> Tensor:
        """Flows (N, 4, H, W; px) aligned on the brightness (N, 1, H, W) of both frames, steered by (N, GUIDES, H, W).

        The guides are logarithms: of the weight of smoothness, of trust in brightness, and of the share that a pixel
        has in what its neighbours are smoothed to. Zero leaves the two learned constants as they are.
        """
        late = t.view(-1, 1, 1, 1)
        smooth, trust, share = guide.clamp(-BOLDEST, BOLDEST).exp().chunk(GUIDES, 1)
        smooth = smooth * self.smoothness.exp()
        trust, floor = trust * trust, (2 * self.noise).exp()
        total = around(share, 2)
        for _ in range(self.steps):
            a, b = warp(y0, flow[:, :2]), warp(y1, flow[:, 2:])
            gx, gy = _gradient(torch.lerp(b, a, late))
            e = a - b
            weight = trust * torch.rsqrt(e * e + floor)
            wx, wy = weight * gx, weight * gy
            xx, xy, yy, xe, ye = around(torch.cat((wx * gx, wx * gy, wy * gy, wx * e, wy * e), 1), 1).chunk(5, 1)
            xx, yy = xx + smooth, yy + smooth
            scale = 1 / (xx * yy - xy * xy)
            # Jacobi sweeps for the velocity u = v + dv: u = rest + inverse * smooth * (mean of its neighbours).
            v = flow[:, 2:] - flow[:, :2]
            rest = v + torch.cat((yy * xe - xy * ye, xx * ye - xy * xe), 1) * scale
            scale = scale * smooth
            diagonal, cross = torch.cat((yy, xx), 1) * scale, -xy * scale
            rest = torch.addcmul(torch.addcmul(rest, diagonal, v, value=-1), cross, v.flip(1), value=-1)
            diagonal, cross = diagonal / total, cross / total
            u = v
            for _ in range(self.sweeps):
                near = around(u * share, 2)
                u = torch.addcmul(torch.addcmul(rest, diagonal, near), cross, near.flip(1))
            dv = (u - v).clamp(-MOST, MOST)
            flow = flow + torch.cat((-late * dv, (1 - late) * dv), 1)
        return flow


def around(x: Tensor, radius: int) -> Tensor:
    """Sums of `x` (N, C, H, W) over squares of 2 * radius + 1 px, borders repeated.

    By shifted sums: on a CPU a tenth of the time of a pooling layer.
    """
    height, width = x.shape[-2:]
    padded = F.pad(x, (radius, radius, radius, radius), mode="replicate")
    rows = padded[..., :height, :] + padded[..., 1 : 1 + height, :]
    for k in range(2, 2 * radius + 1):
        rows += padded[..., k : k + height, :]
    out = rows[..., :width] + rows[..., 1 : 1 + width]
    for k in range(2, 2 * radius + 1):
        out += rows[..., k : k + width]
    return out


def _gradient(x: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences of `x` (N, 1, H, W) along x and y, per pixel."""
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    across, down = padded[..., 1:-1, :], padded[..., 1:-1]
    return (across[..., 2:] - across[..., :-2]) / 2, (down[..., 2:, :] - down[..., :-2, :]) / 2
