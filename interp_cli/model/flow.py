"""Coarse-to-fine estimation of the intermediate flows F_t0, F_t1 and of the blend mask M, guided by cost volumes."""

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp_cli import kernels
from interp_cli.model.align import GUIDES
from interp_cli.model.warp import warp

SLOPE = 0.1  # of what is negative, in convolutions
_RUN = 16  # px: length of the runs that cost volumes are computed in
FLOW_UNIT = 0.1  # flows enter convolutions in tens of pixels, so that all inputs are of order one


def conv(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution and LeakyReLU: the cheapest non-linearity on a CPU (PReLU costs as much as a convolution)."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.LeakyReLU(SLOPE, inplace=True))


def resize(x: Tensor, factor: int) -> Tensor:
    """`x` (N, C, H, W) enlarged `factor` times, bilinear, pixel edges aligned."""
    if factor == 2 and kernels.usable(x):
        return kernels.enlarge(x)
    if factor == 2 and not (torch.is_grad_enabled() and x.requires_grad):
        return doubled(doubled(x, -2), -1)
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def doubled(x: Tensor, dim: int) -> Tensor:
    """`x` with twice the samples along `dim` (-2 or -1), bilinear, without gradients.

    By hand: on a CPU a quarter of the time of F.interpolate.
    """
    size = x.shape[dim]
    shape = list(x.shape)
    shape[dim] = 2 * size
    out = torch.empty(shape, dtype=x.dtype, device=x.device)
    pairs = out.unflatten(dim, (size, 2))  # type: ignore[no-untyped-call]
    first, second = pairs.select(dim, 0), pairs.select(dim, 1)
    here, after = x.narrow(dim, 0, size - 1), x.narrow(dim, 1, size - 1)
    torch.lerp(after, here, 0.25, out=first.narrow(dim, 1, size - 1))
    torch.lerp(here, after, 0.25, out=second.narrow(dim, 0, size - 1))
    first.select(dim, 0).copy_(x.select(dim, 0))
    second.select(dim, size - 1).copy_(x.select(dim, size - 1))
    return out


def halved(x: Tensor, rows: int = 2, columns: int = 2) -> Tensor:
    """Means of blocks of `x` (N, C, H, W), 1 or 2 samples high and wide; H and W are multiples of that.

    By hand: on a CPU avg_pool2d takes ten times as long as strided sums.
    """
    if rows == columns == 2 and x.shape[1] == 1 and kernels.usable(x):
        return kernels.halve(x)
    if rows == 2:
        x = torch.lerp(x[..., 0::2, :], x[..., 1::2, :], 0.5)
    return torch.lerp(x[..., 0::2], x[..., 1::2], 0.5) if columns == 2 else x


def unit_length(x: Tensor) -> Tensor:
    """`x` (N, C, H, W) divided by the root mean square over its channels, so that cost volumes compare directions."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-4)


def cost_volume(a: Tensor, b: Tensor, radius: int) -> Tensor:
    """Mean over channels of a(x) * b(x + d) for every shift |d| <= `radius`: (N, (2 * radius + 1) ** 2, H, W).

    Row by row over d, zero outside.
    """
    padded = F.pad(b, (radius, radius, radius, radius))
    volume: Tensor = _CostVolume.apply(a, padded)  # type: ignore[no-untyped-call]
    return volume


class _CostVolume(torch.autograd.Function):
    """The volume by matrix products, and its gradient, summed in place."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, padded: Tensor) -> Tensor:
        ctx.save_for_backward(a, padded)
        return _products(a, padded)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        a, padded = ctx.saved_tensors
        share = (grads[0] / a.shape[1]).to(a.dtype)
        grad_a, grad_padded = torch.zeros_like(a), torch.zeros_like(padded)
        for d, (there, grad_there) in enumerate(zip(_shifts(padded, a), _shifts(grad_padded, a), strict=True)):
            grad_a.addcmul_(share[:, d : d + 1], there)
            grad_there.addcmul_(share[:, d : d + 1], a)
        return grad_a, grad_padded


def _products(a: Tensor, padded: Tensor) -> Tensor:
    """The volume of `a` (N, C, H, W) and `padded` (N, C, H + 2r, W + 2r).

    Rows are cut into short runs. The product of a run of `a` with a run of `padded` that is 2r longer holds, beside
    the diagonal, everything that is wanted of it; what else it holds costs less than a loop over shifts would.
    """
    count, channels, height, width = a.shape
    side = padded.shape[-1] - width + 1
    runs = -(-width // _RUN)
    spare = runs * _RUN - width
    left = F.pad(a.permute(2, 0, 3, 1) / channels, (0, 0, 0, spare)).reshape(-1, _RUN, channels)
    right = F.pad(padded.permute(2, 0, 3, 1), (0, 0, 0, spare)).unfold(2, _RUN + side - 1, _RUN).contiguous()
    volume = a.new_empty((height * count * runs, _RUN, side * side))
    reach = _RUN + side - 1
    for y in range(side):
        product = torch.bmm(left, right[y : y + height].view(-1, channels, reach))
        band = product.as_strided((len(product), _RUN, side), (_RUN * reach, reach + 1, 1))
        volume[..., y * side : (y + 1) * side] = band
    return volume.view(height, count, runs * _RUN, side * side)[:, :, :width].permute(1, 3, 0, 2)


def _shifts(padded: Tensor, like: Tensor) -> list[Tensor]:
    """Every view of `padded` that has the size of `like`, row by row."""
    height, width = like.shape[-2:]
    rows, columns = padded.shape[-2] - height + 1, padded.shape[-1] - width + 1
    return [padded[:, :, y : y + height, x : x + width] for y in range(rows) for x in range(columns)]


def joined(*parts: Tensor) -> Tensor:
    """`parts` (N, any, H, W) as one tensor for a convolution, in the layout and arithmetic that it will use."""
    if torch.is_grad_enabled():
        return torch.cat(parts, 1)
    first = parts[0]
    kind = first.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else first.dtype
    count, height, width = first.shape[0], *first.shape[-2:]
    shape = (count, sum(part.shape[1] for part in parts), height, width)
    out = torch.empty(shape, dtype=dtype, device=first.device, memory_format=torch.channels_last)
    at = 0
    for part in parts:
        out[:, at : at + part.shape[1]] = part
        at += part.shape[1]
    return out


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
        return F.leaky_relu(self.second(self.first(x)) + x, SLOPE, inplace=True)


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


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is known at one scale, each (N, ..., H, W)."""

    flow: Tensor  # 4 channels, px of this scale: F_t0 then F_t1
    logit: Tensor  # 1 channel: of the mask
    guide: Tensor  # GUIDES channels: steer the alignment at this scale
    hidden: Tensor  # state for the next scale

    @classmethod
    def correction(cls, out: Tensor) -> "Estimate":
        """The channels of a decoder's output."""
        return cls(out[:, :4], out[:, 4:5], out[:, 5 : 5 + GUIDES], out[:, 5 + GUIDES :])

    @classmethod
    def alone(cls, flow: Tensor) -> "Estimate":
        """Nothing but a flow (N, 4, H, W), as alignment without decoders has it: all else has no channels."""
        return cls.correction(flow)

    def enlarged(self, factor: int) -> "Estimate":
        """The same estimate on a grid `factor` times finer; flows grow with the grid."""
        return Estimate.correction(
            resize(torch.cat((self.flow * factor, self.logit, self.guide, self.hidden), 1), factor)
        )


class CoarsestLevel(nn.Module):
    """First estimate, from features that are not aligned yet: a cost volume in each direction."""

    def __init__(self, features: int, channels: int, blocks: int, hidden: int, radius: int) -> None:
        super().__init__()
        self.radius = radius
        self.decoder = Decoder(2 * features + 1 + 2 * (2 * radius + 1) ** 2, channels, blocks, 5 + GUIDES + hidden)

    def forward(self, f0: Tensor, f1: Tensor, t: Tensor) -> Estimate:
        """Features (N, C, H, W) of both frames and t (N,) to an estimate at that scale."""
        a, b = unit_length(f0), unit_length(f1)
        volumes = (cost_volume(a, b, self.radius), cost_volume(b, a, self.radius))
        out = self.decoder(joined(f0, f1, time_plane(t, f0), *volumes))
        return Estimate.correction(out)


class FinerLevel(nn.Module):
    """Correction of an estimate: features are warped by it first.

    If the flows were right, the two warped features would match at shift zero for every t; where the cost volume
    between them peaks elsewhere, it points at the error.
    """

    def __init__(self, features: int, channels: int, blocks: int, hidden: tuple[int, int], radius: int) -> None:
        super().__init__()
        self.radius = radius
        inputs = 2 * features + 1 + 4 + 1 + hidden[0] + (2 * radius + 1) ** 2
        self.decoder = Decoder(inputs, channels, blocks, 5 + GUIDES + hidden[1])

    def forward(self, f0: Tensor, f1: Tensor, t: Tensor, coarse: Estimate) -> Estimate:
        """Features (N, C, H, W) at this scale and the estimate of half this scale to an estimate at this scale."""
        up = coarse.enlarged(2)
        a, b = warp(f0, up.flow[:, :2]), warp(f1, up.flow[:, 2:])
        volume = cost_volume(unit_length(a), unit_length(b), self.radius)
        out = self.decoder(joined(a, b, time_plane(t, a), up.flow * FLOW_UNIT, up.logit, up.hidden, volume))
        new = Estimate.correction(out)
        return replace(new, flow=up.flow + new.flow, logit=up.logit + new.logit)
