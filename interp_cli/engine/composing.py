"""I_t on the planes of the source, each sampled at its own size from frames that are doubled once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from interp_cli import kernels
from interp_cli.engine.planes import FULL, Frames, Pitch, code_of, regrid
from interp_cli.media.types import Color
from interp_cli.model.seam import Synthesis
from interp_cli.model.warp import warp


@dataclass(frozen=True, slots=True)
class Apart:
    """The two warped frames that N made ones come from, the early one minus the late one: planes as in `Frames`."""

    full: Tensor
    chroma: Tensor | None


def compose(
    frames0: Frames,
    frames1: Frames,
    s: Synthesis,
    *,
    color: Color,
    scale: int = 1,
    sampling: str = "bilinear",
    fine: tuple[Tensor, Tensor] | None = None,
    apart: list[Apart] | None = None,
) -> Frames:
    """I_t on the planes: M * warp(I0, F_t0) + (1 - M) * warp(I1, F_t1) + R, each plane at its own size.

    `s` is of the size of `network_input(..., scale=scale)`. R goes through the linear RGB-to-YUV matrix (its offset
    cancels). Alpha moves with the same flow and takes no R; colours should be weighted by it (engine/alpha.py).
    `sampling` is that of the full-size planes: "bilinear" or "bicubic"; subsampled chroma is always bilinear. `fine`
    are `doubled` frames, to sample the full-size planes from. `apart` gets the differences of the warped planes.
    """
    rows = code_of(frames0.format, color, frames0.size[0]).rows
    maps = _Maps(s.flow.float(), s.M.float(), s.R, scale=scale, pitch=s.pitch, peak=frames0.format.peak)
    own = frames0.full, frames1.full
    if frames0.chroma is None or frames1.chroma is None:
        full, full_apart = _compose_planes(own, maps, rows, FULL, sampling, fine=fine, difference=apart is not None)
        chroma = chroma_apart = None
    else:
        full, full_apart = _compose_planes(own, maps, rows[:1], FULL, sampling, fine=fine, difference=apart is not None)
        own, pitch = (frames0.chroma, frames1.chroma), frames0.chroma_pitch
        chroma, chroma_apart = _compose_planes(own, maps, rows[1:], pitch, "bilinear", difference=apart is not None)
    if apart is not None and full_apart is not None:
        apart.append(Apart(full_apart, chroma_apart))
    return Frames(full, chroma, frames0.format)


@dataclass(frozen=True, slots=True)
class _Maps:
    """What a network says: flows (N, 4, ...) in px of its input, mask and residual."""

    flow: Tensor
    M: Tensor
    R: Tensor | None
    scale: int  # px of the first plane to one of the network's input
    pitch: int  # px of the network's input between samples of the flow
    peak: int  # largest code value of the planes

    def flow_at(self, pitch: Pitch) -> Tensor:
        """The flow with samples that far apart."""
        return regrid(self.flow, (self.scale * self.pitch, self.scale * self.pitch), pitch)

    def at(self, x: Tensor, pitch: Pitch) -> Tensor:
        """Mask or residual with samples that far apart."""
        return x if x.shape[-2:] == (1, 1) else regrid(x, (self.scale, self.scale), pitch)


def _compose_planes(
    frames: tuple[Tensor, Tensor],
    maps: _Maps,
    rows: Sequence[tuple[float, float, float]],
    pitch: Pitch,
    sampling: str,
    *,
    fine: tuple[Tensor, Tensor] | None = None,
    difference: bool,
) -> tuple[Tensor, Tensor | None]:
    """Planes with samples `pitch` apart from those of both `frames`, or from `fine`, and the difference of both warped.

    `rows` are the weights of the residual's R, G and B in each plane.
    """
    (h, w), (a, b), finer = frames[0].shape[-2:], fine or frames, 2 if fine else 1
    unit, M = (maps.scale / pitch[1], maps.scale / pitch[0]), maps.at(maps.M, pitch)[..., :h, :w]
    if len(a) == 1 and kernels.usable(maps.flow, M):
        coarse = 2 if min(maps.scale * maps.pitch // side for side in pitch) >= 2 else 1
        flow = maps.flow_at((coarse * pitch[0], coarse * pitch[1]))
        cubic = sampling == "bicubic"
        out, apart = kernels.compose(
            a, b, flow, M, size=(h, w), pitch=coarse, unit=unit, cubic=cubic, peak=maps.peak, difference=difference
        )
    else:
        flow = maps.flow_at(pitch)[..., :h, :w]
        out = warp(b, flow[:, 2:], sampling, unit, finer)
        early = warp(a, flow[:, :2], sampling, unit, finer)
        apart = early - out if difference else None
        out.lerp_(early, M)
    if maps.R is not None:
        R = maps.at(maps.R.float(), pitch)[..., :h, :w]
        for plane, row in enumerate(rows):
            for k, weight in enumerate(row):
                if weight:
                    out[:, plane].add_(R[:, k], alpha=weight)
    return out, apart


def doubled(frames: Frames) -> Tensor:
    """The first planes (N, C, 2H, 2W) with a sample between every two, by an eight-tap Lanczos filter.

    Bicubic sampling of this keeps fine texture that bicubic sampling of the frame itself blurs. On a CPU it is in the
    form that kernels use.
    """
    x = frames.full
    if kernels.usable(x):
        return kernels.double(x, _LANCZOS, frames.format.peak)
    for dim, padding in ((-1, (_REACH - 1, _REACH, 0, 0)), (-2, (0, 0, _REACH - 1, _REACH))):
        padded, size = F.pad(x, padding, mode="replicate"), x.shape[dim]
        between = torch.zeros_like(x)
        for k, weight in enumerate(_LANCZOS):
            between.add_(padded.narrow(dim, _REACH - 1 - k, size), alpha=weight)
            between.add_(padded.narrow(dim, _REACH + k, size), alpha=weight)
        x = torch.stack((x, between), x.ndim + dim + 1).flatten(x.ndim + dim, x.ndim + dim + 1)
    return x


def _lanczos(reach: int) -> tuple[float, ...]:
    """Weights of the samples 1/2, 3/2 ... px away, on either side; their sum over both sides is 1."""
    at = [math.pi * (k + 0.5) for k in range(reach)]
    weights = [math.sin(x) / x * math.sin(x / reach) / (x / reach) for x in at]
    return tuple(w / (2 * sum(weights)) for w in weights)


_REACH = 4
_LANCZOS = _lanczos(_REACH)
