"""IFNet: the interpolation network. Encode a frame once, synthesise any time between two frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from interp_cli import kernels
from interp_cli.model.align import Alignment
from interp_cli.model.blend import Blend
from interp_cli.model.flow import CoarsestLevel, Estimate, FinerLevel, conv, halved, resize
from interp_cli.model.propagate import FAR, NEAR, likeliest, propagated
from interp_cli.model.refine import Refinement
from interp_cli.model.seam import Features, Limits, Synthesis
from interp_cli.model.warp import warp

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The network's sizes, fine to coarse. Level i works at 1 / 2 ** (i + 1) of the frame; flow starts at the last."""

    features: tuple[int, ...]  # channels of the encoder, from 1/2 down
    decoders: tuple[int, ...]  # channels of the flow decoders, from 1/4 down; none: alignment alone finds the flow
    blocks: tuple[int, ...]  # residual blocks of each decoder
    hidden: tuple[int, ...]  # channels of the state that each decoder but the finest hands on
    radius: tuple[int, ...]  # reach of each cost volume, px of its scale
    align: tuple[tuple[int, int, int], ...]  # per level, from 1/2 down: linearisations, sweeps of each, window in px
    edges: bool = False  # alignment looks at gradients beside brightness
    doubts: bool = False  # pixels whose frames disagree count for less in alignment
    medians: int = 0  # 3 x 3 medians of the flow after each alignment
    bilateral: bool = False  # a bilateral filter of the finest flow after its alignment
    propagate: tuple[int, ...] = ()  # levels at which pixels try the flows of others, 0 is that of 1/2
    detail: int = 0  # channels of the features that refinement sees
    refine: int = 0  # channels of refinement; 0: there is none, and R is zero
    blend: tuple[
        int, ...
    ] = ()  # channels of the learned blend at 1/2 and at 1/4, convolutions at 1/4; none: there is none
    sampling: str = "bicubic"  # how the frames are sampled at the end

    def __post_init__(self) -> None:
        decoded = {len(self.decoders), len(self.blocks), len(self.hidden) + 1, len(self.radius)}
        levels = {len(self.features) - 1, len(self.align) - 1, *decoded}
        aligned_only = not (self.features or self.decoders or self.blocks or self.hidden or self.radius or self.refine)
        if len(self.align) < 2 or (len(levels) != 1 and not aligned_only):
            raise ValueError(f"sizes of a network disagree on its number of levels: {self}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Sizes:
        """The inverse of `to_dict`, for sizes that were stored as JSON beside weights."""
        return cls(**{k: _tuples(v) for k, v in values.items()})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


_ALIGNED = Sizes(
    features=(),
    decoders=(),
    blocks=(),
    hidden=(),
    radius=(),
    align=((10, 4, 1), (3, 6, 2), (8, 6, 2), (10, 6, 2), (6, 6, 2)),
    edges=True,
    doubts=True,
    medians=2,
    bilateral=True,
    propagate=(0, 1, 2),
)
PRESETS: dict[str, Sizes] = {
    "fast": replace(_ALIGNED, blend=(24, 0)),
    "base": replace(_ALIGNED, blend=(96, 3)),
    "deep": Sizes(
        features=(24, 48, 80, 112, 128),
        decoders=(80, 112, 160, 192),
        blocks=(4, 4, 4, 4),
        hidden=(32, 48, 48),
        radius=(2, 3, 4, 4),
        align=((4, 10, 1), (3, 8, 1), (2, 8, 1), (2, 8, 1), (2, 8, 1)),
        detail=16,
        refine=48,
    ),
}


class IFNet(nn.Module):
    """Estimates intermediate flows directly, coarse to fine (after RIFE, arXiv 2011.06294), helped by cost volumes.

    Every level ends in an alignment. Without decoders the flow starts at rest and alignment alone finds it.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        f = sizes.features
        h = (0, *sizes.hidden)
        self.encoder = nn.ModuleList([conv(3, f[0], stride=2)] if f else [])
        self.encoder.extend(
            nn.Sequential(conv(f[i], f[i + 1], stride=2), conv(f[i + 1], f[i + 1])) for i in range(len(f) - 1)
        )
        decoders: list[nn.Module] = []
        for i in reversed(range(len(sizes.decoders))):
            here = (f[i + 1], sizes.decoders[i], sizes.blocks[i])
            if decoders:
                decoders.append(FinerLevel(*here, (h[i + 1], h[i]), sizes.radius[i]))
            else:
                decoders.append(CoarsestLevel(*here, h[i], sizes.radius[i]))
        self.coarsest = decoders[0] if decoders else None
        self.finer = nn.ModuleList(decoders[1:])
        self.alignments = nn.ModuleList(
            Alignment(
                *how,
                edges=sizes.edges,
                doubts=sizes.doubts,
                medians=sizes.medians,
                bilateral=sizes.bilateral and level == 0,
            )
            for level, how in enumerate(sizes.align)
        )
        self.refinement = Refinement(sizes.detail, sizes.refine) if sizes.refine else None
        self.blending = Blend(*sizes.blend) if sizes.blend else None
        side = 2 ** len(sizes.align)
        self.limits = Limits(
            multiple_of=side,
            min_size=side,
            any_t=True,
            sampling=sizes.sampling,
            halfway=not decoders,
            colour=bool(sizes.features),
            blends=bool(sizes.blend),
        )
        self.apply(_initialise)
        for module in self.modules():
            if isinstance(getattr(module, "head", None), nn.Conv2d) and not module.head.weight.is_meta:  # type: ignore[union-attr]
                nn.init.normal_(module.head.weight, std=2e-3)  # type: ignore[union-attr, arg-type]

    def encode(self, I: Tensor) -> Features:
        """Features of N frames (N, 3, H, W): brightness from 1/2 down, scales from 1/4 down, and detail to refine."""
        brightness = [_halved_brightness(I.float())]
        for _ in self.alignments[1:]:
            brightness.append(_halved_brightness(brightness[-1]))
        I = I.contiguous(memory_format=torch.channels_last) if self.encoder else I
        x, scales = I, []
        for level in self.encoder:
            x = level(x)
            scales.append(x)
        return (*brightness, *scales[1:], *([] if self.refinement is None else [self.refinement.enter(I)]))

    def estimates(self, f0: Features, f1: Features, t: Tensor) -> list[Estimate]:
        """Flow, mask logit and state of N pairs at times t (N,), from the coarsest scale to 1/4."""
        levels = len(self.alignments) - 1
        out: list[Estimate] = []
        for k in range(levels, 0, -1):
            out.append(self._aligned(k, f0, f1, t, self._estimate(k, f0, f1, t, out[-1] if out else None)))
        return out

    def _estimate(self, level: int, f0: Features, f1: Features, t: Tensor, coarse: Estimate | None) -> Estimate:
        if self.coarsest is None:
            return coarse.enlarged(2) if coarse else Estimate.alone(torch.zeros_like(f0[level]).repeat(1, 4, 1, 1))
        levels = len(self.alignments) - 1
        seen = (f0[levels + level], f1[levels + level], t)
        e: Estimate = self.coarsest(*seen) if coarse is None else self.finer[levels - 1 - level](*seen, coarse)
        return e

    def _aligned(self, level: int, f0: Features, f1: Features, t: Tensor, e: Estimate) -> Estimate:
        """`e` with its flow aligned; `e` itself is not to be used any more."""
        y0, y1, flow = f0[level], f1[level], e.flow.float()
        guide = None if self.coarsest is None else e.guide.float()
        tried = level in self.sizes.propagate
        with torch.autocast(flow.device.type, enabled=False):  # a difference of two flows needs float32
            if tried:
                flow = propagated(y0, y1, flow, reach=FAR, t=t, in_place=True)
            flow = self.alignments[level](y0, y1, t, flow, guide, in_place=True)
            if tried:
                flow = propagated(y0, y1, flow, reach=NEAR, in_place=True)
        return replace(e, flow=flow)

    def halfway(self, f0: Features, f1: Features) -> Tensor:
        """Both flows of N pairs at t = 1/2 and 1/4 of the size, (N, 4, H/4, W/4)."""
        middle = torch.full((f0[0].shape[0],), 0.5, device=f0[0].device)
        return self.estimates(f0, f1, middle)[-1].flow

    def likeliest(self, f0: Features, f1: Features, halfway: Tensor, others: Sequence[Tensor]) -> Tensor:
        """The one of `halfway` and `others`, each (N, 4, H/4, W/4), that makes the frames agree best around a pixel."""
        return likeliest(f0[1], f1[1], halfway, others)

    def synthesise(self, f0: Features, f1: Features, t: Tensor, halfway: Tensor | None = None) -> Synthesis:
        """Flows, mask and residual of N pairs at times t (N,) in (0, 1); `halfway` saves the levels up to 1/4."""
        if halfway is None:
            return self.finish(f0, f1, t, self.estimates(f0, f1, t)[-1])
        return self.finish(f0, f1, t, Estimate.alone(retimed(halfway, t)))

    def finish(self, f0: Features, f1: Features, t: Tensor, quarter: Estimate) -> Synthesis:
        """The full-size result from the estimate at 1/4 (N, ..., H/4, W/4)."""
        half = self._aligned(0, f0, f1, t, quarter.enlarged(2))
        flow, R = half.flow * 2, None
        if self.refinement is not None:
            logit, R = self.refinement(f0[-1], f1[-1], t, half.flow, half.logit)
            M, R = torch.sigmoid(logit.float()), R.float()
        elif self.coarsest is not None and self.blending is None:
            M = torch.sigmoid(resize(half.logit.float(), 2))
        else:
            M = (1 - t.float()).view(-1, 1, 1, 1)
        return Synthesis(flow[:, :2], flow[:, 2:], M, R, pitch=2)

    def blend(self, x: Tensor) -> Tensor:
        """(N, SEEN, h, w) to (N, 4 * SHARES, h, w): see `Blend`."""
        if self.blending is None:
            raise RuntimeError("this network has no learned blend")
        shares: Tensor = self.blending(x)
        return shares

    def forward(self, I0: Tensor, I1: Tensor, t: Tensor) -> Tensor:
        """I_t (N, 3, H, W) of N pairs: encode, synthesise, compose."""
        return compose(I0, I1, self.synthesise(self.encode(I0), self.encode(I1), t), self.limits.sampling)


def retimed(halfway: Tensor, t: Tensor) -> Tensor:
    """The flows (N, 4, H, W) of uniform motion at times t (N,), from those at t = 1/2.

    What is at x at time t was at x + (1/2 - t) * v in the middle, v being its own velocity: found in two steps.
    """
    late = t.view(-1, 1, 1, 1)
    v = middle = halfway[:, 2:] - halfway[:, :2]
    if bool((t != 0.5).any()):
        for _ in range(2):
            v = warp(middle, (0.5 - late) * v)
    return torch.cat((-late * v, (1 - late) * v), 1)


def compose(I0: Tensor, I1: Tensor, s: Synthesis, sampling: str = "bilinear") -> Tensor:
    """I_t = M * warp(I0, F_t0) + (1 - M) * warp(I1, F_t1) + R, (N, 3, H, W); not clamped."""
    s = s.enlarged()
    I_t = torch.lerp(warp(I1, s.F_t1, sampling), warp(I0, s.F_t0, sampling), s.M)
    return I_t if s.R is None else I_t + s.R


def _halved_brightness(I: Tensor) -> Tensor:
    """The mean of all colours of `I` (N, C, H, W) at half the size."""
    if kernels.usable(I):
        return kernels.halve(I)
    return halved(I.mean(1, keepdim=True) if I.shape[1] > 1 else I)


def placed(module: Module, device: torch.device | str) -> Module:
    """`module` on `device` with channels last in memory, which convolutions want on every kind of device."""
    return module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def lowered(module: Module, dtype: torch.dtype) -> Module:
    """`module` with the weights of its convolutions in `dtype`, for inference under autocast of that dtype.

    Autocast would convert them at every call. Alignment keeps float32, which differences of flows need.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            part.to(dtype)
    return module


def _tuples(value: Any) -> Any:
    """JSON's lists as tuples, however deep."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
        nn.init.kaiming_normal_(module.weight, a=0.1)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
