"""Motion that gathers or loses speed: what the pairs before and after tell of the way between two frames.

Two frames show a straight way at one speed. A camera held by hand, a ball, a swing move otherwise: in the middle they
lie beside the straight way by an eighth of their acceleration, which is the change of velocity from one pair to the
next (Xu et al., "Quadratic video interpolation", NeurIPS 2019). Velocities are compared where the same thing is seen:
the pair before at the place it came from, the pair after at the place it goes to. Where the changes on either side
disagree, neither is believed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from interp_cli.engine.source import Pair, Source
from interp_cli.model.flow import resize
from interp_cli.model.network import MOTION_PITCH, Synthesis
from interp_cli.model.propagate import around
from interp_cli.model.warp import warp

PITCH = 2 * MOTION_PITCH  # px of the network's input between samples of the acceleration
ALONE = 0.5  # share of a change of velocity that is seen on one side only
_DISAGREEMENT = 16.0  # squared disagreement of the two sides counts for one part in so many
_NOISE = 0.01  # px**2: smaller accelerations are not believed


def along_their_ways(s: Synthesis, pairs: Sequence[Pair], t: Tensor) -> Synthesis:
    """`s` of `pairs` at times t (N,), along curved ways where the motion of the pairs beside them is known."""
    changes = [_change(pair) for pair in pairs]
    known = next((change for change in changes if change is not None), None)
    if known is None:
        return s
    return bent(s, torch.cat([torch.zeros_like(known) if change is None else change for change in changes]), t)


def acceleration(own: Tensor, sides: Sequence[tuple[Tensor, float]]) -> Tensor | None:
    """Change of velocity over a pair's time, (N, 2, h, w) in px, `PITCH` apart; None where no neighbour is known.

    `own` is the velocity in the middle of the pair, that of `sides` in the middle of the pairs beside it, each (N, 2,
    2h, 2w) over its own pair, in px of the network's input, `MOTION_PITCH` apart. With each side comes the time that it
    takes, in that of the pair itself, negative for the pair before.
    """
    own, changes = _smaller(own), []
    for velocity, span in sides:
        apart = math.copysign((1 + abs(span)) / 2, span)  # from the middle of the pair to that of the other
        there = warp(_smaller(velocity) / abs(span), own * (apart / PITCH))
        changes.append(around(there - own, 1) / (9 * apart))
    if len(changes) < 2:
        return changes[0] * ALONE if changes else None
    mean, disagreement = (changes[0] + changes[1]) / 2, _square(changes[0] - changes[1])
    sure = _square(mean)
    return mean * (sure / (sure + disagreement / _DISAGREEMENT + _NOISE))


def bent(s: Synthesis, acceleration: Tensor, t: Tensor) -> Synthesis:
    """`s` with both flows of `acceleration` (N, 2, h, w) at times t (N,) instead of along straight lines."""
    height, width = s.F_t0.shape[-2:]
    late = t.view(-1, 1, 1, 1).to(acceleration.device)
    shift, pitch = acceleration * (late * (1 - late) / 2), PITCH
    while pitch > s.pitch:
        shift, pitch = resize(shift, 2), pitch // 2
    shift = shift[..., :height, :width]
    return replace(s, F_t0=s.F_t0 + shift, F_t1=s.F_t1 + shift)


def _change(pair: Pair) -> Tensor | None:
    own = velocity(*pair.ends)
    if own is None:
        return None
    sides = [(pair.before, -1), (pair.after, 1)]
    known = [(velocity(side.left, side.right), sign * side.span) for side, sign in sides if side is not None]
    return acceleration(own, [(velocity, span) for velocity, span in known if velocity is not None])


def velocity(left: Source, right: Source) -> Tensor | None:
    """Px of the network's input from one frame to the other, in the middle between them, if that is known."""
    flow = left.motion_to(right)
    return None if flow is None else (flow[:, 2:] - flow[:, :2]) * MOTION_PITCH


def _smaller(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, PITCH // MOTION_PITCH)


def _square(x: Tensor) -> Tensor:
    return torch.sum(x * x, 1, keepdim=True)
