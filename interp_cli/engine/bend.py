"""Motion that gathers or loses speed: what the pairs before and after tell of the way between two frames.

Two frames show a straight way at one speed. A camera held by hand, a ball, a swing move otherwise: in the middle they
lie beside the straight way by an eighth of their acceleration, which is the change of velocity from one pair to the
next (Xu et al., "Quadratic video interpolation", NeurIPS 2019). Velocities are compared where the same thing is seen:
the pair before at the place it came from, the pair after at the place it goes to. Where the changes on either side
disagree, neither is believed; where they nearly agree, the one that is nearer in time counts for more, as on a cubic
through the four places.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from interp_cli.engine.source import COARSE_PITCH as PITCH
from interp_cli.engine.source import Pair
from interp_cli.model.flow import resize
from interp_cli.model.propagate import around
from interp_cli.model.seam import Synthesis
from interp_cli.model.warp import warp

ALONE = 0.5  # share of a change of velocity that is seen on one side only
_DISAGREEMENT = 16.0  # squared disagreement of the two sides counts for one part in so many
TILT = 2 / 3  # how much more the nearer change counts at either end; 1/3 on an exact cubic (docs/log.md)
_NOISE = 0.01  # px**2: smaller accelerations are not believed


def along_their_ways(s: Synthesis, pairs: Sequence[Pair], t: Tensor) -> Synthesis:
    """`s` of `pairs` at times t (N,), along curved ways where the motion of the pairs beside them is known."""
    changes = [_change(pair, float(at)) for pair, at in zip(pairs, t, strict=True)]
    known = next((change for change in changes if change is not None), None)
    if known is None:
        return s
    return bent(s, torch.cat([torch.zeros_like(known) if change is None else change for change in changes]), t)


def acceleration(own: Tensor, sides: Sequence[tuple[Tensor, float]], t: float) -> Tensor | None:
    """Change of velocity over a pair's time, (N, 2, h, w) in px, `PITCH` apart; None where no neighbour is known.

    It is the steady one that bends the way as far at time t. `own` is the velocity in the middle of the pair, that of
    `sides` in the middle of the pairs beside it, each over its own pair and like the result. With each side comes the
    time that it takes, in that of the pair itself, negative for the pair before, which is named first.
    """
    changes, distance = [], 0.0
    for velocity, span in sides:
        apart = math.copysign((1 + abs(span)) / 2, span)  # from the middle of the pair to that of the other
        there = warp(velocity / abs(span), own * (apart / PITCH))
        changes.append(around(there - own, 1) / (9 * apart))
        distance += abs(apart) / 2  # in time, from one change to the other
    if len(changes) < 2:
        return changes[0] * ALONE if changes else None
    mean, rise = (changes[0] + changes[1]) / 2, changes[1] - changes[0]
    sure = _square(mean)
    belief = sure / (sure + _square(rise) / _DISAGREEMENT + _NOISE)
    return torch.add(mean, rise, alpha=TILT * (t - 0.5) / distance) * belief


def bent(s: Synthesis, acceleration: Tensor, t: Tensor) -> Synthesis:
    """`s` with both flows of `acceleration` (N, 2, h, w) at times t (N,) instead of along straight lines."""
    height, width = s.F_t0.shape[-2:]
    late = t.view(-1, 1, 1, 1).to(acceleration.device)
    shift, pitch = acceleration * (late * (1 - late) / 2), PITCH
    while pitch > s.pitch:
        shift, pitch = resize(shift, 2), pitch // 2
    flow = s.flow
    flow = (flow.view(len(flow), 2, 2, height, width) + shift[:, None, :, :height, :width]).flatten(1, 2)
    return replace(s, F_t0=flow[:, :2], F_t1=flow[:, 2:])


def _change(pair: Pair, t: float) -> Tensor | None:
    own = pair.left.motion_to(pair.right)
    if own is None:
        return None
    sides = [(pair.before, -1), (pair.after, 1)]
    known = [(side.left.motion_to(side.right), sign * side.span) for side, sign in sides if side is not None]
    return acceleration(own.coarse_velocity, [(motion.coarse_velocity, span) for motion, span in known if motion], t)


def _square(x: Tensor) -> Tensor:
    return torch.sum(x * x, 1, keepdim=True)
