"""The learned blend: mask M and residual R from the two warped frames, found at a quarter of the size."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp_cli import kernels
from interp_cli.model.flow import SLOPE, ResidualBlock, conv

PITCH = 4  # px between the places that the network speaks of
BANDS = 2  # of detail that R can add or take away, in each of the two frames
SHARES = 1 + 2 * BANDS  # of M's logit, of A's bands and of B's, fine to coarse
SEEN = 2 * PITCH**2 + 2 * (PITCH // 2) ** 2 + 1  # channels: both frames px by px, `beyond` sample by sample, t
LEAST_SHARE = 1e-4  # of a frame, whose logit is asked for
LEAST = 3 / 255  # of full scale: where the frames differ by less, all over a place, there is nothing to choose
CLOSER = 8.0  # differences are made so much larger that half precision tells small ones apart
_APART = range(PITCH**2, 2 * PITCH**2)  # the channels of what is seen that say how far the frames differ


class Blend(nn.Module):
    """I_t = M * A + (1 - M) * B + R from the warped frames A and B.

    M is 1 - t where nothing is learned, and R is a sum of detail: of each frame what blurs of 3 and 7 px take away,
    each band times a share that is found for 2 x 2 px. So R stays within what the frames show: it sharpens or
    smooths, and lets one frame's detail stand on the other's ground.
    """

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.enter = conv(SEEN, channels)
        self.body = nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))
        self.join = conv(channels, channels)
        self.head = nn.Conv2d(channels, 4 * SHARES, 3, 1, 1)
        self._packed: dict[nn.Module, tuple[int, tuple[Tensor, Tensor]]] = {}  # weights as kernels want them

    def forward(self, x: Tensor) -> Tensor:
        """What is `seen`, (N, SEEN, h, w), to the shares of 2 x 2 places in each of its own, (N, 4 * SHARES, h, w).

        They are 0 where the frames differ by less than `LEAST`, which on a CPU saves the work.
        """
        x = x.contiguous(memory_format=torch.channels_last)
        if kernels.usable(x):
            return self._by_kernels(x)
        out: Tensor = self.head(self.join(self.body(self.enter(x))))
        return out * (x[:, _APART.start : _APART.stop].abs().amax(1, keepdim=True) > LEAST * CLOSER)

    def _by_kernels(self, x: Tensor) -> Tensor:
        reach = 2 + 2 * len(self.body)  # of what the layers after the first look at
        wanted = list(kernels.where(x, _APART, LEAST * CLOSER, reach))
        x = self._conv(self.enter[0], x, wanted.pop())
        for block in self.body:
            between = self._conv(block.first[0], x, wanted.pop())  # type: ignore[index]
            x = self._conv(block.second, between, wanted.pop(), add=x)
        x = self._conv(self.join[0], x, wanted.pop())
        return self._conv(self.head, x, wanted.pop(), slope=1.0, zeros=True)[:, : 4 * SHARES]

    def _conv(
        self,
        layer: Any,
        x: Tensor,
        where: Tensor,
        *,
        add: Tensor | None = None,
        slope: float = SLOPE,
        zeros: bool = False,
    ) -> Tensor:
        weight, bias = layer.weight, layer.bias
        version = 0 if weight.is_inference() else weight._version
        known, packed = self._packed.get(layer, (-1, None))
        if packed is None or known != version:
            packed = kernels.packed(weight, bias)
            self._packed[layer] = version, packed
        return kernels.conv(x, *packed, where=where, add=add, slope=slope, zeros=zeros)


def seen(warped: Tensor, beyond: Tensor, t: Tensor) -> Tensor:
    """What `Blend` looks at, (N, SEEN, H/4, W/4), rounded up.

    `warped` (N, 2, H, W) are A and B, full scale 1; `beyond` (N, 2, H/2, W/2) how far A, and B, is from the frame
    beyond it; t is (N,). Borders are repeated as far as needed.
    """
    height, width = (-(-side // PITCH) for side in warped.shape[-2:])
    A, B = _up_to(warped, PITCH * height, PITCH * width).chunk(2, 1)
    small = F.pixel_unshuffle(torch.cat(((A + B) / 2 - 0.5, (A - B) * CLOSER), 1), PITCH)
    far = F.pixel_unshuffle(_up_to(beyond, 2 * height, 2 * width) * CLOSER, 2)
    return torch.cat((small, far, t.to(small.dtype).view(-1, 1, 1, 1).expand(-1, 1, height, width)), 1)


def mask_and_residual(shares: Tensor, warped: Tensor, M: Tensor) -> tuple[Tensor, Tensor]:
    """M and R, each (N, 1, H, W), from the shares that `Blend` finds for the frames `warped` (N, 2, H, W).

    `M` (N, 1, H, W) or (N, 1, 1, 1) is what the mask is without them.
    """
    height, width = warped.shape[-2:]
    full = F.interpolate(F.pixel_shuffle(shares.float(), 2), scale_factor=2, mode="bilinear", align_corners=False)
    full = full[..., :height, :width]
    M = torch.sigmoid(torch.logit(M.float(), eps=LEAST_SHARE) + full[:, :1])
    fine = blurred(warped, 1)
    bands = torch.cat((warped - fine, fine - blurred(fine, 2)), 1)  # fine of A, of B; coarse of A, of B
    return M, (bands * full[:, [1, 1 + BANDS, 2, 2 + BANDS]]).sum(1, keepdim=True)


def blurred(x: Tensor, step: int) -> Tensor:
    """Means of `x` (N, C, H, W) with weights 1, 2, 1 of samples `step` apart, along both axes; borders repeated."""
    height, width = x.shape[-2:]
    p = F.pad(x, (step, step, 0, 0), mode="replicate")
    x = (p[..., :width] + p[..., 2 * step :]) * 0.25 + x * 0.5
    p = F.pad(x, (0, 0, step, step), mode="replicate")
    return (p[..., :height, :] + p[..., 2 * step :, :]) * 0.25 + x * 0.5


def _up_to(x: Tensor, height: int, width: int) -> Tensor:
    """`x` (N, C, h, w) of that size at least, its borders repeated, and not more."""
    more = (0, max(0, width - x.shape[-1]), 0, max(0, height - x.shape[-2]))
    return (F.pad(x, more, mode="replicate") if any(more) else x)[..., :height, :width]
