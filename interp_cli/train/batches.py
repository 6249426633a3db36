"""Batches of real and synthetic triplets: what the n-th holds depends on recipe, shots and n alone."""

from dataclasses import dataclass

import torch
from torch import Tensor

from interp_cli.train.data import Sampler
from interp_cli.train.recipe import Recipe
from interp_cli.train.surfaces import captions
from interp_cli.train.synthetic import Moving, moving_layers


@dataclass(frozen=True, slots=True)
class Batch:
    """Real triplets first, then synthetic ones; `flow` and `valid` belong to the last `len(flow)` samples."""

    I0: Tensor
    I1: Tensor
    I_t: Tensor
    t: Tensor
    flow: Tensor
    valid: Tensor


def batch(sampler: Sampler, recipe: Recipe, *, step: int, rank: int = 0) -> Batch:
    """The share of worker `rank` of the batch of `step`; the crop sizes take turns, the number of layers is drawn."""
    sampler.begin(f"{recipe.seed} {step} {rank}")
    side, whole = recipe.crops[step % len(recipe.crops)]
    count = max(1, round(whole / recipe.workers))
    chance = sampler.random.random()  # the share is right on average even where it is less than one sample
    made = min(int(count * recipe.synthetic_share + chance), count - 1)
    real = sampler.triplets(count - made, side)
    if not made:
        none = real.I0.new_zeros((0, 4, side, side))
        I0, I1, I_t = (_joined(x, x[:0]) for x in (real.I0, real.I1, real.I_t))
        return Batch(I0, I1, I_t, real.t, flow=none, valid=none)
    drawn = _made(sampler, made, side)
    return Batch(
        I0=_joined(real.I0, drawn.I0),
        I1=_joined(real.I1, drawn.I1),
        I_t=_joined(real.I_t, drawn.I_t),
        t=torch.cat((real.t, drawn.t)),
        flow=drawn.flow,
        valid=drawn.valid,
    )


def _made(sampler: Sampler, count: int, side: int) -> Moving:
    draw = sampler.random
    layers = draw.randint(1, 4)
    t = draw.choice((0.25, 0.5, 0.5, 0.75, draw.uniform(0.05, 0.95)))
    letters = captions(count, side, draw).to(sampler.device) if draw.random() < 0.15 else None
    return moving_layers(
        sampler.textures(count, layers, side),
        torch.full((count,), t, device=sampler.device),
        layers=layers,
        generator=sampler.generator,
        bend=draw.random() < 0.3,
        shutter=draw.uniform(0.05, 0.25) if draw.random() < 0.1 else 0.0,
        captions=letters,
    )


def _joined(real: Tensor, made: Tensor) -> Tensor:
    return torch.cat((real, made)).contiguous(memory_format=torch.channels_last)
