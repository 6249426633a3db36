"""What does not move stays as it is: equal frames, areas where two frames agree, overlays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from interp_cli import kernels
from interp_cli.engine.overlay import Mask
from interp_cli.engine.planes import FULL, HALF, Frames, regrid
from interp_cli.media.types import Planes
from interp_cli.model.seam import Synthesis

BLOCK = 4  # px
MOST_DIFFERENCE = 1.5  # code values of 8 bits: equal but for one step of rounding
MOST_FLOW = 0.5  # px


def same(a: Planes, b: Planes) -> bool:
    """Whether two frames are equal in every plane."""
    return all(np.array_equal(x, y) for x, y in zip(a.data, b.data, strict=True))


def hold_still(made: Frames, frames0: Frames, frames1: Frames, s: Synthesis, *, t: Tensor, scale: int = 1) -> Frames:
    """`made` with the nearer source frame in its place where both source frames agree and the flow is small.

    A block of 4 x 4 px is still when it and its eight neighbours differ by at most 1.5 code values (of 8 bits) in every
    plane, and their flow is under half a pixel. Weights fall off linearly over one block at the border of still areas.
    `t` is (N,). `made` comes back unchanged (the same object) where there is no such block; else it is not to be used
    any more.
    """
    still = _still(frames0, frames1, s, scale)
    if float(still.max()) <= 0:
        return made
    late = t > 0.5
    if kernels.usable(made.full) and max(made.chroma_pitch) <= max(HALF):
        still = regrid(still, (BLOCK, BLOCK), HALF)
        for n, frames in enumerate(frames1 if after else frames0 for after in late.tolist()):
            kernels.hold(made.full[n], frames.full[n], still[n, 0], pitch=HALF[0])
            if made.chroma is not None and frames.chroma is not None:
                small = regrid(still[n : n + 1], HALF, made.chroma_pitch)
                kernels.hold(made.chroma[n], frames.chroma[n], small[0, 0], pitch=1)
        return Frames(made.full, made.chroma, made.format)
    late = late.view(-1, 1, 1, 1).to(made.full.device)
    full = _held(made.full, torch.where(late, frames1.full, frames0.full), still, FULL)
    if made.chroma is None or frames0.chroma is None or frames1.chroma is None:
        return Frames(full, None, made.format)
    source = torch.where(late, frames1.chroma, frames0.chroma)
    return Frames(full, _held(made.chroma, source, still, made.chroma_pitch), made.format)


def hold_overlays(made: Frames, frames0: Frames, frames1: Frames, masks: Sequence[Mask | None], *, t: Tensor) -> Frames:
    """`made` with the two source frames, mixed by `t` (N,), where `masks` (one per frame) have an overlay.

    Colours that are subsampled are held as far as their area is covered. The same object comes back without a mask.
    """
    if all(mask is None for mask in masks):
        return made
    none = np.zeros(made.size, bool)
    weight = torch.from_numpy(np.stack([none if mask is None else mask for mask in masks])[:, None].astype(np.float32))
    weight, t = weight.to(made.full.device), t.view(-1, 1, 1, 1).to(made.full.device)
    full = torch.lerp(made.full, torch.lerp(frames0.full, frames1.full, t), weight)
    if made.chroma is None or frames0.chroma is None or frames1.chroma is None:
        return Frames(full, None, made.format)
    small = regrid(weight, FULL, made.chroma_pitch)
    return Frames(full, torch.lerp(made.chroma, torch.lerp(frames0.chroma, frames1.chroma, t), small), made.format)


def _held(made: Tensor, source: Tensor, still: Tensor, pitch: tuple[int, int]) -> Tensor:
    weight = regrid(still, (BLOCK, BLOCK), pitch)
    return torch.lerp(made, source, weight[..., : made.shape[-2], : made.shape[-1]])


def _differs(a: Frames, b: Frames) -> Tensor:
    """(N, 1, rows of blocks, columns of blocks): some sample of the block differs, in any plane."""
    limit = MOST_DIFFERENCE * (1 << a.format.depth - 8)
    if kernels.usable(a.full, b.full):
        out = kernels.differs(a.full, b.full, (BLOCK, BLOCK), limit)
        if a.chroma is not None and b.chroma is not None:
            pitch = a.chroma_pitch
            out |= kernels.differs(a.chroma, b.chroma, (BLOCK // pitch[0], BLOCK // pitch[1]), limit)
        return out
    out = _block_maxima((a.full - b.full).abs_(), FULL)
    if a.chroma is not None and b.chroma is not None:
        out = torch.maximum(out, _block_maxima((a.chroma - b.chroma).abs_(), a.chroma_pitch))
    return out > limit


def _still(frames0: Frames, frames1: Frames, s: Synthesis, scale: int) -> Tensor:
    """(N, 1, rows of blocks, columns of blocks): 1 where a block and its neighbours are still, else 0.

    The flow is looked at in the corner of each block: it is smooth at this scale, and neighbours are looked at too.
    """
    differs = _differs(frames0, frames1)
    s = s if scale * s.pitch <= BLOCK else s.enlarged()
    step, most = BLOCK // (scale * s.pitch), MOST_FLOW / scale
    flow = s.flow
    if kernels.usable(flow):
        return kernels.still(differs, flow, step=step, most=most)
    moves = flow[..., ::step, ::step].abs().amax(1, keepdim=True) > most
    moves = differs | moves[..., : differs.shape[-2], : differs.shape[-1]]
    return 1 - F.max_pool2d(moves.float(), 3, 1, 1)


def _block_maxima(x: Tensor, pitch: tuple[int, int]) -> Tensor:
    """Largest of all channels over blocks of 4 px, (N, 1, ...). By hand: max_pool2d is slow on planes."""
    height, width = BLOCK // pitch[0], BLOCK // pitch[1]
    x = x.amax(1, keepdim=True) if x.shape[1] > 1 else x
    h, w = x.shape[-2:]
    if h % height or w % width:
        x = F.pad(x, (0, -w % width, 0, -h % height))  # with 0: no difference
    n, _, h, w = x.shape
    rows = x.reshape(n, 1, h // height, height, w).amax(3)
    return rows.reshape(n, 1, h // height, w // width, width).amax(4)
