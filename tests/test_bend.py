"""Motion that is not uniform: the way between two frames, from the pairs before and after."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from interp_cli import weights
from interp_cli.engine.bend import ALONE, PITCH, TILT, acceleration, bent
from interp_cli.engine.interpolate import Interpolator
from interp_cli.engine.lasting import lasting_motion
from interp_cli.engine.source import Motion, Neighbour, Pair, Source
from interp_cli.media.types import Color, Planes, pixel_format
from interp_cli.model.propagate import likeliest
from interp_cli.model.seam import MOTION_PITCH, Synthesis
from interp_cli.options import Dedup, EngineOptions, Mode
from interp_cli.quality.metrics import psnr
from interp_cli.timeline import Target

COLOR = Color(range="tv", matrix="bt709")
SIZE = (192, 128)


def field(x: float, y: float) -> Tensor:
    """The same velocity everywhere, px of the input."""
    shape = (1, 2, SIZE[1] // PITCH, SIZE[0] // PITCH)
    return torch.tensor([x, y]).view(1, 2, 1, 1).expand(shape)


def test_a_constant_acceleration_is_found_from_both_sides_to_a_hundredth() -> None:
    found = acceleration(field(4, -2), [(field(1, -1), -1.0), (field(7, -3), 1.0)], 0.3)
    assert found is not None
    assert found.shape == (1, 2, SIZE[1] // PITCH, SIZE[0] // PITCH)
    assert torch.allclose(found[0, :, 8, 12], torch.tensor([3.0, -1.0]), atol=0.01)


def test_a_pair_that_takes_twice_as_long_is_compared_by_its_speed() -> None:
    # At acceleration 2 per unit of time**2 from speed 4 at the middle of [0, 1]: the pair [1, 3] has its middle 1.5
    # later and speed 7, so covers 14; the pair before [-1, 0] speed 2.
    found = acceleration(field(4, 0), [(field(2, 0), -1.0), (field(14, 0), 2.0)], 0.6)
    assert found is not None
    assert found[0, 0, 8, 12].item() == pytest.approx(2, abs=0.01)


def test_one_side_is_half_believed_and_no_side_says_nothing() -> None:
    found = acceleration(field(4, 0), [(field(6, 0), 1.0)], 0.2)
    assert found is not None
    assert found[0, 0, 8, 12].item() == pytest.approx(2 * ALONE)
    assert acceleration(field(4, 0), [], 0.5) is None


@pytest.mark.parametrize("t", [0.125, 0.5, 0.75])
def test_on_a_cubic_the_nearer_change_counts_for_more(t: float) -> None:
    """Places 0, 0, 6, 20 px at times -1, 0, 1, 2: the cubic through them against the straight way from 0 to 6."""
    times = np.array([-1.0, 0.0, 1.0, 2.0])
    places = np.array([0.0, 0.0, 6.0, 20.0])
    cubic, steady = (np.polyval(np.polyfit(times, places, 3), at) for at in (t, 0.5))
    found = acceleration(field(6, 0), [(field(0, 0), -1.0), (field(14, 0), 1.0)], t)
    middle = acceleration(field(6, 0), [(field(0, 0), -1.0), (field(14, 0), 1.0)], 0.5)
    assert found is not None and middle is not None
    x = found[0, 0, 8, 12].item()
    m = middle[0, 0, 8, 12].item()
    assert m == pytest.approx((3 - steady) * 8, rel=0.03)
    exact = (6 * t - cubic) * 2 / (t * (1 - t))
    assert x - m == pytest.approx((exact - (3 - steady) * 8) * 3 * TILT, rel=0.03, abs=1e-6)


@pytest.mark.parametrize("span", [1.0, 2.0])
@pytest.mark.parametrize("late", [False, True])
def test_motion_that_lasts_is_found_where_it_goes_on(span: float, late: bool) -> None:
    """Everything flies apart at constant speed: at time s what is at x has the velocity k * x / (1 + k * s)."""
    k, asked = 0.04, list[Tensor]()
    x = (torch.arange(SIZE[0] // MOTION_PITCH) - 23.5).expand(1, 1, SIZE[1] // MOTION_PITCH, -1)

    def at(time: float, span: float = 1.0) -> Tensor:
        v = torch.cat((span * k * x / (1 + k * time), torch.zeros_like(x)), 1)
        return torch.cat((-v / 2, v / 2), 1)

    class Taken:
        def likeliest(self, f0: object, f1: object, halfway: Tensor, others: list[Tensor]) -> Tensor:
            asked.extend(others)
            return others[0]

    one, two, three = (Source(None, features={(): ()}) for _ in range(3))
    pair, beside = ((one, two), (two, three)) if not late else ((two, three), (one, two))
    own = Motion(torch.zeros_like(at(0)))
    apart = (1 + span) / 2  # between the middles
    beside[0].motions[beside[1]] = Motion(at(-apart if late else apart, span))
    side = Neighbour(*beside, span)
    sides = {"before": side} if late else {"after": side}
    found = lasting_motion(Taken(), Pair(*pair, Fraction(1, 2), (), **sides), own)  # type: ignore[arg-type]
    inside = (..., slice(4, -4))
    assert torch.allclose(found[inside], at(0)[inside], atol=0.01) and len(asked) == 1
    assert lasting_motion(Taken(), Pair(*pair, Fraction(1, 2), ()), own) is own.halfway  # type: ignore[arg-type]


def test_stripes_that_lie_about_their_motion_are_set_right_by_the_pair_beside() -> None:
    """Bars of 16 px that move by 8: both directions explain the two frames, and the wrong one leaves a little more."""
    x = torch.arange(96.0).expand(1, 1, 64, 96)
    y0, y1 = (0.5 + 0.4 * torch.sin((x - shift) * (2 * math.pi / 16)) + 0.004 * x for shift in (0, 8))
    y1 = y1 - 0.004 * 8
    wrong, right = (torch.tensor([-v / 2, 0, v / 2, 0]).view(1, 4, 1, 1).expand(1, 4, 64, 96) for v in (-8.0, 8.0))
    inside = (..., slice(None), slice(24, 72))
    assert torch.equal(likeliest(y0, y1, wrong, [right])[inside], right[inside])
    assert torch.equal(likeliest(y0, y1, right, [wrong])[inside], right[inside])
    assert torch.equal(likeliest(y0, y1, right, []), right)


def test_a_jolt_that_is_taken_back_bends_nothing() -> None:
    found = acceleration(field(4, 0), [(field(1, 0), -1.0), (field(1, 0), 1.0)], 0.25)
    assert found is not None
    assert float(found.abs().max()) < 0.01


def test_velocities_are_compared_where_the_same_thing_is_seen() -> None:
    """Each column moves at its own constant speed: nothing gathers speed, though the speed at each place changes."""
    # At time 0 the speed at x is x / 12; what is at x now was at x - v then, so one unit of time ago the speed at x
    # was x / 11, and one unit later it will be x / 13.
    x = (torch.arange(SIZE[0] // PITCH).view(1, 1, 1, -1) + 0.5) * PITCH
    across = x.expand(1, 1, SIZE[1] // PITCH, -1)
    before, own, after = (torch.cat((across / k, across * 0), 1) for k in (11, 12, 13))
    found = acceleration(own, [(before, -1.0), (after, 1.0)], 0.5)
    assert found is not None
    assert float(found[..., 3:-6].abs().max()) < 0.1
    there = [(before - own).abs(), (after - own).abs()]
    assert max(float(change[..., 12:-6].max()) for change in there) > 0.8


@pytest.mark.parametrize("t", [0.25, 0.5, 0.8])
def test_bent_flows_meet_the_parabola(t: float) -> None:
    """x(t) = 5t + 3t^2: both flows of the straight way are off by its distance from the parabola."""
    late = torch.tensor([t])
    straight = torch.tensor([8.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, SIZE[1], SIZE[0])
    s = Synthesis(-t * straight, (1 - t) * straight, torch.full((1, 1, SIZE[1], SIZE[0]), 0.5), None)
    change = torch.tensor([6.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, SIZE[1] // PITCH, SIZE[0] // PITCH)
    b = bent(s, change, late)
    assert torch.allclose(b.F_t0[0, 0], torch.tensor(-(5 * t + 3 * t * t)), atol=1e-4)
    assert torch.allclose(b.F_t1[0, 0], torch.tensor(8 - (5 * t + 3 * t * t)), atol=1e-4)
    assert torch.equal(b.F_t0[0, 1], s.F_t0[0, 1])


def seen(at: tuple[float, float], pts: int = 0) -> Planes:
    """A smooth texture of sines, exact at any shift (x, y px)."""
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]].astype(np.float64)
    x, y = x - at[0], y - at[1]
    luma = 126 + 40 * np.sin(x / 5 + y / 9) + 30 * np.cos(y / 6 - x / 13) + 20 * np.sin(x / 3.1) * np.cos(y / 3.7)
    chroma = np.full((SIZE[1] // 2, SIZE[0] // 2), 128, np.uint8)
    return Planes(pts, (np.rint(luma).astype(np.uint8), chroma, chroma), pixel_format("yuv420p"))


def swing(k: float) -> tuple[float, float]:
    """Where a hand-held camera looks at time k: 3 px to and fro in 14 frames."""
    return 3 * math.sin(2 * math.pi * k / 14 + 0.4), 2 * math.cos(2 * math.pi * k / 14)


def made(
    way: Callable[[float], tuple[float, float]], t: Fraction, **options: object
) -> tuple[list[Planes], list[float]]:
    """Frames between those of a camera on `way`, and their luma PSNR in dB."""
    network, _ = weights.load("fast", device="cpu")
    chosen = EngineOptions(dedup=Dedup.OFF, overlay_hold=False, **options)  # type: ignore[arg-type]
    sources = [seen(way(k), k) for k in range(6)]
    wanted = [Target(n=k, pts=k, left=k, t=t) for k in range(5)]
    out = list(Interpolator(network, options=chosen).run(iter(sources), wanted, color=COLOR))
    true = [seen(way(k + float(t))) for k in range(5)]
    return out, [psnr(a.data[0], b.data[0], peak=255) for a, b in zip(out, true, strict=True)]


def test_made_frames_of_a_swinging_camera_lie_on_its_way() -> None:
    """The truth is the texture at the place where the camera was; a straight way misses it by up to 0.08 px."""
    _, curved = made(swing, Fraction(1, 2))
    _, straight = made(swing, Fraction(1, 2), mode=Mode.BISECT)
    assert min(c - s for c, s in zip(curved[1:4], straight[1:4], strict=True)) > 0
    assert sum(curved[1:4]) - sum(straight[1:4]) > 3 * 1.5


def test_a_cut_ends_the_way() -> None:
    """Beyond a cut nothing is known: frames before it are those of a clip that ends there."""
    network, _ = weights.load("fast", device="cpu")
    before = [seen(swing(k), k) for k in range(4)]
    after = [seen((40 + 7 * k, 9 * k), k) for k in range(4, 8)]
    wanted = [Target(n=k, pts=k, left=k, t=Fraction(1, 2)) for k in range(3)]
    engine = Interpolator(network, options=EngineOptions(dedup=Dedup.OFF, overlay_hold=False))
    cut = list(engine.run(iter([*before, *after]), wanted, color=COLOR, cuts=[3]))
    ended = list(engine.run(iter(before), wanted, color=COLOR, cuts=[]))
    for a, b in zip(cut, ended, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a.data, b.data, strict=True))


def test_frames_are_the_same_wherever_a_run_begins() -> None:
    """With one more frame on either side, frames of a part are those of the whole."""
    network, _ = weights.load("fast", device="cpu")
    sources = [seen(swing(k), k) for k in range(8)]
    engine = Interpolator(network, options=EngineOptions(scene_detect=False, dedup=Dedup.OFF, overlay_hold=False))
    wanted = [Target(n=k, pts=k, left=k, t=Fraction(2, 5)) for k in range(7)]
    whole = list(engine.run(iter(sources), wanted, color=COLOR))[3:5]
    part = list(engine.run(iter(sources[2:7]), wanted[3:5], color=COLOR, first_source=2))
    for a, b in zip(whole, part, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a.data, b.data, strict=True))
