"""Training the learned blend on what the engine makes: crops of its warped frames, and the true frames."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from interp_cli.errors import InputError
from interp_cli.model.blend import PITCH, mask_and_residual, seen
from interp_cli.model.seam import Network
from interp_cli.train.examples import Examples, examples_of
from interp_cli.train.losses import laplacian, relative, root_mean_square, structure
from interp_cli.train.recipe import Recipe
from interp_cli.train.shots import Shot

LAPLACIAN, STRUCTURE = 0.3, 0.3  # weights of what is minimised beside the root mean square
_ALONE = 0.1  # share of crops whose frames beyond are taken for unknown
_MOST = 8  # frames between two kept ones that are taken of one run, at gaps over 2
_EVEN = 0.5  # how often a crop without differences is drawn, where one that differs by 8 code values is at 8.5


@dataclass(frozen=True, slots=True)
class Crops:
    """N crops of made frames, luma, full scale 1."""

    warped: Tensor  # (N, 2, S, S)
    beyond: Tensor  # (N, 2, S/2, S/2)
    true: Tensor  # (N, 1, S, S)
    t: Tensor  # (N,)


class Pool:
    """The examples of all shots. What is drawn depends on them and on `begin` alone."""

    def __init__(self, shots: list[Shot], network: Network, recipe: Recipe, device: torch.device) -> None:
        self.random, self._device = random.Random(), device
        self.groups: list[list[Examples]] = []
        self._gaps: list[float] = []
        for gap, often in recipe.gaps:
            firsts = (0, 1) if gap == 2 else (0,)
            with torch.inference_mode():
                found = [
                    made.on(device)
                    for shot in shots
                    for first in firsts
                    for made in examples_of(shot, network, gap=gap, first=first, most=0 if gap == 2 else _MOST)
                    if min(made.true.shape[-2:]) >= max(side for side, _ in recipe.crops)
                ]
            if found:
                self.groups.append(found)
                self._gaps.append(often)
        if not self.groups:
            raise InputError("no shot gives frames of the size of the crops: give smaller --crops or other videos")
        self._places = [[(n, k) for n, made in enumerate(g) for k in range(len(made.t))] for g in self.groups]
        self._often = [[_EVEN + min(8.0, x) for made in g for x in _differences(made)] for g in self.groups]

    def begin(self, seed: str) -> None:
        """Draw from here on what `seed` says."""
        self.random.seed(seed)

    def crops(self, count: int, side: int) -> Crops:
        """`count` crops of `side` px: mirrored, turned, backwards, lighter or darker."""
        drawn = [self._draw(side) for _ in range(count)]
        warped, beyond, true = (torch.stack(same).float() for same in zip(*(parts for parts, _ in drawn), strict=True))
        gain, lift, known = (self._numbers(count, *span) for span in ((0.65, 1.15), (0, 0.1), (-_ALONE, 1 - _ALONE)))
        t = torch.tensor([t for _, t in drawn], device=self._device)
        warped, true = warped / 255 * gain + lift, true / 255 * gain + lift
        return Crops(warped, beyond * gain * (known > 0), true, t)

    def _numbers(self, count: int, low: float, high: float) -> Tensor:
        return torch.tensor([self.random.uniform(low, high) for _ in range(count)], device=self._device).view(
            -1, 1, 1, 1
        )

    def _draw(self, side: int) -> tuple[list[Tensor], float]:
        (group,) = self.random.choices(range(len(self.groups)), self._gaps)
        ((n, k),) = self.random.choices(self._places[group], self._often[group])
        made = self.groups[group][n]
        y, x = (self.random.randint(0, (length - side) // PITCH) * PITCH for length in made.true.shape[-2:])
        whole, half = (
            (slice(y, y + side), slice(x, x + side)),
            (slice(y // 2, (y + side) // 2), slice(x // 2, (x + side) // 2)),
        )
        parts = [made.warped[k][:, *whole], made.beyond[k][:, *half], made.true[k][:, *whole]]
        t = float(made.t[k])
        if self.random.random() < 0.5:
            parts, t = [parts[0].flip(0), parts[1].flip(0), parts[2]], 1 - t
        for turn in (_mirrored, _turned_over, _transposed):
            if self.random.random() < 0.5:
                parts = [turn(part) for part in parts]
        return parts, t


def _mirrored(x: Tensor) -> Tensor:
    return x.flip(2)


def _turned_over(x: Tensor) -> Tensor:
    return x.flip(1)


def _transposed(x: Tensor) -> Tensor:
    return x.transpose(1, 2)


def _differences(made: Examples) -> list[float]:
    """Root mean square of the difference of the two warped frames, code values."""
    apart = made.warped[:, 0].float() - made.warped[:, 1].float()
    rms: list[float] = apart.square().mean((1, 2)).sqrt().tolist()
    return rms


def blended(blend: Callable[[Tensor], Tensor], warped: Tensor, beyond: Tensor, t: Tensor) -> Tensor:
    """I_t (N, 1, H, W) by the shares that `blend` finds."""
    M, R = mask_and_residual(blend(seen(warped, beyond, t)), warped, (1 - t).view(-1, 1, 1, 1))
    return M * warped[:, :1] + (1 - M) * warped[:, 1:] + R


def blend_losses(blend: Callable[[Tensor], Tensor], b: Crops, *, bf16: bool) -> dict[str, Tensor]:
    """The terms of the loss, weighted; their sum is minimised."""
    with torch.autocast(b.warped.device.type, torch.bfloat16, enabled=bf16):
        shares = blend(seen(b.warped, b.beyond, b.t))
    made = blended(lambda _: shares, b.warped, b.beyond, b.t)
    return {
        "rms": relative(root_mean_square(made, b.true), floor=0.002),
        "laplacian": LAPLACIAN * relative(laplacian(made, b.true, levels=4), floor=0.002),
        "structure": STRUCTURE * relative(1 - structure(made, b.true), floor=0.005),
    }


@torch.no_grad()
def blend_score(blend: Callable[[Tensor], Tensor], pool: Pool) -> float:
    """Mean PSNR (dB, luma) of the frames of every example, those of one example counting as one."""
    scores = []
    for made in (made for group in pool.groups for made in group):
        here = []
        for k in range(len(made.t)):
            some = slice(k, k + 1)
            out = blended(blend, made.warped[some].float() / 255, made.beyond[some].float(), made.t[some])
            error = F.mse_loss(out.clamp(0, 1), made.true[some].float() / 255)
            here.append(-10 * torch.log10(error + 1e-10))
        scores.append(torch.stack(here).mean())
    return float(torch.stack(scores).mean())
