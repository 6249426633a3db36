"""Frames on the device: from raw planes and back, grids of other pitches, and what the network sees of them.

Everything here is float32 code values of the source's own format. Grids of different pitch (chroma against luma, half
size against full) are aligned by the centres of the areas that their samples cover: chroma siting is not modelled,
which displaces the flow by at most half a luma pixel and the colours not at all, since they never leave their plane.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from interp_cli import kernels
from interp_cli.media.types import Color, Family, PixelFormat, Planes, luma_of_red_and_blue
from interp_cli.model import flow
from interp_cli.model.seam import Limits, Synthesis

Pitch = tuple[int, int]
"""Distance between samples (rows, columns) in px of the first plane."""

FULL: Pitch = (1, 1)
HALF: Pitch = (2, 2)


@dataclass(frozen=True, slots=True)
class Frames:
    """N frames of one size and format; planes of one size share a tensor, float32 code values, not rounded.

    `full` is (N, C, H, W): luma (or gray, or G, B, R), then chroma where it is not subsampled, then alpha.
    `chroma` is (N, 2, h, w), or None where `full` has everything; of frames weighted by alpha it has alpha too.
    """

    full: Tensor
    chroma: Tensor | None
    format: PixelFormat

    def __len__(self) -> int:
        return self.full.shape[0]

    def each(self) -> Iterator[Frames]:
        """One frame at a time."""
        for n in range(len(self)):
            yield Frames(self.full[n : n + 1], None if self.chroma is None else self.chroma[n : n + 1], self.format)

    def on(self, device: str | torch.device) -> Frames:
        """The frames on `device`; those that are there already are not copied."""
        return Frames(self.full.to(device), None if self.chroma is None else self.chroma.to(device), self.format)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the first plane, px."""
        return self.full.shape[-2], self.full.shape[-1]

    @property
    def chroma_pitch(self) -> Pitch:
        """Pitch of planes 1 and 2."""
        sx, sy = self.format.chroma_shift
        return 1 << sy, 1 << sx


def upload(planes: Sequence[Planes], device: str | torch.device) -> Frames:
    """The frames on `device`, carried there as they are and made float there."""
    format, data = planes[0].format, [p.data for p in planes]
    if format.family is not Family.GRAY and format.chroma_shift != (0, 0):
        full = [(p[0], p[3]) if format.alpha else p[:1] for p in data]
        return Frames(_uploaded(full, device), _uploaded([p[1:3] for p in data], device), format)
    return Frames(_uploaded(data, device), None, format)


def _uploaded(frames: Sequence[Sequence[NDArray[Any]]], device: str | torch.device) -> Tensor:
    """(N, C, H, W) float32. Copied first: arrays over a pipe's buffer are read-only, which tensors cannot be."""
    first, kind = frames[0][0], torch.device(device).type
    dtype = torch.float32 if kind == "cpu" else torch.uint8 if first.dtype.itemsize == 1 else torch.uint16
    raw = torch.empty((len(frames), len(frames[0]), *first.shape), dtype=dtype, pin_memory=kind == "cuda")
    for to, planes in zip(raw.numpy(), frames, strict=True):
        for plane, array in zip(to, planes, strict=True):
            plane[...] = array
    return raw.to(device, non_blocking=kind == "cuda").float()


def download(frames: Frames, pts: Sequence[int]) -> list[Planes]:
    """The frames rounded to the nearest code value of their format, as raw planes with the given `pts` (ticks)."""
    full = _quantise(frames.full, frames.format)
    data = list(full.transpose(1, 0, 2, 3))
    if frames.chroma is not None:
        data[1:1] = list(_quantise(frames.chroma, frames.format).transpose(1, 0, 2, 3))
    return [Planes(p, tuple(plane[i] for plane in data), frames.format) for i, p in enumerate(pts)]


def _quantise(x: Tensor, format: PixelFormat) -> NDArray[Any]:
    dtype = torch.uint8 if format.depth == 8 else torch.uint16
    if kernels.usable(x):
        return kernels.codes(x, format.peak, dtype)
    codes = (x + 0.5).clamp_(0, format.peak).to(dtype)  # truncation rounds, after + 0.5
    if codes.is_cuda:  # to memory that the device writes to itself, at several times the speed
        codes = torch.empty(codes.shape, dtype=dtype, pin_memory=True).copy_(codes)
    array: NDArray[Any] = codes.cpu().numpy()
    return array


def stack(frames: Sequence[Frames]) -> Frames:
    """One batch of several; one alone is not copied."""
    if len(frames) == 1:
        return frames[0]
    chroma = [f.chroma for f in frames if f.chroma is not None]
    return Frames(torch.cat([f.full for f in frames]), torch.cat(chroma) if chroma else None, frames[0].format)


def mean(frames: Sequence[Frames]) -> Frames:
    """The average of several versions of the same frames."""
    if len(frames) == 1:
        return frames[0]
    chroma = [f.chroma for f in frames if f.chroma is not None]
    full = torch.stack([f.full for f in frames]).mean(0)
    return Frames(full, torch.stack(chroma).mean(0) if chroma else None, frames[0].format)


@dataclass(frozen=True, slots=True)
class Code:
    """How code values follow from RGB in [0, 1]: plane = offset + span * (weights of R, G, B)."""

    offset: tuple[float, float]  # luma, chroma
    rows: tuple[tuple[float, float, float], ...]  # per plane but alpha, span included
    kr: float
    kb: float


def code_of(format: PixelFormat, color: Color, height: int) -> Code:
    """Of frames of `format` and `height` (px), which decides where `color` does not say."""
    peak, unit = float(format.peak), float(1 << format.depth - 8)
    kr, kb = luma_of_red_and_blue(color, height)
    kg = 1 - kr - kb
    if format.family is Family.RGB:
        return Code((0, 0), ((0, peak, 0), (0, 0, peak), (peak, 0, 0)), kr, kb)
    limited = color.range != "pc" if format.family is Family.YUV else color.range == "tv"
    black, y, c = (16 * unit, 219 * unit, 224 * unit) if limited else (0, peak, peak)
    luma = (y * kr, y * kg, y * kb)
    if format.family is Family.GRAY:
        return Code((black, 0), (luma,), kr, kb)
    u, v = c / (2 * (1 - kb)), c / (2 * (1 - kr))
    blue = (-u * kr, -u * kg, u * (1 - kb))
    red = (v * (1 - kr), -v * kg, -v * kb)
    return Code((black, 128 * unit), (luma, blue, red), kr, kb)


def network_input(frames: Frames, color: Color, *, scale: int = 1, colour: bool = True) -> Tensor:
    """RGB in [0, 1], (N, 3, ceil(H / scale), ceil(W / scale)), before padding; `scale` is 1, 2 or 4.

    Without `colour` its mean, (N, 1, ...).
    """
    if not colour and not (scale == 1 and _by_kernel(frames)):
        return network_input(frames, color, scale=scale).mean(1, keepdim=True)
    format, pitch = frames.format, (scale, scale)
    if format.family is Family.RGB:
        small = regrid(frames.full[:, :3], FULL, pitch)
        return small[:, [2, 0, 1]].mul_(1 / format.peak)
    code = code_of(format, color, frames.size[0])
    span = sum(code.rows[0])
    if format.family is Family.GRAY:
        y = regrid(frames.full[:, :1], FULL, pitch)
        return ((y - code.offset[0]) / span).clamp_(0, 1).expand(-1, 3, -1, -1)
    y = regrid(frames.full[:, :1], FULL, pitch)
    uv = frames.full[:, 1:3] if frames.chroma is None else frames.chroma
    if scale == 1 and _by_kernel(frames):
        return kernels.rgb(y, uv[:, :2], _to_rgb(code, span), pitch=frames.chroma_pitch[0], mean=not colour)
    I = regrid(_chroma_part(uv, code, span), frames.chroma_pitch, pitch)[..., : y.shape[-2], : y.shape[-1]]
    return torch.add(I, y, alpha=1 / span).clamp_(0, 1)


def _by_kernel(frames: Frames) -> bool:
    """Whether there is a kernel that makes them RGB."""
    yuv = frames.format.family is Family.YUV
    return yuv and frames.chroma_pitch in (FULL, HALF) and kernels.usable(frames.full)


def _chroma_part(uv: Tensor, code: Code, span: float) -> Tensor:
    """What is added to luma / span to give R, G, B: the sums are made at chroma's own size, where they are cheapest."""
    kg = 1 - code.kr - code.kb
    u_per_blue, v_per_red = code.rows[1][2] / (1 - code.kb), code.rows[2][0] / (1 - code.kr)
    black, middle = code.offset
    red, blue = 1 / v_per_red, 1 / u_per_blue
    u, v = uv[:, 0], uv[:, 1]
    out = torch.empty((uv.shape[0], 3, *uv.shape[2:]), dtype=uv.dtype, device=uv.device)
    torch.add(v * red, -black / span - middle * red, out=out[:, 0])
    torch.add(u * blue, -black / span - middle * blue, out=out[:, 2])
    constant = -black / span + middle * (code.kr * red + code.kb * blue) / kg
    torch.add(v * (-code.kr * red / kg), u, alpha=-code.kb * blue / kg, out=out[:, 1]).add_(constant)
    return out


def _to_rgb(code: Code, span: float) -> list[float]:
    """Rows of luma, u, v and 1 that give R, G and B: what `_chroma_part` does."""
    kg = 1 - code.kr - code.kb
    black, middle = code.offset
    red, blue = (1 - code.kr) / code.rows[2][0], (1 - code.kb) / code.rows[1][2]
    rows = ((0.0, red), (-code.kb * blue / kg, -code.kr * red / kg), (blue, 0.0))
    return [x for u, v in rows for x in (1 / span, u, v, -black / span - middle * (u + v))]


def regrid(x: Tensor, pitch: Pitch, wanted: Pitch) -> Tensor:
    """`x` (N, C, h, w) with samples `pitch` apart, on a grid with samples `wanted` apart; the same where they agree.

    Down by averaging, up by bilinear interpolation. Sizes round up on the way down; on the way up they are whole
    multiples, for the caller to crop.
    """
    down = (max(1, wanted[0] // pitch[0]), max(1, wanted[1] // pitch[1]))
    up = (max(1, pitch[0] // wanted[0]), max(1, pitch[1] // wanted[1]))
    if down != FULL:
        x = _averaged(x, down)
    while min(up) > 1:
        x, up = flow.resize(x, 2), (up[0] // 2, up[1] // 2)
    for dim, factor in ((-2, up[0]), (-1, up[1])):
        for _ in range(factor.bit_length() - 1):
            x = flow.doubled(x, dim)
    return x


def _averaged(x: Tensor, by: Pitch) -> Tensor:
    """Block means, rounding up."""
    if max(by) > 2 or x.shape[-2] % by[0] or x.shape[-1] % by[1]:
        return F.avg_pool2d(x, by, ceil_mode=True, count_include_pad=False)
    return flow.halved(x, *by)


def pad(I: Tensor, limits: Limits) -> Tensor:
    """`I` (N, C, h, w) with its last rows and columns repeated up to a size that the network takes."""
    height, width = (max(-(-side // limits.multiple_of) * limits.multiple_of, limits.min_size) for side in I.shape[-2:])
    if (height, width) == tuple(I.shape[-2:]):
        return I
    rows, columns = I.shape[-2:]  # by hand: on a CPU F.pad takes several times as long
    out = I.new_empty((*I.shape[:-2], height, width))
    out[..., :rows, :columns] = I
    out[..., :rows, columns:] = I[..., -1:]
    out[..., rows:, :] = out[..., rows - 1 : rows, :]
    return out


def crop(s: Synthesis, size: tuple[int, int]) -> Synthesis:
    """`s` without the rows and columns that `pad` added to an input of `size` (h, w)."""
    h, w = size
    rows, columns = -(-h // s.pitch), -(-w // s.pitch)
    F_t0, F_t1 = (x[..., :rows, :columns] for x in (s.F_t0, s.F_t1))
    return replace(s, F_t0=F_t0, F_t1=F_t1, M=s.M[..., :h, :w], R=None if s.R is None else s.R[..., :h, :w])
