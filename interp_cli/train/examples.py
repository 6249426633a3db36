"""What the learned blend is trained on: the warped frames that the engine itself makes, and the true frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from interp_cli.engine.interpolate import Interpolator
from interp_cli.media.formats import working_format
from interp_cli.media.types import Color, Planes
from interp_cli.model.blend import CLOSER, PITCH, SEEN, SHARES
from interp_cli.model.seam import Features, Network, Synthesis
from interp_cli.options import Dedup, EngineOptions
from interp_cli.timeline import Target
from interp_cli.train.shots import Shot

LONGEST = 24  # kept frames in one run of the engine


@dataclass(frozen=True, slots=True)
class Examples:
    """K made frames of one shot at one gap, luma as code values of 8 bits; H and W are multiples of 4."""

    warped: Tensor  # (K, 2, H, W) float16: from the left and from the right
    beyond: Tensor  # (K, 2, H/2, W/2) float16: as the network sees it
    true: Tensor  # (K, 1, H, W) uint8
    t: Tensor  # (K,) float32

    def on(self, device: torch.device) -> Examples:
        """The same on `device`."""
        return Examples(*(x.to(device) for x in (self.warped, self.beyond, self.true, self.t)))


class _Listener:
    """The network with a blend that changes nothing and writes down what it is shown."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.limits = replace(network.limits, blends=True)
        self.heard: list[tuple[Tensor, Tensor, Tensor]] = []

    def encode(self, I: Tensor) -> Features:
        return self._network.encode(I)

    def halfway(self, f0: Features, f1: Features) -> Tensor:
        return self._network.halfway(f0, f1)

    def likeliest(self, f0: Features, f1: Features, halfway: Tensor, others: Sequence[Tensor]) -> Tensor:
        return self._network.likeliest(f0, f1, halfway, others)

    def synthesise(self, f0: Features, f1: Features, t: Tensor, halfway: Tensor | None = None) -> Synthesis:
        return self._network.synthesise(f0, f1, t, halfway)

    def blend(self, x: Tensor) -> Tensor:
        mean, apart, far, t = torch.split(x, [PITCH**2, PITCH**2, SEEN - 2 * PITCH**2 - 1, 1], 1)
        mean, apart = F.pixel_shuffle(mean, PITCH) + 0.5, F.pixel_shuffle(apart, PITCH) / CLOSER
        warped = torch.cat((mean + apart / 2, mean - apart / 2), 1)
        beyond = F.pixel_shuffle(far, 2) / CLOSER
        self.heard.append(((warped * 255).half().cpu(), beyond.half().cpu(), t[:, 0, 0, 0].cpu()))
        return x.new_zeros((len(x), 4 * SHARES, *x.shape[-2:]))


def examples_of(shot: Shot, network: Network, *, gap: int, first: int = 0, most: int = 0) -> Iterator[Examples]:
    """Those of the frames between every `gap`-th one, from `first` on, in runs; of each run `most` at most (0: all)."""
    frames = [_planes(n, frame) for n, frame in enumerate(shot.frames.numpy()[first:])]
    kept = range(0, len(frames), gap)
    for begin in range(0, len(kept) - 1, LONGEST - 2):
        here = kept[begin : begin + LONGEST]
        if len(here) < 2 or not shot.usable(first + here[0], first + here[-1]):
            continue
        targets = [
            Target(n=n, pts=n, left=n // gap - begin, t=Fraction(n % gap, gap))
            for n in range(here[0], here[-1])
            if n % gap
        ]
        if most and len(targets) > most:
            targets = targets[:: -(-len(targets) // most)]
        yield _made([frames[n] for n in here], targets, [frames[target.n] for target in targets], network)


def _made(kept: list[Planes], targets: list[Target], true: list[Planes], network: Network) -> Examples:
    listener = _Listener(network)
    options = EngineOptions(scene_detect=False, dedup=Dedup.OFF, overlay_hold=False, batch=1)
    engine = Interpolator(listener, options=options, hold_still=False)
    for _ in engine.run(iter(kept), targets, color=Color()):
        pass
    warped, beyond, t = (torch.cat(parts) for parts in zip(*listener.heard, strict=True))
    height, width = warped.shape[-2:]
    luma = np.stack([planes.data[0][:height, :width] for planes in true])[:, None]
    return Examples(warped, beyond, torch.from_numpy(luma), t)


def _planes(n: int, rgb: NDArray[Any]) -> Planes:
    """(H, W, 3) RGB as 4:2:0, cut to multiples of 4 px, as most videos come."""
    height, width = (side // 4 * 4 for side in rgb.shape[:2])
    both = cv2.cvtColor(np.ascontiguousarray(rgb[:height, :width]), cv2.COLOR_RGB2YUV_I420)
    y, uv = both[:height], both[height:].reshape(2, height // 2, width // 2)
    return Planes(n, (y.copy(), uv[0].copy(), uv[1].copy()), working_format("yuv420p"))
