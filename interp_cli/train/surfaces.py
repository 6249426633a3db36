"""What made surfaces look like: flat, patterned, or as in a crop; and their outlines: discs, thin lines, captions."""

from __future__ import annotations

import random

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_FLAT, _PATTERNED, _THIN = 0.08, 0.08, 0.2  # shares of surfaces
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:!?-"


def dressed(textures: Tensor, generator: torch.Generator) -> Tensor:
    """Textures (N, L, 3, S, S) of which some became flat, or a repeated pattern of two colours."""
    count, layers, _, side, _ = textures.shape
    shape, device = (count, layers, 1, 1, 1), textures.device

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        size = (count, layers, channels, 1, 1)
        return low + (high - low) * torch.rand(size, generator=generator, device=device)

    colours = uniform(0, 1, 3), uniform(0, 1, 3)
    kind = torch.rand(shape, generator=generator, device=device)
    angle, period = uniform(0, torch.pi), 2 ** uniform(2, 4.6)  # px: 4 to 24
    line = torch.arange(side, device=device, dtype=torch.float32)
    x, y = line.view(1, 1, 1, 1, -1), line.view(1, 1, 1, -1, 1)
    along, across = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    waves = ((2 * torch.pi / period) * along).sin(), ((2 * torch.pi / period) * across).sin()
    checked = (uniform(0, 1) < 0.5).float()
    bright = torch.tanh(2 * waves[0]) * torch.lerp(torch.ones_like(waves[1]), torch.tanh(2 * waves[1]), checked)
    pattern = torch.lerp(colours[0], colours[1], 0.5 + 0.5 * bright)
    drawn = torch.where(kind < _FLAT, colours[0].expand_as(textures), textures)
    return torch.where((kind >= _FLAT) & (kind < _FLAT + _PATTERNED), pattern, drawn)


def outlines(count: int, layers: int, side: int, generator: torch.Generator) -> Tensor:
    """(N, L, 1, S, S): opacity of each surface at time 0; the first is whole, the others noisy discs or thin lines."""
    device, above = generator.device, layers - 1
    whole = torch.ones((count, 1, 1, side, side), device=device)
    if not above:
        return whole

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand((count, above, *shape), generator=generator, device=device)

    line = torch.linspace(-1, 1, side, device=device)
    x, y = line.view(1, 1, 1, -1), line.view(1, 1, -1, 1)
    middle = uniform(-0.6, 0.6, 2, 1, 1)
    rough = uniform(-1, 1, 6, 6).flatten(0, 1)[:, None]
    noise = F.interpolate(rough, size=(side, side), mode="bicubic", align_corners=True).view(count, above, side, side)
    size = uniform(0.15, 0.7, 1, 1)
    disc = ((size + 0.35 * size * noise - torch.hypot(x - middle[:, :, 0], y - middle[:, :, 1])) * (side / 2)).clamp(
        0, 1
    )
    course, half = uniform(0, 2 * torch.pi, 1, 1), uniform(0.3, 0.9, 1, 1)
    dx, dy = x - middle[:, :, 0], y - middle[:, :, 1]
    along, across = dx * course.cos() + dy * course.sin(), dy * course.cos() - dx * course.sin()
    away = torch.hypot((along.abs() - half).clamp(min=0), across) * (side / 2)  # px, from a segment
    thin = (uniform(0.5, 1.5, 1, 1) + 0.5 - away).clamp(0, 1)
    shape = torch.where(uniform(0, 1, 1, 1) < _THIN, thin, disc)
    return torch.cat((whole, shape[:, :, None]), 1)


def captions(count: int, side: int, draw: random.Random) -> Tensor:
    """(N, 1, S, S) in [0, 1]: opacity of one or two lines of letters."""
    masks = np.zeros((count, side, side), np.uint8)
    for mask in masks:
        scale, thick = draw.uniform(0.4, 1.2) * side / 128, draw.randint(1, 2)
        for _ in range(draw.randint(1, 2)):
            text = "".join(draw.choices(_LETTERS, k=draw.randint(4, 14)))
            place = (draw.randint(-side // 8, side // 3), draw.randint(side // 8, side - 4))
            cv2.putText(mask, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thick, cv2.LINE_AA)
    return torch.from_numpy(masks[:, None].astype(np.float32) / 255)
