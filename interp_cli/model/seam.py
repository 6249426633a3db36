"""What the engine knows of a network: what may be asked of it, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from interp_cli.model.flow import resize

MOTION_PITCH = 4  # px between the samples of a motion

Features = tuple[Tensor, ...]
"""What `encode` keeps of a frame: tensors whose first dimension is the frame, opaque to the engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a network can take, as data."""

    multiple_of: int  # px: height and width must be multiples of this
    min_size: int  # px: smallest height and width
    any_t: bool  # False: only t = 1/2
    sampling: str = "bilinear"  # how compose samples luma: "bilinear" or "bicubic"
    blends: bool = False  # `blend` is to be asked for every composed frame
    colour: bool = True  # False: it only looks at the mean of R, G and B, and takes that as (N, 1, H, W) too
    halfway: bool = False  # the flows at t = 1/2 may be asked for once, and serve all times of a pair


@dataclass(frozen=True, slots=True)
class Synthesis:
    """Everything needed to compose I_t from I0 and I1, at the size of the network's input."""

    F_t0: (
        Tensor  # (N, 2, H / pitch, W / pitch) px, channel 0 is x: where in I0 a pixel of I_t comes from, relative to it
    )
    F_t1: Tensor  # (N, 2, H / pitch, W / pitch) px
    M: Tensor  # (N, 1, H, W) in [0, 1], weight of the frame warped from time 0; (N, 1, 1, 1) if it is the same all over
    R: Tensor | None  # (N, 3, H, W) RGB residual, full scale = 1
    pitch: int = 1  # px between samples of the flows: 1 or 2

    @property
    def flow(self) -> Tensor:
        """Both flows, (N, 4, ...): those that lie one after the other in memory are not copied."""
        a, b = self.F_t0, self.F_t1
        alike = a.shape == b.shape and a.stride() == b.stride() and not a.requires_grad
        apart = b.storage_offset() - a.storage_offset()
        if alike and apart == 2 * a.stride(1) and b.data_ptr() - a.data_ptr() == apart * a.element_size():
            return a.as_strided((a.shape[0], 4, *a.shape[2:]), a.stride(), a.storage_offset())
        return torch.cat((a, b), 1)

    def enlarged(self) -> Synthesis:
        """The same with a sample of every map for every pixel."""
        F_t0, F_t1 = (self.F_t0, self.F_t1) if self.pitch == 1 else (resize(f, 2) for f in (self.F_t0, self.F_t1))
        return Synthesis(F_t0, F_t1, self.M.expand(-1, -1, *F_t0.shape[-2:]), self.R)


class Network(Protocol):
    """The seam between engine and network. Frames are RGB in [0, 1], (N, 3, H, W): but see `Limits.colour`."""

    @property
    def limits(self) -> Limits:
        """What sizes and times the network takes."""
        ...

    def encode(self, I: Tensor) -> Features:
        """Features of N frames."""
        ...

    def halfway(self, f0: Features, f1: Features) -> Tensor:
        """Both flows of N pairs at t = 1/2, (N, 4, h, w) on a grid of `MOTION_PITCH` px, in steps of that grid.

        Only asked if the limits say so.
        """
        ...

    def likeliest(self, f0: Features, f1: Features, halfway: Tensor, others: Sequence[Tensor]) -> Tensor:
        """What `halfway` says, or what others say that are like it, pixel by pixel.

        Only asked if the limits say so.
        """
        ...

    def synthesise(self, f0: Features, f1: Features, t: Tensor, halfway: Tensor | None = None) -> Synthesis:
        """Flows, mask and residual of N pairs at times t (N,) in (0, 1); `halfway` if it was asked for before."""
        ...

    def blend(self, x: Tensor) -> Tensor:
        """Shares of mask and detail for what is seen of warped frames: see `interp_cli.model.blend.Blend`.

        Only asked if the limits say so.
        """
        ...
