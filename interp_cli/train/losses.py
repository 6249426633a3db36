"""What training minimises: Laplacian-pyramid differences, privileged distillation, and known flows."""

import torch
import torch.nn.functional as F
from torch import Tensor

from interp_cli.model.flow import Estimate, resize
from interp_cli.model.seam import Synthesis

BINOMIAL = (1.0, 4.0, 6.0, 4.0, 1.0)


def _means(x: Tensor, weights: Tensor, *, beyond: bool) -> Tensor:
    """Weighted means of `x` (N, C, H, W) along both axes: (N, C, H, W) with borders repeated if `beyond`, else inside.

    Products with banded matrices: on a CPU several times as fast, with their gradients, as convolving a single channel.
    """
    rows, columns = (_band(weights, side, beyond=beyond) for side in x.shape[-2:])
    return rows @ x @ columns.T


def _band(weights: Tensor, side: int, *, beyond: bool) -> Tensor:
    """(places, side): each row weighs the samples around one place."""
    n = len(weights)
    places = side if beyond else side - n + 1
    at = torch.arange(places, device=weights.device)[:, None] + torch.arange(n, device=weights.device)
    at = (at - n // 2 if beyond else at).clamp(0, side - 1)
    return weights.new_zeros(places, side).scatter_add_(1, at, weights.expand(places, n))


def laplacian(a: Tensor, b: Tensor, levels: int = 5) -> Tensor:
    """The L1 norm of every level of the Laplacian pyramid of a - b (N, C, H, W), summed over levels: (N,).

    Each level is averaged over its pixels and all levels count alike, so that coarse errors weigh more per pixel
    (Niklaus and Liu, arXiv 1803.10967). The pyramid is linear: one pyramid of the difference is enough.
    """
    rest, total = a - b, a.new_zeros(len(a))
    weights = rest.new_tensor(BINOMIAL) / sum(BINOMIAL)
    for _ in range(levels - 1):
        small = F.avg_pool2d(_means(rest, weights, beyond=True), 2)
        total = total + (rest - F.interpolate(small, size=rest.shape[-2:], mode="bilinear")).abs().mean((1, 2, 3))
        rest = small
    return total + rest.abs().mean((1, 2, 3))


def root_mean_square(a: Tensor, b: Tensor) -> Tensor:
    """The root mean square of a - b (N, C, H, W): (N,). Its logarithm is PSNR, which weighs large errors most."""
    return ((a - b).square().mean((1, 2, 3)) + 1e-8).sqrt()


def structure(a: Tensor, b: Tensor) -> Tensor:
    """SSIM (Wang et al., 2004) of a and b (N, 1, H, W), full scale 1, by a Gaussian window of 11 px: (N,)."""
    at = torch.arange(11, device=a.device, dtype=a.dtype) - 5
    window = torch.softmax(-at.square() / 4.5, 0)
    mean_a, mean_b, aa, bb, ab = (_means(x, window, beyond=False) for x in (a, b, a * a, b * b, a * b))
    c1, c2 = 0.01**2, 0.03**2
    both = (2 * mean_a * mean_b + c1) * (2 * (ab - mean_a * mean_b) + c2)
    return (both / ((mean_a**2 + mean_b**2 + c1) * (aa - mean_a**2 + bb - mean_b**2 + c2))).mean((1, 2, 3))


def relative(error: Tensor, floor: float = 0.004) -> Tensor:
    """Mean over samples of the error (N,), each divided by its own size: the gradient of its logarithm; a scalar.

    PSNR is a logarithm: making an easy sample 10 % better counts as much as a hard one. Plain means spend the network
    on the hard ones, and easy clips, where classical methods are strong, are lost.
    """
    own = error.detach() + floor
    return (error / own).mean() * own.mean()


def flow_at_full_size(estimate: Estimate, height: int) -> Tensor:
    """Both flows of an estimate (N, 4, h, w) as (N, 4, H, W) in full-size pixels."""
    factor = height // estimate.flow.shape[-2]
    return resize(estimate.flow.float() * factor, factor)


def distillation(flows: list[Tensor], I_t: Tensor, student: Tensor, teacher: Tensor, better: Synthesis) -> Tensor:
    """Mean distance of every flow (N, 4, H, W) to the teacher's, where the teacher's frame is better by 0.01.

    `student` and `teacher` are their frames (N, 3, H, W). After RIFE (arXiv 2011.06294, section 3.3).
    """
    with torch.no_grad():
        gain = (student - I_t).abs().mean(1, keepdim=True) - (teacher - I_t).abs().mean(1, keepdim=True)
        where = (gain > 0.01).float()
        target = torch.cat((better.F_t0, better.F_t1), 1)
    loss = I_t.new_zeros(())
    for flow in flows:
        loss = loss + (((flow - target).square().sum(1, keepdim=True) + 1e-6).sqrt() * where).mean()
    return loss


def known_flow(flows: list[Tensor], truth: Tensor, valid: Tensor) -> Tensor:
    """Mean L1 distance in pixels of every flow (N, 4, H, W) to `truth`, where `valid` (N, 4, H, W) is one."""
    share = valid.mean() + 1e-6
    loss = truth.new_zeros(())
    for flow in flows:
        loss = loss + ((flow - truth).abs() * valid).mean() / share
    return loss
