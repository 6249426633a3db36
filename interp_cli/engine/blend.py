"""The learned blend on the planes: what each warped frame shows that the other does not, judged with the frames beyond.

Where the two warped frames disagree, one of them is often right: the other shows what was hidden, or was led astray.
Of a frame that is right, the motion goes on: the frame beyond it, followed along the neighbouring pair's motion, shows
the same. So the network sees, beside both frames, how far each is from the one beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from interp_cli import kernels
from interp_cli.engine.composing import Apart
from interp_cli.engine.planes import FULL, HALF, Frames, regrid
from interp_cli.engine.source import Neighbour, Pair, Source
from interp_cli.media.types import Family
from interp_cli.model.blend import CLOSER, LEAST_SHARE, SEEN, mask_and_residual, seen
from interp_cli.model.flow import resize
from interp_cli.model.seam import MOTION_PITCH, Network, Synthesis
from interp_cli.model.warp import outside, warp

_PITCH = 2  # px of the network's input: where frames are compared with those beyond them
_OUTSIDE = 0.25, 0.3  # samples beyond a frame's border that count as outside, and how wrong that is, of full scale


def blended(
    network: Network, made: Frames, apart: Apart, pairs: Sequence[Pair], s: Synthesis, t: Tensor, *, scale: int
) -> Frames:
    """`made` of `pairs` at times t (N,) with the mask and the residual that `network` finds.

    `apart` is how much the warped frames differ, as `compose` says; `s` and `scale` are those of `compose`. Both are
    judged by the first plane. All colours of RGB get the same residual. `made` is not to be used any more.
    """
    far = regrid(torch.cat([_beyond(pair, _nth(s, n)) for n, pair in enumerate(pairs)]), (scale * _PITCH,) * 2, HALF)
    first, differs = made.full[:, :1], apart.full[:, :1]
    (height, width), several = made.size, made.full.shape[1] > 1
    peak, M, R, pitch = made.format.peak, s.M, None, FULL
    if len(made) == 1 and M.numel() == 1 and kernels.usable(first, differs, far):
        x = kernels.blend_seen(first, differs, far, float(M), float(t), peak=peak, closer=CLOSER, channels=SEEN)
        new = first.clone() if several else first
        pitch = FULL if several or max(made.chroma_pitch) > max(HALF) else made.chroma_pitch
        change = kernels.blend(new, differs, network.blend(x), float(M), pitch, least_share=LEAST_SHARE)
        R = new - first - change * differs if made.format.family is Family.RGB else None
    else:
        M = regrid(M, (scale, scale), FULL)[..., :height, :width] if M.shape[-1] > 1 else M
        late = (first - M * differs) / peak
        warped = torch.cat((late + differs / peak, late), 1)
        mask, R = mask_and_residual(network.blend(seen(warped, far, t.to(late.device))), warped, M)
        change, R = mask - M, R * peak
        new = first + change * differs + R
    full = new
    if several:
        full = torch.addcmul(made.full, change, apart.full)
        if R is not None and made.format.family is Family.RGB:
            full[:, :3] += R
        full[:, :1] = new
    if made.chroma is None or apart.chroma is None:
        return Frames(full, None, made.format)
    small = regrid(change, pitch, made.chroma_pitch)
    return Frames(full, torch.addcmul(made.chroma, small, apart.chroma), made.format)


def _beyond(pair: Pair, s: Synthesis) -> Tensor:
    """How much brighter A is than the frame beyond the left one, and B than that beyond the right one: (1, 2, h, w).

    Samples are `_PITCH` px of the network's input apart; full scale 1. 0 unless both frames beyond are known. Where one
    of A and B comes from outside of its frame, that one is said to be wrong, and the other right.
    """
    flow = s.flow
    flow = F.avg_pool2d(flow, _PITCH, ceil_mode=True) if s.pitch < _PITCH else flow
    height, width = flow.shape[-2:]
    if pair.before is None or pair.after is None:
        return flow.new_zeros((1, 2, height, width))

    def apart(near: Source, far: Source, side: Neighbour, *, late: bool) -> Tensor | None:
        here, there, motion = _brightness(near), _brightness(far), side.left.motion_to(side.right)
        if here is None or there is None or motion is None:
            return None
        step = resize(motion.velocity / _PITCH, MOTION_PITCH // _PITCH)
        here, there, step = (x[..., :height, :width] for x in (here, there, step))
        if kernels.usable(here, there, step, flow):
            return kernels.beyond(here, there, step, flow, unit=1 / _PITCH, span=side.span, late=late, outside=_OUTSIDE)
        to, sign = (flow[:, 2:] / _PITCH, 1) if late else (flow[:, :2] / _PITCH, -1)
        own = (flow[:, 2:] - flow[:, :2]) * (side.span / _PITCH)
        step = warp(step, to + (0.5 * sign) * own)  # of what is seen here, over the time of the pair beside
        difference = warp(here, to) - warp(there, to + sign * step)
        margin, wrong = _OUTSIDE
        unseen, other = (outside(f / _PITCH, margin) for f in (flow[:, 2:], flow[:, :2])[:: 1 if late else -1])
        said = torch.full_like(difference, wrong).copysign(difference) * unseen
        return torch.where(unseen == other, difference, said)

    early = apart(pair.left, pair.before.left, pair.before, late=False)
    late = apart(pair.right, pair.after.right, pair.after, late=True)
    if early is None or late is None:
        return flow.new_zeros((1, 2, height, width))
    return torch.cat((early, late), 1)


def _brightness(source: Source) -> Tensor | None:
    """(1, 1, h, w): the first of what the network keeps of a frame."""
    features = source.features.get(())
    return None if features is None else features[0]


def _nth(s: Synthesis, n: int) -> Synthesis:
    return Synthesis(s.F_t0[n : n + 1], s.F_t1[n : n + 1], s.M[n : n + 1], None, s.pitch)
