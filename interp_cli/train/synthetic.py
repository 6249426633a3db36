"""Synthetic motion with exact flow: textured layers that move affinely before each other, made on the device."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Moving:
    """N triplets with known motion. Frames are RGB in [0, 1]."""

    I0: Tensor  # (N, 3, H, W)
    I1: Tensor  # (N, 3, H, W)
    I_t: Tensor  # (N, 3, H, W)
    t: Tensor  # (N,)
    flow: Tensor  # (N, 4, H, W) px: F_t0, F_t1
    valid: Tensor  # (N, 4, H, W) in {0, 1}: the pixel is visible in the frame that its flow points to


def moving_layers(textures: Tensor, t: Tensor, *, layers: int, generator: torch.Generator) -> Moving:
    """Triplets of `layers` textured layers; `textures` is (N, layers, 3, S, S), S the side of the square frames.

    Layer 0 fills the frame; each further layer has the shape of a noisy disc, lies before the ones below it and rides
    on half of the background's motion. Translations are heavy-tailed, up to 0.35 of the side over the unit interval;
    rotations up to 10 degrees, scales up to 15 %.
    """
    count, _, _, side, _ = textures.shape
    device = textures.device
    motion = _motions(count, layers, side, generator, device)
    shapes = _shapes(count, layers, side, generator, device)
    frames, tops = [], []
    for tau in (torch.zeros_like(t), torch.ones_like(t), t):
        frame, top = _render(textures, shapes, motion, tau)
        frames.append(frame)
        tops.append(top)
    flows, valids = [], []
    for end, top_there in ((torch.zeros_like(t), tops[0]), (torch.ones_like(t), tops[1])):
        flow, valid = _flow_between(motion, t, end, tops[2], top_there)
        flows.append(flow)
        valids.append(valid.expand(-1, 2, -1, -1))
    return Moving(frames[0], frames[1], frames[2], t, torch.cat(flows, 1), torch.cat(valids, 1))


def _uniform(
    shape: tuple[int, ...], low: float, high: float, generator: torch.Generator, device: torch.device
) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator, device=device)


def _motions(count: int, layers: int, side: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """(N, layers, 6): centre x, y; translation x, y per unit time (px); rotation (rad), log scale, per unit time."""
    shape = (count, layers)
    reach = _uniform(shape, 0, 1, generator, device).pow(2.5) * 0.35 * side
    heading = _uniform(shape, 0, 2 * torch.pi, generator, device)
    move = torch.stack((reach * heading.cos(), reach * heading.sin()), -1)
    if layers > 1:
        move = torch.cat((move[:, :1], move[:, 1:] + 0.5 * move[:, :1]), 1)
    turns = (_uniform(shape, 0, 1, generator, device) < 0.6).float()
    turn = _uniform(shape, -10, 10, generator, device) * (torch.pi / 180) * turns
    grow = _uniform(shape, -0.15, 0.15, generator, device) * turns
    centre = _uniform((*shape, 2), 0.1 * side, 0.9 * side, generator, device)
    return torch.cat((centre, move, turn[..., None], grow[..., None]), -1)


def _shapes(count: int, layers: int, side: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """(N, layers, 1, S, S): opacity of each layer at time 0, in its own coordinates; a noisy disc."""
    if layers == 1:
        return torch.ones((count, 1, 1, side, side), device=device)
    line = torch.linspace(-1, 1, side, device=device)
    middle = _uniform((count, layers - 1, 2, 1, 1), -0.6, 0.6, generator, device)
    radius = torch.hypot(line[None, None, :, None] - middle[:, :, 1], line[None, None, None, :] - middle[:, :, 0])
    rough = _uniform((count * (layers - 1), 1, 6, 6), -1, 1, generator, device)
    noise = F.interpolate(rough, size=(side, side), mode="bicubic", align_corners=True).view(
        count, layers - 1, side, side
    )
    size = _uniform((count, layers - 1, 1, 1), 0.15, 0.7, generator, device)
    disc = ((size + 0.35 * size * noise - radius) * (side / 2)).clamp(0, 1)
    return torch.cat((torch.ones_like(disc[:, :1]), disc), 1)[:, :, None]


def _affine(motion: Tensor, tau: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x(tau) = A(tau) (x(0) - c) + c + tau * m: A (N, L, 2, 2), centre and offset (N, L, 2)."""
    centre, move, turn, grow = motion[..., :2], motion[..., 2:4], motion[..., 4], motion[..., 5]
    time = tau[:, None]
    angle, scale = turn * time, (grow * time).exp()
    cos, sin = scale * angle.cos(), scale * angle.sin()
    A = torch.stack((torch.stack((cos, -sin), -1), torch.stack((sin, cos), -1)), -2)
    return A, centre, move * time[..., None]


def _grid(side: int, device: torch.device) -> Tensor:
    line = torch.arange(side, device=device, dtype=torch.float32)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack((x, y), -1)


def _origin(motion: Tensor, tau: Tensor, side: int) -> Tensor:
    """(N, L, S, S, 2): where at time 0 each pixel of time tau was, were it part of each layer."""
    A, centre, offset = _affine(motion, tau)
    x = _grid(side, motion.device)[None, None] - (centre + offset)[:, :, None, None]
    return torch.einsum("nlij,nlyxj->nlyxi", torch.linalg.inv(A), x) + centre[:, :, None, None]


def _render(textures: Tensor, shapes: Tensor, motion: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
    """The frame (N, 3, S, S) at time tau and the topmost layer (N, S, S) of each pixel."""
    count, layers, _, side, _ = textures.shape
    where = _origin(motion, tau, side) * (2 / (side - 1)) - 1
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


def _flow_between(motion: Tensor, t: Tensor, end: Tensor, top: Tensor, top_there: Tensor) -> tuple[Tensor, Tensor]:
    """Flow (N, 2, S, S) from time t to `end` of the topmost layer; (N, 1, S, S): it ends on that same layer."""
    side = top.shape[-1]
    A, centre, offset = _affine(motion, end)
    there = torch.einsum("nlij,nlyxj->nlyxi", A, _origin(motion, t, side) - centre[:, :, None, None])
    there = there + (centre + offset)[:, :, None, None]
    index = top[:, None, :, :, None].expand(-1, 1, -1, -1, 2)
    landing = there.gather(1, index)[:, 0]
    flow = (landing - _grid(side, motion.device)[None]).permute(0, 3, 1, 2)
    where = landing * (2 / (side - 1)) - 1
    seen = F.grid_sample(top_there[:, None].float(), where, mode="nearest", padding_mode="zeros", align_corners=True)
    inside = (where.abs() <= 1).all(-1)[:, None]
    return flow, ((seen == top[:, None]) & inside).float()
