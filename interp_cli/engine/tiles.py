"""A network's answer put together from tiles, where memory does not suffice for whole frames."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from interp_cli.model.seam import Limits, Network, Synthesis

OVERLAP = 256
"""Px of the network's input that neighbours share.

Real 1080p clips in 4 x 4 tiles, against the whole: 51 to 90 dB if the fastest motion is under 50 px, 40 dB with 106 px.
Before each tile tried what most of it does it was 64 dB and more, and with 70 px 45 dB for an overlap of 128, 46 for
192, 54 for 256.
"""


def spans(length: int, parts: int, limits: Limits, *, overlap: int = OVERLAP) -> list[slice]:
    """At most `parts` equal spans that cover `length` px in order, neighbours sharing at least `overlap` px.

    `length` and the spans' ends are multiples of what the network takes. A length that is all overlap is one span.
    """
    unit = limits.multiple_of
    units, shared, least = length // unit, -(-overlap // unit), -(-limits.min_size // unit)
    size = max(-(-(units + (parts - 1) * shared) // parts), least)
    if size >= units:
        return [slice(0, length)]
    last = max(1, -(-(units - size) // max(1, size - shared)))
    firsts = [k * (units - size) // last for k in range(last + 1)]
    return [slice(first * unit, (first + size) * unit) for first in firsts]


def shares(tiles: Sequence[slice], *, overlap: int = OVERLAP) -> list[Tensor]:
    """The weight of each of `tiles` at each of its own px; over all tiles they sum to 1 at every px.

    Linear ramps in the middle half of each overlap: what a network says beside the border of a tile counts for nothing,
    since motion across the border has no counterpart there. The outer borders are the frame's own and count in full.
    """
    length, margin = tiles[-1].stop, overlap / 4
    at = torch.arange(length, dtype=torch.float32) + 0.5
    rows = []
    for tile in tiles:
        start = tile.start - (overlap if tile.start == 0 else -margin)
        stop = tile.stop + (overlap if tile.stop == length else -margin)
        rows.append(torch.minimum(at - start, stop - at).clamp(0, overlap / 2))
    total = torch.stack(rows).sum(0)
    return [(row / total)[tile] for row, tile in zip(rows, tiles, strict=True)]


def synthesise(network: Network, I0: Tensor, I1: Tensor, t: Tensor, *, parts: int, overlap: int = OVERLAP) -> Synthesis:
    """What `network` says of the padded frames I0 and I1 (N, 3, H, W) at times t (N,), asked tile by tile.

    There are up to `parts` tiles along either side. Flows, mask and residual are cross-faded where tiles overlap.
    """
    sides = [spans(side, parts, network.limits, overlap=overlap) for side in I0.shape[-2:]]
    rows, columns = (list(zip(side, shares(side, overlap=overlap), strict=True)) for side in sides)
    whole = None
    for (y, down), (x, across) in product(rows, columns):
        f0, f1 = (network.encode(I[..., y, x]) for I in (I0, I1))
        s = network.synthesise(f0, f1, t).enlarged()
        tile = torch.cat([part.float() for part in (s.F_t0, s.F_t1, s.M, s.R) if part is not None], 1)
        if whole is None:
            whole = tile.new_zeros((*tile.shape[:2], *I0.shape[-2:]))
        whole[..., y, x].addcmul_(tile, torch.outer(down, across).to(tile.device))
    if whole is None:
        raise ValueError("a frame of no pixels has no tiles")
    return Synthesis(whole[:, :2], whole[:, 2:4], whole[:, 4:5], whole[:, 5:] if whole.shape[1] > 5 else None)
