"""Real triplets for training: crops of shots, chosen by motion, augmented on the device."""

import random
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from interp_cli.errors import InputError
from interp_cli.train.augment import photometry, resized, scale_of, spoilt, turned
from interp_cli.train.shots import COARSE, Shot

MOVING = 1.5  # mean absolute difference of I0 and I1, code values: from here on a crop counts as moving
TRIES = 6


@dataclass(frozen=True, slots=True)
class Triplets:
    """N real triplets, RGB in [0, 1]."""

    I0: Tensor  # (N, 3, S, S)
    I1: Tensor
    I_t: Tensor
    t: Tensor  # (N,)


class Sampler:
    """Draws crops from shots. `still_share` of them hardly move: still areas must come back untouched.

    What is drawn depends on the shots and on `begin` alone, so a run can go on anywhere.
    """

    def __init__(
        self, shots: list[Shot], *, gaps: tuple[tuple[int, float], ...], device: torch.device, still_share: float = 0.2
    ) -> None:
        self.shots, self.device, self.still_share = shots, device, still_share
        self.random, self.generator = random.Random(), torch.Generator(device)
        self._starts = {  # of a shot's number and a gap: first frames of triplets without cuts and repeats
            (i, gap): [n for n in range(len(shot.steps) - gap + 1) if shot.usable(n, n + gap)]
            for i, shot in enumerate(shots)
            for gap, _ in gaps
        }
        self._gaps = [[(gap, often) for gap, often in gaps if self._starts[i, gap]] for i in range(len(shots))]
        sides = [min(shot.frames.shape[1:3]) for shot in shots]
        self._weights = [len(s.steps) ** 0.5 if found else 0.0 for s, found in zip(shots, self._gaps, strict=True)]
        if not any(self._weights):
            least = min(gap for gap, _ in gaps)
            raise InputError(f"no shot has {least + 1} frames in a row without repeats: give other videos or --gaps")
        self._sides = sides  # px
        self._largest = max(side for side, weight in zip(sides, self._weights, strict=True) if weight)

    def check(self, crops: tuple[tuple[int, int], ...]) -> None:
        """Raises InputError unless crops of these sides (px; batches do not matter) can be drawn."""
        side = max(side for side, _ in crops)
        if side > self._largest:
            raise InputError(
                f"crops of {side} px do not fit the shots, whose short sides are at most {self._largest} px: "
                "give smaller ones with --crops, or larger frames with --short-side"
            )

    def begin(self, seed: str) -> None:
        """Draw from here on what `seed` says."""
        self.random.seed(seed)
        self.generator.manual_seed(self.random.getrandbits(63))

    def triplets(self, count: int, side: int) -> Triplets:
        """`count` augmented triplets of `side` x `side` pixels."""
        drawn = [self._draw(side) for _ in range(count)]
        frames = torch.stack([crop for crop, _ in drawn])
        t = torch.tensor([t for _, t in drawn], device=self.device)
        frames = photometry(frames.permute(0, 1, 4, 2, 3).float() / 255, self.generator)
        I0, I_t, I1 = frames.unbind(1)
        I0, I1 = spoilt(torch.cat((I0, I1)), self.random, self.generator).chunk(2)
        return Triplets(I0, I1, I_t, t)

    def textures(self, count: int, layers: int, side: int) -> Tensor:
        """(count, layers, 3, side, side) crops of single frames, RGB in [0, 1]."""
        crops = []
        for _ in range(count * layers):
            shot = self.shots[self._shot(side)]
            y, x = self._corner(shot, side)
            taken = shot.frames[self.random.randrange(len(shot.frames)), y : y + side, x : x + side]
            crops.append(taken.to(self.device))
        stacked = torch.stack(crops).permute(0, 3, 1, 2).float() / 255
        return stacked.view(count, layers, 3, side, side)

    def _shot(self, side: int) -> int:
        self.check(((side, 1),))
        while True:
            (i,) = self.random.choices(range(len(self.shots)), self._weights)
            if self._sides[i] >= side:
                return i

    def _corner(self, shot: Shot, side: int) -> tuple[int, int]:
        height, width = shot.frames.shape[1:3]
        return self.random.randint(0, height - side), self.random.randint(0, width - side)

    def _draw(self, side: int) -> tuple[Tensor, float]:
        """One crop (3, side, side, 3) of I0, I_t, I1, and t: moving or still as wanted, if a few tries find one."""
        still = self.random.random() < self.still_share
        scale = scale_of(self.random)
        for _ in range(TRIES):
            i = self._shot(side)
            shot, (gaps, often) = self.shots[i], zip(*self._gaps[i], strict=True)
            taken = min(round(side * scale), self._sides[i])
            (gap,) = self.random.choices(gaps, often)
            first = self.random.choice(self._starts[i, gap])
            y, x = self._corner(shot, taken)
            if (_moved(shot, first, gap, (y, x, taken)) < MOVING) == still:
                break
        middle = self.random.randint(first + 1, first + gap - 1)
        chosen = [shot.frames[n, y : y + taken, x : x + taken] for n in (first, middle, first + gap)]
        crop = resized(torch.stack(chosen).to(self.device), side)
        return turned(crop, (middle - first) / gap, self.random)


def _moved(shot: Shot, first: int, gap: int, square: tuple[int, int, int]) -> float:
    """Mean absolute difference of the two ends within `square` (y, x, side; px), code values."""
    y, x, side = (-(-value // COARSE) for value in square)
    a, b = (shot.coarse[n, y : y + side, x : x + side] for n in (first, first + gap))
    return float(np.abs(a - b).mean())
