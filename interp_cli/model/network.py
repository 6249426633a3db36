"""The interpolation network as the engine sees it: encode a frame once, synthesise any time between two frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

Features = tuple[Tensor, ...]
"""What `encode` keeps of a frame: tensors whose first dimension is the frame, coarse or fine, opaque to the engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a network can take, as data."""

    multiple_of: int  # px: height and width must be multiples of this
    min_size: int  # px: smallest height and width
    any_t: bool  # False: only t = 1/2


@dataclass(frozen=True, slots=True)
class Synthesis:
    """Everything needed to compose I_t from I0 and I1, at the size of the network's input."""

    F_t0: Tensor  # (N, 2, H, W) px, channel 0 is x: where in I0 a pixel of I_t comes from, relative to it
    F_t1: Tensor  # (N, 2, H, W) px
    M: Tensor  # (N, 1, H, W) in [0, 1], weight of the frame warped from time 0
    R: Tensor | None  # (N, 3, H, W) RGB residual, full scale = 1


class Network(Protocol):
    """The seam between engine and network. Frames are RGB in [0, 1], (N, 3, H, W)."""

    limits: Limits

    def encode(self, I: Tensor) -> Features:  # noqa: E741 - the paper's letter
        """Features of N frames."""
        ...

    def synthesise(self, f0: Features, f1: Features, t: Tensor) -> Synthesis:
        """Flows, mask and residual of N pairs at times t (N,) in (0, 1)."""
        ...
