"""Alignment: a few steps of classical variational flow, steered by the network, that make flows smooth and exact.

A network's flow is right to about a quarter of a pixel and noisy from pixel to pixel; fine texture needs better. What
is known about the last fraction of a pixel needs no learning: brightness is constant along the motion, and motion is
smooth. The combined local-global method (Bruhn, Weickert and Schnörr, IJCV 61, 2005) solves for that. Gradients may be
held constant along the motion too, which changes of light leave alone (Brox et al., ECCV 2004), and medians take out
what single pixels got wrong (Sun, Roth and Black, IJCV 106, 2014). How much to trust brightness, how smooth to be and
across which borders not to smooth is what a network says, pixel by pixel, where there is one.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp_cli.model.warp import warp

GUIDES = 3  # maps that steer the alignment
BOLDEST = 3.0  # logarithm of the most that a guide multiplies or divides by
MOST = 2.0  # px: the most that one linearisation moves a flow
_NEAR = 2  # px to either side that flow is smoothed over


class Alignment(nn.Module):
    """Corrects both flows by +-dv, the change of velocity that makes the two warped frames equal.

    Motion is taken as uniform between the frames, so F_t0 changes by -t * dv and F_t1 by (1 - t) * dv. Flow is taken as
    constant over `window` px to either side. With `edges` gradients count beside brightness; after all steps the flow
    passes `medians` medians of 3 x 3 px.
    """

    def __init__(self, steps: int, sweeps: int, *, window: int = 1, edges: bool = False, medians: int = 0) -> None:
        super().__init__()
        self.steps, self.sweeps, self.window, self.medians = steps, sweeps, window, medians
        # Logarithms of the weight of smoothness and of the brightness difference (full scale = 1) that counts as noise.
        self.smoothness = nn.Parameter(torch.tensor(0.7))
        self.noise = nn.Parameter(torch.tensor(-4.6))
        self.edges = nn.Parameter(torch.tensor(0.0)) if edges else None  # logarithm of the weight of gradients

    def forward(self, y0: Tensor, y1: Tensor, t: Tensor, flow: Tensor, guide: Tensor | None = None) -> Tensor:
        """Flows (N, 4, H, W; px) aligned on the brightness (N, 1, H, W) of both frames, steered by (N, GUIDES, H, W).

        The guides are logarithms: of the weight of smoothness, of trust in brightness, and of the share that a pixel
        has in what its neighbours are smoothed to. Zero, and no guide, leave the learned constants as they are.
        """
        late = t.view(-1, 1, 1, 1)
        smooth, trust, share, total = self._steered(guide)
        for _ in range(self.steps):
            a, b = warp(y0, flow[:, :2]), warp(y1, flow[:, 2:])
            xx, xy, yy, xe, ye = around(self._moments(a, b, late, trust), self.window).chunk(5, 1)
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
                near = around(u if share is None else u * share, _NEAR)
                u = torch.addcmul(torch.addcmul(rest, diagonal, near), cross, near.flip(1))
            dv = (u - v).clamp(-MOST, MOST)
            flow = flow + torch.cat((-late * dv, (1 - late) * dv), 1)
        for _ in range(self.medians):
            flow = median(flow)
        return flow

    def _steered(self, guide: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | float]:
        """Weight of smoothness, trust, share, and the shares' sum around each pixel."""
        if guide is None:
            return self.smoothness.exp(), None, None, float((2 * _NEAR + 1) ** 2)
        smooth, trust, share = guide.clamp(-BOLDEST, BOLDEST).exp().chunk(GUIDES, 1)
        return smooth * self.smoothness.exp(), trust * trust, share, around(share, _NEAR)

    def _moments(self, a: Tensor, b: Tensor, late: Tensor, trust: Tensor | None) -> Tensor:
        """Weighted products of gradients and difference, (N, 5, H, W): xx, xy, yy, xe, ye."""
        gx, gy = _gradient(torch.lerp(b, a, late))
        e, floor = a - b, (2 * self.noise).exp()
        weight = torch.rsqrt(e * e + floor)
        weight = weight if trust is None else trust * weight
        wx, wy = weight * gx, weight * gy
        moments = torch.cat((wx * gx, wx * gy, wy * gy, wx * e, wy * e), 1)
        if self.edges is None:
            return moments
        ex, ey = _gradient(e)
        (xx, xy), (_, yy) = _gradient(gx), _gradient(gy)
        weight = self.edges.exp() * torch.rsqrt(ex * ex + ey * ey + floor)
        weight = weight if trust is None else trust * weight
        wxx, wxy, wyy = weight * xx, weight * xy, weight * yy
        return moments + torch.cat(
            (
                torch.addcmul(wxx * xx, wxy, xy),
                torch.addcmul(wxx * xy, wxy, yy),
                torch.addcmul(wxy * xy, wyy, yy),
                torch.addcmul(wxx * ex, wxy, ey),
                torch.addcmul(wxy * ex, wyy, ey),
            ),
            1,
        )


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


def median(x: Tensor) -> Tensor:
    """Medians of `x` (N, C, H, W) over 3 x 3 px, borders repeated; by minima and maxima, which vectorise."""
    height, width = x.shape[-2:]
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    low, middle, high = _sorted(*(padded[..., k : k + height, :] for k in range(3)))
    across = [[rows[..., k : k + width] for k in range(3)] for rows in (low, middle, high)]
    largest_low = torch.maximum(torch.maximum(*across[0][:2]), across[0][2])
    smallest_high = torch.minimum(torch.minimum(*across[2][:2]), across[2][2])
    return _sorted(largest_low, _sorted(*across[1])[1], smallest_high)[1]


def _sorted(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Three tensors, element by element, from the smallest to the largest."""
    least, most = torch.minimum(a, b), torch.maximum(a, b)
    return torch.minimum(least, c), torch.maximum(least, torch.minimum(most, c)), torch.maximum(most, c)
