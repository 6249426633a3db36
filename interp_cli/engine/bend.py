"""Motion that gathers or loses speed: what the pairs before and after tell of the way between two frames.

Two frames show a straight way at one speed. A camera held by hand, a ball, a swing move otherwise: in the middle they
lie beside the straight way by an eighth of their acceleration, which is the change of velocity from one pair to the
next (Xu et al., "Quadratic video interpolation", NeurIPS 2019). Velocities are compared where the same thing is seen:
the pair before at the place it came from, the pair after at the place it goes to. Where the changes on either side
disagree, neither is believed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from interp_cli.model.flow import resize
from interp_cli.model.network import MOTION_PITCH, Synthesis
from interp_cli.model.propagate import around
from interp_cli.model.warp import warp

PITCH = 2 * MOTION_PITCH  # px of the network's input between samples of the acceleration
ALONE = 0.5  # share of a change of velocity that is seen on one side only
_DISAGREEMENT = 16.0  # squared disagreement of the two sides counts for one part in so many
_NOISE = 0.01  # px**2: smaller accelerations are not believed


@dataclass(frozen=True, slots=True)
class Motions:
    """Velocities in the middle of a pair and of its neighbours, (N, 2, h, w), each over its own pair.

    In px of the network's input, samples `MOTION_PITCH` px apart. `before` and `after` come with the time that their
    pair takes, in that of the pair itself; None where there is no such pair, or a cut lies between.
    """

    own: Tensor
    before: tuple[Tensor, float] | None
    after: tuple[Tensor, float] | None


def acceleration(motions: Motions) -> Tensor | None:
    """Change of velocity over the pair's time, (N, 2, h, w) in px, `PITCH` apart; None where no neighbour is known."""
    own = _smaller(motions.own)
    sides = []
    for side, sign in ((motions.before, -1.0), (motions.after, 1.0)):
        if side is None:
            continue
        velocity, span = side
        apart = (1 + span) / 2  # from the middle of one pair to that of the other
        other = warp(_smaller(velocity) / span, own * (sign * apart / PITCH))
        sides.append(around(other - own, 1) * (sign / (9 * apart)))
    if not sides:
        return None
    if len(sides) == 1:
        return sides[0] * ALONE
    mean, disagreement = (sides[0] + sides[1]) / 2, _square(sides[0] - sides[1])
    sure = _square(mean)
    return mean * (sure / (sure + disagreement / _DISAGREEMENT + _NOISE))


def bent(s: Synthesis, acceleration: Tensor, t: Tensor) -> Synthesis:
    """`s` with both flows of `acceleration` (N, 2, h, w) at times t (N,) instead of along straight lines."""
    height, width = s.M.shape[-2:]
    late = t.view(-1, 1, 1, 1).to(acceleration.device)
    shift = resize(resize(resize(acceleration * (late * (1 - late) / 2), 2), 2), PITCH // 4)[..., :height, :width]
    return replace(s, F_t0=s.F_t0 + shift, F_t1=s.F_t1 + shift)


def _smaller(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, PITCH // MOTION_PITCH)


def _square(x: Tensor) -> Tensor:
    return torch.sum(x * x, 1, keepdim=True)
