"""Networks that need no training, for tests: what they answer is known beforehand."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from interp_cli.model.seam import Features, Limits, Synthesis

NO_MEMORY = "CUDA out of memory. Tried to allocate 2.00 GiB"


class FakeNetwork:
    """Says that everything moves by `motion` (x, y; px of its input, over the whole interval) and counts its calls.

    `encoded` holds how many frames each call of encode saw, `asked` the times of each call of synthesise, `seen` the
    mean of the first channel of every encoded frame, `sizes` the pixels of one frame of every call. `residual`
    (R, G, B) is constant. It runs out of memory above `memory` frames in one call of synthesise, above `pixels` (of all
    frames together) in any call, and where the next of `fails` is true, which is asked at every call.
    """

    def __init__(
        self,
        motion: tuple[float, float] = (0.0, 0.0),
        *,
        limits: Limits | None = None,
        residual: tuple[float, float, float] | None = None,
        mask: float | None = None,
        memory: int = 1_000,
        pixels: int = 1_000_000_000,
        fails: Iterable[bool] = (),
    ) -> None:
        self.limits = limits or Limits(multiple_of=16, min_size=32, any_t=True)
        self.motion, self.residual, self.mask, self.memory = motion, residual, mask, memory
        self.pixels, self.fails = pixels, iter(fails)
        self.sizes: list[int] = []
        self.encoded: list[int] = []
        self.asked: list[list[float]] = []
        self.seen: list[float] = []

    def encode(self, I: Tensor) -> Features:
        height, width = I.shape[-2:]
        m = self.limits.multiple_of
        if height % m or width % m or min(height, width) < self.limits.min_size:
            raise AssertionError(f"the network was given {width} x {height}")
        self._take(I)
        self.encoded.append(I.shape[0])
        self.seen += I[:, 0].mean((1, 2)).tolist()
        return (F.avg_pool2d(I, 2), I)

    def synthesise(self, f0: Features, f1: Features, t: Tensor, halfway: Tensor | None = None) -> Synthesis:
        n, _, h, w = f0[1].shape
        self._take(f0[1])
        if n > self.memory:
            raise RuntimeError(NO_MEMORY)
        if f1[1].shape[0] != n or t.shape != (n,):
            raise AssertionError("a batch of unequal parts")
        self.asked.append(t.tolist())
        at = t.view(n, 1, 1, 1)
        motion = torch.tensor(self.motion, device=t.device).view(1, 2, 1, 1).expand(n, 2, h, w)
        M = (1 - at).expand(n, 1, h, w) if self.mask is None else torch.full((n, 1, h, w), self.mask)
        R = None if self.residual is None else torch.tensor(self.residual).view(1, 3, 1, 1).expand(n, 3, h, w)
        return Synthesis(-at * motion, (1 - at) * motion, M, R)

    def _take(self, I: Tensor) -> None:
        if I.shape[0] * I.shape[2] * I.shape[3] > self.pixels or next(self.fails, False):
            raise RuntimeError(NO_MEMORY)
        self.sizes.append(I.shape[2] * I.shape[3])


class LinearBlend(FakeNetwork):
    """No motion: a cross-fade."""


class Lively(FakeNetwork):
    """Answers that differ from pixel to pixel and depend on both frames, on t and on the place in the frame."""

    sloped = 1.0  # how much the place counts

    def synthesise(self, f0: Features, f1: Features, t: Tensor, halfway: Tensor | None = None) -> Synthesis:
        super().synthesise(f0, f1, t)
        at = t.view(-1, 1, 1, 1)
        a, b = f0[1].float(), f1[1].float()
        x = self.sloped * torch.linspace(0, 1, a.shape[-1], device=a.device).view(1, 1, 1, -1)
        flow = torch.cat((a[:, :1] - b[:, 1:2] + x, b[:, :1] * 2 - a[:, 2:]), 1) * 3
        M = torch.sigmoid(4 * (a[:, :1] - b[:, :1]) + 1 - 2 * at)
        return Synthesis(-at * flow, (1 - at) * flow, M, 0.05 * (a - b) * at)


class Placeless(Lively):
    """Answers that differ from pixel to pixel and depend on both frames and on t, but not on the place in the frame."""

    sloped = 0.0
