"""Coarse-to-fine estimation of the intermediate flows F_t0, F_t1 and of the blend mask M, guided by cost volumes."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp_cli.model.warp import warp

FLOW_UNIT = 0.1  # flows enter convolutions in tens of pixels, so that all inputs are of order one


def conv(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution and LeakyReLU: the cheapest non-linearity on a CPU (PReLU costs as much as a convolution)."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.LeakyReLU(0.1, inplace=True))


def resize(x: Tensor, factor: int) -> Tensor:
    """`x` (N, C, H, W) enlarged `factor` times, bilinear, pixel edges aligned."""
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def unit_length(x: Tensor) -> Tensor:
    """`x` (N, C, H, W) divided by the root mean square over its channels, so that cost volumes compare directions."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-4)


def cost_volume(a: Tensor, b: Tensor, radius: int) -> Tensor:
    """Mean over channels of a(x) * b(x + d) for every shift |d| <= `radius`: (N, (2 * radius + 1) ** 2, H, W).

    Row by row over d, zero outside. A loop over shifts: on a CPU 15 to 25 times faster than unfolding `b`, and with no
    large intermediate tensor.
    """
    padded = F.pad(b, (radius, radius, radius, radius))
    volume: Tensor = _CostVolume.apply(a, padded)  # type: ignore[no-untyped-call]
    return volume


class _CostVolume(torch.autograd.Function):
    """The volume and its gradient, both summed in place: autograd alone fills a zero tensor for every shift."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, padded: Tensor) -> Tensor:
        ctx.save_for_backward(a, padded)
        return torch.stack([(a * there).mean(1) for there in _shifts(padded, a)], 1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        a, padded = ctx.saved_tensors
        share = (grads[0] / a.shape[1]).to(a.dtype)
        grad_a, grad_padded = torch.zeros_like(a), torch.zeros_like(padded)
        for d, (there, grad_there) in enumerate(zip(_shifts(padded, a), _shifts(grad_padded, a), strict=True)):
            grad_a.addcmul_(share[:, d : d + 1], there)
            grad_there.addcmul_(share[:, d : d + 1], a)
        return grad_a, grad_padded


def _shifts(padded: Tensor, like: Tensor) -> list[Tensor]:
    """Every view of `padded` that has the size of `like`, row by row."""
    height, width = like.shape[-2:]
    rows, columns = padded.shape[-2] - height + 1, padded.shape[-1] - width + 1
    return [padded[:, :, y : y + height, x : x + width] for y in range(rows) for x in range(columns)]


def time_plane(t: Tensor, like: Tensor) -> Tensor:
    """t (N,) as a plane (N, 1, H, W) beside `like`."""
    return t.to(like.dtype).view(-1, 1, 1, 1).expand(like.shape[0], 1, *like.shape[-2:])


class ResidualBlock(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to the same shape."""
        return F.leaky_relu(self.second(self.first(x)) + x, 0.1, inplace=True)


class Decoder(nn.Module):
    """Convolutions at one scale; the last layer starts near zero, so that flows do."""

    def __init__(self, inputs: int, channels: int, blocks: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(inputs, channels), *(ResidualBlock(channels) for _ in range(blocks)))
        self.head = nn.Conv2d(channels, outputs, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H, W)."""
        out: Tensor = self.head(self.body(x))
        return out


class Estimate:
    """Flows (N, 4, H, W; px of their own scale: F_t0 then F_t1), mask logit (N, 1, H, W) and hidden state."""

    __slots__ = ("flow", "hidden", "logit")

    def __init__(self, flow: Tensor, logit: Tensor, hidden: Tensor) -> None:
        self.flow, self.logit, self.hidden = flow, logit, hidden

    def enlarged(self, factor: int) -> "Estimate":
        """The same estimate on a grid `factor` times finer; flows grow with the grid."""
        joined = resize(torch.cat((self.flow * factor, self.logit, self.hidden), 1), factor)
        return Estimate(joined[:, :4], joined[:, 4:5], joined[:, 5:])


class CoarsestLevel(nn.Module):
    """First estimate, from features that are not aligned yet: a cost volume in each direction."""

    def __init__(self, features: int, channels: int, blocks: int, hidden: int, radius: int) -> None:
        super().__init__()
        self.radius = radius
        self.decoder = Decoder(2 * features + 1 + 2 * (2 * radius + 1) ** 2, channels, blocks, 5 + hidden)

    def forward(self, f0: Tensor, f1: Tensor, t: Tensor) -> Estimate:
        """Features (N, C, H, W) of both frames and t (N,) to an estimate at that scale."""
        a, b = unit_length(f0), unit_length(f1)
        volumes = (cost_volume(a, b, self.radius), cost_volume(b, a, self.radius))
        out = self.decoder(torch.cat((f0, f1, time_plane(t, f0), *volumes), 1))
        return Estimate(out[:, :4], out[:, 4:5], out[:, 5:])


class FinerLevel(nn.Module):
    """Correction of an estimate: features are warped by it first.

    If the flows were right, the two warped features would match at shift zero for every t; where the cost volume
    between them peaks elsewhere, it points at the error.
    """

    def __init__(self, features: int, channels: int, blocks: int, hidden: tuple[int, int], radius: int) -> None:
        super().__init__()
        self.radius = radius
        inputs = 2 * features + 1 + 4 + 1 + hidden[0] + (2 * radius + 1) ** 2
        self.decoder = Decoder(inputs, channels, blocks, 5 + hidden[1])

    def forward(self, f0: Tensor, f1: Tensor, t: Tensor, coarse: Estimate) -> Estimate:
        """Features (N, C, H, W) at this scale and the estimate of half this scale to an estimate at this scale."""
        up = coarse.enlarged(2)
        a, b = warp(f0, up.flow[:, :2]), warp(f1, up.flow[:, 2:])
        volume = cost_volume(unit_length(a), unit_length(b), self.radius)
        out = self.decoder(torch.cat((a, b, time_plane(t, a), up.flow * FLOW_UNIT, up.logit, up.hidden, volume), 1))
        return Estimate(up.flow + out[:, :4], up.logit + out[:, 4:5], out[:, 5:])
