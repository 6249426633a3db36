"""Triplets in other clothes: turned, mirrored, backwards, recoloured, rescaled; and what spoils the inputs alone."""

from __future__ import annotations

import math
import random

import torch
import torch.nn.functional as F
from torch import Tensor

_BLOCK = 8  # px, of the cosine transform
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def turned(crop: Tensor, t: float, draw: random.Random) -> tuple[Tensor, float]:
    """One of eight ways round, channels in another order or not, time forward or backward; (3, S, S, 3) and its t."""
    crop = torch.rot90(crop, draw.randrange(4), (1, 2))
    if draw.random() < 0.5:
        crop = crop.flip(2)
    if draw.random() < 0.3:
        crop = torch.stack([crop[..., c] for c in draw.sample(range(3), 3)], -1)
    return (crop.flip(0), 1 - t) if draw.random() < 0.5 else (crop, t)


def scale_of(draw: random.Random) -> float:
    """How many source pixels make one, along each axis: a quarter of crops are shrunk or enlarged, up to twofold."""
    return 2 ** draw.uniform(-1, 1) if draw.random() < 0.25 else 1.0


def resized(crop: Tensor, side: int) -> Tensor:
    """(K, S, S, 3) uint8 as (K, side, side, 3)."""
    if crop.shape[1] == side:
        return crop
    small = F.interpolate(crop.permute(0, 3, 1, 2).float(), size=(side, side), mode="bilinear", antialias=True)
    return small.round().clamp(0, 255).byte().permute(0, 2, 3, 1)


def photometry(frames: Tensor, generator: torch.Generator) -> Tensor:
    """One gain and gamma per triplet (N, 3, 3, S, S), in [0, 1]."""
    chance = torch.rand((2, len(frames), 1, 1, 1, 1), generator=generator, device=frames.device)
    gain, gamma = 0.8 + 0.35 * chance[0], 0.8 + 0.45 * chance[1]
    return (frames * gain).clamp(0, 1) ** gamma


def spoilt(I: Tensor, draw: random.Random, generator: torch.Generator) -> Tensor:
    """Inputs (N, 3, S, S) as cameras and codecs leave them: now and then with noise, or with what compression does."""
    chance = draw.random()
    if chance < 0.1:
        sigma = draw.uniform(0.5, 3) / 255
        return I + sigma * torch.randn(I.shape, generator=generator, device=I.device)
    return compressed(I, 2 ** draw.uniform(0, 4)) if chance < 0.25 else I


def compressed(I: Tensor, step: float) -> Tensor:
    """(N, 3, H, W) after its blocks' cosine coefficients were rounded to steps of `step` code values and more.

    Steps rise with frequency and are twice as large for colour, as in every codec of pictures.
    """
    height, width = I.shape[-2:]
    padded = F.pad(I, (0, -width % _BLOCK, 0, -height % _BLOCK), mode="replicate")
    to_ycc = I.new_tensor(_TO_YCC)
    blocks = torch.einsum("dc,nchw->ndhw", to_ycc, padded).unfold(2, _BLOCK, _BLOCK).unfold(3, _BLOCK, _BLOCK)
    wave = _cosines(I)
    line = torch.arange(_BLOCK, device=I.device)
    steps = (1 + (line[:, None] + line[None, :]) / 2) * (step / 255)
    steps = steps * I.new_tensor((1.0, 2.0, 2.0)).view(3, 1, 1, 1, 1)
    rounded = (wave @ blocks @ wave.T / steps).round() * steps
    whole = (wave.T @ rounded @ wave).permute(0, 1, 2, 4, 3, 5).reshape(padded.shape)
    return torch.einsum("dc,nchw->ndhw", torch.linalg.inv(to_ycc), whole)[..., :height, :width]


def _cosines(like: Tensor) -> Tensor:
    """(8, 8): the orthonormal cosine transform, a row per frequency."""
    n = torch.arange(_BLOCK, device=like.device, dtype=like.dtype)
    wave = torch.cos(math.pi / _BLOCK * (n[None, :] + 0.5) * n[:, None]) * math.sqrt(2 / _BLOCK)
    wave[0] = math.sqrt(1 / _BLOCK)
    return wave
