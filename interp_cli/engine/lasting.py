"""Motion that lasts: what moved in the pair before, or moves in the pair after, moves now.

Where a pair of frames misleads (a repeated pattern, a thing that is small for its speed, noise), the pairs beside it
often do not. So every pixel also tries their velocities, each found without the others, and takes what makes its own
two frames agree best: the temporal candidates of de Haan et al., "True-motion estimation with 3-D recursive search
block matching", IEEE Trans. CSVT 3, 1993. They stay candidates: nothing that is made depends on what was made before.
"""

from __future__ import annotations

import torch
from torch import Tensor

from interp_cli import kernels
from interp_cli.engine.source import Motion, Neighbour, Pair
from interp_cli.model.seam import Network
from interp_cli.model.warp import warp

_ROUNDS = 2  # in which the place is found that a velocity comes from


def lasting_motion(network: Network, pair: Pair, motion: Motion) -> Tensor:
    """The motion of `pair`, as `Network.halfway` says it, with those of the pairs beside it tried."""
    others = [_candidate(side, sign) for side, sign in ((pair.before, -1), (pair.after, 1)) if side is not None]
    known = [other for other in others if other is not None]
    if not known:
        return motion.halfway
    return network.likeliest(pair.left.features[()], pair.right.features[()], motion.halfway, known)


def _candidate(side: Neighbour, sign: int) -> Tensor | None:
    """Both flows in the middle of the pair that `side` is beside (-1: before it, 1: after), if its motion lasts.

    What is at x there was, or will be, at x + sign * v * (time between the middles) with the same velocity v.
    """
    motion = side.left.motion_to(side.right)
    if motion is None:
        return None
    apart = sign * (1 + side.span) / 2
    if kernels.usable(motion.halfway):
        return kernels.carried(motion.halfway, span=side.span, apart=apart, rounds=_ROUNDS)
    velocity = v = (motion.halfway[:, 2:] - motion.halfway[:, :2]) / side.span
    for _ in range(_ROUNDS):
        v = warp(velocity, v, unit=(apart, apart))
    return torch.cat((v / -2, v / 2), 1)
