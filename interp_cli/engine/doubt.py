"""Where the two warped frames disagree and a simpler motion explains both source frames, that motion is taken.

Two motions are tried: none, and that of most of the frame (the median, which a pan or a rigid scene has). Both are
judged like the flow itself, by how much the two frames differ once they are moved to t: on means of 2 x 2 px of the
first plane, averaged over 5 x 5 of those. Where the flow's difference exceeds `GAIN` times the better motion's by
`LEAST` code values (of 8 bits) its frame begins to show, at twice that margin it shows alone. The frame of a motion is
(1 - t) of the moved left frame and t of the moved right one. Where nothing explains the frames, nothing changes; nor
where the left frame differs from its surroundings by less than `TEXTURE`, for flat areas agree by chance.
"""

from __future__ import annotations

from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from interp_cli import kernels
from interp_cli.engine.planes import FULL, HALF, Frames, regrid, stack
from interp_cli.model.propagate import around
from interp_cli.model.seam import Synthesis
from interp_cli.model.warp import warp

GAIN = 1.75
LEAST = 3.0  # code values of 8 bits
TEXTURE = 9.0  # code values of 8 bits
_REACH = 2  # samples to either side that count
_SLOWEST = 0.25  # px: a slower motion is none
_STEP = 8  # px of the network's input between the flows that are asked for the median


def second_thoughts(
    made: Frames,
    apart: Tensor,
    frames0: Frames,
    frames1: Frames,
    s: Synthesis,
    *,
    t: Tensor,
    scale: int = 1,
    fine: tuple[Tensor, Tensor] | None = None,
) -> Frames:
    """`made` with a simpler motion's frame in its place where that explains the source frames and the flow does not.

    `apart` (N, 1, H, W) is how much the two warped frames differ in the first plane, signed, in code values. `t` is
    (N,); `s`, `scale` and `fine` are those of `compose`. The same object comes back where the flow is nowhere in doubt.
    """
    least = LEAST * (1 << made.format.depth - 8)
    own = _apart(apart)
    if float(own.max()) <= least:
        return made
    out = []
    for n, (one, left, right) in enumerate(zip(made.each(), frames0.each(), frames1.each(), strict=True)):
        ends = _Ends(left, right, None if fine is None else (fine[0][n : n + 1], fine[1][n : n + 1]))
        motion = _median_of(s.F_t1[n] - s.F_t0[n], scale, s.pitch)
        out.append(_rethought(one, own[n : n + 1], ends, motion, t=float(t[n]), least=least))
    return stack(out)


class _Ends:
    """One pair of source frames, moved to t by a motion (x, y; px over the whole interval)."""

    def __init__(self, left: Frames, right: Frames, fine: tuple[Tensor, Tensor] | None) -> None:
        self.left, self.right, self.fine = left, right, fine

    @cached_property
    def small(self) -> tuple[Tensor, Tensor]:
        """The first planes as they are looked at."""
        return _halved(self.left.full[:, :1]), _halved(self.right.full[:, :1])

    def apart(self, motion: tuple[float, float], t: float) -> Tensor:
        """How much they differ then, as `own` is measured."""
        if motion == (0.0, 0.0):
            return _apart(self.left.full[:, :1], self.right.full[:, :1])
        a, b = self.small
        flow = torch.tensor(motion, device=a.device).view(1, 2, 1, 1) / HALF[0]
        flow = flow.expand(1, 2, *a.shape[-2:])
        a, b = warp(a, flow, unit=(-t, -t)), warp(b, flow, unit=(1 - t, 1 - t))
        return _seen((a - b).abs_())

    def texture(self) -> Tensor:
        """How much the left frame differs from its own surroundings, as `own` is measured."""
        a = self.small[0]
        return _seen((a - _seen(a)).abs_())

    def shown(self, made: Tensor, weight: Tensor, motion: tuple[float, float], t: float, *, chroma: bool) -> Tensor:
        """`made` with as much of the moved frames as `weight` says: only where that is not 0 are they looked up."""
        a, b = (self.left.chroma, self.right.chroma) if chroma else (self.left.full, self.right.full)
        if a is None or b is None or float(weight.max()) <= 0:
            return made
        if motion == (0.0, 0.0):
            return torch.lerp(made, torch.lerp(a, b, t), weight)
        pitch = self.left.chroma_pitch if chroma else FULL
        finer, mode, peak = 1, "bilinear", self.left.format.peak
        if self.fine is not None and not chroma:
            (a, b), finer, mode = self.fine, 2, "bicubic"
        rows, columns = (weight[0, 0] > 0).nonzero(as_tuple=True)
        step = (motion[0] / pitch[1], motion[1] / pitch[0])
        moved = torch.lerp(
            _looked_up(a, columns - t * step[0], rows - t * step[1], mode, finer, peak),
            _looked_up(b, columns + (1 - t) * step[0], rows + (1 - t) * step[1], mode, finer, peak),
            t,
        )
        made = made.clone()
        made[0, :, rows, columns] = torch.lerp(made[0, :, rows, columns], moved, weight[0, 0, rows, columns])
        return made


def _rethought(
    made: Frames, own: Tensor, ends: _Ends, motion: tuple[float, float], *, t: float, least: float
) -> Frames:
    rest, full, chroma = ends.apart((0.0, 0.0), t), made.full, made.chroma
    moved = None if motion == (0.0, 0.0) else ends.apart(motion, t)
    for v, weights in zip(((0.0, 0.0), motion), _weights(own, rest, moved, ends, least), strict=True):
        if weights is None:
            continue
        full = ends.shown(full, _enlarged(weights, FULL, full), v, t, chroma=False)
        if chroma is not None:
            chroma = ends.shown(chroma, _enlarged(weights, made.chroma_pitch, chroma), v, t, chroma=True)
    return Frames(full, chroma, made.format)


def _weights(
    own: Tensor, rest: Tensor, moved: Tensor | None, ends: _Ends, least: float
) -> tuple[Tensor | None, Tensor | None]:
    """How much is to be shown of the frame of no motion, and of that of most of the frame; None: nothing of it."""
    texture = TEXTURE / LEAST * least
    if kernels.usable(own, rest):
        return kernels.doubt(own, rest, moved, ends.small[0], (GAIN, least, texture))
    moved = rest if moved is None else moved
    weight = ((own - GAIN * torch.minimum(rest, moved) - least) / least).clamp_(0, 1)
    weight = weight * (ends.texture() >= texture)
    at_rest, along = weight * (rest <= moved), weight * (moved < rest)
    return at_rest if bool(at_rest.any()) else None, along if bool(along.any()) else None


def _median_of(motion: Tensor, scale: int, pitch: int) -> tuple[float, float]:
    """The median of `motion` (2, h, w), in px of the first plane; (0, 0) where that is next to nothing.

    Its samples are `pitch` px of the network's input apart, of which there are `scale` px of the first plane to each.
    """
    step = _STEP // pitch
    some = motion[:, step // 2 :: step, step // 2 :: step].flatten(1)
    if some.shape[1] == 0:
        some = motion.flatten(1)
    x, y = (some.float().median(1).values * scale).tolist()
    return (x, y) if max(abs(x), abs(y)) >= _SLOWEST else (0.0, 0.0)


def _looked_up(image: Tensor, x: Tensor, y: Tensor, mode: str, finer: int, peak: int) -> Tensor:
    """(C, K): `image` (1, C, H, W) at the K places (x, y), as `compose` looks things up."""
    if finer == 2 and kernels.usable(x):
        return kernels.look_up(image, x, y, peak)
    height, width = image.shape[-2:]
    where = torch.stack((x * (2 * finer / max(width - 1, 1)) - 1, y * (2 * finer / max(height - 1, 1)) - 1), -1)
    where = where.clamp(-1, 1)
    found = F.grid_sample(image, where.view(1, 1, -1, 2).float(), mode=mode, padding_mode="border", align_corners=True)
    return found[0, :, 0]


def _apart(a: Tensor, b: Tensor | None = None) -> Tensor:
    """How much two planes (N, 1, H, W), or one and nothing, differ as they are looked at: (N, 1, H/2, W/2)."""
    if kernels.usable(a) and (b is None or kernels.usable(b)):
        return kernels.apart(a, b)
    return _seen(_halved(a if b is None else a - b).abs_())


def _halved(x: Tensor) -> Tensor:
    return regrid(x, FULL, HALF)


def _seen(x: Tensor) -> Tensor:
    """Means over `_REACH` samples to either side; beyond the border its samples are repeated."""
    return around(x, _REACH).div_((2 * _REACH + 1) ** 2)


def _enlarged(weight: Tensor, pitch: tuple[int, int], like: Tensor) -> Tensor:
    return regrid(weight, HALF, pitch)[..., : like.shape[-2], : like.shape[-1]]
