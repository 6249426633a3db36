"""Synthetic motion with exact flow: surfaces that move before each other, made on the device."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from interp_cli.train.motion import Motion, grid, motions
from interp_cli.train.surfaces import dressed, outlines

_TAPS = 5  # moments that an open shutter sees


@dataclass(frozen=True, slots=True)
class Moving:
    """N triplets with known motion. Frames are RGB in [0, 1]."""

    I0: Tensor  # (N, 3, H, W)
    I1: Tensor  # (N, 3, H, W)
    I_t: Tensor  # (N, 3, H, W)
    t: Tensor  # (N,)
    flow: Tensor  # (N, 4, H, W) px: F_t0, F_t1
    valid: Tensor  # (N, 4, H, W) in {0, 1}: the pixel is visible in the frame that its flow points to


def moving_layers(
    textures: Tensor,
    t: Tensor,
    *,
    layers: int,
    generator: torch.Generator,
    bend: bool = False,
    shutter: float = 0.0,
    captions: Tensor | None = None,
) -> Moving:
    """Triplets of `layers` surfaces; `textures` is (N, layers, 3, S, S), S the side of the square frames.

    Layer 0 fills the frame, each further one lies before the ones below it (see `motions` and `outlines`). With `bend`,
    some surfaces bend. `shutter` is how long each frame sees, of the unit interval: its motion is blurred, flow is that
    of the middle of this time. `captions` (N, 1, S, S) are opacities of letters of one colour before everything: half
    stand still, half move on their own.
    """
    count, _, _, side, _ = textures.shape
    motion = motions(count, layers, side, generator, bend=bend)
    shapes = outlines(count, layers, side, generator)
    textures = dressed(textures, generator)
    if captions is not None:
        moves, fast, colour = (torch.rand((count, n), generator=generator, device=textures.device) for n in (1, 2, 3))
        motion = motion.with_top((fast - 0.5) * 0.2 * side * (moves < 0.5).float())
        plain = colour.round()[:, None, :, None, None].expand(-1, 1, -1, side, side)  # black, white, yellow ...
        textures, shapes = torch.cat((textures, plain), 1), torch.cat((shapes, captions[:, None]), 1)
    frames, tops = [], []
    for tau in (torch.zeros_like(t), torch.ones_like(t), t):
        seen = [_render(textures, shapes, motion, tau + late) for late in _moments(shutter)]
        frames.append(torch.stack([frame for frame, _ in seen]).mean(0))
        tops.append(seen[len(seen) // 2][1])
    origin = motion.origin(t, grid(side, textures.device))
    flows, valids = [], []
    for end, top_there in ((torch.zeros_like(t), tops[0]), (torch.ones_like(t), tops[1])):
        flow, valid = _flow_to(motion.at(end, origin), tops[2], top_there)
        flows.append(flow)
        valids.append(valid.expand(-1, 2, -1, -1))
    return Moving(frames[0], frames[1], frames[2], t, torch.cat(flows, 1), torch.cat(valids, 1))


def _moments(shutter: float) -> list[float]:
    return [shutter * (n / (_TAPS - 1) - 0.5) for n in range(_TAPS)] if shutter else [0.0]


def _render(textures: Tensor, shapes: Tensor, motion: Motion, tau: Tensor) -> tuple[Tensor, Tensor]:
    """The frame (N, 3, S, S) at time tau and the topmost layer (N, S, S) of each pixel."""
    count, layers, _, side, _ = textures.shape
    where = motion.origin(tau, grid(side, textures.device)) * (2 / (side - 1)) - 1
    both = torch.cat((textures, shapes), 2).flatten(0, 1)
    drawn = F.grid_sample(both, where.flatten(0, 1), mode="bicubic", padding_mode="reflection", align_corners=True)
    drawn = drawn.view(count, layers, 4, side, side).clamp(0, 1)
    # A shape ends at the edge of its own square: reflected copies of it are not part of the layer.
    inside = (where.abs() <= 1).all(-1).float()
    opacity = drawn[:, :, 3] * inside
    frame, top = drawn[:, 0, :3], torch.zeros((count, side, side), dtype=torch.long, device=textures.device)
    for layer in range(1, layers):
        frame = torch.lerp(frame, drawn[:, layer, :3], opacity[:, layer, None])
        top = torch.where(opacity[:, layer] > 0.5, layer, top)
    return frame, top


def _flow_to(there: Tensor, top: Tensor, top_there: Tensor) -> tuple[Tensor, Tensor]:
    """Flow (N, 2, S, S) of the topmost layer to where its points lie, `there` (N, L, S, S, 2); (N, 1, S, S): seen."""
    side = top.shape[-1]
    index = top[:, None, :, :, None].expand(-1, 1, -1, -1, 2)
    landing = there.gather(1, index)[:, 0]
    flow = (landing - grid(side, top.device)[0]).permute(0, 3, 1, 2)
    where = landing * (2 / (side - 1)) - 1
    seen = F.grid_sample(top_there[:, None].float(), where, mode="nearest", padding_mode="zeros", align_corners=True)
    inside = (where.abs() <= 1).all(-1)[:, None]
    return flow, ((seen == top[:, None]) & inside).float()
