"""Made motion against analytic cases: flow leads to the same surface, what is hidden is marked, and looks vary."""

import random
from typing import Any

import pytest
import torch

from interp_cli.model.warp import warp
from interp_cli.train import synthetic
from interp_cli.train.motion import Motion, grid, motions
from interp_cli.train.surfaces import captions, dressed, outlines
from interp_cli.train.synthetic import moving_layers


def chance(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth_textures(count: int, layers: int, side: int) -> torch.Tensor:
    coarse = torch.rand(count * layers, 3, side // 8, side // 8)
    fine = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)
    return fine.view(count, layers, 3, side, side)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize("style", [{}, {"bend": True}, {"shutter": 0.2}, {"captions": True}], ids=str)
def test_synthetic_flow_leads_from_the_middle_frame_to_the_same_surface(
    style: dict[str, Any], layers: int, end: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    # patterns repeat within a few pixels, and interpolating them is off by more than what is looked for here
    monkeypatch.setattr(synthetic, "dressed", lambda textures, generator: textures)
    style = {**style, "captions": captions(6, 64, random.Random(0))} if style.get("captions") else style
    t = torch.full((6,), 0.4)
    made = moving_layers(smooth_textures(6, layers, 64), t, layers=layers, generator=chance(5), **style)
    flow, valid = made.flow[:, 2 * end : 2 * end + 2], made.valid[:, 2 * end : 2 * end + 1]
    rebuilt = warp(made.I1 if end else made.I0, flow)
    away = ((rebuilt - made.I_t).abs().mean(1, keepdim=True) * valid).sum() / valid.sum()
    still = ((made.I0 - made.I_t).abs().mean(1, keepdim=True) * valid).sum() / valid.sum()
    assert valid.mean() > 0.5
    most = 0.02 if "captions" in style else 0.01  # at the edges of letters two motions mix in one pixel
    assert away < most < still


def test_synthetic_layers_hide_one_another_and_the_hidden_is_marked() -> None:
    torch.manual_seed(0)
    made = moving_layers(smooth_textures(8, 3, 64), torch.full((8,), 0.5), layers=3, generator=chance(1))
    assert (made.valid == 0).any()


def test_going_to_a_time_and_back_is_exact_in_perspective_and_with_bending() -> None:
    motion = motions(32, 4, 128, chance(0), bend=True)
    assert (motion.tilt != 0).any() and motion.bend is not None and motion.bend.abs().max() > 1
    tau = torch.linspace(-0.1, 1.1, 32)
    seen = grid(128, torch.device("cpu"))
    away = (motion.at(tau, motion.origin(tau, seen)) - seen).norm(dim=-1)
    assert away.max() < 0.01  # px


def test_perspective_is_that_of_a_homography() -> None:
    zero = torch.zeros(1, 1)
    pair = torch.zeros(1, 1, 2)
    motion = Motion(
        centre=pair + 10, move=pair, turn=zero, grow=zero, shear=zero, tilt=torch.tensor([[[0.01, 0.0]]]),
        bend=None, wave=pair, phase=zero,
    )  # fmt: skip
    x = torch.tensor([30.0, 50.0]).view(1, 1, 1, 1, 2)
    w = 1 + 0.01 * (30 - 10)
    expected = torch.tensor([10 + 20 / w, 10 + 40 / w])
    torch.testing.assert_close(motion.at(torch.ones(1), x).flatten(), expected)


def test_motion_reaches_a_quarter_of_the_frame_and_is_mostly_small() -> None:
    reach = motions(500, 1, 100, chance(0), bend=False).move.norm(dim=-1)
    assert reach.max() > 25
    assert reach.median() < 10


def test_some_surfaces_are_flat_and_some_repeat_a_pattern() -> None:
    torch.manual_seed(0)
    noise = torch.rand(300, 1, 3, 32, 32)
    looks = dressed(noise, chance(0))
    spread = looks.std((3, 4)).amax(2)
    changed = (looks != noise).any(4).any(3).any(2)
    assert 0.03 < (spread < 1e-6).float().mean() < 0.15
    assert 0.03 < (changed & (spread > 1e-3)).float().mean() < 0.15
    assert ((looks >= 0) & (looks <= 1)).all()


def test_some_outlines_are_a_few_pixels_thin() -> None:
    shapes = outlines(200, 2, 64, chance(0))[:, 1, 0] > 0.5
    # the thickness of a shape: how often it can lose its edge before nothing is left
    eroded = -torch.nn.functional.max_pool2d(-shapes[:, None].float(), 5, 1, 2)
    thin = (shapes.flatten(1).sum(1) > 20) & (eroded.flatten(1).sum(1) == 0)
    assert 0.05 < thin.float().mean() < 0.4


def test_half_of_the_captions_stand_still_whatever_moves_below() -> None:
    torch.manual_seed(0)
    letters = captions(40, 64, random.Random(1))
    made = moving_layers(
        smooth_textures(40, 1, 64), torch.full((40,), 0.5), layers=1, generator=chance(2), captions=letters
    )
    sure = (letters > 0.5).expand(-1, 4, -1, -1)
    standing = torch.stack([made.flow[n][sure[n]].abs().max() < 1e-3 for n in range(40)])
    assert 0.2 < standing.float().mean() < 0.8
    full = (letters > 0.95).expand(-1, 3, -1, -1) & standing[:, None, None, None]
    assert full.any()
    torch.testing.assert_close(made.I0[full], made.I1[full], rtol=0, atol=0.06)  # what shines through


def test_an_open_shutter_blurs_along_the_motion(monkeypatch: pytest.MonkeyPatch) -> None:
    def straight(count: int, layers: int, side: int, generator: torch.Generator, *, bend: bool) -> Motion:
        zero, pair = torch.zeros(count, layers), torch.zeros(count, layers, 2)
        still = {"turn": zero, "grow": zero, "shear": zero, "tilt": pair, "bend": None, "wave": pair, "phase": zero}
        return Motion(centre=pair, move=torch.tensor([20.0, 0.0]).expand(count, layers, 2), **still)

    monkeypatch.setattr(synthetic, "motions", straight)
    monkeypatch.setattr(synthetic, "dressed", lambda textures, generator: textures)
    edge = (torch.arange(64) >= 32).float().expand(1, 1, 3, 64, 64)
    made = moving_layers(edge, torch.full((1,), 0.5), layers=1, generator=chance(0), shutter=0.2)
    row = made.I0[0, 0, 32]  # the edge at 32 moves 20 px in the unit interval, so 4 px while the shutter is open
    assert (row[:30] < 0.01).all() and (row[35:] > 0.99).all()
    assert ((row[30:34] > 0.1) & (row[30:34] < 0.9)).all()
