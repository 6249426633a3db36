"""Alignment: a few steps of classical variational flow, steered by the network, that make flows smooth and exact.

A network's flow is right to about a quarter of a pixel and noisy from pixel to pixel; fine texture needs better. What
is known about the last fraction of a pixel needs no learning: brightness is constant along the motion, and motion is
smooth. The combined local-global method (Bruhn, Weickert and Schnörr, IJCV 61, 2005) solves for that. Gradients may be
held constant along the motion too, which changes of light leave alone (Brox et al., ECCV 2004). How much to trust
brightness, how smooth to be and across which borders not to smooth is what a network says, pixel by pixel, where there
is one; without it, pixels whose frames disagree have less of a say in what their neighbours are smoothed to, and those
that one of the frames does not show have none.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp_cli import kernels
from interp_cli.model.propagate import around, gradient, median
from interp_cli.model.warp import outside, warp

GUIDES = 3  # maps that steer the alignment
BOLDEST = 3.0  # logarithm of the most that a guide multiplies or divides by
MOST = 2.0  # px: the most that one linearisation moves a flow
STILL = 0.07  # px: a block of which one linearisation moves nothing by more is done
BLOCK = (8, 32)  # px, rows and columns
TRUST = 0.01  # of full scale: the difference of the frames that halves the trust in a pixel's velocity
OUTSIDE = 4.0  # added to the difference of frames, full scale 1, where one of them shows nothing
MARGIN = 0.5  # px beyond the outermost that still count as inside
_TAPS = 2  # px between the velocities that the bilateral filter looks at
_NEAR = 2  # px to either side that flow is smoothed over
_AREA = (2 * _NEAR + 1) ** 2  # px


class Alignment(nn.Module):
    """Corrects both flows by +-dv, the change of velocity that makes the two warped frames equal.

    Motion is taken as uniform between the frames, so F_t0 changes by -t * dv and F_t1 by (1 - t) * dv. Flow is taken as
    constant over `window` px to either side. `edges`: gradients count beside brightness. `doubts`: without a guide,
    pixels count for less the more their frames disagree. After all steps the velocity passes `medians` 3 x 3 medians,
    and with `bilateral`, which needs `doubts`, a bilateral filter, for noise of flow blurs what is made.

    Most of a frame is done after a few steps: a block that a step moves by at most `STILL` stays as it is from then
    on, which saves a CPU more than half of the work. A GPU does all of it, for what it would save is not worth asking.
    """

    def __init__(
        self,
        steps: int,
        sweeps: int,
        window: int = 1,
        *,
        edges: bool = False,
        doubts: bool = False,
        medians: int = 0,
        bilateral: bool = False,
    ) -> None:
        super().__init__()
        if bilateral and not (doubts and steps):
            raise ValueError("a bilateral filter of flow needs doubts, and at least one step")
        self.steps, self.sweeps, self.window, self.medians, self.bilateral = steps, sweeps, window, medians, bilateral
        # Logarithms of the weight of smoothness and of the brightness difference (full scale = 1) that counts as noise.
        self.smoothness = nn.Parameter(torch.tensor(0.7))
        self.noise = nn.Parameter(torch.tensor(-4.6))
        self.edges = nn.Parameter(torch.tensor(0.7)) if edges else None  # logarithm of the weight of gradients
        self.doubt = nn.Parameter(torch.tensor(-2.7)) if doubts else None  # of the difference that halves a pixel's say

    def forward(
        self,
        y0: Tensor,
        y1: Tensor,
        t: Tensor,
        flow: Tensor,
        guide: Tensor | None = None,
        *,
        in_place: bool = False,
    ) -> Tensor:
        """Flows (N, 4, H, W; px) aligned on the brightness (N, 1, H, W) of both frames, steered by (N, GUIDES, H, W).

        The guides are logarithms: of the weight of smoothness, of trust in brightness, and of the share that a pixel
        has in what its neighbours are smoothed to. Zero leaves the learned constants as they are. With `in_place` the
        flows may be overwritten.
        """
        if guide is None and kernels.usable(y0, y1, t, flow):
            how = (self.steps, self.sweeps, self.window, self.medians)
            return kernels.align(y0, y1, t, flow, how=how, constants=self._constants(), in_place=in_place)
        late = t.view(-1, 1, 1, 1)
        steers = () if guide is None else guide.clamp(-BOLDEST, BOLDEST).exp().chunk(GUIDES, 1)
        moving, seen = None, list[Tensor]()
        for _ in range(self.steps):
            before = flow
            flow = self._step(y0, y1, late, flow, moving, seen, *steers)
            if flow.device.type == "cpu":
                moving = _moving(flow - before, moving)
        return self._smoothed(late, flow, seen[2] if self.bilateral and guide is None else None)

    def _constants(self) -> tuple[float, ...]:
        """As `kernels.align` wants them."""
        logarithms = (self.smoothness, self.noise, self.edges, self.doubt)
        values = iter(
            torch.stack([x for x in logarithms if x is not None]).tolist()
        )  # one question takes less than four
        smoothness, noise, edges, doubt = (-math.inf if x is None else next(values) for x in logarithms)
        trust = TRUST if self.bilateral else 0.0
        return math.exp(smoothness), math.exp(2 * noise), math.exp(edges), math.exp(doubt), MOST, STILL, trust

    def _step(
        self,
        y0: Tensor,
        y1: Tensor,
        late: Tensor,
        flow: Tensor,
        moving: Tensor | None,
        seen: list[Tensor],
        *steers: Tensor,
    ) -> Tensor:
        """One linearisation around `flow`. What was `seen` in the last one still holds where nothing is `moving`."""
        a, b = warp(y0, flow[:, :2]), warp(y1, flow[:, 2:])
        if moving is not None:
            a, b = torch.where(moving, a, seen[0]), torch.where(moving, b, seen[1])
        e, smooth, trust, share = a - b, self.smoothness.exp(), None, None
        if steers:
            steer, trust, share = steers
            smooth, trust = smooth * steer, trust * trust
        else:
            e = e + OUTSIDE * (outside(flow[:, :2], MARGIN) | outside(flow[:, 2:], MARGIN))
        if not steers and self.doubt is not None:
            share = 1 / (1 + (around(e.abs(), _NEAR) / (_AREA * self.doubt.exp())) ** 2)
            share = share if moving is None else torch.where(moving, share, seen[2])
        seen[:] = [a, b] if share is None else [a, b, share]
        moments = self._moments(torch.lerp(b, a, late), e, trust)
        v = flow[:, 2:] - flow[:, :2]
        return _moved(flow, self._change(v, moments, smooth, share, moving), late)

    def _smoothed(self, late: Tensor, flow: Tensor, share: Tensor | None) -> Tensor:
        v = u = flow[:, 2:] - flow[:, :2]
        for _ in range(self.medians):
            u = median(u)
        if share is not None and self.doubt is not None:
            u = bilateral(u, share / (share + (1 - share) * (self.doubt.exp() / TRUST) ** 2))
        return flow if u is v else _moved(flow, u - v, late)

    def _change(
        self, v: Tensor, moments: Tensor, smooth: Tensor, share: Tensor | None, moving: Tensor | None
    ) -> Tensor:
        """dv, by Jacobi sweeps for the velocity u = v + dv: u = rest + inverse * smooth * (mean of its neighbours)."""
        xx, xy, yy, xe, ye = around(moments, self.window).chunk(5, 1)
        xx, yy = xx + smooth, yy + smooth
        scale = 1 / (xx * yy - xy * xy)
        rest = v + torch.cat((yy * xe - xy * ye, xx * ye - xy * xe), 1) * scale
        scale = scale * smooth
        diagonal, cross = torch.cat((yy, xx), 1) * scale, -xy * scale
        rest = torch.addcmul(torch.addcmul(rest, diagonal, v, value=-1), cross, v.flip(1), value=-1)
        total = _AREA if share is None else around(share, _NEAR)
        diagonal, cross = diagonal / total, cross / total
        u = v
        for _ in range(self.sweeps):
            near = around(u if share is None else u * share, _NEAR)
            u = torch.addcmul(torch.addcmul(rest, diagonal, near), cross, near.flip(1))
            u = u if moving is None else torch.where(moving, u, v)
        return (u - v).clamp(-MOST, MOST)

    def _moments(self, mean: Tensor, e: Tensor, trust: Tensor | None) -> Tensor:
        """Weighted products of gradients and difference, (N, 5, H, W): xx, xy, yy, xe, ye.

        What one of the frames does not show has none: its flow is that of its surroundings.
        """
        gx, gy = gradient(mean)
        floor, shown = (2 * self.noise).exp(), (e.abs() < OUTSIDE / 2).to(e.dtype)
        trust = shown if trust is None else trust * shown
        weight = trust * torch.rsqrt(e * e + floor)
        wx, wy = weight * gx, weight * gy
        moments = torch.cat((wx * gx, wx * gy, wy * gy, wx * e, wy * e), 1)
        if self.edges is None:
            return moments
        ex, ey = gradient(e)
        (xx, xy), (_, yy) = gradient(gx), gradient(gy)
        weight = trust * self.edges.exp() * torch.rsqrt(ex * ex + ey * ey + floor)
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


def bilateral(u: Tensor, trust: Tensor) -> Tensor:
    """Velocities `u` (N, 2, H, W; px) as means of nine, `_TAPS` px apart: Tomasi and Manduchi, ICCV 1998.

    Each counts for its `trust` (N, 1, H, W), above 0, and less the more it differs from the one in the middle.
    """
    height, width = u.shape[-2:]
    padded = F.pad(torch.cat((u, trust), 1), (_TAPS, _TAPS, _TAPS, _TAPS), mode="replicate")
    total, out = torch.zeros_like(trust), torch.zeros_like(u)
    for y in range(0, 2 * _TAPS + 1, _TAPS):
        for x in range(0, 2 * _TAPS + 1, _TAPS):
            there = padded[..., y : y + height, x : x + width]
            weight = there[:, 2:] / (1 + (there[:, :2] - u).square().sum(1, keepdim=True)) ** 2
            total = total + weight
            out = out + weight * there[:, :2]
    return out / total


def _moved(flow: Tensor, dv: Tensor, late: Tensor) -> Tensor:
    """Both flows after the velocity between the frames has changed by `dv`."""
    return flow + torch.cat((-late * dv, (1 - late) * dv), 1)


def _moving(change: Tensor, before: Tensor | None) -> Tensor:
    """Whether each pixel is in a block that still moves, (N, 1, H, W), after both flows have had that `change`."""
    height, width = change.shape[-2:]
    dv = (change[:, 2:] - change[:, :2]).abs().amax(1, keepdim=True)
    blocks = F.max_pool2d(dv, BLOCK, ceil_mode=True) > STILL
    moving = blocks.repeat_interleave(BLOCK[0], -2).repeat_interleave(BLOCK[1], -1)[..., :height, :width]
    return moving if before is None else moving & before
