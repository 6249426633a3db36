"""What pixels learn of their neighbours: sums, gradients, medians, and flows that explain the frames better.

Smoothing carries flow into what it is next to, but not across a border at which it has stopped, and hardly to a small
thing that moves by more than its own size. So every pixel also tries the flows of some others (Barnes et al.,
"PatchMatch", SIGGRAPH 2009), none at all and what most of the frame does, and takes what makes the two frames agree
best around it.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from interp_cli import kernels
from interp_cli.model.warp import warp

FAR, NEAR = 4, 2  # px: whose flows are tried before an alignment, and after it
DIFFERENT = 0.25  # px: along some axis another flow has to be so far from a pixel's own to be tried
BETTER = 0.9  # another flow has to leave less than this share of the difference
APART, LIKELIER = 0.1, 0.98  # the same of flows that were found apart from the pixel's own
_PATCH = 2  # px to either side on which flows are compared
_SAMPLES = 24  # of the shorter side, at least, that are asked what most of a frame does
_OFF = (4.0, 2.0, 1.0, 0.5, 0.25)  # px: a sample that is so far from what most do counts for a quarter, ever stricter


def propagated(
    y0: Tensor, y1: Tensor, flow: Tensor, *, reach: int, t: Tensor | None = None, in_place: bool = False
) -> Tensor:
    """Flows (N, 4, H, W; px) with those of the pixels `reach` px to the left, right, above and below tried as well.

    With their times `t` (N,) two simpler motions are tried too: none, and the affine one that most of the frame does.
    Judged by how much the warped frames (N, 1, H, W) and their gradients differ. With `in_place` the flows may be
    overwritten.
    """
    if kernels.usable(y0, y1, flow):
        limits = {"share": BETTER, "nearest": DIFFERENT}
        return kernels.propagate(y0, y1, flow, reach=reach, t=t, in_place=in_place, **limits)
    height, width = flow.shape[-2:]
    padded = F.pad(flow, (reach, reach, reach, reach), mode="replicate")
    places = [(reach, 2 * reach), (reach, 0), (2 * reach, reach), (0, reach)]  # rows and columns of the padded flow
    others = [padded[..., y : y + height, x : x + width] for y, x in places]
    if t is not None:
        late, v = t.view(-1, 1, 1, 1), most_of(flow[:, 2:] - flow[:, :2])
        v = torch.where(v.abs().amax((1, 2, 3), keepdim=True) < DIFFERENT, 0, v)
        others += [torch.zeros_like(flow), torch.cat((-late * v, (1 - late) * v), 1)]
    return _tried(y0, y1, flow, others, share=BETTER, nearest=DIFFERENT)


def likeliest(y0: Tensor, y1: Tensor, flow: Tensor, others: Sequence[Tensor]) -> Tensor:
    """Flows (N, 4, H, W; px), or of `others` what makes the frames agree better, pixel by pixel.

    They are found apart from each other, and so are taken more readily than those of the pixels around.
    """
    if others and kernels.usable(y0, y1, flow, *others):
        return kernels.try_flows(y0, y1, flow, torch.stack(tuple(others), 1), share=LIKELIER, nearest=APART)
    return _tried(y0, y1, flow, others, share=LIKELIER, nearest=APART)


def _tried(y0: Tensor, y1: Tensor, flow: Tensor, others: Sequence[Tensor], *, share: float, nearest: float) -> Tensor:
    best, least = flow, _apart(y0, y1, flow)
    for other in others:
        apart = _apart(y0, y1, other)
        different = (other - flow).abs().amax(1, keepdim=True) > nearest
        better = different & (apart < share * least)
        best, least = torch.where(better, other, best), torch.where(better, apart, least)
    return best


@torch.no_grad()
def _apart(y0: Tensor, y1: Tensor, flow: Tensor) -> Tensor:
    difference = warp(y0, flow[:, :2]) - warp(y1, flow[:, 2:])
    across, down = gradient(difference)
    return around(difference.abs_() + across.abs_() + down.abs_(), _PATCH)


def most_of(v: Tensor) -> Tensor:
    """The affine velocities, (N, 2, H, W) like `v`, that most of each frame follows.

    Least squares of some samples, again and again; those that are off count for less and less of what they did (as
    Odobez and Bouthemy find a dominant motion, JVCIR 6, 1995).
    """
    height, width = v.shape[-2:]
    y, x = ((torch.arange(n, device=v.device, dtype=v.dtype) + 0.5) / n - 0.5 for n in (height, width))
    places = torch.stack((torch.ones(height, width, device=v.device), x.expand(height, -1), y.expand(width, -1).T), -1)
    step = max(1, min(height, width) // _SAMPLES)
    p = places[step // 2 :: step, step // 2 :: step].flatten(0, 1)  # (K, 3)
    some = v[..., step // 2 :: step, step // 2 :: step].flatten(2).mT  # (N, K, 2)
    known, ridge = p.expand(len(v), -1, -1), 1e-4 * torch.eye(3, device=v.device)
    weight = torch.ones_like(known[..., :1])
    for off in (*_OFF, None):
        share = (known * weight).mT
        affine = torch.linalg.solve_ex(share @ known + ridge, share @ some).result  # (N, 3, 2); never asks a GPU back
        if off is not None:
            weight = (1 + (known @ affine - some).square().sum(-1, keepdim=True) / off**2) ** -2
    found: Tensor = (places @ affine[:, None]).movedim(-1, 1)
    return found


def median(x: Tensor) -> Tensor:
    """Medians of `x` (N, C, H, W) over 3 x 3 px, borders repeated; by minima and maxima, which vectorise."""
    height, width = x.shape[-2:]
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    columns = _sorted(*(padded[..., k : k + height, :] for k in range(3)))
    low, middle, high = ([part[..., k : k + width] for k in range(3)] for part in columns)
    most_of_low = torch.maximum(torch.maximum(low[0], low[1]), low[2])
    least_of_high = torch.minimum(torch.minimum(high[0], high[1]), high[2])
    return _sorted(most_of_low, _sorted(*middle)[1], least_of_high)[1]


def _sorted(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Three tensors, element by element, from the smallest to the largest."""
    least, most = torch.minimum(a, b), torch.maximum(a, b)
    return torch.minimum(least, c), torch.maximum(least, torch.minimum(most, c)), torch.maximum(most, c)


def around(x: Tensor, radius: int) -> Tensor:
    """Sums of `x` (N, C, H, W) over squares of 2 * radius + 1 px (radius 1 or 2), borders repeated.

    By shifted sums: on a CPU a tenth of the time of a pooling layer.
    """
    if kernels.usable(x):
        return kernels.sums(x, radius)
    padded = F.pad(x, (radius, radius, radius, radius), mode="replicate")
    for dim in (-2, -1):
        size = x.shape[dim]
        pairs = padded.narrow(dim, 0, size + 2 * radius - 1) + padded.narrow(dim, 1, size + 2 * radius - 1)
        sums = pairs.narrow(dim, 0, size) + (padded if radius == 1 else pairs).narrow(dim, 2, size)
        padded = sums if radius == 1 else sums.add_(padded.narrow(dim, 4, size))
    return padded


def gradient(x: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences of `x` (N, 1, H, W) along x and y, per pixel."""
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    across, down = padded[..., 1:-1, :], padded[..., 1:-1]
    return (across[..., 2:] - across[..., :-2]) / 2, (down[..., 2:, :] - down[..., :-2, :]) / 2
