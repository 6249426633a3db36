"""Colours weighted by how far they are seen: what is transparent lends its colour to nothing.

Frames with alpha are worked on as they look over grey, which is linear: seen = grey + (colour - grey) * alpha. Mixing
and moving such frames mixes and moves what is seen, and dividing by the alpha that was moved alike gives colours back.
Chroma that is subsampled has an alpha of its own, the mean over its area, as a third channel. Where alpha is whole,
nothing is changed by either step.
"""

from __future__ import annotations

import torch
from torch import Tensor

from interp_cli.engine import planes as on_device
from interp_cli.engine.planes import FULL, Frames, regrid
from interp_cli.media.types import PixelFormat, Planes

_HALF = 0.5  # code values


def weighted(frames: Frames) -> Frames:
    """Frames as decoded, as they are seen over grey; without alpha, the same object."""
    format = frames.format
    if not format.alpha:
        return frames
    alpha = frames.full[:, -1:]
    full = torch.cat((_seen(frames.full[:, :-1], alpha, format), alpha), 1)
    if frames.chroma is None:
        return Frames(full, None, format)
    small = regrid(alpha, FULL, frames.chroma_pitch)
    return Frames(full, torch.cat((_seen(frames.chroma, small, format), small), 1), format)


def unweighted(frames: Frames, hidden: Planes) -> Frames:
    """The inverse of `weighted`. Where nothing is seen, colours are those of `hidden`, a frame as decoded."""
    format = frames.format
    if not format.alpha:
        return frames
    under = on_device.upload([hidden], frames.full.device)
    alpha = frames.full[:, -1:]
    full = torch.cat((_colour(frames.full[:, :-1], alpha, under.full[:, :-1], format), alpha), 1)
    if frames.chroma is None or under.chroma is None:
        return Frames(full, None, format)
    return Frames(full, _colour(frames.chroma[:, :2], frames.chroma[:, 2:], under.chroma, format), format)


def _seen(colour: Tensor, alpha: Tensor, format: PixelFormat) -> Tensor:
    grey = float(1 << format.depth - 1)
    return (colour - grey).mul_(alpha / format.peak).add_(grey)


def _colour(seen: Tensor, alpha: Tensor, under: Tensor, format: PixelFormat) -> Tensor:
    grey, peak = float(1 << format.depth - 1), float(format.peak)
    colour = (seen - grey).mul_(peak / alpha.clamp_min(_HALF)).add_(grey)
    colour = torch.where((alpha - peak).abs() < _HALF, seen, colour)
    return torch.where(alpha < _HALF, under, colour)
