"""Real triplets for training: shots held as uint8, crops chosen by motion, augmented."""

import random
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from interp_cli.errors import InputError

GAPS = {2: 0.76, 3: 0.06, 4: 0.12, 6: 0.03, 8: 0.03}  # frames between I0 and I1, and how often
MOVING = 1.5  # mean absolute difference of I0 and I1, code values: from here on a crop counts as moving
TRIES = 6


@dataclass(frozen=True, slots=True)
class Shot:
    """Consecutive frames (T, H, W, 3), RGB uint8, with the mean absolute difference of each to its successor."""

    frames: Tensor
    steps: tuple[float, ...]  # T - 1 values, code values

    def usable(self, first: int, last: int) -> bool:
        """No cut and no repeated frame between frames `first` and `last`."""
        steps = self.steps[first:last]
        usual = sorted(self.steps)[len(self.steps) // 2]
        cut = max(steps) > max(20.0, 5 * usual)
        return not cut and (usual < 0.3 or min(steps) > 0.1 * usual)


def load_shots(folders: list[Path], *, device: torch.device) -> list[Shot]:
    """Every .npy shot (T, H, W, 3; RGB uint8) of the folders: mapped copy-on-write on a CPU, held on a GPU.

    `python -m interp_cli.train shots` makes them from clips. Raises InputError when there is none.
    """
    shots = []
    for path in sorted(p for folder in folders for p in Path(folder).glob("*.npy")):
        frames = np.load(path, mmap_mode="c")
        small = frames[:, ::8, ::8].astype(np.int16)
        steps = tuple(float(np.abs(b - a).mean()) for a, b in pairwise(small))
        shots.append(Shot(torch.from_numpy(frames).to(device), steps))
    if not shots:
        where = ", ".join(map(str, folders))
        raise InputError(
            f"no .npy shots in {where}: make them with python -m interp_cli.train shots CLIPS... --out DIR"
        )
    return shots


@dataclass(frozen=True, slots=True)
class Triplets:
    """N real triplets, RGB in [0, 1]."""

    I0: Tensor  # (N, 3, S, S)
    I1: Tensor
    I_t: Tensor
    t: Tensor  # (N,)


class Sampler:
    """Draws crops from shots. `still_share` of them hardly move: still areas must come back untouched."""

    def __init__(self, shots: list[Shot], *, seed: int, still_share: float = 0.2) -> None:
        self.shots = [s for s in shots if len(s.steps) >= 2]
        self.weights = [len(s.steps) ** 0.5 for s in self.shots]
        self.largest = max((min(s.frames.shape[1:3]) for s in self.shots), default=0)  # px
        self.still_share = still_share
        self.random = random.Random(seed)

    def triplets(self, count: int, side: int) -> Triplets:
        """`count` augmented triplets of `side` x `side` pixels."""
        drawn = [self._draw(side) for _ in range(count)]
        frames = torch.stack([crop for crop, _ in drawn])
        t = torch.tensor([t for _, t in drawn], device=frames.device)
        frames = self._photometry(frames.permute(0, 1, 4, 2, 3).float() / 255)
        noise = self.random.random() < 0.2
        I0, I_t, I1 = frames.unbind(1)
        if noise:
            sigma = self.random.uniform(0.5, 3) / 255
            I0, I1 = I0 + sigma * torch.randn_like(I0), I1 + sigma * torch.randn_like(I1)
        return Triplets(I0, I1, I_t, t)

    def textures(self, count: int, layers: int, side: int) -> Tensor:
        """(count, layers, 3, side, side) crops of single frames, RGB in [0, 1]."""
        crops = []
        for _ in range(count * layers):
            shot = self._shot(side)
            y, x = self._corner(shot, side)
            crops.append(shot.frames[self.random.randrange(len(shot.steps)), y : y + side, x : x + side])
        stacked = torch.stack(crops).permute(0, 3, 1, 2).float() / 255
        return stacked.view(count, layers, 3, side, side)

    def _shot(self, side: int) -> Shot:
        if side > self.largest:
            raise InputError(
                f"crops of {side} px do not fit the shots, whose short sides are at most {self.largest} px"
            )
        while True:
            shot = self.random.choices(self.shots, self.weights)[0]
            if min(shot.frames.shape[1:3]) >= side:
                return shot

    def _corner(self, shot: Shot, side: int) -> tuple[int, int]:
        height, width = shot.frames.shape[1:3]
        return self.random.randint(0, height - side), self.random.randint(0, width - side)

    def _draw(self, side: int) -> tuple[Tensor, float]:
        """One crop (3, side, side, 3) of I0, I_t, I1, and t."""
        still = self.random.random() < self.still_share
        scale = self.random.uniform(1.0, 1.7) if self.random.random() < 0.25 else 1.0
        crop, t = torch.empty(0), 0.5
        for _ in range(TRIES):
            shot = self._shot(side)
            taken = min(round(side * scale), *shot.frames.shape[1:3])
            gap = self.random.choices(list(GAPS), list(GAPS.values()))[0]
            if gap > len(shot.steps):
                continue
            first = self.random.randint(0, len(shot.steps) - gap)
            if not shot.usable(first, first + gap) and crop.numel():
                continue
            middle = self.random.randint(first + 1, first + gap - 1)
            y, x = self._corner(shot, taken)
            crop = shot.frames[[first, middle, first + gap], y : y + taken, x : x + taken]
            t = (middle - first) / gap
            moved = (crop[0, ::4, ::4].short() - crop[2, ::4, ::4].short()).abs().float().mean().item()
            if (moved < MOVING) == still:
                break
        if not crop.numel():
            return self._draw(side)
        if crop.shape[1] != side:
            small = F.interpolate(crop.permute(0, 3, 1, 2).float(), size=(side, side), mode="bilinear", antialias=True)
            crop = small.round().clamp(0, 255).byte().permute(0, 2, 3, 1)
        return self._turn(crop, t)

    def _turn(self, crop: Tensor, t: float) -> tuple[Tensor, float]:
        crop = torch.rot90(crop, self.random.randrange(4), (1, 2))
        if self.random.random() < 0.5:
            crop = crop.flip(2)
        if self.random.random() < 0.3:
            crop = crop[..., self.random.sample(range(3), 3)]
        return (crop.flip(0), 1 - t) if self.random.random() < 0.5 else (crop, t)

    def _photometry(self, frames: Tensor) -> Tensor:
        """One gain and gamma per triplet."""
        shape = (frames.shape[0], 1, 1, 1, 1)
        gain = torch.empty(shape, device=frames.device).uniform_(0.8, 1.15)
        gamma = torch.empty(shape, device=frames.device).uniform_(0.8, 1.25)
        return (frames * gain).clamp(0, 1) ** gamma
