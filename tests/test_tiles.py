"""Tiles: where they lie, how they share a frame, and that a network says of them what it says of the whole."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from fakes import Placeless
from hypothesis import given
from hypothesis import strategies as st
from small_clips import TINY

from interp_cli.engine.tiles import OVERLAP, shares, spans, synthesise
from interp_cli.model.network import IFNet
from interp_cli.model.seam import Limits, Synthesis

LIMITS = Limits(multiple_of=16, min_size=32, any_t=True)


@given(st.integers(2, 300), st.integers(1, 5), st.sampled_from([1, 8, 16, 64]), st.integers(1, 90), st.integers(1, 256))
def test_spans_are_equal_overlap_enough_and_cover_everything(
    units: int, parts: int, unit: int, least: int, overlap: int
) -> None:
    limits = Limits(multiple_of=unit, min_size=least, any_t=True)
    length = max(units, -(-least // unit)) * unit
    tiles = spans(length, parts, limits, overlap=overlap)
    assert 1 <= len(tiles) <= parts
    assert (tiles[0].start, tiles[-1].stop) == (0, length)
    assert len({tile.stop - tile.start for tile in tiles}) == 1
    assert all(tile.start % unit == tile.stop % unit == 0 and tile.stop - tile.start >= least for tile in tiles)
    assert all(a.start < b.start and a.stop - b.start >= overlap for a, b in pairwise(tiles))


def test_a_tile_of_1080p_is_about_a_third_and_then_a_sixth_of_the_frame() -> None:
    for parts, most in ((2, 0.36), (4, 0.16)):
        rows, columns = spans(1088, parts, LIMITS), spans(1920, parts, LIMITS)
        assert (len(rows), len(columns)) == (parts, parts)
        assert rows[0].stop * columns[0].stop < most * 1088 * 1920


@pytest.mark.parametrize("parts", [1, 2, 4])
@pytest.mark.parametrize("length", [64, 480, 864, 1088, 1920])
def test_shares_sum_to_one_and_fade_out_before_the_border_of_a_tile(parts: int, length: int) -> None:
    tiles, total = spans(length, parts, LIMITS), torch.zeros(length)
    for tile, share in zip(tiles, shares(tiles), strict=True):
        total[tile] += share
        assert len(share) == tile.stop - tile.start
        assert tile.start == 0 or float(share[: OVERLAP // 4].max()) == 0
        assert tile.stop == length or float(share[-OVERLAP // 4 :].max()) == 0
        assert float(share.diff().abs().max()) <= 2 / (OVERLAP / 2)
    torch.testing.assert_close(total, torch.ones(length))


def drifting(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two frames of smooth texture, the second shifted by (3, 2) px."""
    torch.manual_seed(3)
    small = torch.rand(1, 3, height // 8, width // 8)
    big = F.interpolate(small, size=(height + 8, width + 8), mode="bicubic").clamp(0, 1)
    return big[..., 2:-6, 3:-5].contiguous(), big[..., :-8, :-8].contiguous()


def parts_of(s: Synthesis) -> dict[str, torch.Tensor]:
    return {"F_t0": s.F_t0, "F_t1": s.F_t1, "M": s.M} | ({} if s.R is None else {"R": s.R})


@torch.inference_mode()
def test_a_network_with_weights_says_of_tiles_what_it_says_of_the_whole() -> None:
    torch.manual_seed(1)
    network = IFNet(TINY)
    I0, I1 = drifting(256, 320)
    t = torch.tensor([0.3])
    whole = parts_of(network.synthesise(network.encode(I0), network.encode(I1), t).enlarged())
    apart = {n: parts_of(synthesise(network, I0, I1, t, parts=3, overlap=n)) for n in (8, 128)}
    assert float(whole["F_t0"].abs().max()) > 1
    for name, wanted in whole.items():
        off = {overlap: float((found[name] - wanted).abs().max()) for overlap, found in apart.items()}
        assert off[128] < 0.01
        assert off[8] > 10 * off[128]


def test_every_batch_entry_and_time_has_its_own_answer() -> None:
    torch.manual_seed(2)
    I0, I1, t = torch.rand(2, 3, 64, 640), torch.rand(2, 3, 64, 640), torch.tensor([0.25, 0.5])
    network = Placeless()
    s = parts_of(synthesise(network, I0, I1, t, parts=4))
    for name, wanted in parts_of(network.synthesise(network.encode(I0), network.encode(I1), t)).items():
        torch.testing.assert_close(s[name], wanted, msg=name)
